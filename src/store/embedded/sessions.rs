//! Sessions and flows in the embedded store.

use std::time::Duration;

use async_trait::async_trait;
use redb::{
    MultimapTableDefinition, ReadableMultimapTable as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition, WriteTransaction,
};

use super::{Embedded, StoreError};
use crate::{
    clock::Timestamp,
    session::{Digest, Flow, FlowStore, Session, SessionStore, SessionStoreError, Settled, Told, Whose},
    store::whose_key,
};

pub(super) const SESSIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("sessions");
pub(super) const FLOWS: TableDefinition<&str, &[u8]> = TableDefinition::new("flows");

/// The sessions of each person, by both of their names.
const SESSIONS_OF: MultimapTableDefinition<&str, &str> = MultimapTableDefinition::new("sessions_of");

/// How many sessions are removed in one write.
const BATCH: usize = 100;

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(FLOWS)?;
    let sessions = transaction.open_table(SESSIONS)?;
    let mut of = transaction.open_multimap_table(SESSIONS_OF)?;
    // A file from before there was an index.
    if of.is_empty()? && !sessions.is_empty()? {
        for entry in sessions.iter()? {
            let (id, value) = entry?;
            let Ok(session) = serde_json::from_slice::<Session>(value.value()) else { continue };
            for name in names(&session) {
                of.insert(name.as_str(), id.value())?;
            }
        }
    }
    Ok(())
}

fn names(session: &Session) -> [String; 2] {
    [Whose::User(session.user.clone()), Whose::Person(session.key.clone())].map(|whose| whose_key(&whose))
}

fn read(transaction: &WriteTransaction, id: &Digest) -> Result<Option<Session>, StoreError> {
    let table = transaction.open_table(SESSIONS)?;
    let value = table.get(id.as_str())?;
    // Fault matrix: a value that cannot be read is a signed-out session, never an error page.
    Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
}

fn write(transaction: &WriteTransaction, id: &Digest, session: &Session) -> Result<(), StoreError> {
    let value = serde_json::to_vec(session)?;
    transaction.open_table(SESSIONS)?.insert(id.as_str(), value.as_slice())?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, id: &str) -> Result<Option<Session>, StoreError> {
    let removed: Option<Session> = {
        let mut table = transaction.open_table(SESSIONS)?;
        let value = table.remove(id)?;
        value.and_then(|value| serde_json::from_slice(value.value()).ok())
    };
    let mut of = transaction.open_multimap_table(SESSIONS_OF)?;
    for name in removed.iter().flat_map(names) {
        of.remove(name.as_str(), id)?;
    }
    Ok(removed)
}

impl From<StoreError> for SessionStoreError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

#[async_trait]
impl SessionStore for Embedded {
    async fn put(&self, id: &Digest, session: &Session) -> Result<(), SessionStoreError> {
        let (id, session) = (id.clone(), session.clone());
        let put = self.write(move |transaction| {
            write(transaction, &id, &session)?;
            let mut of = transaction.open_multimap_table(SESSIONS_OF)?;
            for name in names(&session) {
                of.insert(name.as_str(), id.as_str())?;
            }
            Ok(())
        });
        Ok(put.await?)
    }

    async fn get(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let id = id.clone();
        let got = self.read(move |transaction| {
            let table = transaction.open_table(SESSIONS)?;
            let value = table.get(id.as_str())?;
            Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
        });
        Ok(got.await?)
    }

    async fn touch(
        &self,
        id: &Digest,
        at: Timestamp,
        idle_ends_at: Timestamp,
    ) -> Result<(), SessionStoreError> {
        let id = id.clone();
        let touched = self.write(move |transaction| {
            if let Some(mut session) = read(transaction, &id)? {
                session.last_seen = session.last_seen.max(at);
                session.idle_ends_at = session.idle_ends_at.max(idle_ends_at);
                write(transaction, &id, &session)?;
            }
            Ok(())
        });
        Ok(touched.await?)
    }

    async fn remove(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let id = id.clone();
        Ok(self.write(move |transaction| remove(transaction, id.as_str())).await?)
    }

    async fn remove_all_of(&self, whose: &Whose) -> Result<Vec<Digest>, SessionStoreError> {
        let name = whose_key(whose);
        let removed = self.write(move |transaction| {
            let ids: Vec<Digest> = {
                let of = transaction.open_multimap_table(SESSIONS_OF)?;
                let ids = of.get(name.as_str())?;
                ids.map(|id| Ok(Digest::stored(id?.value()))).collect::<Result<_, StoreError>>()?
            };
            for id in &ids {
                remove(transaction, id.as_str())?;
            }
            Ok(ids)
        });
        Ok(removed.await?)
    }

    async fn remove_all(&self, told: Told<'_>) -> Result<(), SessionStoreError> {
        Ok(self.remove_sessions(|_| true, told).await?)
    }

    async fn ended(&self, ids: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, SessionStoreError> {
        let ended = self.read(move |transaction| {
            let table = transaction.open_table(SESSIONS)?;
            let mut ended = Vec::new();
            for id in ids {
                let value = table.get(id.as_str())?;
                let session = value.and_then(|value| serde_json::from_slice::<Session>(value.value()).ok());
                if session.is_none_or(|session| session.over(now).is_some()) {
                    ended.push(id);
                }
            }
            Ok(ended)
        });
        Ok(ended.await?)
    }

    async fn claim_refresh(
        &self,
        id: &Digest,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionStoreError> {
        let id = id.clone();
        let claimed = self.write(move |transaction| {
            let Some(mut session) = read(transaction, &id)? else { return Ok(None) };
            if !session.claim(lease, now) {
                return Ok(None);
            }
            write(transaction, &id, &session)?;
            Ok(Some(session))
        });
        Ok(claimed.await?)
    }

    async fn settle_refresh(
        &self,
        id: &Digest,
        fence: u64,
        settled: &Settled,
    ) -> Result<bool, SessionStoreError> {
        let (id, settled) = (id.clone(), settled.clone());
        let written = self.write(move |transaction| {
            let Some(mut session) = read(transaction, &id)? else { return Ok(false) };
            if !session.settle(fence, &settled) {
                return Ok(false);
            }
            match settled {
                Settled::Ended => drop(remove(transaction, id.as_str())?),
                _ => write(transaction, &id, &session)?,
            }
            Ok(true)
        });
        Ok(written.await?)
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError> {
        let mut sessions = 0;
        let over = move |session: &Session| session.over(now).is_some();
        self.remove_sessions(over, &mut |ids| sessions += ids.len()).await?;
        let flows = self.write(move |transaction| {
            let mut removed = 0;
            transaction.open_table(FLOWS)?.retain(|_, value| {
                let keep = serde_json::from_slice::<Flow>(value).is_ok_and(|flow| now < flow.ends_at);
                removed += usize::from(!keep);
                keep
            })?;
            Ok(removed)
        });
        Ok(sessions + flows.await?)
    }
}

impl Embedded {
    /// Removes every session that is over, and whatever cannot be read. All are looked at beside whoever writes; only a
    /// batch at a time keeps others from writing, and sign-ins come in between.
    async fn remove_sessions(
        &self,
        over: impl Fn(&Session) -> bool + Copy + Send + 'static,
        told: Told<'_>,
    ) -> Result<(), StoreError> {
        let is_due = move |value: &[u8]| {
            serde_json::from_slice::<Session>(value).ok().is_none_or(|session| over(&session))
        };
        let due: Vec<Digest> = self
            .read(move |transaction| {
                let mut due = Vec::new();
                for entry in transaction.open_table(SESSIONS)?.iter()? {
                    let (id, value) = entry?;
                    if is_due(value.value()) {
                        due.push(Digest::stored(id.value()));
                    }
                }
                Ok(due)
            })
            .await?;
        for ids in due.chunks(BATCH) {
            let ids = ids.to_vec();
            let removed = self.write(move |transaction| {
                let mut removed = Vec::new();
                for id in ids {
                    // It may have been used since.
                    let is_due = {
                        let table = transaction.open_table(SESSIONS)?;
                        table.get(id.as_str())?.is_some_and(|value| is_due(value.value()))
                    };
                    if is_due {
                        remove(transaction, id.as_str())?;
                        removed.push(id);
                    }
                }
                Ok(removed)
            });
            told(&removed.await?);
        }
        Ok(())
    }

    /// Puts many sessions in place at once.
    #[cfg(test)]
    pub(in crate::store) async fn put_all(&self, sessions: Vec<(Digest, Session)>) {
        let put = self.write(move |transaction| {
            let mut of = transaction.open_multimap_table(SESSIONS_OF)?;
            for (id, session) in &sessions {
                write(transaction, id, session)?;
                for name in names(session) {
                    of.insert(name.as_str(), id.as_str())?;
                }
            }
            Ok(())
        });
        put.await.unwrap();
    }
}

#[async_trait]
impl FlowStore for Embedded {
    async fn put_flow(&self, state: &Digest, flow: &Flow) -> Result<(), SessionStoreError> {
        let (state, flow) = (state.clone(), flow.clone());
        let put = self.write(move |transaction| {
            let value = serde_json::to_vec(&flow)?;
            transaction.open_table(FLOWS)?.insert(state.as_str(), value.as_slice())?;
            Ok(())
        });
        Ok(put.await?)
    }

    async fn take_flow(&self, state: &Digest) -> Result<Option<Flow>, SessionStoreError> {
        let state = state.clone();
        let taken = self.write(move |transaction| {
            let mut table = transaction.open_table(FLOWS)?;
            let value = table.remove(state.as_str())?;
            Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
        });
        Ok(taken.await?)
    }
}
