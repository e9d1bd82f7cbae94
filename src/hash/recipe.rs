//! A stored hash, read: what has to be computed and what has to come out.
//!
//! Every format ends here, so that ceilings, password limits and the constant-time comparison exist once.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{HashError, Judgement, algorithm::Algorithm, encoding};
use crate::config::HashCeilings;

/// Longest result any stored hash may ask for; a longer one is a way to multiply the work.
const LONGEST_RESULT: usize = 512;

/// Memory that one thread uses for one hash after the other. Argon2 spends a third of its time on getting fresh
/// memory otherwise. It never grows over the configured ceiling.
#[derive(Default)]
pub(super) struct Arena {
    pub(super) argon2: Vec<argon2::Block>,
}

/// What takes the time: a function with everything that one round of it depends on, and how many rounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rounds {
    pub(super) function: &'static str,
    /// The digest or variant that it is built on.
    pub(super) of: &'static str,
    pub(super) parameters: Vec<u64>,
    pub(super) count: u64,
}

impl Rounds {
    pub(super) fn new(function: &'static str, of: &'static str, count: u64) -> Self {
        Self { function, of, parameters: Vec::new(), count }
    }

    pub(super) fn are_like(&self, other: &Self) -> bool {
        (self.function, self.of, &self.parameters) == (other.function, other.of, &other.parameters)
    }
}

/// A slow function with its parameters.
pub(super) trait Work: Send + Sync {
    /// Refuses parameters out of range or over a ceiling; `length` is that of the result. Costs nothing.
    fn check(&self, ceilings: &HashCeilings, length: usize) -> Result<(), HashError>;

    /// Computes `length` bytes. Only called after [`Work::check`].
    fn derive(&self, password: &[u8], length: usize, arena: &mut Arena) -> Result<Vec<u8>, HashError>;

    /// Parameters that decide the cost, for people.
    fn costs(&self) -> Vec<(&'static str, u64)>;

    /// Its rounds, where fewer of the same can be worked off; else the whole is one round.
    fn rounds(&self, length: usize) -> Rounds {
        let costs = self.costs();
        let function = costs.first().map_or("", |(name, _)| name);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let parameters = costs.iter().map(|(_, cost)| *cost).chain([length]).collect();
        Rounds { function, of: "", parameters, count: 1 }
    }

    /// Does so many of [`Work::rounds`] for nothing.
    fn work_off(
        &self,
        _count: u64,
        password: &[u8],
        length: usize,
        arena: &mut Arena,
    ) -> Result<(), HashError> {
        self.derive(password, length, arena).map(drop)
    }

    /// Whether the legacy system would have tried a password of this many bytes; an error where nobody can say and
    /// trying costs too much.
    fn takes(&self, _password_bytes: usize) -> Result<bool, HashError> {
        Ok(true)
    }
}

/// What happens to a password before the slow function sees it.
#[derive(Clone)]
pub(super) enum Step {
    /// Adds a pepper at the end.
    Append(Vec<u8>),
    /// Removes what PHP's `trim` removes.
    Trim,
    /// Replaces it by text of its digest, salted in front.
    Digest { algorithm: Algorithm, salt: Vec<u8>, text: Text },
    /// Replaces it by text of its HMAC.
    Hmac { algorithm: Algorithm, key: Vec<u8>, text: Text },
    /// Writes it in another character encoding.
    Encode(PasswordEncoding),
}

/// How bytes become text again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Hex,
    Base64,
}

impl Text {
    fn write(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Hex => encoding::to_hex(bytes).into_bytes(),
            Self::Base64 => encoding::to_base64(bytes).into_bytes(),
        }
    }
}

/// The characters a legacy system saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PasswordEncoding {
    Utf8,
    Ascii,
    Latin1,
    Utf16Le,
}

impl PasswordEncoding {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
            "utf8" => Self::Utf8,
            "ascii" | "usascii" => Self::Ascii,
            // `binary` is Node's old name for latin1.
            "latin1" | "iso88591" | "binary" => Self::Latin1,
            "utf16le" | "ucs2" => Self::Utf16Le,
            _ => return None,
        })
    }

    /// `None` when the password has a character that the encoding does not: it cannot be the right one.
    fn write(self, password: &[u8]) -> Option<Vec<u8>> {
        if self == Self::Utf8 {
            return Some(password.to_vec());
        }
        let text = std::str::from_utf8(password).ok()?;
        match self {
            Self::Utf8 => Some(password.to_vec()),
            Self::Ascii => text.is_ascii().then(|| password.to_vec()),
            Self::Latin1 => text.chars().map(|character| u8::try_from(character).ok()).collect(),
            Self::Utf16Le => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        }
    }
}

impl Step {
    fn apply(&self, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let done = match self {
            Self::Append(pepper) => [password, pepper].concat(),
            Self::Trim => trim(password).to_vec(),
            Self::Digest { algorithm, salt, text } => text.write(&algorithm.digest(&[salt, password])),
            Self::Hmac { algorithm, key, text } => text.write(&algorithm.hmac(key, password)),
            Self::Encode(encoding) => encoding.write(password)?,
        };
        Some(Zeroizing::new(done))
    }
}

/// What PHP's `trim` leaves.
fn trim(mut bytes: &[u8]) -> &[u8] {
    let blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0 | 0x0b);
    while let [first, rest @ ..] = bytes
        && blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// One stored hash, read and not yet checked against ceilings.
#[derive(Clone)]
pub(super) struct Recipe {
    steps: Vec<Step>,
    work: Arc<dyn Work>,
    expected: Vec<u8>,
}

/// Hashes are secrets (SEC-50).
impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Recipe {
    pub(super) fn new(work: impl Work + 'static, expected: Vec<u8>) -> Self {
        Self { steps: Vec::new(), work: Arc::new(work), expected }
    }

    /// The same with one more step between the password and what was there already.
    pub(super) fn after(mut self, step: Step) -> Self {
        self.steps.insert(0, step);
        self
    }

    /// Refuses what is out of range or over a ceiling.
    pub(super) fn check(&self, ceilings: &HashCeilings) -> Result<(), HashError> {
        match self.expected.len() {
            // An empty result would match every password.
            0 => Err(HashError::Syntax),
            length if length > LONGEST_RESULT => Err(HashError::Range),
            length => self.work.check(ceilings, length),
        }
    }

    /// Judges a password. Nothing is computed before the checks have passed.
    pub(super) fn judge(
        &self,
        password: &[u8],
        ceilings: &HashCeilings,
        arena: &mut Arena,
    ) -> Result<Judgement, HashError> {
        self.check(ceilings)?;
        let Some(prepared) = self.prepared(password)? else { return Ok(Judgement::NoMatch) };
        let found = Zeroizing::new(self.work.derive(&prepared, self.expected.len(), arena)?);
        let same = bool::from(found.as_slice().ct_eq(self.expected.as_slice()));
        Ok(if same { Judgement::Match } else { Judgement::NoMatch })
    }

    /// The password as the slow function gets it; `None` where it cannot be the right one.
    fn prepared(&self, password: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, HashError> {
        let mut prepared = Zeroizing::new(password.to_vec());
        for step in &self.steps {
            match step.apply(&prepared) {
                Some(next) => prepared = next,
                None => return Ok(None),
            }
        }
        Ok(self.work.takes(prepared.len())?.then_some(prepared))
    }

    /// The same work with nothing to match: for names that do not exist.
    pub(super) fn without_result(&self) -> Self {
        Self { expected: vec![0; self.expected.len()], ..self.clone() }
    }

    /// What its work is made of.
    pub(super) fn rounds(&self) -> Rounds {
        self.work.rounds(self.expected.len())
    }

    /// Does so many of its rounds and judges nothing. Only for what has passed [`Recipe::check`].
    pub(super) fn work_off(&self, count: u64, password: &[u8], arena: &mut Arena) -> Result<(), HashError> {
        match self.prepared(password)? {
            Some(prepared) => self.work.work_off(count, &prepared, self.expected.len(), arena),
            None => Ok(()),
        }
    }

    pub(super) fn costs(&self) -> Vec<(&'static str, u64)> {
        self.work.costs()
    }
}

/// The rule of every counted parameter: at least one, at most the ceiling.
pub(super) fn within(count: u64, ceiling: u64) -> Result<(), HashError> {
    match count {
        0 => Err(HashError::Range),
        count if count > ceiling => Err(HashError::CostLimit),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_without_the_character_cannot_match() {
        assert_eq!(PasswordEncoding::Latin1.write("é".as_bytes()), Some(vec![0xe9]));
        assert_eq!(PasswordEncoding::Latin1.write("€".as_bytes()), None);
        assert_eq!(PasswordEncoding::Ascii.write("é".as_bytes()), None);
        assert_eq!(PasswordEncoding::Utf16Le.write(&[0xff]), None);
        assert_eq!(PasswordEncoding::Utf16Le.write("é😀".as_bytes()).map(|bytes| bytes.len()), Some(6));
    }

    #[test]
    fn trimming_is_that_of_php() {
        assert_eq!(trim(b" \t\n\r\0\x0ba b\x0c \0"), b"a b\x0c");
        assert_eq!(trim(b"   "), b"");
    }
}
