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

/// Every so-manieth of the crowd is somebody else, with a name of their own.
const STRANGERS: usize = 50;

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
    let people: Vec<Person> =
        (0..=size / STRANGERS).map(|number| Person::new(&format!("person-{number}"))).collect();
    let (ann, strangers) = people.split_first().unwrap();
    let fleet = Fleet::start(&Cast { people: people.clone(), ..Cast::default() }, REPLICAS, &NO_LIMITS);
    let load = Load::before(&fleet);
    let places = fleet.addresses();
    let one = |number: usize| {
        let person = if number % STRANGERS == 1 { &strangers[number / STRANGERS] } else { ann };
        let (load, places) = (&load, &places);
        async move {
            let (took, got) = load.until_in(places, number, &person.email).await;
            if let Got::LetIn(session) = &got {
                assert_eq!(load.whose(session).await, person.email, "let in as somebody else");
            }
            (took, got)
        }
    };
    let begun = now();
    let ended = judged(&fleet.scene.scalekit, || block_on(join_all((0..size).map(one))));
    let in_all = begun.elapsed();
    let longest = ended.iter().map(|(took, _)| *took).max().unwrap();
    figures::note(&format!(
        "{size} sign-ins at once at {REPLICAS} replicas, {} of one person: {}; each was in within {:.1} s, all within \
         {:.1} s",
        size - strangers.len(),
        load.counts.told(),
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
    assert_eq!((accepted, doubled), (people.len() as u64, 0), "no more than one create each");
}

#[test]
fn people_whose_creates_get_lost_are_all_there_once() {
    allow_files();
    // So many at a time, so that two cores have time for moving them.
    let (crowds, size) = if figures::long() { (500, 20) } else { (10, 15) };
    let people: Vec<Person> =
        (0..crowds * size).map(|number| Person::new(&format!("person-{number:05}"))).collect();
    let fleet = Fleet::start(&Cast { people: people.clone(), ..Cast::default() }, REPLICAS, &NO_LIMITS);
    fleet.scene.scalekit.set_faults(
        &json!({ "kind": "lost", "method": "POST", "path": "/api/v1/organizations/", "every": 20 }),
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
        fleet.scene.scalekit.clear_faults();
        let took = begun.elapsed();
        let [received, accepted, doubled] = ["creates_received", "creates_accepted", "duplicates_made"]
            .map(|name| tally(&fleet.scene.scalekit, name));
        figures::note(&format!(
            "{} people × {REPLICAS} sign-ins at {REPLICAS} replicas, each 20th answer to a create lost: {}; {received} \
             creates received, {accepted} accepted, {doubled} duplicates; {:.1} s",
            people.len(),
            load.counts.told(),
            secs(took),
        ));
        load.assert_nobody_was_wronged();
        assert_eq!(doubled, 0);
        assert_all_can_sign_in(&fleet, &load, &people, 2);
        assert_eq!(tally(&fleet.scene.scalekit, "creates_accepted"), people.len() as u64);
    });
    fleet.assert_one_user_each(&people);
}
