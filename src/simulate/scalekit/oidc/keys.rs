//! The keys that sign tokens.

use std::io;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The key in use and the earlier ones that are still published.
pub(in crate::simulate::scalekit) struct Keys {
    current: SigningKey,
    earlier: Vec<SigningKey>,
    /// The connection that a sign-in by mail runs over; it names the way in `amr`.
    connection: String,
}

struct SigningKey {
    pair: KeyPair,
    id: String,
}

impl Keys {
    pub(in crate::simulate::scalekit) fn generate(id: String, connection: String) -> io::Result<Self> {
        Ok(Self { current: SigningKey::generate(id)?, earlier: Vec::new(), connection })
    }

    /// Makes a new key the current one; the old one stays published unless it is retired.
    pub(in crate::simulate::scalekit) fn rotate(&mut self, id: String, retire: bool) -> io::Result<String> {
        let old = std::mem::replace(&mut self.current, SigningKey::generate(id)?);
        if retire {
            self.earlier.clear();
        } else {
            self.earlier.push(old);
        }
        Ok(self.current.id.clone())
    }

    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": self.published().map(SigningKey::jwk).collect::<Vec<_>>() })
    }

    fn published(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.earlier)
    }

    pub(super) fn connection(&self) -> &str {
        &self.connection
    }

    /// A compact JWS (RFC 7515 §3.1) with RS256.
    pub(super) fn sign(&self, claims: &Value) -> io::Result<String> {
        self.current.sign(claims)
    }

    /// The same by a key nobody knows, under the current key's id.
    pub(super) fn sign_with_foreign_key(&self, claims: &Value) -> io::Result<String> {
        SigningKey::generate(self.current.id.clone())?.sign(claims)
    }

    /// The same under a header of the caller's.
    pub(super) fn sign_under(&self, header: &Value, claims: &Value) -> io::Result<String> {
        self.current.sign_under(header, claims)
    }

    /// HMAC with the public key as the secret: the old confusion of algorithms.
    pub(super) fn sign_with_public_key(&self, claims: &Value) -> String {
        let message = unsigned(&json!({ "alg": "HS256", "kid": self.current.id, "typ": "JWT" }), claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.current.pair.public_key().as_ref());
        let tag = hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Whether this key set signed `token`, and then what it claims. The lifetime is not looked at.
    pub(super) fn claims(&self, token: &str) -> Option<Value> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let verifies = |key: &SigningKey| {
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pair.public_key().as_ref());
            public.verify(message.as_bytes(), &signature).is_ok()
        };
        self.published().find(|key| verifies(key))?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()?).ok()
    }
}

impl SigningKey {
    fn generate(id: String) -> io::Result<Self> {
        let pair =
            KeyPair::generate(KeySize::Rsa2048).map_err(|_| io::Error::other("cannot make an RSA key"))?;
        Ok(Self { pair, id })
    }

    fn sign(&self, claims: &Value) -> io::Result<String> {
        self.sign_under(&json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" }), claims)
    }

    fn sign_under(&self, header: &Value, claims: &Value) -> io::Result<String> {
        let message = unsigned(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| io::Error::other("cannot sign"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half (RFC 7517, RFC 7518 §6.3).
    fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        })
    }
}

/// Header and claims, joined as the signature covers them.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}
