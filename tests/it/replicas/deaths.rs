//! Replicas that are killed (SIGKILL): at every step of a migration, and one after the other under load.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    NO_LIMITS, SHORT_LEASE,
    load::{Got, Load, assert_all_can_sign_in, secs},
};
use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        fleet::Fleet,
        http::block_on,
        scene::{Cast, Person},
        wait,
        wire::now,
    },
};

/// What Scalekit may do with a create whose person exists.
const BEHAVIOURS: [&str; 4] = ["conflict", "bad_request", "existing", "second_user"];

/// The steps of a person whom Scalekit does not know, in their order.
const STEPS: [&str; 10] = [
    "claim",
    "store_claimed",
    "find_by_external_id",
    "store_looked_up",
    "find_by_email",
    "store_intent",
    "create",
    "store_created",
    "read_back",
    "store_end",
];

/// How many victims there are at the same time.
const AT_ONCE: usize = 5;

/// So many people are tried until one comes as far as the moment of a death: on a busy machine a call may have no answer
/// in time, and another replica's sweeper is there first.
const CANDIDATES: usize = 3;

/// The lease of [`SHORT_LEASE`], and what a busy machine may add to it.
const WITHIN: Duration = Duration::from_millis(2600 + 5000);

/// How long after a death the person was in, and how long until they were moved.
#[derive(Clone, Copy)]
struct Recovery {
    in_after: Duration,
    moved_after: Duration,
}

/// What became of the people whose replicas were to die at one moment.
struct Case {
    /// `None` when nobody came as far as that.
    recovery: Option<Recovery>,
    /// How many of them came.
    came: usize,
}

/// A replica of its own dies at this step of this person's first sign-in; another one takes over. `None` when it did not
/// come so far.
fn dies_at(point: &str, person: &Person, fleet: &Fleet, load: &Load, survivor: usize) -> Option<Recovery> {
    let mut victim = fleet.another(&[("CROSSFADE_FAILPOINT", point)]);
    let at = victim.public;
    let died = thread::scope(|scope| {
        let client = scope.spawn(|| {
            loop {
                match block_on(load.sign_in(at, &person.email)) {
                    Got::LetIn(_) | Got::Busy(..) => thread::park_timeout(Duration::from_millis(100)),
                    got => break got,
                }
            }
        });
        let is_reached = wait::until(&format!("{point} is reached"), || {
            let is_reached = is_at_failpoint(&victim);
            (is_reached || client.is_finished()).then_some(is_reached)
        });
        if !is_reached {
            let got = client.join().unwrap();
            assert!(matches!(got, Got::HandedOver), "{point}: {got:?}");
            return None;
        }
        victim.kill();
        Some(now())
    })?;
    let place = fleet.addresses()[survivor % fleet.replicas.len()];
    let mut in_after = None;
    wait::until(&format!("{} is moved by another replica", person.id), || {
        let got = block_on(load.sign_in(place, &person.email));
        assert!(matches!(got, Got::HandedOver | Got::LetIn(_)), "{point}: {got:?}");
        in_after.get_or_insert_with(|| died.elapsed());
        matches!(got, Got::HandedOver).then_some(())
    });
    Some(Recovery { in_after: in_after.unwrap(), moved_after: died.elapsed() })
}

fn is_at_failpoint(victim: &Crossfade) -> bool {
    victim.process.stderr().contains("failpoint reached")
}

fn dies_once_at(point: &str, people: &[Person], fleet: &Fleet, load: &Load, survivor: usize) -> Case {
    let mut came = 0;
    let recovery = people.iter().find_map(|person| {
        came += 1;
        dies_at(point, person, fleet, load, survivor)
    });
    Case { recovery, came }
}

/// Each moment as often as there are rounds; how each person was helped, and how many were finished before the death.
fn play(behaviour: &str, points: &[String], rounds: usize) -> (Vec<Recovery>, usize) {
    let candidates: Vec<Vec<Person>> = (0..points.len() * rounds)
        .map(|case| {
            (0..CANDIDATES).map(|number| Person::new(&format!("person-{case:04}-{number}"))).collect()
        })
        .collect();
    let settings = json!({ "on_duplicate": behaviour });
    let cast = Cast { people: candidates.concat(), settings, ..Cast::default() };
    let fleet = Fleet::start(&cast, 2, &[NO_LIMITS.as_slice(), &SHORT_LEASE].concat());
    let load = Load::before(&fleet);
    let (mut recoveries, mut came) = (Vec::new(), Vec::new());
    for round in candidates.chunks(points.len()) {
        let cases: Vec<(&String, &Vec<Person>)> = points.iter().zip(round).collect();
        for at_once in cases.chunks(AT_ONCE) {
            let ended: Vec<Case> = thread::scope(|scope| {
                let (fleet, load) = (&fleet, &load);
                let victims = at_once.iter().enumerate().map(|(number, (point, people))| {
                    scope.spawn(move || dies_once_at(point, people, fleet, load, number))
                });
                let victims: Vec<_> = victims.collect();
                victims.into_iter().map(|victim| victim.join().unwrap()).collect()
            });
            for (case, (point, people)) in ended.iter().zip(at_once) {
                came.extend_from_slice(&people[..case.came]);
                let recovery = case.recovery;
                recoveries.push(recovery.unwrap_or_else(|| panic!("{behaviour}: nobody dies at {point}")));
            }
        }
        fleet.scene.scalekit.judge();
    }
    load.assert_nobody_was_wronged();
    fleet.assert_one_user_each(&came);
    assert_eq!(fleet.scene.scalekit.look("counts")["duplicates_made"], 0, "{behaviour}");
    let missed = came.len() - recoveries.len();
    (recoveries, missed)
}

#[test]
fn whatever_step_a_replica_dies_at_another_one_goes_on() {
    let moments = |steps: &[&str]| -> Vec<String> {
        steps.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]).collect()
    };
    let (behaviours, points, rounds) = if figures::long() {
        (BEHAVIOURS.as_slice(), moments(&STEPS), 20)
    } else {
        // Each step once, where nothing at Scalekit is unique.
        let every_other = moments(&STEPS).into_iter().enumerate();
        let points =
            every_other.filter(|(number, _)| number % 4 == 0 || number % 4 == 3).map(|(_, point)| point);
        (&BEHAVIOURS[3..], points.collect(), 1)
    };
    for behaviour in behaviours {
        let (recoveries, missed) = play(behaviour, &points, rounds);
        let in_after = recoveries.iter().map(|recovery| recovery.in_after).max().unwrap();
        let moved_after = recoveries.iter().map(|recovery| recovery.moved_after).max().unwrap();
        figures::note(&format!(
            "killed at {} moments × {rounds}, duplicates: {behaviour}: {} deaths ({missed} more were finished before \
             them), 0 doubled, 0 lost; in at another replica within {:.1} s, moved within {:.1} s (lease 2.6 s)",
            points.len(),
            recoveries.len(),
            secs(in_after),
            secs(moved_after),
        ));
        assert!(in_after <= WITHIN && moved_after <= WITHIN, "{behaviour}: {in_after:?}, {moved_after:?}");
    }
}

/// A replica that stood still for longer than its lease, as a paused machine does, wakes up in the middle of a person
/// whom another one has moved meanwhile; and nothing is unique at Scalekit.
#[test]
fn a_replica_that_sleeps_through_its_lease_creates_nobody_twice() {
    let points =
        ["after:store_intent", "before:create", "after:create", "before:store_created", "before:store_end"];
    let people: Vec<Person> = points.iter().map(|point| Person::new(&point.replace(':', "-"))).collect();
    let settings = json!({ "on_duplicate": "second_user" });
    let cast = Cast { people: people.clone(), settings, ..Cast::default() };
    let fleet = Fleet::start(&cast, 2, &[NO_LIMITS.as_slice(), &SHORT_LEASE].concat());
    let load = Load::before(&fleet);
    thread::scope(|scope| {
        for (point, person) in points.iter().zip(&people) {
            let (fleet, load) = (&fleet, &load);
            scope.spawn(move || {
                let pause = format!("{point}:6000");
                let sleeper = fleet.another(&[("CROSSFADE_FAILPOINT", &pause)]);
                let got = thread::scope(|scope| {
                    let asleep = scope.spawn(|| block_on(load.sign_in(sleeper.public, &person.email)));
                    wait::until(&format!("{point} is reached"), || is_at_failpoint(&sleeper).then_some(()));
                    // It has the claim for as long as the lease; then another one is at work.
                    wait::until(&format!("{} is moved by another replica", person.id), || {
                        let got = block_on(load.sign_in(fleet.addresses()[1], &person.email));
                        assert!(matches!(got, Got::HandedOver | Got::LetIn(_)), "{point}: {got:?}");
                        matches!(got, Got::HandedOver).then_some(())
                    });
                    assert!(!asleep.is_finished(), "{point}: it woke up too early");
                    asleep.join().unwrap()
                });
                assert!(matches!(got, Got::HandedOver | Got::LetIn(_)), "{point}: {got:?}");
            });
        }
    });
    let [received, doubled] = ["creates_received", "duplicates_made"]
        .map(|name| fleet.scene.scalekit.look("counts")[name].as_u64().unwrap());
    figures::note(&format!(
        "{} replicas slept through their leases: {received} creates received, {doubled} duplicates; {}",
        points.len(),
        load.counts.told()
    ));
    load.assert_nobody_was_wronged();
    assert_eq!((received, doubled), (points.len() as u64, 0));
    fleet.assert_one_user_each(&people);
}

/// People sign in one after the other at all replicas while one replica after the other is killed and started anew.
#[test]
fn replicas_that_are_killed_under_load_lose_and_double_nobody() {
    let (kills, pause, most) = if figures::long() {
        (12, Duration::from_secs(5), 20_000)
    } else {
        (2, Duration::from_millis(1200), 2_000)
    };
    let people: Vec<Person> = (0..most).map(|number| Person::new(&format!("person-{number:05}"))).collect();
    let settings = json!({ "on_duplicate": "second_user" });
    let cast = Cast { people: people.clone(), settings, ..Cast::default() };
    let mut fleet = Fleet::start(&cast, 3, &[NO_LIMITS.as_slice(), &SHORT_LEASE].concat());
    let load = Load::before(&fleet);
    let places = fleet.addresses();
    let (over, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (begun, mut killed) = (now(), 0);
    let ended = thread::scope(|scope| {
        let (load, over, came, people, places) = (&load, &over, &came, &people, &places);
        let crowd = scope.spawn(move || {
            // So many take turns; each of them signs in the next person, and in the end the first ones again.
            let turn = async |number: usize| {
                let mut worst = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    let next = came.fetch_add(1, Ordering::Relaxed);
                    let person = &people[next % people.len()];
                    let (took, got) = load.until_in(places, number + next, &person.email).await;
                    assert!(matches!(got, Got::HandedOver | Got::LetIn(_)), "{got:?}");
                    worst = worst.max(took);
                }
                worst
            };
            block_on(join_all((0..12).map(turn))).into_iter().max().unwrap()
        });
        while killed < kills && !crowd.is_finished() {
            thread::park_timeout(pause);
            let victim = killed % fleet.replicas.len();
            fleet.replicas[victim].start_again();
            fleet.scene.scalekit.judge();
            killed += 1;
        }
        over.store(true, Ordering::Relaxed);
        crowd.join().unwrap()
    });
    let came = &people[..came.load(Ordering::Relaxed).min(people.len())];
    figures::note(&format!(
        "{killed} replicas killed under load, one each {:.1} s: {} people in {:.1} s: {}; nobody was sent away more \
         than {} times, the slowest was in after {:.1} s",
        secs(pause),
        came.len(),
        secs(begun.elapsed()),
        load.counts.told(),
        load.most_refusals(),
        secs(ended),
    ));
    load.assert_nobody_was_wronged();
    assert_eq!(killed, kills);
    assert!(load.counts.of("cut") > 0, "nobody was in the hands of those who died");
    // Whoever was in the hands of a dead replica waits for its lease first.
    wait::within(Duration::from_millis(2600), || None::<()>);
    assert_all_can_sign_in(&fleet, &load, came, 3);
    fleet.assert_one_user_each(came);
    assert_eq!(fleet.scene.scalekit.look("counts")["duplicates_made"], 0);
}
