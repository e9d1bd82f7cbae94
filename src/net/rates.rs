//! How often a dependency may be called, counted for all replicas together where the store is shared.
//!
//! A bucket per dependency fills with the configured rate; without one, nothing is limited until the dependency says
//! so itself. Its 429 holds everybody back for as long as it asks and halves the rate, which comes back step by step.
//! Sign-ins may empty the bucket; background work leaves a quarter of it to them.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    clock::{SharedClock, Timestamp},
    config::CallRate,
};

/// What a bucket holds at most: a second's worth, and never less than this.
pub(crate) const LEAST_CAPACITY: f64 = 4.0;

/// A rate that was cut is never lower than this many calls a second: a sign-in needs several.
pub(crate) const LEAST_RATE: f64 = 5.0;

/// Each second gives back this share of what was cut off.
pub(crate) const RECOVERY: f64 = 0.05;

/// How long calls are counted to know the rate that was too much.
const MEASURED: Duration = Duration::from_secs(1);

tokio::task_local! {
    static BACKGROUND: ();
}

/// Runs work that nobody waits for: its calls leave the last part of every bucket to people's sign-ins.
pub(super) async fn in_background<F: Future>(work: F) -> F::Output {
    BACKGROUND.scope((), work).await
}

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    SignIn,
    /// Gets only what is left, and never the last part.
    Background,
}

impl Urgency {
    /// That of the running task.
    pub(crate) fn current() -> Self {
        if BACKGROUND.try_with(|()| ()).is_ok() { Self::Background } else { Self::SignIn }
    }
}

/// Counts calls to dependencies. Like the counts of tries it never fails: where the shared counts cannot be asked, a
/// process goes by its own share.
#[async_trait]
pub(crate) trait Rates: Send + Sync {
    /// Takes one call to a dependency, or says when one may be made.
    async fn take(&self, dependency: &str, rate: Option<CallRate>, urgency: Urgency) -> Result<(), Duration>;

    /// The dependency answered 429 and asked for this pause.
    async fn refused(&self, dependency: &str, rate: Option<CallRate>, pause: Duration);
}

/// The buckets of one process.
pub(crate) struct LocalRates {
    clock: SharedClock,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

impl LocalRates {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, buckets: Mutex::default() }
    }

    fn change<T>(&self, dependency: &str, change: impl FnOnce(&mut Bucket, Timestamp) -> T) -> T {
        let now = Timestamp::default().after(self.clock.monotonic());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        change(buckets.entry(dependency.to_owned()).or_default(), now)
    }
}

#[async_trait]
impl Rates for LocalRates {
    async fn take(&self, dependency: &str, rate: Option<CallRate>, urgency: Urgency) -> Result<(), Duration> {
        self.change(dependency, |bucket, now| bucket.take(rate, urgency, now))
    }

    async fn refused(&self, dependency: &str, rate: Option<CallRate>, pause: Duration) {
        self.change(dependency, |bucket, now| bucket.refused(rate, pause, now));
    }
}

/// What is known of one dependency. `store/redis/rates.lua` does the same; change both together.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    left: f64,
    /// When `left` was that; `None` before the first call.
    at: Option<Timestamp>,
    /// Nobody calls before this.
    until: Timestamp,
    cut: Option<Cut>,
    /// Calls since `since`, and how many there were in the span before.
    calls: f64,
    since: Timestamp,
    before: f64,
}

/// A rate that the dependency did not bear.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Calls a second from `at` on.
    rate: f64,
    /// Where it goes back to.
    goal: f64,
    at: Timestamp,
}

impl Cut {
    /// The rate that it has come back to; `None` when it is all of it.
    fn rate(self, now: Timestamp) -> Option<f64> {
        let rate = self.rate + self.goal * RECOVERY * now.since(self.at).as_secs_f64().floor();
        (rate < self.goal).then_some(rate)
    }
}

impl Bucket {
    fn take(&mut self, rate: Option<CallRate>, urgency: Urgency, now: Timestamp) -> Result<(), Duration> {
        if now < self.until {
            return Err(self.until.since(now));
        }
        self.measure(now);
        let Some(rate) = self.rate(rate, now) else {
            self.calls += 1.0;
            return Ok(());
        };
        let capacity = rate.max(LEAST_CAPACITY);
        let filled = self.at.map_or(capacity, |at| self.left + now.since(at).as_secs_f64() * rate);
        self.left = filled.min(capacity);
        self.at = Some(now);
        let needed = match urgency {
            Urgency::SignIn => 1.0,
            Urgency::Background => 1.0 + capacity / 4.0,
        };
        if self.left < needed {
            return Err(Duration::from_secs_f64((needed - self.left) / rate));
        }
        self.left -= 1.0;
        self.calls += 1.0;
        Ok(())
    }

    fn refused(&mut self, rate: Option<CallRate>, pause: Duration, now: Timestamp) {
        self.measure(now);
        // The answers to calls that were under way when the first 429 came say nothing new.
        if now >= self.until {
            let current = self.rate(rate, now);
            let goal = self.cut.filter(|cut| cut.rate(now).is_some()).map(|cut| cut.goal);
            let measured = self.before.max(self.calls).max(LEAST_RATE * 2.0);
            let goal = goal.or(rate.map(per_second)).unwrap_or(measured);
            let least = LEAST_RATE.min(goal);
            let cut = (current.unwrap_or(measured) / 2.0).max(least);
            self.cut = Some(Cut { rate: cut, goal, at: now.after(pause) });
            self.left = self.left.min(cut);
        }
        self.until = self.until.max(now.after(pause));
    }

    /// Calls a second that may be made now; `None` where nothing limits them.
    fn rate(&mut self, rate: Option<CallRate>, now: Timestamp) -> Option<f64> {
        if let Some(cut) = self.cut.and_then(|cut| cut.rate(now)) {
            return Some(rate.map_or(cut, |rate| per_second(rate).min(cut)));
        }
        self.cut = None;
        rate.map(per_second)
    }

    fn measure(&mut self, now: Timestamp) {
        let passed = now.since(self.since);
        if passed >= MEASURED {
            self.before = if passed < 2 * MEASURED { self.calls } else { 0.0 };
            (self.calls, self.since) = (0.0, now);
        }
    }
}

/// A rate as calls a second.
pub(crate) fn per_second(rate: CallRate) -> f64 {
    f64::from(rate.calls) / rate.per.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_work_that_nobody_waits_for_is_background() {
        assert_eq!(Urgency::current(), Urgency::SignIn);
        assert_eq!(in_background(async { Urgency::current() }).await, Urgency::Background);
        assert_eq!(Urgency::current(), Urgency::SignIn);
    }
}
