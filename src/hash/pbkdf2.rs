//! PBKDF2 and its many spellings: Django, passlib, PHC, Atlassian; Werkzeug, LDAP, Keycloak and others build on it.

use super::{
    HashError,
    algorithm::Algorithm,
    encoding::{adapted_base64, base64, number},
    recipe::{Arena, Recipe, Rounds, Work, within},
};
use crate::config::HashCeilings;

/// Each block of the result is the whole iterated work again. Up to this length they are not counted: Keycloak asks for 64
/// bytes over whatever digest, which is four blocks of SHA-1 with 1,300,000 iterations.
const COMMON_LENGTH: usize = 64;

pub(super) struct Pbkdf2 {
    pub(super) algorithm: Algorithm,
    pub(super) iterations: u64,
    pub(super) salt: Vec<u8>,
}

impl Pbkdf2 {
    /// Those of all blocks of the result.
    fn all_iterations(&self, length: usize) -> u64 {
        let blocks = u64::try_from(length.div_ceil(self.algorithm.length())).unwrap_or(u64::MAX);
        self.iterations.saturating_mul(blocks)
    }
}

impl Work for Pbkdf2 {
    fn check(&self, ceilings: &HashCeilings, length: usize) -> Result<(), HashError> {
        let counted = if length > COMMON_LENGTH { self.all_iterations(length) } else { self.iterations };
        within(counted, u64::from(ceilings.pbkdf2_iterations))
    }

    fn derive(&self, password: &[u8], length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let iterations = u32::try_from(self.iterations).map_err(|_| HashError::CostLimit)?;
        Ok(self.algorithm.pbkdf2(password, &self.salt, iterations, length))
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("iterations", self.iterations)]
    }

    fn rounds(&self, length: usize) -> Rounds {
        Rounds::new("pbkdf2", self.algorithm.name(), self.all_iterations(length))
    }

    fn work_off(
        &self,
        count: u64,
        password: &[u8],
        _length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        let rest = Self { iterations: count, salt: self.salt.clone(), ..*self };
        rest.derive(password, self.algorithm.length(), arena).map(drop)
    }
}

/// A key as long as the digest, for systems where another length means a damaged hash.
pub(super) fn with_digest_length(work: Pbkdf2, key: Vec<u8>) -> Result<Recipe, HashError> {
    if key.len() != work.algorithm.length() {
        return Err(HashError::Syntax);
    }
    Ok(Recipe::new(work, key))
}

/// Django: `pbkdf2_sha256$iterations$salt$base64`; the salt is its own text.
pub(super) fn django(text: &str) -> Result<Recipe, HashError> {
    let (name, rest) = text.split_once('$').ok_or(HashError::Syntax)?;
    let algorithm = match name.strip_prefix("pbkdf2_") {
        Some("sha1") => Algorithm::Sha1,
        Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(_) => return Err(HashError::Unsupported),
        None => return Err(HashError::Syntax),
    };
    let [iterations, salt, key] = super::parts(rest)?;
    let work = Pbkdf2 { algorithm, iterations: number(iterations)?, salt: salt.as_bytes().to_vec() };
    with_digest_length(work, base64(key)?)
}

/// passlib: `$pbkdf2-sha256$rounds$salt$hash`; `$pbkdf2$` is SHA-1.
pub(super) fn passlib(text: &str) -> Result<Recipe, HashError> {
    let (algorithm, rest) = head(text)?;
    let [rounds, salt, key] = super::parts(rest)?;
    adapted(algorithm, rounds, salt, key)
}

/// Rounds, salt and key the way passlib writes them; `OpenLDAP`'s module does the same.
pub(super) fn adapted(
    algorithm: Algorithm,
    rounds: &str,
    salt: &str,
    key: &str,
) -> Result<Recipe, HashError> {
    let work = Pbkdf2 { algorithm, iterations: number(rounds)?, salt: adapted_base64(salt)? };
    with_digest_length(work, adapted_base64(key)?)
}

/// The algorithm of `$pbkdf2-sha256$…` and what comes after it.
fn head(text: &str) -> Result<(Algorithm, &str), HashError> {
    let rest = text.strip_prefix("$pbkdf2").ok_or(HashError::Syntax)?;
    let (name, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
    match name.strip_prefix('-') {
        None if name.is_empty() => Ok((Algorithm::Sha1, rest)),
        None => Err(HashError::Syntax),
        Some(name) => Ok((Algorithm::from_name(name).ok_or(HashError::Unsupported)?, rest)),
    }
}

/// PHC: `$pbkdf2-sha256$i=100000,l=32$salt$hash`.
pub(super) fn phc(text: &str) -> Result<Recipe, HashError> {
    let (algorithm, rest) = head(text)?;
    let [params, salt, key] = super::parts(rest)?;
    from_phc(algorithm, params, salt, key)
}

/// The same as Auth0 takes it: 100,000 iterations and 64 bytes where nothing is said.
pub(super) fn phc_auth0(text: &str) -> Result<Recipe, HashError> {
    let (algorithm, rest) = head(text)?;
    if let Ok([salt, key]) = super::parts(rest) {
        return from_phc(algorithm, "i=100000,l=64", salt, key);
    }
    phc(text)
}

fn from_phc(algorithm: Algorithm, params: &str, salt: &str, key: &str) -> Result<Recipe, HashError> {
    let (mut iterations, mut length) = (None, None);
    for param in params.split(',') {
        let slot = match param.split_once('=') {
            Some(("i", value)) => (&mut iterations, value),
            Some(("l", value)) => (&mut length, value),
            _ => return Err(HashError::Syntax),
        };
        if slot.0.replace(number(slot.1)?).is_some() {
            return Err(HashError::Syntax);
        }
    }
    let key = base64(key)?;
    if length.is_some_and(|length| usize::try_from(length) != Ok(key.len())) {
        return Err(HashError::Syntax);
    }
    let iterations = iterations.ok_or(HashError::Syntax)?;
    Ok(Recipe::new(Pbkdf2 { algorithm, iterations, salt: base64(salt)? }, key))
}

/// Atlassian: `{PKCS5S2}` + base64 of 16 bytes of salt and 32 of key; 10,000 rounds of SHA-1.
pub(super) fn atlassian(text: &str) -> Result<Recipe, HashError> {
    let bytes = base64(text.strip_prefix("{PKCS5S2}").ok_or(HashError::Syntax)?)?;
    match bytes.split_at_checked(16) {
        Some((salt, key)) if key.len() == 32 => {
            let work = Pbkdf2 { algorithm: Algorithm::Sha1, iterations: 10_000, salt: salt.to_vec() };
            Ok(Recipe::new(work, key.to_vec()))
        }
        _ => Err(HashError::Syntax),
    }
}
