//! A client that speaks TLS, a plane that does, and HTTP/2 frame by frame.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};

use super::support::{HOST, PATIENCE, Running};
use crate::{
    clock::{Deadline, Timestamp},
    config::{Certificate, Limits, Tls, TlsVersion, Upstream},
};

pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

pub(crate) fn chain(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn key(file: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(file).unwrap()
}

/// A pair of the fixtures by its name; its end is a number to tell it by.
pub(crate) fn certificate(name: &str, not_after: u64) -> Certificate {
    let file = |end: &str| Path::new(FIXTURES).join(format!("{name}.{end}"));
    let (chain, key) = (chain(&file("pem")), key(&file("key")));
    let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).unwrap();
    Certificate {
        file: file("pem"),
        key_file: file("key"),
        pair: Arc::new(pair),
        not_after: Timestamp::from_seconds(not_after),
    }
}

pub(crate) fn tls(certificates: Vec<Certificate>) -> Tls {
    Tls { certificates, min_version: TlsVersion::Tls12, handshake_timeout: PATIENCE }
}

/// A plane with the certificate for `localhost`.
pub(crate) fn plane(
    application: std::net::SocketAddr,
    tweak: impl FnOnce(&mut Limits, &mut Upstream),
) -> Running {
    Running::with(application, |public, upstream| {
        public.tls = Some(tls(vec![certificate("localhost", 1)]));
        tweak(&mut public.limits, upstream);
    })
}

/// Waits for a counter of the plane's: a connection is counted when it has ended, a moment after its client knows.
pub(crate) fn wait_for_count(running: &Running, name: &str, label: &str, count: u64) {
    let patience = Deadline::within(PATIENCE);
    while running.counted(name).get(label) != Some(&count) {
        assert!(!patience.has_passed(), "{name}: {:?}", running.counted(name));
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// What a client of these tests knows.
pub(crate) fn settings(versions: &[&'static SupportedProtocolVersion], offers: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName))
        .with_no_client_auth();
    settings.alpn_protocols = offers.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(settings)
}

/// Believes every certificate, but not that its key is elsewhere.
#[derive(Debug)]
struct AnyName;

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// One encrypted connection.
pub(crate) struct Wire {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
    read: Vec<u8>,
}

impl Wire {
    /// Connects and shakes hands.
    pub(crate) fn open(running: &Running, settings: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(running.address())?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut session = ClientConnection::new(Arc::clone(settings), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Self { stream: StreamOwned::new(session, tcp), read: Vec::new() })
    }

    /// For HTTP/1.1, as any browser of the last ten years.
    pub(crate) fn plain(running: &Running) -> Self {
        Self::open(running, &settings(BOTH, &["http/1.1"]), HOST).unwrap()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads at most so many bytes more; `false` at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            self.more().then_some(())?;
        }
        Some(self.read.drain(..length).collect())
    }

    /// The head of an HTTP/1.1 answer, in small letters.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.take(at + 4)?;
                return Some(String::from_utf8(head).unwrap().to_ascii_lowercase());
            }
            self.more().then_some(())?;
        }
    }

    /// Asks over HTTP/1.1: the status and the body of the answer.
    pub(crate) fn ask(&mut self, request: &str) -> (u16, String) {
        self.send(request);
        let head = self.head().expect("an answer");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let body = self.take(length.parse().unwrap()).unwrap();
        (status, String::from_utf8(body).unwrap())
    }
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS; the same bit is ACK of SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The code of a request that its client takes back, and of an answer that we do.
pub(crate) const CANCEL: u32 = 8;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One HTTP/2 connection that says exactly what it is told (RFC 9113 §4.1).
pub(crate) struct Frames {
    pub(crate) wire: Wire,
    next: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered(u16, String),
    /// With the code of the `RST_STREAM`; the status when there was one before.
    Reset(u32, Option<u16>),
    /// The whole connection, with the code of the `GOAWAY` if there was one.
    Closed(Option<u32>),
}

impl Ending {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Answered(status, _) => *status,
            other => panic!("no whole answer: {other:?}"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Answered(_, text) => text,
            other => panic!("no whole answer: {other:?}"),
        }
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields without indexing (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let mut out = Vec::new();
        if text.len() < 127 {
            out.push(u8::try_from(text.len()).unwrap());
        } else {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
        out.extend_from_slice(text.as_bytes());
        out
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The usual beginning of a request.
pub(crate) fn request<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let usual = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)];
    [&usual[..], more].concat()
}

impl Frames {
    pub(crate) fn open(running: &Running) -> Self {
        Self::open_with(running, &[])
    }

    /// With further settings.
    pub(crate) fn open_with(running: &Running, first: &[u8]) -> Self {
        let wire = Wire::open(running, &settings(BOTH, &["h2"]), HOST).unwrap();
        let mut frames = Self { wire, next: 1 };
        // SETTINGS_HEADER_TABLE_SIZE: 0.
        let settings = [&[0, 1, 0, 0, 0, 0], first].concat();
        frames.wire.send([PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        frames
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.send(frame(kind, flags, stream, payload));
    }

    /// Sends as far as the other side takes it.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.wire.stream.write_all(bytes).is_ok()
    }

    /// Begins a request and gives its stream.
    pub(crate) fn begin(&mut self, fields: &[(&str, &str)], flags: u8) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send(HEADERS, flags | END_HEADERS, stream, &block(fields));
        stream
    }

    pub(crate) fn get(&mut self, path: &str) -> Ending {
        let stream = self.begin(&request("GET", path, &[]), END_STREAM);
        self.ending(stream)
    }

    /// A request without a body.
    pub(crate) fn ask(&mut self, fields: &[(&str, &str)]) -> Ending {
        let stream = self.begin(fields, END_STREAM);
        self.ending(stream)
    }

    /// The next frame that is not a settlement between the two ends, `None` when the connection is over.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.wire.take(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = self.wire.take(usize::try_from(length).unwrap())?;
            let found = Frame { kind: head[3], flags: head[4], stream, payload };
            match found.kind {
                SETTINGS | PING if found.flags == 0 => {
                    let payload = if found.kind == PING { &found.payload[..] } else { &[] };
                    // It may be gone already.
                    self.try_send(&frame(found.kind, 1, 0, payload));
                }
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(found),
            }
        }
    }

    /// Reads until this request has ended; what others get meanwhile is passed over.
    pub(crate) fn ending(&mut self, stream: u32) -> Ending {
        let (mut status, mut body, mut last) = (None, Vec::new(), None);
        while let Some(found) = self.next() {
            if found.kind == DATA && !found.payload.is_empty() {
                // What was read makes room for all streams; it may be gone already.
                let room = u32::try_from(found.payload.len()).unwrap().to_be_bytes();
                self.try_send(&frame(WINDOW_UPDATE, 0, 0, &room));
            }
            match found.kind {
                GOAWAY => last = Some(code(&found.payload[4..])),
                _ if found.stream != stream => continue,
                HEADERS => status = Some(status_of(&found.payload)),
                DATA => body.extend_from_slice(&found.payload),
                RST_STREAM => return Ending::Reset(code(&found.payload), status),
                other => panic!("frame of kind {other}"),
            }
            if found.stream == stream && found.flags & END_STREAM != 0 {
                return Ending::Answered(status.unwrap(), String::from_utf8(body).unwrap());
            }
        }
        Ending::Closed(last)
    }

    /// Whether the other side ends the connection, whatever it still says.
    pub(crate) fn is_closed_within(&mut self, time: Duration) -> bool {
        self.wire.stream.sock.set_read_timeout(Some(time)).unwrap();
        loop {
            let mut buffer = [0; 4096];
            match self.wire.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

/// The status stands first: a number of the static table, or a literal whose digits are often Huffman codes.
fn status_of(block: &[u8]) -> u16 {
    const TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // Before it, that nothing is remembered from one answer to the next.
    let block = &block[block.iter().take_while(|byte| *byte & 0xe0 == 0x20).count()..];
    match block[0] {
        indexed @ 0x88..=0x8e => TABLE[usize::from(indexed - 0x88)],
        0x48 | 0x08 if block[1] & 0x80 == 0 => std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap(),
        0x48 | 0x08 => {
            let bytes = &block[2..2 + usize::from(block[1] & 0x7f)];
            let bits = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
            let mut rest = bits.as_str();
            (0..3).fold(0, |status, _| {
                // Five bits for 0, 1 and 2, six for the others (RFC 7541, appendix B).
                let short = u16::from_str_radix(&rest[..5], 2).unwrap();
                let (digit, used) = match short {
                    0..=2 => (short, 5),
                    _ => (u16::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6),
                };
                rest = &rest[used..];
                status * 10 + digit
            })
        }
        other => panic!("a block begins with {other:#x}"),
    }
}
