//! Everything that can come back from Scalekit, or from somebody in its name, through the whole proxy: a page of
//! ours, a reason in the log, no session, and no secret anywhere (SEC-26, SEC-27, SEC-50).

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http::{Answer, Visitor},
    scene::{Cast, Person, Scene},
    wait,
};

/// What is wrong with the ID token, and a part of the reason that is logged.
const TOKENS: [(&str, &str); 19] = [
    ("alg_none", "algorithm"),
    ("public_key_as_secret", "algorithm"),
    ("foreign_key", "signature"),
    ("no_kid", "names no key"),
    ("unknown_kid", "does not have"),
    ("wrong_iss", "another issuer"),
    ("wrong_aud", "another audience"),
    ("wrong_azp", "azp"),
    ("no_azp", "azp"),
    ("wrong_nonce", "nonce"),
    ("no_nonce", "nonce"),
    ("expired", "expired"),
    ("not_yet_valid", "nbf"),
    ("from_the_future", "iat"),
    ("wrong_at_hash", "at_hash"),
    ("no_subject", "claims"),
    ("no_expiry", "claims"),
    ("garbage", "not a signed JWT"),
    // Well signed, but of somebody whom nobody verified.
    ("email_unverified", ""),
];

/// What is done to the address that Scalekit sends the browser back to.
type Change = fn(&str) -> String;

/// What is wrong with an answer of the token endpoint or the key set.
fn answers() -> Vec<Value> {
    let at = |path: &str, mut fault: Value| {
        fault["path"] = path.into();
        fault
    };
    let status = |status: u16| json!({ "kind": "status", "status": status });
    let tokens = [
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 2_000_000 }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 4000 }),
        json!({ "kind": "rate_limited" }),
        status(302),
        status(400),
        status(401),
        status(403),
        status(404),
        status(500),
        status(503),
    ];
    let keys = [
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 300_000 }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "down" }),
        status(302),
        status(404),
        status(503),
    ];
    let tokens = tokens.map(|fault| at("/oauth/token", fault));
    tokens.into_iter().chain(keys.map(|fault| at("/keys", fault))).collect()
}

struct Court {
    scene: Scene,
    crossfade: Crossfade,
    refused: usize,
}

impl Court {
    fn opened() -> Self {
        let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
        let crossfade = scene.start(&[]);
        Self { scene, crossfade, refused: 0 }
    }

    /// A browser that was at Scalekit, and where it is sent back to.
    fn returning(&self) -> (Visitor, String) {
        let visitor = self.scene.visitor();
        let begun = visitor.get("/.crossfade/initiate");
        assert_eq!(begun.status, 303, "{}", begun.text());
        let callback = self.scene.callback_of(&begun, "ann@example.com");
        let path = visitor.path_of(&callback).to_owned();
        (visitor, path)
    }

    fn classes(&self) -> Vec<String> {
        let lines = self.crossfade.process.stderr();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused = lines.filter(|line| line["event"] == "callback_refused");
        refused.map(|line| line["login.class"].as_str().unwrap().to_owned()).collect()
    }

    /// Goes to the callback, where nobody may get in; the class in the log.
    fn refuse(&mut self, name: &str, visitor: &Visitor, path: &str) -> String {
        let before = self.classes().len();
        let answer = visitor.get(path);
        assert!([400, 403, 503].contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
        assert_is_ours(name, &answer);
        assert_eq!(visitor.cookie("crossfade"), None, "{name}: a session was opened");
        assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], false, "{name}");
        let classes = wait::until("the reason is in the log", || {
            let classes = self.classes();
            (classes.len() > before).then_some(classes)
        });
        assert_eq!(classes.len(), before + 1, "{name}: {classes:?}");
        let secrets: Vec<String> = path
            .split(['?', '&'])
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, value)| ["code", "state"].contains(key) && value.len() > 8)
            .map(|(_, value)| value.to_owned())
            .chain(visitor.cookie("crossfade-browser"))
            .collect();
        let mut secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        secrets.push("ann@example.com");
        self.crossfade.assert_never_said(&secrets);
        for secret in &secrets {
            assert!(!answer.text().contains(secret), "{name}: a secret on the page");
        }
        self.refused += 1;
        classes[before].clone()
    }
}

fn assert_is_ours(name: &str, answer: &Answer) {
    let field = |field: &str| answer.header(field).unwrap_or_default().to_owned();
    assert!(field("content-type").starts_with("text/html"), "{name}");
    assert_eq!(field("cache-control"), "no-store", "{name}");
    let page = answer.text();
    assert!(page.contains("Sign in again"), "{name}: a way on is shown: {page}");
    for word in ["scalekit", "token", "jwks", "hyper"] {
        assert!(!page.to_lowercase().contains(word), "{name}: the page tells of {word}");
    }
}

#[test]
fn nobody_gets_in_by_a_hostile_token_answer_or_callback() {
    let mut court = Court::opened();
    for (fault, reason) in TOKENS {
        // The stand-in makes an RSA key for one of them, and on a busy machine that takes longer than a call may.
        let class = wait::until("it is judged in time", || {
            let (visitor, path) = court.returning();
            court.scene.scalekit.change_settings(&json!({ "id_token": fault }));
            let class = court.refuse(fault, &visitor, &path);
            court.scene.scalekit.change_settings(&json!({ "id_token": "none" }));
            (class != "not_redeemed").then_some(class)
        });
        if reason.is_empty() {
            assert_eq!(class, "email_unverified");
        } else {
            assert_eq!(class, "not_believed", "{fault}");
            let last = court.crossfade.process.stderr();
            let told = last.lines().rev().find(|line| line.contains("is not believed")).unwrap();
            assert!(told.contains(reason), "{fault}: {told}");
        }
    }

    for fault in answers() {
        // Keys that were fetched before are kept, and a breaker would answer for the next case.
        court.crossfade.start_again();
        let (visitor, path) = court.returning();
        court.scene.scalekit.set_faults(&fault);
        let class = court.refuse(&fault.to_string(), &visitor, &path);
        assert!(["not_believed", "not_redeemed"].contains(&class.as_str()), "{fault}: {class}");
        court.scene.scalekit.clear_faults();
    }

    court.crossfade.start_again();
    let callbacks: [(&str, Change, &str); 13] = [
        ("no state", |path| path.replace("state=", "stat="), "no_state"),
        ("empty state", |path| format!("{}&state=", without(path, "state")), "unknown_flow"),
        (
            "unknown state",
            |path| format!("{}&state={}", without(path, "state"), "A".repeat(43)),
            "unknown_flow",
        ),
        ("state twice", |path| format!("{path}&state=x"), "doubled_parameter"),
        ("code twice", |path| format!("{path}&code=x"), "doubled_parameter"),
        ("issuer twice", |path| format!("{path}&iss=a&iss=b"), "doubled_parameter"),
        ("another issuer", |path| format!("{path}&iss=https%3A%2F%2Fevil.test"), "not_believed"),
        ("no code", |path| without(path, "code"), "no_code"),
        ("empty code", |path| format!("{}&code=", without(path, "code")), "not_believed"),
        ("another code", |path| format!("{}&code=guessed-code", without(path, "code")), "code_invalid"),
        ("an error", |path| format!("{}&error=access_denied", without(path, "code")), "no_code"),
        ("an error that is none", |path| format!("{}&error=%0aforged", without(path, "code")), "no_code"),
        (
            "a long code",
            |path| format!("{}&code={}", without(path, "code"), "x".repeat(6000)),
            "code_invalid",
        ),
    ];
    for (name, change, class) in callbacks {
        let (visitor, path) = court.returning();
        assert_eq!(court.refuse(name, &visitor, &change(&path)), class, "{name}");
    }

    // Another browser's callback, and somebody else's code under one's own state (PKCE).
    let (victim, path) = court.returning();
    let nobody = court.scene.visitor();
    assert_eq!(court.refuse("no browser cookie", &nobody, &path), "unknown_flow");
    let (another, _) = court.returning();
    assert_eq!(court.refuse("another browser", &another, &path), "unknown_flow");
    let (attacker, own) = court.returning();
    let (_, theirs) = court.returning();
    let swapped = format!("{}&code={}", without(&own, "code"), value(&theirs, "code"));
    assert_eq!(court.refuse("a code of another sign-in", &attacker, &swapped), "code_invalid");
    // The state is used up, also by the attempt of another browser: whoever began begins again.
    assert_eq!(court.refuse("a state used up", &victim, &path), "unknown_flow");
    let (visitor, path) = court.returning();
    let answer = visitor.get(&path);
    assert_eq!(answer.status, 303, "after all that, somebody honest gets in: {}", answer.text());
    let before = court.classes().len();
    assert_eq!(visitor.get(&path).status, 400, "once");
    assert_eq!(court.classes()[before..], ["unknown_flow"]);
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], true);

    figures(court.refused + 1);
    assert!(court.refused >= 40);
}

/// A path without a query field.
fn without(path: &str, name: &str) -> String {
    let (path, query) = path.split_once('?').unwrap();
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(&format!("{name}="))).collect();
    format!("{path}?{}", kept.join("&"))
}

fn value<'a>(path: &'a str, name: &str) -> &'a str {
    let mut pairs = path.split(['?', '&']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).expect("it is there").1
}

#[expect(clippy::print_stdout, reason = "the figures of a test are part of its result")]
fn figures(refused: usize) {
    println!("{refused} hostile returns, each refused with a reason, a page and no session");
}
