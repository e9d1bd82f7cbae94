//! yescrypt (`$y$`), the default of today's Linux distributions, and its GOST variant (`$gy$`).

use hmac::{Hmac, KeyInit as _, Mac as _};
use streebog::Streebog256;
use yescrypt::{Mode, Params};

use super::{
    HashError,
    encoding::{crypt, crypt_value},
    recipe::{Arena, Recipe, Work},
    scrypt,
};
use crate::config::HashCeilings;

/// Longest salt in bytes that libxcrypt takes.
const LONGEST_SALT: usize = 64;

/// `t` lengthens the work: the loops of about t times N more. Nobody is known to set it.
const MOST_TIME: u32 = 4;

struct Yescrypt {
    mode: Mode,
    n_log2: u32,
    r: u32,
    p: u32,
    t: u32,
    salt: Vec<u8>,
    /// The setting's whole text where the result is bound to it by GOST's HMAC.
    gost: Option<String>,
}

impl Work for Yescrypt {
    fn check(&self, ceilings: &HashCeilings, length: usize) -> Result<(), HashError> {
        let (r, p) = (u64::from(self.r), u64::from(self.p));
        scrypt::check(self.n_log2, r, p, ceilings.yescrypt_memory_bytes, length)?;
        if self.t > MOST_TIME {
            return Err(HashError::CostLimit);
        }
        self.params().map(|_| ())
    }

    fn derive(&self, password: &[u8], length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let mut found = vec![0; length];
        yescrypt::yescrypt(password, &self.salt, &self.params()?, &mut found)
            .map_err(|_| HashError::Range)?;
        match &self.gost {
            None => Ok(found),
            Some(setting) => bind_to_gost(password, setting, &found),
        }
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("n_log2", u64::from(self.n_log2)),
            ("r", u64::from(self.r)),
            ("p", u64::from(self.p)),
            ("t", u64::from(self.t)),
        ]
    }
}

impl Yescrypt {
    fn params(&self) -> Result<Params, HashError> {
        let n = 1u64.checked_shl(self.n_log2).ok_or(HashError::Range)?;
        Params::new_with_all_params(self.mode, n, self.r, self.p, self.t, 0).map_err(|_| HashError::Range)
    }
}

/// HMAC(HMAC(H(password), setting), yescrypt), all over Streebog-256 (GOST R 34.11-2012).
fn bind_to_gost(password: &[u8], setting: &str, found: &[u8]) -> Result<Vec<u8>, HashError> {
    use sha2::Digest as _;
    let mac = |key: &[u8], message: &[u8]| {
        Hmac::<Streebog256>::new_from_slice(key)
            .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
            .map_err(|_| HashError::Range)
    };
    mac(&mac(&Streebog256::digest(password), setting.as_bytes())?, found)
}

/// `$y$params$salt$hash`.
pub(super) fn parse(text: &str) -> Result<Recipe, HashError> {
    let (gost, rest) = match (text.strip_prefix("$y$"), text.strip_prefix("$gy$")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(HashError::Syntax),
    };
    let [params, salt, key] = super::parts(rest)?;
    let key = crypt(key)?;
    let salt = crypt(salt)?;
    if key.len() != 32 || salt.len() > LONGEST_SALT {
        return Err(HashError::Syntax);
    }
    let setting = text.rsplit_once('$').map(|(setting, _)| setting.to_owned());
    let mut params = PackedNumbers(params.bytes());
    let mode = match params.next(0)? {
        0 => Mode::Classic,
        1 => Mode::Worm,
        // Bits: read-write, 6 rounds, gather 4, simple 2, 12 KiB of S-boxes. No other flavour is in use.
        0b10_1111 => Mode::Rw,
        _ => return Err(HashError::Unsupported),
    };
    let (n_log2, r) = (params.next(1)?, params.next(1)?);
    let have = if params.0.len() == 0 { 0 } else { params.next(1)? };
    let mut optional = |bit: u32, least: u32, absent: u32| {
        if have & bit == 0 { Ok(absent) } else { params.next(least) }
    };
    let (p, t) = (optional(1, 2, 1)?, optional(2, 1, 0)?);
    // Upgraded hashes and read-only memory shared between hashes.
    if have & !3 != 0 {
        return Err(HashError::Unsupported);
    }
    if params.0.len() != 0 {
        return Err(HashError::Syntax);
    }
    let gost = if gost { setting } else { None };
    Ok(Recipe::new(Yescrypt { mode, n_log2, r, p, t, salt, gost }, key))
}

/// Numbers of one to six characters each. The first character says how many follow: 48 of its values stand alone,
/// then half of the remaining values mean one more character, half of those two, and so on.
struct PackedNumbers<'a>(std::str::Bytes<'a>);

impl PackedNumbers<'_> {
    /// The next number, counted from `least`.
    fn next(&mut self, least: u32) -> Result<u32, HashError> {
        let mut character = || self.0.next().ok_or(HashError::Syntax).and_then(crypt_value);
        let first = character()?;
        let (mut from, mut to, mut more) = (0u32, 47u32, 0u32);
        let mut value = u64::from(least);
        while first > to {
            value += u64::from(to + 1 - from) << (6 * more);
            from = to + 1;
            to = from + (62 - to) / 2;
            more += 1;
        }
        value += u64::from(first - from) << (6 * more);
        for place in (0..more).rev() {
            value += u64::from(character()?) << (6 * place);
        }
        u32::try_from(value).map_err(|_| HashError::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_numbers_are_read() {
        // The distributions' default: read-write flavour, N = 4096, r = 32.
        let mut numbers = PackedNumbers("j9T".bytes());
        assert_eq!((numbers.next(0), numbers.next(1), numbers.next(1)), (Ok(47), Ok(12), Ok(32)));
        assert_eq!(numbers.next(1), Err(HashError::Syntax));
        for text in ["z", "zz", "zzz", "zzzz", "zzzzz", "zzzzzz", "zzzzzzz"] {
            let _ = PackedNumbers(text.bytes()).next(1);
        }
    }
}
