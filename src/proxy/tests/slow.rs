//! Clients that take their answers slowly, and heads that come in pieces, on a stream that holds next to nothing.

use std::{
    cell::Cell,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        connection::{self, Desk},
        crowd::Crowd,
        request::RequestIds,
    },
    core::core,
    secure,
    support::{Application, Event, Guest, HOST, Open, PATIENCE, Running},
};
use crate::config::Limits;

/// What lies between a client and us.
const PIPE: usize = 1024;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// One connection, served on this thread.
struct Served {
    client: Box<dyn Wire>,
    closing: CancellationToken,
    server: JoinHandle<()>,
}

/// A client that has connected, over TLS or not.
async fn connect(application: &Application, encrypted: bool, tweak: impl FnOnce(&mut Limits)) -> Served {
    let mut core = core(application.address);
    tweak(&mut Arc::get_mut(&mut core.public).unwrap().limits);
    let closing = CancellationToken::new();
    let desk = Rc::new(Desk {
        http: connection::http(&core.public.limits),
        core,
        gate: Arc::new(Open),
        ids: RequestIds::new(),
        closing: closing.clone(),
        leaving: Cell::new(false),
    });
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let place = Crowd::new(1, 1, Vec::new()).admit(peer).unwrap();
    let (client, ours) = tokio::io::duplex(PIPE);
    if !encrypted {
        let server = spawn_local(connection::serve(desk, ours, peer, true, place));
        return Served { client: Box::new(client), closing, server };
    }
    let server = spawn_local(async move {
        let ours = acceptor().accept(ours).await.unwrap();
        connection::serve(desk, ours, peer, true, place).await;
    });
    Served { client: Box::new(encrypt(client).await), closing, server }
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = |end| Path::new(secure::FIXTURES).join(format!("localhost.{end}"));
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(secure::chain(&key("pem")), secure::key(&key("key")))
        .unwrap();
    TlsAcceptor::from(Arc::new(settings))
}

async fn encrypt(client: DuplexStream) -> tokio_rustls::client::TlsStream<DuplexStream> {
    let connector = TlsConnector::from(secure::settings(secure::BOTH, &[]));
    connector.connect(ServerName::try_from(HOST).unwrap(), client).await.unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

impl Served {
    async fn ask(&mut self, request: &str) {
        self.client.write_all(request.as_bytes()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Reads until there are these bytes, some at a time and with a pause between them; all that came.
    async fn read_until(&mut self, end: &[u8], some: usize, pause: Duration) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; some];
        while !all.ends_with(end) {
            let read = timeout(PATIENCE, self.client.read(&mut buffer)).await;
            let tail = String::from_utf8_lossy(&all[all.len().saturating_sub(60)..]).into_owned();
            let count = read.unwrap_or_else(|_| panic!("nothing after {} bytes: {tail:?}", all.len()));
            match count {
                Ok(count @ 1..) => all.extend_from_slice(&buffer[..count]),
                other => panic!("{other:?} after {} bytes: {tail:?}", all.len()),
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        all
    }
}

fn with_length(bytes: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "#".repeat(bytes))
}

/// Answers in all the ways there are.
fn many_ways() -> Application {
    Application::run(|guest| {
        while let Some(request) = guest.request() {
            let chunks = |size: usize, count: usize, end: &str| {
                let chunk = format!("{size:x}\r\n{}\r\n", "#".repeat(size));
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n{end}\r\n",
                    chunk.repeat(count)
                )
            };
            let path = request.split(' ').nth(1).unwrap();
            let answer = match path {
                "/length" if request.starts_with("HEAD") => {
                    "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n".to_owned()
                }
                "/length" => with_length(200_000),
                "/chunks" => chunks(20_000, 10, ""),
                "/trailers" => chunks(20_000, 10, "T: 1\r\n"),
                "/tiny" => chunks(7, 3000, ""),
                "/early" => format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", with_length(100_000)),
                "/none" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                "/same" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_owned(),
                "/last" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast".to_owned(),
                "/close" => {
                    guest.send(format!("HTTP/1.1 200 OK\r\n\r\n{}", "#".repeat(200_000)));
                    return;
                }
                _ => return,
            };
            guest.send(answer);
        }
    })
}

#[test]
fn every_answer_comes_whole_to_a_client_that_takes_it_in_drops() {
    for encrypted in [false, true] {
        for (method, path, bytes, connections) in [
            ("GET", "/length", 200_000, 1),
            ("HEAD", "/length", 0, 1),
            ("GET", "/chunks", 200_000, 1),
            ("GET", "/trailers", 200_000, 1),
            ("GET", "/tiny", 21_000, 1),
            ("GET", "/early", 100_000, 1),
            ("GET", "/none", 0, 1),
            ("GET", "/same", 0, 1),
            ("GET", "/close", 200_000, 2),
        ] {
            let application = many_ways();
            run(async {
                let mut served = connect(&application, encrypted, |_| {}).await;
                let first = get(path).replace("GET", method);
                // Both at once, and the second is answered after the first.
                served.ask(&(first + &get("/last"))).await;
                let all = served.read_until(b"\r\n\r\nlast", 700, Duration::ZERO).await;
                let came = String::from_utf8_lossy(&all).matches('#').count();
                assert_eq!(came, bytes, "{method} {path}");
            });
            assert_eq!(application.opened(), connections, "{method} {path}");
        }
    }
}

#[test]
fn a_slow_client_is_not_taken_for_a_slow_application() {
    for encrypted in [false, true] {
        let application = many_ways();
        run(async {
            let mut served = connect(&application, encrypted, |_| {}).await;
            served.ask(&(get("/length") + &get("/last"))).await;
            // Longer than an application may pause.
            for _ in 0..3 {
                sleep(Duration::from_millis(500)).await;
                served.client.read_exact(&mut [0; 3000]).await.unwrap();
            }
            served.read_until(b"\r\n\r\nlast", 1000, Duration::ZERO).await;
        });
        assert_eq!(application.opened(), 1, "the connection is used again");
    }
}

/// Nobody asks for more of the answer, and nothing is left to be written by us: the stream itself still holds it.
#[test]
fn a_client_that_does_not_read_is_given_up_over_tls_as_well() {
    for (encrypted, size) in [(false, 20_000), (true, 20_000), (true, 60_000), (true, 100_000)] {
        let application = Application::run(move |guest| {
            guest.request();
            guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("{size:x}\r\n{}\r\n", "#".repeat(size));
            while guest.try_send(&chunk) {}
        });
        run(async {
            let mut served = connect(&application, encrypted, |limits| {
                limits.idle_timeout = Duration::from_millis(300);
            })
            .await;
            served.ask(&get("/")).await;
            served.client.read_exact(&mut [0; 100]).await.unwrap();
            let given_up = timeout(Duration::from_secs(5), served.server).await;
            assert!(given_up.is_ok(), "pieces of {size} bytes, encrypted: {encrypted}");
        });
    }
}

/// As a stream is read in pieces that double, the last piece of such an answer is a large one.
const LARGE: usize = 110_000;

/// The last piece of an answer is part of it: whoever takes it in time gets all of it. (What an encrypted stream holds
/// below us has the time of an idle connection in all; how much of it was taken is not seen.)
#[test]
fn the_end_of_an_answer_is_not_cut_off_for_the_time_that_an_idle_connection_has() {
    let cut: Vec<String> = [
        (false, "idle", Duration::from_millis(400)),
        (false, "leaving", PATIENCE),
        (true, "leaving", PATIENCE),
    ]
    .into_iter()
    .filter_map(|(encrypted, what, idle)| {
        let application = Application::run(|guest| {
            while guest.request().is_some() {
                guest.send(with_length(LARGE));
            }
        });
        run(async {
            let mut served = connect(&application, encrypted, |limits| limits.idle_timeout = idle).await;
            served.ask(&get("/")).await;
            let head = served.read_until(b"\r\n\r\n", 1, Duration::ZERO).await;
            assert!(head.starts_with(b"HTTP/1.1 200"));
            if what == "leaving" {
                served.closing.cancel();
            }
            let mut came = 0;
            while came < LARGE {
                sleep(Duration::from_millis(25)).await;
                match served.client.read(&mut [0; 1000]).await {
                    Ok(count @ 1..) => came += count,
                    _ => return Some(format!("{what}, encrypted: {encrypted}: cut after {came} bytes")),
                }
            }
            // And then it is idle.
            let ended = timeout(Duration::from_secs(3), served.server).await;
            ended.is_err().then(|| format!("{what}, encrypted: {encrypted}: it stays"))
        })
    })
    .collect();
    assert!(cut.is_empty(), "{cut:#?}");
}

#[test]
fn a_head_that_is_half_there_when_the_plane_leaves_is_still_served() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let (mut half, mut silent) = (running.connect(), running.connect());
    half.send("GET /half HTTP/1.1\r\nHo");
    while running.metrics.open_connections() < 2 {
        std::thread::yield_now();
    }
    std::thread::park_timeout(Duration::from_millis(100));
    let drain = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(running.plane.drain(Duration::ZERO, PATIENCE))
    });
    assert!(silent.is_closed());
    std::thread::park_timeout(Duration::from_millis(300));
    half.send(format!("st: {HOST}\r\n\r\n"));
    let reply = half.reply();
    assert_eq!((reply.status, reply.all("connection")), (200, vec!["close"]));
    assert!(half.is_closed());
    assert_eq!(drain.join().unwrap(), 0);
}

/// SEC-07, SEC-08: whoever waits for the answer to such a line gets one.
#[test]
fn what_can_no_longer_become_a_head_is_refused_at_once() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let first = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n");
    let lines = ["GET /\r\n", "HELP\r\n", "SSH-2.0-OpenSSH_9\r\n", "EHLO a.example\n", "GET / HTTP/3.0\r\n"];
    let fields =
        ["A : b\r\n", " b\r\n", "A\r\n", ": b\r\n", "A\r\nB: c\r\n"].map(|field| first.clone() + field);
    for begun in lines.iter().map(|line| (*line).to_owned()).chain(fields) {
        let mut client = running.connect();
        client.send(&begun);
        let started = crate::clock::Deadline::within(Duration::from_secs(5));
        assert_eq!(client.reply().status, 400, "{begun:?}");
        assert!(!started.has_passed(), "{begun:?}");
        assert!(client.is_closed());
    }
    assert_eq!(application.opened(), 0);
}

#[test]
fn a_head_may_be_split_anywhere() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let long = format!("GET /long HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "\u{e9}y".repeat(500));
    let short = format!("POST /short HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbody");
    for (request, step) in [(long, 31), (short, 1)] {
        let whole = running.ask(&request);
        let target = |reply: &super::support::Reply| {
            let text = reply.text().to_owned();
            (text.lines().next().unwrap().to_owned(), text.contains("\n\nbody"), text.contains("\u{e9}y"))
        };
        for at in (1..request.len()).step_by(step) {
            let mut client = running.connect();
            client.send(&request.as_bytes()[..at]);
            std::thread::park_timeout(Duration::from_millis(2));
            client.send(&request.as_bytes()[at..]);
            let reply = client.reply();
            assert_eq!((reply.status, target(&reply)), (200, target(&whole)), "split at {at}");
        }
    }
}

#[test]
fn a_connection_that_gave_a_large_answer_and_was_closed_is_not_used() {
    let application = Application::run(|guest: &mut Guest| {
        guest.request();
        guest.send(with_length(300_000));
    });
    let running = Running::before(application.address);
    for turn in 1..=3 {
        let mut client = running.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.reply().body.len(), 300_000);
        application.wait_for(|events| {
            events.iter().filter(|event| matches!(event, Event::Closed(_))).count() == turn
        });
        // The plane's thread runs once more.
        assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").status, 421);
    }
    assert_eq!(application.opened(), 3);
}
