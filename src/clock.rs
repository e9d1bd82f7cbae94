//! Time, as an argument.
//!
//! Everything that needs to know what time it is takes a [`Clock`]; everything that may take long takes a
//! [`Deadline`]. No other room reads a clock, so a test decides what time it is. Wall-clock time is for records
//! and for comparing with the outside (token lifetimes); durations are measured on the monotonic clock.

mod moment;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "simulate"))]
pub(crate) use moment::to_http_date;
pub(crate) use moment::{certificate_time, http_date, rfc_3339};

/// A point in wall-clock time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    /// The point `millis` milliseconds after the Unix epoch.
    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The point `seconds` seconds after the Unix epoch, as in JWT's `NumericDate` (RFC 7519 §2).
    pub(crate) const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub(crate) const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This point moved `by` into the future; the far end is kept when it would overflow.
    pub(crate) fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was, zero when it lies in the future.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// RFC 3339 in UTC with milliseconds, for example `2026-01-31T09:15:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, ms) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// Counts in 400-year eras that begin on 1 March, so that the leap day is the last day of a year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The moment after which an answer is of no use any more; passed down, shortened on the way, never extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The moment `budget` from now.
    #[expect(clippy::disallowed_methods, reason = "this room is where the clock is read")]
    pub(crate) fn within(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }

    /// What remains, zero when it has passed.
    #[expect(clippy::disallowed_methods, reason = "this room is where the clock is read")]
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The earlier of this deadline and `limit` from now: a callee's own limit within what the caller has left.
    pub(crate) fn at_most(self, limit: Duration) -> Self {
        self.min(Self::within(limit))
    }

    /// Whether nothing remains.
    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Where the time comes from.
#[async_trait::async_trait]
pub(crate) trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;

    /// A monotonic reading; only differences mean anything.
    fn monotonic(&self) -> Duration;

    /// Waits; a test clock may return at once and move its hands.
    async fn sleep(&self, for_: Duration);
}

/// A shared clock.
pub(crate) type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    started: Instant,
    /// How far it is wrong on purpose, in milliseconds; the monotonic reading is not.
    wrong_by: i64,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this room is where the clock is read")]
    pub(crate) fn shared() -> SharedClock {
        Arc::new(Self { started: Instant::now(), wrong_by: 0 })
    }

    /// One that is so many seconds fast, or slow: for tests of replicas whose clocks differ.
    #[cfg(feature = "failpoints")]
    #[expect(clippy::disallowed_methods, reason = "this room is where the clock is read")]
    pub(crate) fn wrong_by(seconds: i64) -> SharedClock {
        Arc::new(Self { started: Instant::now(), wrong_by: seconds.saturating_mul(1000) })
    }
}

#[async_trait::async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this room is where the clock is read")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Timestamp(millis.saturating_add_signed(self.wrong_by))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, for_: Duration) {
        tokio::time::sleep(for_).await;
    }
}

/// A clock that stands still until it is moved.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct TestClock(std::sync::Mutex<Duration>);

#[cfg(test)]
impl TestClock {
    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new(Duration::from_millis(now.millis()))))
    }

    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[cfg(test)]
#[async_trait::async_trait]
#[expect(clippy::unwrap_used, reason = "a test's own clock")]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.0.lock().unwrap().as_millis()).unwrap())
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, for_: Duration) {
        self.advance(for_);
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_seconds(951_782_400).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_709_251_199_999).to_string(), "2024-02-29T23:59:59.999Z");
        assert_eq!(Timestamp::from_seconds(4_102_444_800).to_string(), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_deadline_is_only_ever_shortened() {
        let deadline = Deadline::within(Duration::from_secs(5));
        assert!(deadline.at_most(Duration::from_mins(1)) <= deadline);
        assert!(deadline.at_most(Duration::from_millis(1)).remaining() <= Duration::from_millis(1));
    }
}
