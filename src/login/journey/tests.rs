mod callback;
mod choice;
mod crossing;
mod doubt;
mod finish;
mod interrupted;
mod late;
mod mend;
mod names;
mod operate;
mod removed;
mod rules;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;

use super::*;
use crate::{
    clock::{TestClock, Timestamp},
    config::{AssumeStranger, AssumeVerified, HandOffs, Migration, OnExisting},
    identity::{AccountState, CanonicalEmail, MfaState, Password, Secret},
    login::{
        ClientFacts, CountKeys, Counted, Doubt, Ineligible, LegacyStore, Moment, Notice, Refused, Rejection,
        SetAside, SourceRules, UserId,
        tests::{
            CreateFault, FakeDirectory, FakeStore, MemoryEpoch, MemoryLedger, OnDuplicate, record, rules,
            source, trust,
        },
    },
    rollout::{BasisPoints, BucketSalt, Dial, Reason, RollbackMode, Rules},
};

/// Counts the moments of a run and panics at one of them, as a kill would.
#[derive(Default)]
struct Killer {
    at: AtomicUsize,
    seen: AtomicUsize,
    moved: Mutex<Vec<String>>,
    noticed: Mutex<Vec<Notice>>,
}

impl Witness for Killer {
    fn step(&self, moment: Moment, step: &'static str, _: &Row) {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(seen != self.at.load(Ordering::SeqCst), "killed {moment:?} {step}");
    }

    fn moved(&self, before: &RowState, row: &Row) {
        self.moved.lock().unwrap().push(format!("{}>{}", before.as_str(), row.state.as_str()));
    }

    fn notice(&self, _: &Row, notice: Notice) {
        self.noticed.lock().unwrap().push(notice);
    }

    fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {}

    fn doubted(&self, _: Option<crate::login::Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}
}

struct World {
    journeys: Journeys,
    ledger: Arc<MemoryLedger>,
    directory: Arc<FakeDirectory>,
    store: Arc<FakeStore>,
    killer: Arc<Killer>,
    epoch: Arc<MemoryEpoch>,
}

fn world(cutover: u16, migrate: u16, hand_off: HandOff, on_duplicate: OnDuplicate) -> World {
    let points = |n| BasisPoints::new(n).unwrap();
    let settings = Settings {
        dial: Dial::new(points(cutover), points(migrate), RollbackMode::Keep, Rules::default()),
        salt: BucketSalt::new(&[7; 32]),
        sources: [(source(), rules())].into(),
        hand_offs: HandOffs { default: hand_off, organizations: [].into() },
        on_existing: OnExisting::LinkVerified,
        migration: Migration::default(),
    };
    let (ledger, directory) = (Arc::new(MemoryLedger::default()), FakeDirectory::new(on_duplicate));
    let (store, killer) = (FakeStore::with(&["ann", "bob"]), Arc::new(Killer::default()));
    let (epoch, clock) = (MemoryEpoch::used(), TestClock::at(Timestamp::from_seconds(1_800_000_000)));
    let journeys = Journeys {
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![Arc::clone(&store) as _]))),
        directory: Arc::clone(&directory) as _,
        ledger: Arc::new(Remembering::new(Arc::clone(&ledger) as _)),
        trust: trust(Arc::clone(&epoch), clock.clone()),
        clock,
        witness: Arc::clone(&killer) as _,
    };
    World { journeys, ledger, directory, store, killer, epoch }
}

fn cutover() -> World {
    world(10_000, 0, HandOff::Hosted, OnDuplicate::Refuse)
}

impl World {
    fn turn_cutover(&self, points: u16) {
        self.turn(|dial| dial.cutover = BasisPoints::new(points).unwrap());
    }

    fn turn(&self, change: impl FnOnce(&mut Dial)) {
        self.set(|settings| change(&mut settings.dial));
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.journeys.settings.load());
        change(&mut settings);
        self.journeys.settings.store(Arc::new(settings));
    }

    /// Another word of the operator on the one source.
    fn sign_for(&self, change: impl FnOnce(&mut SourceRules)) {
        self.set(|settings| change(settings.sources.get_mut(&source()).unwrap()));
    }

    async fn decide(&self, name: &str) -> Decided {
        self.decide_from(name, 1).await
    }

    async fn decide_from(&self, name: &str, address: u8) -> Decided {
        let keys = CountKeys::new(&Secret::new("k".repeat(32)));
        let asker = Asker::Stranger(keys.address([192, 0, 2, address].into()));
        self.journeys.decide(LoginName::parse(name).unwrap(), None, asker).await.unwrap()
    }

    async fn sign_in(&self, name: &str, password: &str) -> Outcome {
        let decided = self.decide(name).await;
        let attempt = Attempt {
            name: decided.name.clone(),
            password: Arc::new(Password::for_sign_in(password.into()).unwrap()),
            client: ClientFacts { address: Ipv4Addr::LOCALHOST.into(), user_agent: None },
        };
        match decided.decision.lane {
            Lane::New => self.journeys.new_lane(decided, Some(&attempt)).await,
            Lane::Legacy if password == "right" => {
                self.journeys.after_upstream(decided, Upstream::SignalsOnly).await
            }
            Lane::Legacy => Outcome::Forward(WhyForward::LaneLegacy),
        }
    }

    fn row(&self, id: &str) -> Row {
        self.ledger.rows.lock().unwrap().get(&record(id).key()).cloned().unwrap()
    }

    /// Whether a device that remembers the person is led on without a form.
    async fn remembers(&self, key: &PersonKey) -> bool {
        self.journeys.device(key, None).await.unwrap().is_some()
    }

    fn users(&self) -> usize {
        self.directory.users.lock().unwrap().len()
    }

    async fn arrives(&self, user: &UserId, email: &str) -> Result<crate::login::Identified, Refused> {
        self.comes_back(user, email, None).await
    }

    /// In a sign-in that was begun for somebody, or by whoever comes.
    async fn comes_back(
        &self,
        user: &UserId,
        email: &str,
        begun_for: Option<PersonKey>,
    ) -> Result<crate::login::Identified, Refused> {
        let email = CanonicalEmail::parse(email).ok();
        let callback = Callback { user: user.clone(), email, email_verified: true, begun_for };
        Box::pin(self.journeys.callback(callback)).await
    }
}

fn is_hand_over(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::HandOver(_))
}

#[tokio::test]
async fn a_first_sign_in_creates_the_person_and_hands_over() {
    let world = cutover();
    let outcome = world.sign_in("Ann@Example.com", "right").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert!(over.migrated_now);
    assert_eq!(over.login_hint, CanonicalEmail::parse("ann@example.com").ok());
    let row = world.row("ann");
    assert_eq!(row.state, RowState::Done);
    assert_eq!(row.crossed_at, None, "DONE means: exists. Crossing is the session's business");
    assert_eq!(row.proof.unwrap().kind, ProofKind::Password);
    assert_eq!(*world.killer.moved.lock().unwrap(), ["none>claimed", "claimed>created", "created>done"]);
}

#[tokio::test]
async fn a_second_sign_in_does_not_ask_the_legacy_store() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let asked = *world.store.asked.lock().unwrap();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "not even right").await));
    assert_eq!(*world.store.asked.lock().unwrap(), asked);
    assert_eq!(world.users(), 1);
}

/// A guess that the one store of these tests refused.
fn rejected(why: Rejection) -> Outcome {
    Outcome::Rejected(Rejected { why, by: Some(source()) })
}

#[tokio::test]
async fn a_no_creates_nobody_and_could_not_ask_is_not_a_no() {
    let world = cutover();
    let wrong = world.sign_in("ann@example.com", "wrong").await;
    assert_eq!(wrong, rejected(Rejection::WrongPassword));
    let nobody = world.sign_in("eve@example.com", "right").await;
    assert_eq!(nobody, rejected(Rejection::Unknown));
    *world.store.down.lock().unwrap() = true;
    let closed = world.sign_in("ann@example.com", "right").await;
    assert_eq!(
        closed,
        Outcome::Closed(Closed::Legacy {
            retry_after: Some(Duration::from_secs(7)),
            counted: Counted::Perhaps
        })
    );
    assert_eq!(world.users(), 0);
}

#[tokio::test]
async fn scalekit_down_is_open_to_legacy_and_tried_again() {
    let world = cutover();
    *world.directory.down.lock().unwrap() = true;
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::Later));
    *world.directory.down.lock().unwrap() = false;
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn migrating_without_cutover_makes_people_done_and_nobody_notices() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    for _ in 0..2 {
        assert_eq!(world.decide("ann@example.com").await.decision.lane, Lane::Legacy);
        let outcome = world.sign_in("ann@example.com", "right").await;
        assert_eq!(outcome, Outcome::Forward(WhyForward::LaneLegacy));
    }
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.row("ann").crossed_at, None);
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn nothing_happens_beyond_the_migrate_percent() {
    let world = world(0, 0, HandOff::Hosted, OnDuplicate::Refuse);
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert!(world.ledger.rows.lock().unwrap().is_empty());
    assert_eq!(world.users(), 0);
}

#[tokio::test]
async fn ineligible_people_are_judged_anew_at_each_sign_in() {
    let world = cutover();
    world.store.records.lock().unwrap()[0].mfa = MfaState::Enrolled;
    let stays = Outcome::Forward(WhyForward::Ineligible(Ineligible::Mfa));
    assert_eq!(world.sign_in("ann@example.com", "right").await, stays);
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    assert_eq!(world.users(), 0);
    world.store.records.lock().unwrap()[0].mfa = MfaState::None;
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
}

#[tokio::test]
async fn a_second_factor_is_never_lowered() {
    let world = cutover();
    world
        .store
        .verdicts
        .lock()
        .unwrap()
        .insert("ann@example.com".into(), Verdict::StayOnLegacy(StayReason::Mfa));
    let outcome = world.sign_in("ann@example.com", "right").await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::StayOnLegacy(StayReason::Mfa)));
    assert_eq!(world.row("ann").state, RowState::Ineligible { why: Ineligible::Mfa });
    world.store.records.lock().unwrap()[1].mfa = MfaState::Enrolled;
    let outcome = world.sign_in("bob@example.com", "right").await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::Ineligible(Ineligible::Mfa)));
    assert_eq!(world.users(), 0);
}

#[tokio::test]
async fn twins_are_in_conflict_and_nobody_is_created() {
    let world = cutover();
    world.store.records.lock().unwrap()[1].email.address = Some("ANN@example.com".into());
    let conflict = Outcome::Forward(WhyForward::Conflict(SetAside::Twins));
    assert_eq!(world.sign_in("ann@example.com", "right").await, conflict);
    assert_eq!(world.users(), 0);
}

#[tokio::test]
async fn an_existing_user_is_linked_only_by_a_verified_mailbox() {
    let conflict = |why| Outcome::Forward(WhyForward::Conflict(why));
    for (external_id, verified, expected) in [
        (None, true, None),
        (None, false, Some(SetAside::NotLinkable)),
        (Some("another"), true, Some(SetAside::ForeignUser)),
    ] {
        let world = cutover();
        world.directory.seed("ann@example.com", external_id, verified);
        let outcome = world.sign_in("ann@example.com", "right").await;
        match expected {
            None => assert!(is_hand_over(&outcome), "{outcome:?}"),
            Some(why) => assert_eq!(outcome, conflict(why)),
        }
        assert_eq!(world.users(), 1);
    }
    let weak = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    weak.directory.seed("ann@example.com", None, true);
    assert_eq!(weak.sign_in("ann@example.com", "right").await, conflict(SetAside::NotLinkable));
    let left_alone = cutover();
    left_alone.set(|settings| settings.on_existing = OnExisting::Conflict);
    left_alone.directory.seed("ann@example.com", None, true);
    assert_eq!(left_alone.sign_in("ann@example.com", "right").await, conflict(SetAside::NotLinkable));
}

#[tokio::test]
async fn an_operators_word_for_a_source_creates_people_and_takes_over_nobody() {
    for is_there in [false, true] {
        let world = cutover();
        world.sign_for(|rules| rules.assume_verified = Some(AssumeVerified { accepted_by: "ops".into() }));
        world.store.records.lock().unwrap()[0].email.verified = None;
        if !is_there {
            assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
            continue;
        }
        // Whoever writes somebody's address into their own record does not get that person's user by a password.
        let user = world.directory.seed("ann@example.com", None, true);
        let conflict = Outcome::Forward(WhyForward::Conflict(SetAside::NotLinkable));
        assert_eq!(world.sign_in("ann@example.com", "right").await, conflict);
        assert_eq!(world.directory.users.lock().unwrap()[0].external_id, None);
        assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "whoever has the mailbox does");
        assert!(world.directory.users.lock().unwrap()[0].external_id.is_some());
    }
}

#[tokio::test]
async fn our_external_id_on_another_mailbox_is_a_conflict() {
    let world = cutover();
    world.directory.seed("somebody@example.com", Some("ann"), true);
    let outcome = world.sign_in("ann@example.com", "right").await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::Conflict(SetAside::ExternalIdElsewhere)));
}

#[tokio::test]
async fn the_hand_off_to_the_application_crosses_at_the_redirect() {
    let world = world(10_000, 0, HandOff::App { url: "/start".into() }, OnDuplicate::Refuse);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert!(world.row("ann").crossed_at.is_some());
    let shadow = self::world(10_000, 0, HandOff::Shadow, OnDuplicate::Refuse);
    assert_eq!(shadow.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::Shadow));
    assert_eq!(shadow.row("ann").crossed_at, None);
    assert_eq!(shadow.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::Shadow));
}

#[tokio::test]
async fn a_second_factor_that_only_the_application_knows_counts() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    let mut named = record("ann");
    named.mfa = MfaState::Enrolled;
    let decided = world.decide("ann@example.com").await;
    let outcome = world.journeys.after_upstream(decided, Upstream::Named(Box::new(named))).await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::Ineligible(Ineligible::Mfa)));
    assert_eq!(world.users(), 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_by_id_is_asked_by_name() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    *world.store.no_ids.lock().unwrap() = true;
    for (named, users) in [("bob", 0), ("ann", 1)] {
        let decided = world.decide("ann@example.com").await;
        let _ = world.journeys.after_upstream(decided, Upstream::Named(Box::new(record(named)))).await;
        assert_eq!(world.users(), users, "by name only as the one who was named");
    }
}
