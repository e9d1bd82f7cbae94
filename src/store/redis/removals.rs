//! Who was removed, in the order of time: a sorted set beside the one by name, kept by the scripts that write rows
//! (`tally.lua`).
//!
//! An earlier version keeps the set by name alone. Whoever is missing in the other one is looked up when it is read, so
//! both versions may serve at the same time.

use super::Redis;
use crate::{
    identity::PersonKey,
    login::{Ledger as _, LedgerError, Mark, Row},
    store::people::Found,
};

/// How many names are looked at in one go.
const BATCH: usize = 500;

/// When somebody was removed, in ms, as scripts take it; nothing: they were not.
pub(super) fn removed_at(row: &Row) -> String {
    let at = (row.mark() == Some(Mark::Removed)).then(|| row.updated_at.millis().to_string());
    at.unwrap_or_default()
}

impl Redis {
    pub(super) fn removals_key(&self) -> String {
        self.key("{ledger}:removed:at")
    }

    /// Whoever was removed last comes first.
    pub(super) async fn removed_last(
        &self,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (mut removed, mut dated, mut names) = self.ask_removals(skip, limit).await?;
        if dated < removed {
            self.date_removals().await?;
            (removed, dated, names) = self.ask_removals(skip, limit).await?;
            tracing::debug!(removed, dated, "removals of an earlier version were put in order");
        }
        Ok(names.iter().filter_map(|name| PersonKey::parse(name)).collect())
    }

    /// How many were removed, how many of them are in order, and this part of those.
    async fn ask_removals(&self, skip: usize, limit: usize) -> Result<(u64, u64, Vec<String>), LedgerError> {
        let place = |place: usize| isize::try_from(place).unwrap_or(isize::MAX);
        let mut pipeline = redis::pipe();
        pipeline.zcard(self.mark_key(Mark::Removed)).zcard(self.removals_key());
        pipeline.zrevrange(self.removals_key(), place(skip), place(skip + limit - 1));
        let asked =
            self.run(|mut connection| async move { Ok(pipeline.query_async(&mut connection).await?) });
        Ok(asked.await?)
    }

    /// Puts those in order whom an earlier version removed; whoever's row cannot be read counts as the first of all.
    async fn date_removals(&self) -> Result<(), LedgerError> {
        let mut after: Option<PersonKey> = None;
        loop {
            let page = self.marked(Mark::Removed, after.as_ref(), BATCH).await?;
            let names: Vec<String> = page.iter().map(ToString::to_string).collect();
            let rows = self.rows(names.clone()).await?;
            let mut pipeline = redis::pipe();
            for (name, found) in names.into_iter().zip(rows) {
                let at = match found {
                    Found::Row(row) => row.updated_at.millis(),
                    Found::Nothing | Found::Unreadable => 0,
                };
                // Somebody may write this row just now.
                pipeline.cmd("ZADD").arg(self.removals_key()).arg("NX").arg(at).arg(name).ignore();
            }
            if !page.is_empty() {
                let dated = self.run(|mut connection| async move {
                    Ok(pipeline.query_async::<()>(&mut connection).await?)
                });
                dated.await?;
            }
            match page.last() {
                Some(last) if page.len() == BATCH => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }
}
