//! The port behind which the store keeps the flag state.

use std::fmt;

use async_trait::async_trait;
use serde::Deserialize;

use crate::rollout::FlagState;

/// The record could not be read or written. Whether a write happened is unknown: read again before acting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlagsError {
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It is there and cannot be understood; [`Flags::overwrite_flags`] puts another in its place.
    #[error("the store's flag state (version {}) {}", .0.version, .0.why)]
    Unreadable(Box<Damaged>),
}

/// A record that is there and cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    /// The version that it has, as far as it can be known; 0 where it cannot.
    pub(crate) version: u64,
    pub(crate) why: Why,
    /// What is compared before another takes its place.
    pub(crate) stored: StoredFlags,
}

/// Why a record cannot be understood. Never what stands in it: it names people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nothing is wrong with it: a newer Crossfade wrote it in a format that is not known here.
    Newer {
        format: u32,
    },
    NotJson {
        column: usize,
    },
    /// Some value is none that a record has there.
    NotARecord,
    /// There is a version and no record.
    Nothing,
    /// It is stored under another version than it says.
    OtherVersion,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { format } => write!(
                f,
                "was written by a newer Crossfade (its format is {format}, the newest known here {})",
                FlagState::FORMAT
            ),
            Self::NotJson { column } => write!(f, "cannot be read: it is no JSON from byte {column} on"),
            Self::NotARecord => {
                f.write_str("cannot be read: a field is missing or has a value it cannot have")
            }
            Self::Nothing => f.write_str("cannot be read: only its version is there"),
            Self::OtherVersion => {
                f.write_str("cannot be relied on: it is stored under another version than it says")
            }
        }
    }
}

/// The version and the record as the store keeps them, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredFlags {
    pub(crate) version: Option<Vec<u8>>,
    pub(crate) state: Option<Vec<u8>>,
}

/// What every format has.
#[derive(Deserialize)]
struct Head {
    format: Option<u32>,
    version: Option<u64>,
}

impl StoredFlags {
    /// Understands the record; `None` where there is none. `number` reads a version as this store writes it.
    pub(crate) fn read(
        self,
        number: impl FnOnce(&[u8]) -> Option<u64>,
    ) -> Result<Option<FlagState>, FlagsError> {
        let Some(state) = &self.state else {
            let Some(version) = &self.version else { return Ok(None) };
            return Err(damaged(number(version).unwrap_or(0), Why::Nothing, self));
        };
        let under = self.version.as_deref().and_then(number);
        let head = serde_json::from_slice::<Head>(state).ok();
        let version = under.max(head.as_ref().and_then(|head| head.version)).unwrap_or(0);
        if let Some(format) = head.and_then(|head| head.format).filter(|format| *format > FlagState::FORMAT) {
            return Err(damaged(version, Why::Newer { format }, self));
        }
        match serde_json::from_slice::<FlagState>(state) {
            Ok(record) if Some(record.version) == under => Ok(Some(record)),
            Ok(_) => Err(damaged(version, Why::OtherVersion, self)),
            Err(error) if error.is_data() => Err(damaged(version, Why::NotARecord, self)),
            Err(error) => Err(damaged(version, Why::NotJson { column: error.column() }, self)),
        }
    }
}

fn damaged(version: u64, why: Why, stored: StoredFlags) -> FlagsError {
    FlagsError::Unreadable(Box::new(Damaged { version, why, stored }))
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Replaced {
    Done,
    /// The store holds another record than the one that was named; nothing was changed.
    Stale,
}

/// One versioned record, shared by all replicas of a store.
#[async_trait]
pub(crate) trait Flags: Send + Sync {
    /// The record; `None` before the first change.
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError>;

    /// Keeps `next` if the stored version is `over` (0: there is no record), and only then. Durable when it returns.
    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError>;

    /// Keeps `next` in the place of a record that could not be read, if every byte of it is as it was seen. Durable
    /// when it returns.
    async fn overwrite_flags(&self, damaged: &Damaged, next: &FlagState) -> Result<Replaced, FlagsError>;
}
