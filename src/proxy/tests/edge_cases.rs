//! Raw payloads with more than one reading, judged by what reached the application (SEC-19).

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::RegexBuilder;
use serde::Deserialize;

use super::{
    judge,
    support::{Application, Event, HOST, Running},
};
use crate::clock::Deadline;

/// A line of the payload file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    #[expect(dead_code, reason = "for readers of the file")]
    category: String,
    expect: Expected,
    raw_b64: Option<String>,
    segments: Option<Vec<(String, u64)>>,
    count: Option<usize>,
    #[serde(default)]
    forbid: Vec<String>,
    #[serde(default)]
    require: Vec<String>,
    body_b64: Option<String>,
    reject_ok: Option<bool>,
    /// What needs a session is played without one: identity must vanish all the more.
    #[serde(rename = "profile")]
    _profile: Option<String>,
    why: String,
    #[expect(dead_code, reason = "for readers of the file")]
    src: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
enum Expected {
    #[serde(rename = "must_reject")]
    Reject,
    #[serde(rename = "must_normalise")]
    Normalise,
    #[serde(rename = "must_forward_once")]
    ForwardOnce,
}

/// How the client saw it end.
struct Ending {
    statuses: Vec<u16>,
    closed: bool,
}

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn filled_in(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (mark, text) in [
        ("@@HOST@@", HOST),
        ("@@AUTH@@", ""),
        ("@@P@@", "/t"),
        ("@@IDH@@", "X-Crossfade-Assertion"),
        ("@@IDH_US@@", "X_Crossfade_Assertion"),
    ] {
        while let Some(at) = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()) {
            bytes.splice(at..at + mark.len(), text.bytes());
        }
    }
    bytes
}

/// An application that records everything and answers each complete request with its first line.
fn recorder() -> Application {
    Application::run(|guest| {
        let mut all = Vec::new();
        let mut answered = 0;
        while guest.more() {
            all.extend(guest.take_read());
            let carried = judge::read(&all);
            for request in carried.requests.iter().skip(answered) {
                let body = &request.line;
                let length = body.len();
                guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
            }
            answered = carried.requests.len();
            if carried.fault.is_some() {
                return;
            }
        }
    })
}

fn pause(length: Duration) {
    let deadline = Deadline::within(length);
    while !deadline.has_passed() {
        std::thread::park_timeout(deadline.remaining());
    }
}

fn play(address: SocketAddr, segments: &[(Vec<u8>, u64)]) -> Ending {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for (bytes, delay) in segments {
        pause(Duration::from_millis(*delay));
        if stream.write_all(bytes).is_err() {
            break;
        }
    }
    let mut got = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut wait = Duration::from_millis(2500);
    let closed = loop {
        stream.set_read_timeout(Some(wait)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
        wait = Duration::from_millis(250);
    };
    Ending { statuses: statuses(&got), closed }
}

/// The final statuses in what a client received. Every answer here announces its length.
fn statuses(mut got: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(end) = got.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        got = got.get(end + 4 + length.unwrap_or(0)..).unwrap_or_default();
        if status >= 200 {
            found.push(status);
        }
    }
    found
}

/// Everything each upstream connection carried since `before`. Incomplete rests at `before` are carried over.
fn carried(application: &Application, before: usize) -> (Vec<judge::Seen>, Vec<String>) {
    let mut by_connection: BTreeMap<usize, (Vec<u8>, usize)> = BTreeMap::new();
    for (number, event) in application.events().into_iter().enumerate() {
        if let Event::Received(connection, bytes) = event {
            let entry = by_connection.entry(connection).or_default();
            if number < before {
                entry.1 += bytes.len();
            }
            entry.0.extend(bytes);
        }
    }
    let (mut requests, mut faults) = (Vec::new(), Vec::new());
    for (bytes, old) in by_connection.into_values() {
        let seen_before = judge::read(&bytes[..old]).requests.len();
        let carried = judge::read(&bytes);
        requests.extend(carried.requests.into_iter().skip(seen_before));
        faults.extend(carried.fault);
    }
    (requests, faults)
}

/// What is wrong with how a case went; empty when it passed.
fn complaints(case: &Case, running: &Running, application: &Application) -> Vec<String> {
    let segments: Vec<(Vec<u8>, u64)> = match (&case.raw_b64, &case.segments) {
        (Some(raw), None) => vec![(filled_in(&decode(raw)), 0)],
        (None, Some(segments)) => {
            segments.iter().map(|(bytes, delay)| (filled_in(&decode(bytes)), *delay)).collect()
        }
        _ => panic!("{}: either raw_b64 or segments", case.id),
    };
    let before = application.events().len();
    let ending = play(running.address(), &segments);
    pause(Duration::from_millis(80));
    let (requests, faults) = carried(application, before);
    let mut wrong: Vec<String> =
        faults.into_iter().map(|fault| format!("malformed upstream: {fault}")).collect();
    let most = case.count.unwrap_or(usize::from(case.expect != Expected::Reject));
    if requests.len() > most {
        wrong.push(format!("{} requests upstream, at most {most} expected", requests.len()));
    }
    let pattern = |text: &str| {
        let text = String::from_utf8(filled_in(text.as_bytes())).unwrap();
        RegexBuilder::new(&text).case_insensitive(true).multi_line(true).build().unwrap()
    };
    let wire: String = requests.iter().map(|request| request.text.as_str()).collect();
    for request in &requests {
        if !request.text.contains("via: 1.1 crossfade-test") {
            wrong.push(format!("smuggled: {}", request.line));
        }
    }
    wrong.extend(
        case.forbid
            .iter()
            .filter(|text| pattern(text).is_match(&wire))
            .map(|text| format!("forbidden: {text}")),
    );
    let refused = ending.statuses.last().is_some_and(|status| *status >= 400)
        || (ending.closed && ending.statuses.is_empty());
    let arrived_as_asked = || {
        let missing = case.require.iter().filter(|text| !pattern(text).is_match(&wire));
        let mut wrong: Vec<String> = missing.map(|text| format!("missing: {text}")).collect();
        if let (Some(body), Some(first)) = (&case.body_b64, requests.first())
            && first.body != decode(body)
        {
            wrong.push(format!("the body is {:?}", String::from_utf8_lossy(&first.body)));
        }
        wrong
    };
    match case.expect {
        Expected::Reject if !refused => wrong.push(format!("not refused: {:?}", ending.statuses)),
        Expected::Reject => {}
        Expected::Normalise if refused && case.reject_ok.unwrap_or(true) => {}
        Expected::Normalise => {
            if requests.is_empty() {
                wrong.push(format!("did not arrive: {:?}", ending.statuses));
            }
            wrong.extend(arrived_as_asked());
        }
        Expected::ForwardOnce => {
            if requests.len() != most
                || ending.statuses.is_empty()
                || ending.statuses.iter().any(|s| *s >= 300)
            {
                wrong.push(format!("{} of {most} arrived, client got {:?}", requests.len(), ending.statuses));
            }
            wrong.extend(arrived_as_asked());
        }
    }
    // Somebody else's request on a fresh connection gets its own answer.
    let victim = running.ask(&format!("GET /victim/{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", case.id));
    if victim.status != 200 || !victim.text().contains("/victim/") {
        wrong.push(format!("a victim got {}: {}", victim.status, victim.text()));
    }
    wrong
}

#[test]
fn every_payload_has_one_meaning() {
    let application = recorder();
    let running = Running::before(application.address);
    let file = include_str!("../../../tests/fixtures/http-edge-cases.jsonl");
    let mut failed = Vec::new();
    let mut played = 0;
    for line in file.lines().filter(|line| !line.trim().is_empty()) {
        let case: Case = serde_json::from_str(line).unwrap();
        played += 1;
        let wrong = complaints(&case, &running, &application);
        if !wrong.is_empty() {
            failed.push(format!("{} ({}): {}", case.id, case.why, wrong.join(" | ")));
        }
    }
    assert_eq!(played, 53, "the whole file");
    assert!(failed.is_empty(), "{} of {played} failed:\n{}", failed.len(), failed.join("\n"));
}
