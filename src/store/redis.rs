//! The store in Redis (7.0 or later), for more than one replica: one server, one behind Sentinels, or a cluster.
//!
//! Each write is one script or one command, so that it happens wholly or not at all. Keys of the ledger share one hash
//! tag: an alias is unique among all people, and is written with its row. That binds the ledger to one slot of a
//! cluster. A session has a slot of its own; its indexes are written before it and only ever name too many.
//!
//! Time is the caller's, who takes it from a [`StoreClock`] that this room sets by Redis; counts of tries ask Redis
//! itself. Redis confirms a write before it is on disk or at a replica: what a
//! failover loses is found again at Scalekit (REL-07), and a lost session is a new sign-in.

mod beats;
mod connection;
mod counts;
mod epoch;
mod fitness;
mod flags;
mod import;
mod ledger;
mod link;
mod meta;
mod people;
mod rates;
mod reach;
mod removals;
mod room;
mod script;
mod sessions;

use std::{
    fmt,
    future::Future,
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{ErrorKind, RedisError};

use self::{beats::Replicas, connection::Connection, fitness::Unfit, link::Link, script::Script};
use super::{MetaError, StoreClock};
use crate::{
    clock::{Clock as _, Timestamp},
    config::RedisStore,
    login::LedgerError,
    net::{Breaker, Tracker},
    session::SessionStoreError,
    telemetry::with_causes,
};

pub(crate) use counts::SharedCounts;
pub(crate) use rates::SharedRates;
pub(crate) use reach::LinkError;

static TIME: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/time.lua")));

/// How often the connection is looked after: a clock that is put right, or a primary that is one no more, is seen
/// within this time.
const LOOK: Duration = Duration::from_secs(2);

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
    Slow(Duration),
    #[error("a stored value cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Unfit(#[from] Unfit),
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

    /// Sets a clock by that of Redis.
    pub(crate) async fn set_clock(&self, clock: &StoreClock) -> Result<(), MetaError> {
        let (key, asked) = (self.key(ledger::ROWS), clock.monotonic());
        let read = self.run(|mut connection| async move {
            Ok(TIME.key(key).invoke_async::<(u64, u64)>(&mut connection).await?)
        });
        let (seconds, micros) = read.await?;
        clock.set(Timestamp::from_millis(seconds * 1000 + micros / 1000), asked);
        Ok(())
    }

    /// Keeps the clock right and the connection at the primary until the process stops, also while nobody needs them.
    pub(crate) fn tend(&self, clock: Arc<StoreClock>, tracker: &Tracker) {
        let (redis, stopping) = (self.clone(), tracker.stopping());
        tracker.spawn(async move {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = clock.sleep(LOOK) => {}
                }
                redis.link.tend().await;
                if let Err(error) = redis.set_clock(&clock).await {
                    tracing::debug!(error = with_causes(&error), "the clock of Redis cannot be read");
                }
            }
        });
    }

    /// Waits for the connection, for its time, and looks whether what answers can be used.
    pub(crate) async fn connect(&self, within: Duration) -> Result<(), Unreached> {
        let reached = async {
            self.link.connected(within).await?;
            self.try_out().await
        };
        reached.await.map_err(|failure| Unreached {
            is_final: match &failure {
                Failure::Server(error) | Failure::Unconnected(error) => is_shut_out(error),
                failure => matches!(failure, Failure::Unfit(_)),
            },
            fix: self.fix(&failure),
            error: failure.into(),
        })
    }

    /// Runs an operation within the time that one may take.
    async fn run<T, Running>(
        &self,
        operation: impl FnOnce(Connection) -> Running + Send,
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
            Self::Unreadable(_) | Self::Unfit(_) | Self::Refused(_) => false,
        }
    }
}

/// Redis was not reached, or cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Unreached {
    pub(crate) error: MetaError,
    /// Redis was there and does not let us in, or will not do: waiting changes nothing.
    pub(crate) is_final: bool,
    pub(crate) fix: String,
}

fn is_shut_out(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"))
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
