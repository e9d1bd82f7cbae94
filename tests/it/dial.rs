//! The dial of running processes: turned by the commands, seen by all replicas, kept whatever the store does.

#[cfg(feature = "openfeature")]
mod flags;
mod reloads;
mod rolled_back;
mod there_and_back;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        crossfade::{self, Crossfade},
        draft::in_place_of_the_file,
        http::Answer,
        ports,
        redis::{self, Redis},
        scene::{Cast, PASSWORD, Person, Scene},
        wait,
    },
};

const OPERATOR: &str = "canary-operator-token-7Hq2Lw9Xz4Rt6Yb1";
const VIEWER: &str = "canary-viewer-token-3Nf8Kd5Vc0Mj7Pq2aa";

const TOKENS: [(&str, &str); 2] = [("OPERATOR_TOKEN", OPERATOR), ("VIEWER_TOKEN", VIEWER)];

/// Nobody crosses or moves until somebody turns the dial.
const AT_ZERO: [(&str, &str); 2] =
    [("CROSSFADE_ROLLOUT__CUTOVER", "0%"), ("CROSSFADE_ROLLOUT__MIGRATE", "0%")];

/// REL-09.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// A configuration with an admin API.
fn with_api(configuration: &str) -> String {
    let tokens = "  tokens:
    - {name: on-call, role: operator, token: {env: OPERATOR_TOKEN}}
    - {name: dashboard, role: viewer, token: {env: VIEWER_TOKEN}}
";
    configuration.replace("  listen: 127.0.0.1:0\n", &format!("  listen: 127.0.0.1:0\n{tokens}"))
}

/// `crossfade rollout …` against a running process: exit code and both streams.
fn rollout(at: &Crossfade, arguments: &[&str]) -> (Option<i32>, String, String) {
    rollout_as(OPERATOR, at, arguments)
}

fn rollout_as(token: &str, at: &Crossfade, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = at.admin.to_string();
    let arguments = [&["rollout"], arguments, &["--admin", &admin]].concat();
    crossfade::crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", token)])
}

/// The same, which has to succeed.
fn turned(at: &Crossfade, arguments: &[&str]) -> String {
    let (exit, out, said) = rollout(at, arguments);
    assert_eq!(exit, Some(0), "{arguments:?}: {said}");
    out
}

/// What a call of the API answers.
fn api(at: &Crossfade, method: Method, path: &str, body: &Value) -> Answer {
    let visitor = at.admin_visitor();
    let has_body = method != Method::GET;
    let request = visitor.request(method, &format!("/api/v1/{path}")).bearer_auth(OPERATOR);
    visitor.send(if has_body { request.json(body) } else { request })
}

fn status(at: &Crossfade) -> Value {
    let answer = api(at, Method::GET, "rollout", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The lane and the reason of a sign-in by this name.
fn explained(at: &Crossfade, name: &str) -> (String, String) {
    let answer = api(at, Method::POST, "rollout/explain", &json!({ "name": name }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let explained = answer.json();
    let word = |name: &str| explained[name].as_str().unwrap().to_owned();
    (word("lane"), word("reason"))
}

/// Three processes on one Redis. All are one site; browsers reach each by its own address.
struct Trio {
    scene: Scene,
    redis: Redis,
    replicas: Vec<Crossfade>,
}

impl Trio {
    fn start(cast: &Cast, environment: &[(&str, &str)]) -> Self {
        let scene = Scene::set(cast);
        let redis = Redis::start();
        let environment = [environment, &AT_ZERO, &TOKENS, &[("REDIS_PASSWORD", redis::PASSWORD)]].concat();
        let shared = in_place_of_the_file(&redis.section(), scene.configuration());
        let first = scene.public();
        let places = [first, local(), local()];
        let hosts = places.map(|place| format!("'{place}'")).join(", ");
        let shared = with_api(&shared)
            .replace(&format!("allowed_hosts: [{first}]"), &format!("allowed_hosts: [{hosts}]"));
        let replicas = places.iter().map(|place| {
            let own = shared.replace(&format!("listen: {first}"), &format!("listen: {place}"));
            Scene::start_as(&own, &environment)
        });
        let replicas = replicas.collect();
        Self { scene, redis, replicas }
    }

    /// Waits until every replica says so, each asked by a thread of its own, and gives how long the last one took.
    fn all_within(&self, from: Instant, says: impl Fn(&Crossfade) -> bool + Sync) -> Duration {
        thread::scope(|scope| {
            let asked: Vec<_> = self
                .replicas
                .iter()
                .map(|replica| {
                    let says = &says;
                    scope.spawn(move || {
                        wait::until("a replica follows", || says(replica).then_some(()));
                        from.elapsed()
                    })
                })
                .collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).max().unwrap()
        })
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::free()))
}

#[expect(clippy::disallowed_methods, reason = "a test measures as a stranger does")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_set_and_a_rollback_are_seen_by_all_replicas_within_two_seconds_under_load() {
    let ann = Person::new("ann");
    let trio = Trio::start(&Cast { people: vec![ann.clone()], ..Cast::default() }, &[]);
    let (over, served) = (AtomicBool::new(false), AtomicU32::new(0));
    let rounds = if figures::long() { 50 } else { 4 };
    let mut took = Vec::new();
    let began = now();
    thread::scope(|scope| {
        for replica in trio.replicas.iter().chain(&trio.replicas) {
            let (over, served) = (&over, &served);
            scope.spawn(move || {
                let visitor = replica.visitor();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(visitor.get("/login").status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // The load ends also when a turn fails, so that its failure is told.
        let turns = scope.spawn(|| {
            let mut took = Vec::new();
            for round in 0..rounds {
                let at = &trio.replicas[round % trio.replicas.len()];
                for (method, path, mut body, lane) in [
                    (Method::PUT, "rollout", json!({ "cutover": "100%", "rollback": "keep" }), "new"),
                    (Method::POST, "rollout/rollback", json!({ "mode": "legacy" }), "legacy"),
                ] {
                    body["version"] = status(at)["version"].clone();
                    let from = now();
                    let answer = api(at, method, path, &body);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    took.push(trio.all_within(from, |replica| explained(replica, &ann.email).0 == lane));
                    if round == 0 {
                        for replica in &trio.replicas {
                            let answer = trio.scene.sign_in(&replica.visitor(), &ann.email, PASSWORD);
                            let is_new = trio.scene.is_handed_over(&answer);
                            let is_old = Scene::is_in_the_application(&answer);
                            assert_eq!(
                                (is_new, is_old),
                                (lane == "new", lane == "legacy"),
                                "{}",
                                answer.text()
                            );
                        }
                    }
                }
            }
            took
        });
        let ended = turns.join();
        over.store(true, Ordering::Relaxed);
        took = ended.unwrap();
    });
    let per_second = f64::from(served.load(Ordering::Relaxed)) / began.elapsed().as_secs_f64();
    took.sort_unstable();
    figures::note(&format!(
        "dial: {} turns under {per_second:.0} requests/s, from sending to the last of three replicas: median {} ms, \
         worst {} ms",
        took.len(),
        took[took.len() / 2].as_millis(),
        took.last().unwrap().as_millis(),
    ));
    assert!(*took.last().unwrap() < SEEN_WITHIN, "{took:?}");
}

#[test]
fn a_lost_store_changes_no_percentage() {
    let mut trio = Trio::start(&Cast { people: vec![Person::new("ann")], ..Cast::default() }, &[]);
    turned(&trio.replicas[0], &["set", "25%", "--migrate", "40%", "--reason", "first wave"]);
    trio.all_within(now(), |replica| status(replica)["version"] == 1);

    // Away: the last known value, and no turn.
    trio.redis.process.kill();
    trio.all_within(now(), |replica| status(replica)["store_answers"] == false);
    for replica in &trio.replicas {
        let metrics = replica.admin_visitor().get("/metrics").text();
        assert!(metrics.contains("crossfade_rollout_followed 0\n"), "{metrics}");
        let state = status(replica);
        assert_eq!((&state["in_force"]["cutover"], &state["version"]), (&json!("25%"), &json!(1)));
        let (exit, _, said) = rollout(replica, &["set", "50%"]);
        assert_eq!(exit, Some(3), "{said}");
        assert!(said.contains("the store cannot be asked now"), "{said}");
    }
    // Emptied: whoever knows it first writes it back, and a replica that begins anew reads it.
    trio.redis.start_empty();
    wait::until("the record is written back", || {
        let written = |replica: &Crossfade| replica.process.said().contains("was written back");
        trio.replicas.iter().any(written).then_some(())
    });
    trio.replicas[2].start_again();
    trio.all_within(now(), |replica| status(replica)["store_answers"] == true);
    for replica in &trio.replicas {
        let state = status(replica);
        assert_eq!(
            (&state["in_force"]["cutover"], &state["in_force"]["migrate"], &state["version"]),
            (&json!("25%"), &json!("40%"), &json!(1))
        );
        assert_eq!(state["record"]["reason"], "first wave");
    }
    // And the next turn goes on from there.
    turned(&trio.replicas[2], &["set", "50%"]);
    trio.all_within(now(), |replica| status(replica)["in_force"]["cutover"] == "50%");
}

#[test]
fn a_record_that_cannot_be_read_changes_no_percentage_and_is_written_over_by_a_command() {
    let mut trio = Trio::start(&Cast { people: vec![Person::new("ann")], ..Cast::default() }, &[]);
    turned(&trio.replicas[0], &["set", "25%"]);
    trio.all_within(now(), |replica| status(replica)["version"] == 1);

    // Spoilt in place: whoever knows it puts it right.
    trio.redis.put_dial("1", "{");
    wait::until("the record is put right", || {
        let mended = |replica: &Crossfade| replica.process.said().contains("was written over it");
        trio.replicas.iter().any(mended).then_some(())
    });
    trio.all_within(now(), |replica| status(replica)["store_answers"] == true);

    // A newer release turned it: the last known one counts, and the start value where nobody knows one.
    trio.redis
        .put_dial("5", r#"{"format":2,"version":5,"cutover":{"by":"hour"},"people":["ann@example.com"]}"#);
    trio.all_within(now(), |replica| status(replica)["unreadable"]["version"] == 5);
    trio.replicas[2].start_again();
    for (replica, cutover) in trio.replicas.iter().zip(["25%", "25%", "0%"]) {
        let state = status(replica);
        assert_eq!((&state["in_force"]["cutover"], &state["version"]), (&json!(cutover), &json!(5)));
        assert_eq!(state["unreadable"]["is_newer"], true);
    }
    let fresh = &trio.replicas[2];
    let shown = turned(fresh, &["status"]);
    assert!(shown.contains("version 5 was written by a newer Crossfade"), "{shown}");
    let (exit, out, said) = rollout(fresh, &["set", "50%"]);
    assert_eq!((exit, out.as_str()), (Some(1), ""), "{said}");
    for part in
        ["unreadable_record", "start value of the configuration file: cutover 0%", "--overwrite-unreadable"]
    {
        assert!(said.contains(part), "{said}");
    }
    let refused = api(fresh, Method::POST, "rollout/pause", &json!({ "version": 5 }));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("unreadable_record")));
    assert_eq!(refused.json()["current"]["version"], 5);
    let (exit, _, said) = rollout(fresh, &["set", "50%", "--overwrite-unreadable", "--if-version", "4"]);
    assert_eq!(exit, Some(1));
    assert!(said.contains("stale_version") && said.contains("is version 5"), "{said}");

    turned(fresh, &["set", "50%", "--overwrite-unreadable", "--reason", "back to the old release"]);
    trio.all_within(now(), |replica| {
        let state = status(replica);
        state["in_force"]["cutover"] == "50%" && state["version"] == 6 && state["unreadable"].is_null()
    });
    for replica in &trio.replicas {
        replica.assert_never_said(&["ann@example.com"]);
    }
}

#[test]
fn the_commands_turn_the_dial_say_who_was_faster_and_why_somebody_takes_a_lane() {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let one = Scene::start_as(&with_api(scene.configuration()), &[&AT_ZERO[..], &TOKENS].concat());
    assert!(turned(&one, &["status"]).contains("nobody has turned the dial yet (version 0)"));

    let set = turned(&one, &["set", "100%", "--reason", "everybody"]);
    assert!(set.contains("cutover") && set.contains("by on-call: everybody"), "{set}");
    assert_eq!(explained(&one, "ann@example.com"), ("new".into(), "within_cutover".into()));
    let metrics = one.admin_visitor().get("/metrics").text();
    assert!(metrics.contains("crossfade_rollout_cutover_ratio 1.0\n"), "{metrics}");

    // Somebody else looked before that.
    let (exit, out, said) = rollout(&one, &["set", "50%", "--if-version", "0"]);
    assert_eq!((exit, out.as_str()), (Some(1), ""), "{said}");
    assert!(said.contains("stale_version") && said.contains("on-call turned it to cutover 100%"), "{said}");
    let stale = api(&one, Method::PUT, "rollout", &json!({ "version": 0, "cutover": "50%" }));
    assert_eq!(stale.status, 409);
    assert_eq!(stale.json()["current"]["in_force"]["cutover"], "100%");

    turned(&one, &["pause"]);
    assert_eq!(explained(&one, "ann@example.com"), ("legacy".into(), "paused".into()));
    let metrics = one.admin_visitor().get("/metrics").text();
    for gauge in ["cutover_ratio 1.0", "paused 1", "rollback_legacy 0", "version 2", "followed 1"] {
        assert!(metrics.contains(&format!("crossfade_rollout_{gauge}\n")), "{gauge}: {metrics}");
    }
    let signed_in = scene.sign_in(&one.visitor(), "ann@example.com", PASSWORD);
    assert!(Scene::is_in_the_application(&signed_in), "{}", signed_in.text());
    assert_eq!(scene.users_with("ann@example.com").len(), 0, "nobody is created meanwhile");
    turned(&one, &["resume"]);
    let why = turned(&one, &["explain", "ann@example.com"]);
    assert!(why.contains("lane          new") && why.contains("within_cutover: bucket "), "{why}");
    turned(&one, &["rollback", "--mode", "legacy"]);
    assert_eq!(explained(&one, "ann@example.com"), ("legacy".into(), "beyond_cutover".into()));
    let metrics = one.admin_visitor().get("/metrics").text();
    assert!(metrics.contains("crossfade_rollout_rollback_legacy 1\n"), "{metrics}");

    // One person, whatever the dial says; going back to legacy would create nobody for it.
    turned(&one, &["rollback", "--mode", "keep"]);
    for (rule, lane, reason) in
        [("pin", "new", "allow_rule"), ("hold", "legacy", "deny_rule"), ("none", "legacy", "beyond_cutover")]
    {
        let version = &status(&one)["version"];
        let named = json!({ "version": version, "name": " Ann@Example.com", "rule": rule });
        assert_eq!(api(&one, Method::POST, "rollout/people", &named).status, 200);
        assert_eq!(explained(&one, "ann@example.com"), (lane.into(), reason.into()));
    }

    // Who may not, and what cannot be meant.
    let (exit, _, said) = rollout_as(VIEWER, &one, &["pause"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(rollout_as(VIEWER, &one, &["status"]).0 == Some(0));
    assert_eq!(rollout(&one, &["set", "101%"]).0, Some(2));
    assert_eq!(rollout(&one, &["explain", "  "]).0, Some(1));
    let (exit, _, said) = crossfade::crossfade(&["rollout", "status"]);
    assert_eq!(exit, Some(2));
    assert!(said.contains("--token-file"), "{said}");
    let nowhere = local().to_string();
    let nobody = crossfade::crossfade_with(
        &["rollout", "status", "--admin", &nowhere],
        &[("CROSSFADE_ADMIN_TOKEN", OPERATOR)],
    );
    assert_eq!(nobody.0, Some(3), "{}", nobody.2);

    // Eight turns were made, and each is on record once with who made it.
    let said = one.process.said();
    let events = said.lines().filter(|line| line.contains("\"event\":\"rollout_changed\""));
    let by: Vec<bool> = events.map(|line| line.contains("\"rollout.who\":\"on-call\"")).collect();
    assert_eq!(by, [true; 8]);
    one.assert_never_said(&[OPERATOR, VIEWER]);
}

#[test]
fn a_reload_does_not_undo_what_was_set_and_a_file_that_rules_is_not_overruled() {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let configuration = with_api(scene.configuration()).replace("cutover: 100%", "cutover: 1%");
    let mut one = Scene::start_as(&configuration, &TOKENS);
    turned(&one, &["set", "25%"]);
    one.take(&configuration.replace("cutover: 1%", "cutover: 7%"));
    let state = status(&one);
    let values = |state: &Value| {
        (state["in_force"]["cutover"].clone(), state["file"]["cutover"].clone(), state["differs"].clone())
    };
    assert_eq!(values(&state), (json!("25%"), json!("7%"), json!(true)));
    assert!(one.process.said().contains("in force is the one of the store"), "the log says which counts");
    assert!(turned(&one, &["status"]).contains("the file says something else and is not in force"));

    one.take(&configuration.replace("cutover: 1%", "source: file\n  cutover: 7%"));
    assert_eq!(values(&status(&one)), (json!("7%"), json!("7%"), json!(true)));
    assert!(one.process.said().contains("in force is the one of the file"), "the log says which counts");
    let (exit, _, said) = rollout(&one, &["set", "50%"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("file_rules") && said.contains("rollout.source: store"), "{said}");

    // The record is kept: without the file's rule it counts again, also after a restart.
    one.take(&configuration);
    one.start_again();
    assert_eq!(values(&status(&one)), (json!("25%"), json!("1%"), json!(true)));
}
