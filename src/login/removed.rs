//! People who were removed, remembered by each process: a store that lost their tombstones brings nobody back
//! (truth 5, truth 8).
//!
//! [`Remembering`] is a ledger around the store's own. What it has once seen as a tombstone stays one, whatever the
//! store says afterwards, and is written back into a store that lost it. One person's row that cannot be read keeps
//! nobody from the others: it is passed over, and named.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{
    Alias, ClaimAnswer, Counts, Indexed, Ledger, LedgerError, Mark, People, PeopleFilter, Row, RowState,
    UserId,
};
use crate::{clock::Timestamp, identity::PersonKey};

/// How many removed people are remembered, the last ones. Those beyond are as safe as the store is.
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
    /// Whose rows are remembered, by when they were last changed.
    by_age: BTreeSet<(Timestamp, PersonKey)>,
    /// How many of them there may be.
    most: usize,
    /// How many the store had at the last comparison.
    stored: u64,
    /// Removed people of the store whose rows cannot be read.
    unreadable: HashSet<PersonKey>,
}

impl Removed {
    fn by_alias(&self, alias: &Alias) -> Option<Row> {
        self.rows.get(self.aliases.get(alias)?).cloned()
    }

    fn remember(&mut self, row: &Row) {
        self.forget(&row.key);
        for alias in &row.aliases {
            self.aliases.insert(alias.clone(), row.key.clone());
        }
        self.by_age.insert((row.updated_at, row.key.clone()));
        self.rows.insert(row.key.clone(), row.clone());
        if self.rows.len() > self.most
            && let Some((_, oldest)) = self.by_age.first().cloned()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &PersonKey) {
        let Some(row) = self.rows.remove(key) else { return };
        self.by_age.remove(&(row.updated_at, row.key));
        for alias in &row.aliases {
            if self.aliases.get(alias) == Some(key) {
                self.aliases.remove(alias);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.most
    }

    /// Whether a store with so many removed people has all that are remembered, as far as a number can say.
    fn is_like(&self, stored: u64) -> bool {
        let known = u64::try_from(self.rows.len() + self.unreadable.len()).unwrap_or(u64::MAX);
        stored == known || self.is_full() && stored > known && stored == self.stored
    }
}

/// What a comparison with the store came to.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Whom the store had lost, and has again.
    pub(crate) again: Vec<Row>,
    /// Whose rows were found to say nothing.
    pub(crate) unreadable: Vec<PersonKey>,
}

impl Remembering {
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self::at_most(MOST, ledger)
    }

    pub(super) fn at_most(most: usize, ledger: Arc<dyn Ledger>) -> Self {
        let removed = Mutex::new(Removed { most, ..Removed::default() });
        Self { ledger, removed, compared: AtomicU64::new(0) }
    }

    fn removed(&self) -> MutexGuard<'_, Removed> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, key: &PersonKey) -> Option<Row> {
        self.removed().rows.get(key).cloned()
    }

    fn see(&self, row: &Row) {
        if row.state == RowState::Tombstone {
            self.removed().remember(row);
        }
    }

    /// What is known of a row that was read, or could not be.
    fn seen(&self, read: Result<Option<Row>, LedgerError>) -> Result<Option<Row>, LedgerError> {
        match read {
            Ok(Some(row)) => {
                self.see(&row);
                Ok(self.known(&row.key).or(Some(row)))
            }
            Err(LedgerError::Unreadable(key)) => match self.known(&key) {
                None => Err(LedgerError::Unreadable(key)),
                known => Ok(known),
            },
            other => other,
        }
    }

    /// Whether a person is known to be removed, by either of their names. Asks nobody.
    pub(crate) fn has_removed(&self, key: &PersonKey, user: &UserId) -> bool {
        let removed = self.removed();
        removed.rows.contains_key(key) || removed.aliases.contains_key(&Alias::User(user.clone()))
    }

    /// Learns who was removed by other processes, and writes back whom the store lost. A failover loses the last moments
    /// of a store that nobody doubts for it, so this waits for no doubt; one that `may_lack` somebody is compared name by name.
    pub(crate) async fn compare(&self, may_lack: bool, now: Timestamp) -> Result<Compared, LedgerError> {
        let stored = self.ledger.how_many(Mark::Removed).await?;
        let is_alike = self.removed().is_like(stored);
        let is_a_glance = !self.compared.fetch_add(1, Ordering::Relaxed).is_multiple_of(GLANCES);
        let (lost, unreadable) =
            if is_alike && is_a_glance && !may_lack { Default::default() } else { self.learn().await? };
        self.removed().stored = stored;
        Ok(Compared { again: self.write_back(lost, now).await?, unreadable })
    }

    /// Reads who was removed last, as many as are remembered, and gives those who are remembered and missing, and those
    /// whose rows were found to say nothing. Whoever was removed since takes the place of the one who was first.
    async fn learn(&self) -> Result<(Vec<Row>, Vec<PersonKey>), LedgerError> {
        let mut missing: HashSet<PersonKey> = self.removed().rows.keys().cloned().collect();
        let mut unreadable = HashSet::new();
        let (mut read, most) = (0, self.removed().most);
        while read < most {
            let limit = PAGE.min(most - read);
            let page = self.ledger.last_removed(read, limit).await?;
            for key in &page {
                if missing.remove(key) {
                    continue;
                }
                match self.ledger.row(key).await {
                    Ok(row) => row.iter().for_each(|row| self.see(row)),
                    Err(LedgerError::Unreadable(key)) => _ = unreadable.insert(key),
                    Err(error) => return Err(error),
                }
            }
            read += page.len();
            if page.len() < limit {
                break;
            }
        }
        let before = std::mem::replace(&mut self.removed().unreadable, unreadable.clone());
        let found = unreadable.difference(&before).cloned().collect();
        Ok((missing.iter().filter_map(|key| self.known(key)).collect(), found))
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
        let stored = match self.ledger.row(&row.key).await {
            // It says nothing, and is not among those who are removed.
            Err(LedgerError::Unreadable(_)) => return self.ledger.write_over(&row).await.map(Some),
            read => read?,
        };
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
        let row = self.seen(self.ledger.row(key).await)?;
        Ok(self.known(key).or(row))
    }

    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError> {
        let row = self.seen(self.ledger.find(alias).await)?;
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

    async fn write_over(&self, row: &Row) -> Result<Row, LedgerError> {
        let written = self.ledger.write_over(row).await?;
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

    async fn last_removed(&self, skip: usize, limit: usize) -> Result<Vec<PersonKey>, LedgerError> {
        self.ledger.last_removed(skip, limit).await
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

    async fn index(&self) -> Result<Indexed, LedgerError> {
        self.ledger.index().await
    }
}
