//! What became of an operator's change of one person: on record, and in the words of the API.

use super::ledger_problem;
use crate::{
    admin::api::problem::Problem,
    identity::Subject,
    login::{LedgerError, NotDone, Row},
    proxy::Recorder,
    telemetry::{Changed, with_causes},
};

/// Tells the audit log who asked for a change and what is known of it, before anything else can fail.
pub(super) fn on_record(
    recorder: &Recorder,
    who: &str,
    what: &'static str,
    asked: Result<(Row, Changed), NotDone>,
) -> Result<(Row, Subject, Changed), Problem> {
    let told = |row: &Row, changed| {
        let subject = recorder.subject_of(row);
        recorder.audit.admin_changed(who, what, Some(&subject), changed);
        subject
    };
    match asked {
        Ok((row, changed)) => {
            let subject = told(&row, changed);
            Ok((row, subject, changed))
        }
        Err(why) => {
            if let NotDone::Unknown { row, .. } = &why {
                told(row, Changed::Unknown);
            }
            Err(not_done(why))
        }
    }
}

fn not_done(why: NotDone) -> Problem {
    match why {
        NotDone::Nobody => Problem::not_found("exactly one person so named is not known").fix(
            "name them by key: --key SOURCE:ID, or in the API {\"key\": {\"source\": SOURCE, \"id\": ID}}",
        ),
        NotDone::NotSetAside(stage) => Problem::conflict(
            "not_set_aside",
            format!("the person is {}; only conflict, ineligible and done can be tried again", stage.as_str()),
        ),
        NotDone::UserIsThere => Problem::conflict(
            "user_is_there",
            "the person is done, and Scalekit has their user with the address they have here",
        )
        .fix(
            "there is nothing to mend here; where the user at Scalekit is wrong, change or delete it there first",
        ),
        NotDone::AddressDiffers => Problem::conflict(
            "address_differs",
            "the person is done, and Scalekit has their user with another address than they have at the legacy side",
        )
        .fix("make both sides say the same, or delete the user at Scalekit, and try again"),
        NotDone::Removed => {
            Problem::conflict("removed", "the person is removed, and all their names stay closed")
        }
        NotDone::TheirAddress => Problem::conflict(
            "their_address",
            "the name is the address that the person has, or may have, at Scalekit",
        )
        .fix("change the address there, or POST /api/v1/people/tombstone (crossfade users tombstone)"),
        NotDone::Ledger(LedgerError::Overtaken | LedgerError::AliasTaken) => {
            Problem::conflict("busy", "somebody else keeps writing this person's row")
                .fix("try again in a moment")
        }
        NotDone::Unknown { error, .. } => {
            tracing::error!(error = %with_causes(&error), "it is not known whether a person was changed");
            Problem::outcome_unknown("call again: what was done stays done")
        }
        NotDone::Ledger(error) => ledger_problem(&error),
        NotDone::Legacy(error) => {
            tracing::error!(error = %with_causes(&error), "a legacy store cannot be asked");
            Problem::unavailable("a legacy store")
        }
        NotDone::Directory(error) => {
            tracing::error!(error = %with_causes(&error), "Scalekit cannot be asked");
            Problem::unavailable("Scalekit")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::Ordering};

    use arc_swap::ArcSwap;

    use super::*;
    use crate::{
        clock::{TestClock, Timestamp},
        config::{HandOff, HandOffs, Migration, OnExisting},
        identity::{LoginName, SubjectKey},
        login::{
            Chain, Journeys, Remembering, RowState, Settings, Whom,
            tests::{
                FakeDirectory, FakeStore, MemoryEpoch, MemoryLedger, OnDuplicate, Silent, rules, source,
                trust,
            },
        },
        rollout::{BasisPoints, BucketSalt, Dial, RollbackMode, Rules},
        telemetry::{
            AddressPolicy, Audit, Metrics,
            logs::{Format, tests::logged},
        },
    };

    /// Sign-ins over a ledger that may lose an answer.
    fn journeys(ledger: &Arc<MemoryLedger>) -> (Journeys, Recorder) {
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let settings = Settings {
            dial: Dial::new(BasisPoints::ALL, BasisPoints::ALL, RollbackMode::Keep, Rules::default()),
            salt: BucketSalt::new(&[7; 32]),
            sources: [(source(), rules())].into(),
            hand_offs: HandOffs { default: HandOff::Hosted, organizations: [].into() },
            on_existing: OnExisting::LinkVerified,
            migration: Migration::default(),
        };
        let recorder = Recorder {
            audit: Audit::new(AddressPolicy::Network),
            metrics: Metrics::new(),
            subjects: SubjectKey::new(b"canary-key"),
        };
        let journeys = Journeys {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![FakeStore::with(&["ann"])]))),
            directory: FakeDirectory::new(OnDuplicate::Refuse),
            ledger: Arc::new(Remembering::new(Arc::clone(ledger) as _)),
            trust: trust(MemoryEpoch::used(), clock.clone()),
            clock,
            witness: Arc::new(Silent),
        };
        (journeys, recorder)
    }

    /// The events of operators, as event, whether changed and who.
    fn told(run: impl Future<Output = ()>) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let text = logged("off", Format::Json, || runtime.block_on(run));
        let told = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = event["event"].as_str().unwrap_or_default().to_owned();
            assert!(!name.starts_with("admin") || event["login.subject"].is_string(), "{line}");
            format!("{name} {} {}", event["admin.changed"], event["admin.who"])
        };
        text.lines().map(told).filter(|line| line.starts_with("admin")).collect()
    }

    #[test]
    fn a_change_whose_answer_was_lost_is_on_record_and_so_is_who_asks_again() {
        let ledger = Arc::new(MemoryLedger::default());
        let (journeys, recorder) = journeys(&ledger);
        let ann = Whom::Name(LoginName::parse("ann@example.com").unwrap());
        let remove = async |who: &str| {
            let asked = journeys.remove(&ann).await;
            let asked = asked.map(|(row, new)| (row, if new { Changed::Made } else { Changed::Already }));
            on_record(&recorder, who, "tombstone", asked).map(|(.., changed)| changed).map_err(|_| ())
        };
        let events = told(async {
            ledger.loses_answer.store(true, Ordering::SeqCst);
            assert_eq!(remove("ops").await, Err(()), "nobody knows");
            assert_eq!(remove("other").await, Ok(Changed::Already));
        });
        assert_eq!(events, [r#"admin_unsettled null "ops""#, r#"admin_changed false "other""#]);
        // Nothing was written, and nothing is on record.
        let nobody = Whom::Name(LoginName::parse("eve@example.com").unwrap());
        let events = told(async {
            let asked = journeys.retry(&nobody).await.map(|row| (row, Changed::Made));
            assert!(on_record(&recorder, "ops", "retry", asked).is_err());
        });
        assert_eq!(events, Vec::<String>::new());
        let removed = |row: &Row| row.state == RowState::Tombstone;
        assert!(ledger.rows.lock().unwrap().values().all(removed));
    }
}
