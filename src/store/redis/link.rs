//! The connection to Redis: one, shared by all operations, made anew after whatever may have spoiled it.
//!
//! Passwords may change while it runs (REL-11): the connection in use goes on, and the next one is made with the new
//! ones, or with those before where a server does not know them.
//!
//! A failed attempt to connect fails those who wait for it, and the next operation tries again: there is no pause in
//! which a Redis that is back would not be used. A cluster is different: its connection stays in use for the nodes that
//! work while another one is made, which learns who serves the rest.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, Shared, select},
};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

use super::{
    Failure,
    connection::Connection,
    reach::{LinkError, Reach, Reached},
};
use crate::{
    config::RedisStore,
    identity::Secret,
    net::{Rotating, Taken},
};

/// An attempt to connect, or what came of it; it goes on while anybody waits for it.
type Connecting = Shared<BoxFuture<'static, Result<Reached, RedisError>>>;

pub(super) struct Link {
    ways: Arc<Rotating<Way>>,
    /// As they were at the start.
    settings: RedisStore,
    /// Whether one connection leads to several servers, of which those that work are used while others do not.
    is_many: bool,
    /// For one operation, with the wait for a connection.
    timeout: Duration,
    current: Mutex<Current>,
}

/// The way to Redis with certain passwords.
#[derive(Clone)]
struct Way {
    reach: Arc<Reach>,
    passwords: [Option<Secret>; 2],
}

impl Way {
    fn new(settings: &RedisStore) -> Result<Self, LinkError> {
        let passwords = settings.passwords().map(Option::<&Secret>::cloned);
        Ok(Self { reach: Arc::new(Reach::new(settings)?), passwords })
    }
}

/// All else of the ways of one link is the same.
impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        self.passwords == other.passwords
    }
}

struct Current {
    connecting: Connecting,
    /// Which attempt it is.
    number: u64,
    /// The one that takes its place when it is there.
    next: Option<Connecting>,
}

impl Link {
    pub(super) fn new(settings: &RedisStore) -> Result<Self, LinkError> {
        let way = Way::new(settings)?;
        let is_many = way.reach.is_many();
        let ways = Arc::new(Rotating::new(way));
        let current = Current { connecting: connect(Arc::clone(&ways)), number: 0, next: None };
        Ok(Self {
            ways,
            settings: settings.clone(),
            is_many,
            timeout: settings.timeout,
            current: Mutex::new(current),
        })
    }

    /// Takes new passwords for the next connection. Those of another Redis, which only a restart leads to, are none of
    /// this one's.
    pub(super) fn take_passwords(&self, new: &RedisStore) -> Result<(), LinkError> {
        if self.settings.is_like(new) {
            self.ways.replace(Way::new(new)?);
        }
        Ok(())
    }

    /// Runs an operation within its time.
    pub(super) async fn run<T, Running>(
        &self,
        operation: impl FnOnce(Connection) -> Running + Send,
    ) -> Result<T, Failure>
    where
        Running: Future<Output = Result<T, Failure>> + Send,
    {
        let (connecting, number, next) = self.current();
        let attempt = connecting.clone();
        let work = async move { operation(attempt.await.map_err(Failure::Unconnected)?.connection).await };
        let (work, helped) = (pin!(work), pin!(help(next)));
        let work = async {
            match select(work, helped).await {
                Either::Left((result, _)) => result,
                Either::Right((never, _)) => match never {},
            }
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Err(failure)) => {
                if failure.is_outage() {
                    self.renew(number);
                }
                Err(failure)
            }
            Ok(result) => result,
            Err(_) => {
                // The peer may be gone without a word; an attempt to connect has a limit of its own.
                if connecting.peek().is_some() {
                    self.renew(number);
                }
                Err(Failure::Slow(self.timeout))
            }
        }
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self, within: Duration) -> Result<(), Failure> {
        let (connecting, number, _) = self.current();
        match tokio::time::timeout(within, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                self.renew(number);
                Err(error.into())
            }
            Err(_) => Err(Failure::Slow(within)),
        }
    }

    /// Leaves a connection whose server is the primary no more, and waits for the next one where there is one.
    pub(super) async fn tend(&self) {
        let (connecting, number, next) = self.current();
        if let Some(next) = next {
            // Whatever comes of it is seen by the next operation.
            let _ = next.await;
        } else if let Some(Ok(Reached { primary: Some(primary), .. })) = connecting.peek() {
            let named = self.ways.send(|way| async move { way.reach.primary().await }, taken).await;
            // Where the Sentinels cannot be asked, nothing speaks against the one in use.
            if named.is_ok_and(|named| named != *primary) {
                self.renew(number);
            }
        }
    }

    /// Which connection is in use, counted from the first attempt.
    pub(super) fn number(&self) -> u64 {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).number
    }

    fn current(&self) -> (Connecting, u64, Option<Connecting>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = current.next.take() {
            match next.peek() {
                None => current.next = Some(next),
                Some(Ok(_)) => (current.connecting, current.number) = (next, current.number + 1),
                Some(Err(_)) => {}
            }
        }
        (current.connecting.clone(), current.number, current.next.clone())
    }

    /// Gives up attempt `number`, unless somebody else did already.
    fn renew(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number != number || current.next.is_some() {
            return;
        }
        let connecting = connect(Arc::clone(&self.ways));
        if self.is_many && matches!(current.connecting.peek(), Some(Ok(_))) {
            current.next = Some(connecting);
        } else {
            *current = Current { connecting, number: number + 1, next: None };
        }
    }
}

fn connect(ways: Arc<Rotating<Way>>) -> Connecting {
    async move { ways.send(|way| async move { way.reach.connect().await }, taken).await }.boxed().shared()
}

/// What came of a way says of its passwords.
fn taken<T>(result: &RedisResult<T>) -> Taken {
    match result {
        Ok(_) => Taken::Yes,
        Err(error) if is_unknown(error) => Taken::No,
        Err(_) => Taken::Unknown,
    }
}

/// Whether a server does not let us in. A cluster tells the last of its nodes' errors, as a text.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
        || error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("authentication failed"))
}

/// Moves an attempt on while something else is waited for.
async fn help(next: Option<Connecting>) -> std::convert::Infallible {
    if let Some(next) = next {
        let _ = next.await;
    }
    pending().await
}

/// Whether a connection is of no use after this error: it broke, it could not be made, or it leads to a server that
/// may not or cannot serve while another one could (fault matrix: reconnect).
pub(super) fn spoils(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => !matches!(
            kind,
            ServerErrorKind::ResponseError
                | ServerErrorKind::ExecAbort
                | ServerErrorKind::NoScript
                | ServerErrorKind::CrossSlot
                | ServerErrorKind::NotBusy
                | ServerErrorKind::NoSub
        ),
        ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &str) -> RedisError {
        let line = format!("-{line}\r\n");
        redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn a_server_that_may_not_serve_is_left() {
        for line in ["READONLY x", "LOADING x", "CLUSTERDOWN x", "MASTERDOWN x", "NOAUTH x", "MOVED 1 a:1"] {
            assert!(spoils(&error(line)), "{line}");
        }
        for line in ["ERR x", "NOSCRIPT x"] {
            assert!(!spoils(&error(line)), "{line}");
        }
    }
}
