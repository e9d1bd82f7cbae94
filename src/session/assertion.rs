//! The signed assertion: how the application learns, and can check, who is there.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::Digest;
use crate::clock::Timestamp;

/// The key that signs assertions: ECDSA P-256.
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

/// The key cannot be used or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ECDSA P-256 private key in PKCS#8")]
pub(crate) struct KeyError;

impl SigningKey {
    /// A key from PKCS#8 DER bytes.
    pub(crate) fn from_der(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(|_| KeyError)?;
        let id = Digest::of(&URL_SAFE_NO_PAD.encode(pair.public_key())).as_str().chars().take(16).collect();
        Ok(Self { pair, id })
    }

    /// A key from a PEM file's bytes.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError)?;
        Self::from_der(der.secret_pkcs8_der())
    }

    /// A new key as PKCS#8 DER.
    pub(crate) fn generate() -> Result<Vec<u8>, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError)?;
        Ok(pair.to_pkcs8v1().map_err(|_| KeyError)?.as_ref().to_vec())
    }

    /// The public half as a JWK (RFC 7517, RFC 7518 §6.2).
    fn jwk(&self) -> Value {
        // Uncompressed point: 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).map(|xy| xy.split_at(xy.len() / 2)).unwrap_or_default();
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y,
        })
    }

    /// Signs claims as a compact JWS with ES256 (RFC 7515, RFC 7518 §3.4).
    fn sign(&self, claims: &impl Serialize) -> Option<String> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let message =
            format!("{}.{}", part(serde_json::to_vec(&header).ok()?), part(serde_json::to_vec(claims).ok()?));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// What one assertion says.
#[derive(Debug, Serialize)]
pub(crate) struct Assertion<'a> {
    /// The user by the configured rule.
    pub(crate) sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<&'a str>,
    pub(crate) groups: &'a [String],
    /// Scalekit's user id.
    pub(crate) scalekit_user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) legacy_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) legacy_login: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    #[serde(flatten)]
    person: &'a Assertion<'a>,
}

/// How long readers may keep the published keys; a new key is published this long before it signs.
pub(crate) const KEYS_KEPT_FOR: Duration = Duration::from_mins(5);

/// How much longer than an assertion lives its key stays published: readers' clocks differ.
const OLD_KEY_MARGIN: Duration = Duration::from_mins(10);

/// Signs assertions for one audience.
#[derive(Debug)]
pub(crate) struct AssertionSigner {
    /// In the order in which they begin to sign; never empty.
    keys: ArcSwap<Vec<Published>>,
    /// The public origin, both issuer and audience: the application serves it, and we speak for it.
    origin: String,
    lifetime: Duration,
}

/// A key that readers can fetch.
#[derive(Clone, Debug)]
struct Published {
    key: Arc<SigningKey>,
    /// From when on it signs.
    from: Timestamp,
}

impl AssertionSigner {
    pub(crate) fn new(key: SigningKey, origin: String, lifetime: Duration) -> Self {
        let only = Published { key: Arc::new(key), from: Timestamp::from_seconds(0) };
        Self { keys: ArcSwap::from_pointee(vec![only]), origin, lifetime }
    }

    /// Takes a further key: published at once, signing once everybody who keeps the old set has asked again. Its
    /// predecessor stays published as long as what it signed. `false` when it is the newest key already.
    pub(crate) fn rotate(&self, key: SigningKey, now: Timestamp) -> bool {
        let before = self.keys.load();
        if before.last().is_some_and(|newest| newest.key.id == key.id) {
            return false;
        }
        let is_known = before.iter().any(|known| known.key.id == key.id);
        let from = if is_known { now } else { now.after(KEYS_KEPT_FOR) };
        let mut keys: Vec<Published> = self.published(&before, now).cloned().collect();
        keys.retain(|known| known.key.id != key.id);
        keys.push(Published { key: Arc::new(key), from });
        self.keys.store(Arc::new(keys));
        true
    }

    /// Learns of a key that others sign with until `signs_until`, and then with the one in use here: until then it signs
    /// here, too, and it stays published as long as what it signed.
    pub(crate) fn follow(&self, former: SigningKey, signs_until: Timestamp, now: Timestamp) {
        let before = self.keys.load();
        let is_known = before.iter().any(|known| known.key.id == former.id);
        if is_known || now >= signs_until.after(self.lifetime + OLD_KEY_MARGIN) {
            return;
        }
        let mut keys = vec![Published { key: Arc::new(former), from: Timestamp::from_seconds(0) }];
        keys.extend(
            before.iter().map(|known| Published { from: known.from.max(signs_until), ..known.clone() }),
        );
        self.keys.store(Arc::new(keys));
    }

    /// The public halves of all keys that may be met, as a JWK set.
    pub(crate) fn jwks(&self, now: Timestamp) -> Value {
        let keys = self.keys.load();
        json!({ "keys": self.published(&keys, now).map(|known| known.key.jwk()).collect::<Vec<_>>() })
    }

    /// A JWT that says who is there; `None` only when the key fails.
    pub(crate) fn sign(&self, person: &Assertion<'_>, now: Timestamp) -> Option<String> {
        let exp = now.after(self.lifetime).seconds();
        let keys = self.keys.load();
        // After a rotation to a key that was known the first may lie in the future.
        let signing = keys.iter().rev().find(|known| known.from <= now).or_else(|| keys.first())?;
        signing.key.sign(&Claims { iss: &self.origin, aud: &self.origin, iat: now.seconds(), exp, person })
    }

    /// Without those whose successor has signed for so long that nothing of theirs is valid any more.
    fn published<'a>(&self, keys: &'a [Published], now: Timestamp) -> impl Iterator<Item = &'a Published> {
        let stays = self.lifetime + OLD_KEY_MARGIN;
        keys.iter().enumerate().filter_map(move |(at, known)| {
            let successor = keys.get(at + 1);
            successor.is_none_or(|next| now < next.from.after(stays)).then_some(known)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_key() -> SigningKey {
        SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap()
    }

    fn signer() -> AssertionSigner {
        AssertionSigner::new(a_key(), "https://app.example.com".into(), Duration::from_mins(1))
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_the_old_one_after_it_signed() {
        let signer = signer();
        let start = Timestamp::from_seconds(1_800_000_000);
        let at = |minutes| start.after(Duration::from_mins(minutes));
        let nobody = Assertion {
            sub: "ann",
            email: None,
            groups: &[],
            scalekit_user: "usr_1",
            legacy_id: None,
            legacy_login: None,
            organization: None,
        };
        let signs_with = |now| {
            let token = signer.sign(&nobody, now).unwrap();
            jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
        };
        let published = |now| -> Vec<String> {
            let keys = signer.jwks(now);
            keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().into()).collect()
        };
        let old = signs_with(start);
        let pkcs8 = SigningKey::generate().unwrap();
        let new = SigningKey::from_der(&pkcs8).unwrap();
        let new_id = new.id.clone();
        assert!(signer.rotate(new, start));
        assert!(!signer.rotate(SigningKey::from_der(&pkcs8).unwrap(), at(1)), "the same file again");
        for (minutes, signing, keys) in [
            (0, &old, vec![&old, &new_id]),
            (4, &old, vec![&old, &new_id]),
            (5, &new_id, vec![&old, &new_id]),
            (15, &new_id, vec![&old, &new_id]),
            (16, &new_id, vec![&new_id]),
        ] {
            assert_eq!((&signs_with(at(minutes)), published(at(minutes)).iter().collect()), (signing, keys));
        }
        // A third one while the second waits: what signs now goes on.
        assert!(signer.rotate(a_key(), at(20)));
        assert!(signer.rotate(a_key(), at(21)));
        assert_eq!((signs_with(at(22)), published(at(22)).len()), (new_id, 3));
    }

    /// Two processes that came by different keys: the one that knew both tells the other.
    #[test]
    fn whoever_is_told_of_a_former_key_signs_as_the_others_do() {
        let start = Timestamp::from_seconds(1_800_000_000);
        let at = |minutes| start.after(Duration::from_mins(minutes));
        let signing = |signer: &AssertionSigner, now| {
            let keys = signer.keys.load();
            keys.iter().rev().find(|known| known.from <= now).unwrap().key.id.clone()
        };
        let pkcs8 = [(); 2].map(|()| SigningKey::generate().unwrap());
        let key = |which: usize| SigningKey::from_der(&pkcs8[which]).unwrap();
        let of = |which| {
            AssertionSigner::new(key(which), "https://app.example.com".into(), Duration::from_mins(1))
        };
        let (old, new) = (of(0), of(1));
        assert!(old.rotate(key(1), start));
        new.follow(key(0), at(5), start);
        new.follow(key(0), at(5), start);
        for minutes in [0, 1, 4, 5, 6, 15, 16] {
            assert_eq!(old.jwks(at(minutes)), new.jwks(at(minutes)), "{minutes}");
            assert_eq!(signing(&old, at(minutes)), signing(&new, at(minutes)), "{minutes}");
        }
        // Nothing that it signed is valid any more.
        let late = of(1);
        late.follow(key(0), at(5), at(16));
        assert_eq!(late.keys.load().len(), 1);
    }

    #[test]
    fn an_assertion_verifies_with_the_published_key() {
        let now = jsonwebtoken::get_current_timestamp();
        let signer = signer();
        let jwks = signer.jwks(Timestamp::from_seconds(now));
        let jwk: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks).unwrap();
        let person = Assertion {
            sub: "ann",
            email: None,
            groups: &[],
            scalekit_user: "usr_1",
            legacy_id: Some("42"),
            legacy_login: None,
            organization: None,
        };
        let token = signer.sign(&person, Timestamp::from_seconds(now)).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&["https://app.example.com"]);
        validation.set_issuer(&["https://app.example.com"]);
        let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk.keys[0]).unwrap();
        let decoded = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();
        assert_eq!(decoded.claims["sub"], "ann");
        assert_eq!(decoded.claims["exp"], now + 60);
    }
}
