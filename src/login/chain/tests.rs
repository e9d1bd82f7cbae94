//! Several stores together: who is asked, and who sees the password.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;

use super::*;
use crate::{
    identity::{LegacyRecord, Password},
    login::{ClientFacts, Counted, ErrorClass, tests::record},
};

/// A store whose people all have the password `right`.
struct Scripted {
    name: SourceName,
    people: Vec<LegacyRecord>,
    presence: Result<Presence, ()>,
    /// Says of no name that it is nobody's, as a service that hides who is there.
    hides_names: bool,
    judges: bool,
    serves: bool,
    tried: Mutex<usize>,
}

fn error(source: &SourceName) -> LegacyError {
    let class = ErrorClass::Transient { retry_after: None };
    LegacyError {
        source_name: source.clone(),
        class,
        problem: "down".into(),
        counted: Counted::Perhaps,
        cause: None,
    }
}

fn store(name: &str, people: &[&str]) -> Scripted {
    let name = SourceName::parse(name).unwrap();
    let people: Vec<LegacyRecord> =
        people.iter().map(|id| LegacyRecord { source: name.clone(), ..record(id) }).collect();
    Scripted {
        name,
        people,
        presence: Ok(Presence::Nobody),
        hides_names: false,
        judges: true,
        serves: true,
        tried: Mutex::default(),
    }
}

fn down(name: &str) -> Scripted {
    Scripted { presence: Err(()), ..store(name, &[]) }
}

fn blind(name: &str, people: &[&str]) -> Scripted {
    Scripted { presence: Ok(Presence::CannotTell), ..store(name, people) }
}

fn application() -> Scripted {
    Scripted { judges: false, ..blind("app", &[]) }
}

impl Scripted {
    fn answer<T>(&self, value: T) -> Result<T, LegacyError> {
        if self.presence.is_err() { Err(error(&self.name)) } else { Ok(value) }
    }

    fn named(&self, name: &LoginName) -> Option<LegacyRecord> {
        self.people.iter().find(|person| person.login == name.canonical()).cloned()
    }
}

#[async_trait]
impl LegacyStore for Scripted {
    fn source(&self) -> &SourceName {
        &self.name
    }

    fn serves(&self, _: &LoginName) -> bool {
        self.serves
    }

    fn verifies_passwords(&self) -> bool {
        self.judges
    }

    fn holds_records(&self) -> bool {
        self.judges
    }

    async fn verify(&self, attempt: &Attempt, _: Deadline) -> Result<Verdict, LegacyError> {
        *self.tried.lock().unwrap() += 1;
        self.answer(match self.named(&attempt.name) {
            None if self.hides_names => Verdict::Rejected(Rejection::WrongPassword),
            None => Verdict::Rejected(Rejection::Unknown),
            Some(person) if attempt.password.expose() == b"right" => Verdict::Verified(Box::new(person)),
            Some(_) => Verdict::Rejected(Rejection::WrongPassword),
        })
    }

    async fn presence(&self, name: &LoginName, _: Deadline) -> Result<Presence, LegacyError> {
        let known = self.named(name).map_or(Presence::Nobody, |_| Presence::Somebody);
        self.answer(if self.presence == Ok(Presence::CannotTell) { Presence::CannotTell } else { known })
    }

    async fn look_up(&self, name: &LoginName, _: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let known = if self.presence == Ok(Presence::CannotTell) { None } else { self.named(name) };
        self.answer(known)
    }

    async fn read(&self, id: &LegacyId, _: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        self.answer(self.people.iter().find(|person| person.id == *id).cloned())
    }

    async fn holders(&self, email: &CanonicalEmail, _: Deadline) -> Result<Holders, LegacyError> {
        if !self.judges {
            return Ok(Holders::CannotTell);
        }
        let holder =
            self.people.iter().find(|person| person.email.address.as_deref() == Some(email.as_str()));
        self.answer(holder.map_or(Holders::Nobody, |person| Holders::One(person.id.clone())))
    }
}

#[tokio::test]
async fn a_guess_that_one_store_judged_is_not_free_because_another_is_away() {
    let attempt = Attempt {
        name: ann(),
        password: Arc::new(Password::unchecked(b"wrong".to_vec())),
        client: ClientFacts { address: [127, 0, 0, 1].into(), user_agent: None },
    };
    let counted = async |stores: Vec<Scripted>| {
        let chain = Chain::new(stores.into_iter().map(|store| Arc::new(store) as _).collect());
        chain.verify(&attempt, soon()).await.err().unwrap().counted
    };
    assert_eq!(counted(vec![blind("first", &[]), down("second")]).await, Counted::Yes);
    assert_eq!(counted(vec![down("first")]).await, Counted::Perhaps, "as it says");
    for untried in [vec![down("first"), blind("second", &[])], vec![store("first", &[]), down("second")]] {
        assert_eq!(counted(untried).await, Counted::No, "no name was found to try it at");
    }
}

/// The verdict on ann's guess, and how often each store saw it.
async fn guess(stores: Vec<Scripted>, password: &str) -> (Result<Verdict, ()>, Vec<usize>) {
    let (judged, tried) = judged(stores, password).await;
    (judged.map(|judged| judged.verdict), tried)
}

async fn judged(stores: Vec<Scripted>, password: &str) -> (Result<Judged, ()>, Vec<usize>) {
    let stores: Vec<Arc<Scripted>> = stores.into_iter().map(Arc::new).collect();
    let chain = Chain::new(stores.iter().map(|store| Arc::clone(store) as _).collect());
    let attempt = Attempt {
        name: ann(),
        password: Arc::new(Password::unchecked(password.as_bytes().to_vec())),
        client: ClientFacts { address: [127, 0, 0, 1].into(), user_agent: None },
    };
    let judged = chain.verify(&attempt, soon()).await.map_err(|_| ());
    (judged, stores.iter().map(|store| *store.tried.lock().unwrap()).collect())
}

fn ann() -> LoginName {
    LoginName::parse("ann@example.com").unwrap()
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(5))
}

fn verified_by(source: &str) -> Verdict {
    let record = LegacyRecord { source: SourceName::parse(source).unwrap(), ..record("ann") };
    Verdict::Verified(Box::new(record))
}

const NO: Result<Verdict, ()> = Ok(Verdict::Rejected(Rejection::WrongPassword));
const UNKNOWN: Result<Verdict, ()> = Ok(Verdict::Rejected(Rejection::Unknown));

#[tokio::test]
async fn the_password_is_seen_by_the_store_that_has_the_name_alone() {
    let three = || vec![store("a", &["bob"]), store("b", &["ann"]), store("c", &[])];
    assert_eq!(guess(three(), "right").await, (Ok(verified_by("b")), vec![0, 1, 0]));
    assert_eq!(guess(three(), "wrong").await, (NO, vec![0, 1, 0]));
}

#[tokio::test]
async fn a_store_that_hides_names_may_stand_anywhere() {
    let hiding = || Scripted { hides_names: true, ..store("a", &["bob"]) };
    assert_eq!(
        guess(vec![hiding(), store("b", &["ann"])], "right").await,
        (Ok(verified_by("b")), vec![0, 1])
    );
    // Also before the application, which may know whom no store does.
    assert_eq!(guess(vec![hiding(), application()], "right").await, (UNKNOWN, vec![1, 0]));
    // Alone, its word is the only one there is.
    assert_eq!(guess(vec![hiding()], "right").await, (NO, vec![1]));
}

#[tokio::test]
async fn a_name_that_two_stores_have_is_tried_nowhere() {
    for password in ["right", "wrong"] {
        let both = vec![store("a", &["ann"]), store("b", &[]), store("c", &["ann"])];
        let stays = Ok(Verdict::StayOnLegacy(StayReason::Ambiguous));
        assert_eq!(guess(both, password).await, (stays, vec![0, 0, 0]));
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_one_check() {
    assert_eq!(guess(vec![store("a", &[]), store("b", &["bob"])], "right").await, (UNKNOWN, vec![1, 0]));
}

#[tokio::test]
async fn a_store_that_is_down_closes_the_names_that_no_store_before_it_has() {
    assert_eq!(guess(vec![down("a"), store("b", &["ann"])], "right").await, (Err(()), vec![0, 0]));
    assert_eq!(guess(vec![store("a", &["bob"]), down("b")], "right").await, (Err(()), vec![0, 0]));
    assert_eq!(
        guess(vec![store("a", &["ann"]), down("b")], "right").await,
        (Ok(verified_by("a")), vec![1, 0])
    );
    assert_eq!(guess(vec![store("a", &["ann"]), down("b")], "wrong").await, (NO, vec![1, 0]));
}

#[tokio::test]
async fn a_store_that_cannot_be_looked_up_is_tried_in_its_turn() {
    let after = || vec![blind("a", &["bob"]), store("b", &["ann"])];
    assert_eq!(guess(after(), "right").await, (Ok(verified_by("b")), vec![1, 1]));
    assert_eq!(guess(vec![store("a", &["ann"]), blind("b", &[])], "wrong").await, (NO, vec![1, 0]));
    // Its no is the last word: nobody else sees that password.
    assert_eq!(guess(vec![blind("a", &["ann"]), store("b", &["ann"])], "wrong").await, (NO, vec![1, 0]));
    assert_eq!(guess(vec![blind("a", &[]), blind("b", &[])], "right").await, (UNKNOWN, vec![1, 1]));
}

#[tokio::test]
async fn who_judged_last_is_told() {
    for (stores, by) in [
        (vec![store("a", &["ann"])], Some("a")),
        (vec![store("a", &["bob"]), store("b", &["ann"])], Some("b")),
        // The check that a name costs which nobody has.
        (vec![store("a", &[]), store("b", &["bob"])], Some("a")),
        (vec![blind("a", &[]), store("b", &["ann"])], Some("b")),
        (vec![blind("a", &[]), store("b", &["bob"])], Some("a")),
        (vec![blind("a", &[]), blind("b", &[])], Some("b")),
        (vec![store("a", &["ann"]), store("b", &["ann"])], None),
        (vec![application()], None),
    ] {
        let (judged, _) = judged(stores, "wrong").await;
        assert_eq!(judged.unwrap().by.as_ref().map(SourceName::as_str), by);
    }
}

#[tokio::test]
async fn a_name_is_found_where_it_means_one_person() {
    let found = async |stores: Vec<Scripted>| {
        let chain = Chain::new(stores.into_iter().map(|store| Arc::new(store) as _).collect());
        chain.find(&ann(), soon()).await.map(|found| found.map(|record| record.source.as_str().to_owned()))
    };
    let one = found(vec![store("a", &["bob"]), store("b", &["ann"]), application()]).await;
    assert_eq!(one.unwrap().as_deref(), Some("b"));
    assert_eq!(found(vec![store("a", &["ann"]), store("b", &["ann"])]).await.unwrap(), None);
    assert!(found(vec![store("a", &["ann"]), down("b")]).await.is_err());
}

#[tokio::test]
async fn twins_across_stores_are_several() {
    let holders = async |stores: Vec<Scripted>| {
        let chain = Chain::new(stores.into_iter().map(|store| Arc::new(store) as _).collect());
        chain.search(ann().email().unwrap(), soon()).await.map(|search| search.holders).map_err(|_| ())
    };
    let key = LegacyRecord { source: SourceName::parse("b").unwrap(), ..record("ann") }.key();
    assert_eq!(
        holders(vec![store("a", &["bob"]), store("b", &["ann"])]).await,
        Ok(Holders::One(key.clone()))
    );
    assert_eq!(holders(vec![store("b", &["ann"]), application()]).await, Ok(Holders::One(key)));
    assert_eq!(holders(vec![store("a", &["ann"]), store("b", &["ann"])]).await, Ok(Holders::Several));
    assert_eq!(holders(vec![store("a", &["ann"]), down("b")]).await, Err(()));
}

#[tokio::test]
async fn a_search_names_the_sources_that_may_know_the_address_and_cannot_tell() {
    let elsewhere = || Scripted { serves: false, ..application() };
    for (stores, silent) in [
        (vec![store("a", &["bob"])], vec![]),
        (vec![application()], vec!["app"]),
        (vec![store("a", &["bob"]), application()], vec!["app"]),
        (vec![store("a", &["bob"]), elsewhere()], vec![]),
    ] {
        let chain = Chain::new(stores.into_iter().map(|store| Arc::new(store) as _).collect());
        let search = chain.search(ann().email().unwrap(), soon()).await.unwrap();
        assert_eq!(search.silent.iter().map(SourceName::as_str).collect::<Vec<_>>(), silent);
    }
}
