//! Whom an operator removed or has tried again.

use super::*;
use crate::{
    identity::LegacyId,
    login::{NotDone, Whom},
};

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
async fn a_removed_persons_typed_name_is_not_born_anew() {
    let world = cutover();
    let key = PersonKey { source: source(), id: LegacyId::parse("gone").unwrap() };
    let bucket = world.decide("gone@example.com").await.bucket;
    let mut gone =
        Row::fresh(key.clone(), bucket, rules().external_id.render(&key), Timestamp::from_seconds(1));
    gone.state = RowState::Tombstone;
    gone.add_alias(Alias::Typed("gone@example.com".into()));
    world.ledger.rows.lock().unwrap().insert(key, gone);
    let user = world.directory.seed("gone@example.com", None, true);
    assert_eq!(world.arrives(&user, "gone@example.com").await, Err(Refused::Tombstone));
}

#[tokio::test]
async fn a_removed_persons_names_are_closed_and_no_password_opens_them() {
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
    assert!(matches!(nobody, Err(NotDone::Nobody)));
}

#[tokio::test]
async fn who_was_set_aside_is_judged_anew_after_a_retry_and_nobody_else() {
    let world = cutover();
    let ann = Whom::Name(LoginName::parse("ann@example.com").unwrap());
    assert!(matches!(world.journeys.retry(&ann).await, Err(NotDone::Nobody)));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert!(matches!(world.journeys.retry(&ann).await, Err(NotDone::UserIsThere)));
    let row = world.row("ann");
    let aside = Row { state: RowState::Ineligible { why: Ineligible::Mfa }, ..row };
    world.ledger.write(&aside).await.unwrap();
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    assert_eq!(world.journeys.retry(&ann).await.unwrap().state, RowState::None);
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!((world.row("ann").state, world.users()), (RowState::Done, 1));
}
