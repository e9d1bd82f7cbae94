//! REL-30's table, row by row: what the rows allow passes, what is above them is answered as they say.
//!
//! Cells whose test stands elsewhere: head and idle times, pauses of bodies, in-flight, first byte, pauses of answers
//! (`limits`), the drain (`life`), the rate of a body over the wire and the memory of idle connections
//! (`tests/it/crowds.rs`), calls to Scalekit and legacy stores (their rooms), answers of theirs (`net::client`).

use std::{net::TcpStream, time::Duration};

use socket2::{Domain, Socket, Type};

use super::{
    gate::{self, World},
    support::{Application, Client, HOST, Reply, Running},
};
use crate::config::Limits;

/// A head of exactly this many bytes in which no field is too large.
fn head_of(bytes: usize) -> String {
    let mut head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n");
    while bytes - head.len() > 9_000 {
        head.push_str(&["X: ", &"a".repeat(7_000), "\r\n"].concat());
    }
    let rest = bytes - head.len() - "Y: \r\n\r\n".len();
    head + &format!("Y: {}\r\n\r\n", "b".repeat(rest))
}

fn answer_and_end(running: &Running, request: &str) -> (Reply, bool) {
    let mut client = running.connect();
    client.send(request);
    let reply = client.reply();
    let closes = reply.status >= 400 && client.is_closed();
    (reply, closes)
}

#[test]
fn row_request_head() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n");
    let target = |bytes: usize| get(&format!("/{}", "a".repeat(bytes - 1)), "");
    let field = |bytes: usize| get("/", &format!("X: {}\r\n", "a".repeat(bytes - 1)));
    let fields = |count: usize| get("/", &"X: 1\r\n".repeat(count - 1));
    for (what, request, status) in [
        ("a target of 8 KiB", target(8 * 1024), 200),
        ("a target above 8 KiB", target(8 * 1024 + 1), 414),
        ("a field of 16 KiB", field(16 * 1024), 200),
        ("a field above 16 KiB", field(16 * 1024 + 1), 431),
        ("100 fields", fields(100), 200),
        ("101 fields", fields(101), 431),
        ("a head of 32 KiB", head_of(32 * 1024), 200),
        ("a head above 32 KiB", head_of(32 * 1024 + 1), 431),
        ("a head far above 32 KiB", head_of(200 * 1024), 431),
    ] {
        let (reply, closes) = answer_and_end(&running, &request);
        assert_eq!((reply.status, closes), (status, status != 200), "{what}");
    }
}

#[test]
fn row_bodies() {
    let application = Application::mirror();
    let world = World::at(application.address, &gate::config("cutover: 0%", ""), |_, _| {});
    let head = format!(
        "POST /login HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n"
    );
    let form = |bytes: usize| format!("l=ann%40example.com&p=wrong&x={}", "y".repeat(bytes - 30));
    let announced = |bytes: usize| format!("{head}Content-Length: {bytes}\r\n\r\n{}", form(bytes));
    let chunked = |bytes: usize| {
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n{}\r\n0\r\n\r\n", form(bytes))
    };
    for (what, request, status) in [
        ("a sign-in of 16 KiB", announced(16 * 1024), 200),
        ("a sign-in above 16 KiB", announced(16 * 1024 + 1), 413),
        ("a chunked sign-in of 16 KiB", chunked(16 * 1024), 200),
        ("a chunked sign-in above 16 KiB", chunked(16 * 1024 + 1), 413),
    ] {
        let (reply, closes) = answer_and_end(&world.running, &request);
        assert_eq!((reply.status, closes), (status, status != 200), "{what}");
    }
    let upload = |bytes: usize| {
        format!("POST /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {bytes}\r\n\r\n{}", "z".repeat(bytes))
    };
    let limited = Running::with(application.address, |public, _| public.limits.body_bytes = 1000);
    assert_eq!(answer_and_end(&limited, &upload(1000)).0.status, 200);
    let (reply, closes) = answer_and_end(&limited, &upload(1001));
    assert_eq!((reply.status, closes), (413, true));
}

#[test]
fn row_upstream_connect() {
    // A queue that nobody empties: the next connection is neither taken nor refused.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(200);
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, wait) {
        queued.push(stream);
        assert!(queued.len() < 16, "the queue has no end");
    }
    let running = Running::with(address, |_, upstream| upstream.connect_timeout = wait);
    let reply = running.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!((reply.status, reply.all("retry-after").len()), (504, 1));
    assert_eq!(running.counted("upstream_failures"), [("connect".to_owned(), 1)].into());
}

#[test]
fn row_client_connections() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| public.limits.connections = 2);
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let ask = |client: &mut Client| {
        client.send(&request);
        client.reply().status
    };
    let (mut first, mut second) = (running.connect(), running.connect());
    assert_eq!((ask(&mut first), ask(&mut second)), (200, 200));
    let mut third = running.connect();
    third.try_send(&request);
    assert!(third.is_closed(), "refused");
    drop(first);
    while running.metrics.open_connections() > 1 {
        std::thread::yield_now();
    }
    let mut fourth = running.connect();
    assert_eq!(ask(&mut fourth), 200, "a place that was given back");
}

/// The figures of the table are the defaults.
#[test]
fn the_defaults_are_the_tables() {
    const SECOND: Duration = Duration::from_secs(1);
    let limits = Limits::default();
    assert_eq!((limits.head_bytes, limits.head_fields), (32 << 10, 100));
    assert_eq!((limits.target_bytes, limits.field_bytes), (8 << 10, 16 << 10));
    assert_eq!((limits.head_timeout, limits.idle_timeout), (10 * SECOND, 60 * SECOND));
    assert_eq!(limits.body_pause, 15 * SECOND);
    assert_eq!((limits.sign_in_body_bytes, limits.body_bytes), (16 << 10, 10 << 20));
    assert_eq!((limits.connections, limits.connections_per_address, limits.in_flight), (10_000, 256, 2_000));
    assert_eq!((limits.drain_wait, limits.drain_timeout), (5 * SECOND, 30 * SECOND));
    let config = gate::config("cutover: 0%", "");
    assert_eq!(config.public.limits, limits);
    let upstream = &config.upstream;
    assert_eq!(
        (upstream.connect_timeout, upstream.first_byte_timeout, upstream.body_pause),
        (SECOND, 30 * SECOND, 60 * SECOND)
    );
    assert_eq!(config.scalekit.timeout, 3 * SECOND);
    assert_eq!(config.migration.legacy_budget, 5 * SECOND);
}

/// SEC-09: neither with a session nor without.
#[test]
fn trace_and_connect_are_refused_for_everybody() {
    let application = Application::mirror();
    let world = World::at(application.address, &gate::config("cutover: 0%", ""), |_, _| {});
    let (cookie, _) = world.session();
    for session in ["", &format!("Cookie: {cookie}\r\n")] {
        for first in
            ["TRACE / HTTP/1.1", "CONNECT app.example.test:443 HTTP/1.1", "TRACE /.crossfade/check HTTP/1.1"]
        {
            let request = format!("{first}\r\nHost: {HOST}\r\n{session}\r\n");
            let (reply, closes) = answer_and_end(&world.running, &request);
            assert_eq!((reply.status, closes), (405, true), "{first} {session}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("crossfade="), "nothing is echoed");
        }
    }
    assert_eq!(application.opened(), 0);
}
