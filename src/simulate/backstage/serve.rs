//! Serving: HTTP/1.1 and HTTP/2 by prior knowledge on one port, and both in TLS where there is a certificate.
//!
//! The official clients of the services that are played here call gRPC and HTTP/1.1 at one address, some of them
//! in TLS only. A caller that begins with a TLS record gets TLS, everybody else plain HTTP. To the handlers all
//! of it looks the same: `Host` and a path.

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Uri, header},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Wire;

/// The first byte of a TLS connection: a handshake record (RFC 8446 §5.1). No request line begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// Where a stand-in listens, and what it shows to callers who want TLS.
pub(crate) struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, certificate: Option<Certificate>) -> Self {
        Self { listener, tls: certificate.map(|certificate| certificate.0) }
    }
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Self {
        Self::new(listener, None)
    }
}

/// A certificate with its key, ready for use.
pub(crate) struct Certificate(TlsAcceptor);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("{0} holds no certificates in PEM")]
    Chain(String, #[source] Option<rustls_pki_types::pem::Error>),
    #[error("{0} holds no private key in PEM")]
    Key(String, #[source] rustls_pki_types::pem::Error),
    #[error("the certificate and the key do not make a TLS server")]
    Tls(#[from] rustls::Error),
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key.
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let name = chain.display().to_string();
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| CertificateError::Chain(name.clone(), Some(error)))?;
        if certificates.is_empty() {
            return Err(CertificateError::Chain(name, None));
        }
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| CertificateError::Key(key.display().to_string(), error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut settings = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(settings))))
    }
}

/// How a request came; part of the address that a stand-in believes to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(in crate::simulate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Serves `router` at `door` until `shutdown`; open requests are finished first.
pub(in crate::simulate) async fn serve(
    door: impl Into<Door>,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Door { listener, tls } = door.into();
    let stop = CancellationToken::new();
    let mut open = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // Each arm may be dropped at any time: no connection is lost between the kernel and `accept`.
        tokio::select! {
            () = &mut shutdown => break,
            _ = open.join_next(), if !open.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.spawn(attend(stream, tls.clone(), router.clone(), stop.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    // Out of file descriptors until a connection ends, perhaps: asking at once again helps nobody.
                    tokio::time::sleep(AFTER_REFUSAL).await;
                }
            },
        }
    }
    stop.cancel();
    drop(listener);
    while open.join_next().await.is_some() {}
    Ok(())
}

/// One connection from its first byte to its end.
async fn attend(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, stop: CancellationToken) {
    let Some(wire) = Wire::of(&stream) else { return };
    // Small answers must not wait for the other side's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return converse(stream, wire, Scheme::Http, router, stop).await };
    let mut first = [0];
    let begun = tokio::select! {
        () = stop.cancelled() => return,
        begun = stream.peek(&mut first) => begun,
    };
    match begun {
        Ok(1) if first == [TLS_HANDSHAKE] => {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = tls.accept(stream) => accepted,
            };
            match accepted {
                Ok(stream) => converse(stream, wire, Scheme::Https, router, stop).await,
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            }
        }
        Ok(1) => converse(stream, wire, Scheme::Http, router, stop).await,
        Ok(_) | Err(_) => {}
    }
}

/// Answers requests until one side ends the connection.
async fn converse<S>(stream: S, wire: Wire, scheme: Scheme, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = as_http1(request.map(Body::new));
        request.extensions_mut().insert(ConnectInfo(wire.clone()));
        request.extensions_mut().insert(scheme);
        router.clone().oneshot(request)
    });
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// HTTP/2 names the host in the target (RFC 9113 §8.3.1); handlers look for it where HTTP/1.1 has it.
fn as_http1(mut request: Request<Body>) -> Request<Body> {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str());
        if let (Ok(host), false) = (host, request.headers().contains_key(header::HOST)) {
            request.headers_mut().insert(header::HOST, host);
        }
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(path);
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request<Body> {
        Request::builder().uri(target).body(Body::empty()).unwrap()
    }

    #[test]
    fn the_host_of_http2_stands_where_that_of_http1_does() {
        let request = as_http1(request("https://here.test:9/x?y=1"));
        assert_eq!(
            (request.uri().to_string(), &request.headers()["host"]),
            ("/x?y=1".into(), &HeaderValue::from_static("here.test:9"))
        );
    }

    #[test]
    fn a_target_of_http1_is_left_alone() {
        let request = as_http1(request("/x"));
        assert_eq!(request.uri().to_string(), "/x");
        assert!(!request.headers().contains_key("host"));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_named() {
        let nowhere = Path::new("/nowhere/chain.pem");
        let problem = Certificate::read(nowhere, nowhere).err().unwrap();
        assert_eq!(problem.to_string(), "/nowhere/chain.pem holds no certificates in PEM");
    }
}
