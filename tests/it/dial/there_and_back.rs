//! At 50 % and back, three times (REL-10): nobody is created twice, and everybody gets in each time.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{Trio, explained, now, status, turned};
use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        http::Answer,
        scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene},
    },
};

/// How many people are signed in at the same time.
const AT_A_TIME: usize = 6;

/// Somebody may sign in as often as this test does, and nobody is sent away because others are hashed first.
const CROWD: [(&str, &str); 2] =
    [("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000"), ("CROSSFADE_LEGACY__HASH_QUEUE", "1000")];

/// Where a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Application,
    Scalekit,
}

/// One sign-in through the form, at any replica; whoever is handed over comes back into a session.
fn sign_in(trio: &Trio, at: &Crossfade, email: &str) -> Way {
    let visitor = at.visitor();
    let answer = trio.scene.sign_in(&visitor, email, PASSWORD);
    if Scene::is_in_the_application(&answer) {
        return Way::Application;
    }
    assert!(trio.scene.is_handed_over(&answer), "{email} is locked out: {} {}", answer.status, answer.text());
    comes_back(trio, &visitor, &answer, email);
    Way::Scalekit
}

fn comes_back(trio: &Trio, visitor: &crate::support::http::Visitor, handed_over: &Answer, email: &str) {
    let callback = trio.scene.callback_of(handed_over, email);
    let origin = format!("http://{}", trio.scene.public());
    let back = visitor.get(callback.strip_prefix(&origin).expect("Scalekit sends back to the site"));
    assert_eq!(back.status, 303, "{email}: {}", back.text());
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], true, "{email}");
}

/// Everybody once, several at a time, at changing replicas.
fn everybody(trio: &Trio, emails: &[String]) -> BTreeMap<String, Way> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| {
                    let mut ways = Vec::new();
                    loop {
                        let turn = next.fetch_add(1, Ordering::Relaxed);
                        let Some(email) = emails.get(turn) else { return ways };
                        let at = &trio.replicas[turn % trio.replicas.len()];
                        ways.push((email.clone(), sign_in(trio, at, email)));
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// The figures of the status against the ways that sign-ins really took: of the people with a row, who are those that
/// were ever within the percentage, and those born new.
fn figures_are_what_was_measured(people: &Value, within: usize, born: usize, over: usize) {
    let share = |part: usize, whole: usize| match (part * 10_000 + whole / 2).checked_div(whole) {
        None => "0%".to_owned(),
        Some(points) => {
            let text = format!("{}.{:02}", points / 100, points % 100);
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        }
    };
    assert_eq!((&people["known"], &people["born_new"]), (&json!(within + born), &json!(born)), "{people}");
    assert_eq!(people["pinned"], within + born, "{people}");
    assert_eq!(people["real_share"], share(over + born, within + born), "{people}");
    // Everybody who is within has crossed with their sign-in.
    assert_eq!((&people["share_not_pinned"], &people["set_aside"]), (&json!("0%"), &json!(0)), "{people}");
}

#[test]
fn back_and_forth_three_times_makes_nobody_twice_and_locks_nobody_out() {
    let (legacy, born) = if figures::long() { (990, 10) } else { (18, 2) };
    let people: Vec<Person> = (0..legacy).map(|n| Person::new(&format!("p{n}"))).collect();
    let newcomers: Vec<String> = (0..born).map(|n| format!("newcomer{n}@example.com")).collect();
    let users: Vec<Value> = (0_u64..)
        .zip(&newcomers)
        .map(|(n, email)| {
            json!({ "id": format!("usr_{}", 170_000_000_000_000_001 + n), "email": email,
                "memberships": [{ "organization_id": ORGANIZATION }] })
        })
        .collect();
    let trio = Trio::start(&Cast { people: people.clone(), users, ..Cast::default() }, &CROWD);
    for (n, email) in newcomers.iter().enumerate() {
        let visitor = trio.replicas[n % 3].visitor();
        let begun = visitor.get("/.crossfade/initiate");
        assert!(trio.scene.is_handed_over(&begun), "{}", begun.text());
        comes_back(&trio, &visitor, &begun, email);
        assert_eq!(explained(&trio.replicas[0], email).1, "born_new");
    }
    let emails: Vec<String> =
        people.iter().map(|person| person.email.clone()).chain(newcomers.clone()).collect();
    let mut within = None;
    for round in 0..3 {
        for (arguments, cutover) in [
            (&["set", "50%", "--rollback", "keep"][..], "50%"),
            (&["rollback", "--mode", "legacy"][..], "0%"),
        ] {
            turned(&trio.replicas[round % 3], arguments);
            trio.all_within(now(), |replica| status(replica)["in_force"]["cutover"] == cutover);
            let ways = everybody(&trio, &emails);
            for newcomer in &newcomers {
                assert_eq!(ways[newcomer], Way::Scalekit, "born-new people always stay new");
            }
            let over: Vec<String> = people
                .iter()
                .filter(|person| ways[&person.email] == Way::Scalekit)
                .map(|person| person.email.clone())
                .collect();
            if cutover == "0%" {
                assert_eq!(over, Vec::<String>::new(), "everybody else goes back");
            } else {
                // The same people each time: a bucket is for good.
                assert_eq!(within.get_or_insert_with(|| over.clone()), &over);
            }
            let within = within.as_ref().map_or(0, Vec::len);
            figures_are_what_was_measured(&status(&trio.replicas[0])["people"], within, born, over.len());
        }
    }
    let within = within.unwrap();
    assert!(!within.is_empty() && within.len() < people.len(), "{} of {}", within.len(), people.len());
    let state = status(&trio.replicas[0]);
    assert_eq!(state["people"]["pinned"], within.len() + newcomers.len(), "{state:#}");
    let users = trio.scene.scalekit.users();
    let mut of_each: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users["users"].as_array().unwrap() {
        *of_each.entry(user["email"].as_str().unwrap()).or_default() += 1;
    }
    let twice = of_each.values().filter(|count| **count > 1).count();
    figures::note(&format!(
        "dial: three times to 50% and back over 3 replicas: {} people ({} born new), {} within, {} sign-ins, 0 locked \
         out, {twice} users twice",
        emails.len(),
        newcomers.len(),
        within.len(),
        emails.len() * 6,
    ));
    assert_eq!(twice, 0, "{of_each:?}");
    assert_eq!(of_each.len(), within.len() + newcomers.len(), "exactly those who crossed have a user");
}
