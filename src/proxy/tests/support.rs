//! Settings, a plane, a raw client and a scripted application.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use http::HeaderName;

use super::super::{
    Accepted, Core, Handler, Plane, RequestId, Setup, intercept::Handled, request::RequestIds,
};
use crate::{
    config::{self, AssertionKey, IdentityHeaders, Limits, Public, SessionSettings, UserValue},
    identity::Secret,
    pages::Pages,
    session::Cookies,
    telemetry::{AddressPolicy, Audit, Metrics},
};

pub(crate) const HOST: &str = "app.example.test";

/// Longer than anything a test waits for: a test that runs into it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn public() -> Public {
    Public {
        url: "https://app.example.test".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        allowed_hosts: vec![HOST.to_owned()],
        trusted_proxies: Vec::new(),
        tls: None,
        http2: true,
        prefix: "/.crossfade/".to_owned(),
        via: "crossfade-test".to_owned(),
        development: false,
        threads: 1,
        limits: Limits::default(),
    }
}

pub(crate) fn upstream(address: SocketAddr) -> config::Upstream {
    config::Upstream {
        url: format!("http://{address}").parse().unwrap(),
        ca_file: None,
        preserve_host: true,
        connect_timeout: Duration::from_secs(1),
        first_byte_timeout: Duration::from_secs(30),
        body_pause: Duration::from_mins(1),
        idle_connections: 8,
        idle_timeout: Duration::from_mins(1),
    }
}

pub(crate) fn identity() -> IdentityHeaders {
    IdentityHeaders {
        user: UserValue::LegacyLogin,
        born_new_prefix: "new:".to_owned(),
        assertion: HeaderName::from_static("x-crossfade-assertion"),
        plain_headers: false,
        reserved: vec![HeaderName::from_static("app-user")],
        drop_underscores: true,
        assertion_key: AssertionKey::Stored,
        assertion_lifetime: Duration::from_mins(1),
    }
}

pub(crate) fn cookies(public: &Public) -> Cookies {
    let settings = SessionSettings {
        keys: vec![Secret::new("0123456789abcdef0123456789abcdef".to_owned())],
        idle: Duration::from_mins(30),
        absolute: Duration::from_hours(12),
        refresh_after: None,
        cookie: "crossfade".to_owned(),
        device_lifetime: Duration::from_hours(24),
        legacy_cookies: Vec::new(),
        after_sign_out: "/".to_owned(),
    };
    Cookies::new(&settings, public)
}

pub(crate) fn id() -> RequestId {
    static IDS: std::sync::LazyLock<RequestId> = std::sync::LazyLock::new(|| RequestIds::new().next());
    *IDS
}

/// A running plane.
pub(crate) struct Running {
    pub(crate) plane: Plane,
    pub(crate) metrics: Metrics,
}

impl Running {
    /// In front of an application, with the default settings.
    pub(crate) fn before(application: SocketAddr) -> Self {
        Self::with(application, |_, _| {})
    }

    pub(crate) fn with(
        application: SocketAddr,
        tweak: impl FnOnce(&mut Public, &mut config::Upstream),
    ) -> Self {
        let (mut public, mut upstream) = (public(), upstream(application));
        tweak(&mut public, &mut upstream);
        let metrics = Metrics::new();
        let setup = Setup {
            cookies: cookies(&public),
            public: Arc::new(public),
            upstream,
            identity: identity(),
            gate: Arc::new(Open),
            pages: Arc::new(Pages::new("/.crossfade/")),
            metrics: metrics.clone(),
            audit: Audit::new(AddressPolicy::Network),
        };
        Self { plane: Plane::start(&setup).unwrap(), metrics }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.plane.address()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends one request on its own connection and reads one answer.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut client = self.connect();
        client.send(request);
        client.reply()
    }

    pub(crate) fn refusals(&self) -> HashMap<String, u64> {
        self.counted("refused_requests")
    }

    pub(crate) fn retries(&self) -> u64 {
        self.counted("request_retries")[""]
    }

    /// A counter by the value of its one label; the empty text for a counter without one.
    pub(crate) fn counted(&self, name: &str) -> HashMap<String, u64> {
        let page = self.metrics.encode().unwrap();
        let own = page.lines().filter_map(|line| line.strip_prefix(&format!("crossfade_{name}_total")));
        let read = |rest: &str| {
            let (label, count) = rest.rsplit_once(' ')?;
            let value = label.split('"').nth(1).unwrap_or_default();
            Some((value.to_owned(), count.parse().ok()?))
        };
        own.filter_map(read).collect()
    }
}

/// A client that writes what it is told.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as far as the other side takes it.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads one whole answer; interim answers are passed over.
    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        loop {
            let mut reply = self.head();
            if matches!(reply.status, 100 | 103) {
                continue;
            }
            if method == "HEAD" || matches!(reply.status, 204 | 304) {
                return reply;
            }
            if reply.all("transfer-encoding") == ["chunked"] {
                while let Some(piece) = self.chunk() {
                    reply.body.extend(piece);
                }
            } else if let [length] = reply.all("content-length")[..] {
                let length = length.parse().unwrap();
                reply.body = self.take(length);
            } else {
                while self.more() {}
                reply.body = std::mem::take(&mut self.read);
            }
            return reply;
        }
    }

    pub(crate) fn head(&mut self) -> Reply {
        let end = self.until(b"\r\n\r\n");
        let head = String::from_utf8(self.take(end + 4)).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Reply { status, fields: fields.collect(), body: Vec::new() }
    }

    /// The next chunk's data, `None` for the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = self.until(b"\r\n");
        let line = String::from_utf8(self.take(end + 2)).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut data = self.take(size + 2);
        data.truncate(size);
        (size > 0).then_some(data)
    }

    /// Whether the other side ends the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => self.read.is_empty(),
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    fn until(&mut self, mark: &[u8]) -> usize {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                return at;
            }
            assert!(self.more(), "closed after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more(), "closed in the middle of a body");
        }
        self.read.drain(..length).collect()
    }

    /// Reads what is there; `false` when the other side is gone.
    pub(crate) fn try_take(&mut self) -> bool {
        let mut buffer = [0; 1024];
        self.stream.read(&mut buffer).is_ok_and(|count| count > 0)
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).unwrap();
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

/// An application that does what a closure says, one thread per connection.
pub(crate) struct Application {
    pub(crate) address: SocketAddr,
    log: Arc<(Mutex<Vec<Event>>, Condvar)>,
}

/// What an application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened(usize),
    Received(usize, Vec<u8>),
    Closed(usize),
}

/// One connection at the application.
pub(crate) struct Guest {
    stream: TcpStream,
    /// Counted from 0.
    pub(crate) number: usize,
    log: Arc<(Mutex<Vec<Event>>, Condvar)>,
    read: Vec<u8>,
}

impl Application {
    pub(crate) fn run(script: impl Fn(&mut Guest) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<(Mutex<Vec<Event>>, Condvar)> = Arc::default();
        let script = Arc::new(script);
        thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for (number, stream) in listener.incoming().enumerate() {
                    let stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
                    let mut guest = Guest { stream, number, log: Arc::clone(&log), read: Vec::new() };
                    let script = Arc::clone(&script);
                    guest.note(Event::Opened(number));
                    thread::spawn(move || {
                        script(&mut guest);
                        // Closed before it is noted, so that a test that sees the note can rely on it.
                        drop(guest.stream.shutdown(std::net::Shutdown::Both));
                        guest.note(Event::Closed(number));
                    });
                }
            }
        });
        Self { address, log }
    }

    /// Answers each request with 200 and its whole text as the body.
    pub(crate) fn mirror() -> Self {
        Self::run(|guest| {
            while let Some(request) = guest.request() {
                let body = request.replace('\r', "");
                guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            }
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.0.lock().unwrap().clone()
    }

    /// Everything received so far on all connections.
    pub(crate) fn received(&self) -> String {
        let all = self.events().into_iter().filter_map(|event| match event {
            Event::Received(_, bytes) => Some(bytes),
            _ => None,
        });
        String::from_utf8_lossy(&all.collect::<Vec<_>>().concat()).into_owned()
    }

    pub(crate) fn opened(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Opened(_))).count()
    }

    /// Waits until the events show something.
    pub(crate) fn wait_for(&self, what: impl Fn(&[Event]) -> bool) {
        let (log, changed) = &*self.log;
        let log = log.lock().unwrap();
        let (_log, late) = changed.wait_timeout_while(log, PATIENCE, |log| !what(log)).unwrap();
        assert!(!late.timed_out(), "it did not happen");
    }
}

/// Whether a text was received in one piece.
pub(crate) fn has(events: &[Event], text: &str) -> bool {
    events.iter().any(|event| match event {
        Event::Received(_, bytes) => bytes.windows(text.len()).any(|window| window == text.as_bytes()),
        Event::Opened(_) | Event::Closed(_) => false,
    })
}

impl Guest {
    fn note(&self, event: Event) {
        self.log.0.lock().unwrap().push(event);
        self.log.1.notify_all();
    }

    /// Reads one request, head and (announced or chunked) body, as text; `None` at the end.
    pub(crate) fn request(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().then_some(())?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let whole = loop {
            let rest = &self.read[end..];
            let body = if head.contains("transfer-encoding: chunked") {
                rest.windows(5).position(|window| window == b"0\r\n\r\n").map(|at| at + 5)
            } else {
                Some(length.unwrap_or(0)).filter(|length| rest.len() >= *length)
            };
            if let Some(body) = body {
                break end + body;
            }
            self.more().then_some(())?;
        };
        let request: Vec<u8> = self.read.drain(..whole).collect();
        Some(String::from_utf8_lossy(&request).into_owned())
    }

    /// Reads one head only.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            self.more().then_some(())?;
        }
    }

    /// Whether the other side says nothing more and ends.
    pub(crate) fn read_to_end(&mut self) {
        while self.more() {}
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The plane may have gone; what it saw is judged elsewhere.
        drop(self.stream.write_all(bytes.as_ref()));
    }

    /// Sends as far as the other side takes it.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        if count > 0 {
            self.note(Event::Received(self.number, buffer[..count].to_vec()));
        }
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    pub(crate) fn take_read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }
}

/// A handler that sends everything on.
#[derive(Debug)]
pub(crate) struct Open;

impl Handler for Open {
    fn handle(self: Arc<Self>, core: &Core, request: Accepted) -> Handled<'_> {
        Box::pin(async move {
            let asking = request.asking();
            core.forward(request.onward()).await.unwrap_or_else(|error| core.failed(&error, &asking))
        })
    }
}
