//! Refusals and limits (SEC-09 … SEC-13, REL-30).

use std::{net::TcpListener, thread::park_timeout, time::Duration};

use super::support::{Application, Client, Guest, HOST, Running};
use crate::clock::Deadline;

#[test]
fn what_is_refused_never_reaches_the_application() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let long = "a".repeat(9000);
    let large = "a".repeat(17_000);
    let many = "X: 1\r\n".repeat(120);
    for (request, status) in [
        (format!("TRACE / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 405),
        (format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 405),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(), 421),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}:8080\r\n\r\n"), 421),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 421),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}, evil.test\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n"), 400),
        (format!("GET http://evil.test/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 421),
        (format!("GET http://u:p@{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400),
        (format!("GET ftp://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400),
        (format!("GET * HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400),
        (format!("GET {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {large}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {large}\r\nY: {large}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nVia: 1.1 a, 1.1 crossfade-test\r\n\r\n"), 508),
        (format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: x\r\nContent-Length: 1\r\n\r\na"), 417),
        (format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10485761\r\n\r\n"), 413),
        (format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0000000000000000001\r\n\r\na"), 400),
        (
            format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            501,
        ),
    ] {
        let short = &request[..request.len().min(100)];
        assert_eq!(running.ask(&request).status, status, "{short:?}");
    }
    assert_eq!(application.opened(), 0);
    let refusals = running.refusals();
    assert_eq!(refusals["method_not_allowed"], 2);
    assert_eq!(refusals["misdirected"], 4);
    assert_eq!(refusals["loop"], 1);
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let reply = running.ask(&format!("GET https://{HOST}/a?b HTTP/1.1\r\nHost: evil.test\r\n\r\n"));
    assert!(reply.text().starts_with("GET /a?b HTTP/1.1\n"), "{}", reply.text());
    assert!(reply.text().contains(&format!("host: {HOST}\n")));
    assert!(!reply.text().contains("evil"));
    // A fragment is cut off before anybody here can see it.
    for (rest, target) in [("", "/"), ("/", "/"), ("#/c", "/"), ("#", "/"), ("/a#b", "/a"), ("/?d", "/?d")] {
        let reply = running.ask(&format!("GET http://{HOST}{rest} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        let line = format!("GET {target} HTTP/1.1\n");
        assert!(reply.text().starts_with(&line), "{rest}: {}", reply.text());
    }
    let no_path = running.ask(&format!("GET http://{HOST}?d HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(no_path.status, 400);
}

#[test]
fn a_body_that_grows_too_large_is_cut_off() {
    let application = Application::run(Guest::read_to_end);
    let running = Running::with(application.address, |public, _| public.limits.body_bytes = 1000);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let chunk = format!("190\r\n{}\r\n", "x".repeat(400));
    for _ in 0..3 {
        client.send(&chunk);
    }
    assert_eq!(client.reply().status, 413);
    assert!(client.is_closed());
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
    assert!(!application.received().ends_with("0\r\n\r\n"), "an unfinished body must not look whole");
}

#[test]
fn a_client_that_still_sends_reads_why_it_is_refused() {
    const MIB: usize = 1024 * 1024;
    let application = Application::run(Guest::read_to_end);
    let running = Running::with(application.address, |public, _| public.limits.body_bytes = MIB as u64);
    let body = |start: String, bytes: usize| [start.into_bytes(), vec![b'x'; bytes]].concat();
    let post = |field: &str| format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n\r\n");
    let announced = |bytes: usize| body(post(&format!("Content-Length: {bytes}")), bytes);
    let chunked = "Transfer-Encoding: chunked";
    let too_large = format!("{}{:x}\r\n", post(chunked), 8 * MIB);
    for (what, request, status) in [
        ("a byte too much", announced(MIB + 1), 413),
        ("far too much", announced(10 * MIB + 1), 413),
        ("too much unannounced", body(too_large, 8 * MIB), 413),
        ("no chunk", body(format!("{}zz\r\n", post(chunked)), 4 * MIB), 400),
        (
            "another host",
            body("POST / HTTP/1.1\r\nHost: a, b\r\nContent-Length: 4194304\r\n\r\n".into(), 4 * MIB),
            400,
        ),
        ("an endless field", body(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: "), 4 * MIB), 431),
    ] {
        for turn in 0..20 {
            let mut client = running.connect();
            assert!(client.try_send(&request), "{what}, turn {turn}");
            assert_eq!(client.reply().status, status, "{what}, turn {turn}");
        }
    }
}

#[test]
fn a_late_sender_reads_its_408() {
    let application = Application::run(Guest::read_to_end);
    let running =
        Running::with(application.address, |public, _| public.limits.body_pause = Duration::from_millis(100));
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5000000\r\n\r\nhalf"));
    park_timeout(Duration::from_millis(400));
    client.send(vec![b'x'; 4_000_000]);
    assert_eq!(client.reply().status, 408);
}

#[test]
fn what_comes_after_the_last_answer_is_read_only_for_a_while_and_never_a_request() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let refused = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99999999\r\n\r\n");
    let mut flood = running.connect();
    flood.send(&refused);
    let piece = vec![b'x'; 1024 * 1024];
    let taken = (0..99).take_while(|_| flood.try_send(&piece)).count();
    assert!(taken < 60, "{taken} MiB and no end");

    let mut trickle = running.connect();
    trickle.send(&refused);
    let patience = Deadline::within(Duration::from_secs(20));
    while trickle.try_send("x") {
        assert!(!patience.has_passed(), "it is still read");
        park_timeout(Duration::from_millis(50));
    }

    let mut second = running.connect();
    second.send(format!("GET /first HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
    assert_eq!(second.reply().status, 200);
    // Longer than a connection that may go on is kept by its parser.
    park_timeout(Duration::from_millis(1300));
    second.try_send(format!("GET /second HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert!(second.is_closed());
    park_timeout(Duration::from_millis(300));
    assert!(!application.received().contains("/second"));
}

#[test]
fn a_body_that_stops_coming_is_408() {
    let application = Application::run(Guest::read_to_end);
    let running =
        Running::with(application.address, |public, _| public.limits.body_pause = Duration::from_millis(200));
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf"));
    assert_eq!(client.reply().status, 408);
    assert!(client.is_closed());
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
    assert_eq!(running.refusals()["request_timeout"], 1);
}

#[test]
fn an_early_answer_reaches_the_client_and_the_rest_is_not_reused() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(format!("POST /one HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\nstart"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.text()), (403, "no"));
    assert!(client.is_closed(), "the rest never came, so the connection ends");
    assert_eq!(running.ask(&format!("GET /two HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).status, 403);
    assert_eq!(application.opened(), 2);
}

/// The application closes with the upload unread: its system resets the connection, and writing on fails.
#[test]
fn an_early_answer_survives_the_reset_that_follows_it() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    });
    let running = Running::before(application.address);
    let upload = "x".repeat(1_000_000);
    for number in 0..20 {
        let reply = running.ask(&format!(
            "POST /{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{upload}",
            upload.len()
        ));
        assert_eq!((reply.status, reply.text()), (403, "no"), "upload {number}");
    }
    assert_eq!(application.opened(), 20, "a connection with an unread rest carries nothing more");
}

#[test]
fn a_head_that_stays_unfinished_is_closed() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| {
        public.limits.head_timeout = Duration::from_millis(300);
        public.limits.idle_timeout = Duration::from_mins(1);
    });
    let (mut fresh, mut silent) = (running.connect(), running.connect());
    fresh.send("GET / HT");
    assert!(fresh.is_closed());
    assert!(silent.is_closed());
    let mut used = running.connect();
    used.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    used.reply();
    used.send("GET /second HTTP/1.1\r\nHo");
    assert!(used.is_closed(), "also on a connection that was idle before");
}

#[test]
fn an_idle_connection_is_closed_a_busy_one_is_not() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        std::thread::park_timeout(Duration::from_millis(900));
        guest.send("world");
        guest.read_to_end();
    });
    let running = Running::with(application.address, |public, _| {
        public.limits.idle_timeout = Duration::from_millis(300);
        public.limits.head_timeout = Duration::from_millis(300);
    });
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.reply().text(), "helloworld");
    assert!(client.is_closed());
}

#[test]
fn connections_are_limited_per_address() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| public.limits.connections_per_address = 2);
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut kept: Vec<Client> = (0..2).map(|_| running.connect()).collect();
    for client in &mut kept {
        client.send(&request);
        assert_eq!(client.reply().status, 200);
    }
    let mut third = running.connect();
    third.try_send(&request);
    assert!(third.is_closed());
    assert_eq!(running.counted("connections_turned_away")[""], 1);
}

#[test]
fn too_much_at_once_is_503_with_retry_after() {
    let application = Application::run(Guest::read_to_end);
    let running = Running::with(application.address, |public, _| public.limits.in_flight = 1);
    let mut first = running.connect();
    first.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    application.wait_for(|events| format!("{events:?}").contains("Received"));
    let reply = running.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(reply.status, 503);
    assert_eq!(reply.all("retry-after").len(), 1);
}

#[test]
fn an_application_that_is_away_is_502_a_silent_one_504() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(Running::before(nobody).ask(&request).status, 502);
    let hangs_up = Application::run(|guest| drop(guest.request()));
    assert_eq!(Running::before(hangs_up.address).ask(&request).status, 502);
    let babbles = Application::run(|guest| {
        guest.request();
        guest.send("what?\r\n\r\n");
    });
    assert_eq!(Running::before(babbles.address).ask(&request).status, 502);
    let silent = Application::run(Guest::read_to_end);
    let running = Running::with(silent.address, |_, upstream| {
        upstream.first_byte_timeout = Duration::from_millis(200);
    });
    assert_eq!(running.ask(&request).status, 504);
    assert_eq!(running.counted("upstream_failures"), [("timeout".to_owned(), 1)].into());
}

#[test]
fn an_upload_uses_up_nothing_of_the_applications_time() {
    let application = Application::run(|guest| {
        let request = guest.request().unwrap();
        if request.contains("answer=late") {
            // Within its own time, and beyond one that began with the upload.
            park_timeout(Duration::from_millis(500));
            guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        guest.read_to_end();
    });
    let running = Running::with(application.address, |_, upstream| {
        upstream.first_byte_timeout = Duration::from_millis(800);
    });
    for (framing, first, last) in [
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n"),
        ("Content-Length: 10", "hello", "world"),
    ] {
        for (answer, status) in [("late", 200), ("never", 504)] {
            let mut client = running.connect();
            client
                .send(format!("POST /?answer={answer} HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n{first}"));
            park_timeout(Duration::from_millis(700));
            client.send(last);
            let soon = Deadline::within(Duration::from_millis(1500));
            assert_eq!(client.reply().status, status, "{framing}, {answer}");
            assert!(!soon.has_passed(), "{framing}, {answer}: not one time more than the application's own");
        }
    }
}

#[test]
fn an_answer_that_stops_coming_is_cut() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        guest.read_to_end();
    });
    let running = Running::with(application.address, |_, upstream| {
        upstream.body_pause = Duration::from_millis(200);
    });
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
}
