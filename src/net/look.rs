//! A look at a server: one connection, one GET, and what can be seen on the way (`crossfade doctor`).
//!
//! Each step has its own word, because each has its own remedy: the name, the connection, the handshake, the answer.
//! Nothing is followed, nothing is kept, and no credential is sent.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

use super::{
    certificate, resolver,
    trust::{TrustError, trust},
};
use crate::{
    clock::{Clock, Deadline, Timestamp, http_date},
    findings::Notes,
    telemetry::with_causes,
};

/// As much of an answer as is read; a page's form stands further up.
const BODY_MAX_BYTES: usize = 512 * 1024;

/// From here on a certificate's end is worth a word.
const CERTIFICATE_SOON: Duration = Duration::from_hours(14 * 24);

/// Clocks that differ by more than this are told of, by more than that are wrong: tokens are judged by them.
const SKEW_WARN_SECONDS: u64 = 60;
const SKEW_FAIL_SECONDS: u64 = 300;

/// What is looked at.
#[derive(Clone)]
pub(crate) struct Look<'a> {
    pub(crate) url: &'a Url,
    /// Sent with the request; a `Host` among them takes the place of the address's own.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Extra CA certificates (PEM).
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) connect_timeout: Duration,
}

/// An answer, and what was seen on the way to it.
pub(crate) struct Sight {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// At most half a MiB of it.
    pub(crate) body: Bytes,
    address: SocketAddr,
    tls: Tls,
    seen_at: Timestamp,
}

/// Whether TLS was spoken, and when the certificate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    None,
    /// The certificate was accepted, but its end cannot be read here.
    Unread,
    Until(Timestamp),
}

/// No answer, by the step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unseen {
    #[error("the name {0} has no address")]
    Name(String, #[source] Option<io::Error>),
    #[error("no connection to {0}")]
    Connect(String, #[source] io::Error),
    #[error("the TLS handshake with {0} failed")]
    Handshake(String, #[source] io::Error),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{0} gave no HTTP answer")]
    Answer(String, #[source] Option<hyper::Error>),
    #[error("no answer from {0} in time")]
    Late(String),
}

/// Looks once, until `deadline`.
pub(crate) async fn look(look: &Look<'_>, clock: &dyn Clock, deadline: Deadline) -> Result<Sight, Unseen> {
    let place = place_of(look.url);
    let seen = timeout(deadline.remaining(), connect_and_ask(look, &place, clock)).await;
    seen.unwrap_or(Err(Unseen::Late(place)))
}

async fn connect_and_ask(look: &Look<'_>, place: &str, clock: &dyn Clock) -> Result<Sight, Unseen> {
    let host = look.url.host_str().unwrap_or_default();
    // An IPv6 address stands in brackets in a URL only.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = look.url.port_or_known_default().unwrap_or(443);
    let (address, stream) = connect(host, port, place, look.connect_timeout).await?;
    if look.url.scheme() != "https" {
        return ask(look, stream, place)
            .await
            .map(|answer| answer.into_sight(address, Tls::None, clock.now()));
    }
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| Unseen::Name(host.to_owned(), None))?;
    let connector = TlsConnector::from(Arc::new(trust(look.ca_file)?));
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| Unseen::Handshake(place.to_owned(), error))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let end = certificates.first().and_then(|certificate| certificate::end(certificate));
    let tls = end.map_or(Tls::Unread, Tls::Until);
    ask(look, stream, place).await.map(|answer| answer.into_sight(address, tls, clock.now()))
}

/// Tries every address of the name.
async fn connect(
    host: &str,
    port: u16,
    place: &str,
    limit: Duration,
) -> Result<(SocketAddr, TcpStream), Unseen> {
    let addresses = resolver::addresses(host).await;
    let addresses = addresses.map_err(|error| Unseen::Name(host.to_owned(), Some(error)))?;
    let mut last = None;
    for mut address in addresses {
        address.set_port(port);
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((address, stream)),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::Error::new(io::ErrorKind::TimedOut, "no connection in time")),
        }
    }
    Err(match last {
        Some(error) => Unseen::Connect(place.to_owned(), error),
        None => Unseen::Name(host.to_owned(), None),
    })
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn into_sight(self, address: SocketAddr, tls: Tls, seen_at: Timestamp) -> Sight {
        Sight { status: self.status, headers: self.headers, body: self.body, address, tls, seen_at }
    }
}

async fn ask<S>(look: &Look<'_>, stream: S, place: &str) -> Result<Answer, Unseen>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let no_answer = |error| Unseen::Answer(place.to_owned(), Some(error));
    let mut target = look.url.path().to_owned();
    if let Some(query) = look.url.query() {
        target = format!("{target}?{query}");
    }
    let mut request = Request::get(target)
        .header(header::HOST, place)
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("crossfade-doctor/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| Unseen::Answer(place.to_owned(), None))?;
    for (name, value) in &look.headers {
        request.headers_mut().insert(name, value.clone());
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let (head, mut body) = response.into_parts();
        let mut read = BytesMut::new();
        while read.len() < BODY_MAX_BYTES
            && let Some(frame) = body.frame().await
        {
            if let Ok(data) = frame?.into_data() {
                read.extend_from_slice(&data);
            }
        }
        // Dropping the sender here ends the connection, which is waited for beside this.
        Ok(Answer { status: head.status, headers: head.headers, body: read.freeze() })
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer.map_err(no_answer)
}

/// `host:port` as it stands in `Host`; the address never holds a user or a password.
fn place_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Sight {
    /// Tells that the server is there, how long its certificate still holds, and how far its clock is from ours.
    pub(crate) fn tell(&self, notes: &Notes, key: &str) {
        let how = if self.tls == Tls::None { "without TLS" } else { "over TLS" };
        notes.ok("reachable", key, format!("{} answers {how}", self.address));
        match self.tls {
            Tls::None => {}
            Tls::Unread => notes.skipped("certificate", key, "its end cannot be read"),
            Tls::Until(end) => self.tell_certificate(end, notes, key),
        }
        self.tell_clock(notes, key);
    }

    fn tell_certificate(&self, end: Timestamp, notes: &Notes, key: &str) {
        let left = end.since(self.seen_at);
        let days = left.as_secs() / 86_400;
        if left < CERTIFICATE_SOON {
            let seen = format!("the certificate ends in {days} days ({end})");
            notes.warn(
                "certificate",
                key,
                seen,
                "have it renewed before that: afterwards nothing is asked there",
            );
        } else {
            notes.ok("certificate", key, format!("good for {days} days"));
        }
    }

    fn tell_clock(&self, notes: &Notes, key: &str) {
        let date = self.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(http_date) else {
            return notes.skipped("clock", key, "its answer has no Date to compare with");
        };
        let (ahead, behind) = (theirs.since(self.seen_at), self.seen_at.since(theirs));
        let (off, way) =
            if ahead > behind { (ahead.as_secs(), "ahead of") } else { (behind.as_secs(), "behind") };
        let seen = format!("its clock is {off} s {way} this machine's");
        let fix = "set both clocks by NTP: tokens, assertions and sessions are judged by them";
        if off > SKEW_FAIL_SECONDS {
            notes.fail("clock", key, seen, fix);
        } else if off > SKEW_WARN_SECONDS {
            notes.warn("clock", key, seen, fix);
        } else {
            notes.ok("clock", key, format!("within {} s of this machine's", off + 1));
        }
    }
}

impl Unseen {
    /// Tells at which step the way to the server ended.
    pub(crate) fn tell(&self, notes: &Notes, key: &str) {
        let seen = with_causes(self);
        match self {
            Self::Name(..) => {
                notes.unreachable("reachable", key, seen, "check the spelling and this machine's DNS");
            }
            Self::Connect(..) | Self::Late(_) => {
                let fix = "check that it runs, and the firewall and routes from this machine to it";
                notes.unreachable("reachable", key, seen, fix);
            }
            Self::Answer(..) => {
                let fix = "check host, port and scheme: what listens there speaks no HTTP/1.1, or hung up";
                notes.unreachable("reachable", key, seen, fix);
            }
            Self::Handshake(_, error) => notes.fail("reachable", key, seen, handshake_fix(error)),
            Self::Trust(_) => {
                notes.fail("reachable", key, seen, "give a readable PEM file with CA certificates");
            }
        }
    }
}

fn handshake_fix(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has ended: have it renewed"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate does not hold yet: check this machine's clock"
            }
            CertificateError::UnknownIssuer => {
                "its issuer is not trusted here: install the CA on this machine (or name it: upstream.ca_file), \
                 or have the server send its whole chain"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name: use the name it is for, or have it issued for this one"
            }
            _ => "the certificate is not acceptable: have it replaced",
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "what answers does not speak TLS: check the port, or whether http:// is meant"
        }
        _ => "check that the server speaks TLS 1.2 or 1.3 on this port",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        runtime::Handle,
    };

    use super::*;
    use crate::{
        clock::TestClock,
        findings::{Finding, Level},
        net::Tracker,
    };

    const NOON: &str = "Tue, 24 Nov 2026 12:00:00 GMT";

    fn fixture(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    /// A server that answers one connection with this text, over TLS for `localhost` if asked.
    async fn serving(answer: &'static str, tls: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answered = async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0_u8; 2048];
            if tls {
                let certificates = CertificateDer::pem_file_iter(fixture("localhost.pem"))
                    .unwrap()
                    .collect::<Result<_, _>>()
                    .unwrap();
                let key = PrivateKeyDer::from_pem_file(fixture("localhost.key")).unwrap();
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let settings = rustls::ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_no_client_auth()
                    .with_single_cert(certificates, key)
                    .unwrap();
                let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(settings)).accept(stream).await?;
                let _ = stream.read(&mut request).await?;
                stream.write_all(answer.as_bytes()).await?;
                return stream.shutdown().await;
            }
            let _ = stream.read(&mut request).await?;
            stream.write_all(answer.as_bytes()).await
        };
        drop(Tracker::new(Handle::current()).spawn(answered));
        address
    }

    async fn findings_of(url: &str, ca_file: Option<PathBuf>, now: Timestamp) -> Vec<Finding> {
        let url = Url::parse(url).unwrap();
        let what = Look {
            url: &url,
            headers: Vec::new(),
            ca_file: ca_file.as_deref(),
            connect_timeout: Duration::from_secs(5),
        };
        let (notes, mut told) = Notes::about("here");
        match look(&what, TestClock::at(now).as_ref(), Deadline::within(Duration::from_secs(2))).await {
            Ok(sight) => sight.tell(&notes, "url"),
            Err(unseen) => unseen.tell(&notes, "url"),
        }
        std::iter::from_fn(|| told.try_recv().ok()).collect()
    }

    fn levels(findings: &[Finding]) -> Vec<(&str, Level)> {
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[tokio::test]
    async fn clocks_are_compared_by_what_the_answer_says() {
        const ANSWER: &str =
            "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
        let noon = http_date(NOON).unwrap();
        for (off, level) in [(0, Level::Ok), (59, Level::Ok), (61, Level::Warn), (301, Level::Fail)] {
            for now in [noon.after(Duration::from_secs(off)), Timestamp::from_seconds(noon.seconds() - off)] {
                let address = serving(ANSWER, false).await;
                let findings = findings_of(&format!("http://{address}/"), None, now).await;
                assert_eq!(levels(&findings), [("reachable", Level::Ok), ("clock", level)], "{off}");
            }
        }
    }

    #[tokio::test]
    async fn a_certificate_is_told_by_its_end_and_its_issuer() {
        const ANSWER: &str = "HTTP/1.1 204 No Content\r\n\r\n";
        let noon = http_date(NOON).unwrap();
        let at = |address: SocketAddr| format!("https://localhost:{}/", address.port());
        let trusted = findings_of(&at(serving(ANSWER, true).await), Some(fixture("ca.pem")), noon).await;
        assert_eq!(
            levels(&trusted),
            [("reachable", Level::Ok), ("certificate", Level::Ok), ("clock", Level::Skipped)]
        );
        let strange = findings_of(&at(serving(ANSWER, true).await), None, noon).await;
        assert_eq!(levels(&strange), [("reachable", Level::Fail)]);
        assert!(strange[0].fix.as_deref().unwrap().contains("issuer is not trusted"), "{strange:?}");
        let plain = findings_of(&at(serving(ANSWER, false).await), None, noon).await;
        assert!(plain[0].fix.as_deref().unwrap().contains("does not speak TLS"), "{plain:?}");
        let file = findings_of(&at(serving(ANSWER, true).await), Some(fixture("none.pem")), noon).await;
        assert_eq!(levels(&file), [("reachable", Level::Fail)]);
    }

    #[tokio::test]
    async fn whoever_cannot_be_asked_is_unreachable() {
        let noon = http_date(NOON).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for url in [
            format!("http://{}/", silent.local_addr().unwrap()),
            format!("http://{closed}/"),
            format!("http://{}/", serving("SSH-2.0-x\r\n", false).await),
            "http://nobody.invalid/".to_owned(),
        ] {
            let findings = findings_of(&url, None, noon).await;
            assert_eq!(levels(&findings), [("reachable", Level::Unreachable)], "{url}");
        }
    }
}
