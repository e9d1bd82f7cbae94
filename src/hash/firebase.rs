//! Firebase's scrypt: the derived key encrypts the project's signer key, and the ciphertext is the hash.

use aes::Aes256;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};

use super::{
    HashError, StoredHash,
    encoding::{base64, base64_either, to_base64},
    fields::{Fields, Refusal},
    recipe::{Arena, Recipe, Work},
    scrypt::{Scrypt, ln_r_p},
};
use crate::config::HashCeilings;

/// What scrypt derives: a key of AES-256.
const KEY_BYTES: usize = 32;

struct FirebaseScrypt {
    scrypt: Scrypt,
    signer_key: Vec<u8>,
}

impl Work for FirebaseScrypt {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        self.scrypt.check(ceilings, KEY_BYTES)
    }

    fn derive(&self, password: &[u8], _length: usize, arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let key = zeroize::Zeroizing::new(self.scrypt.derive(password, KEY_BYTES, arena)?);
        let mut cipher =
            ctr::Ctr128BE::<Aes256>::new_from_slices(&key, &[0; 16]).map_err(|_| HashError::Range)?;
        let mut text = self.signer_key.clone();
        cipher.apply_keystream(&mut text);
        Ok(text)
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        self.scrypt.costs()
    }
}

/// Salt and separator are one salt to scrypt; Firebase's "rounds" are its block size r.
fn recipe(
    n_log2: u64,
    r: u64,
    p: u64,
    salt: &[Vec<u8>; 2],
    signer_key: Vec<u8>,
    hash: Vec<u8>,
) -> Result<Recipe, HashError> {
    if signer_key.is_empty() || hash.len() != signer_key.len() {
        return Err(HashError::Syntax);
    }
    let n_log2 = u32::try_from(n_log2).map_err(|_| HashError::Range)?;
    Ok(Recipe::new(FirebaseScrypt { scrypt: Scrypt { n_log2, r, p, salt: salt.concat() }, signer_key }, hash))
}

/// Settings of `firebase-scrypt`: the project's hash configuration, which is not part of an export.
#[derive(Clone)]
pub(super) struct FirebaseSettings {
    signer_key: Vec<u8>,
    salt_separator: Vec<u8>,
    rounds: u64,
    mem_cost: u64,
    salt: Option<String>,
}

impl FirebaseSettings {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        fields.choice("algorithm", |name| (name == "SCRYPT").then_some(()))?;
        let mut bytes = |key: &'static str| -> Result<Vec<u8>, Refusal> {
            let text = fields.need_text(key)?;
            base64_either(text).map_err(|_| fields.refuse(key, "must be base64"))
        };
        Ok(Self {
            signer_key: bytes("base64_signer_key")?,
            salt_separator: bytes("base64_salt_separator")?,
            rounds: fields.need_number("rounds")?,
            mem_cost: fields.need_number("mem_cost")?,
            salt: fields.text("salt")?.map(str::to_owned),
        })
    }

    pub(super) fn parse(&self, stored: &StoredHash) -> Result<Recipe, HashError> {
        let salt = stored.salt.as_deref().or(self.salt.as_deref()).ok_or(HashError::Syntax)?;
        let salt = [base64_either(salt)?, self.salt_separator.clone()];
        let hash = base64_either(&stored.text)?;
        recipe(self.mem_cost, self.rounds, 1, &salt, self.signer_key.clone(), hash)
    }

    pub(super) fn sample(&self) -> StoredHash {
        let text = to_base64(&vec![0; self.signer_key.len()]);
        StoredHash { text, salt: Some(to_base64(&[0; 10])) }
    }
}

/// All in one text: `$firescrypt$ln=14,r=8,p=1$salt$hash$separator$signer key`; here `ln` is log2 N.
pub(super) fn string(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$firescrypt$").ok_or(HashError::Syntax)?;
    let [params, salt, hash, separator, signer_key] = super::parts(rest)?;
    let [n_log2, r, p] = ln_r_p(params)?;
    recipe(n_log2, r, p, &[base64(salt)?, base64(separator)?], base64(signer_key)?, base64(hash)?)
}
