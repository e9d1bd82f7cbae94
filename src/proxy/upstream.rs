//! Connections to the application: one pool per data-plane thread, straight on hyper's client.
//!
//! A connection is given back only when its request went up and its answer came down to the end; whatever is
//! dropped earlier is cut. An unread rest would be the beginning of somebody else's answer (SEC-13).

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{AbortHandle, spawn_local},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    failure::ForwardError,
    line::{Line, Signs},
    upload::UploadBody,
};
use crate::{
    clock::Deadline,
    config,
    net::{TrustError, trust},
};

/// How long a connection may take to become ready again once its answer was read: the rest of an upload (SEC-13).
const SETTLE: Duration = Duration::from_secs(1);

/// The most that is read of an answer at once, and the largest head of one. hyper's own 400 KiB, held for each client
/// that reads slowly, would let a few hundred of them fill the memory (REL-31). Applications and files come in pieces of
/// 64 KiB: with the head of such an answer they are one read and one write, not two.
const READ_BYTES: usize = 72 * 1024;

/// Where the application is; made once, shared by all threads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The `Host` of the application itself.
    pub(super) authority: HeaderValue,
    pub(super) preserve_host: bool,
    connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    /// Longest pause between two pieces of an answer.
    pub(super) body_pause: Duration,
    keep: usize,
    idle_timeout: Duration,
}

/// The upstream section cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("`upstream.url` has no host")]
    NoHost,
    #[error("`upstream.url`: the host is not usable in a TLS handshake")]
    ServerName,
    #[error("`upstream`: {0}")]
    Trust(#[from] TrustError),
}

impl Target {
    pub(super) fn new(upstream: &config::Upstream) -> Result<Self, TargetError> {
        let url = &upstream.url;
        let host = url.host_str().ok_or(TargetError::NoHost)?;
        let https = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or(if https { 443 } else { 80 });
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // An IPv6 address stands in brackets in a URL only.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if https {
            let name = ServerName::try_from(host.clone()).map_err(|_| TargetError::ServerName)?;
            Some((Arc::new(trust(upstream.ca_file.as_deref())?), name))
        } else {
            None
        };
        Ok(Self {
            host,
            port,
            tls,
            authority: HeaderValue::try_from(authority).map_err(|_| TargetError::NoHost)?,
            preserve_host: upstream.preserve_host,
            connect_timeout: upstream.connect_timeout,
            first_byte_timeout: upstream.first_byte_timeout,
            body_pause: upstream.body_pause,
            keep: upstream.idle_connections,
            idle_timeout: upstream.idle_timeout,
        })
    }
}

/// One thread's pool.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) target: Target,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Deadline,
}

/// An open connection; cut when dropped.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<UploadBody>,
    driver: AbortHandle,
    signs: Arc<Signs>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Connection,
    pool: Rc<Upstream>,
    /// Whether it has carried a request before, so that the other side may have closed it meanwhile.
    pub(super) reused: bool,
}

/// A request that got no answer.
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// The request itself, when not one byte of it was written: the connection was closed before.
    pub(super) unsent: Option<Box<Request<UploadBody>>>,
}

impl Upstream {
    pub(super) fn new(target: Target) -> Rc<Self> {
        Rc::new(Self { target, idle: RefCell::new(Vec::new()) })
    }

    /// A connection from the pool, if one is there.
    pub(super) fn kept(self: &Rc<Self>) -> Option<Lease> {
        Some(Lease { connection: self.take_idle()?, pool: Rc::clone(self), reused: true })
    }

    /// A connection that has carried nothing yet.
    pub(super) async fn fresh(self: &Rc<Self>) -> Result<Lease, ForwardError> {
        let connection = timeout(self.target.connect_timeout, self.connect())
            .await
            .unwrap_or(Err(ForwardError::ConnectTimeout))?;
        Ok(Lease { connection, pool: Rc::clone(self), reused: false })
    }

    /// The latest used first: it is the least likely to be stale, and the others can grow old.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, until }) = idle.pop() {
            if connection.sender.is_ready() && !until.has_passed() {
                return Some(connection);
            }
        }
        None
    }

    fn put_back(&self, connection: Connection) {
        if connection.signs.is_broken() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.target.keep {
            idle.push(Idle { connection, until: Deadline::within(self.target.idle_timeout) });
        }
    }

    /// Drops connections that nobody used for long, or that the other side closed.
    pub(super) fn sweep(&self) {
        self.idle.borrow_mut().retain(|idle| idle.connection.sender.is_ready() && !idle.until.has_passed());
    }

    async fn connect(&self) -> Result<Connection, ForwardError> {
        let target = &self.target;
        let tcp =
            TcpStream::connect((target.host.as_str(), target.port)).await.map_err(ForwardError::Connect)?;
        // Without it a small request after a small request waits for the other side's delayed ACK.
        tcp.set_nodelay(true).map_err(ForwardError::Connect)?;
        match &target.tls {
            None => converse(tcp).await,
            Some((settings, name)) => {
                let connector = TlsConnector::from(Arc::clone(settings));
                let tls = connector.connect(name.clone(), tcp).await.map_err(ForwardError::Tls)?;
                converse(tls).await
            }
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> Result<Connection, ForwardError> {
    let (line, signs) = Line::new(stream);
    let stream = TokioIo::new(line);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BYTES)
        .handshake(stream)
        .await
        .map_err(ForwardError::Broken)?;
    // Its errors reach whoever waits for the answer; between answers they only mean that it is closed.
    let driver = spawn_local(async move { drop(connection.with_upgrades().await) }).abort_handle();
    Ok(Connection { sender, driver, signs })
}

impl Lease {
    pub(super) async fn send(
        &mut self,
        request: Request<UploadBody>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.connection.signs.begin();
        self.connection.sender.try_send_request(request).await.map_err(|mut failed| Unanswered {
            unsent: failed.take_message().map(Box::new),
            error: failed.into_error(),
        })
    }

    /// Whether any byte of an answer came.
    pub(super) fn heard(&self) -> bool {
        self.connection.signs.heard()
    }

    /// The client has something to read: no more comes before it asks (see [`Signs::hold`]).
    pub(super) fn hold(&self) {
        self.connection.signs.hold();
    }

    /// The client waits for more.
    pub(super) fn read_on(&self) {
        self.connection.signs.read_on();
    }

    /// Everything was read. Gives the connection back, at once or when the rest of the request has gone up.
    pub(super) fn finish(self) {
        let Self { mut connection, pool, .. } = self;
        connection.signs.read_on();
        if connection.sender.is_ready() {
            pool.put_back(connection);
            return;
        }
        if connection.sender.is_closed() {
            return;
        }
        spawn_local(async move {
            if let Ok(Ok(())) = timeout(SETTLE, connection.sender.ready()).await {
                pool.put_back(connection);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::{LocalSet, yield_now},
    };

    use super::*;
    use crate::proxy::{AnswerBody, tests::support};

    /// What lies between the application and us in these tests.
    const PIPE: usize = 1024;

    #[test]
    fn nothing_is_read_ahead_of_a_client_who_does_not_ask() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (ours, mut application) = tokio::io::duplex(PIPE);
            let written = Rc::new(std::cell::Cell::new(0));
            spawn_local({
                let written = Rc::clone(&written);
                async move {
                    let _ = application.read(&mut [0; 512]).await.unwrap();
                    application
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                        .await
                        .unwrap();
                    while let Ok(count) = application.write(&[b'x'; PIPE]).await {
                        written.set(written.get() + count);
                    }
                }
            });
            let nowhere = support::upstream("127.0.0.1:9".parse().unwrap());
            let pool = Upstream::new(Target::new(&nowhere).unwrap());
            let mut lease = Lease { connection: converse(ours).await.unwrap(), pool, reused: false };
            let answer =
                lease.send(Request::new(UploadBody::Empty)).await.unwrap_or_else(|_| panic!("no answer"));
            let mut body = AnswerBody::upstream(answer.into_body(), lease, Duration::from_mins(1));
            let mut read = 0;
            for _ in 0..20 {
                let piece = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
                read += piece.unwrap().unwrap().into_data().unwrap().len();
                for _ in 0..100 {
                    yield_now().await;
                }
                assert!(written.get() <= read + PIPE, "{} written when {read} were read", written.get());
            }
        });
    }
}
