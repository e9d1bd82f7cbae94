//! People who were removed, remembered by each process: a store that lost their tombstones brings nobody back
//! (truth 5, truth 8).
//!
//! [`Remembering`] is a ledger around the store's own. What it has once seen as a tombstone stays one, whatever the
//! store says afterwards, and is written back into a store that lost it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{
    Alias, ClaimAnswer, Counts, Ledger, LedgerError, Mark, People, PeopleFilter, Row, RowState, UserId,
};
use crate::{clock::Timestamp, identity::PersonKey};

/// How many removed people are remembered. Those beyond are as safe as the store is.
const MOST: usize = 10_000;

/// How many names are read at a time.
const PAGE: usize = 500;

/// How many of them are written back at a time: all of them have to be there before anybody is let in again.
const AT_A_TIME: usize = 16;

/// Every so many comparisons, names are compared and not their number alone: as many may have been lost as were added.
const GLANCES: u64 = 10;

/// A ledger that never forgets a tombstone while the process lives.
pub(crate) struct Remembering {
    ledger: Arc<dyn Ledger>,
    removed: Mutex<Removed>,
    compared: AtomicU64,
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
        Self { ledger, removed: Mutex::default(), compared: AtomicU64::new(0) }
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

    /// Whether a person is known to be removed, by either of their names. Asks nobody.
    pub(crate) fn has_removed(&self, key: &PersonKey, user: &UserId) -> bool {
        let removed = self.removed();
        removed.rows.contains_key(key) || removed.aliases.contains_key(&Alias::User(user.clone()))
    }

    /// Learns who was removed by other processes, and writes back whom the store lost: those are returned. A failover
    /// loses the last moments of a store that nobody doubts for it, so this does not wait for a doubt.
    pub(crate) async fn compare(&self, in_doubt: bool, now: Timestamp) -> Result<Vec<Row>, LedgerError> {
        let stored = self.ledger.how_many(Mark::Removed).await?;
        let known = self.removed().rows.len();
        let too_many = stored > u64::try_from(MOST).unwrap_or(u64::MAX);
        let is_alike = too_many && known >= MOST || u64::try_from(known).is_ok_and(|known| known == stored);
        let is_a_glance = !self.compared.fetch_add(1, Ordering::Relaxed).is_multiple_of(GLANCES);
        if is_alike && is_a_glance && !in_doubt {
            return Ok(Vec::new());
        }
        let listed = self.learn().await?;
        let lost = |row: &Row| match &listed {
            Some(listed) => !listed.contains(&row.key),
            // Not all of them were read; then each row says: only where something may be lost, and a doubt may last.
            None => in_doubt && !is_a_glance,
        };
        let rows: Vec<Row> = self.removed().rows.values().filter(|row| lost(row)).cloned().collect();
        self.write_back(rows, now).await
    }

    /// Reads who is removed, and gives their names; `None` where there are too many to be remembered.
    async fn learn(&self) -> Result<Option<HashSet<PersonKey>>, LedgerError> {
        let mut listed = HashSet::new();
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
            after = page.last().cloned();
            let is_last = page.len() < PAGE;
            listed.extend(page);
            match (is_last, listed.len() > MOST) {
                (_, true) => return Ok(None),
                (true, false) => return Ok(Some(listed)),
                (false, false) => {}
            }
        }
    }

    async fn write_back(&self, rows: Vec<Row>, now: Timestamp) -> Result<Vec<Row>, LedgerError> {
        let mut written = Vec::new();
        for some in rows.chunks(AT_A_TIME) {
            let attempts = some.iter().map(|row| self.write_back_one(row.clone(), now));
            let mut failure = None;
            for attempt in join_all(attempts).await {
                match attempt {
                    Ok(tombstone) => written.extend(tombstone),
                    // Somebody else writes this row just now; the next look tries again, and the others do not wait.
                    Err(LedgerError::Overtaken | LedgerError::AliasTaken) => {}
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                None => {}
                Some(error) if written.is_empty() => return Err(error),
                // They are told, or nobody ends their sessions; the next look meets the error again.
                Some(_) => break,
            }
        }
        Ok(written)
    }

    /// Writes one tombstone back, where the store lost it and nobody holds the row.
    async fn write_back_one(&self, row: Row, now: Timestamp) -> Result<Option<Row>, LedgerError> {
        let stored = self.ledger.row(&row.key).await?;
        // With a claim it may be half written: whoever wrote it back may have died before its names.
        if stored.is_some_and(|stored| stored.state == RowState::Tombstone && stored.claim.is_none()) {
            return Ok(None);
        }
        let fresh = Row { claim: None, ..row };
        // Whoever holds a claim may go on until it ends, and is told of the tombstone meanwhile; tried again then.
        let ClaimAnswer::Granted(claimed) = self.ledger.claim(&fresh, Duration::from_secs(1), now).await?
        else {
            return Ok(None);
        };
        let tombstone = Row { version: claimed.version, fence: claimed.fence, claim: None, ..fresh };
        match self.ledger.write(&tombstone).await {
            // A name leads to somebody else by now. The person's own row must not come back, nor anybody by a name that
            // is free.
            Err(LedgerError::AliasTaken) => {
                let mut aliases = Vec::new();
                for alias in &tombstone.aliases {
                    if self.ledger.find(alias).await?.is_none_or(|holder| holder.key == tombstone.key) {
                        aliases.push(alias.clone());
                    }
                }
                self.ledger.write(&Row { aliases, ..tombstone.clone() }).await?;
                Ok(Some(tombstone))
            }
            written => written.map(Some),
        }
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

    async fn how_many(&self, mark: Mark) -> Result<u64, LedgerError> {
        self.ledger.how_many(mark).await
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
