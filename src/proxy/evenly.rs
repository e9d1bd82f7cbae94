//! Rejections leave together (SEC-40): what a look-up or a hash took does not show in when the answer comes.
//!
//! Who is there shows by a tenth of a millisecond as soon as one store is asked more than another, and by a hundred
//! where a store is far away. So each rejection waits for as long as the slower ones of the last minutes took; only
//! those few that take longer still leave when they are done. The slower ones of each store count by themselves: among
//! thousands of names that nobody has, the few that a distant store judged would be those few.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::Clock, identity::SourceName};

/// So many rejections are remembered of each store.
const REMEMBERED: usize = 256;

/// So long each of them counts: a store that was slow for a while is forgotten, and so is one that judges nobody any
/// more. Long enough that whoever tries names at the rate that an address is granted meets a store's people more often.
const COUNTS_FOR: Duration = Duration::from_mins(10);

/// Of a hundred rejections by one store, so many leave together with all others.
const TOGETHER: usize = 98;

/// What is added to the slower ones' time: that of a timer and of the way out.
const MARGIN: Duration = Duration::from_millis(1);

/// No answer is held beyond this, however slow the stores are.
const LONGEST: Duration = Duration::from_secs(1);

/// How long the last rejections took.
#[derive(Debug, Default)]
pub(crate) struct Evenly {
    /// By the store that judged; of stores that nobody configures any more none is left when their time is over.
    recent: Mutex<BTreeMap<SourceName, Window>>,
}

/// When each rejection of one store was there, and how long it took.
type Window = VecDeque<(Duration, Duration)>;

impl Evenly {
    /// Waits until a rejection may leave whose sign-in began at `began`, on the monotonic clock. What no store judged
    /// (nothing was typed that could be tried) waits like the others, and says nothing of how long they take.
    pub(super) async fn hold(&self, began: Duration, by: Option<&SourceName>, clock: &dyn Clock) {
        let now = clock.monotonic();
        let took = now.saturating_sub(began);
        let held = self.all_take(by, took, now).saturating_sub(took);
        if !held.is_zero() {
            clock.sleep(held).await;
        }
    }

    /// How long a rejection takes that took `took` so far.
    fn all_take(&self, by: Option<&SourceName>, took: Duration, now: Duration) -> Duration {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|_, window| {
            while window.front().is_some_and(|(at, _)| now.saturating_sub(*at) > COUNTS_FOR) {
                window.pop_front();
            }
            !window.is_empty()
        });
        if let Some(by) = by {
            let window = recent.entry(by.clone()).or_default();
            if window.len() >= REMEMBERED {
                window.pop_front();
            }
            window.push_back((now, took));
        }
        let slowest = recent.values().filter_map(slower).max().unwrap_or(took);
        (slowest + MARGIN).min(LONGEST)
    }
}

/// How long a store's slower rejections took.
fn slower(window: &Window) -> Option<Duration> {
    let mut times: Vec<Duration> = window.iter().map(|(_, took)| *took).collect();
    let at = (times.len() * TOGETHER / 100).min(times.len().checked_sub(1)?);
    Some(*times.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How long a rejection of the one store takes, or of the other.
    fn take(evenly: &Evenly, store: &str, took: Duration, now: Duration) -> Duration {
        evenly.all_take(Some(&SourceName::parse(store).unwrap()), took, now)
    }

    #[test]
    fn quick_and_slow_ones_take_the_same_time() {
        let evenly = Evenly::default();
        for n in 0..200 {
            take(&evenly, "crm", if n % 2 == 0 { 2 * MS } else { 5 * MS }, n * MS);
        }
        assert_eq!(take(&evenly, "crm", 2 * MS, 200 * MS), 6 * MS);
        assert_eq!(take(&evenly, "crm", 5 * MS, 200 * MS), 6 * MS);
    }

    #[test]
    fn the_few_of_a_distant_store_hold_all_others() {
        let evenly = Evenly::default();
        for n in 0..250 {
            let (store, took) = if n % 50 == 7 { ("okta", 400 * MS) } else { ("crm", 80 * MS) };
            let takes = take(&evenly, store, took, n * MS);
            assert!(n < 7 || takes == 401 * MS, "the {n}th takes {takes:?}");
        }
        // However many of the others come after it.
        for n in 250..2000 {
            assert_eq!(take(&evenly, "crm", 80 * MS, n * MS), 401 * MS);
        }
    }

    #[test]
    fn one_slow_answer_in_a_hundred_of_a_store_slows_nobody() {
        let evenly = Evenly::default();
        for n in 0..100 {
            take(&evenly, "crm", if n == 50 { 900 * MS } else { 2 * MS }, n * MS);
        }
        assert_eq!(take(&evenly, "crm", 2 * MS, 100 * MS), 3 * MS);
    }

    #[test]
    fn what_no_store_judged_leaves_with_the_others_and_does_not_hurry_them() {
        let evenly = Evenly::default();
        assert_eq!(evenly.all_take(None, MS, MS), 2 * MS);
        take(&evenly, "crm", 80 * MS, MS);
        for n in 0..2000 {
            assert_eq!(evenly.all_take(None, Duration::ZERO, n * MS), 81 * MS);
        }
        assert_eq!(take(&evenly, "crm", 80 * MS, 2000 * MS), 81 * MS);
    }

    #[test]
    fn a_slow_hour_is_forgotten_and_an_answer_is_never_held_for_long() {
        let evenly = Evenly::default();
        for n in 0..100 {
            take(&evenly, "okta", 4000 * MS, n * MS);
        }
        assert_eq!(take(&evenly, "crm", 2 * MS, 100 * MS), LONGEST);
        assert_eq!(take(&evenly, "crm", 2 * MS, 2 * COUNTS_FOR), 3 * MS);
        assert_eq!(
            evenly.recent.lock().unwrap().len(),
            1,
            "a store that judges nobody leaves nothing behind"
        );
    }

    #[test]
    fn no_more_are_remembered_than_needed() {
        let evenly = Evenly::default();
        for n in 0..10_000 {
            take(&evenly, "crm", MS, n * Duration::from_micros(1));
        }
        assert_eq!(evenly.recent.lock().unwrap().values().map(VecDeque::len).sum::<usize>(), REMEMBERED);
    }
}
