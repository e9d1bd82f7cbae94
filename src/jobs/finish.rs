//! The sweeper: finishes migrations that were begun and whose people do not come back by themselves.
//!
//! One person at a time, with a pause after each: sign-ins come first, at the store, at Scalekit and at the legacy
//! side. What it may do without the person is `login`'s to say.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::sweep::jittered;
use crate::{
    clock::SharedClock,
    identity::PersonKey,
    login::{Journeys, LedgerError, Swept},
    net::Tracker,
    telemetry::{Metrics, with_causes},
};

/// The pause after each person.
const PACE: Duration = Duration::from_millis(200);

/// How many names are read at a time.
const PAGE: usize = 100;

/// So many failures in a row are no person's own: the sweep ends, and the next one goes on behind them.
const FAILURES: u32 = 5;

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn finish_people(journeys: Journeys, metrics: Metrics, clock: SharedClock, tracker: &Tracker) {
    let stopping = tracker.stopping();
    // Behind sign-ins at every rate, too.
    tracker.spawn_job(async move {
        let mut sweeper = Sweeper { journeys, metrics, clock: clock.clone(), round: Round::default() };
        loop {
            // A row whose process died is free once its lease has ended: sooner there is nothing to find.
            let pause = jittered(sweeper.journeys.settings.load().migration.lease);
            tokio::select! {
                () = stopping.cancelled() => break,
                () = clock.sleep(pause) => {}
            }
            if let Err(error) = sweeper.sweep(&stopping).await {
                warn!(error = %with_causes(&error), "the sweep of unfinished people was cut short");
            }
        }
    });
}

struct Sweeper {
    journeys: Journeys,
    metrics: Metrics,
    clock: SharedClock,
    round: Round,
}

/// How far a round through everybody has come; a sweep that was cut short goes on there, or those behind would be waited
/// for until nothing fails for a whole round.
#[derive(Default)]
struct Round {
    after: Option<PersonKey>,
    open: usize,
}

impl Sweeper {
    /// Goes through everybody who is not finished, from where the last sweep was cut short. Whoever was begun with is
    /// not left because the process stops; whoever could not be looked after is passed over until the next round.
    async fn sweep(&mut self, stopping: &CancellationToken) -> Result<(), LedgerError> {
        let mut failures = 0;
        loop {
            let page = self.journeys.open_people(self.round.after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            for key in page {
                let swept = self.journeys.finish(&key).await;
                self.round.after = Some(key);
                match swept {
                    Ok(swept) => {
                        failures = 0;
                        self.swept(swept);
                    }
                    Err(error) => {
                        failures += 1;
                        self.round.open += 1;
                        if failures == FAILURES {
                            return Err(error);
                        }
                        debug!(error = %with_causes(&error), "an unfinished person could not be looked after");
                    }
                }
                tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    () = self.clock.sleep(jittered(PACE)) => {}
                }
            }
            if is_last {
                break;
            }
        }
        self.metrics.sweep_ended(std::mem::take(&mut self.round).open);
        Ok(())
    }

    fn swept(&mut self, swept: Swept) {
        debug!(sweep.result = swept.as_str(), "an unfinished person");
        self.metrics.person_swept(swept.as_str());
        let is_open = matches!(swept, Swept::NotYet | Swept::NextSignIn | Swept::Unreadable);
        self.round.open += usize::from(is_open);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use arc_swap::ArcSwap;
    use tokio::{runtime::Handle, sync::mpsc};

    use super::*;
    use crate::{
        clock::{TestClock, Timestamp},
        config::{HandOff, HandOffs, Migration, OnExisting},
        identity::{ExternalId, Proof, ProofKind},
        login::{
            Chain, Doubt, Moment, Notice, Remembering, Row, RowState, Settings, Witness,
            tests::{FakeDirectory, MemoryEpoch, MemoryLedger, OnDuplicate, record, rules, source, trust},
        },
        net::Urgency,
        rollout::{BasisPoints, Bucket, BucketSalt, Dial, RollbackMode, Rules},
    };

    /// Tells for whom a call was made that failed.
    struct Told(mpsc::UnboundedSender<Urgency>);

    impl Witness for Told {
        fn step(&self, _: Moment, _: &'static str, _: &Row) {}

        fn moved(&self, _: &RowState, _: &Row) {}

        fn notice(&self, _: &Row, _: Notice) {}

        fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {
            let _ = self.0.send(Urgency::current());
        }

        fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}

        fn doubted(&self, _: Option<Doubt>) {}

        fn removed_again(&self, _: usize) {}

        fn unreadable(&self, _: &PersonKey) {}
    }

    struct Hall {
        ledger: Arc<MemoryLedger>,
        directory: Arc<FakeDirectory>,
        clock: Arc<TestClock>,
        journeys: Journeys,
        told: mpsc::UnboundedReceiver<Urgency>,
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn hall() -> Hall {
        let (clock, directory) = (TestClock::at(NOW), FakeDirectory::new(OnDuplicate::Refuse));
        let ledger = Arc::new(MemoryLedger::default());
        let settings = Settings {
            dial: Dial::new(BasisPoints::ALL, BasisPoints::ALL, RollbackMode::Keep, Rules::default()),
            salt: BucketSalt::new(&[7; 32]),
            sources: [(source(), rules())].into(),
            hand_offs: HandOffs { default: HandOff::Hosted, organizations: [].into() },
            on_existing: OnExisting::LinkVerified,
            migration: Migration::default(),
        };
        let (tell, told) = mpsc::unbounded_channel();
        let journeys = Journeys {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![]))),
            directory: directory.clone(),
            ledger: Arc::new(Remembering::new(ledger.clone())),
            trust: trust(MemoryEpoch::used(), clock.clone()),
            clock: clock.clone(),
            witness: Arc::new(Told(tell)),
        };
        Hall { ledger, directory, clock, journeys, told }
    }

    impl Hall {
        /// Somebody whose create was sent.
        fn begin(&self, id: &str) {
            let record = record(id);
            let fresh = Row::fresh(record.key(), Bucket::test(1), ExternalId::received(id.into()), NOW);
            let row = Row {
                state: RowState::Claimed,
                record: Some(record.clone()),
                proof: Some(Proof { kind: ProofKind::Password, source: source(), at: NOW }),
                create_sent_at: Some(NOW),
                ..fresh
            };
            self.ledger.rows.lock().unwrap().insert(record.key(), row);
        }
    }

    #[tokio::test]
    async fn its_calls_leave_sign_ins_their_share_of_every_rate() {
        let mut hall = hall();
        *hall.directory.down.lock().unwrap() = true;
        hall.begin("ann");
        let tracker = Tracker::new(Handle::current());
        finish_people(hall.journeys, Metrics::new(), hall.clock, &tracker);
        let heard = tokio::time::timeout(Duration::from_secs(10), hall.told.recv()).await;
        assert_eq!(heard.unwrap(), Some(Urgency::Background));
        assert!(tracker.finish(Duration::from_secs(10)).await);
    }

    /// A store that now and then fails for a moment.
    #[tokio::test]
    async fn a_failure_keeps_nobody_who_comes_behind_it_from_being_looked_after() {
        const PEOPLE: usize = 200;
        let hall = hall();
        for number in 0..PEOPLE {
            hall.begin(&format!("person-{number:03}"));
        }
        // Nothing can be done without them.
        hall.ledger.rows.lock().unwrap().values_mut().for_each(|row| row.proof = None);
        let gauge = |metrics: &Metrics| {
            let said = metrics.encode().unwrap();
            said.lines().find_map(|line| line.strip_prefix("crossfade_open_people ")?.parse::<usize>().ok())
        };
        let metrics = Metrics::new();
        let (journeys, clock) = (hall.journeys, hall.clock);
        let mut sweeper = Sweeper { journeys, metrics: metrics.clone(), clock, round: Round::default() };
        let stopping = CancellationToken::new();
        hall.ledger.fails_every.store(47, Ordering::SeqCst);
        sweeper.sweep(&stopping).await.unwrap();
        assert_eq!(gauge(&metrics), Some(PEOPLE), "nobody is finished, and whoever failed counts");
        let read = hall.ledger.read.lock().unwrap().len();
        assert_eq!(read, PEOPLE - 4);
        sweeper.sweep(&stopping).await.unwrap();
        assert_eq!(hall.ledger.read.lock().unwrap().len(), PEOPLE, "all in the next round");

        // One that is away: a sweep ends soon, and the next one does not begin anew.
        hall.ledger.read.lock().unwrap().clear();
        hall.ledger.fails_every.store(1, Ordering::SeqCst);
        for cut in 1..=3 {
            assert!(sweeper.sweep(&stopping).await.is_err(), "{cut}");
        }
        hall.ledger.fails_every.store(0, Ordering::SeqCst);
        sweeper.sweep(&stopping).await.unwrap();
        assert_eq!(gauge(&metrics), Some(PEOPLE));
        assert_eq!(hall.ledger.read.lock().unwrap().len(), PEOPLE - 3 * FAILURES as usize);
    }
}
