//! Counts of tries in this process's memory: bounded, and gone with the process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::{
    clock::{SharedClock, Timestamp},
    config::Guessing,
    login::{
        Allowance, Count, CountKey, Failures, Guess, Limit, Limited, NotForgotten, Settled, Spent, Tally,
        Ticket, Tried, TryCounter,
    },
};

/// The counts of one process.
pub(crate) struct LocalCounts {
    clock: SharedClock,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    /// By account, and by account and known device.
    failures: Bounded<Failures>,
    spent: Bounded<Spent>,
    /// By address or known device.
    rates: Bounded<Allowance>,
    process: Option<Allowance>,
    tally: Tally,
    /// Whether a storm was said to be on.
    is_storm: bool,
    last_ticket: u64,
}

impl LocalCounts {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, all: Mutex::default() }
    }

    /// Spans are measured on the monotonic clock: nobody gets out of a wait by a clock that is put right.
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.clock.monotonic())
    }

    /// Forgets what strangers failed at an account, and what reached the legacy side of it.
    pub(super) fn forget_now(&self, account: CountKey) {
        let mut all = self.all();
        all.failures.0.remove(&account);
        all.spent.0.remove(&account);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a try past the rates that hold for this process; no account knows of it yet.
    pub(super) fn admit(&self, guess: Guess, rules: &Guessing) -> Result<Ticket, Limited> {
        self.all().admit(guess, rules, self.now())
    }

    /// Counts an admitted try that all processes together have granted. Where this one would not have, it knows less:
    /// of a success elsewhere, say; and begins anew.
    pub(super) fn take_granted(&self, ticket: &Ticket, rules: &Guessing) {
        let (mut all, now) = (self.all(), self.now());
        if all.take(ticket, rules, now).is_err() {
            all.forget(&ticket.guess);
            // Whatever the rules are, a first try is within them.
            let _ = all.take(ticket, rules, now);
        }
    }
}

#[async_trait]
impl TryCounter for LocalCounts {
    async fn ask(&self, guess: Guess, rules: &Guessing) -> Result<Ticket, Limited> {
        self.all().ask(guess, rules, self.now())
    }

    async fn settle(&self, ticket: &Ticket, tried: Tried, rules: &Guessing) -> Settled {
        self.all().settle(ticket, tried, rules, self.now())
    }

    async fn forget(&self, accounts: &[CountKey]) -> Result<(), NotForgotten> {
        for account in accounts {
            self.forget_now(*account);
        }
        Ok(())
    }
}

impl All {
    fn ask(&mut self, guess: Guess, rules: &Guessing, now: Timestamp) -> Result<Ticket, Limited> {
        let ticket = self.admit(guess, rules, now)?;
        if let Err(refused) = self.take(&ticket, rules, now) {
            self.take_back(&ticket);
            return Err(refused);
        }
        Ok(ticket)
    }

    fn admit(&mut self, guess: Guess, rules: &Guessing, now: Timestamp) -> Result<Ticket, Limited> {
        let limited = |by| move |wait| Limited { by, wait };
        // A known device has a rate of its own, whoever else shares its address.
        let (rate, by) = match guess.device {
            None if self.tally.is_storm(&rules.storm, now) => (rules.storm.address, Limit::Storm),
            _ => (rules.address, Limit::Address),
        };
        let from = guess.device.unwrap_or(guess.address);
        let rates = self.rates.room(rules.entries, |rate| rate.is_over(rules.address, now));
        let allowance = rates.entry(from).or_insert_with(|| Allowance::full(rules.address, now));
        allowance.take(rate, now).map_err(limited(by))?;
        // After the address: what one address has too much takes nothing from the others.
        let process = self.process.get_or_insert_with(|| Allowance::full(rules.process, now));
        process.take(rules.process, now).map_err(limited(Limit::Process))?;
        self.last_ticket += 1;
        Ok(Ticket { guess, id: self.last_ticket })
    }

    /// Counts a try at its accounts; what was counted before a refusal is left for the caller to take back.
    fn take(&mut self, ticket: &Ticket, rules: &Guessing, now: Timestamp) -> Result<(), Limited> {
        let guess = &ticket.guess;
        for account in &guess.accounts {
            let limit = &rules.account;
            let failures = self.failures.room(rules.entries, |failures| failures.is_over(limit, now));
            let count = failures.entry(own(*account, guess)).or_default();
            count
                .take(limit, (ticket.id, guess.pair), now)
                .map_err(|wait| Limited { by: Limit::Account, wait })?;
            let Some(budget) = &guess.lockout else { continue };
            let spent = self.spent.room(rules.entries, |spent| spent.is_over(budget, now));
            let taken =
                spent.entry(*account).or_default().take(budget, (ticket.id, guess.device.is_some()), now);
            taken.map_err(|wait| Limited { by: Limit::Lockout, wait })?;
        }
        Ok(())
    }

    fn take_back(&mut self, ticket: &Ticket) {
        for account in &ticket.guess.accounts {
            let own = own(*account, &ticket.guess);
            self.failures.change(own, |failures| failures.take_back(ticket.id), Failures::is_empty);
            self.spent.change(*account, |spent| spent.take_back(ticket.id), Spent::is_empty);
        }
    }

    /// Forgets what is counted at the accounts of a try.
    fn forget(&mut self, guess: &Guess) {
        for account in &guess.accounts {
            self.failures.0.remove(&own(*account, guess));
            self.spent.0.remove(account);
        }
    }

    fn settle(&mut self, ticket: &Ticket, tried: Tried, rules: &Guessing, now: Timestamp) -> Settled {
        let mut settled = Settled::default();
        let guess = &ticket.guess;
        let mut counts =
            guess.accounts.iter().filter_map(|account| self.failures.0.get(&own(*account, guess)));
        if !counts.any(|failures| failures.is_open(ticket.id)) {
            return settled;
        }
        for account in &ticket.guess.accounts {
            let own = own(*account, &ticket.guess);
            match tried {
                Tried::Right => {
                    self.failures.change(own, |failures| failures.forgive(ticket.id), Failures::is_empty);
                    self.spent.change(*account, |spent| spent.forgive(ticket.id), Spent::is_empty);
                }
                Tried::Wrong => {
                    if let Some(failures) = self.failures.0.get_mut(&own) {
                        settled.locked_out |= failures.failed(&rules.account, ticket.id);
                    }
                    self.spent.change(*account, |spent| spent.failed(ticket.id), Spent::is_empty);
                }
                Tried::Unanswered => {
                    self.failures.change(own, |failures| failures.take_back(ticket.id), Failures::is_empty);
                    self.spent.change(*account, |spent| spent.failed(ticket.id), Spent::is_empty);
                }
                Tried::Unasked => {}
            }
        }
        if tried == Tried::Unasked {
            self.take_back(ticket);
        }
        if ticket.guess.device.is_none() && matches!(tried, Tried::Right | Tried::Wrong) {
            self.tally.count(tried == Tried::Wrong, now);
        }
        let is_storm = self.tally.is_storm(&rules.storm, now);
        if is_storm != self.is_storm {
            self.is_storm = is_storm;
            settled.storm = Some(is_storm);
        }
        settled
    }
}

/// The count of an account that a try goes by: the account's own, or that of one known device.
fn own(account: CountKey, guess: &Guess) -> CountKey {
    guess.device.map_or(account, |device| account.with(device))
}

/// Counts by key, never more than a bound.
struct Bounded<T>(HashMap<CountKey, T>);

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Count> Bounded<T> {
    /// The counts, with room for one more. Where there is none, those that are over go first, then those that hold
    /// nobody back, the longest unchanged before the others; an eighth at a time, so that it is done rarely.
    fn room(&mut self, most: usize, is_over: impl Fn(&T) -> bool) -> &mut HashMap<CountKey, T> {
        if self.0.len() >= most {
            self.0.retain(|_, count| !is_over(count));
            let wanted = most - most / 8;
            if self.0.len() > wanted {
                let mut worth: Vec<_> =
                    self.0.iter().map(|(key, count)| (count.holds_back(), count.last(), *key)).collect();
                worth.sort_unstable();
                for (_, _, key) in worth.iter().take(self.0.len() - wanted) {
                    self.0.remove(key);
                }
                tracing::warn!(
                    most,
                    "counts of sign-in tries were forgotten for want of room (guessing.entries)"
                );
            }
        }
        &mut self.0
    }

    fn change(&mut self, key: CountKey, change: impl FnOnce(&mut T), is_empty: impl FnOnce(&T) -> bool) {
        if let Some(count) = self.0.get_mut(&key) {
            change(count);
            if is_empty(count) {
                self.0.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::TestClock, login::CountKeys};

    #[test]
    fn counts_are_bounded_and_those_that_hold_back_stay_longest() {
        let clock = TestClock::at(Timestamp::from_seconds(1));
        let counts = LocalCounts::new(clock.clone());
        let keys = CountKeys::new(&crate::identity::Secret::new("k".repeat(32)));
        let rules = Guessing {
            entries: 100,
            process: crate::config::Rate { tries: 1_000_000, per: std::time::Duration::from_secs(1) },
            ..Guessing::default()
        };
        let guess = |account: &str, number: u32| Guess {
            accounts: vec![keys.device(account)],
            device: None,
            address: keys.address(std::net::Ipv4Addr::from(number).into()),
            pair: keys.address(std::net::Ipv4Addr::from(number).into()),
            lockout: Some(crate::config::Lockout { failures: 1000, window: rules.account.window }.into()),
        };
        let ask = |account: &str, number| counts.all().ask(guess(account, number), &rules, counts.now());
        for number in 0..10 {
            ask("attacked", number).unwrap();
        }
        for number in 0..2000 {
            clock.advance(std::time::Duration::from_millis(1));
            ask(&number.to_string(), 1000 + number).unwrap();
            let all = counts.all();
            for size in [all.failures.0.len(), all.spent.0.len(), all.rates.0.len()] {
                assert!(size <= 100, "{size}");
            }
        }
        assert_eq!(ask("attacked", 5000).unwrap_err().by, Limit::Account);
    }
}
