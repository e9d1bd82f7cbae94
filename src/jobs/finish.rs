//! The sweeper: finishes migrations that were begun and whose people do not come back by themselves.
//!
//! One person at a time, with a pause after each: sign-ins come first, at the store, at Scalekit and at the legacy
//! side. What it may do without the person is `login`'s to say.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::sweep::jittered;
use crate::{
    clock::SharedClock,
    identity::PersonKey,
    login::{Journeys, LedgerError, Swept},
    net::Tracker,
    telemetry::{Metrics, with_causes},
};

/// The pause after each person.
const PACE: Duration = Duration::from_millis(200);

/// How many names are read at a time.
const PAGE: usize = 100;

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn finish_people(journeys: Journeys, metrics: Metrics, clock: SharedClock, tracker: &Tracker) {
    let stopping = tracker.stopping();
    tracker.spawn(async move {
        let sweeper = Sweeper { journeys, metrics, clock: clock.clone() };
        loop {
            // A row whose process died is free once its lease has ended: sooner there is nothing to find.
            let pause = jittered(sweeper.journeys.settings.load().migration.lease);
            tokio::select! {
                () = stopping.cancelled() => break,
                () = clock.sleep(pause) => {}
            }
            if let Err(error) = sweeper.sweep(&stopping).await {
                warn!(error = %with_causes(&error), "the sweep of unfinished people was cut short");
            }
        }
    });
}

struct Sweeper {
    journeys: Journeys,
    metrics: Metrics,
    clock: SharedClock,
}

impl Sweeper {
    /// Goes once through everybody who is not finished. Whoever was begun with is not left because the process stops.
    async fn sweep(&self, stopping: &CancellationToken) -> Result<(), LedgerError> {
        let (mut after, mut open): (Option<PersonKey>, usize) = (None, 0);
        loop {
            let page = self.journeys.open_people(after.as_ref(), PAGE).await?;
            for key in &page {
                let swept = self.journeys.finish(key).await?;
                debug!(sweep.result = swept.as_str(), "an unfinished person");
                self.metrics.person_swept(swept.as_str());
                open += usize::from(matches!(swept, Swept::NotYet | Swept::NextSignIn));
                tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    () = self.clock.sleep(jittered(PACE)) => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.clone()),
                _ => break,
            }
        }
        self.metrics.sweep_ended(open);
        Ok(())
    }
}
