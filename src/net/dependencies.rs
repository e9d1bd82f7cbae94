//! What this process knows of those it depends on: each has a name, a breaker, a bound and a rate (REL-20, REL-21).
//!
//! [`Dependencies`] is the list, [`Turnstile`] the way to one of them: everything that calls out goes through one, and
//! what one dependency does to its callers never reaches those of another.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use http::HeaderValue;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    breaker::{Admission, Breaker, Probes, Stand, Told},
    rates::{LocalRates, Rates, Urgency},
    rotating::Rotating,
};
use crate::{
    clock::{Deadline, SharedClock},
    config::CallRate,
};

/// How many calls to one dependency are under way at a time: more of them wait.
pub(super) const CALLS_AT_A_TIME: usize = 256;

/// The longest that a call waits for its turn, within its own time. Whoever waits longer stands behind a dependency
/// that hangs.
const TURN: Duration = Duration::from_secs(1);

/// Whoever had so long, or half of what a call may take where that is less, and was not answered was kept waiting by
/// the dependency. With less, a caller was late already.
const FAIR_WAIT: Duration = Duration::from_secs(1);

/// So many calls in a row that were not answered, while others wait for their places, mean that it hangs.
const HUNG: u32 = 2;

/// All dependencies of this process. Clones are the same list.
#[derive(Clone)]
pub(crate) struct Dependencies(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    told: Option<Told>,
    local: Arc<dyn Rates>,
    shared: OnceLock<Arc<dyn Rates>>,
    breakers: Mutex<BTreeMap<Arc<str>, Weak<Breaker>>>,
    credentials: Mutex<BTreeMap<String, Placed>>,
}

/// A credential, and where it is for.
struct Placed {
    place: String,
    credential: Weak<Rotating<HeaderValue>>,
}

impl Dependencies {
    /// Of a process that serves.
    pub(crate) fn watched(clock: SharedClock, told: Told) -> Self {
        Self::of(clock, Some(told))
    }

    /// Of somebody who only looks: nothing is told.
    pub(crate) fn unwatched(clock: SharedClock) -> Self {
        Self::of(clock, None)
    }

    fn of(clock: SharedClock, told: Option<Told>) -> Self {
        let local = Arc::new(LocalRates::new(clock.clone()));
        Self(Arc::new(Inner {
            clock,
            told,
            local,
            shared: OnceLock::new(),
            breakers: Mutex::default(),
            credentials: Mutex::default(),
        }))
    }

    /// Counts calls together with the other replicas from now on.
    pub(crate) fn share_rates(&self, rates: Arc<dyn Rates>) {
        // Set once, at the start.
        let _ = self.0.shared.set(rates);
    }

    /// The breaker of a dependency: the one in use where there is one, so that a reload forgets no outage.
    pub(crate) fn breaker(&self, name: &str, probes: Probes) -> Arc<Breaker> {
        let mut breakers = self.0.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = breakers.get(name).and_then(Weak::upgrade) {
            return known;
        }
        let name: Arc<str> = name.into();
        let (clock, told) = (self.0.clock.clone(), self.0.told.clone());
        let breaker = Arc::new(Breaker::new(Arc::clone(&name), clock, probes, told));
        breakers.insert(name, Arc::downgrade(&breaker));
        breaker
    }

    /// The credential for a dependency at this place: the one in use where there is one, with the new value, so that a
    /// reload leaves the old one as the second try. What was for another place is sent to no new one.
    pub(crate) fn credential(
        &self,
        name: &str,
        place: String,
        value: HeaderValue,
    ) -> Arc<Rotating<HeaderValue>> {
        let mut credentials = self.0.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let known = credentials.get(name).filter(|known| known.place == place);
        if let Some(known) = known.and_then(|known| known.credential.upgrade()) {
            known.replace(value);
            return known;
        }
        let credential = Arc::new(Rotating::new(value));
        credentials.insert(name.to_owned(), Placed { place, credential: Arc::downgrade(&credential) });
        credential
    }

    /// How the breakers of all of them stand, by name: `scalekit`, `store`, `legacy okta`, …
    pub(crate) fn stands(&self) -> BTreeMap<String, Stand> {
        let breakers = self.0.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let stand = |(name, breaker): (&Arc<str>, &Weak<Breaker>)| {
            Some((name.to_string(), breaker.upgrade()?.stand()))
        };
        breakers.iter().filter_map(stand).collect()
    }

    fn rates(&self) -> &dyn Rates {
        &**self.0.shared.get().unwrap_or(&self.0.local)
    }
}

impl fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dependencies")
    }
}

/// How a dependency may be called.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// By a fixed or configured name; all that share it share a breaker and a rate.
    pub(crate) name: String,
    pub(crate) rate: Option<CallRate>,
    /// What one call may take.
    pub(crate) timeout: Duration,
    /// How many calls are under way at a time, [`CALLS_AT_A_TIME`] at most: more of them wait, and those who wait too
    /// long say nothing of the dependency.
    pub(crate) at_a_time: usize,
}

/// The way to one dependency.
#[derive(Debug)]
pub(crate) struct Turnstile {
    terms: Terms,
    pub(super) places: Semaphore,
    pub(super) breaker: Arc<Breaker>,
    dependencies: Dependencies,
    silence: Mutex<Silence>,
}

/// Calls that ended without an answer since the last one that had one.
#[derive(Debug, Default)]
struct Silence {
    calls: u32,
    /// When the last of them ended, by the monotonic clock.
    last: Duration,
}

/// Why a call may not be made; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// No time left, or too many calls are under way.
    Crowded,
    /// It failed too often of late.
    Broken,
    /// Its rate is used up, or it asked for a pause; for so long.
    HeldBack(Duration),
}

impl Barred {
    /// What is wrong, as a fixed text.
    pub(crate) const fn problem(self) -> &'static str {
        match self {
            Self::Crowded => "no time left, or too many calls under way",
            Self::Broken => "too many recent failures; not asked for a moment",
            Self::HeldBack(_) => "not asked: its rate limit was reached a moment ago",
        }
    }
}

/// How a call ended, as far as it says something of the dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was answered, with whatever answer.
    Answered,
    /// The dependency is to blame.
    Failed,
    /// No answer came in the time that was left.
    Late,
}

/// A call that may be made; its end is to be told.
#[must_use]
pub(crate) struct Entry<'a> {
    admission: Admission<'a>,
    turnstile: &'a Turnstile,
    /// Whether there was time enough to be answered in.
    is_fair: bool,
    _place: SemaphorePermit<'a>,
}

impl Entry<'_> {
    /// Notes how the call ended. A caller who was late says nothing, and gives a probe to somebody else.
    pub(crate) fn settle(self, end: End) {
        let is_answered = match end {
            End::Answered => true,
            End::Failed => false,
            End::Late if self.is_fair => false,
            End::Late => return,
        };
        self.turnstile.heard(is_answered);
        self.admission.settle(is_answered);
    }
}

impl Turnstile {
    /// The way to a dependency that is called like this.
    pub(crate) fn new(terms: Terms, dependencies: &Dependencies) -> Self {
        Self {
            places: Semaphore::new(terms.at_a_time.clamp(1, CALLS_AT_A_TIME)),
            breaker: dependencies.breaker(&terms.name, Probes::ByCallers),
            dependencies: dependencies.clone(),
            silence: Mutex::default(),
            terms,
        }
    }

    /// Waits for a turn, a moment at most.
    pub(crate) async fn enter(&self, deadline: Deadline) -> Result<Entry<'_>, Barred> {
        let is_patient = deadline.remaining() >= TURN;
        let turn = deadline.at_most(TURN);
        let place = tokio::time::timeout(turn.remaining(), self.places.acquire()).await;
        let Ok(Ok(place)) = place else {
            // Few places, all of them taken by calls that hang: too few end for a breaker, and those turned away are
            // many.
            if is_patient && self.is_silent() {
                self.breaker.turned_away();
            }
            return Err(Barred::Crowded);
        };
        // An outage uses up nobody's rate.
        if self.breaker.refuses() {
            return Err(Barred::Broken);
        }
        self.take(turn).await?;
        if deadline.has_passed() {
            return Err(Barred::Crowded);
        }
        let admission = self.breaker.admit().map_err(|_| Barred::Broken)?;
        let is_fair = deadline.remaining() >= FAIR_WAIT.min(self.terms.timeout / 2);
        Ok(Entry { admission, turnstile: self, is_fair, _place: place })
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls of late were not answered, one after the other, and none was since.
    fn is_silent(&self) -> bool {
        let (now, silence) = (self.dependencies.0.clock.monotonic(), self.silence());
        silence.calls >= HUNG && self.is_recent(&silence, now)
    }

    fn is_recent(&self, silence: &Silence, now: Duration) -> bool {
        now.saturating_sub(silence.last) <= self.terms.timeout + TURN
    }

    /// A call ended.
    fn heard(&self, is_answered: bool) {
        let now = self.dependencies.0.clock.monotonic();
        let mut silence = self.silence();
        let before = if self.is_recent(&silence, now) { silence.calls } else { 0 };
        let calls = if is_answered { 0 } else { before.saturating_add(1) };
        *silence = Silence { calls, last: now };
    }

    async fn take(&self, turn: Deadline) -> Result<(), Barred> {
        let rates = self.dependencies.rates();
        loop {
            let Err(wait) = rates.take(&self.terms.name, self.terms.rate, Urgency::current()).await else {
                return Ok(());
            };
            if wait >= turn.remaining() {
                return Err(Barred::HeldBack(wait));
            }
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// It answered 429 and asked for this pause.
    pub(crate) async fn refused(&self, pause: Duration) {
        self.dependencies.rates().refused(&self.terms.name, self.terms.rate, pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, net::about};

    fn way_to(name: &str, all: &Dependencies) -> Turnstile {
        let terms = Terms { name: name.into(), rate: None, timeout: Duration::from_secs(1), at_a_time: 2 };
        Turnstile::new(terms, all)
    }

    #[tokio::test]
    async fn each_dependency_has_its_own_breaker_and_a_reload_keeps_it() {
        let all = Dependencies::unwatched(SystemClock::shared());
        let (okta, app) = (way_to("legacy okta", &all), way_to("legacy app", &all));
        let soon = || Deadline::within(Duration::from_secs(1));
        for _ in 0..20 {
            okta.enter(soon()).await.ok().unwrap().settle(End::Failed);
        }
        assert_eq!(okta.enter(soon()).await.err(), Some(Barred::Broken));
        assert!(app.enter(soon()).await.is_ok());
        let again = way_to("legacy okta", &all);
        assert_eq!(again.enter(soon()).await.err(), Some(Barred::Broken));
        let stands: Vec<_> = all.stands().into_iter().collect();
        assert_eq!(
            stands,
            [("legacy app".to_owned(), Stand::Closed), ("legacy okta".to_owned(), Stand::Open)]
        );
        drop((okta, again));
        assert_eq!(all.stands().len(), 1, "what is not used any more is not reported");
    }

    /// Few places, so that less than twenty calls end in the window of a breaker while all of them hang.
    #[tokio::test]
    async fn one_that_hangs_is_left_alone_however_few_places_there_are() {
        let all = Dependencies::unwatched(SystemClock::shared());
        let timeout = Duration::from_millis(400);
        let hung = Turnstile::new(Terms { name: "hung".into(), rate: None, timeout, at_a_time: 1 }, &all);
        let ask = |person: u128, answers: Option<Duration>| {
            let hung = &hung;
            let call = async move {
                let entry = hung.enter(Deadline::within(Duration::from_secs(5))).await?;
                tokio::time::sleep(answers.unwrap_or(timeout)).await;
                entry.settle(if answers.is_some() { End::Answered } else { End::Late });
                Ok::<_, Barred>(())
            };
            about(person, call)
        };
        // Slow is not hung: callers of ours wait for one another.
        let answers = Some(timeout * 3 / 4);
        futures_util::future::join_all((0..40).map(|person| ask(person, answers))).await;
        assert_eq!(hung.breaker.stand(), Stand::Closed);
        futures_util::future::join_all((0..40).map(|person| ask(person, None))).await;
        assert_eq!(hung.breaker.stand(), Stand::Open);
    }

    #[tokio::test]
    async fn one_that_asked_for_a_pause_holds_back_its_own_callers_alone() {
        let all = Dependencies::unwatched(SystemClock::shared());
        let (okta, app) = (way_to("legacy okta", &all), way_to("legacy app", &all));
        let soon = || Deadline::within(Duration::from_secs(1));
        okta.refused(Duration::from_secs(30)).await;
        let Some(Barred::HeldBack(wait)) = okta.enter(soon()).await.err() else { panic!("it is called") };
        assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(30), "{wait:?}");
        assert!(app.enter(soon()).await.is_ok());
    }
}
