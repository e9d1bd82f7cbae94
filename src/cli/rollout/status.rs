//! `crossfade rollout status`: how the dial stands, and how far people are.

use serde_json::Value;

use super::{PLACE, explain};
use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminFailure},
    output::{table, text},
};

/// How many rules that outlive a rollback are shown.
const STILL_NEW_MOST: usize = 20;

/// Show where the dial stands, how many people have crossed, and the real share
///
/// The dial says whom new sign-ins take over; people who crossed, or began at Scalekit, stay in the new lane whatever it
/// says. The real share is what both make together, of the people the ledger knows. After a rollback to legacy it names
/// the rules and pins that send people to the new lane nevertheless.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade rollout status --admin 127.0.0.1:9090 --token-file /run/secrets/viewer
  crossfade rollout status --json | jq -r .in_force.cutover")]
pub(super) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, AdminFailure> {
    args.admin.answer(|client| client.get(PLACE), show)
}

/// The state as a table.
pub(super) fn show(state: &Value) -> String {
    let (in_force, file, record) = (&state["in_force"], &state["file"], &state["record"]);
    let mut rows = vec![
        ("cutover", text(&in_force["cutover"])),
        ("migrate", text(&in_force["migrate"])),
        ("rollback", text(&in_force["rollback"])),
        (
            "paused",
            if in_force["paused"] == true { "yes: nobody new crosses or is created" } else { "no" }.into(),
        ),
        ("in force", in_force_from(state)),
    ];
    if record.is_object() {
        let reason = record["reason"].as_str().map(|_| format!(": {}", text(&record["reason"])));
        let who = format!("{} by {}", text(&record["changed_at"]), text(&record["changed_by"]));
        rows.push(("changed", format!("{who}{}", reason.unwrap_or_default())));
        let named = format!("{} pinned, {} held", record["named_new"], record["named_legacy"]);
        rows.push(("operators named", named));
    }
    let rules = format!("{} deny rules, {} allow rules", file["deny_rules"], file["allow_rules"]);
    let said = ["cutover", "migrate", "rollback"].map(|name| format!("{name} {}", text(&file[name])));
    rows.push(("file", format!("{}, {rules}", said.join(", "))));
    if state["differs"] == true {
        let other = match in_force["from"].as_str() {
            Some("store") => "the file says something else and is not in force",
            Some("flagd") => "the store's record says something else than the file; neither is in force",
            _ => "the store's record says something else and is not in force",
        };
        rows.push(("", other.into()));
    }
    let unreadable = &state["unreadable"];
    if unreadable.is_object() {
        let why =
            format!("version {} {}; it does not count", unreadable["version"], text(&unreadable["why"]));
        rows.push(("record", why));
        rows.push(("", "a turn with --overwrite-unreadable takes its place".into()));
    } else if state["store_answers"] == false {
        rows.push(("store", "does not answer; the last known value counts".into()));
    }
    for trouble in state["flags_not_followed"].as_array().into_iter().flatten() {
        let (flag, why) = (text(&trouble["flag"]), text(&trouble["why"]));
        rows.push(("flagd", format!("{flag}: {why}; the last good value counts")));
    }
    rows.extend(explain::store_doubt(state));
    rows.extend(still_new(state));
    rows.extend(people(&state["people"]));
    table(&rows)
}

/// After a rollback to legacy: whom it does not take back.
fn still_new(state: &Value) -> Vec<(&'static str, String)> {
    let rules = state["still_new"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (shown, nameless): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule["value"].is_string());
    let mut lines: Vec<String> = shown.iter().take(STILL_NEW_MOST).map(|rule| explain::rule(rule)).collect();
    if shown.len() > STILL_NEW_MOST {
        lines.push(format!("and {} more: see --json", shown.len() - STILL_NEW_MOST));
    }
    if !nameless.is_empty() {
        lines.push(format!("{} persons, whom an operator's token shows", nameless.len()));
    }
    if !lines.is_empty() {
        lines
            .push("whoever of them is in Scalekit takes the new lane nevertheless; nobody is created".into());
    }
    let heads = std::iter::once("still new").chain(std::iter::repeat(""));
    heads.zip(lines).collect()
}

fn in_force_from(state: &Value) -> String {
    match (state["in_force"]["from"].as_str(), state["source"].as_str()) {
        (Some("store"), _) if state["unreadable"].is_object() => {
            "the last record of the store that could be read".into()
        }
        (Some("store"), _) => format!("the store's record, version {}", state["version"]),
        (Some("flagd"), _) => "feature flags of flagd (rollout.source: flagd)".into(),
        (_, Some("flagd")) => {
            "the configuration file, until flagd says something (rollout.source: flagd)".into()
        }
        (_, Some("file")) => "the configuration file (rollout.source: file)".into(),
        _ if state["unreadable"].is_object() => "the configuration file, for want of a record".into(),
        _ => "the configuration file; nobody has turned the dial yet (version 0)".into(),
    }
}

/// Pinned people and the real share, each on its own line.
fn people(people: &Value) -> Vec<(&'static str, String)> {
    if !people.is_object() {
        return vec![("people", "not known: the ledger cannot be asked now".into())];
    }
    let count = |name: &str| people[name].as_u64().unwrap_or_default();
    let known = count("known");
    vec![
        ("people known", known.to_string()),
        ("over", format!("{}, of whom {} began at Scalekit", count("pinned"), count("born_new"))),
        ("set aside", format!("{}, whose sign-ins take the legacy lane", count("set_aside"))),
        ("real share", format!("{} of the people known take the new lane", text(&people["real_share"]))),
        ("the others", format!("{} of them take the new lane", text(&people["share_not_pinned"]))),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whom_a_rollback_leaves_in_the_new_lane_is_told_a_few_at_a_time() {
        let rule = |n: usize| json!({"from": "store", "kind": "person", "value": format!("p{n}")});
        let mut state = json!({ "still_new": (0..21).map(rule).collect::<Vec<_>>() });
        let lines = still_new(&state);
        assert_eq!((lines[0].0, lines[1].0), ("still new", ""));
        assert_eq!(lines[19].1, "person p19, named by an operator");
        assert_eq!((lines[20].1.as_str(), lines.len()), ("and 1 more: see --json", 22));
        state["still_new"] = json!([]);
        assert_eq!(still_new(&state), []);
    }

    #[test]
    fn a_status_tells_dial_pins_and_real_share_apart() {
        let state = json!({
            "version": 7, "source": "store", "differs": true, "store_answers": false,
            "in_force": {"from": "store", "cutover": "25%", "migrate": "50%", "rollback": "keep", "paused": true},
            "file": {"cutover": "5%", "migrate": "5%", "rollback": "keep", "deny_rules": 0, "allow_rules": 2},
            "record": {"cutover": "25%", "migrate": "50%", "rollback": "keep", "paused": true, "named_new": 1,
                "named_legacy": 2, "changed_at": "2026-11-29T08:00:00.000Z", "changed_by": "ops",
                "reason": "wave\u{1b}[2J two"},
            "people": {"known": 200, "pinned": 30, "born_new": 4, "set_aside": 5, "real_share": "36.5%",
                "share_not_pinned": "25.29%"},
        });
        let expected = "\
cutover          25%
migrate          50%
rollback         keep
paused           yes: nobody new crosses or is created
in force         the store's record, version 7
changed          2026-11-29T08:00:00.000Z by ops: wave\u{fffd}[2J two
operators named  1 pinned, 2 held
file             cutover 5%, migrate 5%, rollback keep, 0 deny rules, 2 allow rules
                 the file says something else and is not in force
store            does not answer; the last known value counts
people known     200
over             30, of whom 4 began at Scalekit
set aside        5, whose sign-ins take the legacy lane
real share       36.5% of the people known take the new lane
the others       25.29% of them take the new lane";
        assert_eq!(show(&state), expected);
        let mut doubted = state.clone();
        doubted["store_doubt"] = "rolled_back".into();
        let line =
            "store            in doubt (rolled_back), so nobody is created: see crossfade store status\n";
        assert!(show(&doubted).contains(line), "{}", show(&doubted));
        let mut unreadable = state;
        unreadable["unreadable"] = json!({"version": 9, "why": "cannot be read: only its version is there"});
        let shown = show(&unreadable);
        assert!(
            shown.contains("in force         the last record of the store that could be read\n"),
            "{shown}"
        );
        let record =
            "record           version 9 cannot be read: only its version is there; it does not count\n";
        assert!(shown.contains(record) && !shown.contains("does not answer"), "{shown}");
    }
}
