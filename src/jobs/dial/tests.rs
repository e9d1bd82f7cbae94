//! Two replicas with one store that can be away, lose its record, or be set back.

use std::path::Path;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::*;
use crate::{
    clock::{TestClock, Timestamp},
    config::{Environment, parse},
    login::{
        Chain, Remembering, StoredFlags,
        tests::{FakeDirectory, MemoryEpoch, MemoryLedger, OnDuplicate, Silent, trust},
    },
    rollout::{BasisPoints, Change, Lane, Reason},
    telemetry::{
        AddressPolicy,
        logs::{Format, tests::logged},
    },
};

/// A store of the record alone.
#[derive(Default)]
struct FakeFlags {
    record: Mutex<Option<FlagState>>,
    is_away: Mutex<bool>,
    /// In place of a record.
    damaged: Mutex<Option<Damaged>>,
    /// What becomes of the next write, whose answer is lost either way.
    loses: Mutex<Option<Loses>>,
}

#[derive(Clone, Copy)]
enum Loses {
    Request,
    Answer,
    /// The driver asks anew, and is told that the version is another by now.
    FirstAnswer,
    /// The same, and then it is away.
    FirstAnswerAndItself,
}

impl FakeFlags {
    fn answers(&self) -> Result<MutexGuard<'_, Option<FlagState>>, FlagsError> {
        if *self.is_away.lock().unwrap() {
            return Err(FlagsError::Unavailable("away".into()));
        }
        Ok(self.record.lock().unwrap())
    }

    fn go_away(&self, away: bool) {
        *self.is_away.lock().unwrap() = away;
    }

    fn hold(&self, record: Option<FlagState>) {
        *self.record.lock().unwrap() = record;
    }

    fn spoil(&self, version: u64, why: Why) {
        let stored = StoredFlags { version: None, state: Some(b"{".to_vec()) };
        *self.damaged.lock().unwrap() = Some(Damaged { version, why, stored });
    }

    fn lose(&self, loses: Loses) {
        *self.loses.lock().unwrap() = Some(loses);
    }

    fn put(&self, next: &FlagState) -> Result<Replaced, FlagsError> {
        let loses = self.loses.lock().unwrap().take();
        if !matches!(loses, Some(Loses::Request)) {
            self.hold(Some(next.clone()));
            *self.damaged.lock().unwrap() = None;
        }
        match loses {
            None => Ok(Replaced::Done),
            Some(Loses::FirstAnswer) => Ok(Replaced::Stale),
            Some(Loses::FirstAnswerAndItself) => {
                self.go_away(true);
                Ok(Replaced::Stale)
            }
            Some(Loses::Request | Loses::Answer) => Err(FlagsError::Unavailable("no answer".into())),
        }
    }

    fn held(&self) -> Option<FlagState> {
        self.record.lock().unwrap().clone()
    }
}

#[async_trait]
impl Flags for FakeFlags {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        let record = self.answers()?.clone();
        match self.damaged.lock().unwrap().clone() {
            Some(damaged) => Err(FlagsError::Unreadable(Box::new(damaged))),
            None => Ok(record),
        }
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        if self.answers()?.as_ref().map_or(0, |record| record.version) != over {
            return Ok(Replaced::Stale);
        }
        self.put(next)
    }

    async fn overwrite_flags(&self, damaged: &Damaged, next: &FlagState) -> Result<Replaced, FlagsError> {
        drop(self.answers()?);
        if self.damaged.lock().unwrap().as_ref() != Some(damaged) {
            return Ok(Replaced::Stale);
        }
        self.put(next)
    }
}

fn config(rollout: &str) -> Config {
    let text = format!(
        "
public: {{url: 'https://app.example.com', allowed_hosts: [app.example.com]}}
upstream: {{url: 'https://inside.example.com'}}
legacy: {{sources: [{{name: crm, upstream: {{}}}}]}}
scalekit:
  environment_url: https://example.scalekit.com
  client_id: skc_1
  client_secret: {{env: KEY}}
  default_organization: {{external_id: main, display_name: Main}}
rollout: {{salt: {{env: KEY}}, {rollout}}}
session: {{keys: [{{env: KEY}}]}}
store: {{embedded: {{path: state.redb}}}}
telemetry: {{subject_key: {{env: KEY}}}}
"
    );
    let environment = Environment::new([("KEY".to_owned(), "k".repeat(32))]);
    parse(&text, Path::new("/base"), &environment).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn replica(store: &Arc<FakeFlags>, rollout: &str) -> Arc<Dialing> {
    let config = config(rollout);
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    let journeys = Journeys {
        settings: Arc::new(ArcSwap::from_pointee(Settings::of(&config))),
        chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![]))),
        directory: FakeDirectory::new(OnDuplicate::Refuse),
        ledger: Arc::new(Remembering::new(Arc::new(MemoryLedger::default()))),
        trust: trust(MemoryEpoch::used(), clock.clone()),
        clock,
        witness: Arc::new(Silent),
    };
    let audit = Audit::new(AddressPolicy::from_full_addresses(false));
    let flags = Arc::clone(store) as Arc<dyn Flags>;
    Arc::new(Dialing::new(&config, flags, journeys, audit, Metrics::new()))
}

fn from(version: u64, by: &str) -> Turn<'_> {
    Turn { version, over: Over::Readable, by, reason: None, about: None }
}

fn set(percent: &str) -> Change {
    Change::Set { cutover: BasisPoints::parse_percent(percent).unwrap(), migrate: None, rollback: None }
}

impl Dialing {
    /// What the next sign-in goes by.
    fn cutover(&self) -> String {
        self.journeys.settings.load().dial.cutover.to_string()
    }

    async fn turned(&self, change: Change) -> Stands {
        let version = self.stands().standing.version();
        self.turn(change, from(version, "ops")).await.unwrap()
    }
}

#[tokio::test]
async fn a_turn_at_one_replica_is_followed_by_the_other() {
    let store = Arc::new(FakeFlags::default());
    let (one, two) = (replica(&store, "cutover: 1%"), replica(&store, "cutover: 1%"));
    assert_eq!(one.turned(set("5%")).await.standing.version(), 1);
    assert_eq!((one.cutover().as_str(), two.cutover().as_str()), ("5%", "1%"));
    two.follow().await.unwrap();
    assert_eq!(two.cutover(), "5%");

    // A version from before somebody else's turn is refused and told what stands.
    let stale = two.turn(set("50%"), from(0, "other")).await;
    let Err(TurnRefused::Stale(stands)) = stale else { panic!("{stale:?}") };
    let record = stands.standing.record.unwrap();
    assert_eq!((record.version, record.changed_by.as_str()), (1, "ops"));
    // Also where this replica had not looked yet.
    one.turned(set("10%")).await;
    assert!(matches!(two.turn(set("50%"), from(1, "other")).await, Err(TurnRefused::Stale(_))));
    assert_eq!(two.cutover(), "10%");
}

#[tokio::test]
async fn of_many_turns_of_one_version_one_is_made() {
    let store = Arc::new(FakeFlags::default());
    let replicas: Vec<_> = (0..20).map(|_| replica(&store, "cutover: 1%")).collect();
    let turns = replicas.iter().map(|replica| replica.turn(set("5%"), from(0, "ops")));
    let made = futures_util::future::join_all(turns).await.into_iter().flatten().count();
    assert_eq!((made, store.held().unwrap().version), (1, 1));
}

#[tokio::test]
async fn a_store_that_is_away_changes_nothing_and_takes_no_turn() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    one.turned(set("25%")).await;
    store.go_away(true);
    assert!(one.follow().await.is_err());
    assert!(matches!(one.turn(set("50%"), from(1, "ops")).await, Err(TurnRefused::NotAsked(_))));
    assert_eq!((one.cutover().as_str(), one.stands().store_answers), ("25%", false));
    store.go_away(false);
    one.follow().await.unwrap();
    assert_eq!((one.cutover().as_str(), one.stands().store_answers), ("25%", true));
}

#[tokio::test]
async fn a_store_that_lost_the_record_or_was_set_back_gets_the_newest_again() {
    let store = Arc::new(FakeFlags::default());
    let (one, two) = (replica(&store, "cutover: 1%"), replica(&store, "cutover: 1%"));
    one.turned(set("25%")).await;
    two.follow().await.unwrap();
    let old = store.held();
    one.turned(set("50%")).await;
    // Replica two has not seen the last turn yet, and is the first to notice the loss.
    for lost in [None, old] {
        store.hold(lost);
        two.follow().await.unwrap();
        one.follow().await.unwrap();
        two.follow().await.unwrap();
        assert_eq!(store.held().map(|record| record.version), Some(2));
        assert_eq!((one.cutover().as_str(), two.cutover().as_str()), ("50%", "50%"));
    }
    // And the next turn goes on from there.
    assert_eq!(two.turned(set("100%")).await.standing.version(), 3);
}

#[tokio::test]
async fn a_reload_changes_the_rules_and_does_not_undo_the_record() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    one.turned(set("25%")).await;
    let ann = LoginName::parse("ann@example.com").unwrap();
    one.reload(&config("cutover: 7%, rules: {deny: [{person: ann@example.com}]}"));
    assert_eq!(one.cutover(), "25%");
    let decided = one.explain(ann).await.unwrap();
    assert_eq!((decided.decision.lane, decided.decision.reason), (Lane::Legacy, Reason::DenyRule));
    // The next look does not undo the new rules either.
    one.follow().await.unwrap();
    assert_eq!(one.journeys.settings.load().dial.rules.deny.len(), 1);

    one.reload(&config("source: file, cutover: 7%"));
    assert_eq!(one.cutover(), "7%");
    assert!(matches!(one.turn(set("50%"), from(1, "ops")).await, Err(TurnRefused::FileRules)));
    store.hold(None);
    one.follow().await.unwrap();
    assert_eq!((one.cutover().as_str(), store.held()), ("7%", None), "a file that rules writes nothing back");
}

#[tokio::test]
async fn a_record_that_nobody_can_read_is_written_over_by_whoever_says_so_and_names_it() {
    for why in [Why::NotARecord, Why::Newer { format: 2 }] {
        let store = Arc::new(FakeFlags::default());
        store.spoil(7, why);
        let (fresh, other) = (replica(&store, "cutover: 3%"), replica(&store, "cutover: 3%"));
        assert!(matches!(other.follow().await, Err(FlagsError::Unreadable(_))));
        for version in [0, 7] {
            let refused = fresh.turn(set("50%"), from(version, "ops")).await;
            let Err(TurnRefused::Unreadable(stands)) = refused else { panic!("{refused:?}") };
            assert_eq!((stands.version(), stands.unreadable.unwrap().why), (7, why));
            assert_eq!((stands.standing.in_force(), stands.store_answers), (DialSource::File, false));
        }
        let over = |version| Turn { over: Over::Unreadable, ..from(version, "ops") };
        assert!(matches!(fresh.turn(set("50%"), over(0)).await, Err(TurnRefused::Stale(_))));
        assert!(store.damaged.lock().unwrap().is_some());

        let stands = fresh.turn(set("50%"), over(7)).await.unwrap();
        assert_eq!((stands.version(), stands.unreadable, stands.store_answers), (8, None, true));
        other.follow().await.unwrap();
        assert_eq!((other.cutover().as_str(), other.stands().unreadable), ("50%", None));
        // And the next turn is one like any other.
        assert_eq!(other.turned(set("60%")).await.version(), 9);
    }
}

#[tokio::test]
async fn who_knows_the_record_puts_it_in_the_place_of_one_that_cannot_be_read() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    one.turned(set("25%")).await;
    let known = one.turned(set("50%")).await.standing.record;
    for version in [0, 1, 2] {
        store.spoil(version, Why::NotJson { column: 1 });
        store.hold(None);
        one.follow().await.unwrap();
        assert_eq!(store.held(), known, "version {version}");
    }
    // What was set since, and what a newer release wrote, is not ours to judge.
    for (version, why) in [(3, Why::NotJson { column: 1 }), (2, Why::Newer { format: 2 })] {
        store.spoil(version, why);
        assert!(matches!(one.follow().await, Err(FlagsError::Unreadable(_))));
        assert!(store.damaged.lock().unwrap().is_some());
        assert_eq!((one.cutover().as_str(), one.stands().store_answers), ("50%", false));
    }
    // Nor is it where the file rules.
    let by_file = replica(&store, "source: file, cutover: 1%");
    store.spoil(0, Why::Nothing);
    assert!(by_file.follow().await.is_err());
    assert!(store.damaged.lock().unwrap().is_some());
}

/// The events of turns, as outcome and who.
fn turns(run: impl Future<Output = ()>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = logged("off", Format::Json, || runtime.block_on(run));
    let told = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", word("event"), word("rollout.outcome"), word("rollout.who"))
    };
    text.lines().map(told).filter(|line| line.starts_with("rollout")).collect()
}

#[test]
fn a_turn_whose_answer_was_lost_is_on_record_and_so_is_what_became_of_it() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    let two = replica(&store, "cutover: 1%");
    let later = || one.clock.sleep(Duration::from_secs(29));
    let events = turns(async {
        store.lose(Loses::Answer);
        assert!(matches!(one.turn(set("5%"), from(0, "ann")).await, Err(TurnRefused::Unknown(_))));
        one.follow().await.unwrap();
        assert_eq!(one.cutover(), "5%");

        store.lose(Loses::Request);
        assert!(matches!(one.turn(set("6%"), from(1, "bob")).await, Err(TurnRefused::Unknown(_))));
        later().await;
        one.follow().await.unwrap();
    });
    assert_eq!(
        events,
        ["rollout_unsettled unknown ann", "rollout_changed confirmed ann", "rollout_unsettled unknown bob"],
        "it may still be on its way"
    );
    let events = turns(async {
        later().await;
        one.follow().await.unwrap();
        one.follow().await.unwrap();
    });
    assert_eq!(events, ["rollout_unsettled not_made bob"]);

    // Somebody else's took its place, or came after what may have been it.
    let events = turns(async {
        for further in [false, true] {
            let version = one.stands().version();
            store.lose(Loses::Request);
            assert!(one.turn(set("7%"), from(version, "cid")).await.is_err());
            two.follow().await.unwrap();
            two.turned(set("8%")).await;
            if further {
                two.turned(set("9%")).await;
            }
            one.follow().await.unwrap();
            later().await;
            later().await;
            one.follow().await.unwrap();
        }
    });
    let made = "rollout_changed made ops";
    let unknown = "rollout_unsettled unknown cid";
    assert_eq!(events, [unknown, made, "rollout_unsettled not_made cid", unknown, made, made]);
}

#[test]
fn a_turn_that_a_driver_sent_twice_is_made_once() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    let events = turns(async {
        store.lose(Loses::FirstAnswer);
        assert_eq!(one.turned(set("5%")).await.version(), 1);
    });
    assert_eq!((events, one.cutover().as_str()), (vec!["rollout_changed made ops".to_owned()], "5%"));
}

#[test]
fn a_turn_that_may_stand_is_not_told_as_one_that_was_not_made() {
    let store = Arc::new(FakeFlags::default());
    let one = replica(&store, "cutover: 1%");
    let events = turns(async {
        store.lose(Loses::FirstAnswerAndItself);
        let turned = one.turn(set("5%"), from(0, "ann")).await;
        assert!(matches!(turned, Err(TurnRefused::Unknown(_))), "{turned:?}");
        store.go_away(false);
        one.follow().await.unwrap();
    });
    assert_eq!(events, ["rollout_unsettled unknown ann", "rollout_changed confirmed ann"]);
}
