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

/// Starts the loop; it ends when the process begins to stop.
pub(crate) fn finish_people(journeys: Journeys, metrics: Metrics, clock: SharedClock, tracker: &Tracker) {
    let stopping = tracker.stopping();
    // Behind sign-ins at every rate, too.
    tracker.spawn_job(async move {
        let sweeper = Sweeper { journeys, metrics, clock: clock.clone() };
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
}

impl Sweeper {
    /// Goes once through everybody who is not finished. Whoever was begun with is not left because the process stops.
    async fn sweep(&self, stopping: &CancellationToken) -> Result<(), LedgerError> {
        let (mut after, mut open): (Option<PersonKey>, usize) = (None, 0);
        loop {
            let page = self.journeys.open_people(after.as_ref(), PAGE).await?;
            for key in &page {
                let swept = self.journeys.finish(key).await?;
                debug!(sweep.result = swept.as_str(), "an unfinished person");
                self.metrics.person_swept(swept.as_str());
                let is_open = matches!(swept, Swept::NotYet | Swept::NextSignIn | Swept::Unreadable);
                open += usize::from(is_open);
                tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    () = self.clock.sleep(jittered(PACE)) => {}
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.clone()),
                _ => break,
            }
        }
        self.metrics.sweep_ended(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    #[tokio::test]
    async fn its_calls_leave_sign_ins_their_share_of_every_rate() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let (clock, directory) = (TestClock::at(now), FakeDirectory::new(OnDuplicate::Refuse));
        *directory.down.lock().unwrap() = true;
        let ledger = Arc::new(MemoryLedger::default());
        let record = record("ann");
        let fresh = Row::fresh(record.key(), Bucket::test(1), ExternalId::received("ann".into()), now);
        let row = Row {
            state: RowState::Claimed,
            record: Some(record.clone()),
            proof: Some(Proof { kind: ProofKind::Password, source: source(), at: now }),
            create_sent_at: Some(now),
            ..fresh
        };
        ledger.rows.lock().unwrap().insert(record.key(), row);
        let settings = Settings {
            dial: Dial::new(BasisPoints::ALL, BasisPoints::ALL, RollbackMode::Keep, Rules::default()),
            salt: BucketSalt::new(&[7; 32]),
            sources: [(source(), rules())].into(),
            hand_offs: HandOffs { default: HandOff::Hosted, organizations: [].into() },
            on_existing: OnExisting::LinkVerified,
            migration: Migration::default(),
        };
        let (told, mut hear) = mpsc::unbounded_channel();
        let journeys = Journeys {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![]))),
            directory,
            ledger: Arc::new(Remembering::new(ledger)),
            trust: trust(MemoryEpoch::used(), clock.clone()),
            clock: clock.clone(),
            witness: Arc::new(Told(told)),
        };
        let tracker = Tracker::new(Handle::current());
        finish_people(journeys, Metrics::new(), clock, &tracker);
        let heard = tokio::time::timeout(Duration::from_secs(10), hear.recv()).await;
        assert_eq!(heard.unwrap(), Some(Urgency::Background));
        assert!(tracker.finish(Duration::from_secs(10)).await);
    }
}
