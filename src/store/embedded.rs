//! The embedded store: one redb file, held by one process.
//!
//! A write is durable when it returns (redb commits with fsync). Claims name the process that made them, and a
//! process that opens the file is alone with it, so the claims of earlier processes are void: after a crash nobody
//! waits for a lease.

mod epoch;
mod export;
mod flags;
mod glance;
mod ledger;
mod people;
mod sessions;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use redb::{
    Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction,
};

pub(crate) use export::Totals;
pub(crate) use glance::{Glance, glance};

use super::{Meta, MetaError};
use crate::{login::LedgerError, telemetry::with_causes};

/// Facts about the file itself: the salt's fingerprint, the kept signing key.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// What is kept of the file in memory; the system's own cache has the rest. The library would take a gigabyte, which is
/// all that a container may have: a killed one leaves a file that is read from end to end at the next start.
const CACHE: usize = 64 * 1024 * 1024;

/// One open store file.
#[derive(Clone)]
pub(crate) struct Embedded {
    database: Arc<Database>,
    /// This process's name in claims.
    holder: Arc<str>,
    path: Arc<Path>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("store file {}: in use by another process; one embedded store belongs to one process", .0.display())]
    InUse(PathBuf),
    #[error("store file {path}: {error}", path = .0.display(), error = .1)]
    Unusable(PathBuf, #[source] Box<redb::Error>),
    #[error("store folder {path}: {error}", path = .0.display(), error = .1)]
    Folder(PathBuf, #[source] std::io::Error),
    /// Only where it is not made.
    #[error("store file {}: there is none", .0.display())]
    Absent(PathBuf),
}

impl OpenError {
    fn of(path: &Path, error: redb::DatabaseError) -> Self {
        match error {
            redb::DatabaseError::DatabaseAlreadyOpen => Self::InUse(path.to_owned()),
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::Absent(path.to_owned())
            }
            other => Self::Unusable(path.to_owned(), Box::new(other.into())),
        }
    }
}

impl Embedded {
    /// Opens or makes the file. `holder` names this process and must differ from that of any earlier one.
    pub(crate) fn open(path: &Path, holder: &str) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
        }
        Self::opened(path, holder, CACHE, |percent| {
            tracing::info!(
                "the store file was not closed the last time; it is looked through before anybody is served: \
                 {percent} %"
            );
        })
    }

    /// `told` hears how far the look through a file is that was not closed; `cache` is in bytes.
    fn opened(
        path: &Path,
        holder: &str,
        cache: usize,
        told: impl Fn(u32) + 'static,
    ) -> Result<Self, OpenError> {
        let mut builder = Database::builder();
        builder.set_cache_size(cache);
        builder.set_repair_callback(move |look| told(percent(look.progress())));
        let database = builder.create(path).map_err(|error| OpenError::of(path, error))?;
        Self::of(database, path, holder)
    }

    fn of(database: Database, path: &Path, holder: &str) -> Result<Self, OpenError> {
        let store = Self { database: Arc::new(database), holder: holder.into(), path: path.into() };
        store.make_tables().map_err(|error| OpenError::Unusable(path.to_owned(), Box::new(error)))?;
        Ok(store)
    }

    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?;
        ledger::make_tables(&transaction)?;
        sessions::make_tables(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Runs a read on the blocking threads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        let run = tokio::task::spawn_blocking(move || work(&database.begin_read()?));
        run.await.map_err(|_| StoreError::Stopped)?
    }

    /// Runs a write on the blocking threads: all of it or nothing.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        let run = tokio::task::spawn_blocking(move || {
            let transaction = database.begin_write()?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        run.await.map_err(|_| StoreError::Stopped)?
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
fn percent(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 100.0).round() as u32
}

#[async_trait]
impl Meta for Embedded {
    async fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, MetaError> {
        let read = self.read(move |transaction| {
            let table = transaction.open_table(META)?;
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        });
        Ok(read.await?)
    }

    async fn set_meta(&self, name: &'static str, value: Vec<u8>) -> Result<(), MetaError> {
        let set = self.write(move |transaction| {
            transaction.open_table(META)?.insert(name, value.as_slice())?;
            Ok(())
        });
        Ok(set.await?)
    }

    async fn meta_or_insert(&self, name: &'static str, value: Vec<u8>) -> Result<Vec<u8>, MetaError> {
        let kept = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            if let Some(existing) = table.get(name)? {
                return Ok(existing.value().to_vec());
            }
            table.insert(name, value.as_slice())?;
            Ok(value)
        });
        Ok(kept.await?)
    }

    async fn swap_meta(
        &self,
        name: &'static str,
        old: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, MetaError> {
        let swapped = self.write(move |transaction| {
            let mut table = transaction.open_table(META)?;
            if table.get(name)?.map(|value| value.value().to_vec()) != old {
                return Ok(false);
            }
            table.insert(name, new.as_slice())?;
            Ok(true)
        });
        Ok(swapped.await?)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

/// An operation on the file failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("the store file failed")]
    File(#[source] Box<redb::Error>),
    #[error("a stored value cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("the process is stopping")]
    Stopped,
    /// A conditional write of the ledger was refused, or one row of it cannot be read.
    #[error(transparent)]
    Refused(LedgerError),
}

/// redb has one error type per stage; for us they are one.
macro_rules! file_error {
    ($($stage:ty),*) => {$(
        impl From<$stage> for StoreError {
            fn from(error: $stage) -> Self {
                Self::File(Box::new(error.into()))
            }
        }
    )*};
}
file_error!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal,
            other => Self::Unavailable(other.to_string(), Some(Box::new(other))),
        }
    }
}

impl From<StoreError> for MetaError {
    fn from(error: StoreError) -> Self {
        Self(with_causes(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A container may have a gigabyte for everything.
    const _: () = assert!(CACHE <= 128 * MIB);
    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_large_file_takes_no_more_memory_than_its_cache() {
        let mut held = Vec::new();
        for cache in [2 * MIB, 64 * MIB] {
            let path = std::env::temp_dir().join(format!("crossfade-cache-{}.redb", uuid::Uuid::now_v7()));
            let store = Embedded::opened(&path, "one", cache, |_| {}).unwrap();
            let written = store.write(|transaction| {
                let mut table = transaction.open_table(META)?;
                for number in 0..128 {
                    table.insert(format!("{number}").as_str(), vec![1; 64 * 1024].as_slice())?;
                }
                Ok(())
            });
            written.await.unwrap();
            let read = store.read(|transaction| {
                let table = transaction.open_table(META)?;
                let sizes = table.iter()?.map(|entry| entry.map(|(_, value)| value.value().len()));
                Ok(sizes.sum::<Result<usize, _>>()?)
            });
            assert!(read.await.unwrap() >= 8 * MIB);
            held.push(store.database.cache_stats().used_bytes());
            drop(store);
            std::fs::remove_file(path).unwrap();
        }
        assert!(held[0] <= 2 * MIB && held[1] > 4 * MIB, "{held:?}");
    }

    #[tokio::test]
    async fn a_file_that_was_not_closed_is_looked_through_and_says_so() {
        let name = |end| std::env::temp_dir().join(format!("crossfade-{end}-{}.redb", uuid::Uuid::now_v7()));
        let (path, killed) = (name("closed"), name("killed"));
        let store = Embedded::open(&path, "one").unwrap();
        store.set_meta("a", b"kept".to_vec()).await.unwrap();
        // As a process leaves it that is killed.
        std::fs::copy(&path, &killed).unwrap();
        drop(store);
        let heard = |path: &Path| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let shared = Arc::clone(&heard);
            let store =
                Embedded::opened(path, "two", CACHE, move |percent| shared.lock().unwrap().push(percent));
            let heard = heard.lock().unwrap().clone();
            (store.unwrap(), heard)
        };
        let (store, told) = heard(&killed);
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some(&b"kept"[..]));
        assert!(told.first() == Some(&0) && told.is_sorted(), "{told:?}");
        let (store, told) = heard(&path);
        assert!(told.is_empty(), "{told:?}");
        drop(store);
        for path in [path, killed] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
