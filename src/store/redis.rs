//! The store in Redis (7.0 or later), for more than one replica.
//!
//! Each write is one script or one command, so that it happens wholly or not at all. Keys of the ledger share one hash
//! tag: an alias is unique among all people, and is written with its row. That binds the ledger to one slot of a
//! cluster. A session has a slot of its own; its indexes are written before it and only ever name too many.
//!
//! Time is the caller's, but for counts of tries. Redis confirms a write before it is on disk or at a replica: what a
//! failover loses is found again at Scalekit (REL-07), and a lost session is a new sign-in.

mod counts;
mod epoch;
mod ledger;
mod link;
mod meta;
mod sessions;

use std::{fmt, future::Future, sync::Arc};

use redis::{RedisError, aio::MultiplexedConnection};

use self::link::Link;
use super::MetaError;
use crate::{config::RedisStore, login::LedgerError, session::SessionStoreError, telemetry::with_causes};

pub(crate) use counts::SharedCounts;
pub(crate) use link::LinkError;

/// A store in Redis.
#[derive(Clone)]
pub(crate) struct Redis {
    link: Arc<Link>,
    /// What every key begins with.
    prefix: Arc<str>,
    /// This process's name in claims.
    holder: Arc<str>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// An operation failed. Whether it happened is unknown, unless it was refused.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("Redis failed: {0}")]
    Server(RedisError),
    #[error("Redis did not answer within {0:?}")]
    Slow(std::time::Duration),
    #[error("a stored value cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A conditional write of the ledger was refused.
    #[error(transparent)]
    Refused(LedgerError),
}

impl Redis {
    /// Prepares the store and connects with its first use. `holder` names this process and must differ from that of
    /// any other.
    pub(crate) fn new(settings: &RedisStore, holder: &str) -> Result<Self, LinkError> {
        let link = Arc::new(Link::new(settings)?);
        Ok(Self { link, prefix: settings.prefix.as_str().into(), holder: holder.into() })
    }

    /// Waits for the connection and for an answer, each for its time.
    pub(crate) async fn connect(&self, within: std::time::Duration) -> Result<(), MetaError> {
        self.link.connected(within).await?;
        let pinged = self.run(|mut connection| async move {
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok(())
        });
        Ok(pinged.await?)
    }

    /// Runs an operation within the time that one may take.
    async fn run<T, Running>(
        &self,
        operation: impl FnOnce(MultiplexedConnection) -> Running + Send,
    ) -> Result<T, Failure>
    where
        Running: Future<Output = Result<T, Failure>> + Send,
    {
        self.link.run(operation).await
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}

/// Not a cause of its own: its text is told already.
impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Server(error)
    }
}

impl From<Failure> for LedgerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal,
            other => Self::Unavailable(with_causes(&other), None),
        }
    }
}

impl From<Failure> for SessionStoreError {
    fn from(failure: Failure) -> Self {
        Self(with_causes(&failure))
    }
}

impl From<Failure> for MetaError {
    fn from(failure: Failure) -> Self {
        Self(with_causes(&failure))
    }
}
