//! The counts behind the limits, as values that decide about one try at a given time.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::CountKey;
use crate::{
    clock::Timestamp,
    config::{AccountLimit, Lockout, Rate, Storm},
    rollout::BasisPoints,
};

/// How much a count matters when there is no room for all.
pub(crate) trait Count {
    /// Whether it keeps somebody out; such a count is forgotten last.
    fn holds_back(&self) -> bool;

    /// When it was last changed.
    fn last(&self) -> Timestamp;
}

/// The failures of an account by strangers, or in one known browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures {
    recent: Vec<Failure>,
    /// Failures beyond the limit; each doubles the wait. They are forgotten after a long quiet only, or whoever
    /// waits it out once a window would begin anew each time.
    beyond: u32,
    last: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    at: Timestamp,
    /// [`super::Guess::pair`].
    pair: CountKey,
    ticket: u64,
    beyond: bool,
    /// The last try before it, for the wait of the next one.
    before: Timestamp,
    /// What came of it is known.
    settled: bool,
}

impl Failures {
    /// Counts a try as a failure, or says how long it has to wait.
    pub(crate) fn take(
        &mut self,
        limit: &AccountLimit,
        (ticket, pair): (u64, CountKey),
        now: Timestamp,
    ) -> Result<(), Duration> {
        self.forget(limit, now);
        let beyond = self.is_beyond(limit);
        if beyond {
            let until = self.last.after(delay(limit, self.beyond));
            if now < until {
                return Err(until.since(now));
            }
            self.beyond = self.beyond.saturating_add(1);
        }
        self.recent.push(Failure { at: now, pair, ticket, beyond, before: self.last, settled: false });
        self.last = now;
        Ok(())
    }

    /// The try failed. Whether the next one has to wait, and this is the first time that it does.
    pub(crate) fn failed(&mut self, limit: &AccountLimit, ticket: u64) -> bool {
        let Some(failure) = self.recent.iter_mut().find(|failure| failure.ticket == ticket) else {
            return false;
        };
        let first = !failure.settled;
        failure.settled = true;
        let settled = self.recent.iter().filter(|failure| failure.settled).count();
        first && settled == usize::try_from(limit.failures).unwrap_or(usize::MAX)
    }

    /// The try was none.
    pub(crate) fn take_back(&mut self, ticket: u64) {
        let taken = self.recent.iter().find(|failure| failure.ticket == ticket && !failure.settled);
        if let Some(failure) = taken.filter(|failure| failure.at == self.last) {
            self.last = failure.before;
        }
        self.remove(|failure| failure.ticket == ticket && !failure.settled);
    }

    /// The password was right: what came from the same address by the same name before was the person, too. Failures
    /// from elsewhere stay, or an attacker could have them forgiven by waiting for the person (SEC-41).
    pub(crate) fn forgive(&mut self, ticket: u64) {
        let Some(pair) = self.recent.iter().find(|failure| failure.ticket == ticket).map(|one| one.pair)
        else {
            return;
        };
        self.remove(|failure| failure.pair == pair && (failure.settled || failure.ticket == ticket));
    }

    /// Whether nobody has said yet what came of the try.
    pub(crate) fn is_open(&self, ticket: u64) -> bool {
        self.recent.iter().any(|failure| failure.ticket == ticket && !failure.settled)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.beyond == 0
    }

    /// Whether nothing here would be looked at any more.
    pub(crate) fn is_over(&self, limit: &AccountLimit, now: Timestamp) -> bool {
        now.since(self.last) >= limit.window + limit.longest_delay
    }

    fn is_beyond(&self, limit: &AccountLimit) -> bool {
        self.beyond > 0 || self.recent.len() >= usize::try_from(limit.failures).unwrap_or(usize::MAX)
    }

    fn forget(&mut self, limit: &AccountLimit, now: Timestamp) {
        if self.is_over(limit, now) {
            self.beyond = 0;
        }
        self.recent.retain(|failure| now.since(failure.at) < limit.window);
    }

    fn remove(&mut self, gone: impl Fn(&Failure) -> bool) {
        let beyond = self.recent.iter().filter(|failure| failure.beyond && gone(failure)).count();
        self.beyond = self.beyond.saturating_sub(u32::try_from(beyond).unwrap_or(u32::MAX));
        self.recent.retain(|failure| !gone(failure));
    }
}

impl Count for Failures {
    fn holds_back(&self) -> bool {
        self.beyond > 0 || self.recent.len() > 1
    }

    fn last(&self) -> Timestamp {
        self.last
    }
}

/// The wait after the limit was met and passed so often.
fn delay(limit: &AccountLimit, beyond: u32) -> Duration {
    let doubled = 2_u32.checked_pow(beyond).and_then(|factor| limit.first_delay.checked_mul(factor));
    doubled.map_or(limit.longest_delay, |delay| delay.min(limit.longest_delay))
}

/// How many failures of one account may reach the legacy side within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) all: u32,
    /// Of those, by strangers: what the person's own devices may need is out of their reach.
    pub(crate) strangers: u32,
    pub(crate) window: Duration,
}

impl From<Lockout> for Budget {
    /// One less than locks, and two thirds of them for strangers.
    fn from(lockout: Lockout) -> Self {
        let all = lockout.failures.saturating_sub(1);
        Self { all, strangers: all - all.div_ceil(3), window: lockout.window }
    }
}

/// The failures of an account that reached the legacy side, where they may lock it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent(Vec<Spend>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spend {
    at: Timestamp,
    ticket: u64,
    known_device: bool,
    settled: bool,
}

impl Spent {
    /// Counts a try as a failure there, or says how long until one is forgotten there.
    pub(crate) fn take(
        &mut self,
        budget: &Budget,
        (ticket, known_device): (u64, bool),
        now: Timestamp,
    ) -> Result<(), Duration> {
        self.0.retain(|spend| now.since(spend.at) < budget.window);
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (all, strangers) = (number(budget.all), number(budget.strangers));
        let oldest = |known: Option<bool>| {
            let of_kind = self.0.iter().filter(|spend| known.is_none_or(|known| spend.known_device == known));
            of_kind.map(|spend| spend.at).min()
        };
        let by_strangers = self.0.iter().filter(|spend| !spend.known_device).count();
        let first_back = match known_device {
            _ if self.0.len() >= all => oldest(None),
            false if by_strangers >= strangers => oldest(Some(false)),
            _ => {
                self.0.push(Spend { at: now, ticket, known_device, settled: false });
                return Ok(());
            }
        };
        Err(first_back.map_or(budget.window, |at| at.after(budget.window).since(now)))
    }

    /// The try failed, or nobody knows.
    pub(crate) fn failed(&mut self, ticket: u64) {
        self.0.iter_mut().filter(|spend| spend.ticket == ticket).for_each(|spend| spend.settled = true);
    }

    /// Nothing reached the legacy side.
    pub(crate) fn take_back(&mut self, ticket: u64) {
        self.0.retain(|spend| spend.ticket != ticket || spend.settled);
    }

    /// A success clears the legacy side's own count; tries still under way may fail after it.
    pub(crate) fn forgive(&mut self, ticket: u64) {
        self.0.retain(|spend| !spend.settled && spend.ticket != ticket);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_over(&self, budget: &Budget, now: Timestamp) -> bool {
        self.0.iter().all(|spend| now.since(spend.at) >= budget.window)
    }
}

impl Count for Spent {
    fn holds_back(&self) -> bool {
        self.0.len() > 1
    }

    fn last(&self) -> Timestamp {
        self.0.iter().map(|spend| spend.at).max().unwrap_or_default()
    }
}

/// What is left of a rate: a bucket that fills evenly and holds one span's worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allowance {
    left: f64,
    at: Timestamp,
}

impl Allowance {
    pub(crate) fn full(rate: Rate, now: Timestamp) -> Self {
        Self { left: f64::from(rate.tries), at: now }
    }

    /// Takes one, or says when there is one again. The rate may be another one each time.
    pub(crate) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let each = rate.per.div_f64(f64::from(rate.tries.max(1)));
        let filled = now.since(self.at).div_duration_f64(each);
        self.left = (self.left + filled).min(f64::from(rate.tries));
        self.at = now.max(self.at);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(each.mul_f64(1.0 - self.left))
    }

    /// Whether it would be full again.
    pub(crate) fn is_over(&self, rate: Rate, now: Timestamp) -> bool {
        now.since(self.at) >= rate.per
    }
}

impl Count for Allowance {
    fn holds_back(&self) -> bool {
        self.left < 1.0
    }

    fn last(&self) -> Timestamp {
        self.at
    }
}

/// The span that a tally looks back, and the pieces it is counted in.
const TALLY_PIECES: usize = 6;
const TALLY_PIECE_SECONDS: u64 = 10;

/// Finished tries of a minute over all accounts, and how many failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally(VecDeque<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    number: u64,
    tries: u32,
    failures: u32,
}

impl Tally {
    /// A try is finished.
    pub(crate) fn count(&mut self, failed: bool, now: Timestamp) {
        let number = self.forget(now);
        if self.0.back().is_none_or(|piece| piece.number != number) {
            self.0.push_back(Piece { number, tries: 0, failures: 0 });
        }
        if let Some(piece) = self.0.back_mut() {
            piece.tries = piece.tries.saturating_add(1);
            piece.failures = piece.failures.saturating_add(u32::from(failed));
        }
    }

    /// Whether there are so many failures, and so few successes, that somebody tries stolen passwords.
    pub(crate) fn is_storm(&mut self, storm: &Storm, now: Timestamp) -> bool {
        self.forget(now);
        let sum = |what: fn(&Piece) -> u32| self.0.iter().map(|piece| u64::from(what(piece))).sum::<u64>();
        let (tries, failures) = (sum(|piece| piece.tries), sum(|piece| piece.failures));
        let all = u64::from(BasisPoints::ALL.get());
        failures > u64::from(storm.failures) && failures * all > tries * u64::from(storm.share.get())
    }

    /// Drops what is older than the span, and gives the piece of now.
    fn forget(&mut self, now: Timestamp) -> u64 {
        let number = now.seconds() / TALLY_PIECE_SECONDS;
        let pieces = u64::try_from(TALLY_PIECES).unwrap_or(u64::MAX);
        while self.0.front().is_some_and(|piece| piece.number + pieces <= number) {
            self.0.pop_front();
        }
        number
    }
}

#[cfg(test)]
mod tests;
