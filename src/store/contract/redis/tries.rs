//! Tries that several processes count together, and each by itself without Redis.

use std::{process::Command, time::Duration};

use super::{
    super::{NOW, counts},
    Server, answers,
};
use crate::{
    clock::TestClock,
    config::{Lockout, RedisStore},
    login::{Guess, Limit, Tried, TryCounter as _},
    store::{Redis, SharedCounts},
};

/// The longest span of the suite's accounts and addresses; what is longer is of the process alone.
const LONGEST_SPAN: Duration = Duration::from_secs(11);

#[tokio::test]
async fn redis_keeps_the_contract_of_counts() {
    let server = Server::start();
    let clock = TestClock::at(NOW);
    let shared = SharedCounts::new(server.store("one").await, clock.clone());
    let wait = |by: Duration| {
        clock.advance(by);
        // The time of Redis is not ours.
        let nap = by.min(LONGEST_SPAN).as_secs_f64() + 0.01;
        assert!(Command::new("sleep").arg(nap.to_string()).status().unwrap().success());
    };
    counts::counts(&shared, &wait).await;
}

#[tokio::test]
async fn tries_at_one_process_count_at_the_other() {
    let mut server = Server::start();
    let clock = TestClock::at(NOW);
    let mut processes = Vec::new();
    for name in ["one", "two"] {
        let settings = RedisStore { timeout: Duration::from_secs(1), ..server.settings() };
        let store = Redis::new(&settings, name).unwrap();
        answers(&store).await;
        processes.push(SharedCounts::new(store, clock.clone()));
    }
    let rules = counts::rules();
    for turn in 0..3 {
        let process = &processes[turn % 2];
        let ticket = process.ask(counts::guess("ann", 1), &rules).await.unwrap();
        let settled = process.settle(&ticket, Tried::Wrong, &rules).await;
        assert_eq!(settled.locked_out, turn == 2, "the third of both together");
    }
    for process in &processes {
        assert_eq!(process.ask(counts::guess("ann", 2), &rules).await.unwrap_err().by, Limit::Account);
        let other = process.ask(counts::guess("bob", 2), &rules).await.unwrap();
        process.settle(&other, Tried::Unasked, &rules).await;
    }
    // An operator's word at one ends the wait at the other; each time.
    for _ in 0..2 {
        for _ in 0..3 {
            let ticket = processes[1].ask(counts::guess("dot", 1), &rules).await.unwrap();
            processes[1].settle(&ticket, Tried::Wrong, &rules).await;
        }
        for process in &processes {
            assert_eq!(process.ask(counts::guess("dot", 2), &rules).await.unwrap_err().by, Limit::Account);
        }
        processes[0].forget(&[counts::account("dot")]).await.unwrap();
        let ticket = processes[1].ask(counts::guess("dot", 2), &rules).await.unwrap();
        processes[1].settle(&ticket, Tried::Unasked, &rules).await;
    }
    // Without Redis each counts by itself, and counts on.
    server.kill();
    assert!(processes[0].forget(&[counts::account("dot")]).await.is_err());
    for process in &processes {
        for _ in 0..3 {
            let ticket = process.ask(counts::guess("eve", 3), &rules).await.unwrap();
            process.settle(&ticket, Tried::Wrong, &rules).await;
        }
        assert_eq!(process.ask(counts::guess("eve", 3), &rules).await.unwrap_err().by, Limit::Account);
    }
}

/// What one process knows of failures is not the whole: the success was at the other one.
#[tokio::test]
async fn a_success_at_one_process_clears_what_failed_at_the_other() {
    let mut server = Server::start();
    let clock = TestClock::at(NOW);
    let mut processes = Vec::new();
    for name in ["one", "two"] {
        let settings = RedisStore { timeout: Duration::from_secs(1), ..server.settings() };
        let store = Redis::new(&settings, name).unwrap();
        answers(&store).await;
        processes.push(SharedCounts::new(store, clock.clone()));
    }
    let [one, two] = processes.try_into().ok().unwrap();
    let rules = counts::rules();
    let lockout = Lockout { failures: 4, window: Duration::from_hours(24) };
    let guess = || Guess { lockout: Some(lockout.into()), ..counts::guess("ann", 1) };
    for turn in 0..4 {
        let ticket = one.ask(guess(), &rules).await.unwrap_or_else(|refused| panic!("{turn}: {refused:?}"));
        let settled = one.settle(&ticket, Tried::Wrong, &rules).await;
        assert!(!settled.locked_out, "{turn}: it is the first since a success");
        let ticket = two.ask(guess(), &rules).await.unwrap();
        two.settle(&ticket, Tried::Right, &rules).await;
    }
    // Together they hold it all the same, and so does each without Redis.
    for process in [&one, &two] {
        let ticket = process.ask(guess(), &rules).await.unwrap();
        process.settle(&ticket, Tried::Wrong, &rules).await;
    }
    for process in [&one, &two] {
        assert_eq!(process.ask(guess(), &rules).await.unwrap_err().by, Limit::Lockout);
    }
    server.kill();
    for process in [&one, &two] {
        let mut granted = 0;
        let refused = loop {
            match process.ask(guess(), &rules).await {
                Ok(ticket) => process.settle(&ticket, Tried::Wrong, &rules).await,
                Err(refused) => break refused,
            };
            granted += 1;
        };
        assert!(granted <= 1 && refused.by == Limit::Lockout, "{granted}, {refused:?}");
    }
}
