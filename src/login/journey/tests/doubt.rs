//! A store in doubt (truth 8), and what is finished without the person.

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

use super::*;
use crate::clock::Clock as _;
use crate::identity::LegacyId;
use crate::login::{ClaimAnswer, Doubt, Epoch, EpochStore, Put, Swept, TrustSettings};

const SETTINGS: TrustSettings = TrustSettings {
    tolerance: Duration::from_secs(10),
    every: Duration::from_secs(1),
    settles: Duration::ZERO,
};

/// A store whose epoch takes long to read.
struct SlowEpoch {
    epoch: Arc<MemoryEpoch>,
    clock: Arc<TestClock>,
    takes: Duration,
    /// So many of the next looks fail.
    fails: AtomicUsize,
    line: AtomicU64,
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
    fn empty(&self) {
        self.ledger.rows.lock().unwrap().clear();
        *self.epoch.0.lock().unwrap() = None;
    }

    async fn look(&self) -> Option<Doubt> {
        self.journeys.look_at_store().await.unwrap();
        self.journeys.store_standing().doubt
    }

    /// What a process thinks that began just now.
    fn started(&self, name: &str) -> Arc<Trust> {
        let clock = self.journeys.clock.clone();
        Arc::new(Trust::new(Arc::clone(&self.epoch) as _, SETTINGS, name.into(), clock, None))
    }

    fn edit(&self, id: &str, edit: impl FnOnce(&mut Row)) {
        edit(self.ledger.rows.lock().unwrap().get_mut(&person(id)).unwrap());
    }

    /// A person whose first sign-in ended after its proof was stored.
    async fn begun(&self, id: &str) {
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
    async fn settles_for(&mut self, settles: Duration) -> (Arc<SlowEpoch>, Arc<TestClock>) {
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

fn person(id: &str) -> PersonKey {
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

#[tokio::test]
async fn a_lost_tombstone_is_written_back_and_nobody_is_brought_back_meanwhile() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.edit("ann", |row| row.state = RowState::Tombstone);
    world.look().await;
    let user = world.row("ann").user.clone().unwrap();
    world.empty();
    // Before anybody noticed.
    let decided = world.decide("ann@example.com").await;
    assert_eq!((decided.decision.lane, decided.decision.reason), (Lane::Legacy, Reason::Tombstone));
    let outcome = world.sign_in("ann@example.com", "right").await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.arrives(&user, "ann@example.com").await.unwrap_err(), Refused::Tombstone);
    assert!(world.ledger.rows.lock().unwrap().is_empty());

    assert_eq!(world.look().await, Some(Doubt::Emptied));
    let row = world.row("ann");
    assert_eq!((row.state, row.claim), (RowState::Tombstone, None));
    assert!(row.aliases.contains(&Alias::Email(CanonicalEmail::parse("ann@example.com").unwrap())));
    world.journeys.confirm_store().await.unwrap();
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::Tombstone);
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn a_row_that_others_keep_writing_does_not_keep_other_tombstones_from_the_store() {
    let world = cutover();
    for id in ["ann", "bob"] {
        assert!(is_hand_over(&world.sign_in(&format!("{id}@example.com"), "right").await));
        world.edit(id, |row| row.state = RowState::Tombstone);
    }
    assert_eq!(world.look().await, None);
    // Ann's names lead to somebody else in the store that came back, and her row is written by others.
    let other = Row { key: person("other"), state: RowState::None, claim: None, ..world.row("ann") };
    world.empty();
    world.ledger.rows.lock().unwrap().insert(other.key.clone(), other);
    *world.ledger.contended.lock().unwrap() = Some(person("ann"));
    assert_eq!(world.look().await, Some(Doubt::Emptied));
    assert_eq!(world.row("bob").state, RowState::Tombstone);
    // Hers is none that anybody could be brought back by either, and the operator's word is taken.
    assert_eq!(world.row("ann").state, RowState::Tombstone);
    assert_eq!(world.journeys.confirm_store().await.unwrap().doubt, None);
}

#[tokio::test]
async fn a_tombstone_that_a_failover_lost_is_written_back_though_nobody_doubts_the_store() {
    let world = cutover();
    for id in ["ann", "bob"] {
        assert!(is_hand_over(&world.sign_in(&format!("{id}@example.com"), "right").await));
    }
    world.edit("ann", |row| row.state = RowState::Tombstone);
    world.look().await;
    world.edit("ann", |row| row.state = RowState::Done);
    assert_eq!(world.look().await, None);
    assert_eq!(world.row("ann").state, RowState::Tombstone);

    // As many were lost as another process added.
    world.edit("ann", |row| row.state = RowState::Done);
    world.edit("bob", |row| row.state = RowState::Tombstone);
    for _ in 0..10 {
        assert_eq!(world.look().await, None);
    }
    assert_eq!(world.row("ann").state, RowState::Tombstone);
    world.edit("bob", |row| row.state = RowState::Done);
    assert_eq!(world.decide("bob@example.com").await.decision.reason, Reason::Tombstone, "learned meanwhile");
}

/// A name of theirs leads to somebody else by now, and their others are still closed to everybody.
#[tokio::test]
async fn who_is_removed_again_keeps_the_names_that_nobody_took() {
    let world = cutover();
    for id in ["ann", "bob"] {
        assert!(is_hand_over(&world.sign_in(&format!("{id}@example.com"), "right").await));
    }
    world.edit("ann", |row| row.state = RowState::Tombstone);
    let removed = world.row("ann");
    assert!(removed.aliases.len() > 1, "{:?}", removed.aliases);
    world.look().await;
    let taken = removed.aliases.first().cloned().unwrap();
    world.edit("ann", |row| {
        row.state = RowState::Done;
        row.aliases.clear();
    });
    world.edit("bob", |row| row.aliases = vec![taken.clone()]);
    world.look().await;
    let row = world.row("ann");
    assert_eq!(row.state, RowState::Tombstone);
    assert_eq!(row.aliases.len(), removed.aliases.len() - 1, "{:?}", row.aliases);
    assert!(!row.aliases.contains(&taken));
}

/// Whoever claimed the row to write the tombstone back may have died before it wrote the names.
#[tokio::test]
async fn a_removal_that_was_half_written_back_is_finished() {
    let mut world = cutover();
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    world.journeys.clock = clock.clone();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.edit("ann", |row| row.state = RowState::Tombstone);
    let removed = Row { version: 0, fence: 0, aliases: Vec::new(), ..world.row("ann") };
    world.look().await;
    world.ledger.rows.lock().unwrap().clear();
    let claimed = world.ledger.claim(&removed, Duration::from_secs(1), clock.now()).await.unwrap();
    assert!(matches!(claimed, ClaimAnswer::Granted(_)));
    clock.advance(Duration::from_secs(2));
    world.look().await;
    let row = world.row("ann");
    assert!(row.claim.is_none() && row.aliases.len() > 1, "{row:?}");
}

/// More people were removed than one process remembers, and the store stays in doubt for hours.
#[tokio::test]
async fn a_doubt_does_not_read_everybody_who_was_removed_with_each_look() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let ann = world.row("ann");
    for number in 0..10_100 {
        let key = PersonKey { id: LegacyId::parse(&format!("a-{number}")).unwrap(), ..ann.key.clone() };
        let row = Row { key: key.clone(), state: RowState::Tombstone, aliases: Vec::new(), ..ann.clone() };
        world.ledger.rows.lock().unwrap().insert(key, row);
    }
    assert_eq!(world.look().await, None);
    world.epoch.0.lock().unwrap().as_mut().unwrap().doubt = Some(Doubt::RolledBack);
    let before = world.ledger.reads.load(Ordering::SeqCst);
    for _ in 0..10 {
        assert_eq!(world.look().await, Some(Doubt::RolledBack));
    }
    let reads = world.ledger.reads.load(Ordering::SeqCst) - before;
    assert_eq!(reads, 0, "names are enough");
}

/// The sessions of those who were written back are ended, whatever becomes of the others.
#[tokio::test]
async fn who_was_written_back_before_the_store_failed_is_told() {
    let mut world = cutover();
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    world.journeys.clock = clock.clone();
    for id in ["ann", "bob"] {
        assert!(is_hand_over(&world.sign_in(&format!("{id}@example.com"), "right").await));
        world.edit(id, |row| row.state = RowState::Tombstone);
    }
    world.look().await;
    world.edit("ann", |row| row.state = RowState::Done);
    world.edit("bob", |row| row.state = RowState::Done);
    world.ledger.writes_left.store(1, Ordering::SeqCst);
    let first = world.journeys.look_at_store().await.unwrap_or_default().len();
    world.ledger.writes_left.store(usize::MAX, Ordering::SeqCst);
    // The claim of the one that was not written is over.
    clock.advance(Duration::from_secs(2));
    let second = world.journeys.look_at_store().await.unwrap().len();
    assert_eq!((first, second), (1, 1));
}

#[tokio::test]
async fn nobody_moves_or_is_let_in_before_others_could_write_back_what_the_store_lost() {
    const SETTLES: Duration = Duration::from_secs(3);
    type Strike = fn(&World, &SlowEpoch);
    let strikes: [(&str, bool, Duration, Strike); 4] = [
        ("nothing", true, Duration::ZERO, |_, _| {}),
        ("emptied", false, SETTLES, |world, _| world.empty()),
        ("reached anew", true, SETTLES, |_, epoch| _ = epoch.line.fetch_add(1, Ordering::SeqCst)),
        ("a moment lost", true, SETTLES, |world, _| {
            world.epoch.0.lock().unwrap().as_mut().unwrap().beat -= 1000;
        }),
    ];
    let swept = strikes.map(|strike| (true, strike));
    for (is_swept, (what, moves, expected, strike)) in
        strikes.map(|strike| (false, strike)).into_iter().chain(swept)
    {
        let mut world = cutover();
        let user = world.directory.seed("newt@example.com", None, true);
        if is_swept {
            world.begun("ann").await;
        }
        let (epoch, clock) = world.settles_for(SETTLES).await;
        strike(&world, &epoch);
        let begun = clock.now();
        if is_swept {
            let swept = world.journeys.finish(&person("ann")).await.unwrap();
            assert_eq!(swept == Swept::Done, moves, "{what}: {swept:?}");
        } else {
            let outcome = world.sign_in("ann@example.com", "right").await;
            assert_eq!(is_hand_over(&outcome), moves, "{what}: {outcome:?}");
        }
        assert_eq!(clock.now().since(begun), expected, "{what}, swept: {is_swept}");
        assert!(world.arrives(&user, "newt@example.com").await.is_ok());
        assert_eq!(clock.now().since(begun), expected, "{what}: once");
    }
}

/// REL-06: whoever has waited for what the store lost does not wait for another replica's claim on top.
#[tokio::test]
async fn all_that_a_sign_in_waits_for_is_three_seconds() {
    let mut world = cutover();
    world.begun("ann").await;
    let (epoch, clock) = world.settles_for(Duration::from_secs(3)).await;
    let held = world.ledger.claim(&world.row("ann"), Duration::from_mins(1), clock.now()).await.unwrap();
    assert!(matches!(held, ClaimAnswer::Granted(_)));
    epoch.line.fetch_add(1, Ordering::SeqCst);
    let begun = clock.now();
    let outcome = world.sign_in("ann@example.com", "right").await;
    assert!(!is_hand_over(&outcome), "{outcome:?}");
    assert_eq!(clock.now().since(begun), Duration::from_secs(3));
}

/// More people were removed than one process remembers.
#[tokio::test]
async fn whoever_was_removed_last_is_remembered_and_the_reads_are_few() {
    const MOST: usize = 5;
    let mut world = cutover();
    world.journeys.ledger = Arc::new(Remembering::at_most(MOST, Arc::clone(&world.ledger) as _));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    for number in 0..3 * MOST {
        // Before hers in the order of keys.
        let id = format!("a-{number:02}");
        let updated_at = Timestamp::from_seconds(1_700_000_000 + number as u64);
        let row = Row { key: person(&id), aliases: vec![], updated_at, ..world.row("ann") };
        let row = Row { state: RowState::Tombstone, user: None, ..row };
        world.ledger.rows.lock().unwrap().insert(person(&id), row);
    }
    assert_eq!(world.look().await, None);
    let (row, is_new) = world.journeys.remove(&Whom::Key(person("ann"))).await.unwrap();
    assert!(is_new && row.state == RowState::Tombstone);
    world.look().await;
    // A lost write, which changes how many there are; nobody doubts the store.
    world.edit("ann", |row| row.state = RowState::Done);
    assert_eq!(world.look().await, None);
    assert_eq!(world.row("ann").state, RowState::Tombstone);
    // Two that make up for each other are seen with one of the next looks.
    world.edit("ann", |row| row.state = RowState::Done);
    let one_more = Row { key: person("a-99"), ..world.row("a-00") };
    world.ledger.rows.lock().unwrap().insert(person("a-99"), one_more);
    for _ in 0..10 {
        assert_eq!(world.look().await, None);
    }
    assert_eq!(world.row("ann").state, RowState::Tombstone);
    let read = world.ledger.reads.load(Ordering::SeqCst);
    for _ in 0..30 {
        world.look().await;
    }
    let read = world.ledger.reads.load(Ordering::SeqCst) - read;
    assert!(read <= 2 * MOST, "{read} rows in 30 looks");
}

/// Another process removes somebody while this one remembers as many as it may.
#[tokio::test]
async fn a_removal_elsewhere_is_learned_however_many_were_removed_before() {
    const MOST: usize = 5;
    let mut world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    for number in 0..3 * MOST {
        // In the order of keys the last ones come first.
        let id = format!("a-{:02}", 99 - number);
        let updated_at = Timestamp::from_seconds(1_700_000_000 + number as u64);
        let row = Row { key: person(&id), aliases: vec![], updated_at, user: None, ..world.row("ann") };
        let row = Row { state: RowState::Tombstone, ..row };
        world.ledger.rows.lock().unwrap().insert(person(&id), row);
    }
    let now = world.journeys.clock.now();
    let here = Remembering::at_most(MOST, Arc::clone(&world.ledger) as _);
    let compare = async || here.compare(false, now).await.unwrap().again.len();
    let before = world.ledger.reads.load(Ordering::SeqCst);
    assert_eq!(compare().await, 0);
    assert_eq!(
        world.ledger.reads.load(Ordering::SeqCst) - before,
        MOST,
        "the last ones are read, and no others"
    );

    world.journeys.ledger = Arc::new(Remembering::at_most(MOST, Arc::clone(&world.ledger) as _));
    assert!(world.journeys.remove(&Whom::Key(person("ann"))).await.unwrap().1);
    assert_eq!(compare().await, 0);
    // What the other process wrote is lost, and the other process is gone.
    world.edit("ann", |row| row.state = RowState::Done);
    assert_eq!(compare().await, 1);
    assert_eq!(world.row("ann").state, RowState::Tombstone);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_nobody_from_being_written_back_or_finished() {
    let world = cutover();
    let garble = |id| _ = world.ledger.garbled.lock().unwrap().insert(person(id));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let gone = Row { key: person("a-gone"), aliases: vec![], state: RowState::Tombstone, ..world.row("ann") };
    world.ledger.rows.lock().unwrap().insert(gone.key.clone(), gone);
    garble("a-gone");
    world.edit("ann", |row| row.state = RowState::Tombstone);
    assert_eq!(world.look().await, None);
    // A lost write.
    world.edit("ann", |row| row.state = RowState::Done);
    assert_eq!(world.look().await, None);
    assert_eq!(world.row("ann").state, RowState::Tombstone);
    // What is known of a removed person outlasts a row of theirs that nobody can read.
    garble("ann");
    let decided = world.decide("ann@example.com").await;
    assert_eq!(decided.decision.reason, Reason::Tombstone);

    world.begun("bob").await;
    garble("bob");
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::Unreadable);
    // An operator removes them: by their key, and all their names are closed.
    let (row, is_new) = world.journeys.remove(&Whom::Key(person("bob"))).await.unwrap();
    assert!(is_new && row.state == RowState::Tombstone, "{row:?}");
    assert_eq!(world.decide("bob@example.com").await.decision.reason, Reason::Tombstone);
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::Nothing);
    assert!(!world.journeys.remove(&Whom::Key(person("bob"))).await.unwrap().1);
}

#[tokio::test]
async fn who_is_removed_on_the_way_to_the_application_is_not_sent_there() {
    let to = HandOff::App { url: "/start".into() };
    let world = world(10_000, 0, to, OnDuplicate::Refuse);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let decided = world.decide("ann@example.com").await;
    world.edit("ann", |row| row.state = RowState::Tombstone);
    let outcome = world.journeys.new_lane(decided, None).await;
    assert_eq!(outcome, Outcome::Forward(WhyForward::LaneLegacy));
}

#[tokio::test]
async fn a_create_that_was_sent_is_finished_at_any_age_and_by_look_ups_alone() {
    let world = cutover();
    for (id, exists) in [("ann", true), ("bob", false)] {
        world.begun(id).await;
        let long_ago = Timestamp::from_seconds(1_700_000_000);
        world.edit(id, |row| {
            row.create_sent_at = Some(long_ago);
            row.proof.as_mut().unwrap().at = long_ago;
        });
        if exists {
            world.directory.seed(&format!("{id}@example.com"), Some(id), true);
        }
    }
    // The legacy side is not needed for what was sent, but for twins it is asked.
    assert_eq!(world.journeys.finish(&person("ann")).await.unwrap(), Swept::Done);
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::NotYet);
    assert_eq!((world.users(), *world.directory.accepted.lock().unwrap()), (1, 0));
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.journeys.finish(&person("ann")).await.unwrap(), Swept::Nothing);
}

#[tokio::test]
async fn an_old_proof_links_nobody_whom_the_create_did_not_make() {
    let world = cutover();
    world.begun("ann").await;
    let long_ago = Timestamp::from_seconds(1_700_000_000);
    world.edit("ann", |row| {
        row.create_sent_at = Some(long_ago);
        row.proof.as_mut().unwrap().at = long_ago;
    });
    // The address may be somebody else's since: whoever has the mailbox now came to Scalekit by themselves.
    world.directory.seed("ann@example.com", None, true);
    assert_eq!(world.journeys.finish(&person("ann")).await.unwrap(), Swept::NotYet);
    assert_eq!(world.directory.users.lock().unwrap()[0].external_id, None);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await), "a new proof does");
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn a_first_create_needs_a_young_proof_and_a_record_that_is_still_in_order() {
    let world = cutover();
    for id in ["ann", "bob"] {
        world.begun(id).await;
    }
    world.store.records.lock().unwrap()[0].state = AccountState::Locked;
    assert_eq!(world.journeys.finish(&person("ann")).await.unwrap(), Swept::SetAside);
    assert_eq!(world.row("ann").state, RowState::Ineligible { why: Ineligible::AccountLocked });
    let gone = world.store.records.lock().unwrap().pop().unwrap();
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::NextSignIn);
    world.store.records.lock().unwrap().push(gone);
    let proved = world.row("bob").proof.unwrap().at;
    world.edit("bob", |row| {
        row.proof.as_mut().unwrap().at = Timestamp::from_millis(proved.millis() - 86_400_000);
    });
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::NextSignIn, "a day old");
    assert_eq!(world.users(), 0);
    world.edit("bob", |row| row.proof.as_mut().unwrap().at = proved);
    *world.store.down.lock().unwrap() = true;
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::NotYet);
    *world.store.down.lock().unwrap() = false;
    // Nobody new is created where the dial went back since.
    let paused: fn(&mut Dial) = |dial| dial.paused = true;
    let back: fn(&mut Dial) = |dial| dial.cutover = BasisPoints::NONE;
    for (turned, turn) in [("paused", paused), ("back to nobody", back)] {
        let before = world.journeys.settings.load().dial.clone();
        world.turn(turn);
        assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::NextSignIn, "{turned}");
        assert_eq!(world.users(), 0, "{turned}");
        world.turn(|dial| *dial = before);
    }
    assert_eq!(world.journeys.finish(&person("bob")).await.unwrap(), Swept::Done);
    assert_eq!(world.users(), 1);
}

#[tokio::test]
async fn nobody_is_finished_by_a_create_while_the_store_is_in_doubt() {
    let world = cutover();
    world.begun("ann").await;
    *world.epoch.0.lock().unwrap() = None;
    assert_eq!(world.look().await, Some(Doubt::Emptied));
    assert_eq!(world.journeys.finish(&person("ann")).await.unwrap(), Swept::NotYet);
    assert_eq!(world.users(), 0);
}
