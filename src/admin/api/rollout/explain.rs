//! Why one sign-in takes the lane it takes, from the very function that decides sign-ins.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::Source;
use crate::{
    admin::api::{
        operation::{Call, Operation, change},
        problem::Problem,
    },
    config::AdminRole,
    identity::LoginName,
    login::{Decided, Origin, Row, RowState},
    rollout::{FlagState, Lane, Reason, RuleSubject},
};

pub(super) fn operation() -> Operation {
    let mut asked = change(
        Method::POST,
        "/rollout/explain",
        "explain_sign_in",
        "Which lane a sign-in by this name would take now, and why; nothing is changed",
        explain,
    );
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
    /// The rule it rests on, where it is one.
    rule: Option<RuleSeen>,
    /// 0 to 9999; the person is within a cutover that is above it.
    bucket: u16,
    /// Whether the bucket is the one that the person's row keeps, or would be computed from this name.
    bucket_from: BucketFrom,
    /// Whether the person would be created in Scalekit at this sign-in, if they can be.
    creates: bool,
    /// What the ledger knows of the person whom the name leads to.
    row: Option<RowSeen>,
    /// The version of the dial that decided.
    version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Lane")]
enum LaneName {
    Legacy,
    New,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BucketFrom {
    Row,
    Name,
}

/// A rule that names the person.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
struct RuleSeen {
    /// Whether it stands in the file, or an operator named the person.
    from: Source,
    kind: RuleKind,
    value: String,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RuleKind {
    Person,
    Domain,
    Organization,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainedRow")]
struct RowSeen {
    /// For operators only, as is the id: by name, a viewer may not learn which row is a person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The legacy store's immutable id; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// `claimed`, `created`, `done`, `conflict`, `ineligible`, `tombstone`, or `none`.
    state: &'static str,
    /// Why the person was set aside, where they were.
    why: Option<&'static str>,
    born_new: bool,
    /// When the person first ended in a session of the new side: from then on they are pinned there.
    crossed_at: Option<String>,
}

async fn explain(call: Call<Asked>) -> Result<Explained, Problem> {
    let name = LoginName::parse(&call.input.name)
        .ok_or_else(|| Problem::not_found("that is no name anybody could sign in by"))?;
    let standing = call.control.dialing.stands().standing;
    let decided = call.control.dialing.explain(name).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::with_causes(&error), "a sign-in cannot be explained");
        Problem::unavailable("the ledger")
    })?;
    let mut explained = Explained::of(&decided, standing.record.as_ref(), standing.version());
    if call.caller.role < AdminRole::Operator
        && let Some(row) = &mut explained.row
    {
        (row.source, row.id) = (None, None);
    }
    Ok(explained)
}

impl Explained {
    fn of(decided: &Decided, record: Option<&FlagState>, version: u64) -> Self {
        let lane = match decided.decision.lane {
            Lane::Legacy => LaneName::Legacy,
            Lane::New => LaneName::New,
        };
        Self {
            lane,
            reason: decided.decision.reason.as_str(),
            because: because(decided),
            rule: decided.rule.as_ref().map(|rule| RuleSeen::of(rule, record)),
            bucket: decided.bucket.get(),
            bucket_from: if decided.row.is_some() { BucketFrom::Row } else { BucketFrom::Name },
            creates: decided.is_open(),
            row: decided.row.as_ref().map(RowSeen::of),
            version,
        }
    }
}

impl RuleSeen {
    fn of(rule: &RuleSubject, record: Option<&FlagState>) -> Self {
        let named = |name: &String| {
            record.is_some_and(|record| record.people.iter().any(|known| known.person == *name))
        };
        let (from, kind, value) = match rule {
            RuleSubject::Person(name) if named(name) => (Source::Store, RuleKind::Person, name),
            RuleSubject::Person(name) => (Source::File, RuleKind::Person, name),
            RuleSubject::Domain(name) => (Source::File, RuleKind::Domain, name),
            RuleSubject::Organization(name) => (Source::File, RuleKind::Organization, name),
        };
        Self { from, kind, value: value.clone() }
    }
}

impl RowSeen {
    fn of(row: &Row) -> Self {
        let why = match &row.state {
            RowState::Conflict { why } => Some(why.as_str()),
            RowState::Ineligible { why } => Some(why.as_str()),
            _ => None,
        };
        Self {
            source: Some(row.key.source.to_string()),
            id: Some(row.key.id.as_str().to_owned()),
            state: row.state.as_str(),
            why,
            born_new: row.origin == Origin::BornNew,
            crossed_at: row.crossed_at.map(|at| at.to_string()),
        }
    }
}

/// The reason as a sentence.
fn because(decided: &Decided) -> String {
    let (bucket, cutover) = (decided.bucket.get(), decided.cutover());
    match decided.decision.reason {
        Reason::Tombstone => "the person was removed, and no legacy password brings them back".into(),
        Reason::BornNew => "the person began at Scalekit; there is no legacy door for them".into(),
        Reason::SetAside => "the person was set aside, and is judged anew at each sign-in".into(),
        Reason::ForceToken => "a force token says so".into(),
        Reason::DenyRule => "a deny rule, or an operator's hold, names the person".into(),
        Reason::AllowRule => "an allow rule, or an operator's pin, names the person".into(),
        Reason::RollbackMode => "the person crossed, and the rollback takes those who crossed back".into(),
        Reason::Crossed => "the person crossed before, and stays".into(),
        Reason::WithinCutover => format!("bucket {bucket} is within the cutover of {cutover}"),
        Reason::BeyondCutover => format!("bucket {bucket} is beyond the cutover of {cutover}"),
        Reason::Paused => "the rollout is paused, and the person has not crossed".into(),
    }
}
