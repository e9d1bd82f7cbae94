//! Judging tokens of the identity provider: every check of SEC-27, each with its own text.
//!
//! Nothing of a token is believed before its signature is, and no text of a refusal repeats any of it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::clock::Timestamp;

/// SEC-27: how far the provider's clock and ours may differ.
const SKEW_SECONDS: u64 = 60;

const TOKEN_MAX_BYTES: usize = 16 * 1024;
const SUBJECT_MAX_BYTES: usize = 255;

/// The check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed(pub(super) &'static str);

/// A compact JWS taken apart, not yet verified.
pub(super) struct Unverified<'a> {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    message: &'a str,
    payload: Vec<u8>,
    signature: &'a str,
}

/// A field given twice is an error of the derived reader, so that no two readers can see two tokens in one.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// What a token must say to be believed.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) now: Timestamp,
}

#[derive(Deserialize)]
pub(super) struct IdClaims {
    iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    iat: f64,
    nonce: Option<String>,
    at_hash: Option<String>,
    pub(super) email: Option<Value>,
    email_verified: Option<Value>,
    pub(super) oid: Option<String>,
    pub(super) sid: Option<String>,
}

/// What is looked at in the ID token in hand, which was judged when it came.
#[derive(Default, Deserialize)]
pub(super) struct Before {
    nonce: Option<String>,
}

impl Before {
    pub(super) fn of(id_token: &str) -> Self {
        let token = Unverified::parse(id_token).ok();
        token.and_then(|token| serde_json::from_slice(&token.payload).ok()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(super) struct AccessClaims {
    iss: String,
    sub: String,
    aud: Option<Audience>,
    client_id: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(default, deserialize_with = "said")]
    pub(super) roles: Option<Vec<String>>,
}

/// A claim that is there: `null` is how an empty list may be written, and not a claim left out.
fn said<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(Option::deserialize(claim)?.unwrap_or_default()))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. Only RS256 and ES256 pass: `none` needs no key, and `HS256` would make the published
    /// key the secret.
    pub(super) fn parse(token: &'a str) -> Result<Self, Failed> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Failed("longer than 16 KiB"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_JWS)?;
        let (header, payload) = message.split_once('.').ok_or(NOT_JWS)?;
        if payload.contains('.') {
            return Err(NOT_JWS);
        }
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| NOT_JWS)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NOT_JWS)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| Failed("its header cannot be read"))?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            _ => return Err(Failed("its algorithm is neither RS256 nor ES256")),
        };
        if header.crit.is_some() {
            return Err(Failed("its header demands an extension"));
        }
        if signature.is_empty() {
            return Err(Failed("it has no signature"));
        }
        let kid = header.kid.filter(|kid| !kid.is_empty()).ok_or(Failed("it names no key"))?;
        Ok(Self { kid, algorithm, message, payload, signature })
    }

    /// The claims, if one of `keys` made the signature.
    pub(super) fn verify<T: DeserializeOwned>(&self, keys: &[DecodingKey]) -> Result<T, Failed> {
        if keys.is_empty() {
            return Err(Failed("it names a key the provider does not have"));
        }
        let is_signed = |key: &DecodingKey| {
            crypto::verify(self.signature, self.message.as_bytes(), key, self.algorithm).is_ok_and(|yes| yes)
        };
        if !keys.iter().any(is_signed) {
            return Err(Failed("its signature is wrong"));
        }
        serde_json::from_slice(&self.payload)
            .map_err(|_| Failed("its claims are missing, given twice or of another type"))
    }
}

const NOT_JWS: Failed = Failed("it is not a signed JWT");

impl IdClaims {
    pub(super) fn check(
        &self,
        expected: &Expected<'_>,
        nonce: &str,
        access_token: &str,
    ) -> Result<(), Failed> {
        check_issuer(&self.iss, expected)?;
        self.check_party(expected)?;
        check_times(self.exp, self.nbf, Some(self.iat), expected.now)?;
        check_subject(&self.sub)?;
        let theirs = self.nonce.as_deref().ok_or(Failed("it has no nonce"))?;
        if !bool::from(theirs.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(Failed("its nonce is of another sign-in"));
        }
        self.check_at_hash(access_token)
    }

    /// The checks of an ID token that came with a refresh (`OpenID` Connect Core §12.2): those of a sign-in, and the
    /// nonce of the token before it, or none. Issuer and subject are compared by the caller, to whom another one
    /// means more than a token that is not believed.
    pub(super) fn check_refreshed(
        &self,
        expected: &Expected<'_>,
        before: &Before,
        access_token: &str,
    ) -> Result<(), Failed> {
        self.check_party(expected)?;
        check_times(self.exp, self.nbf, Some(self.iat), expected.now)?;
        if self.nonce.is_some() && self.nonce != before.nonce {
            return Err(Failed("its nonce is of another sign-in"));
        }
        self.check_at_hash(access_token)
    }

    /// Whether it speaks of this person at this issuer.
    pub(super) fn is_of(&self, issuer: &str, subject: &str) -> bool {
        self.iss == issuer && self.sub == subject
    }

    fn check_party(&self, expected: &Expected<'_>) -> Result<(), Failed> {
        if !self.aud.contains(expected.client_id) {
            return Err(Failed("it is for another audience"));
        }
        match &self.azp {
            Some(azp) if azp != expected.client_id => Err(Failed("it was issued to another party (azp)")),
            None if self.aud.is_several() => {
                Err(Failed("it has several audiences and does not say whom it was issued to (azp)"))
            }
            _ => Ok(()),
        }
    }

    fn check_at_hash(&self, access_token: &str) -> Result<(), Failed> {
        match &self.at_hash {
            Some(hash) if *hash != left_half_hash(access_token) => {
                Err(Failed("its at_hash is of another access token"))
            }
            _ => Ok(()),
        }
    }

    /// Only an explicit JSON `true` (SEC-28): `"true"` and `1` are somebody else's idea of yes.
    pub(super) fn is_email_verified(&self) -> bool {
        self.email_verified == Some(Value::Bool(true))
    }
}

impl AccessClaims {
    /// The checks of an ID token, as far as an access token has the claims, and the same person.
    pub(super) fn check(&self, expected: &Expected<'_>, subject: &str) -> Result<(), Failed> {
        check_issuer(&self.iss, expected)?;
        let is_audience = self.aud.as_ref().is_some_and(|aud| aud.contains(expected.client_id));
        if !is_audience && self.client_id.as_deref() != Some(expected.client_id) {
            return Err(Failed("it is for another client"));
        }
        check_times(self.exp, self.nbf, self.iat, expected.now)?;
        if self.is_of(subject) { Ok(()) } else { Err(Failed("it is of another person")) }
    }

    pub(super) fn is_of(&self, subject: &str) -> bool {
        self.sub == subject
    }
}

impl Audience {
    fn contains(&self, client_id: &str) -> bool {
        match self {
            Self::One(one) => one == client_id,
            Self::Several(several) => several.iter().any(|one| one == client_id),
        }
    }

    fn is_several(&self) -> bool {
        matches!(self, Self::Several(several) if several.len() > 1)
    }
}

fn check_issuer(issuer: &str, expected: &Expected<'_>) -> Result<(), Failed> {
    if issuer == expected.issuer { Ok(()) } else { Err(Failed("it is from another issuer")) }
}

/// RFC 7519 §2: dates may have fractions. A clock of ours beyond 2^53 seconds is no concern.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
fn check_times(exp: f64, nbf: Option<f64>, iat: Option<f64>, now: Timestamp) -> Result<(), Failed> {
    let (now, skew) = (now.seconds() as f64, SKEW_SECONDS as f64);
    // Written so that a NaN, which JSON cannot hold anyhow, would fail.
    let is_alive = exp + skew > now;
    let has_begun = |at: Option<f64>| at.is_none_or(|at| at <= now + skew);
    match (is_alive, has_begun(nbf), has_begun(iat)) {
        (true, true, true) => Ok(()),
        (false, _, _) => Err(Failed("it has expired")),
        (_, false, _) => Err(Failed("it is not valid yet (nbf)")),
        (_, _, false) => Err(Failed("it was issued in the future (iat)")),
    }
}

fn check_subject(subject: &str) -> Result<(), Failed> {
    let fits = !subject.trim().is_empty()
        && subject.len() <= SUBJECT_MAX_BYTES
        && !subject.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Failed("its subject is empty, too long or holds control characters")) }
}

/// `OpenID` Connect Core §3.1.3.6 for algorithms with SHA-256.
pub(super) fn left_half_hash(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}
