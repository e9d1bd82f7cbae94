//! Two processes of the built program on one Redis: one ledger, one set of sessions, and what a Redis that is gone
//! means to whom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    draft::{elsewhere, in_place_of_the_file},
    http::{Answer, Visitor, block_on},
    redis::{self, Redis},
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    wait,
};

/// How long another process may go by what it knew of a session.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// One person may try as often as this test does, and nobody is sent away because others are hashed first.
const CROWD: [(&str, &str); 2] =
    [("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000"), ("CROSSFADE_LEGACY__HASH_QUEUE", "1000")];

/// The scene with two processes. Both are one site; browsers reach the second one by its own address.
struct Pair {
    scene: Scene,
    redis: Redis,
    one: Crossfade,
    two: Crossfade,
}

impl Pair {
    fn start(people: &[Person], environment: &[(&str, &str)]) -> Self {
        // Nothing is unique there: no refusal of Scalekit's hides a second create.
        let settings = json!({ "on_duplicate": "second_user" });
        let scene = Scene::set(&Cast { people: people.to_vec(), settings, ..Cast::default() });
        let redis = Redis::start();
        let environment = [environment, &[("REDIS_PASSWORD", redis::PASSWORD)]].concat();
        let first = in_place_of_the_file(&redis.section(), scene.configuration());
        let second = elsewhere(scene.public(), &first);
        let (one, two) = (Scene::start_as(&first, &environment), Scene::start_as(&second, &environment));
        Self { scene, redis, one, two }
    }

    /// Through the form at one process and back from Scalekit to it, into a session.
    fn moved(&self, at: &Crossfade, person: &Person) -> Visitor {
        let visitor = at.visitor();
        let handed_over = self.scene.sign_in(&visitor, &person.email, PASSWORD);
        assert!(self.scene.is_handed_over(&handed_over), "{}: {}", handed_over.status, handed_over.text());
        let callback = self.scene.callback_of(&handed_over, &person.email);
        let origin = format!("http://{}", self.scene.public());
        let back = visitor.get(callback.strip_prefix(&origin).expect("Scalekit sends back to the site"));
        assert_eq!(back.status, 303, "{}", back.text());
        visitor
    }
}

/// The same browser at another process.
fn at(other: &Crossfade, visitor: &Visitor) -> Visitor {
    let same = other.visitor();
    for name in ["crossfade", "crossfade-device"] {
        same.set_cookie(name, &visitor.cookie(name).expect("a cookie of ours"));
    }
    same
}

fn is_signed_in(visitor: &Visitor) -> bool {
    let answer = visitor.get("/.crossfade/session");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["signed_in"] == true
}

#[expect(clippy::print_stdout, reason = "the figures of a test are part of its result")]
fn figures(text: &str) {
    println!("figure: {text}");
}

/// A refusal that says when to come again.
fn is_busy(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 503) && answer.header("retry-after").is_some()
}

#[test]
fn a_session_made_at_one_process_lives_and_ends_at_both() {
    let people = [Person::new("ann"), Person::new("ben")];
    let pair = Pair::start(&people, &[]);
    for (person, made_at, seen_at) in [(&people[0], &pair.one, &pair.two), (&people[1], &pair.two, &pair.one)]
    {
        let here = pair.moved(made_at, person);
        let users = pair.scene.users_with(&person.email);
        assert_eq!(users.len(), 1);
        assert_eq!(users[0]["external_id"], person.external_id().as_str());
        let there = at(seen_at, &here);
        assert!(is_signed_in(&here) && is_signed_in(&there));
        let home = there.get("/");
        assert!(home.status == 200 && home.text().contains(&person.email), "{}", home.text());

        assert_eq!(there.get("/.crossfade/logout").status, 303);
        let ended =
            wait::within(SEEN_WITHIN + Duration::from_millis(250), || (!is_signed_in(&here)).then_some(()));
        assert!(ended.is_some(), "a sign-out is seen by the other process");
    }
    // What the other one wrote is what this one decides by: crossed, so straight to Scalekit.
    let visitor = pair.one.visitor();
    let again = pair.scene.sign_in(&visitor, &people[1].email, PASSWORD);
    assert!(pair.scene.is_handed_over(&again));
    assert_eq!(pair.scene.users_with(&people[1].email).len(), 1);
    for process in [&pair.one, &pair.two] {
        process.assert_never_said(&[redis::PASSWORD]);
    }
}

#[test]
fn two_hundred_sign_ins_of_one_person_at_two_processes_make_one_user() {
    let ann = Person::new("ann");
    let pair = Pair::start(std::slice::from_ref(&ann), &CROWD);
    let visitors: Vec<Visitor> =
        (0..200).map(|n| if n % 2 == 0 { pair.one.visitor() } else { pair.two.visitor() }).collect();
    let forms: Vec<_> =
        visitors.iter().map(|visitor| pair.scene.filled_in(visitor, &ann.email, PASSWORD)).collect();
    let sent = forms.into_iter().map(|form| async move { form.send().await });
    let answers = block_on(futures_util::future::join_all(sent));
    let (mut handed_over, mut let_in, mut busy) = (0, 0, 0);
    for answer in answers {
        let answer = answer.unwrap();
        let headers = answer.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let answer =
            Answer { status: answer.status().as_u16(), headers: headers.collect(), body: Vec::new() };
        handed_over += usize::from(pair.scene.is_handed_over(&answer));
        let_in += usize::from(Scene::is_in_the_application(&answer));
        busy += usize::from(is_busy(&answer));
    }
    figures(&format!(
        "200 sign-ins at two processes: {handed_over} handed over, {let_in} let in, {busy} busy"
    ));
    assert_eq!(handed_over + let_in + busy, 200, "every client gets an answer that is one");
    assert!(handed_over > 0);
    let users = pair.scene.users_with(&ann.email);
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["external_id"], ann.external_id().as_str());
    let journal = pair.scene.scalekit.journal();
    assert_eq!(journal["forgotten"], 0);
    let creates = journal["requests"].as_array().unwrap().iter().filter(|entry| {
        let path = entry["target"].as_str().unwrap().split('?').next().unwrap();
        entry["method"] == "POST" && path.starts_with("/api/v1/organizations/") && path.ends_with("/users")
    });
    let statuses: Vec<&Value> = creates.map(|entry| &entry["status"]).collect();
    figures(&format!("creates: {statuses:?}"));
    assert_eq!(statuses.len(), 1, "{statuses:?}");
}

#[test]
fn without_redis_nobody_moves_and_nobody_is_signed_out() {
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let mut pair = Pair::start(&[ann.clone(), ben.clone()], &[]);
    let here = pair.moved(&pair.one, &ann);
    let there = at(&pair.two, &here);
    let session = here.cookie("crossfade");
    assert!(is_signed_in(&there));

    pair.redis.process.kill();
    for (process, visitor) in [(&pair.one, &here), (&pair.two, &there)] {
        // An existing session: kept, and not to be used once what was known of it is too old.
        wait::until("the session is not taken on trust", || {
            let answer = visitor.get("/");
            (answer.status == 503).then(|| assert!(is_busy(&answer), "{:?}", answer.headers))
        });
        assert_eq!(visitor.cookie("crossfade"), session, "the cookie is kept");
        // Whom this device knows as crossed: a legacy password opens nothing.
        let known = process.visitor();
        known.set_cookie("crossfade-device", &here.cookie("crossfade-device").unwrap());
        let fields = [("email", ann.email.as_str()), ("password", PASSWORD), ("next", "/")];
        let refused = known.send(pair.scene.form(&known, &fields));
        assert!(is_busy(&refused), "{}", refused.status);
        // Everybody else: to the application, and nobody moves.
        let stranger = process.visitor();
        let answer = pair.scene.sign_in(&stranger, &ben.email, PASSWORD);
        assert!(Scene::is_in_the_application(&answer), "{}: {}", answer.status, answer.text());
        let metrics = process.admin_visitor();
        assert_eq!(metrics.get("/livez").status, 200);
        assert_eq!(metrics.get("/readyz").status, 200);
    }
    assert!(pair.scene.users_with(&ben.email).is_empty());

    pair.redis.start_again();
    for visitor in [&here, &there] {
        wait::until("the session is back", || (visitor.get("/").status == 200).then_some(()));
        assert!(is_signed_in(visitor));
    }
    pair.moved(&pair.two, &ben);
    assert_eq!(pair.scene.users_with(&ben.email).len(), 1);
    assert_eq!(pair.scene.users_with(&ann.email).len(), 1);
}

#[test]
fn a_process_whose_password_redis_refuses_does_not_start_and_says_why() {
    let scene = Scene::set(&Cast::default());
    let redis = Redis::start();
    let environment: Vec<_> = SECRETS.iter().chain([&("REDIS_PASSWORD", "canary-wrong")]).copied().collect();
    let configuration = in_place_of_the_file(&redis.section(), scene.configuration());
    let wrong = Crossfade::refusal(&configuration, &environment);
    assert!(wrong.contains("store.redis.url: rediss://localhost:") && !wrong.contains("canary"), "{wrong}");
}
