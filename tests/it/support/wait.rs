//! Waiting on a fact, never on luck.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine with two cores; a test that waits this long fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks until the answer is there, and fails with `what` when it does not come in time.
pub(crate) fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

#[expect(clippy::disallowed_methods, reason = "the one place of the tests that waits and reads a clock")]
pub(crate) fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A reading of the clock, for [`since`].
#[expect(clippy::disallowed_methods, reason = "the one place of the tests that waits and reads a clock")]
pub(crate) fn reading() -> Instant {
    Instant::now()
}

/// How long ago a reading was taken.
pub(crate) fn since(reading: Instant) -> Duration {
    reading.elapsed()
}
