//! The connection to Redis: one, shared by all operations, made anew after whatever may have spoiled it.
//!
//! A failed attempt to connect fails those who wait for it, and the next operation tries again: there is no pause in
//! which a Redis that is back would not be used.

use std::{
    future::Future,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, ServerErrorKind, TlsCertificates, aio::MultiplexedConnection,
};

use super::Failure;
use crate::config::RedisStore;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("ca_file: {} cannot be read", .0.display())]
    CaFile(PathBuf, #[source] std::io::Error),
    #[error("it cannot be prepared")]
    Settings(#[source] RedisError),
}

/// An attempt to connect, or what came of it; it goes on while anybody waits for it.
type Connecting = Shared<BoxFuture<'static, Result<MultiplexedConnection, RedisError>>>;

pub(super) struct Link {
    client: Client,
    /// For one operation, with the wait for a connection.
    timeout: Duration,
    connect_timeout: Duration,
    current: Mutex<Current>,
}

struct Current {
    connecting: Connecting,
    /// Which attempt it is.
    number: u64,
}

impl Link {
    pub(super) fn new(settings: &RedisStore) -> Result<Self, LinkError> {
        let client = client(settings)?;
        let connecting = connect(client.clone(), settings.connect_timeout);
        Ok(Self {
            client,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            current: Mutex::new(Current { connecting, number: 0 }),
        })
    }

    /// Runs an operation within its time.
    pub(super) async fn run<T, Running>(
        &self,
        operation: impl FnOnce(MultiplexedConnection) -> Running + Send,
    ) -> Result<T, Failure>
    where
        Running: Future<Output = Result<T, Failure>> + Send,
    {
        let (connecting, number) = self.current();
        let attempt = connecting.clone();
        let work = async move { operation(attempt.await.map_err(Failure::Unconnected)?).await };
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
        let (connecting, number) = self.current();
        match tokio::time::timeout(within, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                self.renew(number);
                Err(error.into())
            }
            Err(_) => Err(Failure::Slow(within)),
        }
    }

    fn current(&self) -> (Connecting, u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (current.connecting.clone(), current.number)
    }

    /// Gives up attempt `number`, unless somebody else did already.
    fn renew(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            let connecting = connect(self.client.clone(), self.connect_timeout);
            *current = Current { connecting, number: number + 1 };
        }
    }
}

fn connect(client: Client, within: Duration) -> Connecting {
    // Operations have their own limit, which counts the wait for a connection too.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(within)).set_response_timeout(None);
    async move { client.get_multiplexed_async_connection_with_config(&config).await }.boxed().shared()
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

fn client(settings: &RedisStore) -> Result<Client, LinkError> {
    let host = settings.host.clone();
    let address = if settings.tls {
        // No matter who began first: there is one provider in this build.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        ConnectionAddr::TcpTls { host, port: settings.port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, settings.port)
    };
    let mut login = RedisConnectionInfo::default().set_db(settings.database);
    if let Some(username) = &settings.username {
        login = login.set_username(username);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(password.expose());
    }
    let info = address.into_connection_info().map_err(LinkError::Settings)?.set_redis_settings(login);
    if !settings.tls {
        return Client::open(info).map_err(LinkError::Settings);
    }
    let root_cert = match &settings.ca_file {
        Some(path) => Some(std::fs::read(path).map_err(|error| LinkError::CaFile(path.clone(), error))?),
        None => None,
    };
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }).map_err(LinkError::Settings)
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
