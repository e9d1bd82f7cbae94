//! A breaker: a dependency that keeps failing is left alone for a moment (fault matrix: 50 % of at least 20 calls).
//!
//! Closed, it counts the calls of the last ten seconds. Open, it admits nobody until a pause is over; then it admits
//! one probe, whose end decides. A caller that goes away gives its place back without a word about the dependency.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::clock::SharedClock;

/// The window is this many slots of [`SLOT`] each.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);
/// Fewer calls than this say nothing.
const LEAST_CALLS: u32 = 20;
/// How long an open breaker admits nobody.
const PAUSE: Duration = Duration::from_secs(5);

/// The state of one dependency's breaker.
pub(crate) struct Breaker {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed(Window),
    /// Nobody is admitted before this monotonic reading; after it, one probe is.
    Open {
        until: Duration,
    },
    Probing,
}

/// Calls of the last ten seconds, by the second in which they ended.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which second, counted on the monotonic clock.
    second: u64,
    calls: u32,
    failures: u32,
}

/// A place to make one call. Dropped without a word, it says nothing about the dependency.
#[must_use]
pub(crate) struct Admission<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, state: Mutex::new(State::Closed(Window::default())) }
    }

    /// A place for a call, or how long to wait before the next one may be made.
    pub(crate) fn admit(&self) -> Result<Admission<'_>, Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let is_probe = match *state {
            State::Closed(_) => false,
            State::Open { until } if now < until => return Err(until.saturating_sub(now)),
            State::Open { .. } => {
                *state = State::Probing;
                true
            }
            State::Probing => return Err(SLOT),
        };
        Ok(Admission { breaker: self, is_probe, is_settled: false })
    }

    /// A poisoned lock still holds a whole state: nothing in this file panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, is_probe: bool, succeeded: bool) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        match &mut *state {
            // A call from before the breaker opened: the probe decides, not a straggler.
            State::Open { .. } => {}
            State::Probing if !is_probe => {}
            State::Probing if succeeded => *state = State::Closed(Window::default()),
            State::Probing => *state = State::Open { until: now + PAUSE },
            State::Closed(window) => {
                window.count(now.as_secs(), succeeded);
                if window.is_too_bad(now.as_secs()) {
                    *state = State::Open { until: now + PAUSE };
                }
            }
        }
    }
}

impl Admission<'_> {
    /// Notes how the call ended.
    pub(crate) fn settle(mut self, succeeded: bool) {
        self.is_settled = true;
        self.breaker.record(self.is_probe, succeeded);
    }
}

/// The probe's place is free again at once: a cancelled caller must not keep the breaker open for good.
impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            let now = self.breaker.clock.monotonic();
            *self.breaker.state() = State::Open { until: now };
        }
    }
}

impl Window {
    fn count(&mut self, second: u64, succeeded: bool) {
        let at = usize::try_from(second % SLOTS as u64).unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(at) {
            if slot.second != second {
                *slot = Slot { second, ..Slot::default() };
            }
            slot.calls = slot.calls.saturating_add(1);
            slot.failures = slot.failures.saturating_add(u32::from(!succeeded));
        }
    }

    fn is_too_bad(&self, second: u64) -> bool {
        let recent = self.slots.iter().filter(|slot| slot.second + SLOTS as u64 > second);
        let (calls, failures) = recent
            .fold((0_u32, 0_u32), |(c, f), s| (c.saturating_add(s.calls), f.saturating_add(s.failures)));
        calls >= LEAST_CALLS && failures.saturating_mul(2) >= calls
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("state", &*self.state()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{TestClock, Timestamp};

    fn breaker() -> (Arc<TestClock>, Breaker) {
        let clock = TestClock::at(Timestamp::from_seconds(1_000));
        (clock.clone(), Breaker::new(clock))
    }

    fn run(breaker: &Breaker, calls: u32, succeeded: bool) {
        for _ in 0..calls {
            breaker.admit().ok().unwrap().settle(succeeded);
        }
    }

    #[test]
    fn half_of_twenty_calls_open_it_and_less_does_not() {
        let (_, few) = breaker();
        run(&few, 19, false);
        assert!(few.admit().is_ok());

        let (_, good) = breaker();
        run(&good, 11, true);
        run(&good, 10, false);
        assert!(good.admit().is_ok());

        let (_, bad) = breaker();
        run(&bad, 10, true);
        run(&bad, 10, false);
        assert_eq!(bad.admit().err(), Some(PAUSE));
    }

    #[test]
    fn failures_are_forgotten_after_the_window() {
        let (clock, breaker) = breaker();
        run(&breaker, 19, false);
        clock.advance(Duration::from_secs(10));
        run(&breaker, 1, false);
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn one_probe_decides_after_the_pause() {
        let (clock, breaker) = breaker();
        run(&breaker, 20, false);
        clock.advance(PAUSE);
        let probe = breaker.admit().ok().unwrap();
        assert!(breaker.admit().is_err(), "one probe at a time");
        probe.settle(false);
        assert!(breaker.admit().is_err());
        clock.advance(PAUSE);
        breaker.admit().ok().unwrap().settle(true);
        run(&breaker, 19, false);
        assert!(breaker.admit().is_ok(), "counting began anew");
    }

    #[test]
    fn a_probe_that_is_cancelled_gives_its_place_back() {
        let (clock, breaker) = breaker();
        run(&breaker, 20, false);
        clock.advance(PAUSE);
        drop(breaker.admit().ok().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn a_straggler_does_not_speak_for_the_probe() {
        let (clock, breaker) = breaker();
        let straggler = breaker.admit().ok().unwrap();
        run(&breaker, 20, false);
        clock.advance(PAUSE);
        let _probe = breaker.admit().ok().unwrap();
        straggler.settle(true);
        assert!(breaker.admit().is_err());
    }
}
