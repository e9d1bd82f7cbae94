//! Whoever takes the mailbox sign-in by their own choice, and what the dial says to that.

use super::*;
use crate::rollout::RuleSubject;

/// Ann at the legacy side, and her user at Scalekit: DONE by a sign-in as `ann`, or a user that nobody linked.
async fn ann(is_done: bool) -> (World, UserId) {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    if !is_done {
        let user = world.directory.seed("ann@example.com", None, true);
        return (world, user);
    }
    let _ = world.sign_in("ann", "right").await;
    let user = world.row("ann").user.unwrap();
    (world, user)
}

/// What is kept of her: whether she crossed, and with which external id Scalekit has her.
fn kept(world: &World) -> (bool, Vec<Option<String>>) {
    let crossed = world.ledger.rows.lock().unwrap().values().any(|row| row.crossed_at.is_some());
    let users = world.directory.users.lock().unwrap();
    let ids = users.iter().map(|user| user.external_id.as_ref().map(|id| id.as_str().to_owned()));
    (crossed, ids.collect())
}

fn person(name: &str) -> RuleSubject {
    RuleSubject::Person(name.into())
}

fn nobody_moves(dial: &mut Dial) {
    *dial = Dial::new(BasisPoints::NONE, BasisPoints::NONE, RollbackMode::Keep, dial.rules.clone());
}

/// A turn of the dial, and whom it lets in: Ann who is DONE, and Ann who is not here yet.
type Case = (&'static str, fn(&mut Dial), bool, bool);

const CASES: [Case; 10] = [
    ("as she likes", |_| {}, true, true),
    ("paused", |dial| dial.paused = true, false, false),
    ("held", |dial| dial.rules.deny.push(person("ann@example.com")), false, false),
    ("her domain held", |dial| dial.rules.deny.push(RuleSubject::Domain("example.com".into())), false, false),
    ("held under another name", |dial| dial.rules.deny.push(person("ann")), false, true),
    ("nobody moves", nobody_moves, true, false),
    (
        "nobody moves but she is pinned",
        |dial| {
            nobody_moves(dial);
            dial.rules.allow.push(person("ann@example.com"));
        },
        true,
        true,
    ),
    (
        "pinned and paused",
        |dial| {
            dial.rules.allow.push(person("ann@example.com"));
            dial.paused = true;
        },
        false,
        false,
    ),
    (
        "rolled back",
        |dial| {
            nobody_moves(dial);
            dial.rollback = RollbackMode::Legacy;
        },
        false,
        false,
    ),
    ("beyond the percentage", |dial| dial.cutover = BasisPoints::new(1).unwrap(), true, true),
];

#[tokio::test]
async fn who_comes_by_mailbox_waits_where_the_dial_holds_them() {
    for (case, turn, done, not_here) in CASES {
        for (is_done, expected) in [(true, done), (false, not_here)] {
            let (world, user) = ann(is_done).await;
            let before = kept(&world);
            world.turn(turn);
            let arrived = world.arrives(&user, "ann@example.com").await;
            if expected {
                assert_eq!(arrived.unwrap().row.key, record("ann").key(), "{case}, done {is_done}");
                assert!(kept(&world).0, "{case}");
            } else {
                assert_eq!(arrived, Err(Refused::NotNow), "{case}, done {is_done}");
                assert_eq!(kept(&world), before, "{case}, done {is_done}: nothing changed");
            }
        }
    }
}

#[tokio::test]
async fn a_hold_by_a_login_that_only_the_record_has_holds_who_comes_by_mailbox() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    let _ = world.sign_in("ann@example.com", "right").await;
    world.ledger.rows.lock().unwrap().get_mut(&record("ann").key()).unwrap().record.as_mut().unwrap().login =
        "ann-at-desk".into();
    let user = world.row("ann").user.unwrap();
    world.turn(|dial| dial.rules.deny.push(person("ann-at-desk")));
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotNow));
    assert!(!kept(&world).0);
}

#[tokio::test]
async fn a_hand_over_ends_as_it_began_and_for_nobody_else() {
    for (begun_for, expected) in [("ann", true), ("bob", false)] {
        let (world, user) = ann(true).await;
        world.turn(|dial| dial.paused = true);
        let back = world.comes_back(&user, "ann@example.com", Some(record(begun_for).key())).await;
        assert_eq!(back.is_ok(), expected, "{begun_for}");
        assert_eq!(kept(&world).0, expected, "{begun_for}");
    }
}

#[tokio::test]
async fn who_crossed_or_was_born_new_is_let_in_whatever_the_dial_says() {
    let (world, ann) = ann(true).await;
    assert!(world.arrives(&ann, "ann@example.com").await.is_ok());
    world.turn(|dial| {
        nobody_moves(dial);
        dial.paused = true;
        dial.rollback = RollbackMode::Legacy;
    });
    assert!(world.arrives(&ann, "ann@example.com").await.is_ok(), "she crossed before");
    let new = world.directory.seed("new@example.com", None, true);
    for _ in 0..2 {
        let arrived = world.arrives(&new, "new@example.com").await.unwrap();
        assert_eq!(arrived.row.origin, Origin::BornNew);
    }
}
