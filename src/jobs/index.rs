//! Bringing rows of an earlier version into lists and counts, once after a start.

use crate::{
    login::{Indexed, Journeys, Ledger as _},
    net::Tracker,
    telemetry::with_causes,
};

/// Starts it; people are served meanwhile, and only lists and counts lack who has not been reached yet.
pub(crate) fn index_people(journeys: Journeys, tracker: &Tracker) {
    let stopping = tracker.stopping();
    tracker.spawn(async move {
        // Dropped when the process stops: the next start goes on with those that are left.
        tokio::select! {
            () = stopping.cancelled() => {}
            indexed = journeys.ledger.index() => match indexed {
                Ok(Indexed { people, unreadable }) => {
                    for key in &unreadable {
                        journeys.witness.unreadable(key);
                    }
                    if people > 0 {
                        tracing::info!(people, "rows of an earlier version are listed and counted now");
                    }
                }
                Err(error) => tracing::warn!(
                    error = %with_causes(&error),
                    "rows of an earlier version may be missing in lists and counts until the next start"
                ),
            },
        }
    });
}
