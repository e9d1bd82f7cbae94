//! Bad input, from browsers, stores and Scalekit: a clear answer, nothing lost, nothing let in, nobody created.

use reqwest::{Method, RequestBuilder, header::HeaderValue};
use serde_json::{Value, json};

use crate::support::{
    crossfade::crossfade_with,
    http::{Answer, Visitor},
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    wait,
    wiretap::Wiretap,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The application got it as it came, and answered this.
    Forwarded(u16),
    /// Our one answer to a sign-in that is not right; the application was not asked.
    Rejected,
    /// Refused with this status; the application was not asked.
    Refused(u16),
}

/// A visitor with the form open, and the line to the application.
struct Desk {
    scene: Scene,
    app: Wiretap,
    visitor: Visitor,
    csrf: String,
    /// Somebody who would be created by a sign-in that counts as a proof.
    ann: Person,
}

impl Desk {
    /// The right form, with its fields in this order and these in place of some.
    fn fields(&self, changes: &[(&str, &str)]) -> String {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut fields = vec![
            ("csrf", encode(&self.csrf)),
            ("email", encode(&self.ann.email)),
            ("password", encode(PASSWORD)),
            ("next", "%2F".to_owned()),
        ];
        for (name, raw) in changes {
            fields.retain(|(known, _)| known != name);
            if *raw != "-" {
                fields.push((name, (*raw).to_owned()));
            }
        }
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    fn send(&self, path: &str, kind: Option<&str>, body: Vec<u8>) -> RequestBuilder {
        let request = self.scene.post(&self.visitor, path).body(body);
        match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        }
    }

    fn posts_at_the_application(&self) -> u64 {
        let counts = self.scene.app.look("counts");
        let requests = counts["requests"].as_object().cloned().unwrap_or_default();
        let posts = requests.iter().filter(|(request, _)| request.starts_with("POST "));
        posts.filter_map(|(_, number)| number.as_u64()).sum()
    }

    /// Sends, and says what it came to.
    fn fate(&self, request: RequestBuilder, body: &[u8]) -> (Fate, Answer) {
        let before = self.posts_at_the_application();
        let answer = self.visitor.send(request);
        let fate = match self.posts_at_the_application() - before {
            0 if answer.header("location") == Some("/login?error=credentials") => Fate::Rejected,
            0 if answer.status == 401 && answer.text() == "{\"error\":\"invalid_credentials\"}" => {
                Fate::Rejected
            }
            0 => Fate::Refused(answer.status),
            1 => {
                assert!(self.app.heard(body), "the application got another body than was sent");
                Fate::Forwarded(answer.status)
            }
            many => panic!("the application was asked {many} times"),
        };
        (fate, answer)
    }

    fn nobody_was_created(&self) -> bool {
        self.scene.scalekit.users()["users"] == json!([])
    }
}

/// A desk in front of a running Crossfade, which `play` may use.
fn at_a_desk(play: impl FnOnce(&Desk)) {
    let ann = Person::new("ann");
    let mut scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let (app, _) = scene.tap();
    let mut crossfade = scene.start(&[]);
    let visitor = scene.visitor();
    let csrf = visitor.get("/login").form_value("csrf");
    play(&Desk { scene, app, visitor, csrf, ann });
    assert!(crossfade.process.is_running());
}

#[test]
fn a_form_that_is_not_one_clear_credential_proves_nothing() {
    at_a_desk(|desk| {
        let long_name = "x".repeat(3000);
        let long_password = "x".repeat(1025);
        let form = |changes: &[(&str, &str)]| desk.fields(changes).into_bytes();
        let with = |more: &str| format!("{}&{more}", desk.fields(&[])).into_bytes();
        let right = urlencoded(PASSWORD);
        let mail = urlencoded(&desk.ann.email);
        let cases: Vec<(&str, &str, Option<&str>, Vec<u8>, Fate)> = vec![
            // The application's own answers: the form again for a wrong one, 302 for a right one.
            ("no password", "/login", Some(FORM), form(&[("password", "-")]), Fate::Forwarded(200)),
            ("no name", "/login", Some(FORM), form(&[("email", "-")]), Fate::Forwarded(200)),
            ("an empty body", "/login", Some(FORM), Vec::new(), Fate::Forwarded(403)),
            ("two passwords", "/login", Some(FORM), with(&format!("password={right}")), Fate::Forwarded(302)),
            ("two names", "/login", Some(FORM), with(&format!("email={mail}")), Fate::Forwarded(302)),
            ("a name in the query", "/login?email=a", Some(FORM), form(&[]), Fate::Forwarded(302)),
            ("a password in the query", "/login?password=a", Some(FORM), form(&[]), Fate::Forwarded(302)),
            (
                "a password in the query, percent-encoded",
                "/login?p%61ssword=a",
                Some(FORM),
                form(&[]),
                Fate::Forwarded(302),
            ),
            (
                "a name that is not UTF-8",
                "/login",
                Some(FORM),
                form(&[("email", "%ff%fe")]),
                Fate::Forwarded(200),
            ),
            (
                "a name with a line end",
                "/login",
                Some(FORM),
                form(&[("email", "ann%0d%0ax")]),
                Fate::Forwarded(200),
            ),
            ("an empty name", "/login", Some(FORM), form(&[("email", "")]), Fate::Forwarded(200)),
            ("a very long name", "/login", Some(FORM), form(&[("email", &long_name)]), Fate::Forwarded(200)),
            ("an empty password", "/login", Some(FORM), form(&[("password", "")]), Fate::Rejected),
            (
                "a password that is not UTF-8",
                "/login",
                Some(FORM),
                form(&[("password", "%ff")]),
                Fate::Rejected,
            ),
            (
                "a password with a zero byte",
                "/login",
                Some(FORM),
                form(&[("password", "a%00b")]),
                Fate::Rejected,
            ),
            (
                "a very long password",
                "/login",
                Some(FORM),
                form(&[("password", &long_password)]),
                Fate::Rejected,
            ),
            ("a wrong password", "/login", Some(FORM), form(&[("password", "wrong")]), Fate::Rejected),
            (
                "an unknown name",
                "/login",
                Some(FORM),
                form(&[("email", "nobody%40example.com")]),
                Fate::Rejected,
            ),
            ("another type", "/login", Some("text/plain"), form(&[]), Fate::Forwarded(415)),
            ("no type", "/login", None, form(&[]), Fate::Forwarded(415)),
            (
                "multipart",
                "/login",
                Some("multipart/form-data; boundary=x"),
                b"--x\r\ncontent-disposition: form-data; name=\"email\"\r\n\r\nann@example.com\r\n--x--\r\n"
                    .to_vec(),
                Fate::Forwarded(415),
            ),
            (
                "JSON",
                "/login",
                Some("application/json"),
                b"{\"email\":\"a\",\"password\":\"b\"}".to_vec(),
                Fate::Forwarded(415),
            ),
            ("17 KiB", "/login", Some(FORM), with(&"x".repeat(17 * 1024)), Fate::Refused(413)),
            ("1 MiB", "/login", Some(FORM), with(&"x".repeat(1024 * 1024)), Fate::Refused(413)),
        ];
        for (what, path, kind, body, expected) in cases {
            let (fate, answer) = desk.fate(desk.send(path, kind, body.clone()), &body);
            assert_eq!(fate, expected, "{what}: {}", answer.text());
            assert!(desk.nobody_was_created(), "{what} created somebody");
        }
    });
}

#[test]
fn a_form_of_another_site_is_refused_and_goes_nowhere() {
    at_a_desk(|desk| {
        let body = desk.fields(&[]).into_bytes();
        let origin = format!("http://{}", desk.scene.public());
        let (long, long_target) = ("x".repeat(17 * 1024), format!("/login?{}", "x".repeat(9000)));
        let many: Vec<(String, String)> = (0..120).map(|n| (format!("x-field-{n}"), "x".into())).collect();
        let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let cases: Vec<(&str, &str, Vec<(String, String)>, u16)> = vec![
            ("no origin", "/login", vec![], 403),
            ("a foreign origin", "/login", one("origin", "https://evil.example"), 403),
            ("another port", "/login", one("origin", "http://127.0.0.1:1"), 403),
            ("the origin null", "/login", one("origin", "null"), 403),
            ("an origin with a path", "/login", one("origin", &format!("{origin}/")), 403),
            ("another site", "/login", one("sec-fetch-site", "cross-site"), 403),
            ("a sibling site", "/login", one("sec-fetch-site", "same-site"), 403),
            ("a huge field", "/login", [one("origin", &origin), one("x-long", &long)].concat(), 431),
            ("too many fields", "/login", [one("origin", &origin), many].concat(), 431),
            ("a huge target", &long_target, one("origin", &origin), 414),
            ("a foreign host", "/login", [one("origin", &origin), one("host", "evil.example")].concat(), 421),
        ];
        for (what, path, fields, status) in cases {
            let mut request = desk.visitor.request(Method::POST, path).header("content-type", FORM);
            for (name, value) in fields {
                request = request.header(name, HeaderValue::from_str(&value).unwrap());
            }
            let (fate, _) = desk.fate(request.body(body.clone()), &body);
            assert_eq!(fate, Fate::Refused(status), "{what}");
            assert!(desk.nobody_was_created(), "{what} created somebody");
        }
        // The same form from its own page is taken.
        let (fate, answer) = desk.fate(desk.send("/login", Some(FORM), body.clone()), &body);
        assert_eq!(fate, Fate::Refused(303), "handed over");
        assert!(desk.scene.is_handed_over(&answer));
    });
}

#[test]
fn json_that_is_not_one_clear_credential_proves_nothing() {
    at_a_desk(|desk| {
        let deep = "[".repeat(8000);
        let json = Some("application/json");
        let cases: Vec<(&str, &str, Option<&str>, &[u8], Fate)> = vec![
            ("broken", "/api/login", json, b"{\"user\":{\"email\":\"ann@example.com\"},", Fate::Forwarded(400)),
            ("empty", "/api/login", json, b"", Fate::Forwarded(400)),
            (
                "two passwords",
                "/api/login",
                json,
                b"{\"user\":{\"email\":\"ann@example.com\"},\"password\":\"a\",\"password\":\"correct horse battery staple\"}",
                Fate::Forwarded(400),
            ),
            (
                "two names",
                "/api/login",
                json,
                b"{\"user\":{\"email\":\"a\",\"email\":\"ann@example.com\"},\"password\":\"correct horse battery staple\"}",
                Fate::Forwarded(400),
            ),
            ("a number", "/api/login", json, b"{\"user\":{\"email\":\"ann@example.com\"},\"password\":7}", Fate::Forwarded(400)),
            ("a list", "/api/login", json, b"[1]", Fate::Forwarded(400)),
            ("too deep", "/api/login", json, deep.as_bytes(), Fate::Forwarded(400)),
            (
                "something behind it",
                "/api/login",
                json,
                b"{\"user\":{\"email\":\"ann@example.com\"},\"password\":\"correct horse battery staple\"} x",
                Fate::Forwarded(400),
            ),
            ("not UTF-8", "/api/login", json, b"{\"user\":{\"email\":\"\xff\"},\"password\":\"a\"}", Fate::Forwarded(400)),
            (
                "another type",
                "/api/login",
                Some(FORM),
                b"{\"user\":{\"email\":\"ann@example.com\"},\"password\":\"correct horse battery staple\"}",
                Fate::Forwarded(415),
            ),
            (
                "a wrong password",
                "/api/login",
                json,
                b"{\"user\":{\"email\":\"ann@example.com\"},\"password\":\"wrong\"}",
                Fate::Rejected,
            ),
        ];
        for (what, path, kind, body, expected) in cases {
            let (fate, answer) = desk.fate(desk.send(path, kind, body.to_vec()), body);
            assert_eq!(fate, expected, "{what}: {}", answer.text());
            assert!(desk.nobody_was_created(), "{what} created somebody");
        }
        let body = json!({ "user": { "email": desk.ann.email }, "password": PASSWORD }).to_string();
        let (fate, answer) =
            desk.fate(desk.send("/api/login", json, body.clone().into_bytes()), body.as_bytes());
        assert_eq!(fate, Fate::Refused(200), "handed over by data");
        assert!(answer.json()["location"].as_str().unwrap().contains("/oauth/authorize"));
    });
}

fn urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

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
