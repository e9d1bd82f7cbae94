//! How often all replicas together call somebody else's service: the rate that is configured, and none while it asked
//! for a pause. Who gets the last calls, a sign-in or background work, is tested beside the counts (`store::contract`).

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::NO_LIMITS;
use crate::{
    edge::figures,
    support::{
        fleet::Fleet,
        scene::{Cast, PASSWORD, Person, Scene},
        simulator::Simulator,
        wait,
    },
};

const REPLICAS: usize = 3;

/// Calls a second, which is also what may come at once after a rest.
const RATE: u64 = 12;

/// How long people sign in.
const LASTS: Duration = Duration::from_secs(5);

/// What is counted when it is sent arrives a little later, on a busy machine.
const LATE_MS: u64 = 1000;

/// How long the service asks for.
const PAUSE_MS: u64 = 4000;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A call that arrived: when, in milliseconds from the journal's first time, and how it was answered.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    status: u64,
}

/// The calls since the one with this number, and the number of the next one. The side doors are not in the journal.
fn calls_since(service: &Simulator, first: u64) -> Vec<Call> {
    let journal = service.journal();
    assert!(journal["forgotten"].as_u64().unwrap() <= first, "calls were forgotten");
    let entries = journal["requests"].as_array().unwrap();
    let base = entries.first().map_or(0, |entry| millis(&entry["at"]));
    let entries = entries.iter().filter(|entry| entry["number"].as_u64().unwrap() >= first);
    // Pages that people's browsers open are theirs.
    let calls = entries.filter(|entry| !entry["target"].as_str().unwrap().starts_with("/hosted"));
    calls
        .map(|entry| Call {
            at: (millis(&entry["at"]) + DAY_MS - base) % DAY_MS,
            status: entry["status"].as_u64().unwrap_or(0),
        })
        .collect()
}

fn next_number(service: &Simulator) -> u64 {
    let journal = service.journal();
    journal["requests"].as_array().unwrap().last().map_or(0, |entry| entry["number"].as_u64().unwrap() + 1)
}

/// The time of day of `2026-01-31T12:34:56.789Z`; a test may last over midnight, and none lasts a day.
fn millis(at: &Value) -> u64 {
    let time = at.as_str().unwrap().split('T').nth(1).unwrap().trim_end_matches('Z');
    let parts: Vec<u64> = time.split([':', '.']).map(|part| part.parse().unwrap()).collect();
    ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
}

/// The most calls within any time of this length.
fn most_within(calls: &[Call], millis: u64) -> u64 {
    let from =
        |first: &Call| calls.iter().filter(|call| (first.at..first.at + millis).contains(&call.at)).count();
    calls.iter().map(|first| from(first) as u64).max().unwrap_or(0)
}

/// Has people sign in at all replicas, one after the other at each of several browsers, while `during` happens. Each is
/// in at last or is told when to come again. How many came.
fn while_people_sign_in(fleet: &Fleet, people: &[Person], during: impl FnOnce()) -> usize {
    let (over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for browser in 0..2 * REPLICAS {
            let (over, came, replica) = (&over, &came, &fleet.replicas[browser % REPLICAS]);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let person = &people[came.fetch_add(1, Ordering::Relaxed) % people.len()];
                    let answer = fleet.scene.sign_in(&replica.visitor(), &person.email, PASSWORD);
                    let is_in = fleet.scene.is_handed_over(&answer) || Scene::is_in_the_application(&answer);
                    let is_told = answer.status == 503 && answer.header("retry-after").is_some();
                    assert!(is_in || is_told, "{}: {}", answer.status, answer.text());
                }
            });
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    came.into_inner()
}

fn keeps_to_the_rate(fleet: &Fleet, people: &[Person], name: &str, service: &Simulator) {
    let first = next_number(service);
    let came = while_people_sign_in(fleet, people, || {
        let _ = wait::within(LASTS, || None::<()>);
    });
    let calls = calls_since(service, first);
    let lasted = calls.last().unwrap().at - calls[0].at;
    let told = [1000, 2000, 4000].map(|span| (span, most_within(&calls, span)));
    figures::note(&format!(
        "{came} sign-ins at {REPLICAS} replicas, {name} at {RATE} calls/s: {} calls in {:.1} s, at most {} in 1 s, {} in 2 \
         s, {} in 4 s",
        calls.len(),
        Duration::from_millis(lasted).as_secs_f64(),
        told[0].1,
        told[1].1,
        told[2].1,
    ));
    for (span, most) in told {
        let allowed = RATE + RATE * (span + LATE_MS) / 1000;
        assert!(most <= allowed, "{name}: {most} calls in {span} ms, of {allowed}");
    }
    // They wanted more than that.
    assert!(calls.len() as u64 >= RATE * lasted / 1000 / 2, "{name}: {} calls in {lasted} ms", calls.len());
}

#[test]
fn all_replicas_together_keep_to_a_rate_and_to_a_pause() {
    let people: Vec<Person> = (0..1500).map(|number| Person::new(&format!("person-{number}"))).collect();
    let at_okta: Vec<Person> = (0..1500)
        .map(|number| Person {
            id: format!("olga-{number}"),
            email: format!("olga-{number}@okta-people.example"),
        })
        .collect();
    let okta = at_okta.iter().map(|person| {
        json!({ "id": format!("00u{}", person.id), "login": person.email, "password": PASSWORD,
            "first_name": "Olga", "last_name": "Alder", "profile": { "emailVerified": true } })
    });
    // The application knows them, too: whom Scalekit has no time for goes there.
    let inside = at_okta.iter().map(|person| {
        json!({ "id": person.id, "email": person.email, "email_verified": true, "password": PASSWORD })
    });
    let cast = Cast {
        people: people.clone(),
        more_people: inside.collect(),
        okta: okta.collect(),
        ..Cast::default()
    };
    let rate = RATE.to_string();
    let rates = [
        ("CROSSFADE_SCALEKIT__RATE__CALLS", rate.as_str()),
        ("CROSSFADE_SCALEKIT__RATE__PER", "1s"),
        ("CROSSFADE_LEGACY__SOURCES__0__RATE__CALLS", rate.as_str()),
        ("CROSSFADE_LEGACY__SOURCES__0__RATE__PER", "1s"),
    ];
    let fleet = Fleet::start(&cast, REPLICAS, &[NO_LIMITS.as_slice(), &rates].concat());
    keeps_to_the_rate(&fleet, &people, "Scalekit", &fleet.scene.scalekit);
    keeps_to_the_rate(&fleet, &at_okta, "Okta", &fleet.scene.okta);

    // One replica is told to wait, and all do.
    let first = next_number(&fleet.scene.scalekit);
    let pause = json!({ "kind": "rate_limited", "times": 1, "reset_after_secs": PAUSE_MS / 1000 });
    while_people_sign_in(&fleet, &people, || {
        fleet.scene.scalekit.set_faults(&pause);
        wait::until("it goes on after the pause", || {
            let calls = calls_since(&fleet.scene.scalekit, first);
            let told = calls.iter().find(|call| call.status == 429)?.at;
            calls.iter().any(|call| call.at > told + PAUSE_MS).then_some(())
        });
    });
    let calls = calls_since(&fleet.scene.scalekit, first);
    let told = calls.iter().find(|call| call.status == 429).unwrap().at;
    let since = |from: u64, to: u64| calls.iter().filter(|call| (from..to).contains(&call.at)).count();
    // The last moment belongs to whoever reckons with another clock.
    let (under_way, within) = (since(told + 1, told + LATE_MS), since(told + LATE_MS, told + PAUSE_MS - 100));
    figures::note(&format!(
        "Scalekit asks one of {REPLICAS} replicas for {PAUSE_MS} ms: {under_way} calls were under way, {within} came in \
         the pause"
    ));
    assert_eq!(within, 0);
    assert!(under_way as u64 <= RATE, "{under_way}");
}
