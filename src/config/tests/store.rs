//! Redis as the store.

use std::{path::Path, time::Duration};

use crate::config::{
    Loaded, RedisAddress, RedisShape, RedisStore, Store, parse,
    testing::{MINIMAL, environment_with},
};

const EMBEDDED: &str = "embedded: {path: state.redb}";
const WHOLE: &str = "redis: {url: 'rediss://redis.example.com:7000/3', username: u, password: {env: REDIS_PASSWORD}, \
                     prefix: 'cf:', timeout: 100ms, connect_timeout: 2s, ca_file: CA_FILE}";

const SENTINEL: &str = "redis: {sentinel: {master: main, urls: ['rediss://a.example.com/2', 'rediss://b.example.com:1/2'], \
                        username: s, password: {env: REDIS_PASSWORD}}, prefix: 'cf:'}";
const CLUSTER: &str = "redis: {cluster: {urls: ['rediss://a.example.com', 'rediss://b.example.com:1']}}";

fn try_parse(store: &str) -> Result<Loaded, Vec<String>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem");
    let text = MINIMAL.replace(EMBEDDED, &store.replace("CA_FILE", file));
    let environment = environment_with(&[("REDIS_PASSWORD", "canary-redis")]);
    parse(&text, Path::new("/base"), &environment).map_err(|problems| {
        problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect()
    })
}

fn good(store: &str) -> (Loaded, RedisStore) {
    let loaded = try_parse(store).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let Store::Redis(redis) = loaded.config.store.clone() else { panic!("another store") };
    (loaded, *redis)
}

fn address(redis: &RedisStore) -> (&str, u16) {
    let RedisShape::Single(RedisAddress { host, port }) = &redis.shape else { panic!("{redis:?}") };
    (host, *port)
}

fn warnings(loaded: &Loaded) -> usize {
    loaded.warnings.iter().filter(|warning| warning.0.path.starts_with("store")).count()
}

#[track_caller]
fn expect(store: &str, expected: &[&str]) {
    let found = try_parse(store).err().unwrap_or_default();
    for begin in expected {
        assert!(found.iter().any(|problem| problem.starts_with(begin)), "{begin}\nis not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!found.concat().contains("canary"), "{found:#?}");
}

#[test]
fn a_redis_needs_no_more_than_an_address() {
    let (loaded, redis) = good("redis: {url: 'rediss://redis.example.com'}");
    assert_eq!(warnings(&loaded), 0);
    assert_eq!((address(&redis), redis.database, redis.tls), (("redis.example.com", 6379), 0, true));
    assert_eq!((redis.username, redis.ca_file, redis.password.is_none()), (None, None, true));
    assert_eq!((redis.prefix.as_str(), redis.replicas), ("crossfade:", 1));
    assert_eq!((redis.timeout, redis.connect_timeout), (Duration::from_millis(250), Duration::from_secs(1)));
}

#[test]
fn all_of_it_is_taken_and_shown_without_the_password() {
    let (loaded, redis) = good(WHOLE);
    assert_eq!((address(&redis).1, redis.database, redis.username.as_deref()), (7000, 3, Some("u")));
    assert_eq!(redis.password.as_ref().unwrap().expose(), "canary-redis");
    assert!(redis.ca_file.is_some());
    for store in
        [WHOLE, SENTINEL, CLUSTER, "redis: {url: 'redis://[::1]/'}", "redis: {url: 'redis://127.0.0.1:1/15'}"]
    {
        let (loaded, redis) = good(store);
        let shown = loaded.effective();
        assert!(!shown.contains("canary-redis") && !format!("{redis:?}").contains("canary"), "{shown}");
        let environment = environment_with(&[("REDIS_PASSWORD", "canary-redis")]);
        let again = parse(&shown, Path::new("/base"), &environment);
        assert_eq!(again.unwrap_or_else(|problems| panic!("{problems}\n{shown}")).effective(), shown);
    }
    assert_eq!(warnings(&loaded), 0);
}

#[test]
fn sentinels_and_nodes_have_their_own_ports_and_names() {
    let at = |host: &str, port| RedisAddress { host: host.into(), port };
    let (_, redis) = good(SENTINEL);
    let RedisShape::Sentinel(sentinels) = &redis.shape else { panic!("{redis:?}") };
    assert_eq!((sentinels.master.as_str(), sentinels.username.as_deref()), ("main", Some("s")));
    assert_eq!(sentinels.addresses, [at("a.example.com", 26379), at("b.example.com", 1)]);
    assert_eq!((redis.database, redis.username.is_none(), redis.password.is_none()), (2, true, true));
    let (_, redis) = good(CLUSTER);
    let RedisShape::Cluster(nodes) = &redis.shape else { panic!("{redis:?}") };
    assert_eq!(*nodes, [at("a.example.com", 6379), at("b.example.com", 1)]);
}

#[test]
fn a_way_that_can_be_read_is_warned_of() {
    for (url, warnings) in [
        ("redis://redis.example.com", 1),
        ("redis://10.0.0.1:6379/0", 1),
        ("redis://127.0.0.1", 0),
        ("redis://redis.localhost", 0),
        ("redis://[::1]:1", 0),
    ] {
        assert_eq!(self::warnings(&good(&format!("redis: {{url: '{url}'}}")).0), warnings, "{url}");
    }
}

#[test]
fn a_bad_redis_is_told_with_its_place() {
    let change = |from: &str, to: &str, expected: &[&str]| {
        assert!(WHOLE.contains(from), "{from}");
        expect(&WHOLE.replace(from, to), expected);
    };
    let url = "rediss://redis.example.com:7000/3";
    change(url, "https://redis.example.com", &["store.redis.url: must be an address such as"]);
    change(url, "redis.example.com:7000", &["store.redis.url: must be an address such as"]);
    change(
        url,
        "rediss://u:canary@redis.example.com",
        &["store.redis.url: must not hold a user or a password"],
    );
    change(
        url,
        "rediss://:canary@redis.example.com",
        &["store.redis.url: must not hold a user or a password"],
    );
    change("com:7000/3", "com/first", &["store.redis.url: must end after the number"]);
    change("com:7000/3", "com/0/1", &["store.redis.url: must end after the number"]);
    change("com:7000/3", "com/0?protocol=3", &["store.redis.url: must end after the number"]);
    change(
        "{env: REDIS_PASSWORD}",
        "canary",
        &[
            "store.redis.password: a secret never stands in this file",
            "store.redis.username: needs a password",
        ],
    );
    change("password: {env: REDIS_PASSWORD},", "", &["store.redis.username: needs a password"]);
    for prefix in ["", "a b", "a{b}", "ü"] {
        change("'cf:'", &format!("'{prefix}'"), &["store.redis.prefix: must be"]);
    }
    change("100ms", "0s", &["store.redis.timeout: must be longer"]);
    change("2s", "0s", &["store.redis.connect_timeout: must be longer"]);
    change("CA_FILE", "/nowhere/ca.pem", &["store.redis.ca_file: cannot"]);
    change("rediss:", "redis:", &["store.redis.ca_file: is of no use without TLS"]);
    expect("redis: {}", &["store.redis.url: is missing"]);
    expect("redis: {url: 'rediss://a', sentinel: b}", &["store"]);
    expect("redis: {url: 'rediss://a', cluster: {urls: ['rediss://b']}}", &["store.redis: says twice where"]);
    expect(&SENTINEL.replace("master: main, ", ""), &["store.redis.sentinel.master: is missing"]);
    expect(
        &SENTINEL.replace(", password: {env: REDIS_PASSWORD}", ""),
        &["store.redis.sentinel.username: needs a password"],
    );
    expect(
        &SENTINEL.replace("b.example.com:1/2", "b.example.com:1/3"),
        &["store.redis.sentinel.urls: must all have TLS"],
    );
    expect(
        &CLUSTER.replace("'rediss://b", "'redis://127.0.0.1', 'rediss://b"),
        &["store.redis.cluster.urls: must all have TLS"],
    );
    expect(
        &CLUSTER.replace("rediss://b", "https://b"),
        &["store.redis.cluster.urls[1]: must be an address such as"],
    );
    expect("redis: {cluster: {urls: []}}", &["store.redis.cluster.urls: is empty"]);
    expect("redis: {cluster: {}}", &["store.redis.cluster.urls: is missing"]);
    expect(
        "redis: {cluster: {urls: ['rediss://a/1']}}",
        &["store.redis.cluster.urls: must name no database"],
    );
    let both = format!("{EMBEDDED}\n  redis: {{url: 'rediss://a'}}");
    assert!(try_parse(&both).is_err(), "one store");
}
