//! The provider's public keys (RFC 7517), by `kid`.
//!
//! Only RSA keys for RS256 and P-256 keys for ES256 are taken in; a symmetric key in the set is never a key here. An
//! unknown `kid` asks for the set again, at most once in 30 s (SEC-27): otherwise whoever can make up tokens makes
//! us call. A regular fetch does not count, so that a rotation right after it fails no sign-in. A key that left the set still verifies for a while, because tokens it signed are under way.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    channel::{Channel, read},
    discovery::DOCUMENT_MAX_BYTES,
    error::Trouble,
    shelf::{Fetched, Shelf},
};
use crate::clock::{Deadline, SharedClock};

/// SEC-27.
const UNKNOWN_KID_PAUSE: Duration = Duration::from_secs(30);
const RENEW_AFTER: Duration = Duration::from_hours(1);
const KEEP_FOR: Duration = Duration::from_hours(24);

/// How long a key that left the set still verifies.
const OLD_KEY_FOR: Duration = Duration::from_hours(1);

/// More keys than this, old ones included, are not kept.
const KEYS_MAX: usize = 64;

/// RSA keys below 2,048 bits are refused (RFC 7518 §3.3); above 8,192 they cost more than they protect.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The key set of one issuer.
pub(super) struct Jwks {
    clock: SharedClock,
    shelf: Shelf<Keys>,
}

/// Keys as last seen.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    algorithm: Algorithm,
    public: DecodingKey,
    /// Monotonic reading of the last fetch that had it.
    seen_at: Duration,
}

/// Members of a JWK that are looked at; a private or symmetric part is not.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Jwks {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { shelf: Shelf::new(clock.clone()), clock }
    }

    /// The keys of this id and algorithm; several only where a provider reuses an id. Empty when there is none.
    pub(super) async fn find(
        &self,
        kid: &str,
        algorithm: Algorithm,
        (channel, uri): (&Channel, &Url),
        deadline: Deadline,
    ) -> Result<Vec<DecodingKey>, Trouble> {
        let fetch = |deadline| self.fetch(channel, uri, deadline);
        let keys = self.shelf.get(deadline, fetch).await?;
        let found = keys.matching(kid, algorithm);
        if !found.is_empty() {
            return Ok(found);
        }
        match self.shelf.fetch_again(UNKNOWN_KID_PAUSE, deadline, fetch).await {
            Some(keys) => Ok(keys?.matching(kid, algorithm)),
            None => Ok(Vec::new()),
        }
    }

    /// How many keys of the set can check a token.
    pub(super) async fn usable(
        &self,
        (channel, uri): (&Channel, &Url),
        deadline: Deadline,
    ) -> Result<usize, Trouble> {
        let keys = self.shelf.get(deadline, |deadline| self.fetch(channel, uri, deadline)).await?;
        Ok(keys.0.len())
    }

    async fn fetch(
        &self,
        channel: &Channel,
        uri: &Url,
        deadline: Deadline,
    ) -> Result<Fetched<Keys>, Trouble> {
        let set: Set = match channel.send(channel.request(Method::GET, uri.clone()), deadline).await {
            Ok(answer) if answer.body.len() > DOCUMENT_MAX_BYTES => {
                return Err(Trouble::garbage("keys: answered with more than 256 KiB"));
            }
            Ok(answer) => read(&answer).map_err(named)?,
            Err(trouble) => return Err(named(trouble)),
        };
        let now = self.clock.monotonic();
        let mut keys: Vec<_> = set.keys.into_iter().filter_map(|value| Key::read(value, now)).collect();
        if let Some(before) = self.shelf.peek() {
            let is_new =
                |old: &&Key| keys.iter().all(|key| key.id != old.id || key.algorithm != old.algorithm);
            let old = before.0.iter().filter(|key| now.saturating_sub(key.seen_at) < OLD_KEY_FOR);
            keys.extend(old.filter(is_new).cloned().collect::<Vec<_>>());
        }
        keys.truncate(KEYS_MAX);
        Ok(Fetched { value: Keys(keys), renew_after: RENEW_AFTER, keep_for: KEEP_FOR })
    }
}

impl Keys {
    fn matching(&self, kid: &str, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fitting = self.0.iter().filter(|key| key.id == kid && key.algorithm == algorithm);
        fitting.map(|key| key.public.clone()).collect()
    }
}

impl Key {
    /// `None` for a key that cannot verify one of our algorithms, whatever else it may be good for.
    fn read(value: Value, seen_at: Duration) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let may_verify = jwk.r#use.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        let id = jwk.kid.filter(|kid| may_verify && !kid.is_empty())?;
        let algorithm = match (jwk.kty.as_str(), jwk.alg.as_deref()) {
            ("RSA", None | Some("RS256")) => Algorithm::RS256,
            ("EC", None | Some("ES256")) if jwk.crv.as_deref() == Some("P-256") => Algorithm::ES256,
            _ => return None,
        };
        let public = match algorithm {
            Algorithm::RS256 => {
                let n = jwk.n?;
                // Four base64 characters hold three bytes.
                RSA_BYTES.contains(&(n.len() * 3 / 4)).then_some(())?;
                DecodingKey::from_rsa_components(&n, &jwk.e?).ok()?
            }
            _ => DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?,
        };
        Some(Self { id, algorithm, public, seen_at })
    }
}

fn named(trouble: Trouble) -> Trouble {
    Trouble { problem: format!("keys: {}", trouble.problem), ..trouble }
}
