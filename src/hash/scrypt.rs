//! scrypt: PHC with Ory's dialect, Django, `$7$`; Werkzeug, Firebase, Spring and Auth0 build on it.

use super::{
    HashError,
    encoding::{base64, crypt, crypt_value, number},
    recipe::{Arena, Recipe, Work},
};
use crate::config::HashCeilings;

/// How many times the memory ceiling may be walked through: `p` repeats the whole work.
const MOST_WALKS: u128 = 8;

pub(super) struct Scrypt {
    pub(super) n_log2: u32,
    pub(super) r: u64,
    pub(super) p: u64,
    pub(super) salt: Vec<u8>,
}

/// No longer result is in use; each 32 bytes of it hash the `128 * r * p` bytes of all lanes again.
const LONGEST_RESULT: usize = 64;

/// Refuses what is out of range (RFC 7914 §2) or over the ceiling; shared with yescrypt, which has the same costs.
pub(super) fn check(n_log2: u32, r: u64, p: u64, memory_bytes: u64, length: usize) -> Result<(), HashError> {
    if !(1..64).contains(&n_log2) || r == 0 || p == 0 {
        return Err(HashError::Range);
    }
    let block = u128::from(r) * 128;
    let (memory, lanes) = (block << n_log2, block * u128::from(p));
    // The lanes lie in memory beside what they walk through, however short their walk is.
    if memory.max(lanes) > u128::from(memory_bytes)
        || length > LONGEST_RESULT
        || memory.saturating_mul(u128::from(p)) > u128::from(memory_bytes) * MOST_WALKS
    {
        return Err(HashError::CostLimit);
    }
    if u128::from(r) * u128::from(p) >= 1 << 30 { Err(HashError::Range) } else { Ok(()) }
}

impl Work for Scrypt {
    fn check(&self, ceilings: &HashCeilings, length: usize) -> Result<(), HashError> {
        check(self.n_log2, self.r, self.p, ceilings.scrypt_memory_bytes, length)
    }

    fn derive(&self, password: &[u8], length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let narrow = |value: u64| u32::try_from(value).map_err(|_| HashError::Range);
        let n_log2 = u8::try_from(self.n_log2).map_err(|_| HashError::Range)?;
        let params =
            scrypt::Params::new(n_log2, narrow(self.r)?, narrow(self.p)?).map_err(|_| HashError::Range)?;
        let mut found = vec![0; length];
        scrypt::scrypt(password, &self.salt, &params, &mut found).map_err(|_| HashError::Range)?;
        Ok(found)
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("n_log2", u64::from(self.n_log2)), ("r", self.r), ("p", self.p)]
    }
}

/// log2 of a cost that is written out; it has to be a power of two.
pub(super) fn log2_of(n: u64) -> Result<u32, HashError> {
    if n.is_power_of_two() { Ok(n.trailing_zeros()) } else { Err(HashError::Range) }
}

/// What `ln` means: its name says log2 of N, Ory writes N itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ln {
    Log2,
    N,
}

/// PHC: `$scrypt$ln=14,r=8,p=1$salt$hash`.
pub(super) fn phc(text: &str, ln_is: Ln) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$scrypt$").ok_or(HashError::Syntax)?;
    let [params, salt, key] = super::parts(rest)?;
    let [n, r, p] = ln_r_p(params)?;
    let n_log2 = match ln_is {
        Ln::Log2 => u32::try_from(n).map_err(|_| HashError::Range)?,
        Ln::N => log2_of(n)?,
    };
    Ok(Recipe::new(Scrypt { n_log2, r, p, salt: base64(salt)? }, base64(key)?))
}

/// The three numbers of `ln=14,r=8,p=1`, in this order.
pub(super) fn ln_r_p(params: &str) -> Result<[u64; 3], HashError> {
    let mut values = [0; 3];
    let mut given = params.split(',');
    for (value, name) in values.iter_mut().zip(["ln", "r", "p"]) {
        match given.next().and_then(|param| param.split_once('=')) {
            Some((found, text)) if found == name => *value = number(text)?,
            _ => return Err(HashError::Syntax),
        }
    }
    if given.next().is_some() { Err(HashError::Syntax) } else { Ok(values) }
}

/// Django: `scrypt$N$salt$r$p$base64`; the salt is its own text, the key 64 bytes.
pub(super) fn django(text: &str) -> Result<Recipe, HashError> {
    let [n, salt, r, p, key] = super::parts(text.strip_prefix("scrypt$").ok_or(HashError::Syntax)?)?;
    let key = base64(key)?;
    if key.len() != 64 {
        return Err(HashError::Syntax);
    }
    let n_log2 = log2_of(number(n)?)?;
    let salt = salt.as_bytes().to_vec();
    Ok(Recipe::new(Scrypt { n_log2, r: number(r)?, p: number(p)?, salt }, key))
}

/// libxcrypt's `$7$`: one character log2 N, five each for r and p (lowest bits first), the salt's own text, `$`, hash.
pub(super) fn crypt7(text: &str) -> Result<Recipe, HashError> {
    let rest = text.strip_prefix("$7$").ok_or(HashError::Syntax)?;
    let (settings, key) = rest.split_once('$').ok_or(HashError::Syntax)?;
    let (numbers, salt) = settings.split_at_checked(11).ok_or(HashError::Syntax)?;
    let key = crypt(key)?;
    if key.len() != 32 {
        return Err(HashError::Syntax);
    }
    let mut values = numbers.bytes();
    let n_log2 = crypt_value(values.next().ok_or(HashError::Syntax)?)?;
    let mut five = || -> Result<u64, HashError> {
        let mut value = 0;
        for place in 0..5 {
            value |= u64::from(crypt_value(values.next().ok_or(HashError::Syntax)?)?) << (6 * place);
        }
        Ok(value)
    };
    let (r, p) = (five()?, five()?);
    Ok(Recipe::new(Scrypt { n_log2, r, p, salt: salt.as_bytes().to_vec() }, key))
}
