//! Deleting sessions and flows that are over, so that the store does not grow for ever.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use tracing::{debug, warn};

use crate::{clock::SharedClock, net::Tracker, session::SessionStore};

/// The pause between two sweeps, to which up to a quarter is added: replicas that started together should not all
/// sweep one store at the same moment.
const PAUSE: Duration = Duration::from_mins(1);

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn sweep_sessions(store: Arc<dyn SessionStore>, clock: SharedClock, tracker: &Tracker) {
    let stopping = tracker.stopping();
    tracker.spawn_job(async move {
        loop {
            // Only the wait is dropped when the process stops; a sweep that has begun is finished.
            tokio::select! {
                () = stopping.cancelled() => break,
                () = clock.sleep(jittered(PAUSE)) => {}
            }
            match store.sweep(clock.now()).await {
                Ok(deleted) => debug!(session.deleted = deleted, "sessions swept"),
                Err(error) => {
                    warn!(
                        error = &error as &(dyn std::error::Error + 'static),
                        "sessions not swept; tried again later"
                    );
                }
            }
        }
    });
}

/// `pause` and up to a quarter more. Without randomness there is no jitter, which is no reason to stop.
pub(super) fn jittered(pause: Duration) -> Duration {
    let mut random = [0_u8; 2];
    let _ = rand::fill(&mut random);
    pause + pause.mul_f64(0.25 * f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::sync::Notify;

    use super::*;
    use crate::{
        clock::{Clock as _, TestClock, Timestamp},
        session::{Digest, Session, SessionStoreError, Settled, Told, Whose},
    };

    /// Fails every second sweep, and tells after each.
    struct Counting {
        sweeps: AtomicUsize,
        last: std::sync::Mutex<Timestamp>,
        swept: Notify,
    }

    #[async_trait]
    impl SessionStore for Counting {
        async fn put(&self, _: &Digest, _: &Session) -> Result<(), SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn get(&self, _: &Digest) -> Result<Option<Session>, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn touch(&self, _: &Digest, _: Timestamp, _: Timestamp) -> Result<(), SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn remove(&self, _: &Digest) -> Result<Option<Session>, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn remove_all_of(&self, _: &Whose) -> Result<Vec<Digest>, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn remove_all(&self, _: Told<'_>) -> Result<(), SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn ended(&self, _: Vec<Digest>, _: Timestamp) -> Result<Vec<Digest>, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn claim_refresh(
            &self,
            _: &Digest,
            _: Duration,
            _: Timestamp,
        ) -> Result<Option<Session>, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn settle_refresh(&self, _: &Digest, _: u64, _: &Settled) -> Result<bool, SessionStoreError> {
            unreachable!("a sweep only sweeps")
        }

        async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError> {
            let before = std::mem::replace(&mut *self.last.lock().unwrap(), now);
            assert!(now.since(before) >= PAUSE && now.since(before) <= PAUSE.mul_f64(1.26));
            let sweeps = self.sweeps.fetch_add(1, Ordering::SeqCst) + 1;
            self.swept.notify_one();
            if sweeps.is_multiple_of(2) { Err(SessionStoreError("down".into())) } else { Ok(sweeps) }
        }
    }

    #[tokio::test]
    async fn it_sweeps_now_and_then_survives_failures_and_stops() {
        let clock = TestClock::at(Timestamp::from_seconds(1_000_000));
        let store = Arc::new(Counting {
            sweeps: AtomicUsize::new(0),
            last: std::sync::Mutex::new(clock.now()),
            swept: Notify::new(),
        });
        let tracker = Tracker::new(tokio::runtime::Handle::current());
        sweep_sessions(store.clone(), clock, &tracker);
        while store.sweeps.load(Ordering::SeqCst) < 5 {
            tokio::time::timeout(Duration::from_secs(5), store.swept.notified()).await.unwrap();
        }
        assert!(tracker.finish(Duration::from_secs(5)).await);
    }

    #[test]
    fn jitter_only_lengthens_the_pause() {
        let pauses: Vec<Duration> = (0..50).map(|_| jittered(PAUSE)).collect();
        assert!(pauses.iter().all(|pause| (PAUSE..=PAUSE.mul_f64(1.25)).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
