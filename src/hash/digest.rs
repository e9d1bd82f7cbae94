//! Plain digests and HMACs, which say nothing about themselves: their settings come from the configuration. Django's
//! and Werkzeug's salted spellings of them.

use super::{
    HashError, StoredHash,
    algorithm::Algorithm,
    encoding::{base64_either, hex},
    fields::{Fields, Refusal},
    recipe::{Arena, PasswordEncoding, Recipe, Rounds, Step, Work, within},
};
use crate::config::HashCeilings;

/// `digest(before + password + after)`, then digested again `iterations - 1` times.
pub(super) struct Digested {
    pub(super) algorithm: Algorithm,
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
    pub(super) iterations: u64,
}

impl Work for Digested {
    fn check(&self, ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        within(self.iterations, u64::from(ceilings.digest_iterations))
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        let start = [self.before.as_slice(), password, self.after.as_slice()];
        Ok(self.algorithm.chain(&start, self.iterations.saturating_sub(1), &[], &[]))
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        vec![("iterations", self.iterations)]
    }

    fn rounds(&self, _length: usize) -> Rounds {
        Rounds::new("digest", self.algorithm.name(), self.iterations)
    }

    fn work_off(&self, count: u64, password: &[u8], _length: usize, _: &mut Arena) -> Result<(), HashError> {
        self.algorithm.chain(&[password], count.saturating_sub(1), &[], &[]);
        Ok(())
    }
}

/// `HMAC(key, password)`.
pub(super) struct Keyed {
    pub(super) algorithm: Algorithm,
    pub(super) key: Vec<u8>,
}

impl Work for Keyed {
    fn check(&self, _ceilings: &HashCeilings, _length: usize) -> Result<(), HashError> {
        Ok(())
    }

    fn derive(&self, password: &[u8], _length: usize, _arena: &mut Arena) -> Result<Vec<u8>, HashError> {
        Ok(self.algorithm.hmac(&self.key, password))
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A digest that must be as long as its algorithm makes it.
pub(super) fn digested(work: Digested, digest: Vec<u8>) -> Result<Recipe, HashError> {
    if digest.len() != work.algorithm.length() {
        return Err(HashError::Syntax);
    }
    Ok(Recipe::new(work, digest))
}

/// An HMAC that must be as long as its algorithm makes it.
pub(super) fn keyed(work: Keyed, mac: Vec<u8>) -> Result<Recipe, HashError> {
    if mac.len() != work.algorithm.length() {
        return Err(HashError::Syntax);
    }
    Ok(Recipe::new(work, mac))
}

/// How bytes are written in a column or a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteEncoding {
    Utf8,
    Hex,
    Base64,
}

impl ByteEncoding {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf-8" => Self::Utf8,
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            _ => return None,
        })
    }

    pub(super) fn read(self, text: &str) -> Result<Vec<u8>, HashError> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Hex => hex(text),
            Self::Base64 => base64_either(text),
        }
    }
}

/// Where the salt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaltPosition {
    Prefix,
    Suffix,
}

impl SaltPosition {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "prefix" | "PREFIX" => Some(Self::Prefix),
            "suffix" | "SUFFIX" | "POSTFIX" => Some(Self::Suffix),
            _ => None,
        }
    }

    /// The salt as what stands before and after the password.
    pub(super) fn around(self, salt: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Prefix => (salt, Vec::new()),
            Self::Suffix => (Vec::new(), salt),
        }
    }
}

/// Settings of `digest`.
#[derive(Clone)]
pub(super) struct DigestSettings {
    pub(super) algorithm: Algorithm,
    hash_encoding: ByteEncoding,
    /// One salt for everybody; a salt in the person's own row wins.
    salt: Option<String>,
    salt_encoding: ByteEncoding,
    salt_position: SaltPosition,
    /// The settings speak of a salt, so a row without one is damaged.
    salted: bool,
    password_encoding: PasswordEncoding,
    iterations: u64,
}

impl DigestSettings {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        let algorithm = fields.need_choice("algorithm", Algorithm::from_name)?;
        let hash_encoding = fields.choice("hash_encoding", hash_encoding)?.unwrap_or(ByteEncoding::Hex);
        let salt = fields.text("salt")?.map(str::to_owned);
        let salt_encoding = fields.choice("salt_encoding", ByteEncoding::from_name)?;
        let salt_position = fields.choice("salt_position", SaltPosition::from_name)?;
        Ok(Self {
            algorithm,
            hash_encoding,
            salted: salt.is_some() || salt_encoding.is_some() || salt_position.is_some(),
            salt,
            salt_encoding: salt_encoding.unwrap_or(ByteEncoding::Utf8),
            salt_position: salt_position.unwrap_or(SaltPosition::Prefix),
            password_encoding: fields
                .choice("password_encoding", PasswordEncoding::from_name)?
                .unwrap_or(PasswordEncoding::Utf8),
            iterations: fields.number("iterations")?.unwrap_or(1),
        })
    }

    pub(super) fn parse(&self, stored: &StoredHash) -> Result<Recipe, HashError> {
        let salt = match stored.salt.as_deref().or(self.salt.as_deref()) {
            Some(salt) => self.salt_encoding.read(salt)?,
            None if self.salted => return Err(HashError::Syntax),
            None => Vec::new(),
        };
        let (before, after) = self.salt_position.around(salt);
        let work = Digested { algorithm: self.algorithm, before, after, iterations: self.iterations };
        Ok(digested(work, self.hash_encoding.read(&stored.text)?)?
            .after(Step::Encode(self.password_encoding)))
    }

    /// A typical row, for names that do not exist.
    pub(super) fn sample(&self) -> StoredHash {
        sample(self.algorithm, self.hash_encoding, self.salted.then(|| "00000000".to_owned()))
    }
}

/// A digest is never written as text.
fn hash_encoding(name: &str) -> Option<ByteEncoding> {
    ByteEncoding::from_name(name).filter(|encoding| *encoding != ByteEncoding::Utf8)
}

fn sample(algorithm: Algorithm, encoding: ByteEncoding, salt: Option<String>) -> StoredHash {
    let zeros = vec![0; algorithm.length()];
    let text = match encoding {
        ByteEncoding::Base64 => super::encoding::to_base64(&zeros),
        ByteEncoding::Utf8 | ByteEncoding::Hex => super::encoding::to_hex(&zeros),
    };
    StoredHash { text, salt }
}

/// Settings of `hmac`.
#[derive(Clone)]
pub(super) struct HmacSettings {
    algorithm: Algorithm,
    key: Vec<u8>,
    hash_encoding: ByteEncoding,
}

impl HmacSettings {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, Refusal> {
        let algorithm = fields.need_choice("digest", Algorithm::from_name)?;
        let hash_encoding = fields.choice("hash_encoding", hash_encoding)?.unwrap_or(ByteEncoding::Hex);
        let key_encoding =
            fields.choice("key_encoding", ByteEncoding::from_name)?.unwrap_or(ByteEncoding::Utf8);
        let key = fields.need_text("key")?;
        let key =
            key_encoding.read(key).map_err(|_| fields.refuse("key", "does not fit its key_encoding"))?;
        Ok(Self { algorithm, key, hash_encoding })
    }

    pub(super) fn parse(&self, stored: &StoredHash) -> Result<Recipe, HashError> {
        let work = Keyed { algorithm: self.algorithm, key: self.key.clone() };
        keyed(work, self.hash_encoding.read(&stored.text)?)
    }

    pub(super) fn sample(&self) -> StoredHash {
        sample(self.algorithm, self.hash_encoding, None)
    }
}

/// Django: `md5$salt$hex` or `sha1$salt$hex`, a digest of salt and password; or 32 hex digits, an unsalted MD5.
pub(super) fn django(text: &str) -> Result<Recipe, HashError> {
    let (algorithm, salt, digest) = match text.split_once('$') {
        Some((name @ ("md5" | "sha1"), rest)) => {
            let [salt, digest] = super::parts(rest)?;
            (if name == "md5" { Algorithm::Md5 } else { Algorithm::Sha1 }, salt, digest)
        }
        Some(_) => return Err(HashError::Unsupported),
        None => (Algorithm::Md5, "", text),
    };
    let before = salt.as_bytes().to_vec();
    digested(Digested { algorithm, before, after: Vec::new(), iterations: 1 }, hex(digest)?)
}

/// Werkzeug before 2.3: `sha256$salt$hex`, an HMAC with the salt as its key; without salt a plain digest.
pub(super) fn werkzeug(text: &str) -> Result<Recipe, HashError> {
    let [name, salt, digest] = super::parts(text)?;
    let algorithm = Algorithm::from_name(name).ok_or(HashError::Unsupported)?;
    let digest = hex(digest)?;
    if salt.is_empty() {
        let (before, after) = (Vec::new(), Vec::new());
        return digested(Digested { algorithm, before, after, iterations: 1 }, digest);
    }
    keyed(Keyed { algorithm, key: salt.as_bytes().to_vec() }, digest)
}
