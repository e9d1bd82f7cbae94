//! The signed assertion: how the application learns, and can check, who is there.

use std::{fmt, time::Duration};

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

    /// The public half as a JWK set (RFC 7517, RFC 7518 §6.2).
    pub(crate) fn jwks(&self) -> Value {
        // Uncompressed point: 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).map(|xy| xy.split_at(xy.len() / 2)).unwrap_or_default();
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y,
        }]})
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

/// Signs assertions for one audience.
#[derive(Debug)]
pub(crate) struct AssertionSigner {
    pub(crate) key: SigningKey,
    /// The public origin, both issuer and audience: the application serves it, and we speak for it.
    pub(crate) origin: String,
    pub(crate) lifetime: Duration,
}

impl AssertionSigner {
    /// A JWT that says who is there; `None` only when the key fails.
    pub(crate) fn sign(&self, person: &Assertion<'_>, now: Timestamp) -> Option<String> {
        let exp = now.after(self.lifetime).seconds();
        self.key.sign(&Claims { iss: &self.origin, aud: &self.origin, iat: now.seconds(), exp, person })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_verifies_with_the_published_key() {
        let key = SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap();
        let jwk: jsonwebtoken::jwk::JwkSet = serde_json::from_value(key.jwks()).unwrap();
        let signer = AssertionSigner {
            key,
            origin: "https://app.example.com".into(),
            lifetime: Duration::from_mins(1),
        };
        let person = Assertion {
            sub: "ann",
            email: None,
            groups: &[],
            scalekit_user: "usr_1",
            legacy_id: Some("42"),
            legacy_login: None,
            organization: None,
        };
        let now = jsonwebtoken::get_current_timestamp();
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
