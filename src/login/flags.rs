//! The port behind which the store keeps the flag state.

use async_trait::async_trait;

use crate::rollout::FlagState;

/// The record could not be read or written. Whether a write happened is unknown: read again before acting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlagsError {
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It is there and cannot be understood. A replacement that names its version mends it.
    #[error("the store's flag state cannot be read: {0}")]
    Unreadable(String),
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Replaced {
    Done,
    /// The store holds another version than the one that was named; nothing was changed.
    Stale,
}

/// One versioned record, shared by all replicas of a store.
#[async_trait]
pub(crate) trait Flags: Send + Sync {
    /// The record; `None` before the first change.
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError>;

    /// Keeps `next` if the stored version is `over` (0: there is no record), and only then. Durable when it returns.
    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError>;
}
