//! Lists and counts of people in Redis: a sorted set of names for each stage, and two hashes of counts, all of them
//! kept by the scripts that write rows (`tally.lua`).

use std::sync::LazyLock;

use redis::AsyncCommands as _;

use super::{
    Redis,
    ledger::{FIELDS, Fields, ROWS, read},
    script::Script,
};
use crate::{
    identity::PersonKey,
    login::{Counts, Indexed, LedgerError, Stage},
    store::people::{Found, Span},
};

static INDEX: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("tally.lua"), include_str!("index.lua"))));

/// How many rows of an earlier version are looked at in one go.
const BATCH: usize = 500;

/// A hash of counts.
type Counted<Of> = Vec<(Of, u64)>;

impl Redis {
    /// Names of one stage, in order.
    pub(super) async fn names(&self, span: Span) -> Result<Vec<String>, LedgerError> {
        let key = self.key(&format!("{ROWS}:in:{}", span.stage.as_str()));
        let first = match (&span.after, span.prefix.as_str()) {
            (Some(after), prefix) if after.as_str() >= prefix => format!("({after}"),
            (_, "") => "-".to_owned(),
            (_, prefix) => format!("[{prefix}"),
        };
        // A prefix ends in `:`, and `;` is the next character.
        let last = match span.prefix.strip_suffix(':') {
            Some(source) => format!("({source};"),
            None => "+".to_owned(),
        };
        let limit = isize::try_from(span.limit).unwrap_or(isize::MAX);
        let names = self.run(|mut connection| async move {
            Ok(connection.zrangebylex_limit(key, first, last, 0, limit).await?)
        });
        Ok(names.await?)
    }

    /// The rows of names, in their order.
    pub(super) async fn rows(&self, names: Vec<String>) -> Result<Vec<Found>, LedgerError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for name in &names {
            pipeline.cmd("HMGET").arg(self.row_key(name)).arg(&FIELDS);
        }
        let fields =
            self.run(|mut connection| async move { Ok(pipeline.query_async(&mut connection).await?) });
        let fields: Vec<Fields> = fields.await?;
        names.iter().zip(fields).map(|(name, fields)| Found::of(read(name, fields))).collect()
    }

    /// The counts as they are kept.
    pub(super) async fn counted(&self) -> Result<Counts, LedgerError> {
        let mut pipeline = redis::pipe();
        pipeline.hgetall(self.key(&format!("{ROWS}:stages"))).hgetall(self.key(&format!("{ROWS}:reach")));
        let kept = self.run(|mut connection| async move { Ok(pipeline.query_async(&mut connection).await?) });
        let (stages, reach): (Counted<String>, Counted<u16>) = kept.await?;
        let stage = |(name, count): (String, u64)| {
            let (stage, pinned) = name.split_once(':')?;
            Some(((Stage::parse(stage)?, pinned == "1"), count))
        };
        Ok(Counts {
            people: stages.into_iter().filter_map(stage).filter(|(_, count)| *count > 0).collect(),
            by_bucket: reach.into_iter().filter(|(_, count)| *count > 0).collect(),
        })
    }

    /// Counts rows that were written before there were counts. Other processes may do the same at the same time.
    pub(super) async fn index_rows(&self) -> Result<Indexed, LedgerError> {
        let mut indexed = Indexed::default();
        // One look, unless there is something to do.
        if self.people().await? == self.counted().await?.all() {
            return Ok(indexed);
        }
        let mut cursor = 0_u64;
        loop {
            let rows = self.key(ROWS);
            let scanned = self.run(|mut connection| async move {
                let mut scan = redis::cmd("SSCAN");
                scan.arg(rows).arg(cursor).arg("COUNT").arg(BATCH);
                Ok(scan.query_async(&mut connection).await?)
            });
            let (next, names): (u64, Vec<String>) = scanned.await?;
            let found = self.rows(names.clone()).await?;
            for (name, found) in names.into_iter().zip(found) {
                let row = match found {
                    Found::Row(row) => row,
                    Found::Nothing => continue,
                    Found::Unreadable => {
                        indexed.unreadable.extend(PersonKey::parse(&name));
                        continue;
                    }
                };
                let mut script = INDEX.key(self.row_key(&name));
                script.key(self.key(ROWS)).arg(row.version).arg(name).arg(row.counted_as().to_string());
                let done = self.run(|mut connection| async move {
                    Ok(script.invoke_async::<u64>(&mut connection).await?)
                });
                indexed.people += done.await?;
            }
            if next == 0 {
                return Ok(indexed);
            }
            cursor = next;
        }
    }
}
