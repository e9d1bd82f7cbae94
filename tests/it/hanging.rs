//! A dependency that hangs is nobody else's trouble (REL-21): pages and sessions are as quick as ever while sign-ins
//! wait for it.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        draft::Draft,
        http::Visitor,
        scene::{Cast, PASSWORD, Person, Scene},
        wait,
    },
};

/// Sign-ins that wait for the one that hangs, at any time.
const HANGING: u32 = 24;

/// Who signs in next.
type Emails<'a> = &'a (dyn Fn(usize) -> String + Sync);

/// Sets a dependency's faults.
type Hang<'a> = &'a dyn Fn(&Value);

/// What a loaded machine adds to any request; the long form is for a quiet one.
fn noise() -> Duration {
    if figures::long() { Duration::from_millis(1) } else { Duration::from_millis(100) }
}

fn requests() -> usize {
    if figures::long() { 5000 } else { 100 }
}

/// The 99th percentile of requests that go one after the other.
fn p99(visitor: &Visitor, path: &str) -> Duration {
    let mut times: Vec<Duration> = (0..requests())
        .map(|_| {
            let begun = wait::reading();
            let answer = visitor.get(path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            wait::since(begun)
        })
        .collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Requests that are being answered.
fn in_flight(crossfade: &Crossfade) -> u32 {
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    let number = metrics.lines().find_map(|line| line.strip_prefix("crossfade_in_flight_requests "));
    number.and_then(|number| number.parse().ok()).expect("a gauge of requests")
}

#[test]
fn one_that_hangs_slows_nobody_else() {
    let ann = Person::new("ann");
    // Enough for each to be asked for a while longer than is measured.
    let crowd: Vec<Person> = (0..4000).map(|number| Person::new(&format!("crowd-{number}"))).collect();
    let people = [vec![ann.clone()], crowd.clone()].concat();
    let scene = Scene::set(&Cast { people, ..Cast::default() });
    let mfa = "      mfa: {field: factors}\n";
    let quick = Draft::of(scene.configuration()).put(mfa, &format!("{mfa}      timeout: 2s\n"));
    let crossfade = Scene::start_as(&quick.0, &[]);
    let live = scene.visitor();
    let handed_over = scene.sign_in(&live, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    assert_eq!(scene.confirm_mailbox(&live, &handed_over, &ann.email).status, 303);
    let stranger = scene.visitor();
    let straight = Visitor::of(scene.app.address);
    let normal = [p99(&stranger, "/login"), p99(&live, "/"), p99(&straight, "/login")];
    let hangs = json!({ "kind": "slow", "delay_ms": 60_000 });
    let next = AtomicUsize::new(0);
    let at_okta = |number| format!("nobody-{number}@okta-people.example");
    let at_scalekit = |number: usize| crowd[number % crowd.len()].email.clone();
    let dependencies: [(&str, Hang<'_>, Emails<'_>); 2] = [
        ("legacy", &|fault| scene.okta.set_faults(fault), &at_okta),
        ("Scalekit", &|fault| scene.scalekit.set_faults(fault), &at_scalekit),
    ];
    // Made before: a client costs more to make than what is measured.
    let visitors: Vec<Visitor> = (0..HANGING).map(|_| scene.visitor()).collect();
    for (name, set, email) in dependencies {
        set(&hangs);
        let over = AtomicBool::new(false);
        let during = thread::scope(|scope| {
            for (visitor, late) in visitors.iter().zip(0..) {
                let (over, next, scene) = (&over, &next, &scene);
                scope.spawn(move || {
                    // Not in step: whoever is answered at once would come with all others at each full second.
                    thread::park_timeout(Duration::from_secs(1) * late / HANGING);
                    while !over.load(Ordering::Relaxed) {
                        let email = email(next.fetch_add(1, Ordering::Relaxed));
                        let form = scene.form(visitor, &[("email", &email), ("password", PASSWORD)]);
                        // What comes of it is said elsewhere. Whoever is answered at once, because nobody is asked any
                        // more, comes back later: else this would be a load and not a hanging one.
                        let _ = visitor.send(form);
                        thread::park_timeout(Duration::from_secs(1));
                    }
                });
            }
            wait::until("all of them wait", || (in_flight(&crossfade) >= HANGING).then_some(()));
            let during = [p99(&stranger, "/login"), p99(&live, "/"), p99(&straight, "/login")];
            over.store(true, Ordering::Relaxed);
            during
        });
        set(&json!([]));
        for ((what, before), during) in
            ["a page", "a session", "a page straight from the application"].iter().zip(normal).zip(during)
        {
            figures::note(&format!("p99 of {what} with {name} hanging: {during:?}, normal {before:?}"));
            assert!(
                during < 2 * before + noise(),
                "{what} with {name} hanging: {during:?}, normal {before:?}"
            );
        }
    }
}

/// One person about whom Scalekit has only errors signs in again and again, and nobody else is kept from it.
#[test]
fn whom_it_cannot_answer_about_is_no_outage() {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let scene = Scene::set(&Cast { people: vec![ann.clone(), bob.clone()], ..Cast::default() });
    let crossfade = Scene::start_as(scene.configuration(), &[]);
    scene.scalekit.set_faults(&json!({ "kind": "status", "status": 500 }));
    for _ in 0..24 {
        let answer = scene.sign_in(&scene.visitor(), &ann.email, PASSWORD);
        assert!(!scene.is_handed_over(&answer), "{}", answer.text());
    }
    let calls = scene.scalekit.counts();
    scene.scalekit.set_faults(&json!([]));
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    let stands: Vec<&str> = metrics.lines().filter(|line| line.contains("scalekit")).collect();
    let answer = scene.sign_in(&scene.visitor(), &bob.email, PASSWORD);
    assert!(scene.is_handed_over(&answer), "{calls}, {stands:#?}, {}", answer.text());
}
