//! `crossfade users show`.

use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::{Who, key};
use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminFailure},
    output::{columns, text},
};

/// Show one person's row and what happened to them
///
/// By name, and with the person's names in the answer, this needs an operator's token. The events are those that the
/// replica which answers remembers; the log has all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade users show ann@example.com
  crossfade users show --key crm:1042 --json")]
pub(super) struct Args {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, AdminFailure> {
    args.admin.answer(
        |client| match args.who.source_and_id()? {
            Some((source, id)) => {
                let mut query = Serializer::new(String::new());
                query.append_pair("source", source).append_pair("id", id);
                client.get(&format!("person?{}", query.finish()))
            }
            None => client.look_up("people/find", &args.who.body()?),
        },
        written,
    )
}

/// What the API calls those who crossed or were born new; here an operator's pin is called that.
const CROSSED: &str = "pinned";

fn written(answer: &Value) -> String {
    let person = &answer["person"];
    let mut rows = vec![vec!["key".to_owned(), key(person)]];
    for name in [
        "state",
        "why",
        "origin",
        CROSSED,
        "bucket",
        "external_id",
        "user",
        "organization",
        "claimed_until",
        "subject",
    ] {
        if !person[name].is_null() {
            let word = if name == CROSSED { "crossed".to_owned() } else { name.replace('_', " ") };
            rows.push(vec![word, text(&person[name])]);
        }
    }
    let names = &person["names"];
    if !names["email"].is_null() {
        rows.push(vec!["e-mail".to_owned(), text(&names["email"])]);
    }
    for typed in names["typed"].as_array().into_iter().flatten() {
        rows.push(vec!["signs in as".to_owned(), text(typed)]);
    }
    let mut parts = vec![columns(&rows)];
    let moment = |one: &Value| {
        let detail = one["detail"].as_str().map(|_| text(&one["detail"])).unwrap_or_default();
        vec![text(&one["at"]), text(&one["what"]), detail]
    };
    let moments = person["moments"].as_array().into_iter().flatten().map(moment);
    parts.push(columns(&moments.collect::<Vec<_>>()));
    let event = |one: &Value| vec![text(&one["fields"]["time"]), text(&one["fields"]["message"])];
    let events: Vec<_> = answer["events"].as_array().into_iter().flatten().map(event).collect();
    if !events.is_empty() {
        parts.push(format!("last events of this replica\n{}", columns(&events)));
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_is_told_row_by_row_then_in_time() {
        let answer = json!({
            "person": {
                "key": {"source": "crm", "id": "7"}, "state": "conflict", "why": "twins", "origin": "legacy",
                "pinned": false, "bucket": 4711, "external_id": "7", "subject": "0123456789abcdef",
                "names": {"email": "ann@example.com", "typed": ["ann"], "emails": []},
                "moments": [{"at": "2026-11-29T08:00:00.000Z", "what": "proved", "detail": "password"}],
            },
            "events": [{"number": 3, "fields": {"time": "2026-11-29T08:00:01.000Z", "message": "person set aside: twins"}}],
        });
        let expected = "\
key          crm:7
state        conflict
why          twins
origin       legacy
crossed      no
bucket       4711
external id  7
subject      0123456789abcdef
e-mail       ann@example.com
signs in as  ann

2026-11-29T08:00:00.000Z  proved  password

last events of this replica
2026-11-29T08:00:01.000Z  person set aside: twins";
        assert_eq!(written(&answer), expected);
    }
}
