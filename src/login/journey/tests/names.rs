//! Which names lead to somebody, whom an address keeps out, and how a name goes from one person to another.

use super::*;
use crate::login::{NotDone, Whom, journey::names::Bearer};

fn name(text: &str) -> LoginName {
    LoginName::parse(text).unwrap()
}

impl World {
    /// What the legacy side knows of somebody.
    fn legacy(&self, id: &str, change: impl FnOnce(&mut LegacyRecord)) {
        let mut records = self.store.records.lock().unwrap();
        if let Some(record) = records.iter_mut().find(|record| record.id.as_str() == id) {
            change(record);
        } else {
            let mut new = record(id);
            change(&mut new);
            records.push(new);
        }
    }

    /// Whose row a name leads to.
    async fn leads_to(&self, text: &str) -> Option<String> {
        let row = self.journeys.find_row(&name(text)).await.unwrap();
        row.map(|row| row.key.id.as_str().to_owned())
    }

    /// The application let in whom it names, by this name.
    async fn let_in(&self, typed: &str, named: &str) -> Outcome {
        let named = self.store.records.lock().unwrap().iter().find(|r| r.id.as_str() == named).cloned();
        let decided = self.decide(typed).await;
        self.journeys.after_upstream(decided, Upstream::Named(Box::new(named.unwrap()))).await
    }

    async fn crosses(&self, id: &str) {
        let user = self.row(id).user.unwrap();
        self.arrives(&user, &format!("{id}@example.com")).await.unwrap();
        assert!(self.row(id).crossed_at.is_some());
    }

    fn change_row(&self, id: &str, change: impl FnOnce(&mut Row)) {
        change(self.ledger.rows.lock().unwrap().get_mut(&record(id).key()).unwrap());
    }
}

#[tokio::test]
async fn whoever_moves_is_known_by_their_login_too() {
    let world = cutover();
    world.legacy("ann", |ann| ann.login = "anna".into());
    // Their store knows them by more names than their record says.
    let ann = world.store.records.lock().unwrap()[0].clone();
    world.store.verdicts.lock().unwrap().insert("ann@example.com".into(), Verdict::Verified(Box::new(ann)));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.crosses("ann").await;
    world.turn_cutover(0);
    for name in ["ann@example.com", "anna"] {
        assert_eq!(world.decide(name).await.decision.reason, Reason::Crossed, "{name}");
    }
    // What stands in for a login that a source does not have may be somebody else's login.
    let world = cutover();
    world.legacy("ann", |ann| ann.login = "ann".into());
    let ann = world.store.records.lock().unwrap()[0].clone();
    world.store.verdicts.lock().unwrap().insert("ann@example.com".into(), Verdict::Verified(Box::new(ann)));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    assert_eq!(world.leads_to("ann").await, None);
}

#[tokio::test]
async fn an_address_that_nobody_vouches_for_binds_nothing() {
    let world = cutover();
    world.legacy("mallory", |record| {
        record.login = "v@example.com".into();
        record.email.address = Some("v@example.com".into());
        record.email.verified = Some(false);
    });
    let stays = Outcome::Forward(WhyForward::Ineligible(Ineligible::EmailUnverified));
    assert_eq!(world.sign_in("v@example.com", "right").await, stays);
    assert_eq!(world.row("mallory").state, RowState::Ineligible { why: Ineligible::EmailUnverified });
    assert_eq!(world.leads_to("v@example.com").await, None);
    // Operators find the row through the legacy side, whose login it is.
    let found = world.journeys.row_of(&Whom::Name(name("v@example.com"))).await.unwrap();
    assert_eq!(found.unwrap().key, record("mallory").key());
    // Each sign-in judges her anew, as one who stays set aside.
    assert_eq!(world.sign_in("v@example.com", "right").await, stays);
    // She lets go of it; whose mailbox it is comes by themselves.
    world.legacy("mallory", |record| {
        record.login = "mallory".into();
        record.email.address = Some("mallory@example.com".into());
    });
    let user = world.directory.seed("v@example.com", None, true);
    assert_eq!(world.arrives(&user, "v@example.com").await.unwrap().row.origin, Origin::BornNew);
}

#[tokio::test]
async fn an_address_only_an_operator_vouches_for_binds_nothing_before_the_move() {
    let world = cutover();
    let mut settings = Settings::clone(&world.journeys.settings.load());
    let assumed = crate::config::AssumeVerified { accepted_by: "ops".into() };
    settings.sources.get_mut(&source()).unwrap().assume_verified = Some(assumed);
    world.journeys.settings.store(Arc::new(settings));
    for (verified, leads) in [(None, None), (Some(true), Some("mallory"))] {
        world.legacy("mallory", |record| {
            record.login = "v@example.com".into();
            record.email.address = Some("v@example.com".into());
            record.email.verified = verified;
            record.mfa = MfaState::Enrolled;
        });
        let stays = Outcome::Forward(WhyForward::Ineligible(Ineligible::Mfa));
        assert_eq!(world.sign_in("v@example.com", "right").await, stays);
        assert_eq!(world.leads_to("v@example.com").await.as_deref(), leads, "{verified:?}");
    }
}

#[tokio::test]
async fn whose_address_was_checked_since_moves_by_it() {
    let world = cutover();
    world.legacy("ann", |ann| ann.email.verified = Some(false));
    let stays = Outcome::Forward(WhyForward::Ineligible(Ineligible::EmailUnverified));
    assert_eq!(world.sign_in("ann@example.com", "right").await, stays);
    world.legacy("ann", |ann| ann.email.verified = Some(true));
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.leads_to("ann@example.com").await.as_deref(), Some("ann"));
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
}

#[tokio::test]
async fn whoever_exists_in_scalekit_is_known_by_no_other_address() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.legacy("ann", |ann| {
        ann.login = "v@example.com".into();
        ann.email.address = Some("v@example.com".into());
    });
    // The store takes the password, and she goes to Scalekit as who she is there.
    let outcome = world.sign_in("v@example.com", "right").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert_eq!(over.login_hint, CanonicalEmail::parse("ann@example.com").ok());
    assert_eq!(world.leads_to("v@example.com").await, None);
}

#[tokio::test]
async fn a_login_that_was_given_to_somebody_else_goes_with_it() {
    for state in [None, Some(RowState::Ineligible { why: Ineligible::Mfa })] {
        let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
        world.legacy("ann", |ann| ann.login = "desk".into());
        let _ = world.sign_in("desk", "right").await;
        assert_eq!(world.leads_to("desk").await.as_deref(), Some("ann"));
        if let Some(state) = state {
            world.change_row("ann", |row| row.state = state);
        }
        world.legacy("ann", |ann| ann.login = "ann".into());
        world.legacy("bob", |bob| bob.login = "desk".into());
        let outcome = world.let_in("desk", "bob").await;
        assert_eq!(outcome, Outcome::Forward(WhyForward::LaneLegacy));
        assert_eq!(world.row("bob").state, RowState::Done);
        assert_eq!(world.leads_to("desk").await.as_deref(), Some("bob"));
        assert!(!world.row("ann").aliases.contains(&Alias::Typed("desk".into())));
        assert_eq!(world.users(), 1 + 1);
    }
}

#[tokio::test]
async fn a_name_stays_where_no_store_says_that_it_is_anothers() {
    type Change = fn(&World);
    let doubts: [(&str, Change); 6] = [
        ("both bear it", |world| world.legacy("ann", |ann| ann.login = "desk".into())),
        ("the store is down for look-ups", |world| *world.store.down.lock().unwrap() = true),
        ("removed", |world| world.change_row("ann", |row| row.state = RowState::Tombstone)),
        ("born new", |world| world.change_row("ann", |row| row.origin = Origin::BornNew)),
        ("somebody works on it", |world| {
            let until = world.journeys.clock.now().after(Duration::from_secs(9));
            let claim = crate::login::Claim { holder: "other".into(), until };
            world.change_row("ann", |row| row.claim = Some(claim));
        }),
        ("it is nobody's at the store", |world| world.legacy("bob", |bob| bob.login = "bob".into())),
    ];
    for (why, change) in doubts {
        let world = cutover();
        world.legacy("ann", |ann| ann.login = "desk".into());
        let _ = world.sign_in("desk", "right").await;
        world.legacy("ann", |ann| ann.login = "ann".into());
        world.legacy("bob", |bob| bob.login = "desk".into());
        change(&world);
        let bob = world.store.records.lock().unwrap()[1].clone();
        let mut row = Row::fresh(
            bob.key(),
            world.row("ann").bucket,
            world.row("ann").external_id,
            Timestamp::from_seconds(1),
        );
        let names = vec![name("desk")];
        let bearer = Bearer { record: &bob, address: None };
        world.journeys.add_names(&mut row, names, bearer).await.unwrap();
        assert!(row.aliases.is_empty(), "{why}");
        assert_eq!(world.leads_to("desk").await.as_deref(), Some("ann"), "{why}");
    }
}

#[tokio::test]
async fn an_address_that_somebody_has_at_scalekit_is_not_taken_from_them() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    world.legacy("ann", |ann| {
        ann.login = "ann".into();
        ann.email.address = Some("new@example.com".into());
    });
    world.legacy("bob", |bob| {
        bob.login = "ann@example.com".into();
        bob.email.address = Some("ann@example.com".into());
    });
    let bob = world.store.records.lock().unwrap()[1].clone();
    let mut row = Row::fresh(
        bob.key(),
        world.row("ann").bucket,
        world.row("ann").external_id,
        Timestamp::from_seconds(1),
    );
    let address = CanonicalEmail::parse("ann@example.com").unwrap();
    let bearer = Bearer { record: &bob, address: Some(&address) };
    world.journeys.add_names(&mut row, vec![name("ann@example.com")], bearer).await.unwrap();
    assert_eq!((row.aliases.len(), world.leads_to("ann@example.com").await.as_deref()), (0, Some("ann")));
}

#[tokio::test]
async fn a_name_is_not_lost_to_a_row_that_somebody_writes_meanwhile() {
    let world = cutover();
    world.legacy("ann", |ann| ann.login = "desk".into());
    let _ = world.sign_in("desk", "right").await;
    let stale = world.row("ann");
    world.change_row("ann", |row| row.version += 1);
    let freed = Row { aliases: Vec::new(), ..stale };
    assert!(matches!(world.ledger.write(&freed).await, Err(LedgerError::Overtaken)));
    // Freed, and the process dies: the next sign-in binds it.
    world.change_row("ann", |row| row.aliases.retain(|alias| *alias != Alias::Typed("desk".into())));
    world.legacy("ann", |ann| ann.login = "ann".into());
    world.legacy("bob", |bob| bob.login = "desk".into());
    assert!(is_hand_over(&world.sign_in("desk", "right").await));
    assert_eq!(world.leads_to("desk").await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn an_operator_frees_a_name_and_never_a_removed_persons() {
    let world = cutover();
    world.legacy("ann", |ann| ann.login = "desk".into());
    assert!(is_hand_over(&world.sign_in("desk", "right").await));
    world.crosses("ann").await;
    let forget = async |text: &str| world.journeys.forget_name(&name(text)).await;
    let row = forget("desk").await.unwrap();
    assert_eq!(
        (row.key, row.state, row.crossed_at),
        (record("ann").key(), RowState::Done, world.row("ann").crossed_at)
    );
    assert_eq!(world.leads_to("desk").await, None);
    assert!(matches!(forget("desk").await, Err(NotDone::Nobody)));
    assert!(matches!(forget("ann@example.com").await, Err(NotDone::TheirAddress)), "she has it at Scalekit");
    assert_eq!(world.leads_to("ann@example.com").await.as_deref(), Some("ann"));
    // Whoever has it now is let in by it.
    world.legacy("ann", |ann| ann.login = "ann".into());
    world.legacy("bob", |bob| bob.login = "desk".into());
    assert!(is_hand_over(&world.sign_in("desk", "right").await));
    assert_eq!(world.leads_to("desk").await.as_deref(), Some("bob"));
    // Set aside and not at Scalekit: the address is given up as well.
    world.change_row("bob", |row| {
        row.state = RowState::Ineligible { why: Ineligible::EmailUnverified };
        (row.user, row.create_sent_at) = (None, None);
    });
    assert_eq!(forget("bob@example.com").await.unwrap().key, record("bob").key());
    assert_eq!(world.leads_to("bob@example.com").await, None);
    world.change_row("bob", |row| row.state = RowState::Tombstone);
    assert!(matches!(forget("desk").await, Err(NotDone::Removed)));
    assert_eq!(world.leads_to("desk").await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn whoever_crossed_is_led_over_by_whatever_name_they_are_let_in() {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let named = record("ann");
    let asked = async |typed: &str, forced| {
        let typed = name(typed);
        world.journeys.crossed_before(&named, Some(&typed), forced, Basis::Proof).await
    };
    assert_eq!(asked("ann", None).await, None, "she exists there, and did not cross");
    world.crosses("ann").await;
    world.turn_cutover(0);
    assert_eq!(world.decide("0815").await.decision.lane, Lane::Legacy);
    let outcome = asked("0815", None).await.unwrap();
    let Outcome::HandOver(over) = &outcome else { panic!("{outcome:?}") };
    assert_eq!((&over.key, over.basis, over.crossed), (&named.key(), Basis::Proof, true));
    assert_eq!(world.leads_to("0815").await.as_deref(), Some("ann"), "at once the next time");
    let forced = Forced { lane: Lane::Legacy, only: None };
    assert_eq!(asked("0815", Some(forced)).await, None);
    world.turn(|dial| dial.rules.deny.push(crate::rollout::RuleSubject::Person("0816".into())));
    assert_eq!(asked("0816", None).await, None, "held by the name they typed");
    world.turn(|dial| dial.rollback = RollbackMode::Legacy);
    assert_eq!(asked("0815", None).await, None, "sent back");
    world.turn(|dial| (dial.rollback, dial.paused) = (RollbackMode::Keep, true));
    assert!(asked("0815", None).await.is_some(), "a pause sends nobody back");
}

#[tokio::test]
async fn whoever_crossed_does_not_go_back_for_an_expired_password() {
    let world = cutover();
    world.legacy("ann", |ann| ann.login = "anna".into());
    let _ = world.sign_in("anna", "right").await;
    world.crosses("ann").await;
    // By a name that the store takes for theirs, and that leads to no row.
    world.legacy("ann", |ann| ann.login = "anna-new".into());
    let expired = Verdict::StayOnLegacy(StayReason::PasswordExpired);
    world.store.verdicts.lock().unwrap().insert("anna-new".into(), expired);
    let outcome = world.sign_in("anna-new", "right").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert_eq!((over.basis, over.login_hint), (Basis::Name, None), "anybody may have typed it");
}

#[tokio::test]
async fn a_user_name_is_turned_into_an_address_for_nobody_who_only_typed_it() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    world.legacy("ann", |ann| ann.login = "anna".into());
    assert_eq!(world.sign_in("anna", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    world.turn_cutover(10_000);
    let address = CanonicalEmail::parse("ann@example.com").ok();
    let over = async |typed: &str, password: &str| {
        let outcome = world.sign_in(typed, password).await;
        let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
        (over.basis, over.login_hint)
    };
    // Until she has crossed she is asked for her password, or she would come to Scalekit without her address.
    let wrong = world.sign_in("anna", "wrong").await;
    assert_eq!(wrong, rejected(Rejection::WrongPassword));
    assert_eq!(over("anna", "right").await, (Basis::Proof, address.clone()));
    assert_eq!(over("Ann@example.com", "not even right").await, (Basis::Name, address.clone()));
    world.crosses("ann").await;
    assert_eq!(over("anna", "not even right").await, (Basis::Name, None));
    // The browser may be somebody else's by now; it was theirs, and says so itself.
    let device = world.journeys.device(&record("ann").key(), None).await.unwrap().unwrap();
    assert_eq!((device.basis, device.login_hint), (Basis::Device, address));
    // An address that is not theirs at Scalekit would be a second user there.
    world.change_row("ann", |row| row.add_alias(Alias::Typed("old@example.com".into())));
    assert_eq!(over("old@example.com", "not even right").await, (Basis::Name, None));
}

#[tokio::test]
async fn with_the_applications_own_sign_in_nobody_crosses_by_a_typed_name() {
    let world = world(0, 10_000, HandOff::App { url: "/start".into() }, OnDuplicate::Refuse);
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done);
    world.turn_cutover(10_000);
    let wrong = world.sign_in("ann@example.com", "wrong").await;
    assert_eq!(wrong, rejected(Rejection::WrongPassword));
    assert_eq!(world.row("ann").crossed_at, None);
    let outcome = world.sign_in("ann@example.com", "right").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert_eq!(over.basis, Basis::Proof);
    assert!(world.row("ann").crossed_at.is_some());
    // Who crossed is led on without a guess, and the browser is nobody's for that.
    let asked = *world.store.asked.lock().unwrap();
    let outcome = world.sign_in("ann@example.com", "whatever").await;
    let Outcome::HandOver(over) = outcome else { panic!("{outcome:?}") };
    assert_eq!((over.basis, *world.store.asked.lock().unwrap()), (Basis::Name, asked));
}
