//! SHA-crypt: `$5$` and `$6$` (Drepper's specification of 2007).

use super::{
    HashError,
    encoding::{is_crypt, number, to_crypt},
    recipe::{Arena, Recipe, Rounds, Work},
};
use crate::config::HashCeilings;

/// The password goes into every round, and once as often as it is long: a megabyte would take hours. libxcrypt
/// stops at 512 bytes.
pub(super) const LONGEST_PASSWORD: usize = 4096;

/// Fewer cannot be computed, nor are any allowed.
const LEAST_ROUNDS: u64 = 1000;

struct ShaCrypt {
    wide: bool,
    rounds: u64,
    salt: Vec<u8>,
}

impl Work for ShaCrypt {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        match self.rounds {
            LEAST_ROUNDS..=999_999_999 if self.rounds > u64::from(ceilings.sha_crypt_rounds) => {
                Err(HashError::CostLimit)
            }
            LEAST_ROUNDS..=999_999_999 => Ok(()),
            _ => Err(HashError::Range),
        }
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let rounds = u32::try_from(self.rounds).map_err(|_| HashError::Range)?;
        let params = sha_crypt::Params::new(rounds).map_err(|_| HashError::Range)?;
        let text = if self.wide {
            let digest = sha_crypt::sha512_crypt(password, &self.salt, params);
            to_crypt(&transpose(&digest, [42, 21, 0], [1, 43, 22], 63..64))
        } else {
            let digest = sha_crypt::sha256_crypt(password, &self.salt, params);
            to_crypt(&transpose(&digest, [20, 10, 0], [11, 1, 21], 30..32))
        };
        Ok(text.into_bytes())
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("rounds", self.rounds)]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        Rounds::new("sha-crypt", if self.wide { "sha512" } else { "sha256" }, self.rounds)
    }

    /// A thousand rounds where fewer are left: less than a millisecond too many.
    fn work_off(
        &self,
        count: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        let rest = Self { rounds: count.max(LEAST_ROUNDS), salt: self.salt.clone(), ..*self };
        rest.derive(password, length, arena).map(drop)
    }

    fn takes(&self, password_bytes: usize) -> Result<bool, HashError> {
        if password_bytes > LONGEST_PASSWORD { Err(HashError::PasswordTooLong) } else { Ok(true) }
    }
}

/// The order in which the specification writes the digest's bytes: groups of three that rotate. The second group
/// shows how the first moves on: each of its places is one more than some place of the group before.
fn transpose(digest: &[u8], first: [usize; 3], second: [usize; 3], rest: std::ops::Range<usize>) -> Vec<u8> {
    let follows = second.map(|place| first.iter().position(|before| before + 1 == place).unwrap_or_default());
    let mut order = Vec::with_capacity(digest.len());
    let mut group = first;
    while order.len() < rest.start {
        order.extend(group);
        group = follows.map(|from| group.get(from).map_or(0, |place| place + 1));
    }
    order.extend(rest);
    order.iter().filter_map(|&place| digest.get(place).copied()).collect()
}

/// `$6$rounds=5000$salt$hash`; the rounds may be left out.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let (wide, rest) = match (text.strip_prefix("$5$"), text.strip_prefix("$6$")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(HashError::Syntax),
    };
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (5000, rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(HashError::Syntax)?;
            (number(rounds)?, rest)
        }
    };
    let [salt, hash] = super::parts(rest)?;
    if hash.len() != if wide { 86 } else { 43 } || !is_crypt(hash) {
        return Err(HashError::Syntax);
    }
    // Longer salts are cut, by the specification.
    let salt = salt.bytes().take(16).collect();
    Ok(Recipe::new(ShaCrypt { wide, rounds, salt }, hash.as_bytes().to_vec()))
}
