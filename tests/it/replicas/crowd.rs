//! Very many sign-ins at once: of one person, and of many people whose creates' answers are lost.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use super::{
    NO_LIMITS,
    load::{Got, Load, assert_all_can_sign_in, secs},
};
use crate::{
    crowds::allow_files,
    edge::figures,
    support::{
        fleet::Fleet,
        http::block_on,
        scene::{Cast, Person},
        simulator::Simulator,
        wire::now,
    },
};

const REPLICAS: usize = 3;

/// For so many sign-ins of one person there is one of somebody else, who comes between them.
const STRANGER_AMONG: usize = 50;

/// Of so many creates one loses its answer.
const LOST_EACH: u64 = 20;

/// The world of these people in which no refusal of Scalekit's hides a second create.
fn nothing_is_unique(people: &[Person]) -> Cast {
    let settings = json!({ "on_duplicate": "second_user" });
    Cast { people: people.to_vec(), settings, ..Cast::default() }
}

fn tally(scalekit: &Simulator, name: &str) -> u64 {
    scalekit.look("counts")[name].as_u64().unwrap()
}

/// Has the exchanges with Scalekit judged while `play` goes on: there are more of them than are kept.
fn judged<T>(scalekit: &Simulator, play: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                scalekit.judge();
                thread::park_timeout(Duration::from_millis(500));
            }
        });
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(play));
        over.store(true, Ordering::Relaxed);
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn a_crowd_of_one_person_at_three_replicas_becomes_one_user() {
    allow_files();
    let size = if figures::long() { 10_000 } else { 500 };
    let strangers = size / STRANGER_AMONG;
    let people: Vec<Person> =
        (0..=strangers).map(|number| Person::new(&format!("person-{number}"))).collect();
    let (ann, others) = people.split_first().unwrap();
    let fleet = Fleet::start(&nothing_is_unique(&people), REPLICAS, &NO_LIMITS);
    let load = Load::before(&fleet);
    let places = fleet.addresses();
    let crowd: Vec<&Person> = (0..size)
        .flat_map(|number| {
            let stranger = (number % STRANGER_AMONG == 1).then(|| &others[number / STRANGER_AMONG]);
            [Some(ann), stranger]
        })
        .flatten()
        .collect();
    assert_eq!(crowd.len(), size + strangers);
    let begun = now();
    let all = crowd.iter().enumerate().map(|(number, person)| load.until_in(&places, number, &person.email));
    let ended = judged(&fleet.scene.scalekit, || block_on(join_all(all)));
    let in_all = begun.elapsed();
    let longest = ended.iter().map(|(took, _)| *took).max().unwrap();
    figures::note(&format!(
        "{size} sign-ins at once of one person and {strangers} of others at {REPLICAS} replicas: {}; nobody was sent \
         away more than {} times, each was in within {:.1} s, all within {:.1} s",
        load.counts.told(),
        load.most_refusals(),
        secs(longest),
        secs(in_all),
    ));
    load.assert_nobody_was_wronged();
    assert_eq!(load.counts.of("cut"), 0, "everybody gets an answer");
    let outside = ended.iter().filter(|(_, got)| !matches!(got, Got::HandedOver | Got::LetIn(_))).count();
    assert_eq!(outside, 0, "everybody is in at last");
    let users = fleet.scene.users_with(&ann.email);
    assert_eq!(users.len(), 1);
    assert_eq!(users[0]["external_id"], ann.external_id().as_str());
    assert_all_can_sign_in(&fleet, &load, &people, 3);
    fleet.assert_one_user_each(&people);
    let [received, accepted, doubled] = ["creates_received", "creates_accepted", "duplicates_made"]
        .map(|name| tally(&fleet.scene.scalekit, name));
    figures::note(&format!(
        "creates of {} people: {received} received, {accepted} accepted, {doubled} duplicates",
        people.len()
    ));
    assert_eq!(
        (received, accepted, doubled),
        (people.len() as u64, people.len() as u64, 0),
        "one create each"
    );
}

#[test]
fn people_whose_creates_get_lost_are_all_there_once() {
    allow_files();
    // So many at a time, so that two cores have time for moving them.
    let (crowds, size) = if figures::long() { (500, 20) } else { (10, 15) };
    let people: Vec<Person> =
        (0..crowds * size).map(|number| Person::new(&format!("person-{number:05}"))).collect();
    let fleet = Fleet::start(&nothing_is_unique(&people), REPLICAS, &NO_LIMITS);
    fleet.scene.scalekit.set_faults(
        &json!({ "kind": "lost", "method": "POST", "path": "/api/v1/organizations/", "every": LOST_EACH }),
    );
    let load = Load::before(&fleet);
    let places = fleet.addresses();
    let begun = now();
    judged(&fleet.scene.scalekit, || {
        for crowd in people.chunks(size) {
            let all = crowd
                .iter()
                .flat_map(|person| (0..REPLICAS).map(move |replica| (person, replica)))
                .map(|(person, replica)| load.until_in(&places, replica, &person.email));
            for (_, got) in block_on(join_all(all)) {
                assert!(matches!(got, Got::HandedOver | Got::LetIn(_)), "{got:?}");
            }
        }
        let took = begun.elapsed();
        let counts = fleet.scene.scalekit.look("counts");
        let [received, lost, doubled] =
            ["creates_received", "faults_hit", "duplicates_made"].map(|name| counts[name].as_u64().unwrap());
        figures::note(&format!(
            "{} people × {REPLICAS} sign-ins at {REPLICAS} replicas, the answers to {lost} of {received} creates lost: {}; \
             nobody was sent away more than {} times; {doubled} duplicates; {:.1} s",
            people.len(),
            load.counts.told(),
            load.most_refusals(),
            secs(took),
        ));
        load.assert_nobody_was_wronged();
        // One may be under way just now.
        assert!(lost > 0 && lost.abs_diff(received / LOST_EACH) <= 1, "{lost} of {received}");
        assert_eq!(doubled, 0);
        fleet.scene.scalekit.clear_faults();
        assert_all_can_sign_in(&fleet, &load, &people, 2);
        let counts = ["creates_received", "creates_accepted"].map(|name| tally(&fleet.scene.scalekit, name));
        assert_eq!(counts, [people.len() as u64; 2], "one create each, whatever became of its answer");
    });
    fleet.assert_one_user_each(&people);
}
