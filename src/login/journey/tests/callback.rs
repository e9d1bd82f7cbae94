//! Who comes back from Scalekit: linked to whom a legacy store knows, born new, or refused.

use super::*;

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
    // Whatever the others are handed over to: nothing of the application's knows this person.
    for hand_off in [HandOff::Hosted, HandOff::Shadow, HandOff::App { url: "/start".into() }] {
        let world = world(0, 0, hand_off.clone(), OnDuplicate::Refuse);
        let user = world.directory.seed("new@example.com", None, true);
        let identified = world.arrives(&user, "new@example.com").await.unwrap();
        assert_eq!(identified.row.origin, Origin::BornNew);
        let decided = world.decide("new@example.com").await;
        assert_eq!(decided.decision, Decision { lane: Lane::New, reason: Reason::BornNew });
        match world.sign_in("new@example.com", "anything").await {
            Outcome::HandOver(over) => assert_eq!(over.hand_off, HandOff::Hosted, "{hand_off:?}"),
            other => panic!("{hand_off:?}: {other:?}"),
        }
    }
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
    let wrong = rejected(Rejection::WrongPassword);
    assert_eq!(world.sign_in("ann@example.com", "wrong").await, wrong, "a no is final");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    // One that holds no records does not hide that another knows somebody.
    let world = with_stores(user_names(), [upstream()]);
    let user = world.directory.seed("ann@example.com", None, true);
    assert_eq!(world.arrives(&user, "ann@example.com").await.unwrap().row.origin, Origin::Legacy);
}

#[tokio::test]
async fn nobody_is_born_new_whom_a_silent_source_may_know_unless_somebody_signed_for_it() {
    let upstream = || Arc::new(FakeStore { is_upstream: true, ..FakeStore::default() });
    let beside = || with_stores(user_names(), [upstream()]);
    let alone = || {
        let world = cutover();
        world.journeys.chain.store(Arc::new(Chain::new(vec![upstream()])));
        world
    };
    for is_signed in [false, true] {
        for world in [beside(), alone()] {
            if is_signed {
                let signed = AssumeStranger { accepted_by: "ops".into() };
                world.sign_for(|rules| rules.assume_stranger = Some(signed));
            }
            let eve = world.directory.seed("eve@example.com", None, true);
            let arrived = world.arrives(&eve, "eve@example.com").await;
            if is_signed {
                assert_eq!(arrived.unwrap().row.origin, Origin::BornNew);
            } else {
                assert_eq!(arrived, Err(Refused::CannotTell));
                assert!(world.ledger.rows.lock().unwrap().is_empty(), "nothing is written");
            }
        }
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
