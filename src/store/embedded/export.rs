//! Reading everything out of a file, part by part, for a store of another kind.
//!
//! Claims stay behind: whoever made them had the file, and is gone when somebody else can open it.

use std::{ops::Bound, path::Path};

use redb::{Database, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};

use super::{
    Embedded, META, OpenError, StoreError,
    epoch::{self, EPOCH},
    flags::{self, STATE, VERSION},
    ledger::{ALIASES, ROWS},
    sessions::{FLOWS, SESSIONS},
};
use crate::{
    login::{Epoch, LedgerError, Row},
    session::{Digest, Flow, Session, SessionStoreError},
    store::{MetaError, people::unreadable},
};

/// What is kept of the file in memory: all of it is read once, so there is no use in more.
const CACHE: usize = 32 * 1024 * 1024;

/// A part of a table, in the order of its keys.
#[derive(Debug)]
pub(crate) struct Page<Item> {
    pub(crate) items: Vec<Item>,
    /// How many entries could not be read: as good as gone, as they are to whoever uses the file.
    pub(crate) unreadable: u64,
    /// The key to go on after; nothing: this was the last part.
    pub(crate) next: Option<String>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) people: u64,
    pub(crate) aliases: u64,
    pub(crate) sessions: u64,
    pub(crate) flows: u64,
}

impl Embedded {
    /// Opens a file that is there, and keeps everybody else from it.
    pub(crate) fn existing(path: &Path) -> Result<Self, OpenError> {
        let opened = Database::builder().set_cache_size(CACHE).open(path);
        Self::of(opened.map_err(|error| OpenError::of(path, error))?, path, "export")
    }

    /// How much there is to read.
    pub(crate) async fn totals(&self) -> Result<Totals, MetaError> {
        let counted = self.read(|transaction| {
            Ok(Totals {
                people: transaction.open_table(ROWS)?.len()?,
                aliases: transaction.open_table(ALIASES)?.len()?,
                sessions: transaction.open_table(SESSIONS)?.len()?,
                flows: transaction.open_table(FLOWS)?.len()?,
            })
        });
        Ok(counted.await?)
    }

    /// Rows of the ledger, without their claims. One that cannot be read is a failure, and named: it is a person.
    pub(crate) async fn rows_after(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<Row>, LedgerError> {
        let rows = self.read(move |transaction| {
            page(transaction, ROWS, after.as_deref(), limit, |name, value| {
                let row = serde_json::from_slice::<Row>(value);
                let row = row.map_err(|_| StoreError::Refused(unreadable(name)))?;
                Ok(Some(Row { claim: None, ..row }))
            })
        });
        Ok(rows.await?)
    }

    /// Sessions, without the claims of those who were refreshing them.
    pub(crate) async fn sessions_after(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<(Digest, Session)>, SessionStoreError> {
        let sessions = self.read(move |transaction| {
            page(transaction, SESSIONS, after.as_deref(), limit, |id, value| {
                let Ok(mut session) = serde_json::from_slice::<Session>(value) else { return Ok(None) };
                session.disclaim();
                Ok(Some((Digest::stored(id), session)))
            })
        });
        Ok(sessions.await?)
    }

    /// Sign-ins under way at Scalekit.
    pub(crate) async fn flows_after(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<(Digest, Flow)>, SessionStoreError> {
        let flows = self.read(move |transaction| {
            page(transaction, FLOWS, after.as_deref(), limit, |state, value| {
                let flow = serde_json::from_slice::<Flow>(value).ok();
                Ok(flow.map(|flow| (Digest::stored(state), flow)))
            })
        });
        Ok(flows.await?)
    }

    /// The values that belong to the store, by name; `except` names those of the file alone.
    pub(crate) async fn values(
        &self,
        except: &'static [&'static str],
    ) -> Result<Vec<(String, Vec<u8>)>, MetaError> {
        let values = self.read(move |transaction| {
            let mut values = Vec::new();
            for entry in transaction.open_table(META)?.iter()? {
                let (name, value) = entry?;
                let name = name.value();
                // These three have ways of their own.
                if ![EPOCH, STATE, VERSION].contains(&name) && !except.contains(&name) {
                    values.push((name.to_owned(), value.value().to_vec()));
                }
            }
            Ok(values)
        });
        Ok(values.await?)
    }

    /// The dial's record as it is stored, and its version.
    pub(crate) async fn flag_record(&self) -> Result<Option<(u64, Vec<u8>)>, MetaError> {
        let record = self.read(|transaction| {
            let table = transaction.open_table(META)?;
            let number = flags::version(table.get(VERSION)?.as_ref().map(redb::AccessGuard::value));
            Ok(table.get(STATE)?.map(|state| (number, state.value().to_vec())))
        });
        Ok(record.await?)
    }

    /// The epoch; reading it is no use of the store.
    pub(crate) async fn kept_epoch(&self) -> Result<Option<Epoch>, MetaError> {
        let kept = self.read(|transaction| {
            let table = transaction.open_table(META)?;
            Ok(table.get(EPOCH)?.map(|value| epoch::read(value.value())).transpose()?.map(Epoch::from))
        });
        Ok(kept.await?)
    }
}

/// One part of a table. `read` gives nothing for what counts as gone.
fn page<Item>(
    transaction: &ReadTransaction,
    table: TableDefinition<&'static str, &'static [u8]>,
    after: Option<&str>,
    limit: usize,
    read: impl Fn(&str, &[u8]) -> Result<Option<Item>, StoreError>,
) -> Result<Page<Item>, StoreError> {
    let table = transaction.open_table(table)?;
    let first = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Page { items: Vec::new(), unreadable: 0, next: None };
    let mut seen = 0;
    for entry in table.range::<&str>((first, Bound::Unbounded))? {
        let (key, value) = entry?;
        match read(key.value(), value.value())? {
            Some(item) => page.items.push(item),
            None => page.unreadable += 1,
        }
        seen += 1;
        if seen >= limit {
            page.next = Some(key.value().to_owned());
            break;
        }
    }
    Ok(page)
}
