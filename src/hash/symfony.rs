//! Symfony's message digest encoder (FOSUserBundle): the salted password goes into every round.

use super::{
    HashError, StoredHash,
    algorithm::Algorithm,
    encoding::{base64, hex, to_base64, to_hex},
    fields::{Fields, Refusal},
    recipe::{Arena, Recipe, Rounds, Work, within},
};
use crate::config::HashCeilings;

struct Merged {
    algorithm: Algorithm,
    /// `{salt}`, or nothing.
    salt: Vec<u8>,
    iterations: u64,
}

impl Work for Merged {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        within(self.iterations, u64::from(ceilings.digest_iterations))
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let merged = zeroize::Zeroizing::new([password, &self.salt].concat());
        Ok(self.algorithm.chain(&[&merged], self.iterations.saturating_sub(1), &[], &merged))
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("iterations", self.iterations)]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        Rounds::new("symfony", self.algorithm.name(), self.iterations)
    }

    fn work_off(
        &self,
        count: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        let rest = Self { iterations: count, salt: self.salt.clone(), ..*self };
        rest.derive(password, length, arena).map(drop)
    }

    /// Symfony answers "no" above 4,096 bytes.
    fn takes(&self, password_bytes: usize) -> Result<bool, HashError> {
        Ok(password_bytes <= 4096)
    }
}

/// Settings of `symfony-digest`.
#[derive(Clone)]
pub(super) struct SymfonySettings {
    algorithm: Algorithm,
    salt: Option<String>,
    iterations: u64,
    base64: bool,
}

impl SymfonySettings {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            algorithm: fields.choice("algorithm", Algorithm::from_name)?.unwrap_or(Algorithm::Sha512),
            salt: fields.text("salt")?.map(str::to_owned),
            iterations: fields.number("iterations")?.unwrap_or(5000),
            base64: fields.flag("encode_as_base64")?.unwrap_or(true),
        })
    }

    pub(super) fn parse(&self, stored: &StoredHash) -> Result<Recipe, HashError> {
        let digest = if self.base64 { base64(&stored.text)? } else { hex(&stored.text)? };
        let salt = stored.salt.as_deref().or(self.salt.as_deref()).unwrap_or_default();
        // Symfony refuses to hash with such a salt.
        if digest.len() != self.algorithm.length() || salt.contains(['{', '}']) {
            return Err(HashError::Syntax);
        }
        let salt = if salt.is_empty() { Vec::new() } else { format!("{{{salt}}}").into_bytes() };
        Ok(Recipe::new(Merged { algorithm: self.algorithm, salt, iterations: self.iterations }, digest))
    }

    pub(super) fn sample(&self) -> StoredHash {
        let zeros = vec![0; self.algorithm.length()];
        let text = if self.base64 { to_base64(&zeros) } else { to_hex(&zeros) };
        StoredHash { text, salt: Some("0".repeat(31)) }
    }
}
