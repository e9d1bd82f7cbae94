//! DONE people whose user at Scalekit is gone or has a new address, and an operator who has that mended.

use super::*;
use crate::login::{NotDone, Stage, Whom};

/// Ann, who crossed, and her user.
async fn crossed() -> (World, UserId) {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let user = world.row("ann").user.unwrap();
    assert!(world.arrives(&user, "ann@example.com").await.is_ok());
    (world, user)
}

fn named(name: &str) -> Whom {
    Whom::Name(LoginName::parse(name).unwrap())
}

impl World {
    fn delete_users(&self) {
        self.directory.users.lock().unwrap().clear();
    }

    async fn retry(&self) -> Result<Row, NotDone> {
        self.journeys.retry(&named("ann@example.com")).await
    }
}

#[tokio::test]
async fn whose_user_is_gone_is_linked_anew_by_their_mailbox_and_only_once_an_operator_says_so() {
    let (world, _) = crossed().await;
    let before = world.row("ann");
    world.delete_users();
    let new = world.directory.seed("ann@example.com", None, true);
    for _ in 0..2 {
        assert_eq!(world.arrives(&new, "ann@example.com").await, Err(Refused::NotLinkable));
    }
    assert_eq!(*world.killer.noticed.lock().unwrap(), [Notice::CameAsAnother; 2]);
    assert_eq!(world.row("ann"), before, "nothing happens by itself");

    let row = world.retry().await.unwrap();
    assert_eq!((row.state, row.user, row.crossed_at), (RowState::None, None, before.crossed_at));
    // A legacy password opens nothing, and is not even looked at.
    let asked = *world.store.asked.lock().unwrap();
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::Crossed);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!((*world.store.asked.lock().unwrap(), world.row("ann").state), (asked, RowState::None));

    let back = world.arrives(&new, "ann@example.com").await.unwrap().row;
    assert_eq!((&back.state, back.user.as_ref()), (&RowState::Done, Some(&new)));
    assert_eq!((back.crossed_at, back.proof.unwrap().kind), (before.crossed_at, ProofKind::Inbox));
    let users = world.directory.users.lock().unwrap();
    assert_eq!(users[0].external_id.as_ref().map(crate::identity::ExternalId::as_str), Some("ann"));
}

#[tokio::test]
async fn who_crossed_and_cannot_be_linked_anew_has_no_legacy_door() {
    let (world, _) = crossed().await;
    world.delete_users();
    world.retry().await.unwrap();
    let foreign = world.directory.seed("ann@example.com", Some("somebody"), true);
    assert_eq!(world.arrives(&foreign, "ann@example.com").await, Err(Refused::NotLinkable));
    assert_eq!(world.row("ann").state, RowState::Conflict { why: SetAside::ForeignUser });
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::Crossed);
    let asked = *world.store.asked.lock().unwrap();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!(*world.store.asked.lock().unwrap(), asked);
    world.delete_users();
    let own = world.directory.seed("ann@example.com", None, true);
    assert!(world.arrives(&own, "ann@example.com").await.is_ok());
}

#[tokio::test]
async fn whose_user_is_in_order_or_cannot_be_asked_for_stays_as_they_are() {
    let (world, _) = crossed().await;
    let before = world.row("ann");
    assert!(matches!(world.retry().await, Err(NotDone::UserIsThere)));
    *world.directory.down.lock().unwrap() = true;
    assert!(matches!(world.retry().await, Err(NotDone::Directory(_))));
    assert_eq!(world.row("ann"), before);
    world.journeys.remove(&named("ann@example.com")).await.unwrap();
    *world.directory.down.lock().unwrap() = false;
    world.delete_users();
    assert!(matches!(world.retry().await, Err(NotDone::NotSetAside(Stage::Tombstone))));
}

#[tokio::test]
async fn a_user_that_is_somebody_elses_now_is_let_go() {
    let (world, user) = crossed().await;
    world.directory.users.lock().unwrap()[0].external_id = None;
    assert_eq!(world.retry().await.unwrap().user, None);
    assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "the mailbox is hers");
    assert_eq!(world.row("ann").user, Some(user));
}

#[tokio::test]
async fn a_new_address_counts_once_both_sides_have_it() {
    let (world, user) = crossed().await;
    let before = world.row("ann");
    world.directory.users.lock().unwrap()[0].email = CanonicalEmail::parse("a@example.com").ok();
    assert!(matches!(world.retry().await, Err(NotDone::AddressDiffers)));
    assert_eq!(world.row("ann"), before);
    world.store.records.lock().unwrap()[0].email.address = Some("A@example.com".into());
    let row = world.retry().await.unwrap();
    assert_eq!(
        (&row.state, row.user.as_ref(), row.crossed_at),
        (&RowState::Done, Some(&user), before.crossed_at)
    );
    let outcome = world.sign_in("a@example.com", "whatever").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert_eq!(over.login_hint, CanonicalEmail::parse("a@example.com").ok());
    assert!(matches!(world.journeys.retry(&named("a@example.com")).await, Err(NotDone::UserIsThere)));
}

#[tokio::test]
async fn a_born_new_person_whose_user_is_gone_stays_who_they_are() {
    let world = cutover();
    let first = world.directory.seed("new@example.com", None, true);
    let key = world.arrives(&first, "new@example.com").await.unwrap().row.key;
    assert!(matches!(world.journeys.retry(&named("new@example.com")).await, Err(NotDone::UserIsThere)));
    world.delete_users();
    let second = UserId("usr_second".into());
    assert_eq!(world.arrives(&second, "new@example.com").await, Err(Refused::NotLinkable));
    world.journeys.retry(&named("new@example.com")).await.unwrap();
    assert_eq!(world.decide("new@example.com").await.decision.reason, Reason::BornNew);
    assert_eq!(world.arrives(&second, "other@example.com").await.unwrap().row.key.id.as_str(), "usr_second");
    let third = UserId("usr_third".into());
    let back = world.arrives(&third, "new@example.com").await.unwrap().row;
    assert_eq!((back.key, back.state, back.user), (key, RowState::Done, Some(third)));
}

#[tokio::test]
async fn whom_no_store_has_a_record_of_is_linked_anew_by_the_one_that_was_read_last() {
    let (world, _) = crossed().await;
    let upstream = Arc::new(FakeStore { is_upstream: true, ..FakeStore::default() });
    world.journeys.chain.store(Arc::new(Chain::new(vec![upstream])));
    world.delete_users();
    let new = world.directory.seed("ann@example.com", None, true);
    assert_eq!(world.arrives(&new, "ann@example.com").await, Err(Refused::NotLinkable));
    world.retry().await.unwrap();
    let back = world.arrives(&new, "ann@example.com").await.unwrap().row;
    assert_eq!((back.key, back.user), (record("ann").key(), Some(new)));
}
