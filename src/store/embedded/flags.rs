//! The flag state in the file: one value beside the version that replacements go by.

use async_trait::async_trait;
use redb::ReadableTable as _;

use super::{Embedded, META, StoreError};
use crate::{
    login::{Flags, FlagsError, Replaced},
    rollout::FlagState,
    telemetry::with_causes,
};

pub(super) const STATE: &str = "flags";
/// Kept apart, so that a record that cannot be read can still be replaced.
pub(super) const VERSION: &str = "flags_version";

/// Eight bytes, the largest first.
pub(super) fn version(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

#[async_trait]
impl Flags for Embedded {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        let read = self.read(|transaction| {
            let table = transaction.open_table(META)?;
            let state = table.get(STATE)?;
            Ok(state.map(|state| serde_json::from_slice(state.value())).transpose()?)
        });
        read.await.map_err(|error| match error {
            StoreError::Unreadable(error) => FlagsError::Unreadable(error.to_string()),
            other => FlagsError::Unavailable(with_causes(&other)),
        })
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        let next = next.clone();
        let replaced = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            let stored = version(table.get(VERSION)?.as_ref().map(redb::AccessGuard::value));
            if stored != over {
                return Ok(Replaced::Stale);
            }
            table.insert(STATE, serde_json::to_vec(&next)?.as_slice())?;
            table.insert(VERSION, next.version.to_be_bytes().as_slice())?;
            Ok(Replaced::Done)
        });
        replaced.await.map_err(|error| FlagsError::Unavailable(with_causes(&error)))
    }
}
