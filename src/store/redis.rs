//! The store in Redis (7.0 or later), for more than one replica.
//!
//! Each write is one script or one command, so that it happens wholly or not at all. Keys of the ledger share one hash
//! tag: an alias is unique among all people, and is written with its row. That binds the ledger to one slot of a
//! cluster. A session has a slot of its own; its indexes are written before it and only ever name too many.
//!
//! Time is the caller's, but for counts of tries. Redis confirms a write before it is on disk or at a replica: what a
//! failover loses is found again at Scalekit (REL-07), and a lost session is a new sign-in.

mod beats;
mod counts;
mod flags;
mod ledger;
mod link;
mod meta;
mod people;
mod rates;
mod sessions;

use std::{fmt, future::Future, sync::Arc};

use redis::{RedisError, aio::MultiplexedConnection};

use self::{beats::Replicas, link::Link};
use super::MetaError;
use crate::{
    config::RedisStore, login::LedgerError, net::Breaker, session::SessionStoreError, telemetry::with_causes,
};

pub(crate) use counts::SharedCounts;
pub(crate) use link::LinkError;
pub(crate) use rates::SharedRates;

/// A store in Redis.
#[derive(Clone)]
pub(crate) struct Redis {
    link: Arc<Link>,
    /// Leaves a Redis that is away alone; `None` where nobody looks whether it is back.
    breaker: Option<Arc<Breaker>>,
    replicas: Replicas,
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
    /// Whatever it said: an attempt that failed is of no use to anybody.
    #[error("Redis cannot be connected to: {0}")]
    Unconnected(RedisError),
    #[error("Redis failed too often of late; it is not asked until it is back")]
    Away,
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
        let replicas = Replicas::assumed(settings.replicas);
        Ok(Self {
            link,
            breaker: None,
            replicas,
            prefix: settings.prefix.as_str().into(),
            holder: holder.into(),
        })
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
        let Some(breaker) = &self.breaker else { return self.link.run(operation).await };
        let admission = breaker.admit().map_err(|_| Failure::Away)?;
        let result = self.link.run(operation).await;
        admission.settle(!result.as_ref().is_err_and(Failure::is_outage));
        result
    }

    /// Whether it is known that it cannot be asked now.
    fn is_away(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.refuses())
    }

    fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}

impl Failure {
    /// Whether Redis cannot be used, as opposed to having refused one operation.
    fn is_outage(&self) -> bool {
        match self {
            Self::Server(error) => link::spoils(error),
            Self::Unconnected(_) | Self::Slow(_) | Self::Away => true,
            Self::Unreadable(_) | Self::Refused(_) => false,
        }
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
