//! What reaches the application and what comes back: the same as direct, but for the listed fields.

use std::{collections::BTreeMap, sync::mpsc};

use super::support::{Application, Client, HOST, PATIENCE, Reply, Running, has};

/// The request as the application saw it: its first line, its fields by name with their order kept, its body.
fn seen(text: &str) -> (String, BTreeMap<String, Vec<String>>, String) {
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap().to_owned();
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        fields.entry(name.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    (first, fields, body.to_owned())
}

/// The fields that may differ between direct and proxied (design, "untouched").
const MAY_DIFFER: [&str; 8] = [
    "via",
    "date",
    "connection",
    "keep-alive",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
];

#[test]
fn a_request_arrives_as_it_would_directly() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    for request in [
        format!(
            "GET /a/b?c=d&e=%2F%20 HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\nAccept: b\r\nUser-Agent: x\r\n\r\n"
        ),
        format!("GET //x//y/ HTTP/1.1\r\nHost: {HOST}\r\nX-Empty:\r\nCookie: a=1;b=2\r\n\r\n"),
        format!(
            "GET /a/../b/%2e%2e/%2F/./c;d?x={{}}| HTTP/1.1\r\nHost: {HOST}\r\nX-Two:  spaced   out \r\n\r\n"
        ),
        format!("POST /form HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello"),
        format!("DELETE /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nAuthorization: Bearer x\r\n\r\n"),
        format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\n\r\n"),
        format!("PURGE /x HTTP/1.1\r\nHost: {HOST}\r\nX-Bytes: caf\u{e9}\r\n\r\n"),
    ] {
        let mut direct = Client::connect(application.address);
        direct.send(&request);
        let (line, mut expected, body) = seen(direct.reply().text());
        let reply = running.ask(&request);
        assert_eq!(reply.status, 200, "{request}");
        let (got_line, mut got, got_body) = seen(reply.text());
        assert_eq!(got["via"], ["1.1 crossfade-test"]);
        assert_eq!(got["x-forwarded-for"], ["127.0.0.1"]);
        assert_eq!(got["x-forwarded-proto"], ["http"]);
        assert_eq!(got["x-forwarded-host"], [HOST]);
        assert_eq!(got["x-request-id"][0].len(), 32);
        for name in MAY_DIFFER {
            expected.remove(name);
            got.remove(name);
        }
        assert_eq!((got_line, got, got_body), (line, expected, body));
    }
}

fn answers(answer: &'static str) -> Application {
    Application::run(move |guest| {
        while guest.request().is_some() {
            guest.send(answer);
            if answer.contains("Connection: close") {
                return;
            }
        }
    })
}

/// Without the fields that may differ, and without the framing, which is each hop's own.
fn comparable(mut reply: Reply) -> Reply {
    reply.fields.retain(|(name, _)| !MAY_DIFFER.contains(&name.as_str()) && name != "transfer-encoding");
    reply.fields.sort_by(|a, b| a.0.cmp(&b.0));
    reply
}

#[test]
fn an_answer_comes_back_as_it_would_directly() {
    for (method, answer) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: \"x\"\r\n\r\nhello",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nuntil the end"),
        ("GET", "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
        ("GET", "HTTP/1.1 404 Nope\r\nContent-Length: 0\r\nServer: s\r\n\r\n"),
        ("GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 302 Found\r\nLocation: /x y\r\nContent-Length: 0\r\n\r\n"),
        ("GET", "HTTP/1.1 599 Odd\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX: 1\r\n\r\n"),
    ] {
        let application = answers(answer);
        let running = Running::before(application.address);
        let request = format!("{method} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        let ask = |address| {
            let mut client = Client::connect(address);
            client.send(&request);
            client.reply_to(method)
        };
        let (direct, proxied) = (ask(application.address), ask(running.address()));
        assert_eq!(proxied.all("via").len(), 1, "{answer}");
        assert_eq!(comparable(proxied), comparable(direct), "{answer}");
    }
}

#[test]
fn an_answer_of_two_lengths_is_as_long_as_its_chunks() {
    for length in [0, 3, 5, 500] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let application = answers(answer.leak());
        let running = Running::before(application.address);
        let mut client = running.connect();
        for _ in 0..2 {
            client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            let reply = client.reply();
            assert_eq!((reply.status, reply.text()), (200, "hello"), "{length}");
            assert_eq!(reply.all("content-length"), Vec::<&str>::new(), "{length}");
        }
    }
}

#[test]
fn our_own_host_goes_up_when_the_client_s_is_not_preserved() {
    let application = Application::mirror();
    let running = Running::with(application.address, |_, upstream| upstream.preserve_host = false);
    let reply = running.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let (_, fields, _) = seen(reply.text());
    assert_eq!(fields["host"], [application.address.to_string()]);
    assert_eq!(fields["x-forwarded-host"], [HOST]);
}

#[test]
fn a_slow_answer_arrives_piece_by_piece() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let application = Application::run(move |guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in ["one", "two", "six"] {
            guest.send(format!("3\r\n{piece}\r\n"));
            wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        guest.send("0\r\nX-Trailer: 1\r\n\r\n");
        guest.read_to_end();
    });
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    for piece in ["one", "two", "six"] {
        assert_eq!(client.chunk().unwrap(), piece.as_bytes());
        go.send(()).unwrap();
    }
    assert_eq!(client.chunk(), None, "the end, without the trailer");
}

#[test]
fn a_slow_request_arrives_piece_by_piece() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for piece in ["first", "other"] {
        client.send(format!("5\r\n{piece}\r\n"));
        application.wait_for(|events| has(events, piece));
    }
    client.send("0\r\nX-Trailer: 1\r\n\r\n");
    let reply = client.reply();
    assert_eq!(reply.status, 200);
    assert!(!application.received().to_ascii_lowercase().contains("x-trailer"));
    assert!(!application.received().contains("ontent-length"));
}

#[test]
fn requests_on_one_connection_are_answered_in_order_over_one_upstream_connection() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    for number in 0..20 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert!(client.reply().text().starts_with(&format!("GET /{number} HTTP/1.1\n")));
    }
    client.send(format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\nPOST /b HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nok"));
    assert!(client.reply().text().starts_with("GET /a"));
    assert!(client.reply().text().ends_with("ok"));
    assert_eq!(application.opened(), 1);
}

#[test]
fn an_expectation_is_met_before_the_body_comes() {
    let application = Application::mirror();
    let running = Running::before(application.address);
    let mut client = running.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.head().status, 100);
    client.send("ok");
    assert!(client.reply().text().ends_with("ok"));
}

#[test]
fn large_bodies_pass_both_ways_unharmed() {
    let application = Application::run(|guest| {
        while let Some(request) = guest.request() {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let running = Running::before(application.address);
    let body: String = (0..400_000).map(|number: u32| char::from(b'a' + (number % 23) as u8)).collect();
    let mut client = running.connect();
    client.send(format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(client.reply().text(), body);
}
