//! What every store of counts has to keep.

use std::{net::IpAddr, time::Duration};

use crate::{
    clock::{TestClock, Timestamp},
    config::{AccountLimit, Guessing, Lockout, Rate, Storm},
    identity::{LoginName, Secret},
    login::{CountKey, CountKeys, Guess, Limit, Limited, Settled, Ticket, Tried, TryCounter},
    rollout::BasisPoints,
    store::LocalCounts,
};

/// Short enough to be waited for where the time is not ours.
pub(super) fn rules() -> Guessing {
    let second = Duration::from_secs(1);
    Guessing {
        account: AccountLimit {
            failures: 3,
            window: 20 * second,
            first_delay: second,
            longest_delay: 4 * second,
        },
        address: Rate { tries: 1000, per: second },
        process: Rate { tries: 10_000, per: second },
        storm: Storm {
            failures: 1000,
            share: BasisPoints::new(5000).unwrap(),
            address: Rate { tries: 2, per: second },
        },
        entries: 10_000,
    }
}

fn keys() -> CountKeys {
    CountKeys::new(&Secret::new("k".repeat(32)))
}

pub(super) fn account(name: &str) -> CountKey {
    keys().typed(&LoginName::parse(name).unwrap())
}

/// A try of an account from `192.0.2.n`.
pub(super) fn guess(name: &str, n: u8) -> Guess {
    let address = keys().address(IpAddr::from([192, 0, 2, n]));
    let pair = address.with(keys().spelled(&LoginName::parse(name).unwrap()));
    Guess { accounts: vec![account(name)], device: None, address, pair, lockout: None }
}

fn on_device(device: &str, guess: Guess) -> Guess {
    Guess { device: Some(keys().device(device)), ..guess }
}

struct Suite<'a> {
    counts: &'a dyn TryCounter,
    rules: Guessing,
    wait: &'a dyn Fn(Duration),
}

impl Suite<'_> {
    async fn ask(&self, guess: Guess) -> Result<Ticket, Limited> {
        self.counts.ask(guess, &self.rules).await
    }

    async fn tries(&self, guess: Guess, tried: Tried) -> Settled {
        let ticket = self.ask(guess).await.unwrap();
        self.counts.settle(&ticket, tried, &self.rules).await
    }

    async fn fails(&self, guess: Guess, times: usize) {
        for _ in 0..times {
            self.tries(guess.clone(), Tried::Wrong).await;
        }
    }

    async fn refusal(&self, guess: Guess) -> Option<Limit> {
        match self.ask(guess).await {
            Ok(ticket) => {
                self.counts.settle(&ticket, Tried::Unasked, &self.rules).await;
                None
            }
            Err(limited) => Some(limited.by),
        }
    }
}

/// The contract of [`TryCounter`]; `wait` lets time pass for the store.
pub(super) async fn counts(counts: &dyn TryCounter, wait: &dyn Fn(Duration)) {
    let mut suite = Suite { counts, rules: rules(), wait };
    an_account_waits_whoever_tries(&suite).await;
    a_success_clears_its_own_pair(&suite).await;
    a_look_alikes_success_clears_nothing(&suite).await;
    known_devices_are_apart(&suite).await;
    tries_at_once_are_counted(&suite).await;
    no_account_is_locked_elsewhere(&suite).await;
    an_operators_word_ends_a_wait(&suite).await;
    rates_hold(&mut suite).await;
}

async fn an_account_waits_whoever_tries(suite: &Suite<'_>) {
    suite.fails(guess("ann", 1), 2).await;
    assert!(suite.tries(guess("ann", 2), Tried::Wrong).await.locked_out, "the third");
    let refused = suite.ask(guess("ann", 3)).await.unwrap_err();
    assert!(refused.by == Limit::Account && refused.wait <= Duration::from_secs(1), "{refused:?}");
    assert_eq!(suite.refusal(guess("bob", 1)).await, None, "another account from there");
    (suite.wait)(refused.wait);
    suite.fails(guess("ann", 3), 1).await;
    let refused = suite.ask(guess("ann", 3)).await.unwrap_err();
    assert!(refused.wait > Duration::from_millis(1500), "twice as long: {refused:?}");
    // One of two names is enough, and neither is charged for a refusal.
    let both = Guess { accounts: vec![account("eve"), account("ann")], ..guess("eve", 4) };
    for _ in 0..5 {
        assert_eq!(suite.refusal(both.clone()).await, Some(Limit::Account));
    }
    assert_eq!(suite.refusal(guess("eve", 4)).await, None);
}

async fn a_success_clears_its_own_pair(suite: &Suite<'_>) {
    suite.fails(guess("cat", 1), 1).await;
    suite.fails(guess("cat", 2), 1).await;
    suite.tries(guess("cat", 1), Tried::Right).await;
    suite.fails(guess("cat", 1), 1).await;
    assert_eq!(suite.refusal(guess("cat", 1)).await, None, "two failures are left");
    suite.fails(guess("cat", 1), 1).await;
    assert_eq!(suite.refusal(guess("cat", 1)).await, Some(Limit::Account));
}

async fn a_look_alikes_success_clears_nothing(suite: &Suite<'_>) {
    suite.fails(guess("leo", 1), 2).await;
    suite.tries(guess("l\u{e9}o", 1), Tried::Right).await;
    suite.fails(guess("leo", 1), 1).await;
    assert_eq!(suite.refusal(guess("leo", 1)).await, Some(Limit::Account));
    suite.fails(guess("mia", 1), 2).await;
    suite.tries(guess("mia", 1), Tried::Right).await;
    suite.fails(guess("mia", 1), 2).await;
    assert_eq!(suite.refusal(guess("mia", 1)).await, None);
}

async fn known_devices_are_apart(suite: &Suite<'_>) {
    suite.fails(guess("dan", 1), 3).await;
    assert_eq!(suite.refusal(guess("dan", 2)).await, Some(Limit::Account));
    let (own, other) = (on_device("a", guess("dan", 1)), on_device("b", guess("dan", 1)));
    suite.fails(own.clone(), 3).await;
    assert_eq!(suite.refusal(own).await, Some(Limit::Account), "its own failures count");
    assert_eq!(suite.refusal(other).await, None);
}

async fn tries_at_once_are_counted(suite: &Suite<'_>) {
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(suite.ask(guess("fay", 1)).await.unwrap());
    }
    assert_eq!(suite.refusal(guess("fay", 1)).await, Some(Limit::Account));
    suite.counts.settle(&tickets[0], Tried::Unasked, &suite.rules).await;
    assert_eq!(suite.refusal(guess("fay", 1)).await, None);
    // What is settled stays settled.
    suite.counts.settle(&tickets[1], Tried::Wrong, &suite.rules).await;
    suite.counts.settle(&tickets[1], Tried::Unasked, &suite.rules).await;
    suite.counts.settle(&tickets[0], Tried::Wrong, &suite.rules).await;
    suite.fails(guess("fay", 1), 1).await;
    assert_eq!(suite.refusal(guess("fay", 1)).await, Some(Limit::Account));
}

async fn no_account_is_locked_elsewhere(suite: &Suite<'_>) {
    let lockout = Some(Lockout { failures: 4, window: Duration::from_secs(10) }.into());
    let gil = |n| Guess { lockout, ..guess("gil", n) };
    // Three may reach it: two by strangers, one more by the person's own browser.
    suite.tries(gil(1), Tried::Unanswered).await;
    suite.fails(gil(2), 1).await;
    let refused = suite.ask(gil(3)).await.unwrap_err();
    assert_eq!(refused.by, Limit::Lockout);
    suite.fails(on_device("a", gil(3)), 1).await;
    assert_eq!(suite.refusal(on_device("a", gil(3))).await, Some(Limit::Lockout));
    (suite.wait)(refused.wait);
    assert_eq!(suite.refusal(gil(3)).await, None);
    // The legacy side counts anew after a success.
    let hal = |n| Guess { lockout, ..guess("hal", n) };
    suite.fails(hal(1), 2).await;
    suite.tries(on_device("b", hal(1)), Tried::Right).await;
    suite.tries(hal(2), Tried::Unanswered).await;
    suite.tries(hal(2), Tried::Unanswered).await;
    assert_eq!(suite.refusal(hal(2)).await, Some(Limit::Lockout));
}

async fn an_operators_word_ends_a_wait(suite: &Suite<'_>) {
    let lockout = Some(Lockout { failures: 4, window: Duration::from_secs(10) }.into());
    let ned = |n| Guess { lockout, ..guess("ned", n) };
    for _ in 0..2 {
        suite.fails(ned(1), 2).await;
        suite.fails(guess("ora", 1), 3).await;
        suite.fails(guess("pam", 1), 2).await;
        assert_eq!(suite.refusal(ned(2)).await, Some(Limit::Lockout));
        assert_eq!(suite.refusal(guess("ora", 2)).await, Some(Limit::Account));
        suite.counts.forget(&[account("ned"), account("ora")]).await.unwrap();
        assert_eq!(suite.refusal(ned(2)).await, None);
        assert_eq!(suite.refusal(guess("ora", 2)).await, None);
        suite.fails(guess("pam", 1), 1).await;
        assert_eq!(suite.refusal(guess("pam", 2)).await, Some(Limit::Account), "of her nothing was said");
        suite.counts.forget(&[account("pam")]).await.unwrap();
    }
}

async fn rates_hold(suite: &mut Suite<'_>) {
    suite.rules.address = Rate { tries: 5, per: Duration::from_secs(5) };
    for n in 0..5 {
        assert_eq!(suite.refusal(guess(&format!("p{n}"), 200)).await, None);
    }
    let refused = suite.ask(guess("p5", 200)).await.unwrap_err();
    assert!(refused.by == Limit::Address && refused.wait <= Duration::from_secs(1), "{refused:?}");
    assert_eq!(suite.refusal(guess("p5", 201)).await, None);
    assert_eq!(suite.refusal(on_device("c", guess("p5", 200))).await, None, "it shares the address only");
    let nobody = Guess { accounts: Vec::new(), ..guess("p5", 200) };
    assert_eq!(suite.refusal(nobody).await, Some(Limit::Address));

    // A storm makes it stricter for strangers, until it is over.
    suite.rules.storm.failures = 10;
    suite.rules.account.failures = 1000;
    let mut changes = Vec::new();
    for n in 0..12 {
        changes.extend(suite.tries(guess("ivy", 100 + n), Tried::Wrong).await.storm);
    }
    assert_eq!(changes, [true]);
    for (limit, times) in [(None, 2), (Some(Limit::Storm), 3)] {
        for _ in 0..times {
            assert_eq!(suite.refusal(guess("jon", 150)).await, limit);
        }
    }
    assert_eq!(suite.refusal(on_device("d", guess("jon", 150))).await, None);
    (suite.wait)(Duration::from_secs(61));
    assert_eq!(suite.tries(guess("jon", 150), Tried::Right).await.storm, Some(false));

    suite.rules.process = Rate { tries: 3, per: Duration::from_secs(3) };
    let mut refused = None;
    for n in 0..4 {
        refused = suite.refusal(guess("kim", 50 + n)).await;
    }
    assert_eq!(refused, Some(Limit::Process));
}

#[tokio::test]
async fn a_process_keeps_the_contract_of_counts() {
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    counts(&LocalCounts::new(clock.clone()), &|by| clock.advance(by)).await;
}
