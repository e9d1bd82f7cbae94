//! Lists and counts of people in the embedded store: the names of each stage in order, and two tables of counts, kept
//! in the transaction that writes the row.

use std::ops::Bound;

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction};

use super::{
    Embedded, StoreError,
    ledger::{ROWS, load},
};
use crate::{
    login::{CountedAs, Counts, LedgerError, Row, Stage},
    store::people::{Found, Span},
};

/// Stage and name of everybody.
const STAGED: TableDefinition<(&str, &str), ()> = TableDefinition::new("people_by_stage");
/// How many, by stage and whether they are pinned.
const STAGES: TableDefinition<(&str, bool), u64> = TableDefinition::new("people_counts");
/// How many the percentage can reach, by bucket.
const REACH: TableDefinition<u16, u64> = TableDefinition::new("people_in_reach");

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let (staged, rows) = (transaction.open_table(STAGED)?, transaction.open_table(ROWS)?);
    transaction.open_table(STAGES)?;
    transaction.open_table(REACH)?;
    // A file from before there were counts.
    let is_new = staged.is_empty()? && !rows.is_empty()?;
    drop(staged);
    drop(rows);
    if is_new { count_all(transaction) } else { Ok(()) }
}

/// Makes lists and counts anew. Whoever's row cannot be read stays in the list in which they were, and counts there.
pub(super) fn count_all(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let rows = transaction.open_table(ROWS)?;
    transaction.open_table(REACH)?.retain(|_, _| false)?;
    transaction.open_table(STAGED)?.retain(|(_, name), ()| load(&rows, name).is_err())?;
    {
        let mut counts = transaction.open_table(STAGES)?;
        counts.retain(|_, _| false)?;
        for entry in transaction.open_table(STAGED)?.iter()? {
            let key = entry?.0;
            let place = (key.value().0, false);
            let before = counts.get(place)?.map_or(0, |count| count.value());
            counts.insert(place, before + 1)?;
        }
    }
    for entry in rows.iter()? {
        let (name, value) = entry?;
        let Ok(row) = serde_json::from_slice::<Row>(value.value()) else { continue };
        count(transaction, name.value(), row.counted_as(), Step::In)?;
    }
    Ok(())
}

/// A row comes under a tally, or leaves one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    In,
    Out,
}

impl Step {
    const fn from(self, count: u64) -> u64 {
        match self {
            Self::In => count.saturating_add(1),
            Self::Out => count.saturating_sub(1),
        }
    }
}

/// A row was written: moves it from one tally to the other.
pub(super) fn recount(
    transaction: &WriteTransaction,
    name: &str,
    old: Option<CountedAs>,
    new: CountedAs,
) -> Result<(), StoreError> {
    if old == Some(new) {
        return Ok(());
    }
    let changed = || {
        if let Some(old) = old {
            count(transaction, name, old, Step::Out)?;
        }
        count(transaction, name, new, Step::In)
    };
    changed().map_err(|error: redb::Error| StoreError::File(Box::new(error)))
}

fn count(
    transaction: &WriteTransaction,
    name: &str,
    tally: CountedAs,
    step: Step,
) -> Result<(), redb::Error> {
    let stage = tally.stage.as_str();
    let mut staged = transaction.open_table(STAGED)?;
    match step {
        Step::In => staged.insert((stage, name), ())?,
        Step::Out => staged.remove((stage, name))?,
    };
    let mut counts = transaction.open_table(STAGES)?;
    let place = (stage, tally.is_pinned);
    let before = counts.get(place)?.map_or(0, |count| count.value());
    counts.insert(place, step.from(before))?;
    if let Some(bucket) = tally.bucket {
        let mut reach = transaction.open_table(REACH)?;
        let before = reach.get(bucket.get())?.map_or(0, |count| count.value());
        reach.insert(bucket.get(), step.from(before))?;
    }
    Ok(())
}

impl Embedded {
    /// Names of one stage, in order.
    pub(super) async fn names(&self, span: Span) -> Result<Vec<String>, LedgerError> {
        let names = self.read(move |transaction| {
            let staged = transaction.open_table(STAGED)?;
            let stage = span.stage.as_str();
            let first = match span.after.as_deref() {
                Some(after) if after >= span.prefix.as_str() => Bound::Excluded((stage, after)),
                _ => Bound::Included((stage, span.prefix.as_str())),
            };
            let mut names = Vec::new();
            for entry in staged.range::<(&str, &str)>((first, Bound::Unbounded))? {
                let key = entry?.0;
                let (of, name) = key.value();
                if of != stage || !name.starts_with(&span.prefix) || names.len() >= span.limit {
                    break;
                }
                names.push(name.to_owned());
            }
            Ok(names)
        });
        Ok(names.await?)
    }

    /// The rows of names, in their order.
    pub(super) async fn rows(&self, names: Vec<String>) -> Result<Vec<Found>, LedgerError> {
        let rows = self.read(move |transaction| {
            let table = transaction.open_table(ROWS)?;
            let found = |name: &String| Found::of(load(&table, name).map_err(LedgerError::from));
            names.iter().map(found).collect::<Result<_, _>>().map_err(StoreError::Refused)
        });
        Ok(rows.await?)
    }

    /// The counts as they are kept.
    pub(super) async fn counted(&self) -> Result<Counts, LedgerError> {
        let counts = self.read(|transaction| {
            let mut counts = Counts::default();
            for entry in transaction.open_table(STAGES)?.iter()? {
                let (place, count) = entry?;
                let (stage, is_pinned) = place.value();
                let stage = Stage::parse(stage).filter(|_| count.value() > 0);
                counts.people.extend(stage.map(|stage| ((stage, is_pinned), count.value())));
            }
            for entry in transaction.open_table(REACH)?.iter()? {
                let (bucket, count) = entry?;
                if count.value() > 0 {
                    counts.by_bucket.insert(bucket.value(), count.value());
                }
            }
            Ok(counts)
        });
        Ok(counts.await?)
    }

    /// Makes the file one from before there were counts.
    #[cfg(test)]
    pub(in crate::store) fn forget_counts(&self) {
        let transaction = self.database.begin_write().unwrap();
        transaction.delete_table(STAGED).unwrap();
        transaction.delete_table(STAGES).unwrap();
        transaction.delete_table(REACH).unwrap();
        transaction.open_table(STAGED).unwrap();
        transaction.open_table(STAGES).unwrap();
        transaction.open_table(REACH).unwrap();
        transaction.commit().unwrap();
    }
}
