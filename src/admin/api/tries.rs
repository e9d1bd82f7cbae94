//! Tries at people's passwords: ending the wait of somebody who was guessed at.

use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    operation::{Call, Operation, change},
    people::{About, UNREADABLE, ledger_problem},
    problem::Problem,
    show::PersonSummary,
};
use crate::{
    login::{Row, Whom},
    telemetry::{Changed, with_causes},
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        change(
            Method::POST,
            "/people/unlock",
            "unlock_person",
            "Forgets the wrong passwords that strangers tried at one person's account, so that they may try again at once; \
             a browser that is known for them waits for its own",
            unlock,
        )
        .may_answer(StatusCode::NOT_FOUND, "Nobody has this key")
        .may_answer(StatusCode::CONFLICT, UNREADABLE),
    ]
}

/// Who may try again.
#[derive(Serialize, JsonSchema)]
struct Unlocked {
    /// The keyed hash that stands for them in logs and audit events.
    subject: String,
    /// Their row; whoever never signed in has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<PersonSummary>,
}

async fn unlock(call: Call<About>) -> Result<Unlocked, Problem> {
    let gate = &call.control.gate;
    let whom = call.input.person.read()?;
    let row = gate.journeys.row_of(&whom).await.map_err(|error| ledger_problem(&error))?;
    let (typed, subject) = match (&whom, &row) {
        (Whom::Name(name), row) => (Some(name.clone()), gate.recorder.subject_of_named(name, row.as_ref())),
        (Whom::Key(_), Some(row)) => (None, gate.recorder.subject_of(row)),
        (Whom::Key(_), None) => return Err(Problem::not_found("nobody has this key")),
    };
    let names = typed.into_iter().chain(row.iter().flat_map(Row::all_names));
    let forgotten = gate.forget_failures(names, row.as_ref()).await;
    let changed = if forgotten.is_ok() { Changed::Made } else { Changed::Unknown };
    gate.recorder.audit.admin_changed(&call.caller.name, "unlock", Some(&subject), changed);
    forgotten.map_err(|error| {
        tracing::error!(error = %with_causes(&error), "counts of tries cannot be forgotten");
        Problem::outcome_unknown("call again: what was done stays done")
    })?;
    let person = row.as_ref().map(|row| PersonSummary::of(row, &subject, call.caller.role));
    Ok(Unlocked { subject: subject.to_string(), person })
}
