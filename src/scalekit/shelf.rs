//! One fetched value, kept: the API token, the provider's metadata, its keys.
//!
//! Many callers who miss it cause one fetch, and share its failure. It is fetched again ahead of its end; while the
//! old one lives, a fetch that fails is nobody's error and nobody waits for it but the caller who tries.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::error::Trouble;
use crate::{
    clock::{Deadline, SharedClock},
    login::ErrorClass,
};

/// What a caller spends at most on an early renewal: the value in hand still serves.
const EARLY_RENEWAL: Duration = Duration::from_secs(1);

/// How long a failed early renewal is not tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// A value as fetched.
pub(super) struct Fetched<T> {
    pub(super) value: T,
    /// After this it is fetched again on use.
    pub(super) renew_after: Duration,
    /// After this it is not used any more.
    pub(super) keep_for: Duration,
}

/// The place of one value.
pub(super) struct Shelf<T> {
    clock: SharedClock,
    state: Mutex<State<T>>,
    fetching: tokio::sync::Mutex<()>,
}

struct State<T> {
    kept: Option<Kept<T>>,
    /// Fetches that came to an end.
    attempts: u64,
    /// When the last one ended that was made although there was a value.
    asked_again_at: Option<Duration>,
    failure: Option<(ErrorClass, String)>,
}

/// Why a value is fetched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There is none, or its end is near.
    Due,
    /// The one in hand was not enough for somebody.
    AskedAgain,
}

struct Kept<T> {
    value: Arc<T>,
    renew_from: Duration,
    ends: Duration,
}

impl<T> Shelf<T> {
    pub(super) fn new(clock: SharedClock) -> Self {
        let state = State { kept: None, attempts: 0, asked_again_at: None, failure: None };
        Self { clock, state: Mutex::new(state), fetching: tokio::sync::Mutex::new(()) }
    }

    /// The value, fetched where there is none or its end is near.
    pub(super) async fn get<F, Fut>(&self, deadline: Deadline, fetch: F) -> Result<Arc<T>, Trouble>
    where
        F: FnOnce(Deadline) -> Fut,
        Fut: Future<Output = Result<Fetched<T>, Trouble>>,
    {
        let (kept, is_due, seen) = self.look();
        match kept {
            Some(value) if !is_due => Ok(value),
            Some(value) => {
                let Ok(_turn) = self.fetching.try_lock() else { return Ok(value) };
                // Somebody else may have finished between the look and the turn.
                if self.state().attempts != seen {
                    return Ok(self.peek().unwrap_or(value));
                }
                let fetched = self.run(fetch(deadline.at_most(EARLY_RENEWAL)), Reason::Due).await;
                Ok(fetched.unwrap_or(value))
            }
            None => self.fetch_in_turn(seen, deadline, fetch, Reason::Due).await,
        }
    }

    /// Fetches although there is a value, unless that was tried within `pause`; `None` then. A regular fetch starts no
    /// pause: what changes right after it must be found.
    pub(super) async fn fetch_again<F, Fut>(
        &self,
        pause: Duration,
        deadline: Deadline,
        fetch: F,
    ) -> Option<Result<Arc<T>, Trouble>>
    where
        F: FnOnce(Deadline) -> Fut,
        Fut: Future<Output = Result<Fetched<T>, Trouble>>,
    {
        let now = self.clock.monotonic();
        let (seen, asked_again_at) = {
            let state = self.state();
            (state.attempts, state.asked_again_at)
        };
        if asked_again_at.is_some_and(|at| now.saturating_sub(at) < pause) {
            return None;
        }
        Some(self.fetch_in_turn(seen, deadline, fetch, Reason::AskedAgain).await)
    }

    /// Gives up a value the other side does not accept any more; a newer one stays.
    pub(super) fn forget(&self, value: &Arc<T>) {
        let mut state = self.state();
        if state.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.value, value)) {
            state.kept = None;
        }
    }

    /// The value, if there is one that still serves.
    pub(super) fn peek(&self) -> Option<Arc<T>> {
        self.look().0
    }

    /// The value, whether it should be fetched again, and how many fetches have ended.
    fn look(&self) -> (Option<Arc<T>>, bool, u64) {
        let now = self.clock.monotonic();
        let state = self.state();
        let kept = state.kept.as_ref().filter(|kept| now < kept.ends);
        let is_due = kept.is_none_or(|kept| now >= kept.renew_from);
        (kept.map(|kept| Arc::clone(&kept.value)), is_due, state.attempts)
    }

    /// Waits for its turn; a fetch that ended meanwhile, well or badly, counts for this caller, too.
    async fn fetch_in_turn<F, Fut>(
        &self,
        seen: u64,
        deadline: Deadline,
        fetch: F,
        reason: Reason,
    ) -> Result<Arc<T>, Trouble>
    where
        F: FnOnce(Deadline) -> Fut,
        Fut: Future<Output = Result<Fetched<T>, Trouble>>,
    {
        let Ok(_turn) = tokio::time::timeout(deadline.remaining(), self.fetching.lock()).await else {
            let class = ErrorClass::Transient { retry_after: None };
            return Err(Trouble::not_sent(class, "no time left while another fetch was under way"));
        };
        if self.state().attempts != seen {
            if let Some((class, problem)) = self.state().failure.clone() {
                return Err(Trouble::not_sent(class, problem));
            }
            if let Some(value) = self.peek() {
                return Ok(value);
            }
        }
        self.run(fetch(deadline), reason).await
    }

    /// Runs a fetch and keeps what it brings. Cancelled, it leaves no trace.
    async fn run(
        &self,
        fetch: impl Future<Output = Result<Fetched<T>, Trouble>>,
        reason: Reason,
    ) -> Result<Arc<T>, Trouble> {
        let started = self.clock.monotonic();
        let result = fetch.await;
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.attempts += 1;
        if reason == Reason::AskedAgain {
            state.asked_again_at = Some(now);
        }
        match result {
            Ok(fetched) => {
                let value = Arc::new(fetched.value);
                state.kept = Some(Kept {
                    value: Arc::clone(&value),
                    renew_from: started + fetched.renew_after,
                    ends: started + fetched.keep_for,
                });
                state.failure = None;
                Ok(value)
            }
            Err(trouble) => {
                state.failure = Some((trouble.class, trouble.problem.clone()));
                if let Some(kept) = &mut state.kept {
                    kept.renew_from = kept.renew_from.max(now + AFTER_FAILURE);
                }
                Err(trouble)
            }
        }
    }

    /// A poisoned lock still holds a whole state: nothing in this file panics half-way.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Shelf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}
