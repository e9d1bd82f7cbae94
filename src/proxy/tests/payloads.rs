//! The payload file of SEC-19 and its verdicts, judged by what reached the application.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::RegexBuilder;
use serde::Deserialize;

use super::{
    judge,
    recording::{Manner, Recording},
};

/// A line of the payload file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) id: String,
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
    pub(super) profile: Option<String>,
    pub(super) why: String,
    #[expect(dead_code, reason = "for readers of the file")]
    src: Option<String>,
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

/// Where the payloads are played, and what stands for their placeholders.
pub(super) struct Stage<'a> {
    pub(super) address: SocketAddr,
    pub(super) recording: &'a Recording,
    pub(super) host: &'a str,
    /// Whole header lines of a session, perhaps none.
    pub(super) auth: &'a str,
    /// The configured name of the identity field.
    pub(super) identity: &'a str,
    pub(super) via: &'a str,
    /// Waits until the proxy has done with every client connection.
    pub(super) settle: &'a dyn Fn(),
}

/// All payloads of the file.
pub(super) fn all() -> Vec<Case> {
    let file = include_str!("../../../tests/fixtures/http-edge-cases.jsonl");
    let cases = file.lines().filter(|line| !line.trim().is_empty());
    let cases: Vec<Case> = cases.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cases.len(), 53, "the whole file");
    cases
}

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

impl Case {
    /// What is sent, piece by piece, each after a delay in milliseconds; the placeholders still in it.
    pub(super) fn segments(&self) -> Vec<(Vec<u8>, u64)> {
        match (&self.raw_b64, &self.segments) {
            (Some(raw), None) => vec![(decode(raw), 0)],
            (None, Some(segments)) => segments.iter().map(|(bytes, delay)| (decode(bytes), *delay)).collect(),
            _ => panic!("{}: either raw_b64 or segments", self.id),
        }
    }
}

impl Stage<'_> {
    pub(super) fn filled_in(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (mark, text) in [
            ("@@HOST@@", self.host),
            ("@@AUTH@@", self.auth),
            ("@@P@@", "/t"),
            ("@@IDH@@", self.identity),
            ("@@IDH_US@@", &self.identity.replace('-', "_")),
        ] {
            while let Some(at) = bytes.windows(mark.len()).position(|window| window == mark.as_bytes()) {
                bytes.splice(at..at + mark.len(), text.bytes());
            }
        }
        bytes
    }

    fn pattern(&self, text: &str) -> regex::Regex {
        let text = String::from_utf8(self.filled_in(text.as_bytes())).unwrap();
        RegexBuilder::new(&text).case_insensitive(true).multi_line(true).build().unwrap()
    }

    /// Plays all payloads one after another; gives what went wrong, a line for each that failed.
    pub(super) fn play_all(&self) -> Vec<String> {
        let mut failed = Vec::new();
        for case in all() {
            let wrong = self.complaints(&case);
            if !wrong.is_empty() {
                failed.push(format!("{} ({}): {}", case.id, case.why, wrong.join(" | ")));
            }
        }
        failed
    }

    /// What is wrong with how a case went; empty when it passed.
    pub(super) fn complaints(&self, case: &Case) -> Vec<String> {
        let segments: Vec<(Vec<u8>, u64)> =
            case.segments().iter().map(|(bytes, delay)| (self.filled_in(bytes), *delay)).collect();
        if self.recording.manner == Manner::Closes {
            // Otherwise the last connection's end, still on its way, would be met by this case (REL-34).
            self.recording.wait_for_open(0);
            thread::park_timeout(Duration::from_millis(20));
            let idle = b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
            assert_eq!(play(self.address, &[(idle.to_vec(), 0)]).statuses, [421], "its thread has run since");
        }
        let ending = play(self.address, &segments);
        (self.settle)();
        let (requests, faults) = self.recording.take();
        let mut wrong: Vec<String> =
            faults.into_iter().map(|fault| format!("malformed upstream: {fault}")).collect();
        wrong.extend(self.unfit(&requests));
        wrong.extend(self.verdict(case, &requests, &ending));
        wrong.extend(self.victim(&case.id));
        wrong
    }

    /// What no request may show, whatever was sent.
    pub(super) fn unfit(&self, requests: &[judge::Seen]) -> Vec<String> {
        let mut wrong = Vec::new();
        for request in requests {
            if !request.all("via").iter().any(|via| via.ends_with(self.via)) {
                wrong.push(format!("smuggled: {}", request.line));
            }
            wrong.extend(judge::foreign_field(request, self.identity, !self.auth.is_empty()));
        }
        wrong
    }

    fn verdict(&self, case: &Case, requests: &[judge::Seen], ending: &Ending) -> Vec<String> {
        let mut wrong = Vec::new();
        let most = case.count.unwrap_or(usize::from(case.expect != Expected::Reject));
        if requests.len() > most {
            wrong.push(format!("{} requests upstream, at most {most} expected", requests.len()));
        }
        let wire: String = requests.iter().map(|request| request.text.as_str()).collect();
        wrong.extend(
            case.forbid
                .iter()
                .filter(|text| self.pattern(text).is_match(&wire))
                .map(|text| format!("forbidden: {text}")),
        );
        let arrived_as_asked = || {
            let missing = case.require.iter().filter(|text| !self.pattern(text).is_match(&wire));
            let mut wrong: Vec<String> = missing.map(|text| format!("missing: {text}")).collect();
            if let (Some(body), Some(first)) = (&case.body_b64, requests.first())
                && first.body != decode(body)
            {
                wrong.push(format!("the body is {:?}", String::from_utf8_lossy(&first.body)));
            }
            wrong
        };
        let (refused, statuses) = (ending.is_refusal(), &ending.statuses);
        match case.expect {
            Expected::Reject if !refused => wrong.push(format!("not refused: {statuses:?}")),
            Expected::Reject => {}
            Expected::Normalise if refused && case.reject_ok.unwrap_or(true) => {}
            Expected::Normalise => {
                if requests.is_empty() {
                    wrong.push(format!("did not arrive: {statuses:?}"));
                }
                wrong.extend(arrived_as_asked());
            }
            // What is not idempotent may meet the application's end of the connection, and is never sent twice
            // (REL-34).
            Expected::ForwardOnce
                if self.recording.manner == Manner::Closes
                    && most > 1
                    && requests.len() < most
                    && statuses.last() == Some(&502) => {}
            Expected::ForwardOnce => {
                if requests.len() != most || statuses.is_empty() || statuses.iter().any(|s| *s >= 300) {
                    wrong.push(format!("{} of {most} arrived, client got {statuses:?}", requests.len()));
                }
                wrong.extend(arrived_as_asked());
            }
        }
        wrong
    }

    /// Somebody else's request on a fresh connection gets its own answer, and nothing else arrives.
    pub(super) fn victim(&self, name: &str) -> Option<String> {
        let line = format!("GET /victim/{name} HTTP/1.1");
        let request = format!("{line}\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host);
        let ending = play(self.address, &[(request.into_bytes(), 0)]);
        let (requests, faults) = self.recording.take();
        let alone = matches!(&requests[..], [request] if request.line == line) && faults.is_empty();
        let answered = ending.statuses == [200] && String::from_utf8_lossy(&ending.got).ends_with(&line);
        (!alone || !answered).then(|| {
            let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
            format!("a victim got {}; {lines:?} arrived, {faults:?}", String::from_utf8_lossy(&ending.got))
        })
    }
}

/// What the client got.
pub(super) struct Ending {
    statuses: Vec<u16>,
    got: Vec<u8>,
    closed: bool,
}

impl Ending {
    fn is_refusal(&self) -> bool {
        self.statuses.last().is_some_and(|status| *status >= 400) || (self.closed && self.statuses.is_empty())
    }
}

fn play(address: SocketAddr, segments: &[(Vec<u8>, u64)]) -> Ending {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for (bytes, delay) in segments {
        if *delay > 0 {
            thread::park_timeout(Duration::from_millis(*delay));
        }
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
        if !statuses(&got).is_empty() {
            wait = Duration::from_millis(150);
        }
    };
    Ending { statuses: statuses(&got), got, closed }
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
