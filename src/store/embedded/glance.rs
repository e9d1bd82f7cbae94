//! A look at a store file that changes nothing: not one byte, and no running process is disturbed.

use std::{io, path::Path};

use redb::{
    DatabaseError, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _, ReadableTableMetadata as _,
    StorageError, TableError,
};

use super::{META, ledger};

/// What there is at a store's path.
#[derive(Debug)]
pub(crate) enum Glance {
    /// Nothing yet; the first start makes it.
    Absent,
    /// A running process holds it.
    InUse,
    /// Nobody ended it in order, so nothing can be read before the next start has repaired it.
    Unclean,
    Closed {
        /// People in the ledger.
        rows: u64,
        /// The value that belongs to the file under the name that was asked for.
        meta: Option<Vec<u8>>,
    },
}

/// Opens the file for reading, if nobody holds it, and reads one value that belongs to the file. Blocks.
pub(crate) fn glance(path: &Path, meta: &str) -> Result<Glance, redb::Error> {
    let database = match ReadOnlyDatabase::open(path) {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(Glance::InUse),
        Err(DatabaseError::RepairAborted) => return Ok(Glance::Unclean),
        Err(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Glance::Absent);
        }
        Err(error) => return Err(error.into()),
    };
    let transaction = database.begin_read()?;
    Ok(Glance::Closed { rows: rows(&transaction)?, meta: value(&transaction, meta)? })
}

fn rows(transaction: &ReadTransaction) -> Result<u64, redb::Error> {
    match transaction.open_table(ledger::ROWS) {
        Ok(table) => Ok(table.len()?),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn value(transaction: &ReadTransaction, name: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    match transaction.open_table(META) {
        Ok(table) => Ok(table.get(name)?.map(|value| value.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Embedded;
    use crate::store::Meta as _;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_glance_says_what_is_there_and_changes_nothing() {
        let path = std::env::temp_dir().join(format!("crossfade-glance-{}.redb", uuid::Uuid::now_v7()));
        assert!(matches!(glance(&path, "pledge").unwrap(), Glance::Absent));
        assert!(!path.exists());
        let store = Embedded::open(&path, "h").unwrap();
        store.set_meta("pledge", b"kept".to_vec()).await.unwrap();
        assert!(matches!(glance(&path, "pledge").unwrap(), Glance::InUse));
        drop(store);
        let before = std::fs::read(&path).unwrap();
        for _ in 0..2 {
            let Glance::Closed { rows, meta } = glance(&path, "pledge").unwrap() else {
                panic!("not closed")
            };
            assert_eq!((rows, meta.as_deref()), (0, Some(&b"kept"[..])));
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, b"no store at all, and long enough to be read as the head of one ....")
            .unwrap();
        assert!(glance(&path, "pledge").is_err());
        std::fs::remove_file(&path).unwrap();
    }
}
