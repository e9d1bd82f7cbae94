//! Bad answers from stores, a bad export and a bad configuration: nobody is told a wrong password, nobody is
//! created twice, and what is wrong is named.

use serde_json::{Value, json};

use crate::support::{
    crossfade::crossfade_with,
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    wait,
};

/// Everything that can come back in place of a good answer.
fn garbage() -> Vec<Value> {
    vec![
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 20_000_000 }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 7000 }),
        json!({ "kind": "status", "status": 400 }),
        json!({ "kind": "status", "status": 403 }),
        json!({ "kind": "status", "status": 404 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "rate_limited" }),
    ]
}

fn at(path: &str, method: &str, mut fault: Value) -> Value {
    fault["path"] = path.into();
    fault["method"] = method.into();
    fault
}

#[test]
fn an_okta_that_answers_garbage_is_never_a_wrong_password() {
    let person = |number: usize, door: &str| {
        json!({ "id": format!("00u{door}{number}"), "login": format!("{door}{number}@okta-people.example"),
            "password": PASSWORD, "first_name": "Ann", "last_name": "Alder", "profile": { "emailVerified": true } })
    };
    let faults = garbage();
    let okta = (0..faults.len()).flat_map(|number| [person(number, "authn"), person(number, "users")]);
    let scene =
        Scene::set(&Cast { people: vec![Person::new("ann")], okta: okta.collect(), ..Cast::default() });
    let _crossfade = scene.start(&[]);
    for (number, fault) in faults.into_iter().enumerate() {
        for (door, path, method) in [("authn", "/api/v1/authn", "POST"), ("users", "/api/v1/users", "GET")] {
            let email = format!("{door}{number}@okta-people.example");
            scene.okta.set_faults(&at(path, method, fault.clone()));
            let answer = scene.sign_in(&scene.visitor(), &email, PASSWORD);
            let rejected = answer.header("location") == Some("/login?error=credentials");
            assert!(!rejected, "{fault} at {path} passes for a wrong password");
            if door == "authn" {
                assert_eq!(answer.status, 503, "{fault} at {path}");
                assert!(answer.header("retry-after").is_some(), "{fault}: a wait is named");
            }
            assert!(!scene.is_handed_over(&answer), "{fault} at {path} let somebody in");
            assert_eq!(scene.users_with(&email), Vec::<Value>::new(), "{fault} at {path}");
            scene.okta.clear_faults();
        }
    }
    // And back again, all of them can sign in.
    let answer = wait::within(wait::PATIENCE, || {
        let answer = scene.sign_in(&scene.visitor(), "authn0@okta-people.example", PASSWORD);
        scene.is_handed_over(&answer).then_some(answer)
    });
    assert!(answer.is_some(), "Okta is well again and nobody gets in");
}

#[test]
fn a_scalekit_that_answers_garbage_creates_nobody_twice() {
    let doors = [("create", "/api/v1/organizations/", "POST"), ("look", "/api/v1/users", "GET")];
    let faults = garbage();
    let people: Vec<Person> = (0..faults.len())
        .flat_map(|number| doors.map(|(door, _, _)| Person::new(&format!("{door}-{number}"))))
        .collect();
    let scene = Scene::set(&Cast { people: people.clone(), ..Cast::default() });
    let _crossfade = scene.start(&[]);
    let mut people = people.iter();
    for fault in faults {
        for (_, path, method) in doors {
            let person = people.next().unwrap();
            scene.scalekit.set_faults(&at(path, method, fault.clone()));
            let answer = scene.sign_in(&scene.visitor(), &person.email, PASSWORD);
            scene.scalekit.clear_faults();
            // Scalekit cannot be asked: the application lets them in, as ever. Or the person was found after all.
            let fine = Scene::is_in_the_application(&answer) || scene.is_handed_over(&answer);
            assert!(fine, "{fault} at {path}: {} {:?}", answer.status, answer.header("location"));
            wait::until("the next sign-in takes the new flow", || {
                let visitor = scene.visitor();
                let answer = scene.sign_in(&visitor, &person.email, PASSWORD);
                scene.is_handed_over(&answer).then_some(())
            });
            assert_eq!(scene.users_with(&person.email).len(), 1, "{fault} at {path}");
        }
    }
}

#[test]
fn unreadable_rows_of_an_export_are_named_and_the_rest_signs_in() {
    let ann = Person::new("ann");
    let hash = "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";
    let lines = [
        "{not json".to_owned(),
        "[1, 2]".to_owned(),
        "{\"id\": \"7\", \"id\": \"8\"}".to_owned(),
        json!({ "email": "noid@example.com", "email_verified": true, "password_hash": hash }).to_string(),
        json!({ "id": "9", "email": 7, "email_verified": true, "password_hash": hash }).to_string(),
        json!({ "id": "last", "email": "last@example.com", "email_verified": true, "password_hash": hash, "mfa": false })
            .to_string(),
    ];
    let scene =
        Scene::set(&Cast { people: vec![ann.clone()], more_lines: lines.to_vec(), ..Cast::default() });
    let crossfade = scene.start(&[]);
    for email in [ann.email.as_str(), "last@example.com"] {
        let answer = scene.sign_in(&scene.visitor(), email, PASSWORD);
        assert!(scene.is_handed_over(&answer), "{email}: {}", answer.status);
    }
    let told: Vec<Value> = crossfade
        .process
        .stderr()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "a row was left out")
        .collect();
    for (row, reason) in [(2, "JSON"), (3, "object"), (4, "twice"), (5, "id")] {
        let found = told.iter().find(|line| line["row"] == row);
        let found = found.unwrap_or_else(|| panic!("row {row} is not named: {told:?}"));
        let why = found["problem"].as_str().unwrap();
        assert!(why.contains(reason), "row {row}: {why}");
    }
    assert!(!crossfade.process.said().contains("noid@example.com"));
}

#[test]
fn a_bad_configuration_ends_with_every_problem_at_once() {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let bad = scene
        .configuration()
        .replace("cutover: 100%", "cutover: 101%")
        .replace("scalekit_budget: 2s", "scalekit_budget: soon")
        .replace("development: true", "developement: true")
        .replace("path: /login\n      page", "path: login\n      page")
        .replace("{env: SUBJECT_KEY}", "{env: NO_SUCH_VARIABLE}");
    let scratch = Scratch::new();
    let file = scratch.write("bad.yaml", &bad);
    for command in ["check", "serve"] {
        let (code, out, err) = crossfade_with(&[command, "--config", file.to_str().unwrap()], &SECRETS);
        assert_eq!(code, Some(2), "{command}: {out}{err}");
        assert_eq!(out, "", "{command}");
        for place in [
            "rollout.cutover",
            "migration.scalekit_budget",
            "developement",
            "sign_in.routes[0].path",
            "NO_SUCH_VARIABLE",
        ] {
            assert!(err.contains(place), "{command} does not name {place}:\n{err}");
        }
    }
    for (text, word) in [("", "public"), ("[1]", ""), ("public: {url: [", ""), ("\u{0}", "")] {
        let file = scratch.write("worse.yaml", text);
        let (code, _, err) = crossfade_with(&["serve", "--config", file.to_str().unwrap()], &SECRETS);
        assert_eq!(code, Some(2), "{text:?}: {err}");
        assert!(err.contains(word) && !err.contains("panicked"), "{text:?}: {err}");
    }
    let (code, _, err) = crossfade_with(&["serve", "--config", "/nowhere/crossfade.yaml"], &SECRETS);
    assert_eq!(code, Some(2), "{err}");
}
