//! Tells logs, metrics and audit what a migration does; and, in builds for it, stops the process at a named step.

use std::error::Error;

use crate::{
    identity::{Assertion, PersonKey, Subject},
    login::{Doubt, Moment, Notice, Row, RowState, Witness},
    proxy::Recorder,
    telemetry::with_causes,
};

/// The witness of this process.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) recorder: Recorder,
    #[cfg(feature = "failpoints")]
    pub(super) failpoint: Option<Failpoint>,
}

impl Witness for Recording {
    fn step(&self, moment: Moment, step: &'static str, row: &Row) {
        tracing::debug!(
            migration.step = step,
            migration.moment = ?moment,
            login.subject = %self.recorder.subject_of(row),
            "a step of a migration"
        );
        #[cfg(feature = "failpoints")]
        if let Some(failpoint) = &self.failpoint {
            failpoint.meet(moment, step);
        }
    }

    fn moved(&self, before: &RowState, row: &Row) {
        let (subject, source) = (self.recorder.subject_of(row), &row.key.source);
        let audit = self.recorder.audit;
        audit.migration_moved(&subject, source, before.as_str(), row.state.as_str());
        let metrics = &self.recorder.metrics;
        match &row.state {
            RowState::None | RowState::Claimed | RowState::Created => {}
            RowState::Done if row.origin == crate::login::Origin::BornNew => audit.born_new(&subject),
            RowState::Done | RowState::Tombstone => {
                say_who_vouched(row, &subject);
                metrics.migration_ended(source.as_str(), row.state.as_str());
            }
            RowState::Conflict { why } => {
                audit.conflict(&subject, source, why.as_str());
                metrics.migration_ended(source.as_str(), row.state.as_str());
            }
            RowState::Ineligible { why } => {
                audit.ineligible(&subject, source, why.as_str());
                metrics.migration_ended(source.as_str(), row.state.as_str());
            }
        }
    }

    fn notice(&self, row: &Row, notice: Notice) {
        let subject = self.recorder.subject_of(row);
        match notice {
            Notice::CrossesUnasked(why) => {
                self.recorder.audit.crossed_unasked(&subject, &row.key.source, why);
            }
            Notice::CameAsAnother => tracing::warn!(
                login.subject = %subject,
                "somebody came back from Scalekit as another user than the one their person has, and was refused: where \
                 that user was deleted there or has a new address, `crossfade users retry` mends it"
            ),
        }
    }

    fn failed(&self, step: &'static str, error: &(dyn Error + 'static), row: &Row) {
        tracing::warn!(
            migration.step = step,
            login.subject = %self.recorder.subject_of(row),
            error = %with_causes(error),
            "a step of a migration failed"
        );
    }

    fn doubted(&self, doubt: Option<Doubt>) {
        self.recorder.metrics.store_doubted(doubt.is_some());
        self.recorder.audit.store_doubted(doubt.map(Doubt::as_str));
    }

    fn removed_again(&self, people: usize) {
        if people > 0 {
            self.recorder.audit.removed_again(people);
        }
    }

    fn unreadable(&self, key: &PersonKey) {
        self.recorder.metrics.row_unreadable();
        tracing::error!(
            login.subject = %self.recorder.subjects.subject(&key.to_string()),
            "a person's row cannot be read: they are not moved, their sign-ins go to the application or have to wait, \
             and others are not kept by it; `crossfade users list` names them, and `crossfade users tombstone --key \
             SOURCE:ID` removes them for good"
        );
    }

    fn unavailable(&self, step: &'static str, error: &(dyn Error + 'static)) {
        tracing::warn!(migration.step = step, error = %with_causes(error), "a dependency could not be asked");
    }
}

/// Whose word the verified e-mail rests on (truth 1).
fn say_who_vouched(row: &Row, subject: &Subject) {
    let asserted = row.email.as_ref().map(crate::identity::VerifiedEmail::asserted);
    let (by, accepted_by) = match asserted {
        Some(Assertion::Legacy { .. }) => ("legacy", None),
        Some(Assertion::Operator { accepted_by, .. }) => ("operator", Some(accepted_by.as_str())),
        None => return,
    };
    tracing::info!(subject = %subject, email.asserted_by = by, email.accepted_by = accepted_by, "e-mail vouched for");
}

/// A step at which this process stops for good, so that a test can kill it there: `before:create`, `after:claim`. With
/// a number of milliseconds at the end it stands still for that long and goes on, as a machine does that was paused.
#[cfg(feature = "failpoints")]
#[derive(Clone, Debug)]
pub(super) struct Failpoint {
    moment: Moment,
    step: String,
    pause: Option<std::time::Duration>,
}

#[cfg(feature = "failpoints")]
impl Failpoint {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (moment, step) = text.split_once(':')?;
        let (step, pause) = match step.split_once(':') {
            Some((step, millis)) => (step, Some(std::time::Duration::from_millis(millis.parse().ok()?))),
            None => (step, None),
        };
        let moment = match moment {
            "before" => Moment::Before,
            "after" => Moment::After,
            _ => return None,
        };
        Some(Self { moment, step: step.to_owned(), pause })
    }

    /// Says that the step was reached, and comes back late or never.
    fn meet(&self, moment: Moment, step: &'static str) {
        if self.moment != moment || self.step != step {
            return;
        }
        tracing::warn!(step, "failpoint reached");
        let Some(pause) = self.pause else {
            loop {
                std::thread::park();
            }
        };
        let end = crate::clock::Deadline::within(pause);
        while !end.has_passed() {
            std::thread::park_timeout(end.remaining());
        }
    }
}
