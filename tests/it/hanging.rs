//! A dependency that hangs is nobody else's trouble (REL-21): pages and sessions are as quick as ever while sign-ins
//! wait for it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        draft::{Draft, in_place_of_the_file},
        http::{Answer, Visitor},
        relay::{Manner, Relay},
        scene::{Cast, PASSWORD, Person, Scene},
        shapes::{self, servers},
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

/// How many requests are measured, and the percentile that is judged: of a hundred the 99th would be the slowest one, and
/// a busy machine always has one.
fn measured() -> (usize, usize) {
    if figures::long() { (5000, 99) } else { (200, 90) }
}

/// Requests that go one after the other, quickest first; each answer is looked at.
fn times(visitor: &Visitor, path: &str, judge: impl Fn(&Answer)) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..measured().0)
        .map(|_| {
            let begun = wait::reading();
            let answer = visitor.get(path);
            let took = wait::since(begun);
            judge(&answer);
            took
        })
        .collect();
    times.sort_unstable();
    times
}

/// The percentile of requests that are answered with 200.
fn slowest(visitor: &Visitor, path: &str) -> Duration {
    let times = times(visitor, path, |answer| assert_eq!(answer.status, 200, "{path}: {}", answer.text()));
    times[times.len() * measured().1 / 100]
}

/// Sign-ins that wait for the one that hangs, one after the other at each browser, while `measure` looks.
fn while_sign_ins_hang<T>(
    scene: &Scene,
    crossfade: &Crossfade,
    visitors: &[Visitor],
    email: Emails<'_>,
    measure: impl FnOnce() -> T,
) -> T {
    let (over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for (visitor, late) in visitors.iter().zip(0..) {
            let (over, next) = (&over, &next);
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
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until("many of them wait", || (in_flight(crossfade) >= HANGING / 2).then_some(()));
            measure()
        }));
        over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
    let normal = [slowest(&stranger, "/login"), slowest(&live, "/"), slowest(&straight, "/login")];
    let hangs = json!({ "kind": "slow", "delay_ms": 60_000 });
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
        let during = while_sign_ins_hang(&scene, &crossfade, &visitors, email, || {
            [slowest(&stranger, "/login"), slowest(&live, "/"), slowest(&straight, "/login")]
        });
        set(&json!([]));
        let whats = ["a page", "a session", "a page straight from the application"];
        for ((what, normal), during) in whats.iter().zip(normal).zip(during) {
            assert_unhurt(&format!("{what} with {name} hanging"), normal, during, Duration::ZERO);
        }
    }
}

fn assert_unhurt(what: &str, normal: Duration, during: Duration, budget: Duration) {
    let percentile = measured().1;
    figures::note(&format!("p{percentile} of {what}: {during:?}, normal {normal:?}"));
    assert!(during < 2 * normal + noise() + budget, "{what}: {during:?}, normal {normal:?}");
}

/// Without a session nothing is asked of the store. A session is believed for a second, and then its requests are told
/// to come again, after one operation's time at most.
#[test]
fn a_store_that_hangs_slows_no_page_and_keeps_no_session_waiting() {
    const OPERATION: Duration = Duration::from_millis(250);
    let ann = Person::new("ann");
    let crowd: Vec<Person> = (0..400).map(|number| Person::new(&format!("crowd-{number}"))).collect();
    let scene = Scene::set(&Cast { people: [vec![ann.clone()], crowd.clone()].concat(), ..Cast::default() });
    let redis = servers::single(shapes::program());
    let relay = Relay::before(SocketAddr::from(([127, 0, 0, 1], redis.port)));
    let configuration = in_place_of_the_file(&shapes::at(relay.address), scene.configuration());
    let crossfade = Scene::start_as(&configuration, &shapes::SECRETS);
    let live = scene.visitor();
    let handed_over = scene.sign_in(&live, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    assert_eq!(scene.confirm_mailbox(&live, &handed_over, &ann.email).status, 303);
    let stranger = scene.visitor();
    let normal = [slowest(&stranger, "/login"), slowest(&live, "/")];
    let visitors: Vec<Visitor> = (0..HANGING).map(|_| scene.visitor()).collect();
    let email = |number: usize| crowd[number % crowd.len()].email.clone();
    relay.behave(Manner::Silent);
    let during = while_sign_ins_hang(&scene, &crossfade, &visitors, &email, || {
        let page = slowest(&stranger, "/login");
        let waits = AtomicUsize::new(0);
        let sessions = times(&live, "/", |answer| {
            let is_told = answer.status == 503 && answer.header("retry-after").is_some();
            assert!(
                is_told || (answer.status == 200 && answer.text().contains(&ann.email)),
                "{}",
                answer.text()
            );
            waits.fetch_add(usize::from(is_told), Ordering::Relaxed);
        });
        assert!(waits.into_inner() > 0, "the session never needed the store");
        [page, sessions[sessions.len() * measured().1 / 100]]
    });
    relay.behave(Manner::Passes);
    assert_unhurt("a page with the store hanging", normal[0], during[0], Duration::ZERO);
    assert_unhurt("a session with the store hanging", normal[1], during[1], OPERATION);
    wait::until("the session is back", || (live.get("/").status == 200).then_some(()));
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
