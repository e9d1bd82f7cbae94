//! Section `store`: where state lives.

use std::time::Duration;

use url::Url;

use super::{Check, is_loopback};
use crate::config::{RedisAddress, RedisShape, RedisStore, Sentinels, Store, problem::At, raw};

/// What a Redis listens on where nothing else is said.
const PORT: u16 = 6379;

/// What a Sentinel listens on.
const SENTINEL_PORT: u16 = 26379;

/// What an address says beside host and port.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    tls: bool,
    database: i64,
}

/// The longest prefix of keys.
const LONGEST_PREFIX: usize = 64;

/// More would leave a replica that is alone nothing to grant.
const MOST_REPLICAS: u32 = 1000;

impl Check<'_> {
    pub(super) fn store(&mut self, raw: Option<raw::Store>) -> Option<Store> {
        let at = At::section("store");
        match self.required(&at, raw)? {
            raw::Store::Embedded(embedded) => {
                let path = self.text(&at.key("embedded").key("path"), embedded.path)?;
                Some(Store::Embedded { path: self.path(&path) })
            }
            raw::Store::Redis(redis) => {
                self.redis(&at.key("redis"), *redis).map(|redis| Store::Redis(Box::new(redis)))
            }
        }
    }

    fn redis(&mut self, at: &At, raw: raw::Redis) -> Option<RedisStore> {
        let shape = self.redis_shape(at, raw.url, raw.sentinel, raw.cluster);
        let username = self.optional_text(&at.key("username"), raw.username);
        let password_at = at.key("password");
        if username.is_some() && raw.password.is_none() {
            self.problem(&at.key("username"), "needs a password beside it: add `password`, or remove it");
        }
        let password = raw.password.map(|password| self.secret(&password_at, Some(password)));
        let prefix = raw.prefix.unwrap_or_else(|| "crossfade:".into());
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte));
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !is_plain {
            let text = format!("must be 1 to {LONGEST_PREFIX} visible ASCII characters other than braces");
            self.problem(&at.key("prefix"), text);
        }
        let ca_file = raw.ca_file.map(|text| self.file(&at.key("ca_file"), Some(text)));
        if ca_file.is_some() && shape.as_ref().is_some_and(|(_, way)| !way.tls) {
            self.problem(&at.key("ca_file"), "is of no use without TLS: remove it, or make the url rediss");
        }
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_millis(250));
        let connect_timeout =
            self.span(&at.key("connect_timeout"), raw.connect_timeout, Duration::from_secs(1));
        let epoch_tolerance =
            self.span(&at.key("epoch_tolerance"), raw.epoch_tolerance, Duration::from_secs(10));
        let replicas = raw.replicas.unwrap_or(1);
        if !(1..=MOST_REPLICAS).contains(&replicas) {
            self.problem(&at.key("replicas"), format!("must be between 1 and {MOST_REPLICAS}"));
        }
        let (shape, Way { tls, database }) = shape?;
        Some(RedisStore {
            shape,
            database,
            tls,
            username,
            password: password.map_or(Some(None), |password| password.map(Some))?,
            prefix,
            timeout,
            connect_timeout,
            replicas,
            ca_file: ca_file.flatten(),
            epoch_tolerance,
        })
    }

    fn redis_shape(
        &mut self,
        at: &At,
        url: Option<String>,
        sentinel: Option<raw::Sentinel>,
        cluster: Option<raw::Cluster>,
    ) -> Option<(RedisShape, Way)> {
        match (url, sentinel, cluster) {
            (Some(url), None, None) => {
                let (address, way) = self.redis_url(&at.key("url"), url, PORT)?;
                Some((RedisShape::Single(address), way))
            }
            (None, Some(sentinel), None) => self.sentinels(&at.key("sentinel"), sentinel),
            (None, None, Some(cluster)) => {
                let at = at.key("cluster").key("urls");
                let (addresses, way) = self.redis_urls(&at, cluster.urls, PORT)?;
                if way.database != 0 {
                    self.problem(&at, "must name no database: a cluster has only number 0");
                }
                Some((RedisShape::Cluster(addresses), way))
            }
            (None, None, None) => {
                self.problem(&at.key("url"), "is missing: add it, or `sentinel` or `cluster` instead");
                None
            }
            _ => {
                self.problem(at, "says twice where Redis is: keep one of `url`, `sentinel` and `cluster`");
                None
            }
        }
    }

    fn sentinels(&mut self, at: &At, raw: raw::Sentinel) -> Option<(RedisShape, Way)> {
        let master = self.text(&at.key("master"), raw.master);
        let urls = self.redis_urls(&at.key("urls"), raw.urls, SENTINEL_PORT);
        let username = self.optional_text(&at.key("username"), raw.username);
        if username.is_some() && raw.password.is_none() {
            self.problem(&at.key("username"), "needs a password beside it: add `password`, or remove it");
        }
        let password = raw.password.map(|password| self.secret(&at.key("password"), Some(password)));
        let password = password.map_or(Some(None), |password| password.map(Some))?;
        let (addresses, way) = urls?;
        Some((RedisShape::Sentinel(Sentinels { master: master?, addresses, username, password }), way))
    }

    /// Addresses that differ in nothing but host and port.
    fn redis_urls(
        &mut self,
        at: &At,
        urls: Option<Vec<String>>,
        port: u16,
    ) -> Option<(Vec<RedisAddress>, Way)> {
        let urls = self.required(at, urls)?;
        if urls.is_empty() {
            self.problem(at, "is empty: name at least one, better three");
        }
        let read: Vec<_> = urls
            .into_iter()
            .enumerate()
            .map(|(place, url)| self.redis_url(&at.index(place), url, port))
            .collect();
        let (addresses, ways): (Vec<_>, Vec<_>) =
            read.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let way = *ways.first()?;
        if ways.iter().any(|other| *other != way) {
            self.problem(at, "must all have TLS or none of them, and name the same database");
            return None;
        }
        Some((addresses, way))
    }

    /// An address and what it says beside.
    fn redis_url(&mut self, at: &At, text: String, port: u16) -> Option<(RedisAddress, Way)> {
        let url = Url::parse(&self.text(at, Some(text))?).ok();
        let url = url.filter(|url| url.host().is_some() && matches!(url.scheme(), "redis" | "rediss"));
        let Some(url) = url else {
            self.problem(at, "must be an address such as rediss://redis.example.com:6379/0");
            return None;
        };
        // The address is printed, and a secret in it would be, too.
        if !url.username().is_empty() || url.password().is_some() {
            self.problem(at, "must not hold a user or a password: use `username` and `password` beside it");
            return None;
        }
        let database = match url.path().trim_start_matches('/') {
            "" => Some(0),
            number => number.parse::<u16>().ok().map(i64::from),
        };
        let Some(database) = database.filter(|_| url.query().is_none() && url.fragment().is_none()) else {
            self.problem(at, "must end after the number of the database, such as /0, or after the port");
            return None;
        };
        if url.scheme() == "redis" && !is_redis_loopback(&url) {
            self.warn(
                at,
                "has no TLS: sessions, e-mail addresses and the password of Redis can be read on the way",
            );
        }
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let address = RedisAddress { host, port: url.port().unwrap_or(port) };
        Some((address, Way { tls: url.scheme() == "rediss", database }))
    }
}

/// The URL parser knows hosts only of the schemes it knows.
fn is_redis_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}
