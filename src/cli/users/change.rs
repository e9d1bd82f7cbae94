//! `crossfade users retry|pin|hold|release|forget-name|tombstone`: changing what is to happen to one person.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Who, key};
use crate::cli::{
    Exit,
    admin_client::{AdminArgs, AdminClient, AdminFailure},
    confirmation,
    output::{self, table, text},
    rollout::explain,
};

/// How often a pin is sent anew when somebody else turned the dial in between.
const TRIES: usize = 5;

/// Have somebody judged anew who was set aside, or whose user at Scalekit is gone
///
/// Who was set aside is judged anew at their next sign-in. Of somebody who is done Scalekit is asked first: if their user
/// was deleted there, they sign in by their mailbox and are linked to the user they have then; if it has a new address,
/// which the legacy side has, too, that is taken over. Whoever was removed stays removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users retry ann@example.com")]
pub(super) struct Retry {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    admin: AdminArgs,
}

/// What pin, hold and release take.
#[derive(Debug, clap::Args)]
struct Named {
    /// What the person signs in with: an e-mail address or a user name
    #[arg(value_name = "NAME")]
    name: String,
    /// Why, for whoever looks next
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Let one person take the new lane, whatever the percentage says
///
/// It counts for the person, whichever of their names they sign in by. A deny rule, a pause, and being set aside or
/// removed come before it: what it comes to is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users pin ann@example.com --reason 'first tester'")]
pub(super) struct Pin {
    #[command(flatten)]
    named: Named,
}

/// Let one person take the legacy lane, whatever the percentage says
///
/// It counts for the person, whichever of their names they sign in by. Who began at Scalekit stays new.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users hold ann@example.com --reason 'on a call with support'")]
pub(super) struct Hold {
    #[command(flatten)]
    named: Named,
}

/// End a pin or a hold: the person takes the lane that the percentage gives them
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users release ann@example.com")]
pub(super) struct Release {
    #[command(flatten)]
    named: Named,
}

/// Take a name from whoever it leads to: it was given to somebody else
///
/// The person stays as they are and is known by their other names; whoever proves themselves by this one next has it. A
/// removed person's names and the address that somebody has at Scalekit are kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade users forget-name frontdesk")]
pub(super) struct ForgetName {
    /// What is somebody else's now: a user name, or an e-mail address that nobody checked
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Remove a person for good: their names are closed and their sessions end at once
///
/// No legacy password brings them back. Nothing is deleted in Scalekit or in a legacy store.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade users tombstone ann@example.com
  crossfade users tombstone --key crm:1042 --yes")]
pub(super) struct Tombstone {
    #[command(flatten)]
    who: Who,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn retry(args: &Retry) -> Result<Exit, AdminFailure> {
    args.admin.answer(
        |client| client.send(Method::POST, "people/retry", &args.who.body()?),
        |answer| {
            let so = match answer["person"]["state"].as_str() {
                Some("done") => "has the address now that Scalekit and the legacy side have",
                _ => "is judged anew at their next sign-in",
            };
            format!("{} {so}", key(&answer["person"]))
        },
    )
}

pub(super) fn forget_name(args: &ForgetName) -> Result<Exit, AdminFailure> {
    let name = text(&Value::from(args.name.as_str()));
    args.admin.answer(
        |client| client.send(Method::POST, "people/forget-name", &json!({ "name": args.name })),
        |answer| format!("{name} leads to {} no longer", key(&answer["person"])),
    )
}

pub(super) fn pin(args: &Pin) -> Result<Exit, AdminFailure> {
    name(&args.named, "pin", "is pinned to the new lane")
}

pub(super) fn hold(args: &Hold) -> Result<Exit, AdminFailure> {
    name(&args.named, "hold", "is held in the legacy lane")
}

pub(super) fn release(args: &Release) -> Result<Exit, AdminFailure> {
    name(&args.named, "none", "is neither pinned nor held")
}

/// Names a person in the dial's record. It means the same whatever else was changed meanwhile, so a stale version is
/// looked up and sent anew.
fn name(args: &Named, rule: &str, so: &str) -> Result<Exit, AdminFailure> {
    let client = AdminClient::new(&args.admin)?;
    let mut tries = 1;
    loop {
        let version = client.get("rollout")?["version"].clone();
        let body = json!({ "version": version, "name": args.name, "rule": rule, "reason": args.reason });
        match client.send(Method::POST, "rollout/people", &body) {
            Err(AdminFailure::Refused { status: 409, code, .. })
                if code == "stale_version" && tries < TRIES =>
            {
                tries += 1;
            }
            Err(failure) => return Err(failure),
            Ok(answer) => {
                let who = text(&Value::from(args.name.as_str()));
                let asked = json!({ "name": args.name });
                let explained = client.look_up("rollout/explain", &asked);
                args.admin.print(&answer, |answer| {
                    let done = format!("{who} {so} (dial version {})", answer["version"]);
                    // It is done also where nobody can say any more what it comes to.
                    explained
                        .map_or(done.clone(), |told| format!("{done}\n{}", table(&explain::decided(&told))))
                });
                return Ok(Exit::Done);
            }
        }
    }
}

pub(super) fn tombstone(args: &Tombstone) -> Result<Exit, AdminFailure> {
    let client = AdminClient::new(&args.admin)?;
    let body = args.who.body()?;
    if !args.yes && !is_confirmed(args.who.words())? {
        output::note("nothing was done");
        return Ok(Exit::Failed);
    }
    let answer = client.send(Method::POST, "people/tombstone", &body)?;
    args.admin.print(&answer, |answer| {
        let so = if answer["changed"] == true { "is removed" } else { "had been removed before" };
        format!("{} {so}; {} sessions ended", key(&answer["person"]), answer["sessions_ended"])
    });
    Ok(Exit::Done)
}

fn is_confirmed(who: &str) -> Result<bool, AdminFailure> {
    let who = text(&Value::from(who));
    let warning = format!("{who} will be removed for good, and signed out.");
    confirmation::is_given(&warning, "a removal cannot be taken back")
}
