//! The last audit events of this process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    operation::{Call, Operation, read},
    problem::Problem,
};
use crate::telemetry::logs::{KEPT_EVENTS, recent_events};

const LIMIT: u32 = 100;
const MOST: u32 = 1000;

pub(super) fn operations() -> Vec<Operation> {
    vec![read("/audit", "list_events", "The last audit events of this replica, the newest first", list)]
}

/// Which events; without any of these, the newest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Only those of this person, by the keyed hash that stands for them in logs.
    #[schemars(regex(pattern = "^[0-9a-f]{16}$"))]
    subject: Option<String>,
    /// `next` of the part before.
    cursor: Option<u64>,
    /// How many at most; 100 unless told.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// A part of the events.
#[derive(Serialize, JsonSchema)]
struct EventsPart {
    events: Vec<AuditEvent>,
    events_of: Extent,
    /// The cursor of the next, older part; absent in the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// One audit event as it stands in the log.
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditEvent {
    /// Grows with time, in this process.
    number: u64,
    fields: Map<String, Value>,
}

/// How far a list of events reaches.
#[derive(Serialize, JsonSchema)]
pub(super) struct Extent {
    /// Only events of the replica that answers; the log has those of all.
    this_replica_only: bool,
    /// How many are kept at most.
    kept: usize,
}

impl Default for Extent {
    fn default() -> Self {
        Self { this_replica_only: true, kept: KEPT_EVENTS }
    }
}

/// The newest events of a person, by any of their names in logs.
pub(super) fn of_subjects(subjects: &[&str], most: usize) -> Vec<AuditEvent> {
    let of_them = |fields: &Map<String, Value>| {
        let subject = fields.get("login.subject").and_then(Value::as_str);
        subject.is_some_and(|subject| subjects.contains(&subject))
    };
    recent_events(None, most, of_them).into_iter().map(shown).collect()
}

fn shown(event: crate::telemetry::logs::AuditEvent) -> AuditEvent {
    AuditEvent { number: event.number, fields: event.fields }
}

async fn list(call: Call<Wanted>) -> Result<EventsPart, Problem> {
    let wanted = call.input;
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid_query(format!("limit: must be between 1 and {MOST}")));
    }
    let is_subject = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if wanted.subject.as_deref().is_some_and(|subject| !is_subject(subject)) {
        return Err(Problem::invalid_query("subject: must be the 16 hex digits of a login.subject"));
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let of_them = |fields: &Map<String, Value>| match &wanted.subject {
        Some(subject) => fields.get("login.subject").is_some_and(|known| known == subject.as_str()),
        None => true,
    };
    let events = recent_events(wanted.cursor, most, of_them);
    let next = events.last().filter(|_| events.len() == most).map(|event| event.number);
    Ok(EventsPart { next, events_of: Extent::default(), events: events.into_iter().map(shown).collect() })
}
