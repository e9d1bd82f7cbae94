//! Connections that grow old, clients that go away, and the end of the plane (REL-32, REL-34).

use std::{sync::mpsc, time::Duration};

use super::support::{Application, Client, Guest, HOST, PATIENCE, Running, has};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn drain(running: Running, wait: Duration, grace: Duration) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(running.plane.drain(wait, grace))
    })
}

/// Serves one request per connection, then closes without a word when the next one comes.
fn closes_when_asked_again() -> Application {
    Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        guest.head();
    })
}

#[test]
fn a_get_on_a_stale_connection_is_sent_once_more_on_a_fresh_one() {
    let application = closes_when_asked_again();
    let running = Running::before(application.address);
    let mut client = running.connect();
    for number in 0..3 {
        client.send(get("/"));
        assert_eq!(client.reply().status, 200, "request {number}");
    }
    assert_eq!(running.retries(), 2);
    assert_eq!(application.opened(), 3);
}

#[test]
fn a_post_is_never_sent_twice() {
    let application = closes_when_asked_again();
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(get("/"));
    assert_eq!(client.reply().status, 200);
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(client.reply().status, 502);
    assert_eq!(running.retries(), 0);
}

#[test]
fn a_request_is_not_sent_again_once_a_byte_of_an_answer_came() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        guest.head();
        guest.send("HTTP/1.1 2");
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(get("/"));
    assert_eq!(client.reply().status, 200);
    client.send(get("/"));
    assert_eq!(client.reply().status, 502);
    assert_eq!(running.retries(), 0);
}

#[test]
fn a_fresh_connection_that_breaks_is_not_tried_again() {
    let application = Application::run(|guest| drop(guest.head()));
    let running = Running::before(application.address);
    assert_eq!(running.ask(&get("/")).status, 502);
    assert_eq!(application.opened(), 1);
}

#[test]
fn a_connection_the_application_closed_meanwhile_is_not_used() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let running = Running::before(application.address);
    for _ in 0..3 {
        let mut client = running.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.reply().status, 200);
        let before = application.opened();
        application.wait_for(|events| {
            events.iter().filter(|event| matches!(event, super::support::Event::Closed(_))).count() == before
        });
        // The plane learns of it when its own thread runs next; a request that asks nothing of the application
        // makes sure that it did.
        assert_eq!(running.ask("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").status, 421);
    }
    assert_eq!(application.opened(), 3);
}

#[test]
fn a_client_that_goes_away_takes_its_upstream_connection_along() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(get("/"));
    assert_eq!(client.head().status, 200);
    drop(client);
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
}

#[test]
fn several_threads_share_one_port() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| public.threads = 2);
    let mut clients: Vec<Client> = (0..32).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(get("/"));
        assert_eq!(client.reply().status, 200);
    }
    assert!(running.plane.is_whole());
    assert_eq!(application.opened(), 2, "each thread has its own pool");
}

#[test]
fn a_drain_lets_started_requests_finish_and_ends_connections() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let application = Application::run(move |guest| {
        while let Some(request) = guest.request() {
            if request.contains("/slow") {
                wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let running = Running::before(application.address);
    let address = running.address();
    let (mut slow, mut idle) = (running.connect(), running.connect());
    idle.send(get("/"));
    assert_eq!(idle.reply().status, 200);
    slow.send(get("/slow"));
    application.wait_for(|events| has(events, "GET /slow"));

    let drain = drain(running, Duration::from_millis(300), PATIENCE);
    let mut late = Client::connect(address);
    late.send(get("/late"));
    let reply = late.reply();
    assert_eq!((reply.status, reply.all("connection").len()), (200, 0), "still accepted, still kept");
    assert!(late.is_closed());
    assert!(idle.is_closed());
    go.send(()).unwrap();
    let reply = slow.reply();
    assert_eq!((reply.status, reply.all("connection")), (200, vec!["close"]));
    assert_eq!(drain.join().unwrap(), 0);
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_request_that_outlives_the_drain_is_cut_and_counted() {
    let application = Application::run(Guest::read_to_end);
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(get("/"));
    application.wait_for(|events| format!("{events:?}").contains("Received"));
    let cut = drain(running, Duration::ZERO, Duration::from_millis(200)).join().unwrap();
    assert_eq!(cut, 1);
    assert!(client.is_closed());
}

fn upgrade(origin: &str) -> String {
    format!(
        "GET /live HTTP/1.1\r\nHost: {HOST}\r\n{origin}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Key: eA==\r\n\r\n"
    )
}

#[test]
fn a_web_socket_carries_bytes_both_ways_after_the_applications_101() {
    let application = Application::run(|guest| {
        let head = guest.head().unwrap().to_ascii_lowercase();
        assert!(
            head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
            "{head}"
        );
        guest.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello");
        while guest.more() {
            let bytes = guest.take_read();
            guest.send(bytes.to_ascii_uppercase());
        }
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(upgrade(&format!("Origin: https://{HOST}\r\n")));
    let answer = client.head();
    assert_eq!((answer.status, answer.all("upgrade")), (101, vec!["websocket"]));
    assert_eq!(answer.all("sec-websocket-accept"), ["x"]);
    assert_eq!(client.take(5), b"hello");
    client.send("raw\0bytes");
    assert_eq!(client.take(9), b"RAW\0BYTES");
    drop(client);
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
}

/// RFC 6455 §5.5.1: a page whose replica leaves hears of it, and a drain does not wait for it to its end.
#[test]
fn a_web_socket_is_told_that_we_leave() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        guest.send(b"\x81\x05hel");
        guest.more();
        guest.send("lo");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(upgrade(""));
    assert_eq!(client.head().status, 101);
    assert_eq!(client.take(5), b"\x81\x05hel");
    let drain = drain(running, Duration::ZERO, PATIENCE);
    client.send("x");
    assert_eq!(client.take(6), b"lo\x88\x02\x03\xe9", "the frame first, then the farewell");
    drop(client);
    assert_eq!(drain.join().unwrap(), 0, "nothing was cut");
}

#[test]
fn a_web_socket_from_a_foreign_page_is_refused() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    for origin in [
        "Origin: https://evil.test\r\n",
        "Origin: null\r\n",
        "Origin: https://app.example.test.evil.test\r\n",
        "Origin: https://app.example.test\r\nOrigin: https://evil.test\r\n",
    ] {
        assert_eq!(running.ask(&upgrade(origin)).status, 403, "{origin}");
    }
    assert_eq!(application.opened(), 0);
}

#[test]
fn after_a_refused_upgrade_the_next_bytes_are_a_request() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(upgrade("") + &get("/next"));
    assert!(client.reply().text().starts_with("GET /live"));
    let next = client.reply();
    assert!(next.text().starts_with("GET /next") && next.text().contains("via: 1.1 crossfade-test"));
}

#[test]
fn a_switch_nobody_asked_for_is_502() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    assert_eq!(running.ask(&get("/")).status, 502);
    let h2c = "GET / HTTP/1.1\r\nHost: app.example.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n";
    assert_eq!(running.ask(h2c).status, 502);
    assert!(!application.received().to_ascii_lowercase().contains("h2c"));
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let application = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        // Until the plane hangs up.
        while guest.try_send(&chunk) {}
    });
    let running = Running::with(application.address, |public, _| {
        public.limits.idle_timeout = Duration::from_millis(300);
    });
    let mut client = running.connect();
    client.send(get("/"));
    application.wait_for(|events| format!("{events:?}").contains("Closed"));
}

/// Longer than a connection keeps its buffers.
const PARKED: Duration = Duration::from_millis(1300);

#[test]
fn a_connection_wakes_from_a_long_silence_with_every_byte_in_place() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    // The beginning of the next head comes along with a request, then nothing for long.
    client.send(get("/one") + "GET /tw");
    assert!(client.reply().text().starts_with("GET /one"));
    std::thread::park_timeout(PARKED);
    client.send("o HTTP/1.1\r\nHost: app.example.test\r\n\r\n");
    assert!(client.reply().text().starts_with("GET /two"));
    std::thread::park_timeout(PARKED);
    for byte in get("/three").bytes() {
        client.send([byte]);
    }
    assert!(client.reply().text().starts_with("GET /three"));
    std::thread::park_timeout(PARKED);
    client.send(format!(
        "POST /four HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 600\r\n\r\n{}",
        "x".repeat(600)
    ));
    let reply = client.reply();
    assert!(reply.text().starts_with("POST /four") && reply.text().ends_with(&"x".repeat(600)));
    assert_eq!(running.metrics.open_connections(), 1);
    drop(client);
    while running.metrics.open_connections() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_body_that_still_comes_is_never_taken_for_a_request() {
    let application = Application::run(|guest| {
        guest.head();
        guest.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000\r\n\r\n"));
    assert_eq!(client.reply().status, 403);
    std::thread::park_timeout(PARKED);
    client.try_send(get("/smuggled"));
    assert!(client.is_closed());
    assert_eq!(application.opened(), 1);
    assert!(!application.received().contains("GET /smuggled"));
}

#[test]
fn a_drain_under_load_loses_no_request() {
    let application = Application::mirror();
    let running = Running::with(application.address, |public, _| public.threads = 2);
    let address = running.address();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for answered in 0.. {
                    client.send(get("/"));
                    // Panics when the connection ends without an answer.
                    let reply = client.reply();
                    assert_eq!(reply.status, 200);
                    if reply.all("connection") == ["close"] {
                        return answered;
                    }
                }
                0
            })
        })
        .collect();
    application.wait_for(|events| events.len() > 100);
    let drain = drain(running, Duration::from_millis(100), PATIENCE);
    let answered: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(drain.join().unwrap(), 0);
    assert!(answered > 100, "{answered}");
}

#[test]
fn an_idle_connection_may_ask_once_more_when_the_plane_leaves() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let address = running.address();
    let mut client = running.connect();
    client.send(get("/before"));
    assert_eq!(client.reply().status, 200);
    let drain = drain(running, Duration::ZERO, PATIENCE);
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    // Well within what an idle connection is given, well after an immediate end.
    std::thread::park_timeout(Duration::from_millis(200));
    client.send(get("/after"));
    let reply = client.reply();
    assert_eq!((reply.status, reply.all("connection")), (200, vec!["close"]));
    assert!(client.is_closed());
    assert_eq!(drain.join().unwrap(), 0);
}
