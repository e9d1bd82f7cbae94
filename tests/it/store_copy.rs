//! An embedded store moved to Redis (`crossfade store copy`): people, sessions and the dial are there as they were,
//! and no half of a store is ever served.

mod file;
mod rights;
mod standing;
mod unreadable;

use std::{path::Path, thread};

use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        crossfade::{self, Crossfade},
        draft::in_place_of_the_file,
        http::{self, Answer, Visitor},
        process::{self, Process},
        redis::{self, Redis},
        scene::{Cast, ORGANIZATION, PASSWORD, Person, SECRETS, Scene},
        scratch::Scratch,
        wait,
    },
};

const TOKEN: &str = "canary-operator-token-4Mz8Qw2Lk7Tr1Ys9";

/// Somebody whom only Scalekit knows.
const NEWT: &str = "newt@example.com";

fn with_operator(configuration: &str) -> String {
    let tokens = "  tokens: [{name: on-call, role: operator, token: {env: OPERATOR_TOKEN}}]\n";
    configuration.replace("admin:\n", &format!("admin:\n{tokens}"))
}

fn environment() -> Vec<(&'static str, &'static str)> {
    let more = [("REDIS_PASSWORD", redis::PASSWORD), ("OPERATOR_TOKEN", TOKEN)];
    SECRETS.iter().copied().chain(more).collect()
}

fn serve(configuration: &str) -> Crossfade {
    Crossfade::serve_with(configuration, &environment())
}

/// A command to its end: exit code and both streams.
fn command(at: &Crossfade, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = at.admin.to_string();
    let arguments = [arguments, &["--admin", &admin]].concat();
    crossfade::crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", TOKEN)])
}

fn done(at: &Crossfade, arguments: &[&str]) -> String {
    let (exit, out, said) = command(at, arguments);
    assert_eq!(exit, Some(0), "{arguments:?}: {said}");
    out
}

fn copy(from: &Path, configuration: &str) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let config = scratch.write("crossfade.yaml", configuration);
    let (from, config) = (from.to_str().unwrap(), config.to_str().unwrap());
    let arguments = ["store", "copy", "--from", from, "--config", config, "--json"];
    crossfade::crossfade_with(&arguments, &environment())
}

/// A copy that has to succeed: its summary.
fn copied(from: &Path, configuration: &str) -> Value {
    let (exit, out, said) = copy(from, configuration);
    assert_eq!(exit, Some(0), "{said}");
    let line: Value = serde_json::from_str(&out).unwrap();
    line["summary"].clone()
}

/// A copy that has to be refused, with this exit code, for this reason, and with a fix.
fn refused(exit: i32, why: &str, from: &Path, configuration: &str) {
    let (code, out, said) = copy(from, configuration);
    assert!(code == Some(exit) && out.is_empty(), "{code:?}: {out}{said}");
    assert!(said.contains(why) && said.contains("\n  fix: "), "{why}: {said}");
    assert!(!said.contains("canary"), "{said}");
}

fn signed_in(visitor: &Visitor) -> bool {
    let answer = visitor.get("/.crossfade/session");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["signed_in"] == true
}

fn comes_back(scene: &Scene, visitor: &Visitor, handed_over: &Answer, email: &str) {
    let back = scene.confirm_mailbox(visitor, handed_over, email);
    assert_eq!(back.status, 303, "{email}: {}", back.text());
    assert!(signed_in(visitor), "{email}");
}

fn moves(scene: &Scene, email: &str) -> Visitor {
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{email}: {} {}", handed_over.status, handed_over.text());
    comes_back(scene, &visitor, &handed_over, email);
    visitor
}

fn stays(scene: &Scene, email: &str) {
    let answer = scene.sign_in(&scene.visitor(), email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{email}: {} {}", answer.status, answer.text());
}

/// Killed in the middle of a first sign-in, when Scalekit has the user and the ledger does not know it yet.
fn strand(scene: &Scene, crossfade: &mut Crossfade, person: &Person) {
    crossfade.set("CROSSFADE_FAILPOINT", Some("after:create"));
    crossfade.start_again();
    let request = scene.filled_in(&scene.visitor(), &person.email, PASSWORD);
    let victim = thread::spawn(move || http::fails(request));
    wait::until("the user is created", || {
        crossfade.process.stderr().contains("failpoint reached").then_some(())
    });
    crossfade.kill();
    victim.join().unwrap();
}

/// How the dial stands, without what is counted anew all the time.
fn dial(at: &Crossfade) -> Value {
    let status: Value = serde_json::from_str(&done(at, &["rollout", "status", "--json"])).unwrap();
    json!([status["version"], status["in_force"], status["record"]])
}

fn states(at: &Crossfade) -> Vec<(String, String)> {
    let list: Value = serde_json::from_str(&done(at, &["users", "list", "--all", "--json"])).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let people = list["people"].as_array().unwrap().iter();
    people.map(|person| (word(&person["key"]["id"]), word(&person["state"]))).collect()
}

fn state_of(at: &Crossfade, id: &str) -> String {
    states(at).into_iter().find(|(known, _)| known == id).unwrap_or_else(|| panic!("{id} has a row")).1
}

#[test]
fn people_in_all_states_and_a_live_session_are_served_from_redis_as_they_were() {
    let [ann, ben, cleo, dora, eve, finn, rose] =
        ["ann", "ben", "cleo", "dora", "eve", "finn", "rose"].map(Person::new);
    let unverified = |who: &Person| {
        json!({ "id": who.id, "email": who.email, "email_verified": false,
        "password_hash": "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW", "mfa": false })
    };
    let of_the_application = json!({ "id": dora.id, "email": dora.email, "email_verified": false,
        "password": PASSWORD });
    let foreign = json!({ "id": "usr_170000000000000008", "email": cleo.email, "external_id": "somebody else",
        "email_verified": true, "memberships": [{ "organization_id": ORGANIZATION }] });
    let scene = Scene::set(&Cast {
        people: [&ann, &ben, &cleo, &eve, &finn, &rose].map(Clone::clone).to_vec(),
        more_people: vec![of_the_application],
        more_lines: vec![unverified(&dora).to_string()],
        users: vec![foreign, json!({ "id": "usr_170000000000000009", "email": NEWT })],
        ..Cast::default()
    });
    let embedded = with_operator(scene.configuration());
    let mut crossfade = serve(&embedded);
    let ann_at = moves(&scene, &ann.email);
    moves(&scene, &rose.email);
    done(&crossfade, &["users", "tombstone", &rose.email, "--yes"]);
    stays(&scene, &cleo.email);
    stays(&scene, &dora.email);
    // Somebody who comes by their mailbox alone is born new.
    let newt_at = scene.visitor();
    let begun = newt_at.get("/.crossfade/initiate");
    comes_back(&scene, &newt_at, &begun, NEWT);

    // Under way at Scalekit while the store moves, and the dial is turned.
    let finn_at = scene.visitor();
    done(&crossfade, &["rollout", "set", "100%", "--migrate", "100%", "--reason", "the last wave"]);
    let jwks = crossfade.visitor().get("/.crossfade/jwks.json").text();
    let finn_under_way = scene.sign_in(&finn_at, &finn.email, PASSWORD);
    assert!(scene.is_handed_over(&finn_under_way), "{}", finn_under_way.text());
    let dial_before = dial(&crossfade);
    // The file is left as a power cut leaves it, with a person who is half created.
    strand(&scene, &mut crossfade, &eve);

    let redis = Redis::start();
    let shared = in_place_of_the_file(&redis.section(), &embedded);
    let summary = copied(&scene.store_file(), &shared);
    let rows = file::rows(&scene.store_file());
    let mut there: Vec<Value> = redis.ledger();
    there.sort_by_key(|row| row["key"].to_string());
    assert!(rows.len() == 7 && there == rows, "{there:#?}\n{rows:#?}");
    for (name, count) in [("people", rows.len()), ("sessions", 2), ("flows", 1), ("left_out", 0)] {
        assert_eq!(summary[name], count, "{name}: {summary}");
    }

    let crossfade = serve(&shared);
    assert_eq!(dial(&crossfade), dial_before, "nobody turned the dial");
    assert_eq!(crossfade.visitor().get("/.crossfade/jwks.json").text(), jwks);
    assert!(signed_in(&ann_at) && signed_in(&newt_at), "sessions live on");
    assert!(ann_at.get("/").text().contains(&ann.email));
    comes_back(&scene, &finn_at, &finn_under_way, &finn.email);
    for (id, state) in [("ann", "done"), ("rose", "tombstone"), ("cleo", "conflict"), ("dora", "ineligible")]
    {
        assert_eq!(state_of(&crossfade, id), state, "{id}");
    }
    stays(&scene, &rose.email);
    stays(&scene, &cleo.email);
    stays(&scene, &dora.email);
    for person in [&ann, &ben, &eve] {
        moves(&scene, &person.email);
    }
    for person in [&ann, &ben, &eve, &finn, &rose] {
        let users = scene.users_with(&person.email);
        assert_eq!(users.len(), 1, "{}", person.id);
        assert_eq!(users[0]["external_id"], person.external_id().as_str());
    }
    assert_eq!((scene.users_with(NEWT).len(), scene.users_with(&cleo.email).len()), (1, 1));
    // Whoever is found by the person's names is signed out everywhere.
    done(&crossfade, &["users", "tombstone", &ann.email, "--yes"]);
    wait::until("ann is signed out", || (!signed_in(&ann_at)).then_some(()));

    // Once finished, it is not done again over what has happened since.
    drop(crossfade);
    let again = copied(&scene.store_file(), &shared);
    assert_eq!(again["finished_before"], true);
    assert_eq!(state_of(&serve(&shared), "ann"), "tombstone");
}

#[test]
fn a_copy_that_cannot_be_right_is_refused_and_changes_nothing() {
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let (embedded, file) = (with_operator(scene.configuration()), scene.store_file());
    let redis = Redis::start();
    let shared = in_place_of_the_file(&redis.section(), &embedded);
    refused(2, "there is none", &file, &shared);
    let crossfade = serve(&embedded);
    moves(&scene, &ann.email);
    refused(1, "in use by another process", &file, &shared);
    drop(crossfade);

    refused(2, "names an embedded store", &file, &embedded);
    let salt = shared.replace("ROLLOUT_SALT", "FORCE_KEY");
    refused(
        2,
        "rollout.salt",
        &file,
        &salt.replacen("force_key: {env: FORCE_KEY}", "force_key: {env: ROLLOUT_SALT}", 1),
    );
    refused(
        2,
        "session.keys",
        &file,
        &shared
            .replace("keys: [{env: SESSION_KEY}, {env: OLD_SESSION_KEY}]", "keys: [{env: OLD_SESSION_KEY}]"),
    );
    let nobody = shared.replace(&redis.section(), "redis: {url: 'redis://127.0.0.1:9/1'}");
    refused(3, "store.redis.url: redis://127.0.0.1:9", &file, &nobody);
    assert!(redis.ledger().is_empty());

    // A Redis that another installation uses, or used.
    let other = Scene::set(&Cast { people: vec![ben.clone()], ..Cast::default() });
    let theirs = in_place_of_the_file(&redis.section(), &with_operator(other.configuration()));
    let crossfade = serve(&theirs);
    moves(&other, &ben.email);
    refused(1, "holds another ledger (1 people)", &file, &shared);
    drop(crossfade);
    refused(1, "holds another ledger (1 people)", &file, &shared);
    let crossfade = serve(&theirs);
    assert_eq!(states(&crossfade), [("ben".to_owned(), "done".to_owned())]);
}

/// Begins a copy and kills it when the first people are there.
fn broken_off(from: &Path, configuration: &str) {
    let scratch = Scratch::new();
    let mut command = process::command(env!("CARGO_BIN_EXE_crossfade"));
    command.args(["store", "copy", "--from"]).arg(from);
    command.arg("--config").arg(scratch.write("crossfade.yaml", configuration));
    command.env_remove("CROSSFADE_TEST_PARTS").env_remove("CROSSFADE_TESTS").envs(environment());
    let mut copying = Process::start("crossfade store copy", command);
    wait::until("the first people are copied", || {
        copying.stderr().contains("\"step\":\"people\"").then_some(())
    });
    copying.kill();
}

#[test]
fn a_copy_that_broke_off_is_not_served_and_is_finished_by_the_same_command() {
    let people = if figures::long() { 20_000 } else { 4_000 };
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let (embedded, file) = (with_operator(scene.configuration()), scene.store_file());
    let mut crossfade = serve(&embedded);
    let (ann_at, ben_at) = (moves(&scene, &ann.email), moves(&scene, &ben.email));
    crossfade.terminate();
    file::multiply(&file, people);
    let old = Scratch::new();
    let other_file = old.path().join("other.redb");
    std::fs::copy(&file, &other_file).unwrap();

    let redis = Redis::start();
    let shared = in_place_of_the_file(&redis.section(), &embedded);
    broken_off(&file, &shared);
    let there = redis.ledger().len();
    assert!(there > 0 && there < people, "broken off in the middle: {there}");
    let refusal = Crossfade::refusal(&shared, &environment());
    assert!(refusal.contains("is not finished; finish it: crossfade store copy --from"), "{refusal}");
    refused(1, "another copy was made into it", &other_file, &shared);

    // Served from the file meanwhile: what ended there does not come back.
    crossfade.start_again();
    assert!(signed_in(&ann_at) && signed_in(&ben_at));
    let cookie = ben_at.cookie("crossfade").unwrap();
    assert_eq!(ben_at.get("/.crossfade/logout").status, 303);
    crossfade.terminate();
    let summary = copied(&file, &shared);
    assert_eq!(
        (&summary["resumed"], &summary["people"], &summary["sessions"]),
        (&json!(true), &json!(people), &json!(1))
    );
    assert_eq!(redis.ledger().len(), people);
    let seconds = summary["seconds"].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let a_second = people as f64 / seconds;
    figures::note(&format!(
        "store copy: {people} people written, read back and compared in {seconds:.1} s: {a_second:.0} a second"
    ));

    let _serving = serve(&shared);
    assert!(signed_in(&ann_at));
    ben_at.set_cookie("crossfade", &cookie);
    assert!(!signed_in(&ben_at), "a session that ended is over");
    moves(&scene, &ben.email);
    assert_eq!(scene.users_with(&ben.email).len(), 1);
}
