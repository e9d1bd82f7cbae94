//! Section `store`: where state lives.

use std::time::Duration;

use url::Url;

use super::{Check, is_loopback};
use crate::config::{RedisStore, Store, problem::At, raw};

/// What a Redis listens on where nothing else is said.
const PORT: u16 = 6379;

/// The longest prefix of keys.
const LONGEST_PREFIX: usize = 64;

impl Check<'_> {
    pub(super) fn store(&mut self, raw: Option<raw::Store>) -> Option<Store> {
        let at = At::section("store");
        match self.required(&at, raw)? {
            raw::Store::Embedded(embedded) => {
                let path = self.text(&at.key("embedded").key("path"), embedded.path)?;
                Some(Store::Embedded { path: self.path(&path) })
            }
            raw::Store::Redis(redis) => self.redis(&at.key("redis"), redis).map(Store::Redis),
        }
    }

    fn redis(&mut self, at: &At, raw: raw::Redis) -> Option<RedisStore> {
        let url = self.redis_url(&at.key("url"), raw.url);
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
        if ca_file.is_some() && url.as_ref().is_some_and(|(url, _)| url.scheme() == "redis") {
            self.problem(&at.key("ca_file"), "is of no use without TLS: remove it, or make the url rediss");
        }
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_millis(250));
        let connect_timeout =
            self.span(&at.key("connect_timeout"), raw.connect_timeout, Duration::from_secs(1));
        let epoch_tolerance =
            self.span(&at.key("epoch_tolerance"), raw.epoch_tolerance, Duration::from_secs(10));
        let (url, database) = url?;
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(RedisStore {
            host,
            port: url.port().unwrap_or(PORT),
            database,
            tls: url.scheme() == "rediss",
            username,
            password: password.map_or(Some(None), |password| password.map(Some))?,
            prefix,
            timeout,
            connect_timeout,
            ca_file: ca_file.flatten(),
            epoch_tolerance,
        })
    }

    /// The address and the number of the database in it.
    fn redis_url(&mut self, at: &At, text: Option<String>) -> Option<(Url, i64)> {
        let url = Url::parse(&self.text(at, text)?).ok();
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
        Some((url, database))
    }
}

/// The URL parser knows hosts only of the schemes it knows.
fn is_redis_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| is_loopback(&url))
}
