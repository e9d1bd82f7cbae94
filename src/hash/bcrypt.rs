//! bcrypt and what has been built around it: Devise's pepper, Django, passlib, `WordPress`.

use super::{
    HashError,
    algorithm::Algorithm,
    encoding::{bcrypt_base64, is_crypt, number, to_bcrypt_base64},
    recipe::{Arena, Recipe, Rounds, Step, Text, Work},
};
use crate::config::HashCeilings;

/// bcrypt reads at most this many bytes of a password; every legacy system that used it cut there.
const KEY_BYTES: usize = 72;

pub(super) struct Bcrypt {
    cost: u32,
    salt: [u8; 16],
    /// `$2x$`: hashed by the `crypt_blowfish` of before 2011, which extended the sign of bytes above 0x7f.
    sign_extended: bool,
}

impl Work for Bcrypt {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        match self.cost {
            4..=31 if self.cost > ceilings.bcrypt_cost => Err(HashError::CostLimit),
            4..=31 => Ok(()),
            _ => Err(HashError::Range),
        }
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let key = if self.sign_extended { sign_extended_key(password) } else { key(password) };
        // The last of the 24 bytes was lost in the first implementation, and so in every hash.
        let [found @ .., _] = bcrypt::bcrypt(self.cost, self.salt, &key);
        Ok(to_bcrypt_base64(&found).into_bytes())
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("cost", u64::from(self.cost))]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        Rounds::new("bcrypt", "", 1u64.checked_shl(self.cost).unwrap_or(u64::MAX))
    }

    /// Costs are powers of two, and so the difference of two is made of those between them.
    fn work_off(
        &self,
        count: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        for cost in (4..=31).filter(|cost| count >> cost & 1 == 1) {
            Self { cost, ..*self }.derive(password, length, arena)?;
        }
        Ok(())
    }
}

/// The password with its closing NUL, cut where bcrypt stops reading.
fn key(password: &[u8]) -> Vec<u8> {
    password.iter().copied().chain([0]).take(KEY_BYTES).collect()
}

/// The 18 key words as the faulty code made them: each byte was widened with its sign, so a byte above 0x7f set all
/// bits of its word that were already in place. Written out as 72 bytes, the correct code reads the same words.
fn sign_extended_key(password: &[u8]) -> Vec<u8> {
    let mut cycle = password.iter().copied().chain([0]).cycle();
    let mut words = Vec::with_capacity(KEY_BYTES);
    for _ in 0..KEY_BYTES / 4 {
        let word = cycle.by_ref().take(4).fold(0u32, |word, byte| {
            let signed = i32::from(i8::from_ne_bytes([byte]));
            word << 8 | u32::from_ne_bytes(signed.to_ne_bytes())
        });
        words.extend_from_slice(&word.to_be_bytes());
    }
    words
}

/// `$2b$12$` + 22 characters of salt + 31 of hash.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$2").ok_or(HashError::Syntax)?;
    let (variant, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
    let sign_extended = match variant {
        "a" | "b" | "y" => false,
        "x" => true,
        // `$2$` of 1999 and what may come.
        _ => return Err(HashError::Unsupported),
    };
    let (cost, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
    if cost.len() != 2 || rest.len() != 53 {
        return Err(HashError::Syntax);
    }
    let (salt, hash) = rest.split_at_checked(22).ok_or(HashError::Syntax)?;
    from_parts(number(cost.strip_prefix('0').unwrap_or(cost))?, salt, hash, sign_extended)
}

/// A hash whose parts are kept apart, as in Okta's export.
pub(super) fn from_parts(
    cost: u64,
    salt: &str,
    hash: &str,
    sign_extended: bool,
) -> Result<Recipe, HashError> {
    if salt.len() != 22 || hash.len() != 31 || !is_crypt(hash) {
        return Err(HashError::Syntax);
    }
    let salt = bcrypt_base64(salt)?.try_into().map_err(|_| HashError::Syntax)?;
    let cost = u32::try_from(cost).map_err(|_| HashError::Range)?;
    Ok(Recipe::new(Bcrypt { cost, salt, sign_extended }, hash.as_bytes().to_vec()))
}

/// Devise: the pepper behind the password. The cut at 72 bytes comes after, as it did there.
pub(super) fn devise(text: &str, pepper: &str) -> Result<Recipe, HashError> {
    Ok(parse(text)?.after(Step::Append(pepper.as_bytes().to_vec())))
}

/// Django: `bcrypt$` and then a whole bcrypt string.
pub(super) fn django(text: &str) -> Result<Recipe, HashError> {
    parse(text.strip_prefix("bcrypt$").ok_or(HashError::Syntax)?)
}

/// Django: bcrypt over the hexadecimal text of a SHA-256.
pub(super) fn django_sha256(text: &str) -> Result<Recipe, HashError> {
    let inner = parse(text.strip_prefix("bcrypt_sha256$").ok_or(HashError::Syntax)?)?;
    Ok(inner.after(Step::Digest { algorithm: Algorithm::Sha256, salt: Vec::new(), text: Text::Hex }))
}

/// passlib: `$bcrypt-sha256$v=2,t=2b,r=12$salt$hash`, or version 1 `$bcrypt-sha256$2a,12$salt$hash`.
pub(super) fn passlib_sha256(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$bcrypt-sha256$").ok_or(HashError::Syntax)?;
    let [settings, salt, hash] = super::parts(rest)?;
    let fields: Vec<&str> = settings.split(',').collect();
    let (version, variant, rounds) = match fields.as_slice() {
        ["v=2", variant, rounds] => (
            2,
            variant.strip_prefix("t=").ok_or(HashError::Syntax)?,
            rounds.strip_prefix("r=").ok_or(HashError::Syntax)?,
        ),
        [variant, rounds] => (1, *variant, *rounds),
        [version, ..] if version.starts_with("v=") => return Err(HashError::Unsupported),
        _ => return Err(HashError::Syntax),
    };
    if !matches!(variant, "2a" | "2b" | "2y") {
        return Err(HashError::Unsupported);
    }
    let inner = from_parts(number(rounds)?, salt, hash, false)?;
    Ok(inner.after(if version == 2 {
        // The key is the salt's text, not its bytes.
        let key = salt.as_bytes().to_vec();
        Step::Hmac { algorithm: Algorithm::Sha256, key, text: Text::Base64 }
    } else {
        Step::Digest { algorithm: Algorithm::Sha256, salt: Vec::new(), text: Text::Base64 }
    }))
}

/// `WordPress` 6.8: bcrypt over an HMAC of the trimmed password, marked by `$wp` in front.
pub(super) fn wordpress(text: &str) -> Result<Recipe, HashError> {
    let inner = parse(text.strip_prefix("$wp").ok_or(HashError::Syntax)?)?;
    let key = b"wp-sha384".to_vec();
    Ok(inner.after(Step::Hmac { algorithm: Algorithm::Sha384, key, text: Text::Base64 }).after(Step::Trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_extension_changes_only_non_ascii_keys() {
        let cycled: Vec<u8> = b"ascii\0".iter().copied().cycle().take(KEY_BYTES).collect();
        assert_eq!(sign_extended_key(b"ascii"), cycled);
        assert_ne!(
            sign_extended_key("ä".as_bytes()),
            "ä\0".bytes().cycle().take(KEY_BYTES).collect::<Vec<_>>()
        );
        assert_eq!(key(&[b'x'; 80]).len(), KEY_BYTES);
    }
}
