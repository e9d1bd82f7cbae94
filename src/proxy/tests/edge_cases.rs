//! Raw payloads with more than one reading, judged by what reached the application (SEC-19), in every condition that
//! its connections can be in.

use super::{
    figures,
    gate::{self, World},
    payloads::{self, Stage},
    recording::{Manner, Recording},
    support::{HOST, Running},
};
use crate::proxy::tests::support::PATIENCE;

/// The connections to the application.
#[derive(Clone, Copy, Debug)]
enum Pool {
    /// A fresh one for each request.
    Cold,
    /// One, kept from payload to payload: what poisons it is seen by the next.
    One,
}

impl Pool {
    fn kept(self) -> usize {
        match self {
            Self::Cold => 0,
            Self::One => 1,
        }
    }
}

const CONDITIONS: [(Pool, Manner); 4] = [
    (Pool::Cold, Manner::Keeps),
    (Pool::One, Manner::Keeps),
    (Pool::One, Manner::SaysClose),
    (Pool::One, Manner::Closes),
];

/// Waits until no client connection is left and what they caused has arrived.
pub(super) fn settle(running: &Running, recording: &Recording, kept: usize) {
    let deadline = crate::clock::Deadline::within(PATIENCE);
    while running.metrics.open_connections() > 0 {
        assert!(!deadline.has_passed(), "a client's connection outlives it");
        std::thread::park_timeout(std::time::Duration::from_micros(200));
    }
    recording.wait_for_open(kept);
}

fn report(what: &str, pool: Pool, manner: Manner, failed: &[String]) {
    figures::note(&format!(
        "edge payloads, {what}, {pool:?} pool, application {manner:?}: {}/53",
        53 - failed.len()
    ));
    assert!(failed.is_empty(), "{what}, {pool:?}, {manner:?}:\n{}", failed.join("\n"));
}

fn plain(pool: Pool, manner: Manner) {
    let recording = Recording::start(manner);
    let running = Running::with(recording.address, |_, upstream| upstream.idle_connections = pool.kept());
    let stage = Stage {
        address: running.address(),
        recording: &recording,
        host: HOST,
        auth: "",
        identity: "X-Crossfade-Assertion",
        via: "crossfade-test",
        settle: &|| settle(&running, &recording, pool.kept()),
    };
    report("nobody signed in", pool, manner, &stage.play_all());
    if matches!((pool, manner), (Pool::One, Manner::Keeps)) {
        // Each payload that is cut off in its body takes one along.
        assert!(recording.opened() < 40, "{} connections", recording.opened());
    }
}

/// Through the real gate, with the cookie of a real session.
fn signed_in(pool: Pool, manner: Manner) {
    let recording = Recording::start(manner);
    let identity = "identity: {assertion: x-auth-user, plain_headers: false}";
    let config = gate::config("cutover: 0%", identity);
    let world = World::at(recording.address, &config, |_, upstream| upstream.idle_connections = pool.kept());
    let auth = format!("Cookie: {}\r\n", world.session().0);
    let stage = Stage {
        address: world.running.address(),
        recording: &recording,
        host: HOST,
        auth: &auth,
        identity: "X-Auth-User",
        via: "crossfade-test",
        settle: &|| settle(&world.running, &recording, pool.kept()),
    };
    let mut failed = stage.play_all();
    // The payloads that need a session prove nothing without one.
    let request = format!("GET /me-too HTTP/1.1\r\nHost: {HOST}\r\n{auth}X-Auth-User: mallory\r\n\r\n");
    assert_eq!(world.running.ask(&request).status, 200);
    let (seen, _) = recording.take();
    let told = seen[0].all("x-auth-user");
    if told.len() != 1 || !told[0].starts_with("eyJ") {
        failed.push(format!("the session is not told: {told:?}"));
    }
    report("signed in", pool, manner, &failed);
}

#[test]
fn every_payload_has_one_meaning_over_cold_connections() {
    plain(Pool::Cold, Manner::Keeps);
}

#[test]
fn every_payload_has_one_meaning_over_one_kept_connection() {
    plain(Pool::One, Manner::Keeps);
}

#[test]
fn every_payload_has_one_meaning_before_an_application_that_says_close() {
    plain(Pool::One, Manner::SaysClose);
}

#[test]
fn every_payload_has_one_meaning_before_an_application_that_closes() {
    plain(Pool::One, Manner::Closes);
}

#[test]
fn every_payload_has_one_meaning_to_a_fresh_plane() {
    let mut failed = Vec::new();
    for case in payloads::all() {
        let recording = Recording::start(Manner::Keeps);
        let running = Running::before(recording.address);
        let stage = Stage {
            address: running.address(),
            recording: &recording,
            host: HOST,
            auth: "",
            identity: "X-Crossfade-Assertion",
            via: "crossfade-test",
            settle: &|| settle(&running, &recording, 8),
        };
        failed.extend(stage.complaints(&case).into_iter().map(|wrong| format!("{}: {wrong}", case.id)));
    }
    figures::note(&format!("edge payloads, a fresh plane each: {} complaints of 53 payloads", failed.len()));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_payload_has_one_meaning_for_somebody_who_is_signed_in() {
    let needs_session = payloads::all().iter().filter(|case| case.profile.as_deref() == Some("auth")).count();
    assert_eq!(needs_session, 3);
    std::thread::scope(|scope| {
        for (pool, manner) in CONDITIONS {
            scope.spawn(move || signed_in(pool, manner));
        }
    });
}
