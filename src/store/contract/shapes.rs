//! The suites against Redis in each of its shapes, with TLS, a user of its own and a prefix.

use std::time::Duration;

use super::{
    NOW, claimed, counts, epochs, flags, fresh, import, ledger, meta, people, redis as parts, refreshes,
    removals,
    servers::{
        Cluster, MASTER, Node, PASSWORD, PREFIX, SENTINEL_PASSWORD, TLS, USER, Watched, single, until,
    },
    sessions,
};
use crate::{
    clock::{SystemClock, TestClock},
    config::{RedisAddress, RedisShape, RedisStore, Sentinels},
    identity::Secret,
    login::{Alias, Ledger as _, LedgerError, Limit, Row, RowState, Tried, TryCounter as _},
    net::{Rates as _, Urgency},
    session::{Digest, SessionStore as _},
    store::{Redis, SharedCounts, SharedRates, StoreClock},
};

fn address(node: &Node) -> RedisAddress {
    RedisAddress { host: "127.0.0.1".into(), port: node.port }
}

fn settings(shape: RedisShape) -> RedisStore {
    RedisStore {
        shape,
        database: 0,
        tls: true,
        username: Some(USER.into()),
        password: Some(Secret::new(PASSWORD.to_owned())),
        prefix: PREFIX.into(),
        timeout: Duration::from_millis(250),
        connect_timeout: Duration::from_secs(1),
        ca_file: Some(format!("{TLS}/nodes-ca.pem").into()),
        replicas: 2,
        epoch_tolerance: Duration::from_secs(10),
    }
}

impl Watched {
    fn settings(&self) -> RedisStore {
        settings(RedisShape::Sentinel(Sentinels {
            master: MASTER.into(),
            addresses: self.sentinels.iter().map(address).collect(),
            username: None,
            password: Some(Secret::new(SENTINEL_PASSWORD.to_owned())),
        }))
    }
}

impl Cluster {
    /// By its first node alone, and one that is not there.
    fn settings(&self) -> RedisStore {
        let nobody = RedisAddress { host: "127.0.0.1".into(), port: 1 };
        settings(RedisShape::Cluster(vec![nobody, address(&self.nodes[0])]))
    }
}

/// With a little more time than in production: the machine may be busy.
async fn store(settings: &RedisStore) -> Redis {
    let settings = RedisStore { timeout: Duration::from_secs(2), ..settings.clone() };
    let store = Redis::new(&settings, "one").unwrap();
    parts::answers(&store).await;
    store
}

/// Every suite in turn that needs no hand at the server, and what of the counts needs no waiting.
async fn keeps_the_contract(settings: &RedisStore) {
    let with = |prefix: &str| RedisStore { prefix: format!("{PREFIX}{prefix}:"), ..settings.clone() };
    ledger(&store(&with("ledger")).await).await;
    sessions(&store(&with("sessions")).await).await;
    refreshes(&store(&with("refreshes")).await).await;
    meta(&store(&with("meta")).await).await;
    people::people(&store(&with("people")).await).await;
    flags::flags(&store(&with("flags")).await).await;
    epochs(&store(&with("epochs")).await).await;
    removals::removals(&store(&with("removals")).await).await;
    import::import(&store(&with("from")).await, &store(&with("to")).await).await;
    let rates = async || SharedRates::new(store(&with("rates")).await, SystemClock::shared());
    let (one, other) = (rates().await, rates().await);
    // The rest of that suite is about time, which a busy machine has little of.
    assert_eq!(one.take("scalekit", None, Urgency::SignIn).await, Ok(()));
    one.refused("scalekit", None, Duration::from_mins(1)).await;
    assert!(other.take("scalekit", None, Urgency::SignIn).await.unwrap_err() > Duration::from_secs(30));
    let shared = SharedCounts::new(store(&with("counts")).await, TestClock::at(NOW));
    let other = SharedCounts::new(store(&with("counts")).await, TestClock::at(NOW));
    let rules = counts::rules();
    for turn in 0..3 {
        let process = if turn == 1 { &other } else { &shared };
        let ticket = process.ask(counts::guess("ann", 1), &rules).await.unwrap();
        assert_eq!(process.settle(&ticket, Tried::Wrong, &rules).await.locked_out, turn == 2);
    }
    assert_eq!(other.ask(counts::guess("ann", 2), &rules).await.unwrap_err().by, Limit::Account);
    // The same clock for all.
    let store = store(settings).await;
    let own = TestClock::at(NOW);
    let clock = StoreClock::new(own);
    store.set_clock(&clock).await.unwrap();
    let (shown, real) = (crate::clock::Clock::now(&*clock), SystemClock::shared().now());
    assert!(real.since(shown) < Duration::from_secs(5) && shown.since(real) < Duration::from_secs(5));
}

fn program() -> std::path::PathBuf {
    parts::program().into()
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let server = single(&program());
    Box::pin(keeps_the_contract(&settings(RedisShape::Single(address(&server))))).await;
    let foreign: i64 = server.ask(&["dbsize"]);
    let own: Vec<String> = server.ask(&["keys", &format!("{PREFIX}*")]);
    assert_eq!(i64::try_from(own.len()).unwrap(), foreign, "every key begins with the prefix");
}

#[tokio::test]
async fn a_cluster_keeps_the_contract() {
    let cluster = Cluster::start(&program(), false);
    Box::pin(keeps_the_contract(&cluster.settings())).await;
    let settings = RedisStore { prefix: format!("{PREFIX}room:"), ..cluster.settings() };
    parts::room::flood(store(&settings).await, "attacked", parts::room::MOST * 5 / 2).await;
    let mut spent = 0;
    for node in &cluster.nodes {
        assert!(node.ask::<i64>(&["dbsize"]) > 0, "each node holds a part");
        spent += node.ask::<Vec<String>>(&["keys", &format!("{PREFIX}room:tries:spent:*")]).len();
    }
    // Of two processes, as the settings say.
    assert!((parts::room::MOST..=2 * parts::room::MOST).contains(&spent), "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_lead_to_the_primary_and_to_the_next_one() {
    let mut watched = Watched::start(&program());
    Box::pin(keeps_the_contract(&watched.settings())).await;
    let store = Redis::new(&watched.settings(), "one").unwrap();
    parts::answers(&store).await;
    let row = claimed(&store, "a").await;
    let row = store.write(&Row { state: RowState::Claimed, ..row }).await.unwrap();
    // What was not copied yet would be lost, which is another test's matter.
    let copied = || watched.servers.iter().map(|server| server.info("replication", "master_repl_offset"));
    until("the replica has the row", || copied().is_sorted_by(|one, other| one == other).then_some(()));
    let clock = SystemClock::shared();
    // The dead one, and a Sentinel with it: two are enough to judge, and to ask.
    watched.sentinels[0].kill();
    watched.servers[0].kill();
    let begun = clock.monotonic();
    let written = loop {
        if let Ok(row) = store.write(&row).await {
            break row;
        }
        assert!(clock.monotonic().saturating_sub(begun) < Duration::from_secs(30));
        clock.sleep(Duration::from_millis(50)).await;
    };
    let away = clock.monotonic().saturating_sub(begun);
    println!("figure: a primary killed behind Sentinels: writes again after {away:?}");
    assert!(away < Duration::from_secs(10), "{away:?}");
    assert_eq!(store.row(&row.key).await.unwrap(), Some(written.clone()));
    assert_eq!(watched.servers[1].info("replication", "role").unwrap(), "master");
    // The old one comes back as a replica, and nobody is led to it.
    watched.servers[0].start_again();
    let other = Redis::new(&watched.settings(), "two").unwrap();
    parts::answers(&other).await;
    assert_eq!(other.row(&row.key).await.unwrap(), Some(written));
}

/// While a slot is moved, a key of it may be at the other node already, and a script that comes to it ends there.
#[tokio::test]
async fn a_ledger_that_is_being_moved_is_written_wholly_or_not_at_all() {
    let cluster = Cluster::start(&program(), false);
    let store = store(&cluster.settings()).await;
    let ledger = format!("{PREFIX}{{ledger}}:");
    let from = &cluster.nodes[cluster.primary_of(&ledger)];
    let to: String = cluster.nodes[(cluster.primary_of(&ledger) + 1) % 3].ask(&["cluster", "myid"]);
    let slot = from.ask::<i64>(&["cluster", "keyslot", &ledger]).to_string();
    // So that no set is missing that a write of hers needs.
    let others = [("b", RowState::Created), ("c", RowState::Tombstone)];
    for (id, state) in others {
        let row = claimed(&store, id).await;
        store.write(&Row { state, ..row }).await.unwrap();
    }
    let row = claimed(&store, "a").await;
    let aliases = ["ann", "anna"].map(|name| Alias::Typed(name.into())).to_vec();
    let mut row = store.write(&Row { aliases: aliases.clone(), ..row }).await.unwrap();
    for moved in ["rows:stages", "rows:reach", "rows:in:none", "rows:in:created", "alias:typed:anna"] {
        let _: String = from.ask(&["cluster", "setslot", &slot, "migrating", &to]);
        let _: i64 = from.ask(&["del", &format!("{ledger}{moved}")]);
        let stored = || from.ask::<Vec<Vec<u8>>>(&["hgetall", &format!("{ledger}row:{}", row.key)]);
        let before = stored();
        let next = Row { state: RowState::Created, aliases: Vec::new(), ..row.clone() };
        assert!(matches!(store.write(&next).await, Err(LedgerError::Unavailable(..))), "{moved}");
        assert_eq!(stored(), before, "{moved}");
        assert_eq!(from.ask::<i64>(&["exists", &format!("{ledger}alias:typed:ann")]), 1, "{moved}");
        let _: String = from.ask(&["cluster", "setslot", &slot, "stable"]);
        row = store.write(&next).await.unwrap();
        row = store.write(&Row { state: RowState::None, ..row }).await.unwrap();
        row = store.write(&Row { aliases: aliases.clone(), ..row }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_node_dies_serves_the_rest_and_soon_all() {
    let mut cluster = Cluster::start(&program(), true);
    let store = Redis::new(&cluster.settings(), "one").unwrap();
    parts::answers(&store).await;
    let row = claimed(&store, "a").await;
    let first = cluster.primary_of(&format!("{PREFIX}{{ledger}}"));
    let elsewhere = (0..100)
        .map(|n| Digest::of(&format!("session {n}")))
        .find(|id| cluster.primary_of(&format!("{{{}}}", id.as_str())) != first)
        .unwrap();
    assert_eq!(store.get(&elsewhere).await.unwrap(), None);
    let clock = SystemClock::shared();
    for signal in ["KILL", "STOP"] {
        let dead = if signal == "KILL" { first } else { 3 + first };
        if signal == "STOP" {
            // The first one is back as the replica of the one that took its place, which falls silent next.
            cluster.nodes[first].start_again();
            until("the first one follows", || {
                (cluster.nodes[first].info("replication", "master_link_status")? == "up").then_some(())
            });
        }
        cluster.nodes[dead].signal(signal);
        let begun = clock.monotonic();
        let (mut read, mut refused) = (0, 0);
        loop {
            match store.get(&elsewhere).await {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
            match store.row(&row.key).await {
                Ok(Some(_)) => break,
                Ok(None) => panic!("the row is lost"),
                Err(_) => {}
            }
            assert!(clock.monotonic().saturating_sub(begun) < Duration::from_secs(30), "{signal}");
            clock.sleep(Duration::from_millis(20)).await;
        }
        let away = clock.monotonic().saturating_sub(begun);
        println!(
            "figure: a node of a cluster, {signal}: its keys are back after {away:?}; meanwhile of others {read} read, {refused} not"
        );
        assert!(away < Duration::from_secs(10), "{signal} {away:?}");
        // A node that is silent also holds up the driver while it asks who serves what.
        let least = if signal == "KILL" { refused } else { 0 };
        assert!(read > least, "{signal}: other nodes' keys are of use meanwhile");
    }
    cluster.nodes[3 + first].signal("CONT");
    assert!(matches!(store.row(&fresh("a").key).await, Ok(Some(_))));
}
