use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    identity::LoginName,
    rollout::{Bucket, Facts, Forced, Known, Reason, decide},
};

static ANN: LazyLock<[LoginName; 1]> = LazyLock::new(|| [LoginName::parse("ann@example.com").unwrap()]);
static TO_NEW: LazyLock<Forced> = LazyLock::new(|| Forced { lane: Lane::New, only: None });

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn points(points: u16) -> BasisPoints {
    BasisPoints::new(points).unwrap()
}

fn file(cutover: u16, rules: Rules) -> Dial {
    Dial::new(points(cutover), points(7000), RollbackMode::Keep, rules)
}

fn standing(cutover: u16) -> Standing {
    Standing::of_file(file(cutover, Rules::default()), DialSource::Store)
}

impl Standing {
    fn turned(mut self, change: Change) -> Self {
        self.record = Some(self.after(change, self.version(), "ops", None, NOW).unwrap());
        self
    }
}

fn set(cutover: u16) -> Change {
    Change::Set { cutover: points(cutover), migrate: None, rollback: None }
}

fn forward(cutover: u16) -> Change {
    Change::Set { cutover: points(cutover), migrate: None, rollback: Some(RollbackMode::Keep) }
}

fn name(person: &str, lane: Lane) -> Change {
    Change::Name { person: NamedPerson { person: person.into(), lane }, others: Vec::new() }
}

fn facts(known: Known, bucket: u16) -> Facts<'static> {
    Facts { known, forced: None, names: &*ANN, organization: None, bucket: Bucket::test(bucket) }
}

#[test]
fn until_the_first_change_the_file_counts_and_then_the_record() {
    let start = standing(500);
    assert_eq!((start.version(), start.in_force(), start.disagrees()), (0, DialSource::File, false));
    assert_eq!(start.dial(), start.file);

    let set = start.turned(set(2500));
    assert_eq!((set.version(), set.in_force(), set.disagrees()), (1, DialSource::Store, true));
    assert_eq!((set.dial().cutover, set.dial().migrate()), (points(2500), points(7000)));

    let by_file = Standing { source: DialSource::File, ..set };
    assert_eq!((by_file.in_force(), by_file.disagrees()), (DialSource::File, true));
    assert_eq!(by_file.dial(), by_file.file);
}

#[test]
fn each_change_changes_what_it_names_and_nothing_else() {
    let start = standing(500).turned(name("bob", Lane::New));
    let before = start.record.clone().unwrap();
    let table = [
        (set(2500), FlagState { cutover: points(2500), ..before.clone() }),
        (Change::Pause, FlagState { paused: true, ..before.clone() }),
        (Change::Resume, before.clone()),
        (
            Change::Rollback(RollbackMode::Legacy),
            FlagState {
                cutover: BasisPoints::NONE,
                migrate: BasisPoints::NONE,
                rollback: RollbackMode::Legacy,
                ..before.clone()
            },
        ),
        (
            name("bob", Lane::Legacy),
            FlagState {
                people: vec![NamedPerson { person: "bob".into(), lane: Lane::Legacy }],
                ..before.clone()
            },
        ),
        (
            Change::Unname { names: vec!["b".into(), "bob".into()] },
            FlagState { people: vec![], ..before.clone() },
        ),
    ];
    for (change, expected) in table {
        let after = start.after(change.clone(), 1, "ops", Some("because".into()), NOW).unwrap();
        let reason = Some("because".to_owned());
        assert_eq!(after, FlagState { version: 2, reason, ..expected }, "{change:?}");
    }
}

#[test]
fn going_back_to_legacy_ends_only_where_somebody_says_so() {
    let back = standing(500).turned(Change::Rollback(RollbackMode::Legacy));
    let stayed = back.clone().turned(set(0)).dial();
    assert_eq!(decide(&stayed, &facts(Known::Crossed, 0)).reason, Reason::RollbackMode);
    let migrates = Change::Set { cutover: points(0), migrate: Some(points(1)), rollback: None };
    for forward in [set(100), migrates] {
        assert_eq!(back.after(forward, 1, "ops", None, NOW), Err(ChangeRefused::WentBack));
    }
    let again = back.clone().turned(forward(100)).dial();
    assert_eq!(decide(&again, &facts(Known::Crossed, 9999)).lane, Lane::New);
    let further = Change::Set { cutover: points(100), migrate: None, rollback: Some(RollbackMode::Legacy) };
    assert_eq!(back.turned(further).dial().rollback, RollbackMode::Legacy);
}

#[test]
fn file_and_record_differ_only_in_what_both_can_say() {
    let start = standing(500).turned(set(500));
    assert!(!start.disagrees());
    for change in [name("bob", Lane::New), name("bob", Lane::Legacy), Change::Pause] {
        assert!(!start.clone().turned(change.clone()).disagrees(), "{change:?}");
    }
    assert!(start.clone().turned(set(501)).disagrees());
    let legacy = Change::Set { cutover: points(500), migrate: None, rollback: Some(RollbackMode::Legacy) };
    assert!(start.turned(legacy).disagrees());
}

#[test]
fn a_record_names_so_many_people_and_no_more() {
    let mut full = standing(0);
    let people = (0..PEOPLE_MAX).map(|n| NamedPerson { person: format!("p{n}"), lane: Lane::New });
    full.record = Some(FlagState { people: people.collect(), ..FlagState::of_file(&full.file) });
    assert_eq!(full.after(name("q", Lane::New), 0, "ops", None, NOW), Err(ChangeRefused::TooManyPeople));
    // Whoever is in it may still change sides.
    assert!(full.after(name("p7", Lane::Legacy), 0, "ops", None, NOW).is_ok());
}

#[test]
fn pins_and_holds_are_read_as_person_rules_and_a_no_wins() {
    let ann = || vec![RuleSubject::Person("ann@example.com".into())];
    let deny = Rules { deny: ann(), allow: vec![] };
    let allow = Rules { deny: vec![], allow: ann() };
    let none = Rules::default();
    for (rules, lane, expected) in [
        (&none, Lane::New, (Lane::New, Reason::AllowRule)),
        (&none, Lane::Legacy, (Lane::Legacy, Reason::DenyRule)),
        (&deny, Lane::New, (Lane::Legacy, Reason::DenyRule)),
        (&allow, Lane::Legacy, (Lane::Legacy, Reason::DenyRule)),
    ] {
        let start = Standing::of_file(file(0, rules.clone()), DialSource::Store);
        let dial = start.turned(name("ann@example.com", lane)).dial();
        let decision = decide(&dial, &facts(Known::Nothing, 9999));
        assert_eq!((decision.lane, decision.reason), expected, "{rules:?} {lane:?}");
    }
}

#[test]
fn a_person_has_one_entry_under_all_their_names() {
    let by = |person: &str, lane, others: &[&str]| Change::Name {
        person: NamedPerson { person: person.into(), lane },
        others: others.iter().map(|name| (*name).to_owned()).collect(),
    };
    let held = standing(0).turned(name("ann", Lane::Legacy)).turned(name("bob", Lane::New));
    let pinned = held.turned(by("ann@example.com", Lane::New, &["ann"])).record.unwrap();
    let entry = |person: &str| NamedPerson { person: person.into(), lane: Lane::New };
    assert_eq!(pinned.people, [entry("bob"), entry("ann@example.com")]);
    assert_eq!(pinned.lane_of(&["ann", "ann@example.com"]), Some(Lane::New));
    assert_eq!(pinned.lane_of(&["ann"]), None);
}

#[test]
fn a_rule_in_force_is_of_the_file_where_it_stands_there() {
    use RuleSubject::Person;
    let rules = Rules { deny: vec![Person("ann".into())], allow: vec![] };
    let start = Standing::of_file(file(0, rules), DialSource::Store);
    let standing = start.turned(name("ann", Lane::New)).turned(name("bob", Lane::Legacy));
    let is_of_file = |person: &str, lane| standing.is_of_file(&Person(person.into()), lane);
    assert!(is_of_file("ann", Lane::Legacy), "whatever an operator said of the same name");
    assert!(!is_of_file("ann", Lane::New) && !is_of_file("bob", Lane::Legacy));
}

#[test]
fn a_pause_keeps_who_crossed_and_lets_nobody_else_over() {
    let allow = Rules { deny: vec![], allow: vec![RuleSubject::Domain("example.com".into())] };
    let start = Standing::of_file(file(5000, Rules::default()), DialSource::Store);
    let allowing = Standing::of_file(file(0, allow), DialSource::Store).turned(Change::Pause).dial();
    let paused = start.turned(Change::Pause).dial();
    let forced = Facts { forced: Some(&*TO_NEW), ..facts(Known::Nothing, 0) };
    for (dial, facts, lane, reason) in [
        (&paused, facts(Known::Nothing, 0), Lane::Legacy, Reason::Paused),
        (&allowing, facts(Known::Nothing, 0), Lane::Legacy, Reason::Paused),
        (&paused, facts(Known::Crossed, 9999), Lane::New, Reason::Crossed),
        (&allowing, facts(Known::Crossed, 9999), Lane::New, Reason::AllowRule),
        (&paused, facts(Known::BornNew, 9999), Lane::New, Reason::BornNew),
        (&paused, forced, Lane::New, Reason::ForceToken),
        // Whom the dial does not reach anyway is not held up by the pause.
        (&paused, facts(Known::Nothing, 9999), Lane::Legacy, Reason::BeyondCutover),
    ] {
        let decision = decide(dial, &facts);
        assert_eq!((decision.lane, decision.reason), (lane, reason), "{facts:?}");
    }
    assert!(!paused.migrates(Bucket::test(0)), "nobody is created meanwhile");
}

#[test]
fn a_lost_or_older_record_is_written_back_and_a_newer_one_taken() {
    use Judgement::{Same, Take, WriteBack};
    let at = |version| Some(FlagState { version, ..FlagState::of_file(&file(100, Rules::default())) });
    let other = Some(FlagState { changed_by: "other".into(), ..at(3).unwrap() });
    for (known, stored, store, by_file) in [
        (at(3), at(3), Same, Same),
        (at(3), at(4), Take, Take),
        (at(3), other, Take, Take),
        (at(3), at(2), WriteBack { over: 2 }, Take),
        (at(3), None, WriteBack { over: 0 }, Take),
        (None, at(1), Take, Take),
        (None, None, Same, Same),
    ] {
        for (source, expected) in [(DialSource::Store, store), (DialSource::File, by_file)] {
            let standing = Standing { record: known.clone(), source, ..standing(100) };
            assert_eq!(standing.judge(stored.as_ref()), expected, "{source:?} {known:?} {stored:?}");
        }
    }
}

#[test]
fn a_stored_percentage_is_within_its_bounds_or_cannot_be_read() {
    let state = FlagState::of_file(&file(10_000, Rules::default()));
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<FlagState>(&text).unwrap(), state);
    assert!(serde_json::from_str::<FlagState>(&text.replace("10000", "10001")).is_err());
}

#[test]
fn a_change_keeps_what_a_newer_release_added_and_outnumbers_what_it_replaces() {
    let mut start = standing(500).turned(set(2500));
    let record = start.record.as_mut().unwrap();
    let mut text = serde_json::to_value(&*record).unwrap();
    text["ramp"] = serde_json::json!({ "steps": [1, 5] });
    *record = serde_json::from_value(text.clone()).unwrap();
    let next = start.after(Change::Pause, 7, "ops", None, NOW).unwrap();
    assert_eq!(next.version, 8);
    let kept = serde_json::to_value(&next).unwrap();
    assert_eq!((&kept["ramp"], &kept["cutover"]), (&text["ramp"], &text["cutover"]));
    // The first releases wrote no format.
    text.as_object_mut().unwrap().remove("format");
    assert_eq!(serde_json::from_value::<FlagState>(text).unwrap().format, 1);
}

#[test]
fn only_a_record_that_is_not_newer_than_ours_gives_way_unread() {
    let ours = standing(500).turned(set(2500)).turned(Change::Pause);
    assert_eq!([0, 1, 2, 3].map(|version| ours.outlives(version)), [true, true, true, false]);
    assert!(!standing(500).outlives(0), "there is nothing to put in its place");
    assert!(!Standing { source: DialSource::File, ..ours }.outlives(1));
}

fn any_known() -> impl Strategy<Value = Known> {
    prop_oneof![
        Just(Known::Nothing),
        Just(Known::Moved),
        Just(Known::Tombstone),
        Just(Known::BornNew),
        Just(Known::SetAside),
        Just(Known::Crossed)
    ]
}

fn any_standing() -> impl Strategy<Value = Standing> {
    let named = prop_oneof![
        Just(None),
        Just(Some(name("ann@example.com", Lane::New))),
        Just(Some(name("ann@example.com", Lane::Legacy)))
    ];
    (0_u16..=10_000, named, any::<bool>(), any::<bool>()).prop_map(|(cutover, named, back, denied)| {
        let deny = if denied { vec![RuleSubject::Domain("example.com".into())] } else { vec![] };
        let rules = Rules { deny, allow: vec![] };
        let mut standing = Standing::of_file(file(cutover, rules), DialSource::Store);
        for change in named.into_iter().chain(back.then_some(Change::Rollback(RollbackMode::Legacy))) {
            standing = standing.turned(change);
        }
        standing
    })
}

proptest! {
    #[test]
    fn raising_the_record_never_moves_anyone_back(
        start in any_standing(), known in any_known(), bucket in 0_u16..10_000, to in 0_u16..=10_000,
    ) {
        let facts = facts(known, bucket);
        let before = start.dial();
        let to = to.max(before.cutover.get());
        let after = start.turned(forward(to)).dial();
        prop_assert!(decide(&before, &facts).lane == Lane::Legacy || decide(&after, &facts).lane == Lane::New);
        prop_assert!(!before.migrates(facts.bucket) || after.migrates(facts.bucket));
    }

    #[test]
    fn pause_and_resume_restore_the_same_lanes(
        start in any_standing(), known in any_known(), bucket in 0_u16..10_000,
    ) {
        let facts = facts(known, bucket);
        let before = start.dial();
        let paused = start.turned(Change::Pause);
        let held = decide(&paused.dial(), &facts);
        let pinned = matches!(known, Known::Crossed | Known::BornNew);
        prop_assert!(pinned || held.lane == Lane::Legacy);
        prop_assert!(!pinned || held == decide(&before, &facts));
        prop_assert_eq!(paused.turned(Change::Resume).dial(), before);
    }
}

#[test]
fn a_record_at_the_end_of_its_numbers_can_still_be_turned() {
    let mut last = standing(500).turned(set(2500));
    last.record.as_mut().unwrap().version = u64::MAX;
    let next = last.after(Change::Pause, u64::MAX, "ops", None, NOW).unwrap();
    assert!(next.paused);
    assert_eq!(last.judge(Some(&next)), Judgement::Take, "by every replica");
}

#[test]
fn feature_flags_count_where_they_say_something_and_the_file_elsewhere() {
    let flagged = Flagged { cutover: BasisPoints::new(2500), paused: Some(true), ..Flagged::default() };
    let rules = Rules { deny: vec![RuleSubject::Domain("example.org".into())], allow: Vec::new() };
    let start = Standing::of_file(file(100, rules.clone()), DialSource::Flagd);
    assert_eq!((start.dial(), start.in_force()), (start.file.clone(), DialSource::File));

    // What the store holds does not count, and is not written back.
    let record = standing(0).turned(set(10_000)).record;
    let standing = Standing { record, flagged, ..start };
    let dial = standing.dial();
    assert_eq!((dial.cutover.get(), dial.paused, standing.in_force()), (2500, true, DialSource::Flagd));
    assert_eq!((dial.rollback, dial.rules), (standing.file.rollback, rules));
    assert_eq!(standing.judge(None), Judgement::Take);

    let by_file = Standing { source: DialSource::File, ..standing };
    assert_eq!(by_file.dial(), by_file.file);
}
