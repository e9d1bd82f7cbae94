//! `crossfade users list`.

use std::{cell::RefCell, time::Duration};

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::key;
use crate::{
    cli::{
        Exit,
        admin_client::{AdminArgs, AdminClient, AdminFailure},
        output::{self, columns, text},
    },
    clock::{Clock, SystemClock},
};

/// For how long those who are rare are looked for, without `--all`.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many the API gives at a time.
const MOST: usize = 500;

/// List people and where they stand, in the order of their keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade users list --state conflict
  crossfade users list --source crm --crossed --all
  crossfade users list --named
  crossfade users list --subject 0123456789abcdef --all
  crossfade users list --updated-since 2026-01-31T00:00:00Z --json | jq -r '.people[].subject'")]
pub(super) struct Args {
    /// Only those who stand there
    #[arg(long, value_name = "STATE", value_parser = ["none", "claimed", "created", "done", "conflict", "ineligible", "tombstone"])]
    state: Option<String>,
    /// Only those of this legacy source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    side: Side,
    /// Only whom logs and audit events call so (`login.subject`); everybody is looked through for them
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// By name, whom an operator pinned to the new lane or holds in legacy (`users pin`, `users hold`)
    #[arg(long, conflicts_with_all = [
        "state", "source", "crossed", "not_crossed", "subject", "updated_since", "updated_before", "limit", "cursor",
        "all",
    ])]
    named: bool,
    /// Only those whose row was changed at this time or later
    #[arg(long, value_name = "TIME")]
    updated_since: Option<String>,
    /// Only those whose row was last changed before
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
    /// How many to list, or with --all to ask for at a time; 500 at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on from here: what the part before named as the next
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// All of them, however many parts that takes
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// On which side of their crossing people are.
#[derive(Debug, clap::Args)]
struct Side {
    /// Only those who crossed or began at Scalekit
    #[arg(long, conflicts_with = "not_crossed")]
    crossed: bool,
    /// Only the others
    #[arg(long)]
    not_crossed: bool,
}

impl Args {
    fn path(&self, cursor: Option<&str>, limit: usize) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        let pinned = (self.side.crossed || self.side.not_crossed).then(|| self.side.crossed.to_string());
        let pairs = [
            ("state", self.state.as_deref()),
            ("source", self.source.as_deref()),
            ("pinned", pinned.as_deref()),
            ("updated_since", self.updated_since.as_deref()),
            ("updated_before", self.updated_before.as_deref()),
            ("cursor", cursor),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("people?{}", query.finish())
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, AdminFailure> {
    if args.named {
        return args.admin.answer(|client| client.get("rollout/people"), named);
    }
    let client = AdminClient::new(&args.admin)?;
    let unreadable = RefCell::new(Vec::new());
    let ask = |cursor: Option<&str>, limit| {
        let limit = if args.subject.is_some() { MOST } else { limit };
        let mut part = client.get(&args.path(cursor, limit))?;
        keep(&mut part, args.subject.as_deref());
        unreadable.borrow_mut().extend(part["unreadable"].as_array().cloned().unwrap_or_default());
        Ok(part)
    };
    let wanted = Wanted {
        limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
        all: args.all,
        from: args.cursor.clone(),
    };
    let (people, cursor) = gather(wanted, &*SystemClock::shared(), ask)?;
    let mut answer = match &cursor {
        Some(cursor) => json!({ "people": people, "next": cursor }),
        None => json!({ "people": people }),
    };
    let unreadable = unreadable.into_inner();
    if !unreadable.is_empty() {
        answer["unreadable"] = unreadable.clone().into();
    }
    args.admin.print(&answer, table);
    for person in unreadable.iter().filter(|_| !args.admin.json) {
        let key = format!("{}:{}", text(&person["source"]), text(&person["id"]));
        output::note(&format!(
            "{key}: the row cannot be read; `crossfade users tombstone --key {key}` removes them for good"
        ));
    }
    if let Some(cursor) = cursor.filter(|_| !args.admin.json) {
        output::note(&format!("there may be more: --cursor {cursor}, or --all"));
    }
    Ok(Exit::Done)
}

/// Leaves in a part whom logs call so.
fn keep(part: &mut Value, subject: Option<&str>) {
    if let (Some(subject), Some(people)) = (subject, part["people"].as_array_mut()) {
        people.retain(|person| person["subject"] == subject);
    }
}

/// How many are wanted, and from where on.
struct Wanted {
    limit: usize,
    all: bool,
    from: Option<String>,
}

/// Puts parts together, and gives the cursor of the next one where there may be more. A part may be short, even empty,
/// and still have a next one: who is rare among many is looked for on.
fn gather(
    wanted: Wanted,
    clock: &dyn Clock,
    ask: impl Fn(Option<&str>, usize) -> Result<Value, AdminFailure>,
) -> Result<(Vec<Value>, Option<String>), AdminFailure> {
    let (begun, mut people, mut cursor) = (clock.monotonic(), Vec::new(), wanted.from);
    loop {
        let missing = if wanted.all { wanted.limit } else { wanted.limit - people.len() };
        let part = ask(cursor.as_deref(), missing)?;
        people.extend(part["people"].as_array().cloned().unwrap_or_default());
        cursor = part["next"].as_str().map(str::to_owned);
        let is_late = clock.monotonic().saturating_sub(begun) >= PATIENCE;
        if cursor.is_none() || !wanted.all && (people.len() >= wanted.limit || is_late) {
            return Ok((people, cursor));
        }
    }
}

/// Whom operators named.
fn named(answer: &Value) -> String {
    let people = answer["people"].as_array().map(Vec::as_slice).unwrap_or_default();
    if people.is_empty() {
        return "nobody is pinned or held".into();
    }
    let head = vec!["LANE".to_owned(), "NAME".to_owned()];
    let rows = people.iter().map(|person| vec![text(&person["lane"]), text(&person["name"])]);
    let mut lines = columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    if answer["in_force"] == false {
        lines.push_str("\nnot in force: rollout.source says who rules");
    }
    lines
}

fn table(answer: &Value) -> String {
    let head = ["KEY", "STATE", "WHY", "CROSSED", "BUCKET", "UPDATED", "SUBJECT"].map(str::to_owned).to_vec();
    let row = |person: &Value| {
        let mut row = vec![key(person)];
        let names = ["state", "why", "pinned", "bucket", "updated_at", "subject"];
        row.extend(names.map(|name| text(&person[name])));
        row
    };
    let people = answer["people"].as_array().map(Vec::as_slice).unwrap_or_default();
    columns(&std::iter::once(head).chain(people.iter().map(row)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{TestClock, Timestamp};

    /// Two people among thousands: the parts are empty but for the last of each three.
    fn part(cursor: Option<&str>, limit: usize) -> Value {
        assert!((1..=2).contains(&limit), "never more than are missing: {limit}");
        let number: u32 = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let people = if number % 3 == 2 { json!([{ "key": number }]) } else { json!([]) };
        json!({ "people": people, "next": (number + 1).to_string() })
    }

    #[test]
    fn one_subject_is_picked_out_of_a_part() {
        let all = json!({ "people": [{ "subject": "a" }, { "subject": "b" }], "next": "1" });
        let kept = |subject: Option<&str>| {
            let mut part = all.clone();
            keep(&mut part, subject);
            part["people"].as_array().unwrap().len()
        };
        assert_eq!((kept(None), kept(Some("b")), kept(Some("c"))), (2, 1, 0));
    }

    #[test]
    fn who_is_rare_is_looked_for_until_there_are_enough_or_it_takes_too_long() {
        let clock = TestClock::at(Timestamp::from_seconds(1));
        let wanted = || Wanted { limit: 2, all: false, from: None };
        let (people, next) = gather(wanted(), &*clock, |cursor, limit| Ok(part(cursor, limit))).unwrap();
        assert_eq!((people, next.as_deref()), (vec![json!({"key": 2}), json!({"key": 5})], Some("6")));
        let slow = |cursor: Option<&str>, limit| {
            clock.advance(PATIENCE / 4);
            Ok(part(cursor, limit))
        };
        let (people, next) = gather(wanted(), &*clock, slow).unwrap();
        assert_eq!(
            (people, next.as_deref()),
            (vec![json!({"key": 2})], Some("4")),
            "and it goes on from there"
        );
    }
}
