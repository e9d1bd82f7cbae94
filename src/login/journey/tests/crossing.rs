//! Whoever is DONE and crosses for the first time, judged by what the legacy side says by then.

use super::*;

/// Ann, who was created while her lane was legacy, and her user.
async fn done(hand_off: HandOff) -> (World, UserId) {
    let world = world(0, 10_000, hand_off, OnDuplicate::Refuse);
    let _ = world.sign_in("ann", "right").await;
    let row = world.row("ann");
    assert_eq!((row.state, row.crossed_at), (RowState::Done, None));
    (world, row.user.unwrap())
}

impl World {
    /// What the legacy side says of Ann from now on.
    fn ann_is(&self, change: impl FnOnce(&mut LegacyRecord)) {
        change(&mut self.store.records.lock().unwrap()[0]);
    }
}

type Change = (&'static str, fn(&mut LegacyRecord), Ineligible);

const CHANGES: [Change; 5] = [
    ("disabled", |ann| ann.state = AccountState::Disabled, Ineligible::AccountDisabled),
    ("locked", |ann| ann.state = AccountState::Locked, Ineligible::AccountLocked),
    ("has a second factor", |ann| ann.mfa = MfaState::Enrolled, Ineligible::Mfa),
    ("her address is in doubt", |ann| ann.email.verified = Some(false), Ineligible::EmailUnverified),
    ("has another address", |ann| ann.email.address = Some("a@example.com".into()), Ineligible::EmailChanged),
];

#[tokio::test]
async fn who_is_not_in_order_any_more_does_not_cross_until_they_are() {
    for (case, change, why) in CHANGES {
        let (world, user) = done(HandOff::Hosted).await;
        world.ann_is(change);
        assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable), "{case}");
        let row = world.row("ann");
        assert_eq!((row.state, row.crossed_at), (RowState::Ineligible { why }, None), "{case}");
        world.turn_cutover(10_000);
        assert_eq!(
            world.decide("ann").await.decision.reason,
            Reason::SetAside,
            "{case}: the old way is open"
        );
        world.ann_is(|ann| *ann = record("ann"));
        let _ = world.sign_in("ann", "right").await;
        assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "{case} no more");
        assert_eq!((world.row("ann").state, world.users()), (RowState::Done, 1), "{case}");
    }
}

#[tokio::test]
async fn who_is_gone_at_the_legacy_side_does_not_cross() {
    let (world, user) = done(HandOff::Hosted).await;
    world.store.records.lock().unwrap().remove(0);
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable));
    assert_eq!(world.row("ann").state, RowState::Ineligible { why: Ineligible::AccountGone });
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable), "nor is she new");
    assert_eq!(world.ledger.rows.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_crossed_is_not_judged_any_more() {
    for (case, change, _) in CHANGES {
        let (world, user) = done(HandOff::Hosted).await;
        assert!(world.arrives(&user, "ann@example.com").await.is_ok());
        world.ann_is(change);
        assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "{case}");
    }
}

#[tokio::test]
async fn a_legacy_side_that_cannot_be_asked_keeps_nobody_out_who_exists_and_it_is_on_record() {
    let make = |world: &World, why: &str| match why {
        "unavailable" => *world.store.down.lock().unwrap() = true,
        "misconfigured" => *world.store.no_ids.lock().unwrap() = true,
        _ => {
            let upstream = Arc::new(FakeStore { is_upstream: true, ..FakeStore::default() });
            world.journeys.chain.store(Arc::new(Chain::new(vec![upstream])));
        }
    };
    for why in ["unavailable", "misconfigured", "holds_no_records"] {
        let (world, user) = done(HandOff::Hosted).await;
        world.ann_is(|ann| ann.state = AccountState::Disabled);
        make(&world, why);
        assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "{why}");
        assert_eq!(*world.killer.noticed.lock().unwrap(), [Notice::CrossesUnasked(why)]);
        assert!(world.arrives(&user, "ann@example.com").await.is_ok(), "{why}");
        assert_eq!(world.killer.noticed.lock().unwrap().len(), 1, "{why}: only before the first time");
    }
}

#[tokio::test]
async fn the_address_that_legacy_has_now_lets_in_and_the_old_one_is_nobody_new() {
    let (world, user) = done(HandOff::Hosted).await;
    world.ann_is(|ann| {
        (ann.login, ann.email.address) = ("a@example.com".into(), Some("a@example.com".into()));
    });
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable));
    let elsewhere = Outcome::Forward(WhyForward::Conflict(SetAside::ExternalIdElsewhere));
    assert_eq!(world.sign_in("a@example.com", "right").await, elsewhere);
    assert_eq!(world.arrives(&user, "ann@example.com").await, Err(Refused::NotLinkable));
    assert_eq!(world.ledger.rows.lock().unwrap().len(), 1);
    world.directory.users.lock().unwrap()[0].email = CanonicalEmail::parse("a@example.com").ok();
    let back = world.arrives(&user, "a@example.com").await.unwrap().row;
    assert_eq!((back.key, back.user), (record("ann").key(), Some(user)));
    // Changed on both sides before anybody came: there is nothing to refuse.
    let (world, user) = done(HandOff::Hosted).await;
    world.ann_is(|ann| ann.email.address = Some("a@example.com".into()));
    assert!(world.arrives(&user, "a@example.com").await.is_ok());
}

#[tokio::test]
async fn the_redirect_to_the_application_crosses_nobody_who_is_not_in_order_any_more() {
    let (world, _) = done(HandOff::App { url: "/start".into() }).await;
    world.ann_is(|ann| ann.state = AccountState::Disabled);
    world.turn_cutover(10_000);
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    let row = world.row("ann");
    let why = Ineligible::AccountDisabled;
    assert_eq!((row.state, row.crossed_at), (RowState::Ineligible { why }, None));
}
