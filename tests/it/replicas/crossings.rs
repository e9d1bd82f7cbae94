//! Replicas that are killed (SIGKILL) around the last step, the session: somebody comes back from Scalekit, their row is
//! marked or, where nobody knows them, written, and the session opened (REL-05, step 8).

use std::{thread, time::Duration};

use serde_json::{Value, json};

use super::SHORT_LEASE;
use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        fleet::Fleet,
        http::{self, Answer, Visitor},
        scene::{Cast, ORGANIZATION, PASSWORD, Person},
        wait,
    },
};

/// Somebody who moved and comes back to their first session.
const CROSSING: [&str; 4] = ["before:cross", "after:cross", "before:open_session", "after:open_session"];

/// Somebody whom only Scalekit knows.
const BORN_NEW: [&str; 5] = [
    "before:claim_born_new",
    "after:claim_born_new",
    "after:store_born_new",
    "before:open_session",
    "after:open_session",
];

/// The lease of [`SHORT_LEASE`], and what a busy machine may add to it.
const WITHIN: Duration = Duration::from_millis(2600 + 5000);

/// Who comes, and from where.
#[derive(Clone)]
enum Comer {
    Legacy(Person),
    BornNew(String),
}

impl Comer {
    fn email(&self) -> &str {
        match self {
            Self::Legacy(person) => &person.email,
            Self::BornNew(email) => email,
        }
    }

    /// To Scalekit, and the path of the way back.
    fn leaves(&self, fleet: &Fleet, at: &Crossfade) -> (Visitor, String) {
        let (visitor, begun) = wait::until(&format!("{} is on the way", self.email()), || {
            let visitor = at.visitor();
            let begun = match self {
                Self::Legacy(person) => fleet.scene.sign_in(&visitor, &person.email, PASSWORD),
                Self::BornNew(_) => visitor.get("/.crossfade/initiate"),
            };
            fleet.scene.is_handed_over(&begun).then_some((visitor, begun))
        });
        let path = self.way_back(fleet, &begun);
        (visitor, path)
    }

    fn way_back(&self, fleet: &Fleet, begun: &Answer) -> String {
        let callback = fleet.scene.callback_of(begun, self.email());
        let origin = format!("http://{}", fleet.scene.public());
        callback.strip_prefix(&origin).expect("Scalekit sends back to the site").to_owned()
    }
}

/// A replica dies at this moment of somebody's return, and they come again at another one; after how long they were in.
fn dies_at(point: &str, comer: &Comer, fleet: &Fleet, survivor: usize) -> Duration {
    let mut victim = fleet.another(&[("CROSSFADE_FAILPOINT", point)]);
    let (visitor, path) = comer.leaves(fleet, &victim);
    let request = visitor.request(reqwest::Method::GET, &path);
    let returns = thread::spawn(move || http::fails(request));
    wait::until(&format!("{point} is reached"), || {
        victim.process.stderr().contains("failpoint reached").then_some(())
    });
    victim.kill();
    let died = wait::reading();
    assert!(returns.join().unwrap(), "{point}: nobody answers");
    let survivor = &fleet.replicas[survivor % fleet.replicas.len()];
    wait::until(&format!("{point}: {} is in", comer.email()), || {
        let (visitor, path) = comer.leaves(fleet, survivor);
        let back = visitor.get(&path);
        if back.status != 303 {
            assert!(back.status == 503 && back.header("retry-after").is_some(), "{point}: {}", back.text());
            return None;
        }
        let home = visitor.get("/");
        assert!(home.text().contains(comer.email()), "{point}: {}: {}", home.status, home.text());
        Some(())
    });
    wait::since(died)
}

/// One user at Scalekit, and one row of theirs, which says that they crossed.
fn assert_one(comer: &Comer, fleet: &Fleet, rows: &[Value]) {
    let users = fleet.scene.users_with(comer.email());
    assert_eq!(users.len(), 1, "{users:?}");
    let theirs: Vec<&Value> = rows.iter().filter(|row| row["user"] == users[0]["id"]).collect();
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    let (row, user) = (theirs[0], &users[0]);
    assert!(row["state"] == "done" && !row["crossed_at"].is_null(), "{row}");
    match comer {
        Comer::Legacy(person) => assert_eq!(user["external_id"], person.external_id().as_str()),
        Comer::BornNew(_) => assert!(user["external_id"].is_null() && row["origin"] == "born_new", "{row}"),
    }
}

#[test]
fn whatever_moment_of_a_return_a_replica_dies_at_the_person_comes_again_into_a_session() {
    let rounds = if figures::long() { 20 } else { 1 };
    let number = |points: usize| (0..rounds).flat_map(move |round| (0..points).map(move |at| (round, at)));
    let moved =
        number(CROSSING.len()).map(|(round, at)| Comer::Legacy(Person::new(&format!("p{round}-{at}"))));
    let born =
        number(BORN_NEW.len()).map(|(round, at)| Comer::BornNew(format!("new{round}-{at}@example.com")));
    let comers: Vec<Comer> = moved.chain(born).collect();
    let points = CROSSING.iter().cycle().take(rounds * CROSSING.len());
    let points: Vec<&str> =
        points.chain(BORN_NEW.iter().cycle().take(rounds * BORN_NEW.len())).copied().collect();
    let mut cast =
        Cast { settings: json!({ "on_duplicate": "second_user", "sign_up": false }), ..Cast::default() };
    for (number, comer) in comers.iter().enumerate() {
        match comer {
            Comer::Legacy(person) => cast.people.push(person.clone()),
            Comer::BornNew(email) => cast.users.push(json!({
                "id": format!("usr_{}", 170_000_000_000_000_000_u64 + number as u64), "email": email,
                "memberships": [{ "organization_id": ORGANIZATION }] })),
        }
    }
    let fleet = Fleet::start(&cast, 2, &SHORT_LEASE);
    let mut longest = Duration::ZERO;
    let cases: Vec<(usize, (&str, &Comer))> = points.into_iter().zip(&comers).enumerate().collect();
    for at_once in cases.chunks(3) {
        let times: Vec<Duration> = thread::scope(|scope| {
            let fleet = &fleet;
            let victims = at_once
                .iter()
                .map(|(number, (point, comer))| scope.spawn(move || dies_at(point, comer, fleet, *number)));
            let victims: Vec<_> = victims.collect();
            victims.into_iter().map(|victim| victim.join().unwrap()).collect()
        });
        longest = times.into_iter().fold(longest, Duration::max);
        fleet.scene.scalekit.judge();
    }
    let rows = fleet.redis.ledger();
    assert_eq!(rows.len(), comers.len());
    for comer in &comers {
        assert_one(comer, &fleet, &rows);
    }
    assert_eq!(fleet.scene.scalekit.look("counts")["duplicates_made"], 0);
    figures::note(&format!(
        "killed at {} moments of a return × {rounds}: {} deaths, 0 doubled, 0 lost; in at another replica within {:.1} s \
         (lease 2.6 s)",
        CROSSING.len() + BORN_NEW.len(),
        comers.len(),
        longest.as_secs_f64(),
    ));
    assert!(longest <= WITHIN, "{longest:?}");
}
