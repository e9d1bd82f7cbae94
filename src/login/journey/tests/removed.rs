//! Whoever was removed, and what a store lost of them: written back, and nobody brought back meanwhile (truths 5, 8).

use super::{
    doubt::{SlowEpoch, person},
    *,
};
use crate::{
    clock::Clock as _,
    identity::LegacyId,
    login::{ClaimAnswer, Doubt, Swept},
};

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
