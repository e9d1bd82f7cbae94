//! SEC-50: no secret in any output. Some forty secrets go through every flow and fault at the most talkative log
//! level; then everything the program printed, counted and answered is searched for them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    crossfade::{Crossfade, crossfade_with},
    http::{Answer, Visitor},
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    wait,
    wiretap::Wiretap,
};

const WRONG: &str = "canary-wrong-password-3fKq";
const OKTA_PASSWORD: &str = "canary-okta-password-8gTz";
const STAYS_PASSWORD: &str = "canary-stays-password-1hBv";
const SQL_URL: (&str, &str) =
    ("DATABASE_URL", "postgres://reader:canary-sql-password-6jNx@127.0.0.1:1/canary-database");

/// 32 random bytes in base64 without padding.
const VERIFIER_BYTES: usize = 43;

/// A source that is down from the beginning, so that its address is in every error.
const SQL_SOURCE: &str = "
    - name: crm
      domains: [crm.example]
      sql:
        dialect: postgres
        url: {env: DATABASE_URL}
        query: SELECT id, email, password FROM people WHERE email = $1
        twins_query: SELECT id, email, password FROM people WHERE lower(email) = $1
        id_query: SELECT id, email, password FROM people WHERE id = $1
        columns: {id: id, email: email, password_hash: password}
        hash_format: auto
      mfa: none
scalekit:";

/// What may not be found anywhere, with what it is.
#[derive(Default)]
struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    fn add(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{what}: too short to be told from chance");
        let known = self.0.iter().any(|(_, other)| *other == secret);
        if !known {
            self.0.push((what, secret));
        }
    }

    /// The kinds that were really there.
    fn kinds(&self) -> BTreeSet<&'static str> {
        self.0.iter().map(|(what, _)| *what).collect()
    }

    /// Where any of them stands in a text, as it is or percent-encoded.
    fn found_in(&self, place: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in text.lines().enumerate() {
            for (what, secret) in &self.0 {
                let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                if line.contains(secret.as_str()) || line.contains(&encoded) {
                    // Only made-up secrets of this test: the line may be shown.
                    found.push(format!("{what} in line {} of {place}: {line}", number + 1));
                }
            }
        }
        found
    }
}

/// Everything that runs, what was answered by us, and what must not be in it.
struct Watch {
    scene: Scene,
    crossfade: Crossfade,
    app: Wiretap,
    scalekit: Wiretap,
    canaries: Canaries,
    pages: Vec<(String, String)>,
}

fn watch(cast: &Cast) -> Watch {
    let mut scene = Scene::set(cast);
    let (app, scalekit) = scene.tap();
    let configuration = scene
        .configuration()
        .replace("log: info", "log: trace")
        .replace("\nscalekit:", SQL_SOURCE)
        .replace("plain_headers: true", "plain_headers: false")
        .replace("  force_key:", "  rules: {deny: [{domain: stays.example}]}\n  force_key:");
    let crossfade = scene.start_as(&configuration, &[SQL_URL]);
    let mut canaries = Canaries::default();
    for (name, value) in SECRETS {
        canaries.add(name, value);
    }
    for (what, secret) in [
        ("right password", PASSWORD),
        ("wrong password", WRONG),
        ("password at Okta", OKTA_PASSWORD),
        ("password in the legacy lane", STAYS_PASSWORD),
        ("password of a database address", "canary-sql-password-6jNx"),
        ("stored hash", "8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW"),
        // The part before the @ is enough to know somebody by.
        ("e-mail address", "canary-mailbox"),
    ] {
        canaries.add(what, secret);
    }
    Watch { scene, crossfade, app, scalekit, canaries, pages: Vec::new() }
}

impl Watch {
    /// An answer of ours, to be searched.
    fn ours(&mut self, what: &str, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        self.pages.push((what.to_owned(), answer.text()));
    }

    fn sign_in(&self, email: &str, password: &str) -> (Visitor, Answer) {
        let visitor = self.scene.visitor();
        let answer = self.scene.sign_in(&visitor, email, password);
        (visitor, answer)
    }

    /// What a browser holds and what its addresses say.
    fn keep_secrets_of(&mut self, visitor: &Visitor, address: &str) {
        for (what, name) in [
            ("session cookie", "crossfade"),
            ("cookie of a sign-in under way", "crossfade-browser"),
            ("device cookie", "crossfade-device"),
            ("application's cookie", "app_session"),
            ("CSRF cookie", "app_csrf"),
        ] {
            if let Some(value) = visitor.cookie(name).filter(|value| value.len() >= 8) {
                self.canaries.add(what, value);
            }
        }
        let url: url::Url = address.parse().unwrap();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "state" => self.canaries.add("state", value),
                "nonce" => self.canaries.add("nonce", value),
                "code" => self.canaries.add("code", value),
                "code_challenge" => self.canaries.add("code challenge", value),
                _ => {}
            }
        }
    }

    /// What went by between the programs.
    fn keep_secrets_of_the_wires(&mut self) {
        let quoted = ["access_token", "refresh_token", "id_token"];
        for name in quoted {
            for value in self.scalekit.between(&format!("\"{name}\":\""), "\"") {
                self.canaries.add(name, value);
            }
        }
        // The last field of its body: what follows on the line is the next request.
        for verifier in self.scalekit.after("code_verifier=", VERIFIER_BYTES) {
            self.canaries.add("code verifier", verifier);
        }
        for value in self.scalekit.between("authorization: Bearer ", "\r\n") {
            self.canaries.add("bearer token", value);
        }
        for value in self.app.between("x-crossfade-assertion: ", "\r\n") {
            self.canaries.add("assertion", value);
        }
    }

    /// Asserts that nothing of it was told, and that enough was there to be told.
    fn judge(mut self) {
        self.keep_secrets_of_the_wires();
        let metrics = self.crossfade.admin_visitor().get("/metrics").text();
        assert_eq!(self.crossfade.terminate().code(), Some(0));
        let said = self.crossfade.process.said();
        let mut found = self.canaries.found_in("what it printed", &said);
        found.extend(self.canaries.found_in("/metrics", &metrics));
        for (what, page) in &self.pages {
            found.extend(self.canaries.found_in(what, page));
        }
        assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
    }
}

fn okta_person(id: &str, more: &Value) -> Value {
    let mut person = json!({ "id": id, "login": format!("canary-mailbox-{id}@okta-people.example"),
        "password": OKTA_PASSWORD, "first_name": "Ann", "last_name": "Alder", "profile": { "emailVerified": true } });
    person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    person
}

fn person(name: &str) -> Person {
    Person::new(&format!("canary-mailbox-{name}"))
}

#[test]
fn a_whole_sign_in_leaves_no_secret_behind() {
    let ann = person("ann");
    let stays = "canary-mailbox-stays@stays.example";
    let mut watch = watch(&Cast {
        people: vec![ann.clone()],
        more_people: vec![
            json!({ "id": "41", "email": stays, "email_verified": true, "password": STAYS_PASSWORD }),
        ],
        okta: vec![
            okta_person("00u1", &json!({})),
            okta_person("00u2", &json!({ "factors": [{ "id": "f1", "factor_type": "push" }] })),
            okta_person("00u3", &json!({ "status": "PASSWORD_EXPIRED" })),
            okta_person("00u4", &json!({ "status": "LOCKED_OUT" })),
        ],
        ..Cast::default()
    });

    // The new lane, from the form to the session and out again.
    let visitor = watch.scene.visitor();
    let form = visitor.get("/login?next=/canary-return-target-2kQp");
    watch.canaries.add("query string of the form", "canary-return-target-2kQp");
    let csrf = form.form_value("csrf");
    watch.canaries.add("CSRF token", csrf.clone());
    let next = "/canary-after-sign-in-4mRt";
    watch.canaries.add("return target", "canary-after-sign-in-4mRt");
    let fields = [("csrf", csrf.as_str()), ("email", &ann.email), ("password", PASSWORD), ("next", next)];
    let handed_over = visitor.send(watch.scene.form(&visitor, &fields));
    watch.ours("hand-over", 303, &handed_over);
    watch.keep_secrets_of(&visitor, handed_over.location());
    let callback = watch.scene.callback_of(&handed_over, &ann.email);
    watch.keep_secrets_of(&visitor, &callback);
    let path = visitor.path_of(&callback).to_owned();
    let back = visitor.get(&path);
    watch.ours("callback", 303, &back);
    watch.keep_secrets_of(&visitor, &callback);
    assert!(visitor.get("/").text().contains(&ann.email), "she is signed in");
    let session = visitor.get("/.crossfade/session");
    // This answer is for the person herself and says who she is; it may hold no other secret.
    assert_eq!(session.status, 200);
    let again = visitor.get(&path);
    watch.ours("a code used twice", 400, &again);
    let out = visitor.get("/.crossfade/logout");
    assert_eq!(out.status, 303);

    // Wrong, unknown, locked, expired, second factor, a store that is down.
    let rejected = [
        (ann.email.as_str(), WRONG),
        ("canary-mailbox-nobody@example.com", WRONG),
        ("canary-mailbox-00u1@okta-people.example", WRONG),
        ("canary-mailbox-00u4@okta-people.example", OKTA_PASSWORD),
        ("canary-mailbox-nobody@okta-people.example", WRONG),
    ];
    for (email, password) in &rejected[1..] {
        let (_, answer) = watch.sign_in(email, password);
        watch.ours("a rejected sign-in", 303, &answer);
        assert_eq!(answer.location(), "/login?error=credentials");
    }
    let (_, crossed) = watch.sign_in(rejected[0].0, rejected[0].1);
    assert!(watch.scene.is_handed_over(&crossed), "a crossed person's old password is not looked at");
    for person in ["00u1", "00u2", "00u3"] {
        let (visitor, answer) =
            watch.sign_in(&format!("canary-mailbox-{person}@okta-people.example"), OKTA_PASSWORD);
        if person == "00u1" {
            watch.keep_secrets_of(&visitor, answer.location());
        }
    }
    let (_, closed) = watch.sign_in("canary-mailbox-dora@crm.example", PASSWORD);
    watch.ours("a database that is down", 503, &closed);

    // The legacy lane.
    for password in [STAYS_PASSWORD, WRONG] {
        let (visitor, answer) = watch.sign_in(stays, password);
        assert_eq!(Scene::is_in_the_application(&answer), password == STAYS_PASSWORD);
        watch.keep_secrets_of(&visitor, "http://app.example.com/");
    }
    watch.keep_secrets_of_the_wires();
    let kinds = watch.canaries.kinds();
    for kind in [
        "session cookie",
        "application's cookie",
        "state",
        "nonce",
        "code",
        "code challenge",
        "access_token",
        "refresh_token",
        "id_token",
        "code verifier",
        "assertion",
    ] {
        assert!(kinds.contains(kind), "{kind} was never there; there were {kinds:?}");
    }
    assert!(kinds.len() >= 30, "{kinds:?}");
    let said = watch.crossfade.process.stderr();
    assert!(said.contains("\"level\":\"debug\""), "the log is at its most talkative");
    watch.judge();
}

#[test]
fn whatever_goes_wrong_tells_no_secret() {
    let faults = [
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 3_000_000 }),
        json!({ "kind": "reset" }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 400 }),
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        // Keeps us away for a while: the last.
        json!({ "kind": "rate_limited" }),
    ];
    let on = |path: &str, fault: &Value| {
        let mut fault = fault.clone();
        fault["path"] = path.into();
        fault
    };
    let people: Vec<Person> = (0..2 * faults.len()).map(|number| person(&number.to_string())).collect();
    let okta = (0..faults.len()).map(|number| okta_person(&format!("00u{number}"), &json!({})));
    let cast = Cast { people: people.clone(), okta: okta.collect(), ..Cast::default() };
    let mut watch = watch(&cast);
    let (early, late) = people.split_at(faults.len());
    for (number, fault) in faults.iter().enumerate() {
        // The management API, with a bearer token in each request.
        watch.scene.scalekit.set_faults(&on("/api/v1/", fault));
        watch.sign_in(&early[number].email, PASSWORD);
        // Okta, which sees the password.
        watch.scene.okta.set_faults(&on("/api/v1/authn", fault));
        let email = format!("canary-mailbox-00u{number}@okta-people.example");
        let (_, closed) = watch.sign_in(&email, OKTA_PASSWORD);
        watch.ours("Okta in trouble", 503, &closed);
        watch.scene.okta.clear_faults();
        watch.scene.scalekit.clear_faults();
        // The token endpoint, which sees code, verifier and client secret.
        let (visitor, handed_over) = wait::until("Scalekit is asked again", || {
            let (visitor, answer) = watch.sign_in(&late[number].email, PASSWORD);
            watch.scene.is_handed_over(&answer).then_some((visitor, answer))
        });
        watch.keep_secrets_of(&visitor, handed_over.location());
        let callback = watch.scene.callback_of(&handed_over, &late[number].email);
        watch.keep_secrets_of(&visitor, &callback);
        watch.scene.scalekit.set_faults(&on("/oauth/token", fault));
        let failed = visitor.get(visitor.path_of(&callback));
        assert!(failed.status >= 400, "{fault}: {}", failed.status);
        watch.pages.push((format!("a callback under {fault}"), failed.text()));
        watch.scene.scalekit.clear_faults();
    }
    watch.judge();
}

#[test]
fn hostile_requests_are_not_echoed_anywhere() {
    let mut watch = watch(&Cast { people: vec![person("ann")], ..Cast::default() });
    let visitor = watch.scene.visitor();
    let mut secret = |what: &'static str| {
        let value = format!("canary-{}-7pXw", what.replace(' ', "-"));
        watch.canaries.add(what, value.clone());
        value
    };
    let (state, code, told) = (secret("foreign state"), secret("foreign code"), secret("error description"));
    let (cookie, bearer, query) =
        (secret("forged cookie"), secret("authorization field"), secret("query string"));
    let (token, body, login) = (secret("force token"), secret("body"), secret("typed name"));
    let path = secret("path segment");
    visitor.set_cookie("crossfade", &cookie);
    for (what, target) in [
        ("a callback with a foreign state", format!("/.crossfade/callback?state={state}&code={code}")),
        ("a callback without a state", format!("/.crossfade/callback?code={code}")),
        (
            "an error that comes back",
            format!("/.crossfade/callback?state={state}&error=access_denied&error_description={told}"),
        ),
        ("an error that is a text", format!("/.crossfade/callback?state={state}&error={told}%0aX")),
        (
            "a callback with two states",
            format!("/.crossfade/callback?state={state}&state={state}&code={code}"),
        ),
    ] {
        let answer = visitor.get(&target);
        watch.ours(what, 400, &answer);
    }
    let answer = visitor.get(&format!("/.crossfade/force?token={token}"));
    watch.pages.push(("a bad force token".to_owned(), answer.text()));
    let answer = visitor.get(&format!("/.crossfade/{path}?q={query}"));
    watch.ours("a door that is not there", 404, &answer);
    let check =
        visitor.request(Method::GET, "/.crossfade/check").header("authorization", format!("Bearer {bearer}"));
    let answer = visitor.send(check);
    watch.pages.push(("a check without a session".to_owned(), answer.text()));

    let sign_in = |target: &str, kind: &str, body: String| {
        watch
            .scene
            .post(&visitor, target)
            .header("content-type", kind)
            .header("authorization", &bearer)
            .body(body)
    };
    let form = "application/x-www-form-urlencoded";
    let requests = [
        sign_in(&format!("/login?password={query}"), form, format!("email={login}&password={body}")),
        sign_in("/login", form, format!("email={login}&password={body}&password={body}")),
        sign_in("/login", form, format!("email={login}%ff&password={body}")),
        sign_in("/login", "multipart/form-data; boundary=x", format!("--x\r\n{body}\r\n--x--")),
        sign_in("/login", form, format!("email={login}&password={body}{}", "x".repeat(20_000))),
        sign_in(
            "/api/login",
            "application/json",
            format!("{{\"user\":{{\"email\":\"{login}\"}},\"password\":{body}}}"),
        ),
        sign_in(
            "/api/login",
            "application/json",
            format!("{{\"password\":\"{body}\",\"password\":\"{body}\"}}"),
        ),
        sign_in(&format!("/%2e%2e/{path}?{query}"), form, body.clone()),
        sign_in("/login", form, format!("email={login}&password={body}"))
            .header("origin", "https://other.example"),
        sign_in("/login", form, body.clone()).header("host", format!("{query}.example")),
        sign_in("/login", form, body.clone()).header("x-long", body.repeat(2000)),
    ];
    let answers: Vec<Answer> = requests.into_iter().map(|request| visitor.send(request)).collect();
    // What was forwarded, the application answers, and it repeats the name in its form.
    for answer in answers.iter().filter(|answer| !answer.text().contains("Harbour Ledger")) {
        watch.pages.push(("a hostile request".to_owned(), answer.text()));
    }
    watch.judge();
}

#[test]
fn a_bad_configuration_is_refused_without_its_secrets() {
    let mut watch = watch(&Cast { people: vec![person("ann")], ..Cast::default() });
    let good = watch.scene.configuration().replace("log: info", "log: trace");
    for (what, from, to) in [
        ("literal secret", "{env: SCALEKIT_CLIENT_SECRET}", "canary-literal-secret-1aBc"),
        ("literal key", "{env: SESSION_KEY}", "canary-literal-key-2dEf"),
        ("literal salt", "{env: ROLLOUT_SALT}", "{value: canary-literal-salt-3gHi}"),
        ("literal token", "{env: OKTA_API_TOKEN}", "[canary-literal-token-4jKl]"),
        ("password in an address", "http://1", "http://user:canary-url-password-5mNo@1"),
        (
            "secret under an unknown name",
            "telemetry:",
            "secrets: {key: canary-unknown-value-6pQr}\ntelemetry:",
        ),
        ("secret in a broken file", "public:", "public: \"canary-broken-file-7sTu\n"),
        ("secret given twice", "{env: SUBJECT_KEY}", "{env: SUBJECT_KEY, file: canary-file-8vWx}"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{what}");
        let secret = to
            .split(['@', '"', ' ', '}', ']', ':', '\n'])
            .find(|part| part.starts_with("canary-") || part.starts_with("[canary-"));
        watch.canaries.add(what, secret.unwrap().trim_start_matches('['));

        let refused = |crossfade: &Crossfade| crossfade.process.stderr().matches("config_refused").count();
        let before = refused(&watch.crossfade);
        watch.crossfade.reload(&bad);
        wait::until(what, || (refused(&watch.crossfade) > before).then_some(()));

        let scratch = Scratch::new();
        let file = scratch.write("bad.yaml", &bad);
        let environment: Vec<(&str, &str)> = SECRETS.into_iter().chain([SQL_URL]).collect();
        for command in ["check", "serve"] {
            let (code, out, err) =
                crossfade_with(&[command, "--config", file.to_str().unwrap()], &environment);
            assert_eq!(code, Some(2), "{command} takes a {what}:\n{out}{err}");
            watch.pages.push((format!("{command} on a bad file"), format!("{out}{err}")));
        }
    }
    let scratch = Scratch::new();
    let file = scratch.write("good.yaml", &good);
    let (code, out, err) = crossfade_with(&["check", "--config", file.to_str().unwrap()], &SECRETS);
    assert_eq!(code, Some(0), "{err}");
    watch.pages.push(("check on a good file".to_owned(), format!("{out}{err}")));
    watch.judge();
}

#[test]
fn a_canary_is_heard_as_it_is_and_percent_encoded() {
    let mut canaries = Canaries::default();
    canaries.add("right password", PASSWORD);
    for text in [
        "a\ncorrect horse battery staple",
        "x=correct+horse+battery+staple&",
        "\"correct horse battery staple\"",
    ] {
        assert_eq!(canaries.found_in("a text", text).len(), 1, "{text}");
    }
    assert!(canaries.found_in("a text", "correct horse").is_empty());
}
