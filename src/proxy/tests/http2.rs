//! HTTP/2 towards browsers (RFC 9113): one meaning of a request, and an end of it in time.

use std::{
    thread::{self, park_timeout},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    secure::{
        BOTH, CANCEL, DATA, END_HEADERS, END_STREAM, Ending, Frames, GOAWAY, HEADERS, PING, PREFACE,
        SETTINGS, WINDOW_UPDATE, block, frame, plane, request, settings,
    },
    support::{Application, Event, Guest, HOST, PATIENCE, Running, has},
};
use crate::clock::Deadline;

const PROTOCOL_ERROR: u32 = 1;

fn is_closed(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Closed(_)))
}

#[test]
fn a_request_goes_on_as_if_it_had_come_over_http1() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut frames = Frames::open(&running);
    let answer = frames.ask(&request(
        "GET",
        "/a?b",
        &[
            ("host", HOST),
            ("cookie", "a=1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "http"),
            ("app-user", "root"),
            ("app_user", "root"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("cookie", "__Host-crossfade=x; c=3"),
            ("via", "2 other"),
        ],
    ));
    let text = answer.text();
    assert_eq!(answer.status(), 200);
    assert!(text.starts_with("GET /a?b HTTP/1.1\n"), "{text}");
    for line in [
        &format!("host: {HOST}"),
        "cookie: a=1; b=2; c=3",
        "via: 2 other",
        "via: 2.0 crossfade-test",
        "x-forwarded-proto: https",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}\n{text}");
    }
    for gone in ["root", "te:", "1.2.3.4", "transfer-encoding", "content-length", "crossfade=x"] {
        assert!(!text.contains(gone), "{gone}\n{text}");
    }
    assert_eq!(text.matches("cookie:").count(), 1);
    assert_eq!(frames.ask(&request("OPTIONS", "*", &[])).text().lines().next(), Some("OPTIONS * HTTP/1.1"));
    // An older translator gives only the host.
    let hosted = [(":method", "GET"), (":scheme", "https"), (":path", "/h"), ("host", HOST)];
    assert_eq!(frames.ask(&hosted).status(), 200);
    let upper = HOST.to_uppercase();
    let shouted =
        [(":method", "GET"), (":scheme", "https"), (":authority", &*upper), (":path", "/"), ("host", HOST)];
    assert_eq!(frames.ask(&shouted).status(), 200);
    assert_eq!(application.opened(), 1, "all of them over one connection");
}

#[test]
fn what_is_refused_over_http1_is_refused_over_http2() {
    let application = Application::mirror();
    let running = plane(application.address, |limits, _| limits.field_bytes = 4096);
    let long = format!("/{}", "a".repeat(9000));
    let large = "a".repeat(5000);
    let crumb = "a".repeat(2500);
    let many = vec![("x", "1"); 120];
    let user = format!("u:p@{HOST}");
    let port = format!("{HOST}:8080");
    let with = |authority, more: &[(&'static str, &'static str)]| {
        [&[(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", authority)], more]
            .concat()
    };
    for (fields, status) in [
        (request("TRACE", "/", &[]), 405),
        (vec![(":method", "CONNECT"), (":authority", HOST)], 405),
        (vec![(":method", "CONNECT"), (":authority", "evil.test:443")], 405),
        (with("evil.test", &[]), 421),
        (with(&port, &[]), 421),
        (with(&user, &[]), 400),
        (with(HOST, &[("host", "evil.test")]), 400),
        (with(HOST, &[("host", HOST), ("host", HOST)]), 400),
        (with("evil.test", &[("host", HOST)]), 400),
        (vec![(":method", "GET"), (":scheme", "https"), (":path", "/")], 400),
        (vec![(":method", "GET"), (":scheme", "ftp"), (":authority", HOST), (":path", "/")], 400),
        (request("GET", "*", &[]), 400),
        (request("GET", "a/b", &[]), 400),
        (request("GET", "http://evil.test/", &[]), 400),
        (request("GET", "?a", &[]), 400),
        (request("GET", &long, &[]), 414),
        (request("GET", "/", &[("x", &large)]), 431),
        (request("GET", "/", &[("cookie", &crumb), ("cookie", &crumb)]), 431),
        (request("GET", "/", &many), 431),
        (request("GET", "/", &[("via", "2 a, 2.0 crossfade-test")]), 508),
        (request("POST", "/", &[("expect", "x")]), 417),
        (request("GET", "/", &[("content-length", "0000000000000000001")]), 400),
        (request("GET", "/", &[("content-length", "+0")]), 400),
    ] {
        // One each: after some of them nothing more is read.
        let ending = Frames::open(&running).ask(&fields);
        let told = matches!(ending, Ending::Answered(found, _) if found == status);
        let reset = status == 400 && matches!(ending, Ending::Reset(PROTOCOL_ERROR, None));
        assert!(
            told || reset,
            "{status} {ending:?} {:?}",
            fields.iter().map(|(name, value)| (name, &value[..value.len().min(60)])).collect::<Vec<_>>()
        );
    }
    let mut frames = Frames::open(&running);
    let announced = request("POST", "/", &[("content-length", "10485761")]);
    let stream = frames.begin(&announced, 0);
    assert_eq!(frames.ending(stream).status(), 413);
    assert_eq!(frames.get("/").status(), 200, "and the connection goes on");
    assert_eq!(application.opened(), 1);
    assert_eq!(running.refusals()["method_not_allowed"], 3);
}

#[test]
fn what_is_malformed_ends_its_stream_or_its_connection() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut good = Frames::open(&running);
    for more in [
        ("connection", "close"),
        ("connection", "x-a"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("x a", "1"),
        ("x:a", "1"),
        ("", "1"),
        ("x", "a\r\nb: c"),
        ("x", "a\0"),
        (":path", "/twice"),
        (":status", "200"),
        (":unknown", "1"),
        ("content-length", "x"),
    ] {
        let ending = Frames::open(&running).ask(&request("GET", "/bad", &[more]));
        let refused =
            matches!(ending, Ending::Reset(PROTOCOL_ERROR, _) | Ending::Closed(_) | Ending::Answered(400, _));
        assert!(refused, "{more:?} {ending:?}");
    }
    let get = (":method", "GET");
    for fields in [
        &[get, (":scheme", "https"), (":authority", HOST)][..],
        &[get, (":authority", HOST), (":path", "/bad")],
        &[(":scheme", "https"), (":authority", HOST), (":path", "/bad")],
        &[get, (":scheme", "https"), (":authority", HOST), (":path", "")],
        &[get, (":scheme", "https"), (":authority", HOST), ("a", "b"), (":path", "/bad")],
        &[get, (":scheme", "https"), (":authority", ""), (":path", "/bad")],
        // RFC 8441 is not spoken.
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", HOST),
            (":path", "/bad"),
        ],
    ] {
        let ending = Frames::open(&running).ask(fields);
        assert!(
            matches!(ending, Ending::Reset(PROTOCOL_ERROR, _) | Ending::Closed(_)),
            "{fields:?} {ending:?}"
        );
    }
    assert_eq!(good.get("/good").status(), 200);
    assert_eq!(application.opened(), 1);
}

#[test]
fn a_body_has_the_length_that_was_announced_or_is_never_whole() {
    let application = Application::run(Guest::read_to_end);
    let running = plane(application.address, |_, _| {});
    for (length, pieces) in [("10", &["half!"][..]), ("10", &["more", " than ten"]), ("3", &["", "four"])] {
        let mut frames = Frames::open(&running);
        let stream = frames.begin(&request("POST", "/cut", &[("content-length", length)]), 0);
        application.wait_for(|events| has(events, "POST /cut") || length == "3");
        for (n, piece) in pieces.iter().enumerate() {
            let end = if n + 1 == pieces.len() { END_STREAM } else { 0 };
            frames.send(DATA, end, stream, piece.as_bytes());
        }
        let ending = frames.ending(stream);
        assert!(matches!(ending, Ending::Reset(..) | Ending::Answered(400, _)), "{pieces:?} {ending:?}");
    }
    let mut frames = Frames::open(&running);
    let missing = frames.ask(&request("POST", "/cut", &[("content-length", "7")]));
    assert!(matches!(missing, Ending::Reset(..) | Ending::Answered(400, _)), "{missing:?}");
    // Whatever began was cut, and nothing after it was taken for its rest.
    application.wait_for(|events| {
        let count = |closed: bool| {
            let of_kind = |event: &&Event| match event {
                Event::Opened(_) => !closed,
                Event::Closed(_) => closed,
                Event::Received(..) => false,
            };
            events.iter().filter(of_kind).count()
        };
        count(true) == count(false)
    });
    for event in application.events() {
        let Event::Received(_, bytes) = event else { continue };
        let text = String::from_utf8(bytes).unwrap();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(body.len() < 10 && !body.contains("four"), "{text}");
    }
}

#[test]
fn a_body_without_a_length_is_sent_on_in_chunks() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut frames = Frames::open(&running);
    let stream = frames.begin(&request("POST", "/up", &[]), 0);
    frames.send(DATA, 0, stream, b"hello ");
    frames.send(DATA, 0, stream, b"world");
    // Trailers are dropped.
    frames.send(HEADERS, END_STREAM | END_HEADERS, stream, &block(&[("x-trailer", "1")]));
    let answer = frames.ending(stream);
    let text = answer.text();
    assert!(text.contains("transfer-encoding: chunked\n"), "{text}");
    assert!(text.contains("hello ") && text.ends_with("0\n\n"), "{text}");
    assert!(!text.contains("content-length") && !text.contains("x-trailer"), "{text}");
    let stream = frames.begin(&request("POST", "/up", &[("content-length", "3")]), 0);
    frames.send(DATA, END_STREAM, stream, b"abc");
    let answer = frames.ending(stream);
    assert!(answer.text().contains("content-length: 3\n") && answer.text().ends_with("\n\nabc"));
}

#[test]
fn large_bodies_flow_both_ways() {
    const MANY: usize = 3_000_000;
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let text = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let tcp = tokio::net::TcpStream::connect(running.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(settings(BOTH, &["h2"]));
        let stream = connector.connect(HOST.try_into().unwrap(), tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let body = Full::new(Bytes::from(vec![b'x'; MANY]));
        let request = Request::post(format!("https://{HOST}/large")).body(body).unwrap();
        let exchange = async {
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(!answer.headers().contains_key("connection"));
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        tokio::select! {
            text = exchange => text,
            ended = connection => panic!("{ended:?}"),
        }
    });
    assert!(text.len() > MANY && text.ends_with(&vec![b'x'; MANY]), "{}", text.len());
}

#[test]
fn answers_without_a_body_and_early_ones_end_as_they_should() {
    let application = Application::run(|guest| {
        while let Some(head) = guest.head() {
            let answer = match head.split(' ').next().unwrap() {
                "HEAD" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                "GET" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
                "PUT" => "HTTP/1.1 204 No Content\r\n\r\n",
                _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            };
            guest.send(answer);
        }
    });
    let running = plane(application.address, |_, _| {});
    let mut frames = Frames::open(&running);
    for (method, status) in [("HEAD", 200), ("GET", 304), ("PUT", 204)] {
        assert_eq!(
            frames.ask(&request(method, "/", &[])),
            Ending::Answered(status, String::new()),
            "{method}"
        );
    }
    assert_eq!(application.opened(), 1);
    let stream = frames.begin(&request("POST", "/", &[("content-length", "100000")]), 0);
    frames.send(DATA, 0, stream, b"start");
    assert_eq!(frames.ending(stream), Ending::Answered(403, "no".to_owned()));
    assert_eq!(frames.ask(&request("PUT", "/after", &[])).status(), 204);
    assert_eq!(application.opened(), 2, "what still belongs to the first must not be taken for the second");
    application.wait_for(is_closed);
}

#[test]
fn streams_are_limited_per_connection_and_per_address() {
    let application = Application::run(Guest::read_to_end);
    let running = plane(application.address, |limits, _| {
        limits.streams = 2;
        limits.connections_per_address = 3;
    });
    let mut first = Frames::open(&running);
    let get = request("GET", "/", &[]);
    let begun = [(); 3].map(|()| first.begin(&get, END_STREAM));
    // REFUSED_STREAM: it was not begun and may be sent again.
    assert_eq!(first.ending(begun[2]), Ending::Reset(7, None));
    let mut second = Frames::open(&running);
    second.begin(&get, END_STREAM);
    let over = second.begin(&get, END_STREAM);
    assert_eq!(second.ending(over).status(), 503);
    drop(first);
    let patience = Deadline::within(PATIENCE);
    loop {
        let stream = second.begin(&get, END_STREAM);
        application.wait_for(|_| true);
        park_timeout(Duration::from_millis(50));
        if application.opened() > 3 {
            break;
        }
        assert_eq!(second.ending(stream).status(), 503);
        assert!(!patience.has_passed(), "the places of a connection that is gone are free again");
    }
}

#[test]
fn a_client_that_makes_no_room_for_an_answer_loses_it() {
    let application = Application::run(|guest| {
        while guest.request().is_some() {
            guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}", "x".repeat(200_000)));
        }
    });
    let running = plane(application.address, |limits, _| limits.idle_timeout = Duration::from_millis(700));
    // SETTINGS_INITIAL_WINDOW_SIZE: 0.
    let mut frames = Frames::open_with(&running, &[0, 4, 0, 0, 0, 0]);
    let stream = frames.begin(&request("GET", "/", &[]), END_STREAM);
    assert_eq!(frames.ending(stream), Ending::Reset(CANCEL, Some(200)));
    application.wait_for(is_closed);
    // Who makes room step by step gets all of it, however long it takes together.
    let mut frames = Frames::open_with(&running, &[0, 4, 0, 0, 0x40, 0]);
    let stream = frames.begin(&request("GET", "/", &[]), END_STREAM);
    let mut received = 0;
    while received < 200_000 {
        let found = frames.next().unwrap();
        assert!(matches!(found.kind, HEADERS | DATA), "{found:?}");
        if found.kind == DATA && !found.payload.is_empty() {
            received += found.payload.len();
            let room = u32::try_from(found.payload.len()).unwrap().to_be_bytes();
            if received % 0x4000 == 0 {
                park_timeout(Duration::from_millis(150));
            }
            frames.try_send(
                &[frame(WINDOW_UPDATE, 0, stream, &room), frame(WINDOW_UPDATE, 0, 0, &room)].concat(),
            );
        }
    }
}

#[test]
fn a_body_that_stops_coming_is_408_and_disturbs_no_other_request() {
    let application = Application::mirror();
    let running = plane(application.address, |limits, _| limits.body_pause = Duration::from_millis(300));
    let mut frames = Frames::open(&running);
    let stream = frames.begin(&request("POST", "/", &[("content-length", "10")]), 0);
    frames.send(DATA, 0, stream, b"half");
    assert_eq!(frames.get("/other").status(), 200);
    assert_eq!(frames.ending(stream).status(), 408);
    assert_eq!(frames.get("/other").status(), 200);
    assert_eq!(running.refusals()["request_timeout"], 1);
}

#[test]
fn idle_and_unfinished_connections_end_with_a_goaway() {
    let application = Application::mirror();
    let running = plane(application.address, |limits, _| {
        limits.head_timeout = Duration::from_millis(400);
        limits.idle_timeout = Duration::from_millis(400);
    });
    let mut silent = Frames::open(&running);
    assert_eq!(silent.next().map(|frame| frame.kind), Some(GOAWAY));
    let mut unfinished = Frames::open(&running);
    unfinished.send(HEADERS, END_STREAM, 1, &block(&request("GET", "/bad", &[])));
    assert!(unfinished.is_closed_within(PATIENCE));
    let mut used = Frames::open(&running);
    assert_eq!(used.get("/").status(), 200);
    // Whatever is no request keeps nothing open.
    let patience = Deadline::within(PATIENCE);
    while used.try_send(&frame(PING, 0, 0, &[0; 8])) {
        park_timeout(Duration::from_millis(50));
        assert!(!patience.has_passed(), "it stays open");
    }
    // Neither does an answer that takes longer than that end it.
    let slow = Application::run(|guest| {
        guest.request();
        park_timeout(Duration::from_millis(1500));
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        guest.read_to_end();
    });
    let running = plane(slow.address, |limits, _| limits.idle_timeout = Duration::from_millis(400));
    assert_eq!(Frames::open(&running).get("/").text(), "ok");
}

#[test]
fn a_drain_lets_started_requests_end_and_begins_no_more() {
    let application = Application::run(|guest| {
        guest.request();
        park_timeout(Duration::from_secs(1));
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        guest.read_to_end();
    });
    let running = plane(application.address, |_, _| {});
    let mut busy = Frames::open(&running);
    let mut idle = Frames::open(&running);
    let stream = busy.begin(&request("GET", "/", &[]), END_STREAM);
    application.wait_for(|events| has(events, "GET /"));
    let draining = thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(running.plane.drain(Duration::ZERO, PATIENCE))
    });
    assert_eq!(idle.next().map(|frame| frame.kind), Some(GOAWAY));
    assert_eq!(busy.next().map(|frame| frame.kind), Some(GOAWAY));
    assert_eq!(busy.ending(stream), Ending::Answered(200, "ok".to_owned()));
    assert_eq!(draining.join().unwrap(), 0, "nothing was cut");
    assert!(busy.is_closed_within(PATIENCE));
}

#[test]
fn http2_is_not_spoken_without_tls() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.try_send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    assert!(client.is_closed());
    assert_eq!(application.opened(), 0);
}
