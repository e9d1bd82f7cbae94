//! Stretched digests of PHP applications: phpass (`$P$`, phpBB's `$H$`) and Drupal 7 (`$S$`).

use super::{
    HashError,
    algorithm::Algorithm,
    encoding::{crypt_value, is_crypt, to_crypt},
    recipe::{Arena, Recipe, Rounds, Step, Text, Work},
};
use crate::config::HashCeilings;

struct Stretched {
    algorithm: Algorithm,
    count_log2: u32,
    salt: Vec<u8>,
    /// Longer passwords are answered with "no" by the application itself.
    longest_password: usize,
}

impl Work for Stretched {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        match self.count_log2 {
            7..=30 if self.count_log2 > ceilings.phpass_count_log2 => Err(HashError::CostLimit),
            7..=30 => Ok(()),
            _ => Err(HashError::Range),
        }
    }

    fn derive(&self, password: &[u8], length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let rounds = 1u64.checked_shl(self.count_log2).ok_or(HashError::Range)?;
        let digest = self.algorithm.chain(&[&self.salt, password], rounds, &[], password);
        let mut text = to_crypt(&digest).into_bytes();
        text.truncate(length);
        Ok(text)
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("count_log2", u64::from(self.count_log2))]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        Rounds::new("phpass", self.algorithm.name(), 1u64.checked_shl(self.count_log2).unwrap_or(u64::MAX))
    }

    fn work_off(&self, count: u64, password: &[u8], _length: usize, _: &mut Arena) -> Result<(), HashError> {
        self.algorithm.chain(&[password], count, &[], password);
        Ok(())
    }

    fn takes(&self, password_bytes: usize) -> Result<bool, HashError> {
        Ok(password_bytes <= self.longest_password)
    }
}

/// Count character, eight of salt, and `hash_length` of hash.
fn stretched(
    text: &str,
    algorithm: Algorithm,
    hash_length: usize,
    longest_password: usize,
) -> Result<Recipe, HashError> {
    if text.len() != 9 + hash_length || !is_crypt(text) {
        return Err(HashError::Syntax);
    }
    let (settings, hash) = text.split_at_checked(9).ok_or(HashError::Syntax)?;
    let (count, salt) = settings.split_at_checked(1).ok_or(HashError::Syntax)?;
    let count_log2 = crypt_value(count.bytes().next().ok_or(HashError::Syntax)?)?;
    let work = Stretched { algorithm, count_log2, salt: salt.as_bytes().to_vec(), longest_password };
    Ok(Recipe::new(work, hash.as_bytes().to_vec()))
}

/// phpass: MD5, 34 characters in all.
pub(super) fn phpass(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$P$").or_else(|| text.strip_prefix("$H$")).ok_or(HashError::Syntax)?;
    stretched(rest, Algorithm::Md5, 22, 4096)
}

/// Drupal 7: SHA-512, cut to 55 characters in all. `U` in front: an old MD5 that was stretched without the password.
pub(super) fn drupal7(text: &str) -> Result<Recipe, HashError> {
    let (upgraded, text) = text.strip_prefix('U').map_or((false, text), |rest| (true, rest));
    let rest = text.strip_prefix("$S$").ok_or(HashError::Syntax)?;
    let recipe = stretched(rest, Algorithm::Sha512, 43, 512)?;
    let md5 = Step::Digest { algorithm: Algorithm::Md5, salt: Vec::new(), text: Text::Hex };
    Ok(if upgraded { recipe.after(md5) } else { recipe })
}
