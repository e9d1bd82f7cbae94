//! Mutations of the payloads: whatever is sent, what arrives is well-formed and was meant (SEC-01 … SEC-16).
//!
//! Everything follows from the seed that is printed: the same seed plays the same bytes.

mod mutate;

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Mutex,
    time::Duration,
};

use self::mutate::{Sample, Sampler};
use super::{
    edge_cases::settle,
    figures,
    gate::{self, World},
    judge::Seen,
    payloads::Stage,
    reading::{self, Meant},
    recording::{Manner, Recording},
    support::{HOST, Running},
};

const SEED: u64 = 0x00c0_55fa_de00_0001;

/// Half of them with the gate and a session.
const WORKERS: u64 = 8;

/// How long an answer may take that is surely due; beyond it the client leaves and the proxy has to cope.
const DUE: Duration = Duration::from_millis(400);
/// How long a client stays to see whether more comes than was due.
const MORE: Duration = Duration::from_millis(4);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    played: u64,
    meant: usize,
    arrived: usize,
    answers: usize,
    /// Samples that hold no certain request at all.
    senseless: u64,
}

#[derive(Default)]
struct Outcome {
    tally: Tally,
    findings: Vec<String>,
}

#[test]
fn no_mutation_of_a_payload_smuggles_or_breaks_anything() {
    let all = if figures::long() { 100_000 } else { 6_000 };
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let outcome = &outcome;
            scope.spawn(move || {
                let numbers = (0..all).filter(|number| number % WORKERS == worker);
                if worker % 2 == 0 { plain(numbers, outcome) } else { signed_in(numbers, outcome) }
            });
        }
    });
    let Outcome { tally, findings } = outcome.into_inner().unwrap();
    figures::note(&format!(
        "mutations, seed {SEED:#x}: {} played ({} senseless), {} requests meant, {} arrived, {} answers, {} findings",
        tally.played,
        tally.senseless,
        tally.meant,
        tally.arrived,
        tally.answers,
        findings.len()
    ));
    assert!(
        findings.is_empty(),
        "{}",
        findings.iter().take(10).fold(String::new(), |all, one| all + one + "\n\n")
    );
    assert_eq!(tally.played, all);
    assert!(tally.arrived as u64 > all / 8, "too few arrive to prove anything");
}

fn plain(numbers: impl Iterator<Item = u64>, outcome: &Mutex<Outcome>) {
    let recording = Recording::start(Manner::Keeps);
    let running = Running::with(recording.address, |_, upstream| upstream.idle_connections = 1);
    let stage = Stage {
        address: running.address(),
        recording: &recording,
        host: HOST,
        auth: "",
        identity: "X-Crossfade-Assertion",
        via: "crossfade-test",
        settle: &|| settle(&running, &recording, 1),
    };
    play_all(&stage, &running, numbers, outcome);
}

fn signed_in(numbers: impl Iterator<Item = u64>, outcome: &Mutex<Outcome>) {
    let recording = Recording::start(Manner::Keeps);
    let config = gate::config("cutover: 0%", "");
    let world = World::at(recording.address, &config, |_, upstream| upstream.idle_connections = 1);
    let auth = format!("Cookie: {}\r\n", world.session().0);
    let stage = Stage {
        address: world.running.address(),
        recording: &recording,
        host: HOST,
        auth: &auth,
        identity: "X-Crossfade-Assertion",
        via: "crossfade-test",
        settle: &|| settle(&world.running, &recording, 1),
    };
    play_all(&stage, &world.running, numbers, outcome);
}

fn play_all(
    stage: &Stage<'_>,
    running: &Running,
    numbers: impl Iterator<Item = u64>,
    outcome: &Mutex<Outcome>,
) {
    let sampler = Sampler::new(stage);
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    for number in numbers {
        let sample = sampler.sample(SEED, number);
        for wrong in play(stage, &sample, number, &mut tally) {
            findings.push(format!("{number}: {wrong}\n{}", shown(&sample)));
        }
        if !running.plane.is_whole() {
            findings.push(format!("{number}: the plane is gone\n{}", shown(&sample)));
            break;
        }
    }
    let panics = running.counted("request_panics");
    if panics.values().any(|count| *count > 0) {
        findings.push(format!("requests panicked: {panics:?}"));
    }
    let mut outcome = outcome.lock().unwrap();
    outcome.findings.extend(findings);
    let all = &mut outcome.tally;
    all.played += tally.played;
    all.meant += tally.meant;
    all.arrived += tally.arrived;
    all.answers += tally.answers;
    all.senseless += tally.senseless;
}

fn shown(sample: &Sample) -> String {
    let mut text = String::new();
    for piece in &sample.pieces {
        let _ = writeln!(text, "  {:?}", String::from_utf8_lossy(piece));
    }
    text
}

fn play(stage: &Stage<'_>, sample: &Sample, number: u64, tally: &mut Tally) -> Vec<String> {
    let meant = reading::read(&sample.pieces.concat());
    let answers = converse(stage.address, &sample.pieces, meant.len());
    (stage.settle)();
    let (requests, faults) = stage.recording.take();
    tally.played += 1;
    tally.meant += meant.len();
    tally.arrived += requests.len();
    tally.answers += answers;
    tally.senseless += u64::from(meant.is_empty());
    let mut wrong: Vec<String> =
        faults.into_iter().map(|fault| format!("malformed upstream: {fault}")).collect();
    wrong.extend(stage.unfit(&requests));
    wrong.extend(unmeant(&requests, &meant));
    for request in &requests {
        if let Some(token) = &sample.token
            && request.text.contains(token)
        {
            wrong.push(format!("the body became a head: {}", request.line));
        }
    }
    if answers > meant.len() + 1 {
        wrong.push(format!("{answers} answers to {} requests", meant.len()));
    }
    wrong.extend(stage.victim(&number.to_string()));
    wrong
}

/// What arrived must have been meant, in this order.
fn unmeant(requests: &[Seen], meant: &[Meant]) -> Option<String> {
    let mut left = meant.iter();
    for request in requests {
        let is_this = |meant: &Meant| {
            request.line == format!("{} {} HTTP/1.1", meant.method, meant.target)
                && request.body == meant.body
        };
        if !left.any(is_this) {
            let body = String::from_utf8_lossy(&request.body);
            return Some(format!("not meant: {} with {body:?}; meant were {meant:?}", request.line));
        }
    }
    None
}

/// Sends everything and counts the final answers; leaves when more than `due` have had their time to come.
fn converse(address: SocketAddr, pieces: &[Vec<u8>], due: usize) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            // Long enough for the proxy to have read the last one, most times.
            std::thread::park_timeout(Duration::from_micros(300));
        }
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut got = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let wait = if answers(&got) < due { DUE } else { MORE };
        stream.set_read_timeout(Some(wait)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    answers(&got)
}

/// Final answers. Nothing else that a client gets here has a status line's form.
fn answers(got: &[u8]) -> usize {
    let is_final = |window: &&[u8]| {
        window.starts_with(b"HTTP/1.1 ")
            && (b'2'..=b'5').contains(&window[9])
            && window[10..12].iter().all(u8::is_ascii_digit)
            && window[12] == b' '
    };
    got.windows(13).filter(is_final).count()
}

#[test]
fn what_was_not_meant_is_found() {
    let meant = reading::read(
        b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nokGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n",
    );
    let seen = |text: &str| {
        let text = text.replace("/1.1\r\n", "/1.1\r\nHost: a\r\n");
        unmeant(&super::judge::read(text.as_bytes()).requests, &meant).is_some()
    };
    let (a, b) = ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nok", "GET /b HTTP/1.1\r\n\r\n");
    let (c, other) = ("GET /c HTTP/1.1\r\n\r\n", "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nno");
    for (arrived, wrong) in [
        (vec![a, b, c], false),
        (vec![a, c], false),
        (vec![], false),
        (vec![b, a], true),
        (vec![a, a], true),
        (vec![other], true),
        (vec![a, "GET /d HTTP/1.1\r\n\r\n"], true),
    ] {
        assert_eq!(seen(&arrived.concat()), wrong, "{arrived:?}");
    }
    assert_eq!(
        answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1 \r\nHTTP/1.1 502 Bad"),
        2
    );
}
