//! Taking over what another store holds: rows with their versions and fences, sessions, and the store's own values.
//!
//! Everything here may be done again and again, and what was taken over before is replaced. Nobody else may use the
//! store meanwhile; who sees to that is not this room's business.

use std::sync::LazyLock;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::{AsyncCommands as _, Cmd};

use super::{
    Failure, Redis,
    epoch::EPOCH,
    flags::FLAGS,
    ledger::{ALIAS, ROWS},
    removals::removed_at,
    script::{Invocation, Script},
    sessions::BATCH,
};
use crate::{
    login::{Doubt, Epoch, LedgerError, Mark, Row},
    session::{Digest, Flow, FlowStore as _, Session, SessionStore as _, SessionStoreError},
    store::{MetaError, alias_key, people::Found},
};

static IMPORT: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("tally.lua"), include_str!("import.lua"))));

static IMPORT_EPOCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("import_epoch.lua")));

/// How many writes are under way at the same time.
const AT_A_TIME: usize = 100;

/// The flows that were taken over, so that they can be forgotten.
const FLOWS: &str = "imported-flows";

impl Redis {
    /// Whether nothing of a store is here. `values` are the names of values that belong to one.
    pub(crate) async fn is_untouched(&self, values: &[&str]) -> Result<bool, MetaError> {
        let mut keys = vec![self.key(ROWS), self.key(EPOCH), self.key(FLAGS), self.ends_key()];
        keys.extend(values.iter().map(|name| self.meta_key(name)));
        let commands: Vec<Cmd> = keys.iter().map(Cmd::exists).collect();
        let asked = self.run(|mut connection| async move { Ok(connection.each::<bool>(&commands).await?) });
        Ok(!asked.await?.contains(&true))
    }

    /// Puts rows in place, each with its aliases and counted.
    pub(crate) async fn put_rows(&self, rows: &[Row]) -> Result<(), LedgerError> {
        for rows in rows.chunks(AT_A_TIME) {
            let put = rows.iter().map(|row| self.put_row(row)).collect::<Result<Vec<_>, _>>()?;
            let put = self.run(|mut connection| async move {
                let Some((first, others)) = put.split_first() else { return Ok(()) };
                // By itself: it brings the script where that is not known.
                first.invoke_async::<()>(&mut connection).await?;
                if others.is_empty() {
                    return Ok(());
                }
                // In one piece: a server that syncs what it wrote does so once for what came together.
                let mut pipeline = redis::pipe();
                for one in others {
                    pipeline.add_command(one.by_digest());
                }
                Ok(pipeline.query_async::<()>(&mut connection).await?)
            });
            put.await?;
        }
        Ok(())
    }

    fn put_row(&self, row: &Row) -> Result<Invocation<'static>, Failure> {
        let name = row.key.to_string();
        let mut script = IMPORT.key(self.row_key(&name));
        script.key(self.key(ROWS));
        for mark in Mark::ALL {
            script.key(self.mark_key(mark));
        }
        script.key(self.removals_key());
        let mark = Mark::ALL.iter().position(|mark| Some(*mark) == row.mark());
        script.arg(row.version).arg(row.fence).arg(serde_json::to_vec(row)?);
        script.arg(name).arg(self.key(ALIAS)).arg(mark.map_or(0, |place| place + 1));
        script.arg(removed_at(row));
        for alias in &row.aliases {
            script.arg(alias_key(alias));
        }
        script.arg(row.counted_as().to_string());
        Ok(script)
    }

    /// Which of these rows are not here as they are, or are not found by one of their aliases.
    pub(crate) async fn differing<'a>(&self, rows: &'a [Row]) -> Result<Vec<&'a Row>, LedgerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = rows.iter().map(|row| row.key.to_string()).collect();
        let there = self.rows(names.clone()).await?;
        let mut pipeline = redis::pipe();
        let mut whose = Vec::new();
        for (row, name) in rows.iter().zip(&names) {
            for alias in &row.aliases {
                pipeline.get(format!("{}{}", self.key(ALIAS), alias_key(alias)));
                whose.push(name);
            }
        }
        let holders: Vec<Option<String>> = if whose.is_empty() {
            Vec::new()
        } else {
            let asked =
                self.run(|mut connection| async move { Ok(pipeline.query_async(&mut connection).await?) });
            asked.await?
        };
        let misled: Vec<&String> = whose
            .into_iter()
            .zip(&holders)
            .filter(|(name, holder)| holder.as_ref() != Some(*name))
            .map(|(name, _)| name)
            .collect();
        let differs = |row: &Row, name: &String, there: &Found| {
            !matches!(there, Found::Row(there) if **there == *row) || misled.contains(&name)
        };
        let looked_at = rows.iter().zip(&names).zip(&there);
        Ok(looked_at
            .filter(|((row, name), there)| differs(row, name, there))
            .map(|((row, _), _)| row)
            .collect())
    }

    /// Puts sessions in place, under the names by which they are found.
    pub(crate) async fn put_sessions(&self, sessions: &[(Digest, Session)]) -> Result<(), SessionStoreError> {
        let put = sessions.iter().map(|(id, session)| self.put(id, session));
        stream::iter(put).buffer_unordered(AT_A_TIME).try_collect::<()>().await
    }

    /// Puts sign-ins under way in place.
    pub(crate) async fn put_flows(&self, flows: &[(Digest, Flow)]) -> Result<(), SessionStoreError> {
        if flows.is_empty() {
            return Ok(());
        }
        let (key, states) = (self.key(FLOWS), flows.iter().map(|(state, _)| state.as_str().to_owned()));
        let states: Vec<String> = states.collect();
        let noted =
            self.run(|mut connection| async move { Ok(connection.sadd::<_, _, ()>(key, states).await?) });
        noted.await?;
        let put = flows.iter().map(|(state, flow)| self.put_flow(state, flow));
        stream::iter(put).buffer_unordered(AT_A_TIME).try_collect::<()>().await
    }

    /// How many sessions there are.
    pub(crate) async fn sessions(&self) -> Result<u64, SessionStoreError> {
        let ends = self.ends_key();
        Ok(self.run(|mut connection| async move { Ok(connection.zcard(ends).await?) }).await?)
    }

    /// Forgets all sessions, and the sign-ins that were taken over: some of them may have ended where they came from.
    pub(crate) async fn forget_sessions(&self) -> Result<(), SessionStoreError> {
        loop {
            let ends = self.ends_key();
            let most = isize::try_from(BATCH).unwrap_or(isize::MAX) - 1;
            let listed =
                self.run(|mut connection| async move { Ok(connection.zrange(ends, 0, most).await?) });
            let ids: Vec<String> = listed.await?;
            if ids.is_empty() {
                return self.forget_flows().await;
            }
            self.take(ids.iter().map(|id| Digest::stored(id)).collect()).await?;
            // Those that Redis had deleted are still listed.
            let ends = self.ends_key();
            let unlisted =
                self.run(|mut connection| async move { Ok(connection.zrem::<_, _, ()>(ends, ids).await?) });
            unlisted.await?;
        }
    }

    async fn forget_flows(&self) -> Result<(), SessionStoreError> {
        let key = self.key(FLOWS);
        let noted = self.run(|mut connection| async move { Ok(connection.smembers(key).await?) });
        let states: Vec<String> = noted.await?;
        for states in states.chunks(BATCH) {
            let flows: Vec<Cmd> =
                states.iter().map(|state| Cmd::del(self.flow_key(&Digest::stored(state)))).collect();
            let forgotten =
                self.run(|mut connection| async move { Ok(connection.each::<()>(&flows).await?) });
            forgotten.await?;
        }
        self.flows_are_theirs().await
    }

    /// The sign-ins that were taken over are like any others from now on.
    pub(crate) async fn flows_are_theirs(&self) -> Result<(), SessionStoreError> {
        let key = self.key(FLOWS);
        Ok(self.run(|mut connection| async move { Ok(connection.del::<_, ()>(key).await?) }).await?)
    }

    /// Puts a value that belongs to the store in place.
    pub(crate) async fn put_value(&self, name: &str, value: &[u8]) -> Result<(), MetaError> {
        let (key, value) = (self.meta_key(name), value.to_vec());
        let put = self.run(|mut connection| async move { Ok(connection.set::<_, _, ()>(key, value).await?) });
        Ok(put.await?)
    }

    /// Takes a value that belongs to the store away.
    pub(crate) async fn forget_value(&self, name: &str) -> Result<(), MetaError> {
        let key = self.meta_key(name);
        Ok(self.run(|mut connection| async move { Ok(connection.del::<_, ()>(key).await?) }).await?)
    }

    /// Puts the dial's record in place as it was stored, or takes it away.
    pub(crate) async fn put_flag_record(&self, record: Option<(u64, Vec<u8>)>) -> Result<(), MetaError> {
        let key = self.key(FLAGS);
        let put = self.run(|mut connection| async move {
            match record {
                Some((version, state)) => {
                    let version = version.to_string().into_bytes();
                    let fields = [("version", version), ("state", state)];
                    Ok(connection.hset_multiple::<_, _, _, ()>(key, &fields).await?)
                }
                None => Ok(connection.del::<_, ()>(key).await?),
            }
        });
        Ok(put.await?)
    }

    /// Puts an epoch in place with its doubt and its confirmation, or takes it away.
    pub(crate) async fn put_epoch_record(&self, epoch: Option<&Epoch>) -> Result<(), MetaError> {
        let mut script = IMPORT_EPOCH.key(self.key(EPOCH));
        if let Some(epoch) = epoch {
            script.arg("id").arg(&epoch.id).arg("beat").arg(epoch.beat).arg("at").arg(epoch.at.millis());
            if let Some(doubt) = epoch.doubt.map(Doubt::as_str) {
                script.arg("doubt").arg(doubt);
            }
            if let Some(at) = epoch.confirmed_at {
                script.arg("confirmed_at").arg(at.millis());
            }
        }
        let put = self.run(|mut connection| async move {
            script.invoke_async::<()>(&mut connection).await?;
            Ok(())
        });
        Ok(put.await?)
    }
}
