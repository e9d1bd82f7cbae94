//! Looking at the store's epoch, again and again (truth 8).

use tracing::warn;

use crate::{clock::SharedClock, login::Journeys, net::Tracker, telemetry::with_causes};

/// Every so many looks, it is asked whom other processes removed.
const LOOKS_PER_LESSON: u64 = 10;

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn watch_store(journeys: Journeys, clock: SharedClock, tracker: &Tracker) {
    let stopping = tracker.stopping();
    tracker.spawn(async move {
        let (mut looks, mut was_away) = (0_u64, false);
        loop {
            let looked = look(&journeys, looks).await;
            looks = looks.wrapping_add(1);
            // Said once, not with every look.
            if let Err(error) = &looked
                && !was_away
            {
                warn!(error = %with_causes(error), "the store's epoch cannot be read; tried again");
            }
            was_away = looked.is_err();
            tokio::select! {
                () = stopping.cancelled() => break,
                () = clock.sleep(journeys.trust.every()) => {}
            }
        }
    });
}

async fn look(journeys: &Journeys, looks: u64) -> Result<(), crate::login::LedgerError> {
    journeys.look_at_store().await?;
    if looks.is_multiple_of(LOOKS_PER_LESSON) {
        journeys.learn_removed().await?;
    }
    Ok(())
}
