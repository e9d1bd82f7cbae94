//! Several legacy stores together: each person is asked for, tried and moved at the one that has them, and nobody is told
//! a wrong password by a store that could not be asked.

mod stage;

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http::Answer,
    scene::{PASSWORD, Scene},
    wait,
};
use stage::{ACCOUNTS, ATTEMPTS, KEY_SECRET, Stage, TOKEN, USERS, account, row, user};

/// What a browser sees of an answer, without what is new in each.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let varying = |name: &str| matches!(name, "date" | "x-request-id");
    let headers = answer.headers.iter().filter(|(name, _)| !varying(name)).cloned().collect();
    (answer.status, headers, answer.body.clone())
}

fn is_rejected(answer: &Answer) -> bool {
    answer.header("location") == Some("/login?error=credentials")
}

#[test]
fn each_store_moves_its_own_people_once() {
    let none = json!({});
    let stage = Stage::set(
        &[row("t1", "tara@example.com", &none)],
        &[account(
            "s1",
            "storm@example.com",
            &json!({ "username": "stormy", "groups": [{ "name": "staff" }] }),
        )],
        &[user("7", "remo@example.com", &json!({ "username": "remo" }))],
    );
    let crossfade = stage.start();
    for (name, email, external_id, given) in [
        ("tara@example.com", "tara@example.com", "table:t1", "Tara"),
        ("stormy", "storm@example.com", "storm:s1", "Storm"),
        ("Remo@Example.com", "remo@example.com", "remote:7", "Remo"),
    ] {
        for _ in 0..2 {
            let answer = stage.sign_in(name, PASSWORD);
            assert!(stage.scene.is_handed_over(&answer), "{name}: {} {}", answer.status, answer.text());
        }
        let users = stage.users_with(email);
        assert_eq!(users.len(), 1, "{name}");
        assert_eq!(
            (&users[0]["external_id"], &users[0]["email_verified"]),
            (&json!(external_id), &json!(true))
        );
        assert_eq!(users[0]["profile"]["given_name"], given, "{name}");
    }
    assert_eq!(stage.users_with("storm@example.com")[0]["memberships"][0]["roles"], json!(["member"]));
    // Each password at the store that has the name. By an address the second sign-in asks nobody; by a user name people
    // prove themselves until they have crossed.
    assert_eq!(stage.checks(), (2, 1));
    assert_eq!(stage.storm.counts()["password_checks"], json!({ "stormy": 2 }));
    assert_eq!(stage.endpoint.counts()["password_checks"], json!({ "remo@example.com": 1 }));
    crossfade.assert_never_said(&[KEY_SECRET, TOKEN, PASSWORD, "storm@example.com", "stormy"]);
}

#[test]
fn whoever_cannot_be_vouched_for_stays_with_the_application() {
    let stage = Stage::set(
        &[row("t1", "tara@example.com", &json!({ "verified": 0 }))],
        &[
            account("s1", "unverified@example.com", &json!({ "email_verification_status": "UNVERIFIED" })),
            account("s2", "unknown@example.com", &json!({ "email_verification_status": "UNKNOWN" })),
            account("s3", "factor@example.com", &json!({ "custom_data": { "mfa": true } })),
            account("s4", "silent@example.com", &json!({ "custom_data": {} })),
            account("s5", "strange@example.com", &json!({ "status": "HIBERNATING" })),
        ],
        &[
            user("1", "remo@example.com", &json!({ "email_verified": false })),
            user("2", "totp@example.com", &json!({ "totps": [{ "name": "phone" }] })),
            user("3", "must@example.com", &json!({ "required_actions": ["UPDATE_PASSWORD"] })),
            // Found by the typed name, and another mailbox's.
            user("4", "other@example.com", &json!({ "username": "name@example.com" })),
        ],
    );
    let _crossfade = stage.start();
    for email in [
        "tara@example.com",
        "unverified@example.com",
        "unknown@example.com",
        "factor@example.com",
        "silent@example.com",
        "strange@example.com",
        "remo@example.com",
        "totp@example.com",
        "must@example.com",
    ] {
        let answer = stage.sign_in(email, PASSWORD);
        assert!(
            Scene::is_in_the_application(&answer),
            "{email}: {} {:?}",
            answer.status,
            answer.header("location")
        );
        assert!(stage.has_no_users(), "{email} was created");
    }
    let answer = stage.sign_in("name@example.com", PASSWORD);
    assert!(!stage.scene.is_handed_over(&answer) && stage.has_no_users());
}

#[test]
fn twins_across_stores_move_nobody() {
    let none = json!({});
    let stage = Stage::set(
        &[row("t1", "twin@example.com", &none), row("t2", "alone@example.com", &none)],
        &[
            account("s1", "TWIN@example.com", &json!({ "username": "sam" })),
            account("s2", "ida@example.com", &none),
        ],
        &[user("1", "ida@example.com", &json!({ "username": "ida" }))],
    );
    let _crossfade = stage.start();
    // Two stores have the name: only the application knows whom it means, and no store sees the password.
    for name in ["twin@example.com", "ida@example.com"] {
        let answer = stage.sign_in(name, PASSWORD);
        assert!(Scene::is_in_the_application(&answer), "{name}: {}", answer.status);
        let wrong = stage.sign_in(name, "wrong");
        assert!(!is_rejected(&wrong) && !stage.scene.is_handed_over(&wrong), "the application judges {name}");
    }
    assert_eq!(stage.checks(), (0, 0));
    // One store has the name, and another store somebody with the same address.
    for (name, checks) in [("sam", (1, 0)), ("ida", (1, 1))] {
        let answer = stage.sign_in(name, PASSWORD);
        assert!(!stage.scene.is_handed_over(&answer), "{name}");
        assert_eq!(stage.checks(), checks, "{name}");
    }
    assert!(stage.has_no_users());
    // Who has no twin is none the worse for it.
    assert!(stage.scene.is_handed_over(&stage.sign_in("alone@example.com", PASSWORD)));
}

#[test]
fn wrong_unknown_locked_and_disabled_are_one_answer() {
    let stage = Stage::set(
        &[
            row("t1", "tara@example.com", &json!({})),
            row("t2", "tlocked@example.com", &json!({ "locked": 1 })),
            row("t3", "tdisabled@example.com", &json!({ "disabled": 1 })),
        ],
        &[
            account("s1", "storm@example.com", &json!({})),
            account("s2", "slocked@example.com", &json!({ "login_error": 7103 })),
            account("s3", "sdisabled@example.com", &json!({ "status": "DISABLED" })),
            account("s4", "sunverified@example.com", &json!({ "status": "UNVERIFIED" })),
        ],
        &[
            user("1", "remo@example.com", &json!({})),
            user("2", "rlocked@example.com", &json!({ "check_status": 423 })),
            user("3", "rdisabled@example.com", &json!({ "enabled": false })),
        ],
    );
    let _crossfade = stage.start();
    let unknown = stage.sign_in("nobody@example.com", PASSWORD);
    assert!(is_rejected(&unknown), "{} {}", unknown.status, unknown.text());
    for (name, password) in [
        ("tara@example.com", "wrong"),
        ("storm@example.com", "wrong"),
        ("remo@example.com", "wrong"),
        ("tlocked@example.com", PASSWORD),
        ("tdisabled@example.com", PASSWORD),
        ("slocked@example.com", PASSWORD),
        ("sdisabled@example.com", PASSWORD),
        ("sunverified@example.com", PASSWORD),
        ("rlocked@example.com", PASSWORD),
        ("rdisabled@example.com", PASSWORD),
        ("a:b", PASSWORD),
        ("..", PASSWORD),
    ] {
        assert_eq!(seen(&stage.sign_in(name, password)), seen(&unknown), "{name}");
    }
    assert!(stage.has_no_users());
}

#[test]
fn a_domain_leads_to_its_store_and_to_no_other() {
    let none = json!({});
    let stage = Stage::set(
        &[row("t1", "tara@table.example", &none)],
        &[account("s1", "storm@storm.example", &none)],
        &[user("1", "remo@remote.example", &none)],
    );
    let _crossfade = stage.start_with(|configuration| {
        ["table", "storm", "remote"].into_iter().fold(configuration.to_owned(), |text, name| {
            let named = format!("    - name: {name}\n");
            text.replace(&named, &format!("{named}      domains: [{name}.example]\n"))
        })
    });
    assert!(is_rejected(&stage.sign_in("tara@table.example", "wrong")));
    assert_eq!(
        (&stage.storm.counts()["requests"], &stage.endpoint.counts()["requests"]),
        (&json!({}), &json!({}))
    );
    assert!(is_rejected(&stage.sign_in("storm@storm.example", "wrong")));
    // Alone with the name, the store is not looked up first.
    assert_eq!(stage.storm.counts()["requests"], json!({ format!("POST {ATTEMPTS}"): 1 }));
    assert_eq!(stage.endpoint.counts()["requests"], json!({}));
    for (email, external_id) in [
        ("tara@table.example", "table:t1"),
        ("storm@storm.example", "storm:s1"),
        ("remo@remote.example", "remote:1"),
    ] {
        assert!(stage.scene.is_handed_over(&stage.sign_in(email, PASSWORD)), "{email}");
        assert_eq!(stage.users_with(email)[0]["external_id"], external_id);
    }
    // A name that is no address has no domain and no store: the application decides.
    let asked = (stage.storm.counts(), stage.endpoint.counts());
    assert!(!stage.scene.is_handed_over(&stage.sign_in("tara", PASSWORD)));
    assert_eq!((stage.storm.counts(), stage.endpoint.counts()), asked);
}

#[test]
fn a_store_that_is_down_keeps_everybody_from_being_created() {
    let none = json!({});
    let stage = Stage::set(
        &[row("t1", "tara@example.com", &none)],
        &[account("s1", "storm@example.com", &none)],
        &[user("1", "remo@example.com", &none)],
    );
    let _crossfade = stage.start();
    stage.endpoint.set_faults(&json!({ "kind": "down" }));
    // A store before it has the name, and says yes; whether the address is one person's cannot be known.
    for email in ["tara@example.com", "storm@example.com"] {
        let answer = stage.sign_in(email, PASSWORD);
        assert!(Scene::is_in_the_application(&answer), "{email}: {} {}", answer.status, answer.text());
        assert!(is_rejected(&stage.sign_in(email, "wrong")), "a no of the store that has the name stays one");
    }
    for name in ["remo@example.com", "nobody@example.com"] {
        let answer = stage.sign_in(name, PASSWORD);
        assert_eq!(answer.status, 503, "{name}");
        assert!(answer.header("retry-after").is_some(), "{name}");
    }
    assert!(stage.has_no_users());
    stage.endpoint.clear_faults();
    for email in ["tara@example.com", "storm@example.com", "remo@example.com"] {
        wait::until("everybody can move again", || {
            stage.scene.is_handed_over(&stage.sign_in(email, PASSWORD)).then_some(())
        });
        assert_eq!(stage.users_with(email).len(), 1, "{email}");
    }
}

/// Section G of the security requirements, column of the legacy system.
fn faults() -> Vec<Value> {
    vec![
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 3000 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 2_000_000 }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "rate_limited" }),
        json!({ "kind": "rate_limited", "reset_after_secs": 7 }),
        json!({ "kind": "rate_limited", "reset_after_secs": 86400 }),
    ]
}

/// Each fault at one door of one store: closed, and not a word about the password.
fn closes(stage: &Stage, email: &str, door: &str, method: &str) {
    let mut crossfade = Some(stage.start());
    // A store that asked to be left alone is: each of these has to reach it.
    let start_again = |crossfade: &mut Option<Crossfade>| {
        drop(crossfade.take());
        *crossfade = Some(stage.start());
    };
    let (simulator, checks_before) = match door {
        ATTEMPTS | ACCOUNTS => (&stage.storm, stage.checks().0),
        _ => (&stage.endpoint, stage.checks().1),
    };
    for (number, mut fault) in faults().into_iter().enumerate() {
        let wait = fault["reset_after_secs"].as_u64().map(|wait| wait.min(60).to_string());
        fault["path"] = door.into();
        fault["method"] = method.into();
        if fault["kind"] == "rate_limited" {
            start_again(&mut crossfade);
        }
        simulator.set_faults(&fault);
        let struck = || -> usize {
            let journal = simulator.journal();
            let requests = journal["requests"].as_array().unwrap();
            requests.iter().filter(|request| !request["fault"].is_null()).count()
        };
        let before = struck();
        let answer = stage.sign_in(email, PASSWORD);
        let what = format!("{fault}: {} {:?}", answer.status, answer.header("location"));
        assert!(struck() > before, "{what}: did not reach the store");
        assert_eq!(answer.status, 503, "{what}");
        let told = answer.header("retry-after").expect("a wait is named");
        assert!(told.parse::<u64>().is_ok_and(|wait| (1..=60).contains(&wait)), "{what}: {told}");
        assert!(wait.is_none_or(|wait| wait == told), "{what}: {told}");
        assert!(stage.has_no_users(), "{what}");
        simulator.clear_faults();
        if method == "POST" {
            // Every fault of a check, sent once; some strike before the stand-in counts the check.
            let posts = simulator.journal();
            let posts = posts["requests"].as_array().unwrap();
            let posts =
                posts.iter().filter(|request| request["method"] == "POST" && !request["fault"].is_null());
            assert_eq!(posts.count(), number + 1, "{what}: sent more than once");
        }
    }
    if method == "GET" {
        let checks = if door == ACCOUNTS { stage.checks().0 } else { stage.checks().1 };
        assert_eq!(checks, checks_before, "a password was sent before the name was found");
    }
    start_again(&mut crossfade);
    let again = wait::within(wait::PATIENCE, || {
        let answer = stage.sign_in(email, PASSWORD);
        stage.scene.is_handed_over(&answer).then_some(())
    });
    assert!(again.is_some(), "{door} is well again and {email} does not get in");
    assert_eq!(stage.users_with(email).len(), 1);
}

fn one_of_each() -> Stage {
    let none = json!({});
    Stage::set(
        &[row("t1", "tara@example.com", &none)],
        &[account("s1", "storm@example.com", &none)],
        &[user("1", "remo@example.com", &none)],
    )
}

#[test]
fn a_stormpath_that_fails_at_the_password_closes() {
    closes(&one_of_each(), "storm@example.com", ATTEMPTS, "POST");
}

#[test]
fn a_stormpath_that_fails_at_the_name_closes() {
    closes(&one_of_each(), "storm@example.com", ACCOUNTS, "GET");
}

#[test]
fn an_endpoint_that_fails_at_the_password_closes() {
    closes(&one_of_each(), "remo@example.com", "/legacy/check", "POST");
}

#[test]
fn an_endpoint_that_fails_at_the_name_closes() {
    closes(&one_of_each(), "remo@example.com", USERS, "GET");
}
