//! A breaker: a dependency that keeps failing is left alone for a moment (fault matrix: 50 % of at least 20 calls).
//!
//! Closed, it counts the calls of the last ten seconds; failures of a few people alone are theirs and not the
//! dependency's. Open, it admits nobody until a pause is over; then it admits one probe, whose end decides. A caller
//! that goes away gives its place back without a word about the dependency. Where somebody else probes in the
//! background, no caller ever does.

mod window;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::window::{SLOT, Window};
use super::about::whom;
use crate::{
    clock::SharedClock,
    telemetry::{Audit, Metrics},
};

/// How long an open breaker admits nobody.
const PAUSE: Duration = Duration::from_secs(5);

/// The state of one dependency's breaker.
pub(crate) struct Breaker {
    name: Arc<str>,
    clock: SharedClock,
    probes: Probes,
    told: Option<Told>,
    state: Mutex<State>,
}

/// Where changes of a breaker are told.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) metrics: Metrics,
    pub(crate) audit: Audit,
}

/// Who finds out that a dependency is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probes {
    /// One of the callers, after a pause.
    ByCallers,
    /// A task of its own, which says so by [`Breaker::close`].
    InTheBackground,
}

/// How a breaker stands, for metrics and for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Calls are made.
    Closed,
    /// One call is made to find out.
    HalfOpen,
    /// No calls are made.
    Open,
}

impl Stand {
    /// The word in logs, metrics and answers.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

#[derive(Debug)]
enum State {
    Closed(Box<Window>),
    Open(Pause),
    Probing,
}

/// Nobody is admitted for a while; after it, one probe is.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// A monotonic reading.
    until: Duration,
    /// Whose probe failed. The next one is somebody else's if there is anybody: one person whom the dependency cannot
    /// answer about must not keep it from all.
    after: Option<u128>,
}

impl Pause {
    fn until(self) -> Duration {
        match self.after {
            Some(_) if self.after == whom() => self.until + PAUSE,
            _ => self.until,
        }
    }
}

/// A place to make one call. Dropped without a word, it says nothing about the dependency.
#[must_use]
pub(crate) struct Admission<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_settled: bool,
}

impl State {
    const fn stand(&self) -> Stand {
        match self {
            Self::Closed(_) => Stand::Closed,
            Self::Open(_) => Stand::Open,
            Self::Probing => Stand::HalfOpen,
        }
    }
}

impl Breaker {
    pub(crate) fn new(name: Arc<str>, clock: SharedClock, probes: Probes, told: Option<Told>) -> Self {
        if let Some(told) = &told {
            told.metrics.breaker_stands(&name, Stand::Closed.as_str());
        }
        Self { name, clock, probes, told, state: Mutex::new(State::Closed(Box::default())) }
    }

    /// How it stands.
    pub(crate) fn stand(&self) -> Stand {
        self.state().stand()
    }

    /// Whether a call would be refused now.
    pub(crate) fn refuses(&self) -> bool {
        match *self.state() {
            State::Closed(_) => false,
            State::Open(pause) => {
                self.probes == Probes::InTheBackground || self.clock.monotonic() < pause.until()
            }
            State::Probing => true,
        }
    }

    /// Whoever probes in the background found that the dependency answers.
    pub(crate) fn close(&self) {
        self.change(|_| Some(State::Closed(Box::default())));
    }

    /// A place for a call, or how long to wait before the next one may be made.
    pub(crate) fn admit(&self) -> Result<Admission<'_>, Duration> {
        let now = self.clock.monotonic();
        let mut admitted = Ok(false);
        self.change(|state| match *state {
            State::Closed(_) => None,
            State::Open(pause) if now < pause.until() => {
                admitted = Err(pause.until().saturating_sub(now));
                None
            }
            State::Open(_) if self.probes == Probes::InTheBackground => {
                admitted = Err(SLOT);
                None
            }
            State::Open(_) => {
                admitted = Ok(true);
                Some(State::Probing)
            }
            State::Probing => {
                admitted = Err(SLOT);
                None
            }
        });
        admitted.map(|is_probe| Admission { breaker: self, is_probe, is_settled: false })
    }

    /// A call was not made because those before it are not answered: as good as one that failed.
    pub(crate) fn turned_away(&self) {
        self.record(false, false);
    }

    /// Puts it into another state, if any, and tells of it.
    fn change(&self, next: impl FnOnce(&mut State) -> Option<State>) {
        let mut state = self.state();
        let before = state.stand();
        if let Some(next) = next(&mut state) {
            *state = next;
        }
        let after = state.stand();
        // Told while nobody else can change it, or the last word could be an old one.
        if let Some(told) = self.told.as_ref().filter(|_| before != after) {
            told.metrics.breaker_stands(&self.name, after.as_str());
            told.audit.dependency_changed(&self.name, before.as_str(), after.as_str());
        }
    }

    /// A poisoned lock still holds a whole state: nothing in this file panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom a call is about. What is asked for every person alike, and probed in the background, fails for everybody.
    fn whom(&self) -> Option<u128> {
        match self.probes {
            Probes::ByCallers => whom(),
            Probes::InTheBackground => None,
        }
    }

    fn record(&self, is_probe: bool, succeeded: bool) {
        let now = self.clock.monotonic();
        let open = |after| Some(State::Open(Pause { until: now + PAUSE, after }));
        self.change(|state| match state {
            // A call from before the breaker opened: the probe decides, not a straggler.
            State::Open(_) => None,
            State::Probing if !is_probe => None,
            State::Probing if succeeded => Some(State::Closed(Box::default())),
            State::Probing => open(whom()),
            State::Closed(window) => {
                window.count(now.as_secs(), self.whom(), succeeded);
                if window.is_too_bad(now.as_secs()) { open(None) } else { None }
            }
        });
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
            self.breaker.change(|_| Some(State::Open(Pause { until: now, after: None })));
        }
    }
}

/// A dependency that is not configured any more is not reported any more.
impl Drop for Breaker {
    fn drop(&mut self) {
        if let Some(told) = &self.told {
            told.metrics.breaker_is_gone(&self.name);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name)
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::Future};

    use super::*;
    use crate::{
        clock::{TestClock, Timestamp},
        net::about,
    };

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().unwrap()
    }

    fn breaker() -> (Arc<TestClock>, Breaker) {
        let clock = TestClock::at(Timestamp::from_seconds(1_000));
        (clock.clone(), Breaker::new("test".into(), clock, Probes::ByCallers, None))
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

    fn run_about(breaker: &Breaker, people: impl IntoIterator<Item = u128>, succeeded: bool) {
        for whom in people {
            block_on(about(whom, async { breaker.admit().ok().unwrap().settle(succeeded) }));
        }
    }

    #[test]
    fn failures_of_a_few_people_are_their_own() {
        let (_, breaker) = breaker();
        run_about(&breaker, std::iter::repeat_n([1, 2, 3, 4], 50).flatten(), false);
        assert_eq!(breaker.stand(), Stand::Closed);
        run_about(&breaker, [5], false);
        assert_eq!(breaker.stand(), Stand::Open);
    }

    #[test]
    fn failures_of_many_people_count_while_they_are_in_the_window() {
        let (clock, breaker) = breaker();
        run_about(&breaker, 1..=19, false);
        clock.advance(Duration::from_secs(10));
        run_about(&breaker, std::iter::repeat_n([1, 2, 3, 4], 5).flatten(), false);
        assert_eq!(breaker.stand(), Stand::Closed);
        run(&breaker, 1, false);
        assert_eq!(breaker.stand(), Stand::Open, "a call about nobody is like another person's");
    }

    #[test]
    fn the_probe_after_a_failed_one_is_somebody_elses() {
        let (clock, breaker) = breaker();
        run(&breaker, 20, false);
        clock.advance(PAUSE);
        run_about(&breaker, [1], false);
        clock.advance(PAUSE);
        block_on(about(1, async { assert!(breaker.refuses() && breaker.admit().is_err()) }));
        run_about(&breaker, [2], true);
        assert_eq!(breaker.stand(), Stand::Closed);
        // Where nobody else comes it is theirs after all.
        run(&breaker, 20, false);
        clock.advance(PAUSE);
        run_about(&breaker, [1], false);
        clock.advance(2 * PAUSE);
        run_about(&breaker, [1], true);
        assert_eq!(breaker.stand(), Stand::Closed);
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
    fn nobody_probes_where_the_background_does() {
        let clock = TestClock::at(Timestamp::from_seconds(1_000));
        let breaker = Breaker::new("test".into(), clock.clone(), Probes::InTheBackground, None);
        run(&breaker, 20, false);
        clock.advance(10 * PAUSE);
        assert!(breaker.admit().is_err());
        assert_eq!(breaker.stand(), Stand::Open);
        breaker.close();
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
