//! The store's clock, by which leases and sessions go (REL-12).
//!
//! Replicas whose own clocks differ must agree on when a lease or a session is over. Time stays an argument of every
//! operation; where processes share a store, it comes from here: what the store's clock said last, moved on by the
//! monotonic clock. Only what is compared with the outside (ID tokens) goes by the machine's own clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use crate::clock::{Clock, SharedClock, Timestamp};

/// No reading yet.
const UNKNOWN: i64 = i64::MIN;

/// A clock that shows the store's time; before its first reading, the machine's.
pub(crate) struct StoreClock {
    own: SharedClock,
    /// The store's time less our monotonic clock, in milliseconds.
    apart: AtomicI64,
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl StoreClock {
    pub(crate) fn new(own: SharedClock) -> Arc<Self> {
        Arc::new(Self { own, apart: AtomicI64::new(UNKNOWN) })
    }

    /// Sets it by a reading that was asked for at `asked` on our monotonic clock and is here now.
    pub(crate) fn set(&self, reading: Timestamp, asked: Duration) {
        let (asked, came) = (millis(asked), millis(self.own.monotonic()));
        // It was taken somewhere between.
        let unsure = (came - asked) / 2 + 1;
        let reading = i64::try_from(reading.millis()).unwrap_or(i64::MAX);
        let apart = reading.saturating_sub(asked + (came - asked) / 2);
        let known = self.apart.load(Ordering::Relaxed);
        // A slow answer is no reason to move a clock that may be right.
        if known == UNKNOWN || known.abs_diff(apart) > unsure.unsigned_abs() {
            self.apart.store(apart, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        match self.apart.load(Ordering::Relaxed) {
            UNKNOWN => self.own.now(),
            apart => {
                let now = millis(self.own.monotonic()).saturating_add(apart);
                Timestamp::from_millis(u64::try_from(now).unwrap_or_default())
            }
        }
    }

    fn monotonic(&self) -> Duration {
        self.own.monotonic()
    }

    async fn sleep(&self, for_: Duration) {
        self.own.sleep(for_).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TestClock;

    #[test]
    fn it_shows_the_stores_time_and_goes_on_by_itself() {
        let own = TestClock::at(Timestamp::from_seconds(1_000_000));
        let clock = StoreClock::new(own.clone());
        assert_eq!(clock.now(), own.now());
        let ahead = Timestamp::from_seconds(1_000_300);
        clock.set(ahead, own.monotonic());
        assert_eq!(clock.now(), ahead);
        own.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), ahead.after(Duration::from_secs(5)));
        // Behind as well.
        let behind = Timestamp::from_seconds(999_700);
        clock.set(behind, own.monotonic());
        assert_eq!(clock.now(), behind);
    }

    #[test]
    fn an_answer_that_took_long_moves_nothing_that_may_be_right() {
        let own = TestClock::at(Timestamp::from_seconds(1_000_000));
        let clock = StoreClock::new(own.clone());
        let (asked, right) = (own.monotonic(), own.now());
        clock.set(right, asked);
        own.advance(Duration::from_millis(200));
        // Read at once and long under way, or the other way round.
        for reading in [right, right.after(Duration::from_millis(200))] {
            clock.set(reading, asked);
            assert_eq!(clock.now(), right.after(Duration::from_millis(200)));
        }
        clock.set(right.after(Duration::from_millis(800)), asked);
        assert_eq!(clock.now(), right.after(Duration::from_millis(900)));
    }
}
