//! Counts of tries that strangers make at ever new names.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::{
    super::{NOW, counts},
    Server,
};
use crate::{
    clock::TestClock,
    config::{AccountLimit, Guessing, Lockout, Rate},
    login::{Guess, Limit, Tried, TryCounter as _},
    store::{Redis, SharedCounts},
};

pub(in crate::store::contract) const MOST: usize = 1000;

/// So many names are guessed at once each, from an address each; an account that was attacked before stays locked.
pub(in crate::store::contract) async fn flood(store: Redis, attacked: &str, names: usize) {
    let shared = SharedCounts::new(store, TestClock::at(NOW));
    let delay = Duration::from_mins(10);
    let account = AccountLimit { failures: 3, first_delay: delay, longest_delay: delay, window: delay };
    let address = Rate { tries: 1000, per: delay };
    let rules = &Guessing { entries: MOST, account, address, ..counts::rules() };
    let lockout = Lockout { failures: 10, window: Duration::from_hours(24) };
    let guess = |name: &str| Guess {
        lockout: Some(lockout.into()),
        address: counts::account(&format!("from {name}")),
        ..counts::guess(name, 1)
    };
    let fails = async |name: &str| {
        let ticket = shared.ask(guess(name), rules).await.unwrap();
        shared.settle(&ticket, Tried::Wrong, rules).await
    };
    for turn in 0..3 {
        assert_eq!(fails(attacked).await.locked_out, turn == 2);
    }
    stream::iter(0..names)
        .for_each_concurrent(20, |number| {
            let fails = &fails;
            async move {
                fails(&format!("name {number}")).await;
            }
        })
        .await;
    assert_eq!(shared.ask(guess(attacked), rules).await.unwrap_err().by, Limit::Account);
}

#[tokio::test]
async fn strangers_fill_no_redis_and_what_holds_them_back_stays() {
    let server = Server::start();
    flood(server.store("one").await, "attacked", 5 * MOST).await;
    for kind in ["account", "spent", "rate"] {
        let counts: Vec<String> = server.ask(&["keys", &format!("test:tries:{kind}:*")]).await;
        let noted: usize = server.ask(&["zcard", &format!("test:tries-of:{kind}")]).await;
        assert!(counts.len() <= MOST && counts.len() > MOST / 2, "{kind}: {}", counts.len());
        // What one try forgets, another one may be about to note.
        assert!(noted.abs_diff(counts.len()) <= 20, "{kind}: {noted} noted of {}", counts.len());
    }
    let spent = format!("test:tries:spent:{:?}", counts::account("attacked"));
    assert_eq!(server.ask::<i64>(&["exists", &spent]).await, 1, "what reached the legacy side of it");
    // Those that Redis forgot by itself take nobody's room.
    let gone: i64 = server.ask(&["zadd", "test:tries-of:spent", "1", "gone", "1e14", "held"]).await;
    assert_eq!(gone, 2);
    flood(server.store("two").await, "another", 1).await;
    for name in ["gone", "held"] {
        let score: Option<f64> = server.ask(&["zscore", "test:tries-of:spent", name]).await;
        assert_eq!(score, None, "{name}");
    }
}
