//! The names of a person, the bucket they give, and the rules for them.

use proptest::prelude::Strategy as _;

use super::*;
use crate::rollout::RuleSubject::{Domain, Organization, Person};

#[tokio::test]
async fn a_person_keeps_the_bucket_of_their_first_identification() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    let first = world.decide("ann").await.bucket;
    let other = world.decide("ann@example.com").await.bucket;
    assert_ne!(first, other);
    let _ = world.sign_in("ann", "right").await;
    assert_eq!(world.decide("ann@example.com").await.bucket, first);
    assert_eq!(world.decide("ann").await.bucket, first);
}

#[tokio::test]
async fn an_address_that_is_not_the_records_own_leads_nobody_astray() {
    let world = cutover();
    world.store.records.lock().unwrap()[0].login = "victim@example.com".into();
    let differs = Outcome::Forward(WhyForward::Ineligible(Ineligible::TypedEmailDiffers));
    assert_eq!(world.sign_in("victim@example.com", "right").await, differs);
    assert_eq!(world.decide("victim@example.com").await.row, None);
    // The same of a person who is DONE under another name.
    world.store.records.lock().unwrap()[1].login = "victim@example.com".into();
    world.store.records.lock().unwrap().remove(0);
    assert!(is_hand_over(&world.sign_in("bob", "right").await));
    assert!(is_hand_over(&world.sign_in("victim@example.com", "right").await));
    assert_eq!(world.decide("victim@example.com").await.row, None);
}

fn with_rules(cutover: u16, migrate: u16, hand_off: HandOff, rules: Rules) -> World {
    let world = world(cutover, migrate, hand_off, OnDuplicate::Refuse);
    let mut settings = (*world.journeys.settings.load_full()).clone();
    settings.dial.rules = rules;
    world.journeys.settings.store(Arc::new(settings));
    world
}

#[tokio::test]
async fn whoever_a_rule_let_in_is_judged_anew_too() {
    let allow = vec![Person("ann@example.com".into())];
    let world = with_rules(0, 0, HandOff::Hosted, Rules { allow, deny: vec![] });
    world.store.records.lock().unwrap()[0].mfa = MfaState::Enrolled;
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::SetAside);
    world.store.records.lock().unwrap()[0].mfa = MfaState::None;
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.decide("ann@example.com").await.decision.reason, Reason::AllowRule);
}

#[tokio::test]
async fn a_denied_organisation_is_known_from_the_proven_record() {
    let deny = vec![Organization("acme".into())];
    let world = with_rules(10_000, 0, HandOff::Hosted, Rules { deny, allow: vec![] });
    world.store.records.lock().unwrap()[0].organization = Some("acme".into());
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert!(is_hand_over(&world.sign_in("bob@example.com", "right").await));
}

#[tokio::test]
async fn a_sign_in_that_began_in_the_legacy_lane_crosses_nobody() {
    let allow = vec![Organization("acme".into())];
    let app = HandOff::App { url: "/start".into() };
    let world = with_rules(0, 10_000, app, Rules { allow, deny: vec![] });
    world.store.records.lock().unwrap()[0].organization = Some("acme".into());
    assert_eq!(world.sign_in("ann@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done);
    assert_eq!(world.row("ann").crossed_at, None, "no redirect was sent");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
}

#[tokio::test]
async fn a_person_does_not_inherit_the_bucket_of_another_behind_the_same_name() {
    let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    world.store.records.lock().unwrap()[0].login = "annie".into();
    let other = world.decide("bob@example.com").await.bucket;
    let mut bob = Row::fresh(
        record("bob").key(),
        other,
        rules().external_id.render(&record("bob").key()),
        Timestamp::from_seconds(1),
    );
    bob.add_alias(Alias::Typed("annie".into()));
    world.ledger.rows.lock().unwrap().insert(bob.key.clone(), bob);
    let _ = world.sign_in("annie", "right").await;
    let own = BucketSalt::new(&[7; 32]).bucket(&LoginName::parse("annie").unwrap());
    assert_eq!(world.row("ann").bucket, own);
    assert_ne!(own, other);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Once a name was seen to be the person's, it takes the lane of every other name of theirs, on every device and
    /// at every percentage; and raising the percentage takes nobody out of the new lane.
    #[test]
    fn a_person_has_one_lane_under_all_their_names(
        names in proptest::sample::subsequence(
            vec!["ann", "ann@example.com", "ANN@example.com", "Ann@Example.COM"], 1..=4,
        ).prop_shuffle(),
        percents in proptest::collection::vec(0_u16..=10_000, 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = world(0, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
            for name in &names {
                let _ = world.sign_in(name, "right").await;
            }
            let mut percents = percents.clone();
            percents.sort_unstable();
            let mut was_new = false;
            for percent in percents {
                world.turn_cutover(percent);
                let mut lanes = Vec::new();
                for name in &names {
                    lanes.push(world.decide(name).await.decision.lane);
                }
                assert!(lanes.windows(2).all(|pair| pair[0] == pair[1]), "{names:?} at {percent}: {lanes:?}");
                assert!(!was_new || lanes[0] == Lane::New, "moved back at {percent}");
                was_new = lanes[0] == Lane::New;
            }
        });
    }
}

/// Ann, who signed in by her user name and has her address as another name.
async fn ann_with_two_names() -> World {
    let world = cutover();
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
    let mut row = world.row("ann");
    row.crossed_at = Some(Timestamp::from_seconds(1_800_000_000));
    assert_eq!(row.names().count(), 4, "the verified address, and what she and her record call her");
    world.ledger.write(&row).await.unwrap();
    world
}

#[tokio::test]
async fn a_rule_for_one_name_counts_for_every_name_and_device_of_the_person() {
    let world = ann_with_two_names().await;
    let key = record("ann").key();
    assert!(world.remembers(&key).await, "without a rule the device leads on");
    for held in [Person("ann".into()), Person("ann@example.com".into()), Domain("example.com".into())] {
        let mut settings = Settings::clone(&world.journeys.settings.load());
        settings.dial.rules = Rules { deny: vec![held.clone()], allow: vec![] };
        world.journeys.settings.store(Arc::new(settings));
        for name in ["ann", "ann@example.com"] {
            assert_eq!(world.decide(name).await.decision.reason, Reason::DenyRule, "{name} {held:?}");
        }
        assert!(!world.remembers(&key).await, "{held:?}");
    }
}

#[tokio::test]
async fn a_rule_for_a_name_that_only_the_record_has_counts_before_anybody_is_moved() {
    let deny = Rules { deny: vec![Person("ann@example.com".into())], allow: vec![] };
    let world = with_rules(10_000, 0, HandOff::Hosted, deny);
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    let allow = Rules { deny: vec![], allow: vec![Person("ann@example.com".into())] };
    let world = with_rules(0, 10_000, HandOff::Hosted, allow);
    assert_eq!(world.sign_in("ann", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.row("ann").state, RowState::Done, "moved, and over with the next sign-in");
    assert!(is_hand_over(&world.sign_in("ann", "right").await));
}

#[tokio::test]
async fn after_a_rollback_an_allow_rule_creates_nobody_and_keeps_who_is_there() {
    let allow =
        || Rules { deny: vec![], allow: ["ann", "bob"].map(|id| Person(format!("{id}@example.com"))).into() };
    let world = with_rules(0, 0, HandOff::Hosted, allow());
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await));
    let mut settings = Settings::clone(&world.journeys.settings.load());
    settings.dial.rollback = RollbackMode::Legacy;
    world.journeys.settings.store(Arc::new(settings));
    assert_eq!(world.sign_in("bob@example.com", "right").await, Outcome::Forward(WhyForward::LaneLegacy));
    assert_eq!(world.users(), 1, "nobody new");
    assert!(is_hand_over(&world.sign_in("ann@example.com", "right").await), "the rule comes before the mode");
}
