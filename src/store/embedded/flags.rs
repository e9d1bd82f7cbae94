//! The flag state in the file: one value beside the version that replacements go by.

use async_trait::async_trait;
use redb::ReadableTable;

use super::{Embedded, META, StoreError};
use crate::{
    login::{Damaged, Flags, FlagsError, Replaced, StoredFlags},
    rollout::FlagState,
    telemetry::with_causes,
};

pub(super) const STATE: &str = "flags";
/// Kept apart, so that a record that cannot be read can still be replaced.
pub(super) const VERSION: &str = "flags_version";

/// Eight bytes, the largest first.
pub(super) fn version(bytes: Option<&[u8]>) -> u64 {
    bytes.and_then(number).unwrap_or(0)
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

type Table<'a> = redb::Table<'a, &'static str, &'static [u8]>;

fn stored(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<StoredFlags, StoreError> {
    let raw = |name| -> Result<_, StoreError> { Ok(table.get(name)?.map(|value| value.value().to_vec())) };
    Ok(StoredFlags { version: raw(VERSION)?, state: raw(STATE)? })
}

fn put(table: &mut Table<'_>, next: &FlagState) -> Result<Replaced, StoreError> {
    table.insert(STATE, serde_json::to_vec(next)?.as_slice())?;
    table.insert(VERSION, next.version.to_be_bytes().as_slice())?;
    Ok(Replaced::Done)
}

#[async_trait]
impl Flags for Embedded {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        let read = self.read(|transaction| stored(&transaction.open_table(META)?));
        read.await?.read(number)
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        let next = next.clone();
        let replaced = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            let stored = version(table.get(VERSION)?.as_ref().map(redb::AccessGuard::value));
            if stored == over { put(&mut table, &next) } else { Ok(Replaced::Stale) }
        });
        Ok(replaced.await?)
    }

    async fn overwrite_flags(&self, damaged: &Damaged, next: &FlagState) -> Result<Replaced, FlagsError> {
        let (seen, next) = (damaged.stored.clone(), next.clone());
        let replaced = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            if stored(&table)? == seen { put(&mut table, &next) } else { Ok(Replaced::Stale) }
        });
        Ok(replaced.await?)
    }
}

impl From<StoreError> for FlagsError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(with_causes(&error))
    }
}

#[cfg(test)]
impl Embedded {
    /// Keeps a version and a record as they are, whatever they are.
    pub(in crate::store) async fn put_raw_flags(&self, version: Option<u64>, record: Option<&[u8]>) {
        let values = [
            (VERSION, version.map(|version| version.to_be_bytes().to_vec())),
            (STATE, record.map(<[u8]>::to_vec)),
        ];
        let put = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            for (name, value) in values {
                match value {
                    Some(value) => table.insert(name, value.as_slice())?,
                    None => table.remove(name)?,
                };
            }
            Ok(())
        });
        put.await.unwrap();
    }
}
