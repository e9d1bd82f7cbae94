//! Ending sessions: all of one person, or all of everybody (SEC-22).

use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    operation::{Call, Operation, change},
    people::{About, UNREADABLE, end_sessions, row_of},
    problem::Problem,
};
use crate::telemetry::Changed;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        change(Method::POST, "/sessions/end", "end_sessions", "Ends all sessions of one person", end)
            .may_answer(StatusCode::NOT_FOUND, "Nobody of that name has a row")
            .may_answer(StatusCode::CONFLICT, UNREADABLE),
        change(
            Method::POST,
            "/sessions/end-all",
            "end_all_sessions",
            "Ends all sessions of everybody",
            end_all,
        ),
    ]
}

/// What was ended.
#[derive(Serialize, JsonSchema)]
struct SessionsEnded {
    sessions_ended: u64,
}

async fn end(call: Call<About>) -> Result<SessionsEnded, Problem> {
    let row = row_of(&call, &call.input.person.read()?).await?;
    let sessions_ended = end_sessions(&call, &row, "operator").await?;
    let recorder = &call.control.gate.recorder;
    let subject = recorder.subject_of(&row);
    recorder.audit.admin_changed(&call.caller.name, "end_sessions", Some(&subject), Changed::Made);
    Ok(SessionsEnded { sessions_ended })
}

/// That it is meant: everybody is signed out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Meant {
    whose: Everybodys,
}

/// The one word that is taken.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Everybodys {
    Everybody,
}

async fn end_all(call: Call<Meant>) -> Result<SessionsEnded, Problem> {
    let Everybodys::Everybody = call.input.whose;
    let gate = &call.control.gate;
    let ended = gate.end_all("operator").await.map_err(|error| {
        tracing::error!(error = %error, "sessions cannot be ended");
        Problem::unavailable("the session store").fix("call again: what was done stays done")
    })?;
    gate.recorder.audit.admin_changed(&call.caller.name, "end_all_sessions", None, Changed::Made);
    Ok(SessionsEnded { sessions_ended: u64::try_from(ended).unwrap_or(u64::MAX) })
}
