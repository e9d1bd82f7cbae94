//! The ledger in Redis: a hash for each row, and a key for each alias that holds the row's name.
//!
//! What a script compares and changes (version, fence, claim) stands beside the row and counts instead of what the
//! row says: scripts never read or write JSON.

use std::{sync::LazyLock, time::Duration};

use async_trait::async_trait;
use redis::AsyncCommands as _;

use super::{Failure, Redis, removals::removed_at, script::Script};
use crate::{
    clock::Timestamp,
    identity::PersonKey,
    login::{
        Alias, Claim, ClaimAnswer, Counts, Indexed, Ledger, LedgerError, Mark, People, PeopleFilter, Row,
    },
    store::{
        alias_key,
        people::{self, unreadable},
        read_alias,
    },
};

static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("tally.lua"), include_str!("claim.lua"))));
static WRITE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("tally.lua"), include_str!("write.lua"))));
static FIND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("find.lua")));
static NAMES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("names.lua")));

pub(super) const ROWS: &str = "{ledger}:rows";
const ROW: &str = "{ledger}:row:";
pub(super) const ALIAS: &str = "{ledger}:alias:";

/// A row's fields, in the order of [`FIELDS`].
pub(super) type Fields = (Option<Vec<u8>>, Option<u64>, Option<u64>, Option<String>, Option<u64>);

pub(super) const FIELDS: [&str; 5] = ["row", "version", "fence", "holder", "until"];

/// The row of this name.
pub(super) fn read(
    name: &str,
    (row, version, fence, holder, until): Fields,
) -> Result<Option<Row>, LedgerError> {
    let Some(row) = row else { return Ok(None) };
    let row: Row = serde_json::from_slice(&row).map_err(|_| unreadable(name))?;
    let claim =
        holder.zip(until).map(|(holder, until)| Claim { holder, until: Timestamp::from_millis(until) });
    Ok(Some(Row { version: version.unwrap_or_default(), fence: fence.unwrap_or_default(), claim, ..row }))
}

impl Redis {
    pub(super) fn row_key(&self, name: &str) -> String {
        format!("{}{ROW}{name}", self.prefix)
    }

    /// Sorted by name, so that one can go on from any of them.
    pub(super) fn mark_key(&self, mark: Mark) -> String {
        self.key(match mark {
            Mark::Open => "{ledger}:open",
            Mark::Removed => "{ledger}:removed",
        })
    }

    /// How many people are in the ledger.
    pub(crate) async fn people(&self) -> Result<u64, LedgerError> {
        let rows = self.key(ROWS);
        Ok(self.run(|mut connection| async move { Ok(connection.scard(rows).await?) }).await?)
    }
}

#[async_trait]
impl Ledger for Redis {
    async fn row(&self, key: &PersonKey) -> Result<Option<Row>, LedgerError> {
        let name = key.to_string();
        let key = self.row_key(&name);
        let fields = self.run(|mut connection| async move { Ok(connection.hmget(key, &FIELDS).await?) });
        read(&name, fields.await?)
    }

    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError> {
        let (alias, rows) = (format!("{}{ALIAS}{}", self.prefix, alias_key(alias)), self.key(ROW));
        let found = self.run(|mut connection| async move {
            Ok(FIND.key(alias).arg(rows).invoke_async(&mut connection).await?)
        });
        let (name, fields): (Option<String>, Fields) = found.await?;
        read(&name.unwrap_or_default(), fields)
    }

    async fn claim(&self, fresh: &Row, lease: Duration, now: Timestamp) -> Result<ClaimAnswer, LedgerError> {
        let name = fresh.key.to_string();
        let mut script = CLAIM.key(self.row_key(&name));
        script.key(self.key(ROWS));
        script.arg(now.millis()).arg(now.after(lease).millis()).arg(&*self.holder);
        script
            .arg(serde_json::to_vec(fresh).map_err(Failure::from)?)
            .arg(&name)
            .arg(fresh.counted_as().to_string());
        let claimed =
            self.run(|mut connection| async move { Ok(script.invoke_async(&mut connection).await?) });
        let (is_granted, fields): (bool, Fields) = claimed.await?;
        let row = Box::new(read(&name, fields)?.ok_or_else(without_a_row)?);
        Ok(if is_granted { ClaimAnswer::Granted(row) } else { ClaimAnswer::Held(row) })
    }

    async fn write(&self, row: &Row) -> Result<Row, LedgerError> {
        let name = row.key.to_string();
        let mut script = WRITE.key(self.row_key(&name));
        script.key(self.key(ROWS));
        for mark in Mark::ALL {
            script.key(self.mark_key(mark));
        }
        script.key(self.removals_key());
        script.arg(row.version).arg(row.fence);
        let written = Row { version: row.version + 1, ..row.clone() };
        script.arg(serde_json::to_vec(&written).map_err(Failure::from)?);
        match &row.claim {
            Some(claim) => script.arg(&claim.holder).arg(claim.until.millis()),
            None => script.arg("").arg(""),
        };
        let mark = Mark::ALL.iter().position(|mark| Some(*mark) == row.mark());
        script.arg(name).arg(self.key(ALIAS)).arg(mark.map_or(0, |place| place + 1));
        script.arg(removed_at(row));
        for alias in &row.aliases {
            script.arg(alias_key(alias));
        }
        script.arg(row.counted_as().to_string());
        let answer = self.run(|mut connection| async move {
            let answer: String = script.invoke_async(&mut connection).await?;
            match answer.as_str() {
                "written" => Ok(()),
                "alias taken" => Err(Failure::Refused(LedgerError::AliasTaken)),
                _ => Err(Failure::Refused(LedgerError::Overtaken)),
            }
        });
        answer.await?;
        Ok(written)
    }

    async fn write_over(&self, row: &Row) -> Result<Row, LedgerError> {
        match self.row(&row.key).await {
            Err(LedgerError::Unreadable(_)) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(LedgerError::Overtaken),
        }
        let script = NAMES.key(self.row_key(&row.key.to_string()));
        let stored =
            self.run(|mut connection| async move { Ok(script.invoke_async(&mut connection).await?) });
        // Whoever writes the row in between changes the version.
        let (version, fence, names): (Option<u64>, Option<u64>, Vec<String>) = stored.await?;
        let (version, fence) = (version.unwrap_or_default(), fence.unwrap_or_default());
        let mut row = Row { version, fence, claim: None, ..row.clone() };
        names.iter().filter_map(|name| read_alias(name)).for_each(|alias| row.add_alias(alias));
        self.write(&row).await
    }

    async fn is_empty(&self) -> Result<bool, LedgerError> {
        Ok(self.people().await? == 0)
    }

    async fn list(
        &self,
        filter: &PeopleFilter,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<People, LedgerError> {
        people::list(filter, after, limit, |span| self.names(span), |names| self.rows(names)).await
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        self.counted().await
    }

    async fn index(&self) -> Result<Indexed, LedgerError> {
        self.index_rows().await
    }

    async fn how_many(&self, mark: Mark) -> Result<u64, LedgerError> {
        let set = self.mark_key(mark);
        Ok(self.run(|mut connection| async move { Ok(connection.zcard(set).await?) }).await?)
    }

    async fn marked(
        &self,
        mark: Mark,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        let set = self.mark_key(mark);
        let first = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let limit = isize::try_from(limit).unwrap_or(isize::MAX);
        let names = self.run(|mut connection| async move {
            Ok(connection.zrangebylex_limit::<_, _, _, Vec<String>>(set, first, "+", 0, limit).await?)
        });
        Ok(names.await?.iter().filter_map(|name| PersonKey::parse(name)).collect())
    }

    async fn last_removed(&self, skip: usize, limit: usize) -> Result<Vec<PersonKey>, LedgerError> {
        self.removed_last(skip, limit).await
    }
}

fn without_a_row() -> LedgerError {
    LedgerError::Unavailable("a claim in Redis has no row".into(), None)
}
