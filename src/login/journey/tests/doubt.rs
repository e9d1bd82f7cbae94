//! A store in doubt (truth 8).

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

use super::*;
use crate::login::{Doubt, Epoch, EpochStore, Put, TrustSettings};

const SETTINGS: TrustSettings = TrustSettings {
    tolerance: Duration::from_secs(10),
    every: Duration::from_secs(1),
    settles: Duration::ZERO,
};

/// A store whose epoch takes long to read.
pub(super) struct SlowEpoch {
    epoch: Arc<MemoryEpoch>,
    clock: Arc<TestClock>,
    takes: Duration,
    /// So many of the next looks fail.
    pub(super) fails: AtomicUsize,
    pub(super) line: AtomicU64,
}

#[async_trait]
impl EpochStore for SlowEpoch {
    async fn beat(&self, longest: Duration, now: Timestamp) -> Result<Option<Epoch>, LedgerError> {
        self.clock.advance(self.takes);
        if self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(LedgerError::Unavailable("made up".into(), None));
        }
        self.epoch.beat(longest, now).await
    }

    async fn put_epoch(&self, known: Option<&Epoch>, next: Put, now: Timestamp) -> Result<(), LedgerError> {
        self.epoch.put_epoch(known, next, now).await
    }

    fn line(&self) -> u64 {
        self.line.load(Ordering::SeqCst)
    }

    async fn remembered(&self) -> Option<Epoch> {
        None
    }

    async fn remember(&self, _: &Epoch) {}
}

impl World {
    /// The store is emptied, with everything in it.
    pub(super) fn empty(&self) {
        self.ledger.rows.lock().unwrap().clear();
        *self.epoch.0.lock().unwrap() = None;
    }

    pub(super) async fn look(&self) -> Option<Doubt> {
        self.journeys.look_at_store().await.unwrap();
        self.journeys.store_standing().doubt
    }

    /// What a process thinks that began just now.
    pub(super) fn started(&self, name: &str) -> Arc<Trust> {
        let clock = self.journeys.clock.clone();
        Arc::new(Trust::new(Arc::clone(&self.epoch) as _, SETTINGS, name.into(), clock, None))
    }

    pub(super) fn edit(&self, id: &str, edit: impl FnOnce(&mut Row)) {
        edit(self.ledger.rows.lock().unwrap().get_mut(&person(id)).unwrap());
    }

    /// A person whose first sign-in ended after its proof was stored.
    pub(super) async fn begun(&self, id: &str) {
        *self.directory.down.lock().unwrap() = true;
        let _ = self.sign_in(&format!("{id}@example.com"), "right").await;
        *self.directory.down.lock().unwrap() = false;
        if self.ledger.rows.lock().unwrap().get(&person(id)).is_none_or(|row| row.proof.is_none()) {
            // The organisation comes first: what follows it is made by hand.
            let source = source();
            let proof =
                Proof { kind: ProofKind::Password, source: source.clone(), at: self.journeys.clock.now() };
            let record = record(id);
            let email = crate::identity::VerifiedEmail::assert(&source, &record.email, None).unwrap();
            self.edit(id, |row| {
                row.state = RowState::Claimed;
                row.claim = None;
                row.proof = Some(proof);
                row.record = Some(record);
                row.email = Some(email);
                row.organization = Some(FakeDirectory::organization_id());
            });
        }
    }
}

impl World {
    /// From now on by a clock of its own, and with other replicas that may have to write back what the store lost.
    pub(super) async fn settles_for(&mut self, settles: Duration) -> (Arc<SlowEpoch>, Arc<TestClock>) {
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let epoch = Arc::new(SlowEpoch {
            epoch: Arc::clone(&self.epoch),
            clock: Arc::clone(&clock),
            takes: Duration::ZERO,
            fails: 0.into(),
            line: 0.into(),
        });
        let seen = self.epoch.0.lock().unwrap().clone();
        let settings = TrustSettings { settles, ..SETTINGS };
        let trust = Trust::new(Arc::clone(&epoch) as _, settings, "settles".into(), clock.clone(), seen);
        (self.journeys.trust, self.journeys.clock) = (Arc::new(trust), Arc::clone(&clock) as _);
        assert_eq!(self.look().await, None);
        (epoch, clock)
    }
}

pub(super) fn person(id: &str) -> PersonKey {
    record(id).key()
}

#[tokio::test]
async fn an_emptied_store_links_people_and_creates_nobody_until_it_is_confirmed() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.empty();
    // Noticed before the create, whether or not anybody looked.
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::StoreInDoubt));
    assert_eq!(world.look().await, Some(Doubt::Emptied));
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::StoreInDoubt));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await), "who exists is found again");
    assert_eq!((world.users(), world.row("bob").create_sent_at), (1, None));

    let standing = world.journeys.confirm_store().await.unwrap();
    assert_eq!(standing.doubt, None);
    assert!(is_hand_over(&world.sign_in("bob@example.com", "right").await));
    assert_eq!(world.users(), 2);
    assert_eq!(world.look().await, None, "and it stays so");
}

#[tokio::test]
async fn an_old_copy_is_doubted_and_a_moment_of_lost_writes_is_not() {
    for (lost_seconds, doubt) in [(9, None), (3000, Some(Doubt::RolledBack))] {
        let world = cutover();
        assert_eq!(world.look().await, None);
        world.epoch.0.lock().unwrap().as_mut().unwrap().beat -= lost_seconds * 1000;
        assert_eq!(world.look().await, doubt, "{lost_seconds} s");
        // Used for a while, it is still the copy that it is.
        for _ in 0..20 {
            assert_eq!(world.look().await, doubt);
        }
    }
}

#[tokio::test]
async fn a_new_store_is_believed_unless_scalekit_has_our_people() {
    for (external_id, is_down, expected) in [
        (None, false, None),
        (Some("ann"), false, Some(Doubt::PeopleAtScalekit)),
        (None, true, Some(Doubt::NotAskedYet)),
    ] {
        let mut world = cutover();
        world.directory.seed("ann@example.com", external_id, true);
        *world.directory.down.lock().unwrap() = is_down;
        *world.epoch.0.lock().unwrap() = None;
        world.journeys.trust = world.started("new");
        assert_eq!(world.look().await, expected);
        *world.directory.down.lock().unwrap() = false;
        let asked = if is_down { None } else { expected };
        assert_eq!(world.look().await, asked, "asked again once it can be");
        world.journeys.confirm_store().await.unwrap();
        assert_eq!(world.look().await, None);
    }
}

#[tokio::test]
async fn who_signs_in_before_scalekit_was_asked_makes_no_empty_store_believed() {
    let mut world = cutover();
    // All processes began anew, and the store came back empty: Scalekit alone knows of Ann.
    world.directory.seed("ann@example.com", Some("ann"), true);
    world.empty();
    world.journeys.trust = world.started("new");
    *world.directory.down.lock().unwrap() = true;
    assert_eq!(world.look().await, Some(Doubt::NotAskedYet));
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::Later));
    assert!(!world.ledger.rows.lock().unwrap().is_empty(), "the sign-in left a row");
    assert_eq!(world.look().await, Some(Doubt::NotAskedYet));
    *world.directory.down.lock().unwrap() = false;
    // Another replica, which finds the row and knows of nothing either.
    let other = world.started("other");
    let mine = std::mem::replace(&mut world.journeys.trust, other);
    assert_eq!(world.look().await, Some(Doubt::PeopleAtScalekit));
    world.journeys.trust = mine;
    assert_eq!(world.look().await, Some(Doubt::PeopleAtScalekit));
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::StoreInDoubt));
    world.journeys.confirm_store().await.unwrap();
    assert!(is_hand_over(&world.sign_in("bob@example.com", "right").await));
}

#[tokio::test]
async fn who_signs_in_before_the_first_look_makes_no_empty_store_believed() {
    let mut world = cutover();
    world.directory.seed("ann@example.com", Some("ann"), true);
    world.empty();
    let (clock, takes) = (TestClock::at(Timestamp::from_seconds(1_800_000_000)), Duration::ZERO);
    let epoch = Arc::clone(&world.epoch);
    let away = SlowEpoch { epoch, clock: Arc::clone(&clock), takes, fails: 1.into(), line: 0.into() };
    world.journeys.trust = Arc::new(Trust::new(Arc::new(away), SETTINGS, "new".into(), clock, None));
    assert!(world.journeys.look_at_store().await.is_err());
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::StoreInDoubt));
    assert!(!world.ledger.rows.lock().unwrap().is_empty(), "the sign-in left a row");
    assert_eq!(world.look().await, Some(Doubt::PeopleAtScalekit));
}

#[tokio::test]
async fn who_knew_the_store_before_is_not_talked_out_of_it_by_one_that_did_not() {
    let mut world = cutover();
    assert_eq!(world.look().await, None);
    world.empty();
    let other = world.started("new");
    let mine = std::mem::replace(&mut world.journeys.trust, other);
    *world.directory.down.lock().unwrap() = true;
    assert_eq!(world.look().await, Some(Doubt::NotAskedYet));
    *world.directory.down.lock().unwrap() = false;
    let new = std::mem::replace(&mut world.journeys.trust, mine);
    assert_eq!(world.look().await, Some(Doubt::Replaced));
    world.journeys.trust = new;
    assert_eq!(world.look().await, Some(Doubt::Replaced));
}

#[tokio::test]
async fn a_look_that_takes_long_leaves_a_create_no_time() {
    let mut world = cutover();
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    // Within the lease, but with less of it left than a call to Scalekit may take.
    let takes = Duration::from_secs(28);
    let slow = SlowEpoch {
        epoch: Arc::clone(&world.epoch),
        clock: Arc::clone(&clock),
        takes,
        fails: 0.into(),
        line: 0.into(),
    };
    let seen = world.epoch.0.lock().unwrap().clone();
    let trust = Trust::new(Arc::new(slow), SETTINGS, "slow".into(), clock.clone(), seen);
    trust.believe();
    (world.journeys.trust, world.journeys.clock) = (Arc::new(trust), clock);
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::Later));
    assert_eq!((world.users(), world.row("ann").create_sent_at), (0, None));
}

#[tokio::test]
async fn born_new_people_get_in_while_the_store_is_in_doubt() {
    let world = world(0, 0, HandOff::Hosted, OnDuplicate::Refuse);
    let user = world.directory.seed("newt@example.com", None, true);
    world.directory.seed("ann@example.com", None, true);
    let born_new = world.arrives(&user, "newt@example.com").await.unwrap().row;
    assert_eq!(world.decide("stranger@example.com").await.row, None);
    world.empty();
    assert_eq!(world.look().await, Some(Doubt::Emptied));
    let decided = world.decide("newt@example.com").await;
    assert_eq!((decided.decision.lane, decided.decision.reason), (Lane::New, Reason::BornNew));
    assert!(is_hand_over(&world.journeys.new_lane(decided, None).await));
    // Whom a legacy store knows, and whom nobody knows, are nobody's to recognise.
    assert_eq!(world.decide("ann@example.com").await.row, None);
    assert_eq!(world.decide("stranger@example.com").await.row, None);
    let over = world.journeys.device(&born_new.key, None).await.unwrap();
    assert!(over.is_some_and(|over| over.crossed), "the device is believed");
    assert_eq!(world.arrives(&user, "newt@example.com").await.unwrap().row.key, born_new.key);
    assert_eq!(world.users(), 2);
}

/// Newt was born new, and the store that knew it is empty.
async fn emptied_with_a_newcomer() -> World {
    let world = cutover();
    let user = world.directory.seed("newt@example.com", None, true);
    assert!(world.arrives(&user, "newt@example.com").await.is_ok());
    world.empty();
    world.look().await;
    world
}

#[tokio::test]
async fn nobody_is_recognised_whom_a_silent_source_may_know() {
    let world = emptied_with_a_newcomer().await;
    let upstream = Arc::new(FakeStore { is_upstream: true, ..FakeStore::default() });
    world.journeys.chain.store(Arc::new(Chain::new(vec![Arc::clone(&world.store) as _, upstream])));
    assert_eq!(world.decide("newt@example.com").await.row, None);
    world.sign_for(|rules| rules.assume_stranger = Some(AssumeStranger { accepted_by: "ops".into() }));
    assert!(world.decide("newt@example.com").await.row.is_some());
}

#[tokio::test]
async fn strangers_cost_scalekit_no_more_than_ten_look_ups_a_second() {
    let world = emptied_with_a_newcomer().await;
    for number in 0..10 {
        world.decide_from(&format!("stranger-{number}@example.com"), number).await;
    }
    assert_eq!(world.decide("newt@example.com").await.row, None);
    world.journeys.clock.sleep(Duration::from_secs(1)).await;
    assert!(world.decide("newt@example.com").await.row.is_some());
}

#[tokio::test]
async fn one_stranger_takes_no_others_look_ups() {
    let world = emptied_with_a_newcomer().await;
    for number in 0..10 {
        world.decide_from(&format!("stranger-{number}@example.com"), 7).await;
    }
    assert!(world.decide_from("newt@example.com", 8).await.row.is_some());
}
