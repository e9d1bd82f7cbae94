//! The ledger in the embedded store: rows by key, aliases that lead to keys.

use std::{ops::Bound, time::Duration};

use async_trait::async_trait;
use redb::{ReadableTable, ReadableTableMetadata as _, TableDefinition, WriteTransaction};

use super::{Embedded, StoreError, people};
use crate::{
    clock::Timestamp,
    identity::PersonKey,
    login::{
        Alias, Claim, ClaimAnswer, Counts, Indexed, Ledger, LedgerError, Mark, People, PeopleFilter, Row,
    },
    store::{
        alias_key,
        people::{list, unreadable},
        read_alias,
    },
};

pub(super) const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("rows");
pub(super) const ALIASES: TableDefinition<&str, &str> = TableDefinition::new("aliases");
const OPEN: TableDefinition<&str, ()> = TableDefinition::new("open");
const REMOVED: TableDefinition<&str, ()> = TableDefinition::new("removed");
/// Who was removed, by the ms in which their row was last changed.
const REMOVALS: TableDefinition<(u64, &str), ()> = TableDefinition::new("removed_at");

const fn marked_table(mark: Mark) -> TableDefinition<'static, &'static str, ()> {
    match mark {
        Mark::Open => OPEN,
        Mark::Removed => REMOVED,
    }
}

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ROWS)?;
    transaction.open_table(ALIASES)?;
    transaction.open_table(OPEN)?;
    transaction.open_table(REMOVED)?;
    date_removals(transaction)?;
    people::make_tables(transaction)
}

/// Puts those who are removed in the order of time, where an earlier version wrote the file; whoever's row cannot be read
/// counts as the first of all.
fn date_removals(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let (rows, removed) = (transaction.open_table(ROWS)?, transaction.open_table(REMOVED)?);
    let mut removals = transaction.open_table(REMOVALS)?;
    if removals.len()? == removed.len()? {
        return Ok(());
    }
    removals.retain(|_, ()| false)?;
    for entry in removed.iter()? {
        let name = entry?.0;
        let row = rows.get(name.value())?.and_then(|row| serde_json::from_slice::<Row>(row.value()).ok());
        removals.insert((row.map_or(0, |row| row.updated_at.millis()), name.value()), ())?;
    }
    Ok(())
}

pub(super) fn load(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<Row>, StoreError> {
    let Some(value) = table.get(key)? else { return Ok(None) };
    let row = serde_json::from_slice(value.value());
    row.map(Some).map_err(|_| StoreError::Refused(unreadable(key)))
}

impl Embedded {
    /// Makes a row one that cannot be read.
    #[cfg(test)]
    pub(in crate::store) fn garble(&self, key: &PersonKey) {
        let transaction = self.database.begin_write().unwrap();
        transaction
            .open_table(ROWS)
            .unwrap()
            .insert(key.to_string().as_str(), b"{garbage".as_slice())
            .unwrap();
        transaction.commit().unwrap();
    }

    /// Makes the file one from before removals had an order.
    #[cfg(test)]
    pub(in crate::store) fn forget_order(&self) {
        let transaction = self.database.begin_write().unwrap();
        transaction.delete_table(REMOVALS).unwrap();
        transaction.commit().unwrap();
    }
}

#[async_trait]
impl Ledger for Embedded {
    async fn row(&self, key: &PersonKey) -> Result<Option<Row>, LedgerError> {
        let key = key.to_string();
        Ok(self.read(move |transaction| load(&transaction.open_table(ROWS)?, &key)).await?)
    }

    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError> {
        let alias = alias_key(alias);
        let found = self.read(move |transaction| {
            let aliases = transaction.open_table(ALIASES)?;
            match aliases.get(alias.as_str())? {
                Some(key) => load(&transaction.open_table(ROWS)?, key.value()),
                None => Ok(None),
            }
        });
        Ok(found.await?)
    }

    async fn claim(&self, fresh: &Row, lease: Duration, now: Timestamp) -> Result<ClaimAnswer, LedgerError> {
        let (fresh, holder) = (fresh.clone(), self.holder.to_string());
        let claimed = self.write(move |transaction| {
            let mut rows = transaction.open_table(ROWS)?;
            let key = fresh.key.to_string();
            let mut row = load(&rows, &key)?.unwrap_or(fresh);
            if row.claim.as_ref().is_some_and(|claim| claim.holder == holder && claim.until > now) {
                return Ok(ClaimAnswer::Held(Box::new(row)));
            }
            row.claim = Some(Claim { holder, until: now.after(lease) });
            row.fence += 1;
            row.version += 1;
            if row.version == 1 {
                people::recount(transaction, &key, None, row.counted_as())?;
            }
            rows.insert(key.as_str(), serde_json::to_vec(&row)?.as_slice())?;
            Ok(ClaimAnswer::Granted(Box::new(row)))
        });
        Ok(claimed.await?)
    }

    async fn write(&self, row: &Row) -> Result<Row, LedgerError> {
        let row = row.clone();
        Ok(Embedded::write(self, move |transaction| replace(transaction, row)).await?)
    }

    async fn write_over(&self, row: &Row) -> Result<Row, LedgerError> {
        let row = Row { claim: None, ..row.clone() };
        Ok(Embedded::write(self, move |transaction| put_over(transaction, row)).await?)
    }

    async fn is_empty(&self) -> Result<bool, LedgerError> {
        Ok(self.read(|transaction| Ok(transaction.open_table(ROWS)?.is_empty()?)).await?)
    }

    async fn list(
        &self,
        filter: &PeopleFilter,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<People, LedgerError> {
        list(filter, after, limit, |span| self.names(span), |names| self.rows(names)).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        self.counted().await
    }

    /// Done when the file is opened: nobody else can be writing then.
    async fn index(&self) -> Result<Indexed, LedgerError> {
        Ok(Indexed::default())
    }

    async fn how_many(&self, mark: Mark) -> Result<u64, LedgerError> {
        Ok(self.read(move |transaction| Ok(transaction.open_table(marked_table(mark))?.len()?)).await?)
    }

    async fn marked(
        &self,
        mark: Mark,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        let after = after.map(ToString::to_string);
        let keys = self.read(move |transaction| {
            let table = transaction.open_table(marked_table(mark))?;
            let first = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let range = table.range::<&str>((first, Bound::Unbounded))?;
            let names = range.take(limit).map(|entry| Ok(PersonKey::parse(entry?.0.value())));
            names.filter_map(Result::transpose).collect()
        });
        Ok(keys.await?)
    }

    async fn last_removed(&self, skip: usize, limit: usize) -> Result<Vec<PersonKey>, LedgerError> {
        let keys = self.read(move |transaction| {
            let removals = transaction.open_table(REMOVALS)?;
            let names = removals.iter()?.rev().skip(skip).take(limit);
            let keys = names.map(|entry| Ok(PersonKey::parse(entry?.0.value().1)));
            keys.filter_map(Result::transpose).collect()
        });
        Ok(keys.await?)
    }
}

fn replace(transaction: &WriteTransaction, mut row: Row) -> Result<Row, StoreError> {
    let mut rows = transaction.open_table(ROWS)?;
    let mut aliases = transaction.open_table(ALIASES)?;
    let key = row.key.to_string();
    let stored = load(&rows, &key)?;
    let current = stored.as_ref().map_or((0, 0), |stored| (stored.version, stored.fence));
    if current != (row.version, row.fence) {
        return Err(StoreError::Refused(LedgerError::Overtaken));
    }
    let wanted: Vec<String> = row.aliases.iter().map(alias_key).collect();
    for alias in &wanted {
        if aliases.get(alias.as_str())?.is_some_and(|holder| holder.value() != key) {
            return Err(StoreError::Refused(LedgerError::AliasTaken));
        }
    }
    for alias in stored.iter().flat_map(|stored| &stored.aliases).map(alias_key) {
        aliases.remove(alias.as_str())?;
    }
    for alias in &wanted {
        aliases.insert(alias.as_str(), key.as_str())?;
    }
    mark_row(transaction, &key, &row)?;
    {
        let mut removals = transaction.open_table(REMOVALS)?;
        if let Some(stored) = &stored {
            removals.remove((stored.updated_at.millis(), key.as_str()))?;
        }
        if row.mark() == Some(Mark::Removed) {
            removals.insert((row.updated_at.millis(), key.as_str()), ())?;
        }
    }
    row.version += 1;
    people::recount(transaction, &key, stored.as_ref().map(Row::counted_as), row.counted_as())?;
    rows.insert(key.as_str(), serde_json::to_vec(&row)?.as_slice())?;
    Ok(row)
}

fn mark_row(transaction: &WriteTransaction, key: &str, row: &Row) -> Result<(), StoreError> {
    for mark in Mark::ALL {
        let mut marked = transaction.open_table(marked_table(mark))?;
        if row.mark() == Some(mark) {
            marked.insert(key, ())?;
        } else {
            marked.remove(key)?;
        }
    }
    Ok(())
}

/// What the row counted as, and its version, only the row knew: everybody is counted anew, and versions begin anew.
fn put_over(transaction: &WriteTransaction, mut row: Row) -> Result<Row, StoreError> {
    let mut rows = transaction.open_table(ROWS)?;
    let mut aliases = transaction.open_table(ALIASES)?;
    let key = row.key.to_string();
    match load(&rows, &key) {
        Err(StoreError::Refused(LedgerError::Unreadable(_))) => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(StoreError::Refused(LedgerError::Overtaken)),
    }
    for entry in aliases.iter()? {
        let (alias, holder) = entry?;
        if holder.value() == key
            && let Some(alias) = read_alias(alias.value())
        {
            row.add_alias(alias);
        }
    }
    for alias in row.aliases.iter().map(alias_key) {
        let before = aliases.insert(alias.as_str(), key.as_str())?;
        if before.is_some_and(|holder| holder.value() != key) {
            return Err(StoreError::Refused(LedgerError::AliasTaken));
        }
    }
    mark_row(transaction, &key, &row)?;
    let mut removals = transaction.open_table(REMOVALS)?;
    removals.retain(|(_, name), ()| name != key)?;
    if row.mark() == Some(Mark::Removed) {
        removals.insert((row.updated_at.millis(), key.as_str()), ())?;
    }
    row.version = 1;
    rows.insert(key.as_str(), serde_json::to_vec(&row)?.as_slice())?;
    drop(rows);
    people::count_all(transaction).map_err(|error| StoreError::File(Box::new(error)))?;
    Ok(row)
}
