//! Rejections leave together (SEC-40): what a look-up or a hash took does not show in when the answer comes.
//!
//! Who is there shows by a tenth of a millisecond as soon as one store is asked more than another, and by a hundred
//! where a store is far away. So each rejection waits for as long as the slower ones of the last minutes took; only
//! those few that take longer still leave when they are done.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::clock::Clock;

/// So many rejections are remembered.
const REMEMBERED: usize = 256;

/// So long each of them counts: a store that was slow for a while is forgotten.
const COUNTS_FOR: Duration = Duration::from_mins(2);

/// Of a hundred rejections, so many leave together.
const TOGETHER: usize = 98;

/// What is added to the slower ones' time: that of a timer and of the way out.
const MARGIN: Duration = Duration::from_millis(1);

/// No answer is held beyond this, however slow the stores are.
const LONGEST: Duration = Duration::from_secs(1);

/// How long the last rejections took.
#[derive(Debug, Default)]
pub(crate) struct Evenly {
    /// When each was there, and how long it took.
    recent: Mutex<VecDeque<(Duration, Duration)>>,
}

impl Evenly {
    /// Waits until a rejection may leave whose sign-in began at `began`, on the monotonic clock.
    pub(super) async fn hold(&self, began: Duration, clock: &dyn Clock) {
        let now = clock.monotonic();
        let took = now.saturating_sub(began);
        let held = self.all_take(took, now).saturating_sub(took);
        if !held.is_zero() {
            clock.sleep(held).await;
        }
    }

    /// How long a rejection takes that took `took` so far.
    fn all_take(&self, took: Duration, now: Duration) -> Duration {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|(at, _)| now.saturating_sub(*at) > COUNTS_FOR) {
            recent.pop_front();
        }
        if recent.len() >= REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((now, took));
        let mut times: Vec<Duration> = recent.iter().map(|(_, took)| *took).collect();
        drop(recent);
        let slower = (times.len() * TOGETHER / 100).min(times.len() - 1);
        let (_, slower, _) = times.select_nth_unstable(slower);
        (*slower + MARGIN).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn quick_and_slow_ones_take_the_same_time() {
        let evenly = Evenly::default();
        for n in 0..200 {
            evenly.all_take(if n % 2 == 0 { 2 * MS } else { 5 * MS }, n * MS);
        }
        assert_eq!(evenly.all_take(2 * MS, 200 * MS), 6 * MS);
        assert_eq!(evenly.all_take(5 * MS, 200 * MS), 6 * MS);
    }

    #[test]
    fn one_slow_answer_in_a_hundred_slows_nobody() {
        let evenly = Evenly::default();
        for n in 0..100 {
            evenly.all_take(if n == 50 { 900 * MS } else { 2 * MS }, n * MS);
        }
        assert_eq!(evenly.all_take(2 * MS, 100 * MS), 3 * MS);
    }

    #[test]
    fn a_slow_hour_is_forgotten_and_an_answer_is_never_held_for_long() {
        let evenly = Evenly::default();
        for n in 0..100 {
            evenly.all_take(4000 * MS, n * MS);
        }
        assert_eq!(evenly.all_take(2 * MS, 100 * MS), LONGEST);
        assert_eq!(evenly.all_take(2 * MS, 2 * COUNTS_FOR), 3 * MS);
    }

    #[test]
    fn no_more_are_remembered_than_needed() {
        let evenly = Evenly::default();
        for n in 0..10_000 {
            evenly.all_take(MS, n * Duration::from_micros(1));
        }
        assert_eq!(evenly.recent.lock().unwrap().len(), REMEMBERED);
    }
}
