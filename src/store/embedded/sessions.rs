//! Sessions and flows in the embedded store.

use async_trait::async_trait;
use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Embedded, StoreError};
use crate::{
    clock::Timestamp,
    login::UserId,
    session::{Digest, Flow, FlowStore, Session, SessionStore, SessionStoreError},
};

const SESSIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("sessions");
const FLOWS: TableDefinition<&str, &[u8]> = TableDefinition::new("flows");

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SESSIONS)?;
    transaction.open_table(FLOWS)?;
    Ok(())
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
            let value = serde_json::to_vec(&session)?;
            transaction.open_table(SESSIONS)?.insert(id.as_str(), value.as_slice())?;
            Ok(())
        });
        Ok(put.await?)
    }

    async fn get(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let id = id.clone();
        let got = self.read(move |transaction| {
            let table = transaction.open_table(SESSIONS)?;
            let value = table.get(id.as_str())?;
            // Fault matrix: a value that cannot be read is a signed-out session, never an error page.
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
            let mut table = transaction.open_table(SESSIONS)?;
            let stored =
                table.get(id.as_str())?.map(|value| serde_json::from_slice::<Session>(value.value()));
            if let Some(Ok(mut session)) = stored {
                session.last_seen = session.last_seen.max(at);
                session.idle_ends_at = session.idle_ends_at.max(idle_ends_at);
                table.insert(id.as_str(), serde_json::to_vec(&session)?.as_slice())?;
            }
            Ok(())
        });
        Ok(touched.await?)
    }

    async fn remove(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError> {
        let id = id.clone();
        let removed = self.write(move |transaction| {
            let mut table = transaction.open_table(SESSIONS)?;
            let value = table.remove(id.as_str())?;
            Ok(value.and_then(|value| serde_json::from_slice(value.value()).ok()))
        });
        Ok(removed.await?)
    }

    async fn remove_all_of(&self, user: &UserId) -> Result<usize, SessionStoreError> {
        let user = user.clone();
        Ok(self.remove_sessions(move |session| session.user == user).await?)
    }

    async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError> {
        let over = move |session: &Session| now >= session.ends_at || now >= session.idle_ends_at;
        let sessions = self.remove_sessions(over).await?;
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
    async fn remove_sessions(
        &self,
        over: impl Fn(&Session) -> bool + Send + 'static,
    ) -> Result<usize, StoreError> {
        self.write(move |transaction| {
            let mut removed = 0;
            transaction.open_table(SESSIONS)?.retain(|_, value| {
                let keep = serde_json::from_slice::<Session>(value).is_ok_and(|session| !over(&session));
                removed += usize::from(!keep);
                keep
            })?;
            Ok(removed)
        })
        .await
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
