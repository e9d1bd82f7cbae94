//! `crossfade users list`.

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::key;
use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminClient, AdminFailure},
    output::{self, columns, text},
};

/// List people and where they stand, in the order of their keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade users list --state conflict
  crossfade users list --source crm --pinned --all
  crossfade users list --updated-since 2026-01-31T00:00:00Z --json | jq -r '.people[].subject'")]
pub(super) struct Args {
    /// Only those who stand there
    #[arg(long, value_name = "STATE", value_parser = ["none", "claimed", "created", "done", "conflict", "ineligible", "tombstone"])]
    state: Option<String>,
    /// Only those of this legacy source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those who crossed or began at Scalekit
    #[arg(long, conflicts_with = "not_pinned")]
    pinned: bool,
    /// Only the others
    #[arg(long)]
    not_pinned: bool,
    /// Only those whose row was changed at this time or later
    #[arg(long, value_name = "TIME")]
    updated_since: Option<String>,
    /// Only those whose row was last changed before
    #[arg(long, value_name = "TIME")]
    updated_before: Option<String>,
    /// How many to ask for at a time, 500 at most
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

impl Args {
    fn path(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        let pinned = (self.pinned || self.not_pinned).then(|| self.pinned.to_string());
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
    let client = AdminClient::new(&args.admin)?;
    let mut people = Vec::new();
    let mut cursor = args.cursor.clone();
    loop {
        let part = client.get(&args.path(cursor.as_deref()))?;
        people.extend(part["people"].as_array().cloned().unwrap_or_default());
        cursor = part["next"].as_str().map(str::to_owned);
        // A part may be short and still have a next one.
        if cursor.is_none() || !args.all {
            break;
        }
    }
    let answer = match &cursor {
        Some(cursor) => json!({ "people": people, "next": cursor }),
        None => json!({ "people": people }),
    };
    args.admin.print(&answer, table);
    if let Some(cursor) = cursor.filter(|_| !args.admin.json) {
        output::note(&format!("there may be more: --cursor {cursor}, or --all"));
    }
    Ok(Exit::Done)
}

fn table(answer: &Value) -> String {
    let head = ["KEY", "STATE", "WHY", "PINNED", "BUCKET", "UPDATED", "SUBJECT"].map(str::to_owned).to_vec();
    let row = |person: &Value| {
        let mut row = vec![key(person)];
        let names = ["state", "why", "pinned", "bucket", "updated_at", "subject"];
        row.extend(names.map(|name| text(&person[name])));
        row
    };
    let people = answer["people"].as_array().map(Vec::as_slice).unwrap_or_default();
    columns(&std::iter::once(head).chain(people.iter().map(row)).collect::<Vec<_>>())
}
