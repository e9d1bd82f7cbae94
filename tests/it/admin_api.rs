//! The admin API of the built program: who gets in, how refusals are said, people listed and removed, and its own
//! document as Schemathesis reads it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    admin_tokens::{OPERATOR, VIEWER, with_tokens},
    crossfade::{Crossfade, crossfade_with},
    http::{Answer, Visitor, block_on},
    parts::parts,
    process,
    scene::{Cast, PASSWORD, PASSWORD_HASH, Person, Scene},
    wait,
};

fn people(count: usize) -> Vec<Person> {
    (0..count).map(|number| Person::new(&format!("person-{number:03}"))).collect()
}

fn scene(people: &[Person]) -> Scene {
    Scene::set(&Cast { people: people.to_vec(), ..Cast::default() })
}

/// Starts Crossfade with a viewer's and an operator's token.
fn start(scene: &Scene, environment: &[(&str, &str)]) -> Crossfade {
    with_tokens(scene, environment)
}

fn request(visitor: &Visitor, method: Method, path: &str, token: &str) -> RequestBuilder {
    let request = visitor.request(method, &format!("/api/v1{path}"));
    if token.is_empty() { request } else { request.bearer_auth(token) }
}

fn get(visitor: &Visitor, path: &str, token: &str) -> Answer {
    visitor.send(request(visitor, Method::GET, path, token))
}

fn post(visitor: &Visitor, path: &str, token: &str, body: &Value) -> Answer {
    visitor.send(request(visitor, Method::POST, path, token).json(body))
}

/// Status and code of a refusal, whose shape is checked.
fn refusal(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let body = answer.json();
    let error = body["error"].as_object().unwrap();
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(error.keys().all(|key| ["code", "message", "fix"].contains(&key.as_str())), "{body}");
    (answer.status, error["code"].as_str().unwrap().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn without_tokens_there_is_no_api() {
    let scene = scene(&people(1));
    let crossfade = scene.start(&[]);
    let admin = crossfade.admin_visitor();
    for path in ["/people", "/openapi.json", "/nothing"] {
        let answer = get(&admin, path, OPERATOR);
        assert_eq!(refusal(&answer), refused(404, "not_configured"));
        assert!(answer.text().contains("admin.tokens"), "{}", answer.text());
    }
}

#[test]
fn a_viewer_reads_an_operator_changes_and_nobody_else_learns_anything() {
    let ann = Person::new("ann");
    let scene = scene(std::slice::from_ref(&ann));
    let crossfade = start(&scene, &[]);
    let admin = crossfade.admin_visitor();
    let about = json!({ "person": { "name": ann.email } });
    for path in ["/people", "/people/counts", "/dependencies", "/audit", "/openapi.json"] {
        assert_eq!(get(&admin, path, VIEWER).status, 200, "{path}");
        assert_eq!(get(&admin, path, OPERATOR).status, 200, "{path}");
        assert_eq!(refusal(&get(&admin, path, "")), refused(401, "unauthorized"));
    }
    for path in [
        "/people/find",
        "/people/retry",
        "/people/forget-name",
        "/people/tombstone",
        "/people/unlock",
        "/sessions/end",
        "/sessions/end-all",
    ] {
        assert_eq!(refusal(&post(&admin, path, VIEWER, &about)), refused(403, "forbidden"), "{path}");
    }
    // A cookie is nobody's token, and the scheme is not guessed.
    admin.set_cookie("authorization", OPERATOR);
    admin.set_cookie("token", OPERATOR);
    assert_eq!(get(&admin, "/people", "").status, 401);
    admin.forget_cookies();
    let basic = request(&admin, Method::GET, "/people", "").basic_auth("operator", Some(OPERATOR));
    assert_eq!(admin.send(basic).status, 401);

    // Wrong tokens: the same answer as none, and soon they have to wait. Whoever has a right one never does, also at
    // the address from which the wrong ones come.
    let without = get(&admin, "/nothing", "");
    for _ in 0..10 {
        let wrong = get(&admin, "/people", "wrong-token-wrong-token-wrong-token");
        assert_eq!((wrong.status, wrong.body), (401, without.body.clone()));
    }
    for _ in 0..2 {
        let limited = get(&admin, "/people", "wrong-token-wrong-token-wrong-token");
        assert_eq!(refusal(&limited), refused(429, "too_many_wrong_tokens"));
        let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(get(&admin, "/people", "").status, 401);
        for token in [VIEWER, OPERATOR] {
            assert_eq!(get(&admin, "/people", token).status, 200);
        }
    }
    assert_eq!(admin.get("/readyz").status, 200, "probes are not the API");
    crossfade.assert_never_said(&[VIEWER, OPERATOR, "wrong-token"]);
}

#[test]
fn every_refusal_is_json_and_says_what_is_wrong() {
    let scene = scene(&people(1));
    let crossfade = start(&scene, &[]);
    let admin = crossfade.admin_visitor();
    let send = |method: Method, path: &str, kind: &str, body: Vec<u8>| {
        let request = request(&admin, method, path, OPERATOR).header("content-type", kind).body(body);
        refusal(&admin.send(request))
    };
    let json = "application/json";
    let find = |body: &str| send(Method::POST, "/people/find", json, body.as_bytes().to_vec());
    assert_eq!(refusal(&get(&admin, "/nothing", OPERATOR)), refused(404, "not_found"));
    assert_eq!(refusal(&get(&admin, "/../nothing", OPERATOR)), refused(404, "not_found"));
    let method = admin.send(request(&admin, Method::DELETE, "/people/find", OPERATOR));
    assert_eq!(refusal(&method), refused(405, "method_not_allowed"));
    assert_eq!(method.header("allow"), Some("POST"));
    assert_eq!(
        send(Method::POST, "/people/find", "text/plain", b"{}".to_vec()),
        refused(415, "unsupported_media_type")
    );
    assert_eq!(send(Method::POST, "/people/find", json, vec![b' '; 65 * 1024]), refused(413, "too_large"));
    assert_eq!(find(""), refused(400, "malformed_json"));
    assert_eq!(find("{"), refused(400, "malformed_json"));
    for wrong in [
        "{}",
        "[]",
        "null",
        r#"[{"name": "ann@example.com"}]"#,
        r#"{"person": {}}"#,
        r#"{"person": {"name": "ann@example.com"}, "extra": 1}"#,
        r#"{"person": {"name": "ann@example.com", "key": {"source": "app", "id": "1"}}}"#,
        r#"{"person": {"name": ""}}"#,
        r#"{"person": {"name": 7}}"#,
        r#"{"person": {"key": {"source": "App", "id": "1"}}}"#,
        r#"{"person": {"key": {"source": "app", "id": "1", "extra": 1}}}"#,
        r#"{"person": {"name": "a"}, "person": {"name": "b"}}"#,
    ] {
        assert_eq!(find(wrong), refused(422, "invalid_body"), "{wrong}");
    }
    for query in [
        "?extra=1",
        "?limit=0",
        "?limit=501",
        "?limit=many",
        "?state=gone",
        "?source=APP",
        "?cursor=%00",
        "?updated_since=yesterday",
        "?limit=1&limit=2",
        "?pinned=perhaps",
    ] {
        assert_eq!(
            refusal(&get(&admin, &format!("/people{query}"), VIEWER)),
            refused(400, "invalid_query"),
            "{query}"
        );
    }
    assert_eq!(find(r#"{"person": {"name": "nobody@example.com"}}"#), refused(404, "not_found"));
}

#[test]
fn people_are_listed_in_parts_that_a_cursor_joins() {
    let people = people(300);
    let scene = scene(&people);
    // However slow the machine is, everybody moves with their first sign-in.
    let patient = [
        ("CROSSFADE_ROLLOUT__CUTOVER", "0%"),
        ("CROSSFADE_ROLLOUT__MIGRATE", "100%"),
        ("CROSSFADE_MIGRATION__LEASE", "5m"),
        ("CROSSFADE_MIGRATION__LEGACY_BUDGET", "1m"),
        ("CROSSFADE_MIGRATION__SCALEKIT_BUDGET", "1m"),
        ("CROSSFADE_MIGRATION__OUTCOME_BUDGET", "1m"),
        ("CROSSFADE_MIGRATION__LEGACY_LANE_BUDGET", "1m"),
    ];
    let crossfade = start(&scene, &patient);
    let visitor = scene.visitor();
    for people in people.chunks(4) {
        let sign_ins = people.iter().map(|person| {
            let body = json!({ "user": { "email": person.email }, "password": PASSWORD });
            let request = scene.post(&visitor, "/api/login").json(&body);
            async move { request.send().await }
        });
        let answers = block_on(futures_util::future::join_all(sign_ins));
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 200)));
    }
    let admin = crossfade.admin_visitor();
    let counts = wait::until("everybody has moved", || {
        let counts = get(&admin, "/people/counts", VIEWER).json();
        (counts["by_state"]["done"] == 300).then_some(counts)
    });
    assert_eq!(
        (&counts["all"], &counts["pinned"], &counts["unpinned"]),
        (&json!(300), &json!(0), &json!(300))
    );

    let (mut ids, mut cursor, mut parts) = (Vec::new(), String::new(), 0);
    loop {
        let answer = get(&admin, &format!("/people?state=done&limit=77{cursor}"), VIEWER);
        assert!(!answer.text().contains('@'), "nobody's address is in a list");
        let part = answer.json();
        for person in part["people"].as_array().unwrap() {
            assert_eq!((&person["state"], &person["key"]["source"]), (&json!("done"), &json!("app")));
            ids.push(person["key"]["id"].as_str().unwrap().to_owned());
        }
        parts += 1;
        let Some(next) = part["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<String> = people.iter().map(|person| person.id.clone()).collect();
    assert_eq!((ids, parts), (expected, 4));
    let count = |query: &str| get(&admin, query, VIEWER).json()["people"].as_array().unwrap().len();
    assert_eq!(count("/people?limit=500&source=okta"), 0);
    assert_eq!(count("/people?limit=500&state=conflict"), 0);
    assert_eq!(count("/people?limit=500&pinned=false&updated_since=2020-01-01T00:00:00Z"), 300);
    assert_eq!(count("/people?limit=500&updated_before=2020-01-01T00:00:00Z"), 0);

    // Names are shown to operators who ask for one person.
    let by_key = "/person?source=app&id=person-007";
    assert!(!get(&admin, by_key, VIEWER).text().contains('@'));
    let shown = get(&admin, by_key, OPERATOR).json();
    assert_eq!(shown["person"]["names"]["email"], "person-007@example.com");
    let found =
        post(&admin, "/people/find", OPERATOR, &json!({ "person": { "name": "Person-007@example.com" } }));
    assert_eq!(found.json()["person"]["key"], shown["person"]["key"]);
    let moments: Vec<&str> = shown["person"]["moments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(moments, ["proved", "create_sent", "updated"], "{shown}");
    assert!(
        shown["events"].as_array().unwrap().iter().any(|event| event["fields"]["event"] == "migration_moved")
    );
    assert_eq!(shown["events_of"]["this_replica_only"], true);
}

#[test]
fn a_removed_person_is_out_at_once_and_no_password_brings_them_back() {
    let (ann, bob, eve) = (Person::new("ann"), Person::new("bob"), Person::new("eve"));
    let scene = scene(&[ann.clone(), bob.clone(), eve.clone()]);
    let crossfade = start(&scene, &[]);
    let admin = crossfade.admin_visitor();
    let signed_in = |person: &Person| {
        let visitor = scene.visitor();
        let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
        let back = scene.confirm_mailbox(&visitor, &handed_over, &person.email);
        assert_eq!(back.status, 303, "{}", back.text());
        visitor
    };
    let is_in = |visitor: &Visitor| visitor.get("/.crossfade/session").json()["signed_in"] == true;
    let (of_ann, of_bob) = (signed_in(&ann), signed_in(&bob));
    assert!(is_in(&of_ann) && is_in(&of_bob));

    let tombstone = |person: &Person| {
        let answer =
            post(&admin, "/people/tombstone", OPERATOR, &json!({ "person": { "name": person.email } }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let removed = tombstone(&ann);
    assert_eq!((&removed["person"]["state"], &removed["sessions_ended"]), (&json!("tombstone"), &json!(1)));
    assert!(!is_in(&of_ann), "out with the next request");
    assert!(is_in(&of_bob), "and nobody else");
    assert_eq!(tombstone(&ann)["changed"], false, "a second call finds nothing to do");

    // Whoever never signed in here is found by the legacy chain.
    assert_eq!(tombstone(&eve)["changed"], true);
    let users = scene.users_with(&eve.email).len();
    for person in [&ann, &eve] {
        let visitor = scene.visitor();
        let answer = scene.sign_in(&visitor, &person.email, PASSWORD);
        assert!(!scene.is_handed_over(&answer), "{}: {}", answer.status, answer.text());
        assert!(!is_in(&visitor));
        let found =
            post(&admin, "/people/find", OPERATOR, &json!({ "person": { "name": person.email } })).json();
        assert_eq!(found["person"]["state"], "tombstone");
    }
    assert_eq!((users, scene.users_with(&eve.email).len()), (0, 0));

    let ended = post(&admin, "/sessions/end-all", OPERATOR, &json!({ "whose": "everybody" }));
    assert_eq!(ended.json()["sessions_ended"], 1);
    wait::within(Duration::from_secs(2), || (!is_in(&of_bob)).then_some(())).expect("everybody is out");
    let audit = get(&admin, "/audit?limit=1000", VIEWER).json();
    let changes: Vec<&Value> = audit["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["fields"]["event"] == "admin_changed")
        .map(|event| &event["fields"])
        .collect();
    let whats: Vec<&str> = changes.iter().rev().map(|event| event["admin.what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["tombstone", "tombstone", "tombstone", "end_all_sessions"]);
    let made: Vec<bool> = changes.iter().rev().map(|event| event["admin.changed"] == true).collect();
    assert_eq!(made, [true, false, true, true], "also who asked for what was done already");
    assert!(changes.iter().all(|event| event["admin.who"] == "on-call"), "{changes:?}");
    crossfade.assert_never_said(&[VIEWER, OPERATOR, ann.email.as_str()]);
}

#[test]
fn tokens_are_changed_without_a_restart() {
    let scene = scene(&people(1));
    let crossfade = start(&scene, &[]);
    let admin = crossfade.admin_visitor();
    assert_eq!(get(&admin, "/people", VIEWER).status, 200);
    crossfade.take(scene.configuration());
    assert_eq!(refusal(&get(&admin, "/people", VIEWER)), refused(404, "not_configured"));
}

#[test]
fn dependencies_are_told_as_they_answer() {
    let ann = Person::new("ann");
    let scene = scene(std::slice::from_ref(&ann));
    let crossfade = start(&scene, &[]);
    let admin = crossfade.admin_visitor();
    let told = || {
        let answer = get(&admin, "/dependencies", VIEWER).json();
        let told = answer["dependencies"].as_array().unwrap().clone();
        move |name: &str| told.iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(told()("store")["answers"], "yes");
    assert_eq!(told()("legacy app")["answers"], "not_asked");
    scene.sign_in(&scene.visitor(), &ann.email, PASSWORD);
    assert_eq!(told()("scalekit")["answers"], "yes");
    assert_eq!(told()("legacy app")["answers"], "yes");
}

/// Of Schemathesis' checks all but one are on. `positive_data_acceptance` is off: a cursor or a time before 1970 fits
/// its schema and is still none, and whoever is not there is answered with 404. Refusals of wrong tokens stay on, with
/// a limit that its own wrong tokens do not reach.
#[test]
fn the_api_keeps_what_its_document_promises() {
    let program =
        parts().schemathesis.as_ref().expect("the list of parts names schemathesis: run tests/install");
    let people = people(3);
    let scene = scene(&people);
    let crossfade = start(&scene, &[("CROSSFADE_ADMIN__WRONG_TOKENS__TRIES", "1000000")]);
    for person in &people {
        scene.sign_in(&scene.visitor(), &person.email, PASSWORD);
    }
    let mut command = process::command(program);
    command.current_dir(crossfade.scratch().path());
    command.args(["run", &format!("http://{}/api/v1/openapi.json", crossfade.admin)]);
    command.args(["--header", &format!("Authorization: Bearer {OPERATOR}")]);
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"]);
    command.args([
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "8",
        "--seed",
        "1",
        "--no-shrink",
    ]);
    command.args(["--continue-on-failure", "--warnings", "off", "--workers", "1"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `crossfade users …` against an instance with the operator's token.
fn users(crossfade: &Crossfade, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = crossfade.admin.to_string();
    let arguments: Vec<&str> = ["users"].into_iter().chain(arguments.iter().copied()).collect();
    let environment = [("CROSSFADE_ADMIN_URL", admin.as_str()), ("CROSSFADE_ADMIN_TOKEN", OPERATOR)];
    crossfade_with(&arguments, &environment)
}

#[test]
fn people_are_looked_at_and_removed_from_a_terminal() {
    let people = people(3);
    let scene = scene(&people);
    let crossfade = start(&scene, &[]);
    for person in &people {
        scene.sign_in(&scene.visitor(), &person.email, PASSWORD);
    }
    let (code, table, _) = users(&crossfade, &["list", "--state", "done"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((code, lines.len()), (Some(0), 4), "{table}");
    assert!(lines[0].starts_with("KEY") && lines[1].starts_with("app:person-000  done"), "{table}");
    let (code, part, note) = users(&crossfade, &["list", "--limit", "1"]);
    assert_eq!((code, part.lines().count()), (Some(0), 2));
    assert!(note.contains("--cursor "), "{note}");
    let (_, all, _) = users(&crossfade, &["list", "--limit", "1", "--all", "--json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["people"].as_array().unwrap().len(), 3);

    let (code, shown, _) = users(&crossfade, &["show", "person-001@example.com"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("app:person-001") && shown.contains("person-001@example.com"), "{shown}");
    let (code, _, said) = users(&crossfade, &["show", "nobody@example.com"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, _, said) = users(&crossfade, &["show", "--key", "no-colon"]);
    assert_eq!(code, Some(2), "{said}");

    let (code, shown, _) = users(&crossfade, &["show", "--key", "app:person-001", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &shown["person"]["external_id"]), (Some(0), &json!("app:person-001")));

    // Nobody is removed by mistake.
    let (code, _, said) = users(&crossfade, &["tombstone", "--key", "app:person-001"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--yes"), "{said}");
    let (code, removed, _) = users(&crossfade, &["tombstone", "--key", "app:person-001", "--yes"]);
    assert_eq!(code, Some(0));
    assert!(removed.starts_with("app:person-001 is removed"), "{removed}");
    let (code, _, said) = users(&crossfade, &["retry", "--key", "app:person-001"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("not_set_aside"), "{said}");
    // Nor is a name taken from a removed person, or an address from whoever has it at Scalekit.
    for (name, code) in [
        ("person-001@example.com", "removed"),
        ("person-002@example.com", "their_address"),
        ("nobody", "not_found"),
    ] {
        let (exit, _, said) = users(&crossfade, &["forget-name", name]);
        assert!(exit == Some(1) && said.contains(code), "{name}: {said}");
    }
    let nowhere = [("CROSSFADE_ADMIN_URL", "127.0.0.1:9"), ("CROSSFADE_ADMIN_TOKEN", OPERATOR)];
    assert_eq!(crossfade_with(&["users", "list"], &nowhere).0, Some(3));
    let wrong =
        [("CROSSFADE_ADMIN_URL", crossfade.admin.to_string()), ("CROSSFADE_ADMIN_TOKEN", "x".repeat(40))];
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(crossfade_with(&["users", "list"], &wrong).0, Some(1));
}

#[test]
fn one_person_is_pinned_held_and_let_go_from_a_terminal() {
    let people = people(2);
    let scene = scene(&people);
    let crossfade = start(&scene, &[("CROSSFADE_ROLLOUT__CUTOVER", "0%")]);
    let (ann, bob) = (people[0].email.as_str(), people[1].email.as_str());
    let takes_the_new_lane =
        |email: &str| scene.is_handed_over(&scene.sign_in(&scene.visitor(), email, PASSWORD));
    assert!(!takes_the_new_lane(ann));
    let (code, said, note) = users(&crossfade, &["pin", ann, "--reason", "first tester"]);
    assert_eq!(code, Some(0), "{note}");
    assert!(said.contains("pinned to the new lane (dial version 1)"), "{said}");
    assert!(said.contains("lane    new\nreason  allow_rule: "), "{said}");
    assert!(takes_the_new_lane(ann) && !takes_the_new_lane(bob), "the one who was named, and nobody else");
    assert_eq!(users(&crossfade, &["hold", ann]).0, Some(0));
    assert!(!takes_the_new_lane(ann));
    let (code, said, _) = users(&crossfade, &["list", "--named"]);
    assert_eq!((code, said.trim_end()), (Some(0), "LANE    NAME\nlegacy  person-000@example.com"));
    let (code, said, _) = users(&crossfade, &["release", ann, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["version"]), (Some(0), &json!(3)));
    assert!(!takes_the_new_lane(ann));

    // What it comes to is told, not what was asked for.
    assert_eq!(users(&crossfade, &["tombstone", bob, "--yes"]).0, Some(0));
    let (code, said, _) = users(&crossfade, &["pin", bob]);
    assert_eq!(code, Some(0));
    assert!(said.contains("lane    legacy\nreason  tombstone: "), "{said}");

    // Who was named, by whom, and what stood there before: each on record, and nobody by name.
    let audit = get(&crossfade.admin_visitor(), "/audit?limit=1000", VIEWER).json();
    let events = audit["events"].as_array().unwrap().iter().rev().map(|event| &event["fields"]);
    let named: Vec<&Value> = events.filter(|event| event["event"] == "rollout_changed").collect();
    let told = |event: &Value| ["rollout.person.old", "rollout.person.new"].map(|name| event[name].clone());
    assert_eq!(told(named[0]), [json!("none"), json!("pin")]);
    assert_eq!(told(named[1]), [json!("pin"), json!("hold")]);
    assert_eq!(told(named[2]), [json!("hold"), json!("none")]);
    assert!(named.iter().all(|event| event["rollout.who"] == "on-call"), "{named:?}");
    let subjects: Vec<&str> = named.iter().map(|event| event["login.subject"].as_str().unwrap()).collect();
    let of_ann =
        &get(&crossfade.admin_visitor(), "/person?source=app&id=person-000", VIEWER).json()["person"];
    assert_eq!(subjects[..3], [of_ann["subject"].as_str().unwrap(); 3]);
    assert_ne!(subjects[3], subjects[0]);
    let viewer = get(&crossfade.admin_visitor(), "/rollout/people", VIEWER);
    assert_eq!(refusal(&viewer), refused(403, "forbidden"));
    crossfade.assert_never_said(&[ann, bob]);
}

#[test]
fn whoever_was_set_aside_is_tried_again_from_a_terminal() {
    let aside = json!({ "id": "zoe", "email": "zoe@example.com", "email_verified": true, "password_hash": PASSWORD_HASH,
        "given_name": "Zoe", "family_name": "Quay", "mfa": true });
    let of_the_application = json!({ "id": "zoe", "email": "zoe@example.com", "email_verified": true,
        "password": PASSWORD, "given_name": "Zoe", "family_name": "Quay" });
    let scene = Scene::set(&Cast {
        more_people: vec![of_the_application],
        more_lines: vec![aside.to_string()],
        ..Cast::default()
    });
    let crossfade = start(&scene, &[]);
    scene.sign_in(&scene.visitor(), "zoe@example.com", PASSWORD);
    let state = || {
        let shown = users(&crossfade, &["show", "zoe@example.com", "--json"]).1;
        serde_json::from_str::<Value>(&shown).unwrap()["person"]["state"].as_str().unwrap().to_owned()
    };
    wait::until("the person is set aside", || (state() == "ineligible").then_some(()));
    let (code, said, note) = users(&crossfade, &["retry", "zoe@example.com"]);
    assert_eq!((code, said.trim_end()), (Some(0), "app:zoe is judged anew at their next sign-in"), "{note}");
    assert_eq!(state(), "none");
}

/// All values of an answer that are no container, as text.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.values().flat_map(leaves).collect(),
        Value::Array(values) => values.iter().flat_map(leaves).collect(),
        Value::Null => Vec::new(),
        leaf => vec![leaf.to_string()],
    }
}

#[test]
fn a_viewer_cannot_tell_which_row_is_a_named_persons() {
    let people = people(4);
    let scene = scene(&people);
    let crossfade = start(&scene, &[]);
    // Two have crossed, and two exist only.
    for (number, person) in people.iter().enumerate() {
        let visitor = scene.visitor();
        let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
        if number < 2 {
            assert_eq!(scene.confirm_mailbox(&visitor, &handed_over, &person.email).status, 303);
        }
    }
    let admin = crossfade.admin_visitor();
    let list = get(&admin, "/people", VIEWER).json()["people"].as_array().unwrap().clone();
    assert_eq!(list.len(), 4);
    for (number, person) in people.iter().enumerate() {
        let asked = json!({ "name": person.email });
        let told = |token| post(&admin, "/rollout/explain", token, &asked).json();
        let (operator, viewer) = (told(OPERATOR), told(VIEWER));
        assert_eq!(operator["row"]["id"], json!(person.id));
        assert!(operator["bucket"].is_u64() && operator["row"]["state"] == "done", "{operator}");
        for name in ["lane", "reason", "creates"] {
            assert_eq!(viewer[name], operator[name], "{name}");
        }
        assert_eq!(viewer["row"], json!({ "crossed": number < 2 }), "{viewer}");
        let known = leaves(&viewer);
        for (at, one) in known.iter().enumerate() {
            for other in &known[at + 1..] {
                let has_both = |entry: &&Value| {
                    let leaves = leaves(entry);
                    leaves.contains(one) && leaves.contains(other)
                };
                assert_ne!(list.iter().filter(has_both).count(), 1, "{one} and {other} name a row: {viewer}");
            }
        }
        // Nor does one row after the other.
        let row = get(&admin, &format!("/person?source=app&id={}", person.id), VIEWER).json();
        assert!(row["person"]["bucket"].is_null() && row["person"]["crossed_at"].is_null(), "{row}");
        let bucket = operator["bucket"].to_string();
        assert!(!viewer.to_string().contains(&format!("bucket {bucket} ")), "{viewer}");
        assert!(!row["person"]["moments"].to_string().contains("\"crossed\""), "{row}");
    }
    let of_operator = get(&admin, "/people", OPERATOR).json();
    assert!(
        of_operator["people"][0]["bucket"].is_u64() && of_operator["people"][0]["crossed_at"].is_string()
    );
}
