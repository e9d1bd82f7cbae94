//! Guessing (SEC-41, SEC-42): how often a password may be tried, by whom, and what a legacy store gets to see of it.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    admin_tokens::{OPERATOR, TOKENS, VIEWER},
    crossfade::{Crossfade, crossfade_with},
    draft::{Draft, in_place_of_the_file},
    http::{Answer, Visitor},
    redis::{self, Redis},
    scene::{Cast, PASSWORD, Person, Scene},
    wait,
};

/// Everybody to the application, and nobody moves.
const LEGACY_LANE: [(&str, &str); 2] =
    [("CROSSFADE_ROLLOUT__CUTOVER", "0%"), ("CROSSFADE_ROLLOUT__MIGRATE", "0%")];

/// A configuration in which this machine is a load balancer, which says where people come from.
fn behind_a_balancer(scene: &Scene) -> Draft {
    Draft::of(scene.configuration())
        .put("  development: true\n", "  development: true\n  trusted_proxies: [127.0.0.0/8]\n")
}

fn olga() -> Value {
    at_okta("olga")
}

fn at_okta(id: &str) -> Value {
    json!({ "id": format!("00u{id}"), "login": format!("{id}@okta-people.example"), "password": PASSWORD,
        "first_name": "Olga", "last_name": "Alder", "profile": { "emailVerified": true } })
}

fn from(address: &str, request: RequestBuilder) -> RequestBuilder {
    request.header("x-forwarded-for", address)
}

/// A form filled in on a page that was opened before, sent from an address.
fn sign_in(scene: &Scene, visitor: &Visitor, address: &str, email: &str, password: &str) -> Answer {
    visitor.send(from(address, scene.filled_in(visitor, email, password)))
}

/// A form of somebody who opens no page, each time from another address.
fn guess(scene: &Scene, email: &str, number: usize) -> Answer {
    let visitor = scene.visitor();
    let form = scene.form(&visitor, &[("email", email), ("password", "wrong")]);
    visitor.send(from(&format!("192.0.2.{number}"), form))
}

/// An answer without what differs from one to the next.
fn shape(answer: &Answer) -> (u16, Vec<(String, usize)>, usize) {
    let fields = answer.headers.iter().map(|(name, value)| (name.clone(), value.len())).collect();
    (answer.status, fields, answer.body.len())
}

fn checks(scene: &Scene, email: &str) -> u64 {
    scene.okta.counts()["password_checks"][email].as_u64().unwrap_or(0)
}

fn limited(crossfade: &Crossfade, limit: &str) -> u64 {
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    let name = format!("crossfade_limited_sign_ins_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn guesses_from_many_addresses_are_stopped_before_a_store_locks_the_account() {
    let ann = Person::new("ann");
    let cast = Cast { people: vec![ann.clone()], okta: vec![olga()], ..Cast::default() };
    let scene = Scene::set(&cast);
    let crossfade = Scene::start_as(&behind_a_balancer(&scene).0, &[]);
    let mut shapes = Vec::new();
    // Okta locks at ten, and three of nine are left to the person's own browsers.
    for (email, granted) in [
        ("olga@okta-people.example", 6),
        ("nobody@okta-people.example", 6),
        (ann.email.as_str(), 10),
        ("nobody@example.com", 10),
    ] {
        let answers: Vec<Answer> = (0..15).map(|number| guess(&scene, email, number)).collect();
        let (through, refused) = answers.split_at(granted);
        assert!(through.iter().all(|answer| answer.location() == "/login?error=credentials"), "{email}");
        assert!(refused.iter().all(|answer| answer.status == 429), "{email}");
        let waits =
            refused.iter().map(|answer| answer.header("retry-after").unwrap().parse::<u64>().unwrap());
        assert!(waits.clone().all(|wait| (1..=86_400).contains(&wait)), "{email}");
        assert!(refused[0].text().contains("/.crossfade/initiate"), "everybody is offered another way");
        shapes.push((shape(&through[0]), shape(&refused[0])));
    }
    assert_eq!(shapes[0], shapes[1], "who is there does not show");
    assert_eq!(shapes[2], shapes[3], "who is there does not show");
    assert_eq!(checks(&scene, "olga@okta-people.example"), 6);
    assert_eq!(checks(&scene, "nobody@okta-people.example"), 6);
    // The right password does not get through either: a limit that told would be none.
    let visitor = scene.visitor();
    assert_eq!(sign_in(&scene, &visitor, "198.51.100.7", &ann.email, PASSWORD).status, 429);
    assert_eq!((limited(&crossfade, "lockout"), limited(&crossfade, "account")), (18, 11));
    let said = crossfade.process.stderr();
    assert_eq!(said.matches("\"event\":\"lockout\"").count(), 2, "{said}");
    assert_eq!(said.matches("\"event\":\"sign_in_limited\"").count(), 29);
}

#[test]
fn trouble_at_the_legacy_side_uses_up_no_lockout_budget() {
    // None of these is a word on the password, or the word was yes and what had to be read after it was in trouble.
    let troubles = [
        json!({ "path": "/api/v1/authn", "kind": "rate_limited", "reset_after_secs": 1 }),
        json!({ "path": "/api/v1/authn", "kind": "status", "status": 503 }),
        json!({ "path": "/api/v1/authn", "kind": "html" }),
        json!({ "path": "/api/v1/authn", "kind": "reset" }),
        json!({ "path": "/api/v1/users", "kind": "status", "status": 503 }),
        json!({ "path": "/api/v1/users", "kind": "lost" }),
    ];
    let okta = (0..=troubles.len()).map(|number| at_okta(&format!("person-{number}"))).collect();
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], okta, ..Cast::default() });
    // Nobody else has these names, so the guess is the first that Okta sees of a sign-in.
    let alone = Draft::of(scene.configuration())
        .put("    - name: app\n", "    - name: app\n      domains: [example.com]\n");
    let _crossfade = Scene::start_as(&alone.0, &[]);
    let try_it = |number: usize| {
        scene.sign_in(&scene.visitor(), &format!("person-{number}@okta-people.example"), PASSWORD)
    };
    // An answer that never came may have been a no, which Okta counts: strangers get six.
    scene.okta.set_faults(&json!({ "path": "/api/v1/authn", "kind": "lost" }));
    let statuses: Vec<u16> = (0..8).map(|_| try_it(troubles.len()).status).collect();
    assert_eq!(statuses, [503, 503, 503, 503, 503, 503, 429, 429]);
    scene.okta.clear_faults();
    for (number, trouble) in troubles.iter().enumerate() {
        scene.okta.set_faults(trouble);
        for _ in 0..8 {
            assert_eq!(try_it(number).status, 503, "{trouble}");
        }
        scene.okta.clear_faults();
        let answer =
            wait::within(wait::PATIENCE, || Some(try_it(number)).filter(|answer| answer.status != 503));
        let answer = answer.expect("Okta is asked again");
        assert!(scene.is_handed_over(&answer), "{trouble}: {}", answer.status);
    }
}

#[test]
fn an_operator_ends_the_wait_of_somebody_who_was_guessed_at() {
    let redis = Redis::start();
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], okta: vec![olga()], ..Cast::default() });
    let shared = in_place_of_the_file(&redis.section(), scene.configuration());
    for configuration in [scene.configuration(), &shared] {
        let configuration = configuration.replacen("admin:\n", TOKENS, 1);
        let crossfade = Scene::start_as(
            &configuration,
            &[("OPERATOR_TOKEN", OPERATOR), ("VIEWER_TOKEN", VIEWER), ("REDIS_PASSWORD", redis::PASSWORD)],
        );
        let users = |arguments: &[&str]| {
            let admin = crossfade.admin.to_string();
            let arguments = [&["users"], arguments, &["--admin", &admin]].concat();
            crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", OPERATOR)])
        };
        let email = "olga@okta-people.example";
        let statuses: Vec<u16> = (0..7).map(|number| guess(&scene, email, number).status).collect();
        assert_eq!(statuses, [303, 303, 303, 303, 303, 303, 429]);
        assert_eq!(scene.sign_in(&scene.visitor(), email, PASSWORD).status, 429, "also the right one");
        let (exit, out, said) = users(&["unlock", "OLGA@okta-people.example"]);
        assert_eq!(
            (exit, out.as_str()),
            (
                Some(0),
                "OLGA@okta-people.example may try again at once; a browser that is known for them still waits for its own \
             failures\n"
            ),
            "{said}"
        );
        let answer = scene.sign_in(&scene.visitor(), email, PASSWORD);
        assert!(scene.is_handed_over(&answer), "{}", answer.text());
        let (exit, _, said) = users(&["unlock", "--key", "okta:nobody"]);
        assert_eq!(exit, Some(1), "{said}");
        let said = crossfade.process.stderr();
        let event = said.lines().find(|line| line.contains("\"admin.what\":\"unlock\"")).expect("on record");
        assert!(event.contains("\"login.subject\":\"") && !event.contains("olga"), "{event}");
        scene.okta.reset();
    }
}

#[test]
fn a_browser_in_which_somebody_signed_in_is_not_kept_out_by_others() {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let scene = Scene::set(&Cast { people: vec![ann.clone(), bob.clone()], ..Cast::default() });
    let crossfade = Scene::start_as(&behind_a_balancer(&scene).0, &LEGACY_LANE);
    let home = scene.visitor();
    assert!(Scene::is_in_the_application(&sign_in(&scene, &home, "203.0.113.5", &ann.email, PASSWORD)));
    let known = home.cookie("crossfade-known").expect("the browser is known from now on");
    for number in 0..12 {
        let answer = guess(&scene, &ann.email, number);
        assert_eq!(answer.status == 429, number >= 10, "{number}");
    }
    // Whoever is not known waits; another account does not.
    let stranger = scene.visitor();
    assert_eq!(sign_in(&scene, &stranger, "192.0.2.1", &ann.email, PASSWORD).status, 429);
    assert!(Scene::is_in_the_application(&sign_in(&scene, &stranger, "192.0.2.1", &bob.email, PASSWORD)));
    let again = scene.visitor();
    again.set_cookie("crossfade-known", &known);
    assert!(Scene::is_in_the_application(&sign_in(&scene, &again, "192.0.2.1", &ann.email, PASSWORD)));
    // The browser is known for her account only, and its own failures count.
    for number in 0..11 {
        let visitor = scene.visitor();
        visitor.set_cookie("crossfade-known", &known);
        let answer = sign_in(&scene, &visitor, &format!("198.51.100.{number}"), &ann.email, "wrong");
        assert_eq!(answer.status == 429, number >= 10, "{number}");
    }
    assert!(!scene.app.journal().to_string().contains("crossfade-known"), "the cookie is ours alone");
    crossfade.assert_never_said(&[&known]);
}

#[test]
fn an_address_is_limited_whatever_a_stranger_says_of_it() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let five = Draft::of(scene.configuration()).put("{tries: 100000, per: 1m}", "{tries: 5, per: 1m}");
    let crossfade = Scene::start_as(&five.0, &[]);
    let visitor = scene.visitor();
    // A crossed identifier is sent on without a guess, and counts as well: it tells who is there.
    for number in 0..5 {
        let answer = sign_in(&scene, &scene.visitor(), &format!("192.0.2.{number}"), &ann.email, PASSWORD);
        assert!(scene.is_handed_over(&answer), "{number}");
    }
    let form = scene.form(&visitor, &[("email", "other@example.com"), ("password", "wrong")]);
    assert_eq!(visitor.send(from("192.0.2.99", form)).status, 429);
    let json = json!({ "user": { "email": "other@example.com" }, "password": "wrong" });
    let answer = visitor.send(scene.post(&visitor, "/api/login").json(&json));
    assert_eq!((answer.status, answer.json()["error"].clone()), (429, "too_many_tries".into()));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    let begin = visitor.send(from("192.0.2.98", visitor.request(Method::GET, "/.crossfade/initiate")));
    assert_eq!(begin.status, 429, "it begins a sign-in, too");
    assert_eq!(limited(&crossfade, "address"), 3);
    assert_eq!(visitor.get("/login").status, 200, "only sign-ins are limited");
    // A changed limit is in force at once.
    crossfade.take(&five.put("{tries: 5, per: 1m}", "{tries: 6000, per: 1m}").0);
    let form = scene.form(&visitor, &[("email", "other@example.com"), ("password", "wrong")]);
    wait::until("tries are granted again", || {
        let answer = visitor.send(form.try_clone().unwrap());
        (answer.status == 303).then_some(())
    });
}

#[test]
fn a_success_forgives_the_persons_own_slips() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let _crossfade = Scene::start_as(&behind_a_balancer(&scene).0, &LEGACY_LANE);
    let (home, elsewhere) = ("203.0.113.5", "192.0.2.7");
    let slips = |address: &str, times: usize| {
        for _ in 0..times {
            let answer = sign_in(&scene, &scene.visitor(), address, &ann.email, "wrong");
            assert_eq!(answer.status, 200, "the application's own answer");
        }
    };
    slips(home, 5);
    slips(elsewhere, 4);
    assert!(Scene::is_in_the_application(&sign_in(&scene, &scene.visitor(), home, &ann.email, PASSWORD)));
    slips(home, 5);
    // The four from elsewhere were not forgiven.
    slips(elsewhere, 1);
    assert_eq!(sign_in(&scene, &scene.visitor(), home, &ann.email, PASSWORD).status, 429);
}

#[test]
fn a_guess_that_only_the_application_can_read_counts_as_well() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let _crossfade = Scene::start_as(&behind_a_balancer(&scene).0, &[]);
    let visitor = scene.visitor();
    let email = ann.email.as_str();
    let multipart = format!(
        "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\n{email}\r\n--b\r\n\
         Content-Disposition: form-data; name=\"password\"\r\n\r\nx\r\n--b--\r\n"
    );
    let ways = [
        scene.form(&visitor, &[("email", email), ("password", "x"), ("password", "y")]),
        scene.form(&visitor, &[("email", "a@example.com"), ("email", email), ("password", "x")]),
        scene.post(&visitor, &format!("/login?email={email}")).form(&[("password", "x")]),
        scene
            .post(&visitor, "/login")
            .header("content-type", "multipart/form-data; boundary=b")
            .body(multipart),
        scene
            .post(&visitor, "/login")
            .header("content-type", "text/plain")
            .body(format!("email={email}&password=x")),
    ];
    for number in 0..10 {
        let way = ways[number % ways.len()].try_clone().unwrap();
        let answer = visitor.send(from(&format!("192.0.2.{number}"), way));
        assert_ne!(answer.status, 429, "{number}");
    }
    for (number, way) in ways.into_iter().enumerate() {
        assert_eq!(visitor.send(from(&format!("198.51.100.{number}"), way)).status, 429, "{number}");
    }
    assert_eq!(guess(&scene, email, 99).status, 429, "and so does a proper form");
}

#[test]
fn no_password_is_ever_tried_twice() {
    let mut olga = olga();
    olga["password"] = "another one than is typed".into();
    let somebody_else = json!({ "id": "nora", "email": "nora@example.com", "email_verified": true,
        "password_hash": "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW", "mfa": false });
    let scene = Scene::set(&Cast {
        more_lines: vec![somebody_else.to_string()],
        okta: vec![olga],
        ..Cast::default()
    });
    let quick = Draft::of(scene.configuration())
        .put("      mfa: {field: factors}\n", "      mfa: {field: factors}\n      timeout: 1s\n");
    let _crossfade = Scene::start_as(&quick.0, &[]);
    let requests = |simulator: &crate::support::simulator::Simulator, line: &str| {
        simulator.counts()["requests"][line].as_u64().unwrap_or(0)
    };
    let email = "olga@okta-people.example";
    // Okta says no; the export, which has nobody of that name, and the application are not asked.
    let answer = scene.sign_in(&scene.visitor(), email, PASSWORD);
    assert_eq!(answer.location(), "/login?error=credentials");
    assert_eq!(requests(&scene.okta, "POST /api/v1/authn"), 1);
    for (asked, fault) in (2..).zip([
        json!({ "path": "/api/v1/authn", "kind": "lost" }),
        json!({ "path": "/api/v1/authn", "kind": "reset" }),
        json!({ "path": "/api/v1/authn", "kind": "late", "delay_ms": 3000 }),
        json!({ "path": "/api/v1/authn", "kind": "status", "status": 503 }),
    ]) {
        scene.okta.set_faults(&fault);
        let answer = scene.sign_in(&scene.visitor(), email, PASSWORD);
        assert_eq!(answer.status, 503, "{fault}");
        scene.okta.clear_faults();
        assert_eq!(requests(&scene.okta, "POST /api/v1/authn"), asked, "{fault}");
    }
    assert_eq!(requests(&scene.app, "POST /login"), 0, "the application is not asked in anybody's place");
}
