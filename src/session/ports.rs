//! What sessions and flows need of a store.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{Flow, Session};
use crate::{clock::Timestamp, login::UserId};

/// The SHA-256 of a random id: what a store knows a session or flow by (SEC-20).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn of(id: &str) -> Self {
        let hash = digest(&SHA256, id.as_bytes());
        Self(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The session store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the session store is not available: {0}")]
pub(crate) struct SessionStoreError(pub(crate) String);

/// Sessions by the hash of their id.
#[async_trait]
pub(crate) trait SessionStore: Send + Sync {
    /// Keeps or replaces a session.
    async fn put(&self, id: &Digest, session: &Session) -> Result<(), SessionStoreError>;

    async fn get(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError>;

    /// Notes that the session was used and moves its idle end; a session that is gone stays gone.
    async fn touch(
        &self,
        id: &Digest,
        at: Timestamp,
        idle_ends_at: Timestamp,
    ) -> Result<(), SessionStoreError>;

    /// Ends a session and returns it.
    async fn remove(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError>;

    /// Ends all sessions of a Scalekit user; returns how many.
    async fn remove_all_of(&self, user: &UserId) -> Result<usize, SessionStoreError>;

    /// Deletes sessions and flows that are over, and returns how many; called now and then, correctness does not depend on it.
    async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError>;
}

/// Sign-ins under way at Scalekit, by the hash of their `state`.
#[async_trait]
pub(crate) trait FlowStore: Send + Sync {
    async fn put_flow(&self, state: &Digest, flow: &Flow) -> Result<(), SessionStoreError>;

    /// Takes a flow out: a second callback with the same state finds nothing (SEC-26).
    async fn take_flow(&self, state: &Digest) -> Result<Option<Flow>, SessionStoreError>;
}
