//! TLS towards browsers: the handshake, and the certificates that it shows.
//!
//! The server name of a handshake chooses a certificate and nothing else. Which hosts are served is said by
//! `allowed_hosts` alone, request by request (421): all of them lead to the same application, so a connection that
//! was opened for one may carry requests for another (RFC 9113 §9.1.1).

use std::{io, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::aws_lc_rs,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    connection::{self, Desk},
    crowd::Place,
    http2,
};
use crate::{
    config::{self, TlsVersion},
    telemetry::Metrics,
};

/// How much encrypted answer may wait for the socket. It is lost when the connection is given up, and whoever reads
/// slowly should not lose much.
const SEND_BUFFER: usize = 32 * 1024;

const HTTP_2: &[u8] = b"h2";
const HTTP_11: &[u8] = b"http/1.1";

/// The certificates in force. They are swapped whole; a connection keeps what its handshake showed.
#[derive(Debug)]
pub(super) struct Certificates(ArcSwap<Vec<config::Certificate>>);

impl Certificates {
    /// Puts these into force for every handshake from now on.
    pub(super) fn renew(&self, certificates: Vec<config::Certificate>, metrics: &Metrics) {
        metrics.certificates_end(certificates.iter().map(|certificate| {
            let name = certificate.file.display().to_string();
            (name, certificate.not_after)
        }));
        self.0.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.load();
        let (first, more) = certificates.split_first()?;
        let fits = |pair: &CertifiedKey, name: &ServerName<'_>| {
            let leaf = pair.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
            leaf.is_some_and(|leaf| verify_server_name(&leaf, name).is_ok())
        };
        // Most have one certificate, and then there is nothing to choose.
        let name = hello.server_name().filter(|_| !more.is_empty());
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let chosen =
            name.and_then(|name| certificates.iter().find(|certificate| fits(&certificate.pair, &name)));
        Some(Arc::clone(&chosen.unwrap_or(first).pair))
    }
}

/// What all handshakes share.
#[derive(Clone)]
pub(super) struct Terminal {
    acceptor: TlsAcceptor,
    handshake_timeout: Duration,
}

impl Terminal {
    /// The second value is the way to other certificates.
    pub(super) fn new(
        tls: &config::Tls,
        http2: bool,
        metrics: &Metrics,
    ) -> Result<(Self, Arc<Certificates>), rustls::Error> {
        let certificates = Arc::new(Certificates(ArcSwap::default()));
        certificates.renew(tls.certificates.clone(), metrics);
        let versions = match tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let mut settings = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        // Sealed with a key that changes by itself; nothing is kept here for a client that may come back.
        settings.ticketer = aws_lc_rs::Ticketer::new()?;
        let offered = if http2 { &[HTTP_2, HTTP_11][..] } else { &[HTTP_11] };
        settings.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(settings));
        Ok((Self { acceptor, handshake_timeout: tls.handshake_timeout }, certificates))
    }

    /// Serves one connection from its handshake to its end.
    pub(super) async fn serve(self, desk: Rc<Desk>, stream: TcpStream, peer: IpAddr, place: Place) {
        let metrics = &desk.core.metrics;
        let open = metrics.connection_opened();
        let mut stream = match timeout(self.handshake_timeout, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return note_failure(metrics, kind_of(&error), &error.to_string()),
            Err(_) => return note_failure(metrics, "timeout", "the client was silent for too long"),
        };
        drop(open);
        stream.get_mut().1.set_buffer_limit(Some(SEND_BUFFER));
        // The larger of the two futures would be the size of every connection's.
        if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) {
            Box::pin(http2::serve(desk, stream, peer, place)).await;
        } else {
            Box::pin(connection::serve(desk, stream, peer, true, place)).await;
        }
    }
}

fn note_failure(metrics: &Metrics, kind: &'static str, reason: &str) {
    metrics.handshake_failed(kind);
    tracing::debug!(tls.failure = kind, reason, "a TLS handshake failed");
}

/// A word for the counter.
fn kind_of(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        None => "gone",
        Some(rustls::Error::AlertReceived(_)) => "refused_by_client",
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => "incompatible",
        Some(_) => "invalid",
    }
}
