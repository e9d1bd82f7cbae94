//! The suites against a real Redis, and what only holds there.

mod fitness;
mod removals;
pub(super) mod room;
mod sessions;
mod tries;

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::runtime::Handle;

use super::{
    LEASE, NOW, a_flow, a_session, all_removed, claimed, contenders, counts, epochs, flags, fresh, ledger,
    meta, people, rates, refreshes, sessions, unreadable,
};
use crate::{
    clock::{Deadline, SystemClock, Timestamp},
    config::{AccountLimit, CallRate, Guessing, Rate, RedisAddress, RedisShape, RedisStore},
    login::{
        Alias, ClaimAnswer, Flags as _, FlagsError, Ledger as _, LedgerError, Limit, Row, Tried,
        TryCounter as _,
    },
    net::{Dependencies, Rates as _, Tracker, Urgency},
    session::{Digest, FlowStore as _, Renewal, Session, SessionStore as _, Whose},
    store::{Meta as _, Redis, SharedCounts, SharedRates},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A Redis of a test's own; it ends with the test, however that ends.
struct Server {
    port: u16,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let port = free_port();
        Self { port, process: spawn(port) }
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.port);
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().unwrap().success()
        );
    }

    fn settings(&self) -> RedisStore {
        RedisStore {
            shape: RedisShape::Single(RedisAddress { host: "127.0.0.1".into(), port: self.port }),
            database: 0,
            tls: false,
            username: None,
            password: None,
            prefix: "test:".into(),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(1),
            replicas: 1,
            epoch_tolerance: Duration::from_secs(10),
            ca_file: None,
        }
    }

    /// A store that is connected, with this name in claims.
    async fn store(&self, holder: &str) -> Redis {
        let store = Redis::new(&self.settings(), holder).unwrap();
        answers(&store).await;
        store
    }

    /// What Redis says to a command.
    async fn ask<T: redis::FromRedisValue>(&self, words: &[impl AsRef<[u8]>]) -> T {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16) -> Child {
    // The kernel ends it with the thread that began it, even if this process is killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .expect("setpriv (of util-linux) starts redis-server")
}

/// Where `tests/install` found it; without its list, the one that `PATH` leads to.
pub(super) fn program() -> String {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting, not the product's")]
    let list = std::env::var_os("CROSSFADE_TEST_PARTS");
    let Some(list) = list else {
        let found = Command::new("redis-server").arg("--version").output();
        assert!(found.is_ok(), "this test needs redis-server (Debian package redis-server): run tests/run");
        return "redis-server".into();
    };
    let list = std::fs::read(list).expect("the list of parts can be read: run tests/run");
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    list["redis_server"].as_str().expect("the list of parts names redis_server: run tests/run").to_owned()
}

/// Below the ports that systems give to outgoing connections.
fn free_port() -> u16 {
    static TURN: AtomicU16 = AtomicU16::new(0);
    for _ in 0..10_000 {
        let turn = u32::from(TURN.fetch_add(1, Ordering::Relaxed));
        let port =
            u16::try_from(12_000 + std::process::id().wrapping_mul(977).wrapping_add(turn) % 20_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}

/// Waits until the store is of use again.
pub(super) async fn answers(store: &Redis) {
    let deadline = Deadline::within(PATIENCE);
    while let Err(error) = store.meta("anything").await {
        assert!(!deadline.remaining().is_zero(), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redis_keeps_the_ledger_contract() {
    let server = Server::start();
    ledger(&server.store("one").await).await;
}

#[tokio::test]
async fn redis_grants_one_of_many_contenders_a_claim() {
    let server = Server::start();
    let (one, two, three) =
        (server.store("one").await, server.store("two").await, server.store("three").await);
    contenders(&[&one, &two, &three]).await;
}

#[tokio::test]
async fn redis_keeps_the_contract_of_rows_that_cannot_be_read() {
    let server = Server::start();
    let store = server.store("one").await;
    unreadable(&store, async |key| {
        let _: i64 = server.ask(&["hset", &format!("test:{{ledger}}:row:{key}"), "row", "{garbage"]).await;
    })
    .await;
    // One that was written before there were counts is told when they are made.
    let key = claimed(&store, "old").await.key;
    let name = format!("test:{{ledger}}:row:{key}");
    let _: i64 = server.ask(&["hset", &name, "row", ""]).await;
    let _: i64 = server.ask(&["del", "test:{ledger}:rows:stages"]).await;
    assert_eq!(store.index().await.unwrap().unreadable, [key]);
}

#[tokio::test]
async fn redis_keeps_the_contract_of_lists() {
    let server = Server::start();
    people::people(&server.store("one").await).await;
}

#[tokio::test]
async fn rows_from_before_there_were_counts_are_counted_later() {
    let server = Server::start();
    let store = server.store("one").await;
    let forget = async || {
        let keys: Vec<String> = server.ask(&["KEYS", "test:{ledger}:*"]).await;
        for key in keys {
            if key.contains(":rows:") {
                server.ask::<()>(&["DEL", &key]).await;
            } else if key.contains(":row:") {
                server.ask::<()>(&["HDEL", &key, "tally"]).await;
            }
        }
    };
    people::uncounted(&store, forget).await;
}

#[tokio::test]
async fn redis_keeps_the_epoch_contract() {
    let server = Server::start();
    epochs(&server.store("one").await).await;
}

#[tokio::test]
async fn redis_keeps_the_session_contract() {
    let server = Server::start();
    sessions(&server.store("one").await).await;
}

#[tokio::test]
async fn redis_keeps_the_refresh_contract() {
    let server = Server::start();
    refreshes(&server.store("one").await).await;
}

#[tokio::test]
async fn redis_keeps_the_contract_of_its_own_values() {
    let server = Server::start();
    meta(&server.store("one").await).await;
}

#[tokio::test]
async fn redis_keeps_the_flags_contract() {
    let server = Server::start();
    let store = server.store("one").await;
    flags::flags(&store).await;
    flags::damaged_flags(&store, async |version, record| {
        let _: i64 = server.ask(&["DEL", "test:flags"]).await;
        let version = version.map(|version| version.to_string().into_bytes());
        for (name, value) in [("version", version.as_deref()), ("state", record)] {
            if let Some(value) = value {
                let _: i64 = server.ask(&[b"HSET".as_slice(), b"test:flags", name.as_bytes(), value]).await;
            }
        }
    })
    .await;
    // Not even the version can be read.
    for (version, record, expected) in [("seven", "{", 0), ("07", "{}", 0), ("7.", r#"{"version":7}"#, 7)] {
        let _: i64 = server.ask(&["HSET", "test:flags", "version", version, "state", record]).await;
        let Err(FlagsError::Unreadable(damaged)) = store.flags().await else { panic!("read {version}") };
        assert_eq!(damaged.version, expected, "{version}");
    }
}

/// Unlike with a file: another process may live, whatever its name.
#[tokio::test]
async fn a_claim_of_another_process_is_waited_for() {
    let server = Server::start();
    let (one, two) = (server.store("one").await, server.store("two").await);
    let first = claimed(&one, "a").await;
    let ClaimAnswer::Held(held) = two.claim(&fresh("a"), LEASE, NOW).await.unwrap() else {
        panic!("two hold one claim")
    };
    assert_eq!(*held, first);
    let later = NOW.after(LEASE);
    assert!(matches!(two.claim(&fresh("a"), LEASE, later).await.unwrap(), ClaimAnswer::Granted(_)));
    assert!(matches!(one.write(&first).await, Err(LedgerError::Overtaken)));
    // A write that gives the claim back lets the next one begin at once.
    let row = two.row(&first.key).await.unwrap().unwrap();
    let free = two.write(&Row { claim: None, ..row }).await.unwrap();
    assert_eq!(two.row(&first.key).await.unwrap(), Some(free));
    claimed(&one, "a").await;
}

#[tokio::test]
async fn of_many_at_once_one_claims_and_one_writes() {
    let server = Server::start();
    let mut stores = Vec::new();
    for n in 0..4 {
        stores.push(server.store(&n.to_string()).await);
    }
    let asked = (0..200).map(|n| {
        let store = stores[n % 4].clone();
        async move { store.claim(&fresh("a"), LEASE, NOW).await.unwrap() }
    });
    let answers = futures_util::future::join_all(asked).await;
    let mut granted = answers.into_iter().filter_map(|answer| match answer {
        ClaimAnswer::Granted(row) => Some(*row),
        ClaimAnswer::Held(_) => None,
    });
    let row = granted.next().unwrap();
    assert_eq!(granted.next(), None);
    let written = (0..200).map(|n| {
        let (store, row) = (stores[n % 4].clone(), row.clone());
        async move { store.write(&row).await.is_ok() }
    });
    let written = futures_util::future::join_all(written).await;
    assert_eq!(written.into_iter().filter(|written| *written).count(), 1);
    // One alias for one person.
    let mut others = Vec::new();
    for n in 0..20 {
        let row = claimed(&stores[0], &format!("p{n}")).await;
        others.push(Row { aliases: vec![Alias::Typed("shared".into())], ..row });
    }
    let written = others.iter().map(|row| stores[1].write(row));
    let written = futures_util::future::join_all(written).await;
    assert_eq!(written.iter().filter(|written| written.is_ok()).count(), 1);
    assert!(written.iter().all(|written| matches!(written, Ok(_) | Err(LedgerError::AliasTaken))));
}

#[tokio::test]
async fn names_of_any_kind_lead_to_their_row() {
    let server = Server::start();
    let store = server.store("one").await;
    let names = ["{a}b", "line\nbreak", "null\0byte", "\"quoted\\", "ünïcode 🦀", "*?[a]"];
    let mut row = claimed(&store, "{odd}:id").await;
    row.aliases = names.iter().map(|name| Alias::Typed((*name).to_owned())).collect();
    let row = store.write(&row).await.unwrap();
    for alias in &row.aliases {
        assert_eq!(store.find(alias).await.unwrap().as_ref(), Some(&row), "{alias:?}");
    }
    let row = store.write(&Row { aliases: Vec::new(), ..row }).await.unwrap();
    for name in names {
        assert_eq!(store.find(&Alias::Typed(name.into())).await.unwrap(), None, "{name:?}");
    }
    assert_eq!(store.row(&row.key).await.unwrap(), Some(row));
}

#[tokio::test]
async fn what_nobody_sweeps_redis_forgets() {
    let server = Server::start();
    let store = server.store("one").await;
    store.put(&Digest::of("a"), &a_session("usr_1", 3600)).await.unwrap();
    let flow = a_flow();
    store.put_flow(&Digest::of("state"), &flow).await.unwrap();
    store.touch(&Digest::of("a"), NOW, NOW.after(Duration::from_secs(5000))).await.unwrap();
    let keys: Vec<String> = server.ask(&["keys", "test:*"]).await;
    assert_eq!(keys.len(), 5, "{keys:?}");
    let mut last = 0;
    for key in keys.iter().filter(|key| *key != "test:sessions") {
        let span: i64 = server.ask(&["ttl", key]).await;
        assert!((600..=5000).contains(&span), "{key}: {span}");
        last = last.max(span);
    }
    assert!(last > 3600 + 600, "longer than the session lives: {last}");
}

#[tokio::test]
async fn an_index_that_is_wrong_is_put_right() {
    let server = Server::start();
    let store = server.store("one").await;
    let session = Session { renewal: Renewal::default(), ..a_session("usr_1", 3600) };
    store.put(&Digest::of("lives"), &session).await.unwrap();
    store.put(&Digest::of("gone"), &session).await.unwrap();
    store.put(&Digest::of("garbled"), &session).await.unwrap();
    let key = |name| format!("test:session:{{{}}}", Digest::of(name).as_str());
    let _: i64 = server.ask(&["del", &key("gone")]).await;
    let _: String = server.ask(&["set", &key("garbled"), "garbage", "keepttl"]).await;
    assert_eq!(store.get(&Digest::of("garbled")).await.unwrap(), None, "signed out, not an error");
    let lives = Digest::of("lives");
    let _: i64 = server.ask(&["zadd", "test:sessions", "1", lives.as_str()]).await;
    assert_eq!(store.sweep(NOW.after(Duration::from_secs(3500))).await.unwrap(), 0);
    assert!(store.get(&lives).await.unwrap().is_some());
    let listed: u64 = server.ask(&["zscore", "test:sessions", lives.as_str()]).await;
    assert_eq!(Timestamp::from_millis(listed), session.ends_at);
    assert_eq!(store.sweep(NOW.after(Duration::from_secs(3700))).await.unwrap(), 1);
    assert_eq!(server.ask::<i64>(&["zcard", "test:sessions"]).await, 0);
    // What leads nowhere is named by nobody.
    assert_eq!(
        store.remove_all_of(&Whose::Person(session.key.clone())).await.unwrap().len(),
        1,
        "the garbled one"
    );
    assert_eq!(store.remove_all_of(&Whose::Person(session.key)).await.unwrap(), []);
}

/// A failover at one node of a cluster may lose what names a session at another one.
#[tokio::test]
async fn a_session_that_no_index_names_any_more_is_listed_again_by_its_use() {
    let server = Server::start();
    let store = server.store("one").await;
    let (id, session) = (Digest::of("lives"), a_session("usr_1", 3600));
    let ways: [(&str, Option<Whose>); 3] = [
        ("everybody's", None),
        ("by the user", Some(Whose::User(session.user.clone()))),
        ("by the person", Some(Whose::Person(session.key.clone()))),
    ];
    for (what, whose) in ways {
        store.put(&id, &session).await.unwrap();
        let lost: Vec<String> = server.ask(&["keys", "test:sessions*"]).await;
        assert_eq!(lost.len(), 3, "{lost:?}");
        for key in &lost {
            let _: i64 = server.ask(&["del", key]).await;
        }
        let later = NOW.after(Duration::from_mins(1));
        store.touch(&id, later, later.after(Duration::from_mins(10))).await.unwrap();
        for key in lost.iter().filter(|key| *key != "test:sessions") {
            let span: i64 = server.ask(&["ttl", key]).await;
            assert!((3600..=3600 + 1800).contains(&span), "{key} is kept for {span} s");
        }
        let ended = match &whose {
            None => all_removed(&store).await,
            Some(whose) => store.remove_all_of(whose).await.unwrap(),
        };
        assert_eq!(ended, std::slice::from_ref(&id), "{what}");
        assert_eq!(store.get(&id).await.unwrap(), None, "{what}");
    }
    assert_eq!(server.ask::<Vec<String>>(&["keys", "test:sessions*"]).await, [""; 0]);
}

#[tokio::test]
async fn a_redis_that_comes_back_is_used_at_once() {
    let mut server = Server::start();
    let store = server.store("one").await;
    server.kill();
    for _ in 0..3 {
        assert!(matches!(store.row(&fresh("a").key).await, Err(LedgerError::Unavailable(..))));
    }
    server.restart();
    answers(&store).await;
    assert!(store.is_empty().await.unwrap());
    claimed(&store, "a").await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_no_more_than_the_time_of_an_operation() {
    let server = Server::start();
    let store =
        Redis::new(&RedisStore { timeout: Duration::from_millis(250), ..server.settings() }, "one").unwrap();
    answers(&store).await;
    server.signal("STOP");
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    for _ in 0..4 {
        let error = store.row(&fresh("a").key).await.unwrap_err();
        assert!(error.to_string().contains("did not answer within 250ms"), "{error}");
    }
    let took = clock.monotonic().saturating_sub(begun);
    assert!(took < Duration::from_secs(4), "{took:?}");
    server.signal("CONT");
    answers(&store).await;
}

#[tokio::test]
async fn a_redis_that_may_not_write_is_left_for_one_that_may() {
    let server = Server::start();
    let store = server.store("one").await;
    let row = claimed(&store, "a").await;
    let connections = async || {
        server
            .ask::<String>(&["info", "stats"])
            .await
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:")?.parse::<u64>().ok())
    };
    let _: String = server.ask(&["replicaof", "127.0.0.1", "1"]).await;
    let before = connections().await.unwrap();
    let error = store.write(&row).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Unavailable(text, _) if text.to_lowercase().contains("read")),
        "{error}"
    );
    assert!(matches!(store.write(&row).await, Err(LedgerError::Unavailable(..))));
    // One of them is the question itself.
    assert!(connections().await.unwrap() - before >= 2, "it connects anew");
    let _: String = server.ask(&["replicaof", "no", "one"]).await;
    store.write(&row).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let server = Server::start();
    drop(server.store("one").await);
    let _: String = server.ask(&["config", "set", "requirepass", "right-canary"]).await;
    let with = |password: &str| {
        let password = Some(crate::identity::Secret::new(password.to_owned()));
        Redis::new(&RedisStore { password, ..server.settings() }, "one").unwrap()
    };
    let error = with("wrong-canary").connect(PATIENCE).await.unwrap_err().to_string();
    assert!(!error.contains("canary"), "{error}");
    assert!(error.contains("WRONGPASS") || error.contains("assword"), "{error}");
    with("right-canary").connect(PATIENCE).await.unwrap();
    let none = Redis::new(&server.settings(), "one").unwrap();
    assert!(none.connect(PATIENCE).await.is_err());
}

#[tokio::test]
async fn redis_keeps_the_contract_of_rates() {
    let server = Server::start();
    let shared = SharedRates::new(server.store("one").await, SystemClock::shared());
    rates::rates(&shared, &nap).await;
}

#[tokio::test]
async fn a_pause_that_one_process_is_asked_for_holds_all_back() {
    let mut server = Server::start();
    let mut processes = Vec::new();
    for name in ["one", "two"] {
        let settings = RedisStore { timeout: Duration::from_secs(1), ..server.settings() };
        let store = Redis::new(&settings, name).unwrap();
        answers(&store).await;
        processes.push(SharedRates::new(store, SystemClock::shared()));
    }
    processes[0].refused("scalekit", None, Duration::from_secs(30)).await;
    for process in &processes {
        let wait = process.take("scalekit", None, Urgency::SignIn).await.unwrap_err();
        assert!(wait > Duration::from_secs(25), "{wait:?}");
    }
    // Who was asked remembers it also without Redis.
    server.kill();
    assert!(processes[0].take("scalekit", None, Urgency::SignIn).await.is_err());
    assert_eq!(processes[1].take("scalekit", None, Urgency::SignIn).await, Ok(()));
}

#[tokio::test]
async fn a_process_that_is_alone_grants_its_share() {
    let mut server = Server::start();
    let clock = SystemClock::shared();
    let (dependencies, tracker) = (Dependencies::unwatched(clock.clone()), Tracker::new(Handle::current()));
    let mut stores = Vec::new();
    for name in ["one", "two", "three"] {
        let settings = RedisStore { timeout: Duration::from_millis(250), ..server.settings() };
        let store = Redis::new(&settings, name).unwrap();
        answers(&store).await;
        stores.push(store.watched(&dependencies, &tracker).await);
    }
    // The last one has seen all three.
    let store = stores.pop().unwrap();
    server.kill();
    let counts = SharedCounts::new(store.clone(), clock.clone());
    let rules = counts::rules();
    let rules = Guessing { account: AccountLimit { failures: 9, ..rules.account.clone() }, ..rules };
    for _ in 0..3 {
        let ticket = counts.ask(counts::guess("ann", 1), &rules).await.unwrap();
        counts.settle(&ticket, Tried::Wrong, &rules).await;
    }
    assert_eq!(counts.ask(counts::guess("ann", 2), &rules).await.unwrap_err().by, Limit::Account);
    let rules = Guessing { address: Rate { tries: 30, per: Duration::from_hours(1) }, ..rules };
    let mut tries = 0;
    let refused = loop {
        match counts.ask(counts::guess(&format!("person-{tries}"), 3), &rules).await {
            Ok(_) => tries += 1,
            Err(refused) => break refused,
        }
    };
    // Those that still look for Redis count twice.
    assert!((5..=10).contains(&tries) && refused.by == Limit::Address, "a third of 30: {tries}, {refused:?}");
    let rates = SharedRates::new(store, clock);
    let thirty = Some(CallRate { calls: 30, per: Duration::from_secs(1) });
    let mut granted = 0;
    while rates.take("scalekit", thirty, Urgency::SignIn).await.is_ok() {
        granted += 1;
    }
    assert!((10..=14).contains(&granted), "a third of 30: {granted}");
    assert!(tracker.finish(PATIENCE).await);
}

#[tokio::test]
async fn a_redis_that_is_away_costs_nothing_after_a_while_and_is_used_within_a_second_of_its_return() {
    let server = Server::start();
    let clock = SystemClock::shared();
    let (dependencies, tracker) = (Dependencies::unwatched(clock.clone()), Tracker::new(Handle::current()));
    let settings = RedisStore { timeout: Duration::from_millis(250), ..server.settings() };
    let store = Redis::new(&settings, "one").unwrap();
    answers(&store).await;
    let store = store.watched(&dependencies, &tracker).await;
    server.signal("STOP");
    let asked = (0..20).map(|_| store.is_empty());
    assert!(futures_util::future::join_all(asked).await.iter().all(Result::is_err));
    let begun = clock.monotonic();
    for _ in 0..100 {
        assert!(store.is_empty().await.unwrap_err().to_string().contains("not asked"));
    }
    let took = clock.monotonic().saturating_sub(begun);
    assert!(took < Duration::from_millis(100), "{took:?}");
    server.signal("CONT");
    let back = clock.monotonic();
    while store.is_empty().await.is_err() {
        assert!(clock.monotonic().saturating_sub(back) < Duration::from_secs(1), "it is not used");
        tokio::task::yield_now().await;
    }
    assert!(tracker.finish(PATIENCE).await);
}

#[tokio::test]
async fn a_redis_that_took_nobody_in_is_tried_again() {
    let server = Server::start();
    drop(server.store("first").await);
    let _: String = server.ask(&["config", "set", "maxclients", "1"]).await;
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port)).unwrap();
    let mut only = loop {
        // The question above may not be gone yet.
        if let Ok(connection) = client.get_multiplexed_async_connection().await {
            break connection;
        }
    };
    let store = Redis::new(&server.settings(), "one").unwrap();
    assert!(store.is_empty().await.is_err());
    let () = redis::cmd("CONFIG").arg(&["SET", "maxclients", "100"]).query_async(&mut only).await.unwrap();
    answers(&store).await;
}

/// The time of Redis is not ours.
fn nap(by: Duration) {
    assert!(Command::new("sleep").arg(by.as_secs_f64().to_string()).status().unwrap().success());
}
