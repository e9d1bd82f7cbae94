//! People who were removed, remembered by each process: a store that lost their tombstones brings nobody back
//! (truth 5, truth 8).
//!
//! [`Remembering`] is a ledger around the store's own. What it has once seen as a tombstone stays one, whatever the
//! store says afterwards, and is written back into a store that lost it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Alias, ClaimAnswer, Counts, Ledger, LedgerError, Mark, People, PeopleFilter, Row, RowState};
use crate::{clock::Timestamp, identity::PersonKey};

/// How many removed people are remembered. Those beyond are as safe as the store is.
const MOST: usize = 10_000;

/// How many names are read at a time.
const PAGE: usize = 500;

/// A ledger that never forgets a tombstone while the process lives.
pub(crate) struct Remembering {
    ledger: Arc<dyn Ledger>,
    removed: Mutex<Removed>,
}

#[derive(Default)]
struct Removed {
    rows: HashMap<PersonKey, Row>,
    aliases: HashMap<Alias, PersonKey>,
}

impl Removed {
    fn by_alias(&self, alias: &Alias) -> Option<Row> {
        self.rows.get(self.aliases.get(alias)?).cloned()
    }
}

impl Remembering {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, removed: Mutex::default() }
    }

    fn removed(&self) -> MutexGuard<'_, Removed> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &PersonKey) -> Option<Row> {
        self.removed().rows.get(key).cloned()
    }

    fn see(&self, row: &Row) {
        if row.state != RowState::Tombstone {
            return;
        }
        let mut removed = self.removed();
        if removed.rows.len() < MOST || removed.rows.contains_key(&row.key) {
            for alias in &row.aliases {
                removed.aliases.insert(alias.clone(), row.key.clone());
            }
            removed.rows.insert(row.key.clone(), row.clone());
        }
    }

    /// Learns who was removed by other processes.
    pub(crate) async fn learn(&self) -> Result<(), LedgerError> {
        let mut after: Option<PersonKey> = None;
        loop {
            let page = self.ledger.marked(Mark::Removed, after.as_ref(), PAGE).await?;
            for key in &page {
                if self.known(key).is_none()
                    && let Some(row) = self.ledger.row(key).await?
                {
                    self.see(&row);
                }
            }
            let is_full = self.removed().rows.len() >= MOST;
            match page.last() {
                Some(last) if page.len() == PAGE && !is_full => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Writes back what the store lost; says how many there were.
    pub(crate) async fn write_back(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let rows: Vec<Row> = self.removed().rows.values().cloned().collect();
        let mut written = 0;
        for row in rows {
            match self.write_back_one(row, now).await {
                Ok(is_written) => written += usize::from(is_written),
                // Somebody else writes this row just now; the next look tries again, and the other rows do not wait.
                Err(LedgerError::Overtaken) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Writes one tombstone back, where the store lost it and nobody holds the row.
    async fn write_back_one(&self, row: Row, now: Timestamp) -> Result<bool, LedgerError> {
        let stored = self.ledger.row(&row.key).await?;
        if stored.is_some_and(|stored| stored.state == RowState::Tombstone) {
            return Ok(false);
        }
        let fresh = Row { claim: None, ..row };
        // Whoever holds a claim may go on until it ends, and is told of the tombstone meanwhile; tried again then.
        let ClaimAnswer::Granted(claimed) = self.ledger.claim(&fresh, Duration::from_secs(1), now).await?
        else {
            return Ok(false);
        };
        let tombstone = Row { version: claimed.version, fence: claimed.fence, claim: None, ..fresh };
        match self.ledger.write(&tombstone).await {
            // A name leads to somebody else by now: the person's own row is what must not come back.
            Err(LedgerError::AliasTaken) => {
                self.ledger.write(&Row { aliases: Vec::new(), ..tombstone }).await?;
            }
            written => {
                written?;
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl Ledger for Remembering {
    async fn row(&self, key: &PersonKey) -> Result<Option<Row>, LedgerError> {
        let row = self.ledger.row(key).await?;
        if let Some(row) = &row {
            self.see(row);
        }
        Ok(self.known(key).or(row))
    }

    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError> {
        let row = self.ledger.find(alias).await?;
        if let Some(row) = &row {
            self.see(row);
        }
        Ok(self.removed().by_alias(alias).or(row))
    }

    async fn claim(&self, fresh: &Row, lease: Duration, now: Timestamp) -> Result<ClaimAnswer, LedgerError> {
        if let Some(row) = self.known(&fresh.key) {
            return Ok(ClaimAnswer::Held(Box::new(row)));
        }
        let answer = self.ledger.claim(fresh, lease, now).await?;
        let (ClaimAnswer::Granted(row) | ClaimAnswer::Held(row)) = &answer;
        self.see(row);
        Ok(answer)
    }

    async fn write(&self, row: &Row) -> Result<Row, LedgerError> {
        if row.state != RowState::Tombstone && self.known(&row.key).is_some() {
            return Err(LedgerError::Overtaken);
        }
        let written = self.ledger.write(row).await?;
        self.see(&written);
        Ok(written)
    }

    async fn is_empty(&self) -> Result<bool, LedgerError> {
        self.ledger.is_empty().await
    }

    async fn marked(
        &self,
        mark: Mark,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        self.ledger.marked(mark, after, limit).await
    }

    async fn list(
        &self,
        filter: &PeopleFilter,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<People, LedgerError> {
        self.ledger.list(filter, after, limit).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        self.ledger.counts().await
    }

    async fn index(&self) -> Result<u64, LedgerError> {
        self.ledger.index().await
    }
}
