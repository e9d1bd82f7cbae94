//! MD5-crypt: `$1$` of the BSDs and Linux, `$apr1$` of Apache; they differ only in that text.

use md5::{Digest as _, Md5};

use super::{
    HashError,
    encoding::{is_crypt, to_crypt},
    recipe::{Arena, Recipe, Work},
    sha_crypt::LONGEST_PASSWORD,
};
use crate::config::HashCeilings;

/// The order in which the digest's bytes are written.
const ORDER: [usize; 16] = [12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11];

struct Md5Crypt {
    magic: &'static str,
    salt: Vec<u8>,
}

impl Work for Md5Crypt {
    fn check(&self, _ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        Ok(())
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let digest = md5_crypt(password, self.magic.as_bytes(), &self.salt);
        let ordered: Vec<u8> = ORDER.iter().filter_map(|&place| digest.get(place).copied()).collect();
        Ok(to_crypt(&ordered).into_bytes())
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("rounds", 1000)]
    }

    fn takes(&self, password_bytes: usize) -> Result<bool, HashError> {
        if password_bytes > LONGEST_PASSWORD { Err(HashError::PasswordTooLong) } else { Ok(true) }
    }
}

/// Poul-Henning Kamp's algorithm of 1994, with its oddities.
fn md5_crypt(password: &[u8], magic: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut start = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        start.update(inner.iter().take(chunk.len()).copied().collect::<Vec<u8>>());
    }
    // One byte per bit of the length: NUL for a set bit, else the password's first.
    let mut bits = password.len();
    while bits != 0 {
        let byte = if bits & 1 == 1 { 0 } else { password.first().copied().unwrap_or_default() };
        start.update([byte]);
        bits >>= 1;
    }
    let mut digest: [u8; 16] = start.finalize().into();
    for round in 0..1000 {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        if odd {
            next.update(password)
        } else {
            next.update(digest)
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if odd {
            next.update(digest)
        } else {
            next.update(password)
        }
        digest = next.finalize().into();
    }
    digest
}

/// `$1$salt$hash`.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let magic =
        ["$1$", "$apr1$"].into_iter().find(|magic| text.starts_with(magic)).ok_or(HashError::Syntax)?;
    let [salt, hash] = super::parts(text.strip_prefix(magic).ok_or(HashError::Syntax)?)?;
    if hash.len() != 22 || !is_crypt(hash) {
        return Err(HashError::Syntax);
    }
    let salt = salt.bytes().take(8).collect();
    Ok(Recipe::new(Md5Crypt { magic, salt }, hash.as_bytes().to_vec()))
}
