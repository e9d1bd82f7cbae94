//! `crossfade rollout explain`: why one person takes a lane.

use serde_json::{Value, json};

use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminFailure},
    output::{table, text},
};

/// Say which lane a sign-in by a name would take now, and why
///
/// Asks the function that decides sign-ins; nothing is changed and no password is tried. A rule for one of the person's
/// names counts for all of them. Of whom the ledger does not know yet, a rule by another name or by organisation counts
/// once their record was read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade rollout explain ann@example.com
  crossfade rollout explain ann@example.com --json | jq -r .lane")]
pub(super) struct Args {
    /// What the person types into the sign-in form
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, AdminFailure> {
    let asked = json!({ "name": args.name });
    args.admin.answer(|client| client.look_up("rollout/explain", &asked), show)
}

fn show(explained: &Value) -> String {
    let row = &explained["row"];
    let mut rows = decided(explained);
    if explained["bucket"].is_u64() {
        let is_kept = explained["bucket_from"] == "row";
        let kept = if is_kept { "kept in the person's row" } else { "of this name; no row yet" };
        rows.push(("bucket", format!("{} of 10000, {kept}", explained["bucket"])));
    }
    rows.push((
        "creates",
        if explained["creates"] == true { "yes, if the person can be moved" } else { "no" }.into(),
    ));
    rows.extend(store_doubt(explained));
    if row.is_object() {
        let why = row["why"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
        let key = format!("{}:{}", text(&row["source"]), text(&row["id"]));
        let to_viewers = "known; only an operator's token shows their key";
        rows.push(("person", if row["id"].is_string() { key } else { to_viewers.into() }));
        if row["state"].is_string() {
            rows.push(("state", format!("{}{why}", text(&row["state"]))));
        }
        let crossed = row["crossed_at"].as_str().map_or_else(|| text(&row["crossed"]), str::to_owned);
        rows.push(("crossed", if row["born_new"] == true { "born new".into() } else { crossed }));
    } else {
        rows.push(("person", "the ledger knows nobody by this name".into()));
    }
    rows.push(("dial version", text(&explained["version"])));
    table(&rows)
}

/// The lane, and what it rests on.
pub(in crate::cli) fn decided(explained: &Value) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("lane", text(&explained["lane"])),
        ("reason", format!("{}: {}", text(&explained["reason"]), text(&explained["because"]))),
    ];
    if explained["rule"].is_object() {
        rows.push(("rule", rule(&explained["rule"])));
    }
    rows
}

/// Why nobody is created, whatever the dial says.
pub(super) fn store_doubt(told: &Value) -> Option<(&'static str, String)> {
    told["store_doubt"].as_str().map(|_| {
        let why = text(&told["store_doubt"]);
        ("store", format!("in doubt ({why}), so nobody is created: see crossfade store status"))
    })
}

/// A rule that names people, and who made it.
pub(super) fn rule(rule: &Value) -> String {
    let from = if rule["from"] == "store" { "named by an operator" } else { "of the file" };
    let value = rule["value"].as_str().map(|_| format!(" {}", text(&rule["value"]))).unwrap_or_default();
    format!("{}{value}, {from}", text(&rule["kind"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_lane_reason_rule_bucket_and_state() {
        let mut explained = json!({
            "lane": "legacy", "reason": "deny_rule", "because": "a rule names the person",
            "rule": {"from": "store", "kind": "person", "value": "ann@example.com"},
            "bucket": 17, "bucket_from": "row", "creates": false, "version": 3,
            "row": {"source": "crm", "id": "7", "state": "ineligible", "why": "mfa", "born_new": false,
                "crossed": false, "crossed_at": null},
        });
        let expected = "\
lane          legacy
reason        deny_rule: a rule names the person
rule          person ann@example.com, named by an operator
bucket        17 of 10000, kept in the person's row
creates       no
person        crm:7
state         ineligible (mfa)
crossed       no
dial version  3";
        assert_eq!(show(&explained), expected);
        explained["row"] = json!({ "crossed": true });
        explained["store_doubt"] = "emptied".into();
        explained["rule"].as_object_mut().unwrap().remove("value");
        explained.as_object_mut().unwrap().retain(|name, _| name != "bucket" && name != "bucket_from");
        let expected = "\
lane          legacy
reason        deny_rule: a rule names the person
rule          person, named by an operator
creates       no
store         in doubt (emptied), so nobody is created: see crossfade store status
person        known; only an operator's token shows their key
crossed       yes
dial version  3";
        assert_eq!(show(&explained), expected);
    }
}
