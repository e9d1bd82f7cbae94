//! ASP.NET Core Identity: base64 of a marker byte, a header and a PBKDF2 key.

use super::{HashError, algorithm::Algorithm, encoding::base64, pbkdf2::Pbkdf2, recipe::Recipe};

/// Identity itself refuses version 3 salts and keys below 128 bits.
const SHORTEST: usize = 16;

/// Version 3 says everything about itself; version 2 begins with a zero byte and nothing else.
pub(super) fn is_version_3(text: &str) -> bool {
    base64(text).is_ok_and(|bytes| bytes.first() == Some(&1) && read(&bytes).is_ok())
}

pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    read(&base64(text)?)
}

fn read(bytes: &[u8]) -> Result<Recipe, HashError> {
    match bytes.split_first() {
        Some((0, rest)) => version_2(rest),
        Some((1, rest)) => version_3(rest),
        Some(_) => Err(HashError::Unsupported),
        None => Err(HashError::Syntax),
    }
}

/// 16 bytes of salt, 32 of key, 1000 rounds of SHA-1.
fn version_2(bytes: &[u8]) -> Result<Recipe, HashError> {
    match bytes.split_at_checked(16) {
        Some((salt, key)) if key.len() == 32 => {
            let work = Pbkdf2 { algorithm: Algorithm::Sha1, iterations: 1000, salt: salt.to_vec() };
            Ok(Recipe::new(work, key.to_vec()))
        }
        _ => Err(HashError::Syntax),
    }
}

/// Three big-endian numbers: function, rounds, length of the salt; then salt and key.
fn version_3(bytes: &[u8]) -> Result<Recipe, HashError> {
    let (function, rest) = bytes.split_first_chunk().ok_or(HashError::Syntax)?;
    let (rounds, rest) = rest.split_first_chunk().ok_or(HashError::Syntax)?;
    let (salt_length, rest) = rest.split_first_chunk().ok_or(HashError::Syntax)?;
    let salt_length = usize::try_from(u32::from_be_bytes(*salt_length)).map_err(|_| HashError::Syntax)?;
    let (salt, key) = rest.split_at_checked(salt_length).ok_or(HashError::Syntax)?;
    if salt.len() < SHORTEST || key.len() < SHORTEST {
        return Err(HashError::Syntax);
    }
    let algorithm = match u32::from_be_bytes(*function) {
        0 => Algorithm::Sha1,
        1 => Algorithm::Sha256,
        2 => Algorithm::Sha512,
        _ => return Err(HashError::Unsupported),
    };
    let work = Pbkdf2 { algorithm, iterations: u64::from(u32::from_be_bytes(*rounds)), salt: salt.to_vec() };
    Ok(Recipe::new(work, key.to_vec()))
}
