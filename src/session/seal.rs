//! Sealing: authenticated encryption of what leaves the process or is stored, and random names.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::identity::Secret;

/// What a sealed value is for; one made for one purpose never opens for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Tokens,
    Device,
    Known,
    Flow,
    SigningKey,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Tokens => b"crossfade tokens 1",
            Self::Device => b"crossfade device 1",
            Self::Known => b"crossfade known device 1",
            Self::Flow => b"crossfade flow 1",
            Self::SigningKey => b"crossfade signing key 1",
        }
    }
}

/// A sealing key and its public name in the envelope.
struct Key {
    id: [u8; 4],
    aead: LessSafeKey,
}

/// The configured keys: the first seals, all open, so that keys rotate without sign-outs (SEC-29). They are swapped
/// whole while everybody who holds the ring goes on using it.
pub(crate) struct KeyRing {
    keys: ArcSwap<Vec<Key>>,
}

/// The operating system gave no randomness, or a key did not fit: nothing can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealing failed")]
pub(crate) struct SealError;

const NONCE_BYTES: usize = 12;

impl KeyRing {
    /// Keys as configured, at least one, at least 32 bytes each (`config` has checked both).
    pub(crate) fn new(secrets: &[Secret]) -> Result<Self, SealError> {
        Ok(Self { keys: ArcSwap::from_pointee(derived(secrets)?) })
    }

    /// Takes other keys into force (REL-11). With several replicas a new key is first added behind the one in use
    /// everywhere, and only then put in front: whoever has not read it yet cannot open what it seals.
    pub(crate) fn replace(&self, secrets: &[Secret]) -> Result<(), SealError> {
        self.keys.store(Arc::new(derived(secrets)?));
        Ok(())
    }

    /// Whether a value names one of the keys; what it holds is not looked at.
    pub(crate) fn knows(&self, sealed: &str) -> bool {
        key_id(sealed).is_some_and(|id| self.keys.load().iter().any(|key| key.id == id))
    }

    /// Whether a value names the key that seals now.
    pub(crate) fn is_current(&self, sealed: &str) -> bool {
        key_id(sealed).is_some_and(|id| self.keys.load().first().is_some_and(|key| key.id == id))
    }

    /// `base64url(key id ‖ nonce ‖ ciphertext ‖ tag)` with the active key.
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8]) -> Result<String, SealError> {
        let keys = self.keys.load();
        let key = keys.first().ok_or(SealError)?;
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| SealError)?;
        let mut data = plain.to_vec();
        let aad = Aad::from(purpose.label());
        let sealing = Nonce::assume_unique_for_key(nonce);
        key.aead.seal_in_place_append_tag(sealing, aad, &mut data).map_err(|_| SealError)?;
        let envelope = [key.id.as_slice(), &nonce, &data].concat();
        Ok(URL_SAFE_NO_PAD.encode(envelope))
    }

    /// What was sealed, or `None` for anything not sealed by one of our keys for this purpose.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &str) -> Option<Vec<u8>> {
        let envelope = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (id, rest) = envelope.split_at_checked(4)?;
        let (nonce, data) = rest.split_at_checked(NONCE_BYTES)?;
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.id == id)?;
        let mut data = data.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = key.aead.open_in_place(nonce, Aad::from(purpose.label()), &mut data).ok()?;
        Some(plain.to_vec())
    }
}

/// The key that an envelope names.
fn key_id(sealed: &str) -> Option<[u8; 4]> {
    // Eight characters hold six bytes.
    let head = URL_SAFE_NO_PAD.decode(sealed.get(..8)?).ok()?;
    head.first_chunk().copied()
}

fn derived(secrets: &[Secret]) -> Result<Vec<Key>, SealError> {
    secrets.iter().map(|secret| Key::derive(secret.expose().as_bytes())).collect()
}

impl Key {
    fn derive(secret: &[u8]) -> Result<Self, SealError> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = hmac::sign(&master, b"crossfade sealing key 1");
        let name = hmac::sign(&master, b"crossfade key id 1");
        let id = name.as_ref().get(..4).and_then(|id| id.try_into().ok()).ok_or(SealError)?;
        let aead = UnboundKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| SealError)?;
        Ok(Self { id, aead: LessSafeKey::new(aead) })
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({} keys)", self.keys.load().len())
    }
}

/// 256 random bits from the operating system, as base64url: session ids, states, nonces, verifiers.
pub(crate) fn random_token() -> Result<String, SealError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SealError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(letter: char) -> Secret {
        Secret::new(letter.to_string().repeat(32))
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let ring = KeyRing::new(&[secret('a')]).unwrap();
        let sealed = ring.seal(Purpose::Tokens, b"canary").unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(ring.open(Purpose::Tokens, &sealed).as_deref(), Some(b"canary".as_slice()));
        assert_eq!(ring.open(Purpose::Device, &sealed), None);
        for at in [0, 5, 20, sealed.len() - 1] {
            let mut broken = sealed.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(ring.open(Purpose::Tokens, &String::from_utf8(broken).unwrap()), None);
        }
    }

    #[test]
    fn keys_rotate_and_old_values_still_open() {
        let old = KeyRing::new(&[secret('a')]).unwrap();
        let sealed = old.seal(Purpose::Device, b"x").unwrap();
        let rotated = KeyRing::new(&[secret('b'), secret('a')]).unwrap();
        assert!(rotated.open(Purpose::Device, &sealed).is_some());
        let retired = KeyRing::new(&[secret('b')]).unwrap();
        assert!(retired.open(Purpose::Device, &sealed).is_none());
        assert!(retired.open(Purpose::Device, "").is_none());
        assert!(rotated.knows(&sealed) && !rotated.is_current(&sealed) && !retired.knows(&sealed));
        assert!(!retired.knows("") && !retired.knows("short") && !retired.knows("ééééé"));
        old.replace(&[secret('b'), secret('a')]).unwrap();
        assert!(old.open(Purpose::Device, &sealed).is_some());
        assert!(old.is_current(&old.seal(Purpose::Device, b"y").unwrap()));
    }

    #[test]
    fn random_tokens_do_not_repeat() {
        assert_ne!(random_token().unwrap(), random_token().unwrap());
        assert_eq!(random_token().unwrap().len(), 43);
    }
}
