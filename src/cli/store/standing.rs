//! `crossfade store status|confirm`: whether a running instance believes its store.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Exit,
    admin_client::{AdminArgs, AdminClient, AdminFailure},
    confirmation,
    output::{self, table, text},
};

/// Where the store is on the API.
const PLACE: &str = "store";

/// Show whether the store is believed to have everybody
///
/// A store that was lost, replaced or brought back from an old copy is in doubt: people who exist in Scalekit get in,
/// and nobody is created until an operator confirms the store. Where it was brought back while no crossfade ran, nobody
/// notices: that is what `store doubt` is for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade store status --admin 127.0.0.1:9090 --token-file /run/secrets/viewer
  crossfade store status --json | jq -r .doubt")]
pub(super) struct Status {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Take the store as it is, so that people are created again
///
/// Bring a backup back first if there is one. Whoever was created before and is not in the store is found again in
/// Scalekit. Whoever was removed since, and is not removed in it any more, could come back: the log of the replicas has
/// each removal as an audit event (`admin_changed`, `admin.what` tombstone). Its `login.subject` stands in the list of
/// people, too, for whoever has a row; remove them again before you confirm.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade users list --subject 0123456789abcdef --all    # whose removal that was
  crossfade store confirm --reason 'no backup, Redis was set up anew'
  crossfade store confirm --yes --json")]
pub(super) struct Confirm {
    /// Why, for the audit event in the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn status(args: &Status) -> Result<Exit, AdminFailure> {
    args.admin.answer(|client| client.get(PLACE), written)
}

pub(super) fn confirm(args: &Confirm) -> Result<Exit, AdminFailure> {
    let client = AdminClient::new(&args.admin)?;
    let stands = client.get(PLACE)?;
    if stands["in_doubt"] != true {
        output::note("the store is not in doubt; there was nothing to confirm");
        args.admin.print(&stands, written);
        return Ok(Exit::Done);
    }
    let why = reason(&stands).unwrap_or_else(|| text(&stands["doubt"]));
    let warning = format!("The store is in doubt: {why}. Once confirmed, people are created again.");
    if !args.yes && !confirmation::is_given(&warning, "a confirmation cannot be taken back")? {
        output::note("nothing was done");
        return Ok(Exit::Failed);
    }
    let body = args.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let answer = client.send(Method::POST, "store/confirm", &body)?;
    args.admin.print(&answer, written);
    Ok(Exit::Done)
}

fn written(store: &Value) -> String {
    let believed = if store["in_doubt"] == true { "no: nobody is created" } else { "yes" };
    let mut rows = vec![("believed", believed.to_owned())];
    if !store["doubt"].is_null() {
        let word = text(&store["doubt"]);
        rows.push(("doubt", reason(store).map_or(word.clone(), |why| format!("{word}: {why}"))));
        rows.push(("", "crossfade store confirm takes it as it is".to_owned()));
    }
    rows.push(("epoch", text(&store["epoch"])));
    let used = store["used_seconds"].as_u64();
    rows.push(("used for", used.map_or_else(|| "-".to_owned(), span)));
    rows.push(("confirmed", text(&store["confirmed_at"])));
    table(&rows)
}

/// A doubt as a sentence.
fn reason(store: &Value) -> Option<String> {
    let why = match store["doubt"].as_str()? {
        "emptied" => "what was seen in it before is gone",
        "replaced" => "it is another one than was seen before",
        "rolled_back" => "it is an older copy of itself",
        "people_at_scalekit" => "it is new, and Scalekit has people who may have come from here",
        "not_asked_yet" => "it is new, and Scalekit could not be asked yet whether it should be",
        "by_operator" => "an operator said that it may have lost people (crossfade store doubt)",
        _ => return None,
    };
    Some(why.to_owned())
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_told_as_a_sentence_with_what_ends_it() {
        let doubted = json!({ "in_doubt": true, "doubt": "emptied", "epoch": "0198\u{1b}[2J", "used_seconds": 93_784,
            "confirmed_at": null });
        let expected = "\
believed   no: nobody is created
doubt      emptied: what was seen in it before is gone
           crossfade store confirm takes it as it is
epoch      0198\u{fffd}[2J
used for   1 d 2 h
confirmed  -";
        assert_eq!(written(&doubted), expected);
        let sound = json!({ "in_doubt": false, "doubt": null, "epoch": "a", "used_seconds": 61, "confirmed_at": "2026" });
        assert_eq!(written(&sound), "believed   yes\nepoch      a\nused for   1 min 1 s\nconfirmed  2026");
    }
}
