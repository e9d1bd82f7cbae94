//! What is finished without the person: by looking where a create was sent, and by a young proof where none was.

use super::{doubt::person, *};
use crate::login::{Doubt, Swept};

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
