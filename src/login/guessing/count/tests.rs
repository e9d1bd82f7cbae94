use super::*;
use crate::{config::Guessing, identity::Secret, login::guessing::CountKeys};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

fn address(number: u8) -> CountKey {
    CountKeys::new(&Secret::new("k".repeat(32))).address([192, 0, 2, number].into())
}

fn limit() -> AccountLimit {
    Guessing::default().account
}

/// Failures so many seconds after the start, each with its own ticket and from one address.
fn failures(seconds: impl IntoIterator<Item = u64>) -> Failures {
    let mut failures = Failures::default();
    for (ticket, second) in (0..).zip(seconds) {
        failures.take(&limit(), (ticket, address(1)), at(second)).unwrap();
        failures.failed(&limit(), ticket);
    }
    failures
}

#[test]
fn after_ten_failures_each_try_waits_twice_as_long_up_to_the_longest() {
    let mut failures = failures(0..10);
    let (mut now, mut ticket) = (9, 100);
    for wait in [30, 60, 120, 240, 480, 900, 900, 900] {
        let refused = failures.take(&limit(), (ticket, address(1)), at(now)).unwrap_err();
        assert_eq!(refused, Duration::from_secs(wait), "after {now} s");
        let just_before = failures.take(&limit(), (ticket, address(1)), at(now + wait - 1));
        assert_eq!(just_before, Err(Duration::from_secs(1)));
        now += wait;
        failures.take(&limit(), (ticket, address(1)), at(now)).unwrap();
        failures.failed(&limit(), ticket);
        ticket += 1;
    }
}

#[test]
fn failures_of_more_than_a_window_ago_do_not_count() {
    let mut failures = failures((0..9).map(|n| n * 101));
    for (ticket, second, free) in [(20, 899, true), (21, 900, true), (22, 901, false)] {
        assert_eq!(failures.take(&limit(), (ticket, address(1)), at(second)).is_ok(), free, "{second}");
    }
}

#[test]
fn a_waited_out_limit_begins_anew_only_after_a_long_quiet() {
    let mut failures = failures((0..10).chain([40, 100]));
    // A window later the ten are forgotten, and the wait is still the one after two too many.
    assert_eq!(failures.take(&limit(), (50, address(1)), at(101)), Err(Duration::from_secs(119)));
    failures.take(&limit(), (51, address(1)), at(1100)).unwrap();
    assert_eq!(failures.take(&limit(), (52, address(1)), at(1101)), Err(Duration::from_secs(239)));
    let quiet = at(1100 + 1800);
    assert!(failures.is_over(&limit(), quiet));
    for ticket in 60..70 {
        failures.take(&limit(), (ticket, address(1)), quiet).unwrap();
    }
    assert!(failures.take(&limit(), (70, address(1)), quiet).is_err());
}

#[test]
fn tries_under_way_count_as_failures_until_it_is_known_that_they_are_none() {
    let mut failures = Failures::default();
    for ticket in 0..10 {
        failures.take(&limit(), (ticket, address(1)), START).unwrap();
    }
    assert!(failures.take(&limit(), (10, address(1)), START).is_err(), "ten at once are no more than ten");
    failures.take_back(3);
    failures.take(&limit(), (11, address(1)), START).unwrap();
    failures.failed(&limit(), 4);
    failures.take_back(4);
    assert!(failures.take(&limit(), (12, address(1)), START).is_err(), "a failure is not taken back");
}

#[test]
fn a_success_forgives_what_came_from_its_own_address() {
    let mut failures = Failures::default();
    for ticket in 0..9 {
        failures.take(&limit(), (ticket, address(if ticket < 5 { 1 } else { 2 })), START).unwrap();
        failures.failed(&limit(), ticket);
    }
    failures.take(&limit(), (9, address(1)), START).unwrap();
    failures.forgive(9);
    assert_eq!(failures.recent.len(), 4, "the other address's");
    failures.forgive(9);
    assert_eq!(failures.recent.len(), 4);
    // Beyond the limit, too: the wait of the person who got it right is over.
    let mut failures = self::failures((0..10).chain([40]));
    failures.take(&limit(), (99, address(1)), at(100)).unwrap();
    failures.forgive(99);
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn only_the_failure_that_meets_the_limit_locks_out() {
    let mut failures = Failures::default();
    let mut locked = Vec::new();
    for ticket in 0..10 {
        failures.take(&limit(), (ticket, address(1)), START).unwrap();
        locked.push(failures.failed(&limit(), ticket));
    }
    assert_eq!(locked.iter().filter(|locked| **locked).count(), 1);
    assert!(locked[9] && !failures.failed(&limit(), 9), "told once");
}

fn lockout() -> Budget {
    Lockout { failures: 10, window: Duration::from_hours(24) }.into()
}

#[test]
fn never_as_many_failures_as_lock_an_account_are_passed_on() {
    let mut spent = Spent::default();
    let mut passed = 0;
    for (ticket, known) in (0..).zip([false, true].into_iter().cycle().take(60)) {
        passed += usize::from(spent.take(&lockout(), (ticket, known), at(ticket)).is_ok());
        spent.failed(ticket);
    }
    assert_eq!(passed, 9);
}

#[test]
fn strangers_leave_a_third_to_the_persons_own_devices() {
    let mut spent = Spent::default();
    let strangers = (0..20).filter(|n| spent.take(&lockout(), (*n, false), at(*n)).is_ok()).count();
    assert_eq!(strangers, 6);
    assert_eq!(spent.take(&lockout(), (30, false), at(60)), Err(Duration::from_mins(1439)));
    let known = (40..60).filter(|n| spent.take(&lockout(), (*n, true), at(*n)).is_ok()).count();
    assert_eq!(known, 3);
    assert!(spent.take(&lockout(), (70, false), at(86_400)).is_ok(), "a day later one is forgotten");
    let least = Lockout { failures: 3, window: lockout().window }.into();
    let mut spent = Spent::default();
    assert!(spent.take(&least, (1, false), START).is_ok() && spent.take(&least, (2, false), START).is_err());
    assert!(spent.take(&least, (3, true), START).is_ok() && spent.take(&least, (4, true), START).is_err());
}

#[test]
fn a_success_clears_what_the_legacy_side_cleared_and_no_try_under_way() {
    let mut spent = Spent::default();
    for ticket in 0..5 {
        spent.take(&lockout(), (ticket, false), START).unwrap();
    }
    for ticket in 0..3 {
        spent.failed(ticket);
    }
    spent.forgive(3);
    assert_eq!(spent.0.iter().map(|spend| spend.ticket).collect::<Vec<_>>(), [4]);
    spent.take_back(4);
    assert!(spent.is_empty());
}

#[test]
fn a_rate_allows_its_tries_at_once_and_then_evenly() {
    let rate = Rate { tries: 30, per: Duration::from_mins(1) };
    let mut allowance = Allowance::full(rate, START);
    assert!((0..30).all(|_| allowance.take(rate, START).is_ok()));
    assert_eq!(allowance.take(rate, START), Err(Duration::from_secs(2)));
    assert!(allowance.take(rate, at(2)).is_ok() && allowance.take(rate, at(2)).is_err());
    assert!(allowance.take(rate, at(1)).is_err(), "a clock that goes back gives nothing");
    assert!((0..30).all(|_| allowance.take(rate, at(100)).is_ok()) && allowance.take(rate, at(100)).is_err());
    // A stricter rate counts at once.
    let strict = Rate { tries: 3, ..rate };
    assert!(
        (0..3).all(|_| allowance.take(strict, at(200)).is_ok()) && allowance.take(strict, at(200)).is_err()
    );
    let fast = Rate { tries: 100_000, per: Duration::from_secs(1) };
    let mut allowance = Allowance::full(fast, START);
    assert!(
        (0..100_000).all(|_| allowance.take(fast, START).is_ok()) && allowance.take(fast, START).is_err()
    );
    assert!(allowance.take(fast, START.after(Duration::from_millis(1))).is_ok());
}

#[test]
fn a_storm_needs_many_failures_and_few_successes() {
    let storm = Guessing::default().storm;
    let tally = |failures: u32, successes: u32| {
        let mut tally = Tally::default();
        for n in 0..failures + successes {
            tally.count(n < failures, at(u64::from(n) % 50));
        }
        tally
    };
    for (failures, successes, is_storm) in [
        (101, 0, true),
        (100, 0, false),
        (300, 100, false),
        (301, 100, true),
        (101, 1000, false),
        (0, 0, false),
    ] {
        assert_eq!(tally(failures, successes).is_storm(&storm, at(50)), is_storm, "{failures} {successes}");
    }
    let mut over = tally(500, 0);
    assert!(over.is_storm(&storm, at(59)));
    assert!(!over.is_storm(&storm, at(120)));
    assert!(over.0.is_empty());
}
