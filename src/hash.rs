//! Password hashes of other people's systems: reading their text and checking a password against it.
//!
//! Each format family has its own file. A malformed hash is a typed error, never a match and never a plain "no";
//! parameters are checked against ceilings before any work (SEC-39); comparison is in constant time. Hashing runs
//! on threads of its own behind a bounded queue, [`HashPool`]. Start reading at [`HashFormat`].

mod pool;

pub(crate) use pool::{HashPool, PoolError};

use crate::identity::Password;

/// A hash as a source stores it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredHash {
    /// The stored text, trailing ASCII white space removed (`CHAR(n)` columns pad with it).
    pub(crate) text: String,
    /// The salt where it is kept in a field of its own.
    pub(crate) salt: Option<String>,
}

/// Hashes are secrets (SEC-50).
impl std::fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How a source's hashes are to be read: `"auto"` for self-describing text, else a format's name with its settings.
#[derive(Clone, Debug)]
pub(crate) struct HashFormat {}

/// The configured format is not one of ours, or its settings do not fit; lower-case text that names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FormatError(pub(crate) String);

/// Why a hash cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HashError {
    #[error("not a hash of this format")]
    Syntax,
    #[error("a parameter is out of range")]
    Range,
    #[error("a variant that is not supported")]
    Unsupported,
    #[error("locked or without a password")]
    Unusable,
    #[error("more costly than the configured ceiling")]
    CostLimit,
    #[error("the password is longer than 1 MiB")]
    PasswordTooLong,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Match,
    NoMatch,
}

impl HashFormat {
    /// Reads a source's `hash_format` setting.
    pub(crate) fn from_settings(_settings: &serde_json::Value) -> Result<Self, FormatError> {
        Ok(Self {})
    }
}

/// Judges a password against a stored hash, on the calling thread; may take long.
pub(crate) fn verify(
    _format: &HashFormat,
    _stored: &StoredHash,
    _password: &Password,
    _ceilings: &crate::config::HashCeilings,
) -> Result<Judgement, HashError> {
    Err(HashError::Unsupported)
}
