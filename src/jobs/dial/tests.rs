//! Two replicas with one store that can be away, lose its record, or be set back.

use std::path::Path;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::*;
use crate::{
    clock::{TestClock, Timestamp},
    config::{Environment, parse},
    login::{
        Chain, Doubt, Moment, Remembering, Row, RowState, Witness,
        tests::{FakeDirectory, MemoryEpoch, MemoryLedger, OnDuplicate, trust},
    },
    rollout::{BasisPoints, Lane, Reason, RollbackMode},
    telemetry::AddressPolicy,
};

/// A store of the record alone.
#[derive(Default)]
struct FakeFlags {
    record: Mutex<Option<FlagState>>,
    is_away: Mutex<bool>,
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

    fn held(&self) -> Option<FlagState> {
        self.record.lock().unwrap().clone()
    }
}

#[async_trait]
impl Flags for FakeFlags {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        Ok(self.answers()?.clone())
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        let mut record = self.answers()?;
        if record.as_ref().map_or(0, |record| record.version) != over {
            return Ok(Replaced::Stale);
        }
        *record = Some(next.clone());
        Ok(Replaced::Done)
    }
}

struct Silent;

impl Witness for Silent {
    fn step(&self, _: Moment, _: &'static str, _: &Row) {}

    fn moved(&self, _: &RowState, _: &Row) {}

    fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {}

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}

    fn doubted(&self, _: Option<Doubt>) {}

    fn removed_again(&self, _: usize) {}
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

fn set(percent: &str) -> Change {
    Change::Set {
        cutover: BasisPoints::parse_percent(percent).unwrap(),
        migrate: None,
        rollback: RollbackMode::Keep,
    }
}

impl Dialing {
    /// What the next sign-in goes by.
    fn cutover(&self) -> String {
        self.journeys.settings.load().dial.cutover.to_string()
    }

    async fn turned(&self, change: Change) -> Stands {
        let version = self.stands().standing.version();
        self.turn(change, version, "ops", None).await.unwrap()
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
    let stale = two.turn(set("50%"), 0, "other", None).await;
    let Err(TurnRefused::Stale(stands)) = stale else { panic!("{stale:?}") };
    let record = stands.standing.record.unwrap();
    assert_eq!((record.version, record.changed_by.as_str()), (1, "ops"));
    // Also where this replica had not looked yet.
    one.turned(set("10%")).await;
    assert!(matches!(two.turn(set("50%"), 1, "other", None).await, Err(TurnRefused::Stale(_))));
    assert_eq!(two.cutover(), "10%");
}

#[tokio::test]
async fn of_many_turns_of_one_version_one_is_made() {
    let store = Arc::new(FakeFlags::default());
    let replicas: Vec<_> = (0..20).map(|_| replica(&store, "cutover: 1%")).collect();
    let turns = replicas.iter().map(|replica| replica.turn(set("5%"), 0, "ops", None));
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
    assert!(matches!(one.turn(set("50%"), 1, "ops", None).await, Err(TurnRefused::Store(_))));
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
    assert!(matches!(one.turn(set("50%"), 1, "ops", None).await, Err(TurnRefused::FileRules)));
    store.hold(None);
    one.follow().await.unwrap();
    assert_eq!((one.cutover().as_str(), store.held()), ("7%", None), "a file that rules writes nothing back");
}
