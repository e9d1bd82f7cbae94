//! Why one sign-in takes the lane it takes, from the very function that decides sign-ins.

use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules::RuleSeen, words::LaneName};
use crate::{
    admin::api::{
        operation::{Call, Operation, change},
        people::{UNREADABLE, ledger_problem},
        problem::Problem,
    },
    config::AdminRole,
    identity::LoginName,
    login::{Decided, Doubt, Origin, Row, RowState},
    rollout::{Lane, Reason, Standing},
};

pub(super) fn operation() -> Operation {
    let mut asked = change(
        Method::POST,
        "/rollout/explain",
        "explain_sign_in",
        "Which lane a sign-in by this name would take now, and why; nothing is changed",
        explain,
    );
    asked = asked.may_answer(StatusCode::CONFLICT, UNREADABLE);
    // A body only because names do not belong into addresses that others log.
    asked.role = AdminRole::Viewer;
    asked
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainSignIn")]
struct Asked {
    /// What the person types into the sign-in form.
    #[schemars(length(min = 1))]
    name: String,
}

/// A sign-in that was decided and not made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainedSignIn")]
struct Explained {
    lane: LaneName,
    /// A fixed word.
    reason: &'static str,
    /// The same for people.
    because: String,
    /// The rule it rests on, where it is one; it may name the person by another name of theirs.
    rule: Option<RuleSeen>,
    /// 0 to 9999; the person is within a cutover that is above it. For operators only, as is all that rows show, too: a
    /// viewer is not told which row is whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
    /// Whether the bucket is the one that the person's row keeps, or would be computed from this name; for operators
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_from: Option<BucketFrom>,
    /// Whether the person would be created in Scalekit at this sign-in, if they can be.
    creates: bool,
    /// Why the store is in doubt, where it is, and nobody is created whatever the dial says: the word of `/store`.
    store_doubt: Option<&'static str>,
    /// What the ledger knows of the person whom the name leads to.
    row: Option<RowSeen>,
    /// The version of the dial that decided.
    version: u64,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BucketFrom {
    Row,
    Name,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainedRow")]
struct RowSeen {
    /// Whether the person crossed, or began at Scalekit: the percentage does not move them any more.
    crossed: bool,
    /// For operators only.
    #[serde(flatten)]
    more: Option<MoreOfRow>,
}

/// What a viewer could join with the list of people.
#[derive(Debug, Serialize, JsonSchema)]
struct MoreOfRow {
    source: String,
    /// The legacy store's immutable id.
    id: String,
    /// `claimed`, `created`, `done`, `conflict`, `ineligible`, `tombstone`, or `none`.
    state: &'static str,
    /// Why the person was set aside, where they were.
    why: Option<&'static str>,
    born_new: bool,
    /// When the person first ended in a session of the new side.
    crossed_at: Option<String>,
}

async fn explain(call: Call<Asked>) -> Result<Explained, Problem> {
    let name = LoginName::parse(&call.input.name)
        .ok_or_else(|| Problem::not_found("that is no name anybody could sign in by"))?;
    let standing = call.control.dialing.stands().standing;
    let decided = call.control.dialing.explain(name).await.map_err(|error| ledger_problem(&error))?;
    let doubt = call.control.gate.journeys.store_standing().doubt;
    Ok(Explained::of(&decided, &standing, doubt, call.caller.role))
}

impl Explained {
    fn of(decided: &Decided, standing: &Standing, doubt: Option<Doubt>, role: AdminRole) -> Self {
        let reason = decided.decision.reason;
        let of_rule = if reason == Reason::DenyRule { Lane::Legacy } else { Lane::New };
        let is_operator = role >= AdminRole::Operator;
        let bucket = is_operator.then(|| decided.bucket.get());
        let from = if decided.row.is_some() { BucketFrom::Row } else { BucketFrom::Name };
        Self {
            lane: decided.decision.lane.into(),
            reason: reason.as_str(),
            because: because(decided, bucket),
            rule: decided.rule.as_ref().map(|rule| RuleSeen::of(rule, of_rule, standing, role)),
            bucket,
            bucket_from: bucket.map(|_| from),
            creates: decided.is_open() && doubt.is_none(),
            store_doubt: doubt.map(Doubt::as_str),
            row: decided.row.as_ref().map(|row| RowSeen::of(row, is_operator)),
            version: standing.version(),
        }
    }
}

impl RowSeen {
    fn of(row: &Row, is_operator: bool) -> Self {
        Self { crossed: row.is_pinned(), more: is_operator.then(|| MoreOfRow::of(row)) }
    }
}

impl MoreOfRow {
    fn of(row: &Row) -> Self {
        let why = match &row.state {
            RowState::Conflict { why } => Some(why.as_str()),
            RowState::Ineligible { why } => Some(why.as_str()),
            _ => None,
        };
        Self {
            source: row.key.source.to_string(),
            id: row.key.id.as_str().to_owned(),
            state: row.state.as_str(),
            why,
            born_new: row.origin == Origin::BornNew,
            crossed_at: row.crossed_at.map(|at| at.to_string()),
        }
    }
}

/// The reason as a sentence; without the bucket for those who do not see it.
fn because(decided: &Decided, bucket: Option<u16>) -> String {
    let cutover = decided.cutover();
    let bucket = bucket.map_or_else(|| "the person's bucket".to_owned(), |bucket| format!("bucket {bucket}"));
    match decided.decision.reason {
        Reason::Tombstone => "the person was removed, and no legacy password brings them back".into(),
        Reason::BornNew => "the person began at Scalekit; there is no legacy door for them".into(),
        Reason::SetAside => "the person was set aside, and is judged anew at each sign-in".into(),
        Reason::ForceToken => "a force token says so".into(),
        Reason::DenyRule => "a deny rule, or an operator's hold, names the person".into(),
        Reason::AllowRule => "an allow rule, or an operator's pin, names the person".into(),
        Reason::RollbackMode if decided.rule.is_some() => {
            "a rule or a pin names the person, but after a rollback to legacy it takes over nobody who is not in \
             Scalekit yet"
                .into()
        }
        Reason::RollbackMode => "the person crossed, and the rollback takes those who crossed back".into(),
        Reason::Crossed => "the person crossed before, and stays".into(),
        Reason::WithinCutover => format!("bucket {bucket} is within the cutover of {cutover}"),
        Reason::BeyondCutover => format!("bucket {bucket} is beyond the cutover of {cutover}"),
        Reason::Paused => "the rollout is paused, and the person has not crossed".into(),
    }
}
