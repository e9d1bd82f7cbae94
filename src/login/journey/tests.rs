mod choice;
mod doubt;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use proptest::prelude::Strategy as _;

use super::*;
use crate::{
    clock::{TestClock, Timestamp},
    config::{HandOffs, Migration, OnExisting},
    identity::{AccountState, CanonicalEmail, MfaState, Password, Secret},
    login::{
        ClientFacts, CountKeys, Counted, Doubt, Ineligible, LegacyStore, Moment, Refused, Rejection,
        SetAside, UserId,
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
}

impl Witness for Killer {
    fn step(&self, moment: Moment, step: &'static str, _: &Row) {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(seen != self.at.load(Ordering::SeqCst), "killed {moment:?} {step}");
    }

    fn moved(&self, before: &RowState, row: &Row) {
        self.moved.lock().unwrap().push(format!("{}>{}", before.as_str(), row.state.as_str()));
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
        let mut settings = Settings::clone(&self.journeys.settings.load());
        change(&mut settings.dial);
        self.journeys.settings.store(Arc::new(settings));
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
        self.journeys.callback(Callback { user: user.clone(), email, email_verified: true, begun_for }).await
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

#[tokio::test]
async fn a_no_creates_nobody_and_could_not_ask_is_not_a_no() {
    let world = cutover();
    let wrong = world.sign_in("ann@example.com", "wrong").await;
    assert_eq!(wrong, Outcome::Rejected(Rejected(Rejection::WrongPassword)));
    let nobody = world.sign_in("eve@example.com", "right").await;
    assert_eq!(nobody, Outcome::Rejected(Rejected(Rejection::Unknown)));
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
    world.store.records.lock().unwrap()[0].email.verified = Some(false);
    let stays = Outcome::Forward(WhyForward::Ineligible(Ineligible::EmailUnverified));
    assert_eq!(world.sign_in("ann@example.com", "right").await, stays);
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    assert_eq!(world.users(), 0);
    world.store.records.lock().unwrap()[0].email.verified = Some(true);
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
}

#[tokio::test]
async fn our_external_id_on_another_mailbox_is_a_conflict() {
    let world = cutover();
    world.directory.seed("somebody@example.com", Some("ann"), true);
    let outcome = world.sign_in("ann@example.com", "right").await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::Conflict(SetAside::ExternalIdElsewhere)));
}

#[tokio::test]
async fn a_lost_create_answer_is_found_again_and_never_sent_blindly() {
    for on_duplicate in [OnDuplicate::Refuse, OnDuplicate::AnswerExisting] {
        for fault in [CreateFault::LostAfterCommit, CreateFault::LostBeforeCommit, CreateFault::NotDone] {
            let world = world(10_000, 0, HandOff::Hosted, on_duplicate);
            world.directory.faults.lock().unwrap().push(fault);
            let first = world.sign_in("ann@example.com", "right").await;
            assert_eq!(is_hand_over(&first), fault == CreateFault::LostAfterCommit, "{fault:?}");
            let second = world.sign_in("ann@example.com", "right").await;
            assert!(is_hand_over(&second), "{fault:?}: {second:?}");
            assert_eq!(world.users(), 1);
            assert_eq!(*world.directory.accepted.lock().unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn killed_at_any_step_the_next_sign_in_finishes_without_a_duplicate() {
    for on_duplicate in [OnDuplicate::Refuse, OnDuplicate::AnswerExisting] {
        for lost in [None, Some(CreateFault::LostAfterCommit)] {
            let mut at = 1;
            loop {
                let world = world(10_000, 0, HandOff::Hosted, on_duplicate);
                world.directory.faults.lock().unwrap().extend(lost);
                world.killer.at.store(at, Ordering::SeqCst);
                let journeys = world.journeys.clone();
                let killed = {
                    let world = &world;
                    let run = std::panic::AssertUnwindSafe(world.sign_in("ann@example.com", "right"));
                    futures_catch(run).await.is_err()
                };
                world.killer.at.store(usize::MAX, Ordering::SeqCst);
                world.ledger.restarted();
                drop(journeys);
                let outcome = world.sign_in("ann@example.com", "right").await;
                assert!(is_hand_over(&outcome), "killed at moment {at}: {outcome:?}");
                assert_eq!(world.users(), 1, "killed at moment {at}");
                assert_eq!(world.row("ann").state, RowState::Done);
                if !killed {
                    assert!(at > 8, "the run has more moments than {at}");
                    break;
                }
                at += 1;
            }
        }
    }
}

/// Runs a future to its end or its panic.
async fn futures_catch<F: Future>(future: std::panic::AssertUnwindSafe<F>) -> Result<F::Output, ()> {
    let mut future = Box::pin(future.0);
    std::future::poll_fn(move |context| {
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Ok(std::task::Poll::Ready(output)) => std::task::Poll::Ready(Ok(output)),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}

#[tokio::test]
async fn simultaneous_first_sign_ins_create_one_user() {
    let world = cutover();
    let runs = (0..20).map(|_| world.sign_in("ann@example.com", "right"));
    let mut set = Vec::new();
    for run in runs {
        set.push(Box::pin(run));
    }
    let outcomes = join_all(set).await;
    assert!(outcomes.iter().all(is_hand_over), "{outcomes:?}");
    assert_eq!(world.users(), 1);
    assert_eq!(*world.directory.accepted.lock().unwrap(), 1);
}

/// Polls all futures in turn on this task.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_callback_crosses_the_person_and_pins_them() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let user = world.row("ann").user.unwrap();
    let identified = world.arrives(&user, "ann@example.com").await.unwrap();
    assert!(identified.row.crossed_at.is_some());
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::Crossed);
}

#[tokio::test]
async fn someone_no_legacy_store_knows_is_born_new_and_stays_new() {
    let world = world(0, 0, HandOff::Hosted, OnDuplicate::Refuse);
    let user = world.directory.seed("new@example.com", None, true);
    let identified = world.arrives(&user, "new@example.com").await.unwrap();
    assert_eq!(identified.row.origin, Origin::BornNew);
    let decided = world.decide("new@example.com").await;
    assert_eq!(decided.decision, Decision { lane: Lane::New, reason: Reason::BornNew });
    assert!(is_hand_over(&world.sign_in("new@example.com", "anything").await));
}

#[tokio::test]
async fn a_legacy_person_who_comes_by_mailbox_is_linked_not_born_new() {
    let world = cutover();
    let user = world.directory.seed("ann@example.com", None, true);
    let identified = world.arrives(&user, "ann@example.com").await.unwrap();
    assert_eq!(identified.row.key, record("ann").key());
    assert_eq!(identified.row.proof.unwrap().kind, ProofKind::Inbox);
    world.store.records.lock().unwrap()[1].state = AccountState::Disabled;
    let bob = world.directory.seed("bob@example.com", None, true);
    assert_eq!(world.arrives(&bob, "bob@example.com").await, Err(Refused::NotLinkable));
    *world.store.down.lock().unwrap() = true;
    let eve = world.directory.seed("eve@example.com", None, true);
    assert_eq!(world.arrives(&eve, "eve@example.com").await, Err(Refused::TryAgain));
}

/// People sign in by user name here: no login is like an address.
fn user_names() -> World {
    let world = cutover();
    for record in &mut *world.store.records.lock().unwrap() {
        record.login = record.id.as_str().to_owned();
    }
    world
}

fn with_stores(mut world: World, others: impl IntoIterator<Item = Arc<FakeStore>>) -> World {
    let mut stores: Vec<Arc<dyn LegacyStore>> = vec![Arc::clone(&world.store) as _];
    stores.extend(others.into_iter().map(|store| store as _));
    world.journeys.chain = Arc::new(ArcSwap::from_pointee(Chain::new(stores)));
    world
}

#[tokio::test]
async fn a_legacy_person_with_a_user_name_is_linked_not_born_new() {
    let world = user_names();
    let user = world.directory.seed("ann@example.com", None, true);
    let identified = world.arrives(&user, "ann@example.com").await.unwrap();
    assert_eq!((identified.row.key, identified.row.origin), (record("ann").key(), Origin::Legacy));
    assert_eq!(identified.row.proof.unwrap().kind, ProofKind::Inbox);
    assert_eq!(world.ledger.rows.lock().unwrap().len(), 1);
    assert!(is_hand_over(&world.sign_in("ann", "right").await), "the same person, no twin of themselves");
    let eve = world.directory.seed("eve@example.com", None, true);
    assert_eq!(world.arrives(&eve, "eve@example.com").await.unwrap().row.origin, Origin::BornNew);
}

#[tokio::test]
async fn nobody_is_born_new_where_several_hold_the_address() {
    let one_store = user_names();
    one_store.store.records.lock().unwrap()[1].email.address = Some("Ann@example.com".into());
    let mut other = record("zoe");
    (other.login, other.email.address) = ("zoe".into(), Some("ann@example.com".into()));
    let second = FakeStore::with(&[]);
    second.records.lock().unwrap().push(other);
    for world in [one_store, with_stores(user_names(), [second])] {
        let user = world.directory.seed("ann@example.com", None, true);
        assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable));
        assert!(world.ledger.rows.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn nobody_is_born_new_where_the_holder_cannot_be_asked_for() {
    let no_search = user_names();
    *no_search.store.no_search.lock().unwrap() = true;
    let no_ids = user_names();
    *no_ids.store.no_ids.lock().unwrap() = true;
    for (world, refused) in [(no_search, Refused::TryAgain), (no_ids, Refused::NotLinkable)] {
        let user = world.directory.seed("ann@example.com", None, true);
        assert_eq!(world.arrives(&user, "ann@example.com").await, Err(refused));
        assert!(world.ledger.rows.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn whom_the_stores_do_not_know_the_application_may() {
    let upstream = || Arc::new(FakeStore { is_upstream: true, ..FakeStore::default() });
    let world = with_stores(cutover(), [upstream()]);
    assert_eq!(world.sign_in("eve@example.com", "right").await, Outcome::AskUpstream);
    let wrong = Outcome::Rejected(Rejected(Rejection::WrongPassword));
    assert_eq!(world.sign_in("ann@example.com", "wrong").await, wrong, "a no is final");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    // One that holds no records does not hide that the others know nobody, or somebody.
    let world = with_stores(user_names(), [upstream()]);
    for (email, origin) in [("eve@example.com", Origin::BornNew), ("ann@example.com", Origin::Legacy)] {
        let user = world.directory.seed(email, None, true);
        assert_eq!(world.arrives(&user, email).await.unwrap().row.origin, origin);
    }
}

#[tokio::test]
async fn an_unverified_mailbox_opens_nothing() {
    let world = cutover();
    let callback = Callback {
        user: UserId("usr_1".into()),
        email: CanonicalEmail::parse("eve@example.com").ok(),
        email_verified: false,
        begun_for: None,
    };
    assert_eq!(world.journeys.callback(callback).await, Err(Refused::EmailUnverified));
}

#[tokio::test]
async fn a_tombstone_is_never_brought_back() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let user = world.row("ann").user.unwrap();
    world.ledger.rows.lock().unwrap().get_mut(&record("ann").key()).unwrap().state = RowState::Tombstone;
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::Tombstone);
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::Tombstone));
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
async fn a_person_keeps_the_bucket_of_their_first_identification() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    let first = world.decide("ann").await.bucket;
    let other = world.decide("ann@example.com").await.bucket;
    assert_ne!(first, other);
    let _ = world.sign_in("ann", "right").await;
    assert_eq!(world.decide("ann@example.com").await.bucket, first);
    assert_eq!(world.decide("ann").await.bucket, first);
}

#[tokio::test]
async fn an_unverified_address_is_never_told_to_the_application() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let user = world.row("ann").user.unwrap();
    let changed = Callback {
        user,
        email: CanonicalEmail::parse("bob@example.com").ok(),
        email_verified: false,
        begun_for: None,
    };
    let identified = world.journeys.callback(changed).await.unwrap();
    assert_eq!(identified.email, CanonicalEmail::parse("ann@example.com").ok());
}

#[tokio::test]
async fn a_callback_does_not_cross_an_unfinished_person_unjudged() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let user = world.row("ann").user.unwrap();
    let edit = |state| world.ledger.rows.lock().unwrap().get_mut(&record("ann").key()).unwrap().state = state;
    edit(RowState::Created);
    world.store.records.lock().unwrap()[0].mfa = MfaState::Enrolled;
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable));
    assert_eq!(world.row("ann").crossed_at, None);
    world.store.records.lock().unwrap()[0].mfa = MfaState::None;
    assert!(world.arrives(&user, "ann@example.com").await.is_ok());
    assert_eq!(world.row("ann").state, RowState::Done, "a crossed person is finished");
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn a_crossing_survives_somebody_elses_write() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let stale = world.row("ann");
    world.ledger.write(&stale).await.unwrap();
    let crossed = world.journeys.cross(stale.clone()).await.unwrap();
    assert!(crossed.crossed_at.is_some());
    assert!(world.row("ann").crossed_at.is_some());
}

#[tokio::test]
async fn a_person_removed_meanwhile_does_not_cross() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let stale = world.row("ann");
    let removed = Row { state: RowState::Tombstone, ..stale.clone() };
    world.ledger.write(&removed).await.unwrap();
    assert_eq!(world.journeys.cross(stale).await.unwrap().state, RowState::Tombstone);
    assert_eq!(world.row("ann").crossed_at, None);
}

/// Removes a person just before their row is claimed.
struct Remover(Arc<MemoryLedger>);

impl Witness for Remover {
    fn step(&self, moment: Moment, step: &'static str, row: &Row) {
        if (moment, step) == (Moment::Before, "claim") {
            self.0.rows.lock().unwrap().get_mut(&row.key).unwrap().state = RowState::Tombstone;
        }
    }

    fn moved(&self, _: &RowState, _: &Row) {}

    fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {}

    fn doubted(&self, _: Option<crate::login::Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}
}

#[tokio::test]
async fn a_tombstone_set_before_the_claim_is_not_written_over() {
    let mut world = world(10_000, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    world.store.records.lock().unwrap()[0].email.verified = Some(false);
    let _ = world.sign_in("ann@example.com", "right").await;
    world.journeys.witness = Arc::new(Remover(Arc::clone(&world.ledger)));
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.row("ann").state, RowState::Tombstone);
}

/// Stands still before a create is sent, for longer than the claim lasts.
struct Sleeper {
    clock: Arc<TestClock>,
    told: Mutex<Vec<String>>,
}

impl Witness for Sleeper {
    fn step(&self, moment: Moment, step: &'static str, _: &Row) {
        if (moment, step) == (Moment::Before, "create") && self.told.lock().unwrap().is_empty() {
            self.clock.advance(Migration::default().lease);
        }
    }

    fn moved(&self, _: &RowState, _: &Row) {}

    fn failed(&self, step: &'static str, error: &(dyn std::error::Error + 'static), _: &Row) {
        self.told.lock().unwrap().push(format!("{step}: {error}"));
    }

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}

    fn doubted(&self, _: Option<Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}
}

#[tokio::test]
async fn whoever_slept_through_the_lease_sends_no_create() {
    let mut world = world(10_000, 0, HandOff::Hosted, OnDuplicate::Refuse);
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    let sleeper = Arc::new(Sleeper { clock: clock.clone(), told: Mutex::default() });
    world.journeys.clock = clock;
    world.journeys.witness = Arc::clone(&sleeper) as _;
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::Later));
    assert_eq!(world.users(), 0, "somebody else may have created the person by now");
    let told = sleeper.told.lock().unwrap().clone();
    assert_eq!(told, ["create: it came too late for its claim, and nothing was sent"]);
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn an_address_that_is_not_the_records_own_leads_nobody_astray() {
    let world = cutover();
    world.store.records.lock().unwrap()[0].login = "victim@example.com".into();
    let differs = Outcome::Forward(WhyForward::Ineligible(Ineligible::TypedEmailDiffers));
    assert_eq!(world.sign_in("victim@example.com", "right").await, differs);
    assert_eq!(world.decide("victim@example.com").await.row, None);
    // The same of a person who is DONE under another name.
    world.store.records.lock().unwrap()[1].login = "victim@example.com".into();
    world.store.records.lock().unwrap().remove(0);
    assert!(is_hand_over(&world.sign_in("bob", "right").await));
    assert!(is_hand_over(&world.sign_in("victim@example.com", "right").await));
    assert_eq!(world.decide("victim@example.com").await.row, None);
}

fn with_rules(cutover: u16, migrate: u16, hand_off: HandOff, rules: Rules) -> World {
    let world = world(cutover, migrate, hand_off, OnDuplicate::Refuse);
    let mut settings = (*world.journeys.settings.load_full()).clone();
    settings.dial.rules = rules;
    world.journeys.settings.store(Arc::new(settings));
    world
}

#[tokio::test]
async fn whoever_a_rule_let_in_is_judged_anew_too() {
    let allow = vec![crate::rollout::RuleSubject::Person("ann@example.com".into())];
    let world = with_rules(0, 0, HandOff::Hosted, Rules { allow, deny: vec![] });
    world.store.records.lock().unwrap()[0].email.verified = Some(false);
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    world.store.records.lock().unwrap()[0].email.verified = Some(true);
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::AllowRule);
}

#[tokio::test]
async fn a_denied_organisation_is_known_from_the_proven_record() {
    let deny = vec![crate::rollout::RuleSubject::Organization("acme".into())];
    let world = with_rules(10_000, 0, HandOff::Hosted, Rules { deny, allow: vec![] });
    world.store.records.lock().unwrap()[0].organization = Some("acme".into());
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert!(is_hand_over(&world.sign_in("bob@example.com", "right").await));
}

#[tokio::test]
async fn a_sign_in_that_began_in_the_legacy_lane_crosses_nobody() {
    let allow = vec![crate::rollout::RuleSubject::Organization("acme".into())];
    let app = HandOff::App { url: "/start".into() };
    let world = with_rules(0, 10_000, app, Rules { allow, deny: vec![] });
    world.store.records.lock().unwrap()[0].organization = Some("acme".into());
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.row("ann").crossed_at, None, "no redirect was sent");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
}

#[tokio::test]
async fn a_person_does_not_inherit_the_bucket_of_another_behind_the_same_name() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    world.store.records.lock().unwrap()[0].login = "annie".into();
    let other = world.decide("bob@example.com").await.bucket;
    let mut bob = Row::fresh(
        record("bob").key(),
        other,
        rules().external_id.render(&record("bob").key()),
        Timestamp::from_seconds(1),
    );
    bob.add_alias(Alias::Typed("annie".into()));
    world.ledger.rows.lock().unwrap().insert(bob.key.clone(), bob);
    let _ = world.sign_in("annie", "right").await;
    let own = BucketSalt::new(&[7; 32]).bucket(&LoginName::parse("annie").unwrap());
    assert_eq!(world.row("ann").bucket, own);
    assert_ne!(own, other);
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

#[tokio::test]
async fn a_removed_persons_typed_name_is_not_born_anew() {
    let world = cutover();
    let key = PersonKey { source: source(), id: crate::identity::LegacyId::parse("gone").unwrap() };
    let bucket = world.decide("gone@example.com").await.bucket;
    let mut gone =
        Row::fresh(key.clone(), bucket, rules().external_id.render(&key), Timestamp::from_seconds(1));
    gone.state = RowState::Tombstone;
    gone.add_alias(Alias::Typed("gone@example.com".into()));
    world.ledger.rows.lock().unwrap().insert(key, gone);
    let user = world.directory.seed("gone@example.com", None, true);
    assert_eq!(world.arrives(&user, "gone@example.com").await, Err(Refused::Tombstone));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Once a name was seen to be the person's, it takes the lane of every other name of theirs, on every device and
    /// at every percentage; and raising the percentage takes nobody out of the new lane.
    #[test]
    fn a_person_has_one_lane_under_all_their_names(
        names in proptest::sample::subsequence(
            vec!["ann", "ann@example.com", "ANN@example.com", "Ann@Example.COM"], 1..=4,
        ).prop_shuffle(),
        percents in proptest::collection::vec(0_u16..=10_000, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
            for name in &names {
                let _ = world.sign_in(name, "right").await;
            }
            let mut percents = percents.clone();
            percents.sort_unstable();
            let mut was_new = false;
            for percent in percents {
                world.turn_cutover(percent);
                let mut lanes = Vec::new();
                for name in &names {
                    lanes.push(world.decide(name).await.decision.lane);
                }
                assert!(lanes.windows(2).all(|pair| pair[0] == pair[1]), "{names:?} at {percent}: {lanes:?}");
                assert!(!was_new || lanes[0] == Lane::New, "moved back at {percent}");
                was_new = lanes[0] == Lane::New;
            }
        });
    }
}

#[tokio::test]
async fn a_removed_persons_names_are_closed_and_no_password_opens_them() {
    use crate::login::Whom;

    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let ann = Whom::Name(LoginName::parse("ANN@example.com").unwrap());
    let (row, is_new) = world.journeys.remove(&ann).await.unwrap();
    assert!(is_new && row.state == RowState::Tombstone && row.claim.is_none());
    assert!(!world.journeys.remove(&ann).await.unwrap().1);
    // Bob never signed in: he is found by the legacy store.
    let (row, is_new) = world.journeys.remove(&Whom::Key(record("bob").key())).await.unwrap();
    assert!(is_new && row.external_id.as_str() == "bob");
    for name in ["ann@example.com", "bob@example.com"] {
        assert_eq!(world.decide(name).await.decision.reason, Reason::Tombstone, "{name}");
        assert!(!is_hand_over(&world.sign_in(name, "right").await), "{name}");
    }
    assert_eq!(world.row("bob").state, RowState::Tombstone);
    assert_eq!(world.users(), 1);
    let nobody = world.journeys.remove(&Whom::Name(LoginName::parse("eve@example.com").unwrap())).await;
    assert!(matches!(nobody, Err(crate::login::NotDone::Nobody)));
}

#[tokio::test]
async fn who_was_set_aside_is_judged_anew_after_a_retry_and_nobody_else() {
    use crate::login::{NotDone, Stage, Whom};

    let world = cutover();
    let ann = Whom::Name(LoginName::parse("ann@example.com").unwrap());
    assert!(matches!(world.journeys.retry(&ann).await, Err(NotDone::Nobody)));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert!(matches!(world.journeys.retry(&ann).await, Err(NotDone::NotSetAside(Stage::Done))));
    let row = world.row("ann");
    let aside = Row { state: RowState::Ineligible { why: Ineligible::Mfa }, ..row };
    world.ledger.write(&aside).await.unwrap();
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    assert_eq!(world.journeys.retry(&ann).await.unwrap().state, RowState::None);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!((world.row("ann").state, world.users()), (RowState::Done, 1));
}

/// Ann, who signed in by her user name and has her address as another name.
async fn ann_with_two_names() -> World {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
    let mut row = world.row("ann");
    row.crossed_at = Some(Timestamp::from_seconds(1_800_000_000));
    assert_eq!(row.names().count(), 3, "the verified address, and both aliases");
    world.ledger.write(&row).await.unwrap();
    world
}

#[tokio::test]
async fn a_rule_for_one_name_counts_for_every_name_and_device_of_the_person() {
    use crate::rollout::RuleSubject::{Domain, Person};

    let world = ann_with_two_names().await;
    let key = record("ann").key();
    assert!(world.remembers(&key).await, "without a rule the device leads on");
    for held in [Person("ann".into()), Person("ann@example.com".into()), Domain("example.com".into())] {
        let mut settings = Settings::clone(&world.journeys.settings.load());
        settings.dial.rules = Rules { deny: vec![held.clone()], allow: vec![] };
        world.journeys.settings.store(Arc::new(settings));
        for name in ["ann", "ann@example.com"] {
            assert_eq!(world.decide(name).await.decision.reason, Reason::DenyRule, "{name} {held:?}");
        }
        assert!(!world.remembers(&key).await, "{held:?}");
    }
}

#[tokio::test]
async fn a_rule_for_a_name_that_only_the_record_has_counts_before_anybody_is_moved() {
    use crate::rollout::RuleSubject::Person;

    let deny = Rules { deny: vec![Person("ann@example.com".into())], allow: vec![] };
    let world = with_rules(10_000, 0, HandOff::Hosted, deny);
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    let allow = Rules { deny: vec![], allow: vec![Person("ann@example.com".into())] };
    let world = with_rules(0, 10_000, HandOff::Hosted, allow);
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done, "moved, and over with the next sign-in");
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
}

#[tokio::test]
async fn after_a_rollback_an_allow_rule_creates_nobody_and_keeps_who_is_there() {
    let allow = || Rules {
        deny: vec![],
        allow: ["ann", "bob"]
            .map(|id| crate::rollout::RuleSubject::Person(format!("{id}@example.com")))
            .into(),
    };
    let world = with_rules(0, 0, HandOff::Hosted, allow());
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let mut settings = Settings::clone(&world.journeys.settings.load());
    settings.dial.rollback = RollbackMode::Legacy;
    world.journeys.settings.store(Arc::new(settings));
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.users(), 1, "nobody new");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await), "the rule comes before the mode");
}
