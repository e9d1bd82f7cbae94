//! Bringing rows of an earlier version into lists and counts, once after a start.

use std::sync::Arc;

use crate::{login::Ledger, net::Tracker, telemetry::with_causes};

/// Starts it; people are served meanwhile, and only lists and counts lack who has not been reached yet.
pub(crate) fn index_people(ledger: Arc<dyn Ledger>, tracker: &Tracker) {
    let stopping = tracker.stopping();
    tracker.spawn(async move {
        // Dropped when the process stops: the next start goes on with those that are left.
        tokio::select! {
            () = stopping.cancelled() => {}
            indexed = ledger.index() => match indexed {
                Ok(0) => {}
                Ok(people) => tracing::info!(people, "rows of an earlier version are listed and counted now"),
                Err(error) => tracing::warn!(
                    error = %with_causes(&error),
                    "rows of an earlier version may be missing in lists and counts until the next start"
                ),
            },
        }
    });
}
