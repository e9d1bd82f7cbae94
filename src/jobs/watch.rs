//! Looking at the store's epoch, at who was removed, and at what it holds for all processes, again and again (truths 5
//! and 8).

use std::sync::Arc;

use async_trait::async_trait;
use tracing::warn;

use crate::{
    clock::SharedClock,
    login::{Journeys, LedgerError, Row},
    net::Tracker,
    session::{SessionStore, Whose},
    telemetry::with_causes,
};

/// What the store holds for all processes, and this one has, too.
#[async_trait]
pub(crate) trait PutsBack: Send + Sync {
    /// Puts back what the store lost of it; what cannot be done now is for the next time.
    async fn put_back(&self);
}

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn watch_store(
    journeys: Journeys,
    sessions: Arc<dyn SessionStore>,
    belongings: Arc<dyn PutsBack>,
    clock: SharedClock,
    tracker: &Tracker,
) {
    let stopping = tracker.stopping();
    tracker.spawn(async move {
        let (mut was_away, mut lost) = (false, Vec::new());
        loop {
            let looked = look(&journeys, &mut lost).await;
            // Said once, not with every look.
            if let Err(error) = &looked
                && !was_away
            {
                warn!(error = %with_causes(error), "the store cannot be looked at; tried again");
            }
            was_away = looked.is_err();
            if !was_away {
                belongings.put_back().await;
            }
            end_sessions(&*sessions, &mut lost).await;
            tokio::select! {
                () = stopping.cancelled() => break,
                () = clock.sleep(journeys.trust.every()) => {}
            }
        }
    });
}

async fn look(journeys: &Journeys, lost: &mut Vec<Row>) -> Result<(), LedgerError> {
    lost.extend(journeys.look_at_store().await?);
    Ok(())
}

/// A store that had lost somebody's removal has the sessions again that ended with it. Those of whoever cannot be asked
/// for now are ended after the next look.
async fn end_sessions(sessions: &dyn SessionStore, lost: &mut Vec<Row>) {
    while let Some(row) = lost.last() {
        let names = [Some(Whose::Person(row.key.clone())), row.user.clone().map(Whose::User)];
        for whose in names.into_iter().flatten() {
            if let Err(error) = sessions.remove_all_of(&whose).await {
                warn!(error = %error, "the sessions of a removed person cannot be ended; tried again");
                return;
            }
        }
        lost.pop();
    }
}
