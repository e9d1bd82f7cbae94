//! People: lists and counts, one person's row, and what an operator does about them.

mod changed;

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::changed::on_record;
use super::{
    events::{self, AuditEvent},
    operation::{Call, Nothing, Operation, change, read},
    problem::Problem,
    show::{PersonRow, PersonSummary},
    words::{Key, Person, State, Time},
};
use crate::{
    identity::{LoginName, PersonKey, SourceName},
    login::{Ledger as _, LedgerError, PeopleFilter, Row, Stage, Whom},
    session::Whose,
    telemetry::{Changed, with_causes},
};

const LIMIT: u32 = 50;
const MOST: u32 = 500;

pub(super) const UNREADABLE: &str = "What is stored of them cannot be read";

/// Events that are told with one person.
const EVENTS_OF_ONE: usize = 100;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        read("/people", "list_people", "People in the order of their keys", list),
        read("/people/counts", "count_people", "How many people there are, and where they stand", count),
        read("/person", "show_person", "One person by their key; operators also see their names", show)
            .may_answer(StatusCode::NOT_FOUND, "Nobody has this key")
            .may_answer(StatusCode::CONFLICT, UNREADABLE),
        change(Method::POST, "/people/find", "find_person", "One person by name or key", find)
            .may_answer(StatusCode::NOT_FOUND, "Nobody of that name has a row")
            .may_answer(StatusCode::CONFLICT, UNREADABLE),
        change(
            Method::POST,
            "/people/retry",
            "retry_person",
            "Lets somebody who was set aside be judged anew at their next sign-in; mends somebody who is done and whose \
             user at Scalekit was deleted (their mailbox links them anew) or has a new address",
            retry,
        )
        .may_answer(StatusCode::NOT_FOUND, "Nobody of that name has a row")
        .may_answer(
            StatusCode::CONFLICT,
            "They are not set aside and their user at Scalekit is in order, they cannot be read, or somebody works on \
             them",
        ),
        change(
            Method::POST,
            "/people/forget-name",
            "forget_name",
            "Takes a name from whoever it leads to: it was given to somebody else, who signs in by it from then on",
            forget_name,
        )
        .may_answer(StatusCode::NOT_FOUND, "The name leads to nobody")
        .may_answer(
            StatusCode::CONFLICT,
            "Its person is removed, or has it as their address at Scalekit; or their row cannot be read or written",
        ),
        change(
            Method::POST,
            "/people/tombstone",
            "remove_person",
            "Removes a person for good: all their names are closed and their sessions end at once",
            remove,
        )
        .may_answer(
            StatusCode::NOT_FOUND,
            "Neither the ledger nor a legacy store knows exactly one such person",
        )
        .may_answer(StatusCode::CONFLICT, "Somebody else keeps writing their row"),
    ]
}

/// Whom to list; without any of these, everybody.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Only those who stand there.
    state: Option<State>,
    /// Only those of this legacy source.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9_-]{0,31}$"))]
    source: Option<String>,
    /// Only those who crossed or were born new, or only the others; whatever an operator said of them.
    pinned: Option<bool>,
    /// Only those whose row was last changed before.
    updated_before: Option<Time>,
    /// Only those whose row was last changed at this time or later.
    updated_since: Option<Time>,
    /// `next` of the part before.
    #[schemars(length(max = 512))]
    cursor: Option<String>,
    /// How many at most; 50 unless told.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u32>,
}

/// A part of the list.
#[derive(Serialize, JsonSchema)]
struct PeopleList {
    people: Vec<PersonSummary>,
    /// People of this part whose rows cannot be read; removing them by key writes a tombstone in their place.
    unreadable: Vec<Key>,
    /// The cursor of the next part; absent in the last one. A part may be short and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

async fn list(call: Call<Wanted>) -> Result<PeopleList, Problem> {
    let wanted = &call.input;
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid_query(format!("limit: must be between 1 and {MOST}")));
    }
    let source = wanted.source.as_deref().map(|source| {
        SourceName::parse(source)
            .ok_or_else(|| Problem::invalid_query("source: must be the name of a configured source"))
    });
    let time = |time: &Option<Time>, name| time.as_ref().map(|time| time.read(name)).transpose();
    let filter = PeopleFilter {
        stages: wanted.state.map(Stage::from).into_iter().collect(),
        source: source.transpose()?,
        is_pinned: wanted.pinned,
        updated_before: time(&wanted.updated_before, "updated_before")?,
        updated_since: time(&wanted.updated_since, "updated_since")?,
    };
    let after = wanted.cursor.as_deref().map(|cursor| {
        read_cursor(cursor).ok_or_else(|| Problem::invalid_query("cursor: is none that was given out here"))
    });
    let after = after.transpose()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let people = call.control.gate.journeys.ledger.list(&filter, after.as_ref(), limit).await;
    let people = people.map_err(|error| ledger_problem(&error))?;
    let recorder = &call.control.gate.recorder;
    let role = call.caller.role;
    let shown = people.rows.iter().map(|row| PersonSummary::of(row, &recorder.subject_of(row), role));
    let unreadable = people.unreadable.iter().map(Key::from).collect();
    Ok(PeopleList { people: shown.collect(), unreadable, next: people.next.as_ref().map(cursor_of) })
}

fn cursor_of(key: &PersonKey) -> String {
    URL_SAFE_NO_PAD.encode(key.to_string())
}

fn read_cursor(cursor: &str) -> Option<PersonKey> {
    PersonKey::parse(&String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?)
}

/// How many people have a row.
#[derive(Serialize, JsonSchema)]
struct PeopleCounts {
    all: u64,
    by_state: BTreeMap<State, u64>,
    /// Crossed, or born new: the percentage does not move them. Also where they were set aside since; `people.pinned` of
    /// `/rollout` leaves those out.
    pinned: u64,
    /// Neither pinned nor removed.
    unpinned: u64,
}

async fn count(call: Call<Nothing>) -> Result<PeopleCounts, Problem> {
    let counts = call.control.gate.journeys.ledger.counts().await.map_err(|error| ledger_problem(&error))?;
    Ok(PeopleCounts {
        all: counts.all(),
        by_state: Stage::ALL.into_iter().map(|stage| (stage.into(), counts.in_stage(stage))).collect(),
        pinned: counts.pinned(),
        unpinned: counts.unpinned(),
    })
}

/// One person.
#[derive(Serialize, JsonSchema)]
struct PersonShown {
    person: PersonRow,
    /// What this replica logged of them last, the newest first. Other replicas know more.
    events: Vec<AuditEvent>,
    /// From where the events are: this process, since it began.
    events_of: events::Extent,
}

impl PersonShown {
    fn of<Input>(row: &Row, call: &Call<Input>) -> Self {
        let subject = call.control.gate.recorder.subject_of(row);
        let of_key = call.control.gate.recorder.subjects.subject(&row.key.to_string());
        let events = events::of_subjects(&[&subject.to_string(), &of_key.to_string()], EVENTS_OF_ONE);
        Self {
            person: PersonRow::of(row, &subject, call.caller.role),
            events,
            events_of: events::Extent::default(),
        }
    }
}

async fn show(call: Call<Key>) -> Result<PersonShown, Problem> {
    let Some(key) = call.input.read() else {
        return Err(Problem::invalid_query(
            "source and id: must be a source's name and an id of 1 to 255 bytes",
        ));
    };
    let row = call.control.gate.journeys.ledger.row(&key).await.map_err(|error| ledger_problem(&error))?;
    let row = row.ok_or_else(|| Problem::not_found("nobody has this key"))?;
    Ok(PersonShown::of(&row, &call))
}

/// Whom a call is about.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub(super) person: Person,
}

async fn find(call: Call<About>) -> Result<PersonShown, Problem> {
    let whom = call.input.person.read()?;
    let row = call.control.gate.journeys.row_of(&whom).await.map_err(|error| ledger_problem(&error))?;
    let row = row.ok_or_else(|| {
        Problem::not_found("nobody of that name has a row").fix(
            "whoever has not signed in since Crossfade is there has none; rollout explain tells their lane",
        )
    })?;
    Ok(PersonShown::of(&row, &call))
}

/// A person as they stand after a change.
#[derive(Serialize, JsonSchema)]
struct PersonChanged {
    person: PersonSummary,
    /// `false` where there was nothing left to change.
    changed: bool,
    /// How many of their sessions were ended by it.
    sessions_ended: u64,
}

async fn retry(call: Call<About>) -> Result<PersonChanged, Problem> {
    let gate = &call.control.gate;
    let asked = gate.journeys.retry(&call.input.person.read()?).await;
    let asked = asked.map(|row| (row, Changed::Made));
    let (row, subject, _) = on_record(&gate.recorder, &call.caller.name, "retry", asked)?;
    let person = PersonSummary::of(&row, &subject, call.caller.role);
    Ok(PersonChanged { person, changed: true, sessions_ended: 0 })
}

/// A name that is no longer its person's.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    /// What they signed in with.
    #[schemars(length(min = 1, max = 512))]
    name: String,
}

async fn forget_name(call: Call<Name>) -> Result<PersonChanged, Problem> {
    let name = LoginName::parse(&call.input.name).ok_or_else(|| {
        Problem::invalid("name: must be a name of 1 to 512 bytes, without control characters")
    })?;
    let gate = &call.control.gate;
    let asked = gate.journeys.forget_name(&name).await.map(|row| (row, Changed::Made));
    let (row, subject, _) = on_record(&gate.recorder, &call.caller.name, "forget_name", asked)?;
    let person = PersonSummary::of(&row, &subject, call.caller.role);
    Ok(PersonChanged { person, changed: true, sessions_ended: 0 })
}

async fn remove(call: Call<About>) -> Result<PersonChanged, Problem> {
    let gate = &call.control.gate;
    let asked = gate.journeys.remove(&call.input.person.read()?).await;
    let asked = asked.map(|(row, is_new)| (row, if is_new { Changed::Made } else { Changed::Already }));
    let (row, subject, changed) = on_record(&gate.recorder, &call.caller.name, "tombstone", asked)?;
    // Also where nothing changed: an earlier call may have been cut before it came here.
    let sessions_ended = end_sessions(&call, &row, "removed").await?;
    let person = PersonSummary::of(&row, &subject, call.caller.role);
    Ok(PersonChanged { person, changed: changed == Changed::Made, sessions_ended })
}

/// Ends all sessions of a person, by both of their names.
pub(super) async fn end_sessions<Input>(
    call: &Call<Input>,
    row: &Row,
    why: &'static str,
) -> Result<u64, Problem> {
    let gate = &call.control.gate;
    let names = [Some(Whose::Person(row.key.clone())), row.user.clone().map(Whose::User)];
    let mut ended = 0;
    for whose in names.into_iter().flatten() {
        ended += gate.end_all_of(&whose, why).await.map_err(|error| {
            tracing::error!(error = %error, "sessions cannot be ended");
            Problem::unavailable("the session store").fix("call again: what was done stays done")
        })?;
    }
    Ok(u64::try_from(ended).unwrap_or(u64::MAX))
}

/// The row that is meant, which has to be there.
pub(super) async fn row_of<Input>(call: &Call<Input>, whom: &Whom) -> Result<Row, Problem> {
    let row = call.control.gate.journeys.row_of(whom).await.map_err(|error| ledger_problem(&error))?;
    row.ok_or_else(|| Problem::not_found("nobody of that name has a row"))
}

/// The ledger cannot be asked, or not about this person.
pub(super) fn ledger_problem(error: &LedgerError) -> Problem {
    tracing::error!(error = %with_causes(error), "the ledger cannot be asked");
    match error {
        LedgerError::Unreadable(_) => {
            Problem::conflict("unreadable", "what is stored of this person cannot be read")
                .fix("POST /api/v1/people/tombstone (crossfade users tombstone) removes them for good")
        }
        _ => Problem::unavailable("the store"),
    }
}
