//! `crossfade rollout set|pause|resume|rollback`: turning the dial of a running instance, for all its replicas.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PLACE, status};
use crate::{
    cli::{
        Exit,
        admin_client::{AdminArgs, AdminClient, AdminFailure},
        output::{self, text},
    },
    rollout::BasisPoints,
};

/// How often a turn that means the same whatever stood before is sent anew when somebody else was faster.
const TRIES: usize = 5;

/// What every turn takes.
#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    admin: AdminArgs,
    /// Why, for whoever looks next
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Turn only if the dial is still at this version (see `crossfade rollout status`)
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// Also over a record that nobody can read, from what is in force; pins and holds that only it has are lost
    #[arg(long)]
    overwrite_unreadable: bool,
}

/// Turn the dial to a percentage
///
/// Seen by all replicas within two seconds. Raising it never moves anyone back; lowering it keeps those who crossed,
/// unless `--rollback legacy` says otherwise. What is not named stays as it is. After a rollback to legacy, going
/// forward has to say what becomes of those who crossed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade rollout set 5% --reason 'first wave'
  crossfade rollout set 12.5% --migrate 100%
  crossfade rollout set 5% --rollback keep          # forward again after a rollback to legacy
  crossfade rollout set 50% --if-version 7")]
pub(super) struct Set {
    /// Share of people whose sign-ins take the new lane
    #[arg(value_name = "PERCENT", value_parser = percent)]
    cutover: BasisPoints,
    /// Share of people who are created in Scalekit when they sign in; without it, it stays as it is
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    migrate: Option<BasisPoints>,
    /// What becomes of people who crossed; without it, it stays as it is
    #[arg(long, value_name = "MODE")]
    rollback: Option<Mode>,
    #[command(flatten)]
    common: Common,
}

/// Let nobody new cross or be created for now; whoever crossed stays
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade rollout pause --reason 'support is busy'")]
pub(super) struct Pause {
    #[command(flatten)]
    common: Common,
}

/// End a pause: everybody takes the lane they took before it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crossfade rollout resume")]
pub(super) struct Resume {
    #[command(flatten)]
    common: Common,
}

/// Go back to 0%, and say what becomes of those who crossed
///
/// People who began at Scalekit always stay in the new lane: there is no other door for them. Allow rules and pins
/// come before the rollback: who is named by one and is in Scalekit already takes the new lane nevertheless, and nobody
/// is created for them. The answer names them; `users hold` takes one back, and `users release` ends a pin.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade rollout rollback --mode keep
  crossfade rollout rollback --mode legacy --reason 'sign-ins fail in the new flow'")]
pub(super) struct Rollback {
    /// keep: they stay in the new lane; legacy: they go back, too, and nothing of theirs is deleted
    #[arg(long, value_name = "MODE")]
    mode: Mode,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    Keep,
    Legacy,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Legacy => "legacy",
        }
    }
}

fn percent(text: &str) -> Result<BasisPoints, &'static str> {
    BasisPoints::parse_percent(text)
        .ok_or("write a percentage from 0% to 100% with at most two decimals, as in 12.5%")
}

pub(super) fn set(args: &Set) -> Result<Exit, AdminFailure> {
    let body = json!({
        "cutover": args.cutover.to_string(),
        "migrate": args.migrate.map(|migrate| migrate.to_string()),
        "rollback": args.rollback.map(Mode::as_str),
    });
    // What somebody else has set meanwhile is for the operator to judge: sent once.
    turn(&args.common, &Method::PUT, PLACE, &body, 1)
}

pub(super) fn pause(args: &Pause) -> Result<Exit, AdminFailure> {
    turn(&args.common, &Method::POST, "rollout/pause", &json!({}), TRIES)
}

pub(super) fn resume(args: &Resume) -> Result<Exit, AdminFailure> {
    turn(&args.common, &Method::POST, "rollout/resume", &json!({}), TRIES)
}

pub(super) fn roll_back(args: &Rollback) -> Result<Exit, AdminFailure> {
    let body = json!({ "mode": args.mode.as_str() });
    turn(&args.common, &Method::POST, "rollout/rollback", &body, TRIES)
}

fn turn(
    common: &Common,
    method: &Method,
    place: &str,
    body: &Value,
    tries: usize,
) -> Result<Exit, AdminFailure> {
    let mut before = None;
    let ended = common.admin.answer(
        |client| {
            let stood = client.get(PLACE)?;
            let version = common.if_version.or(stood["version"].as_u64());
            before = Some(stood);
            let tries = if common.if_version.is_some() { 1 } else { tries };
            send(client, method, place, &with(body, version, common), tries)
        },
        status::show,
    );
    match &ended {
        Ok(Exit::Done) if !common.admin.json => say_what_was(before.as_ref()),
        Err(AdminFailure::Refused { code, body, .. }) if code == "stale_version" => say_who(&body["current"]),
        _ => {}
    }
    ended
}

fn with(body: &Value, version: Option<u64>, common: &Common) -> Value {
    let mut body = body.clone();
    body["version"] = version.into();
    if let Some(reason) = &common.reason {
        body["reason"] = reason.as_str().into();
    }
    if common.overwrite_unreadable {
        body["overwrite_unreadable"] = true.into();
    }
    body
}

/// Sends a turn, and again from the version that stands, as long as tries are left.
fn send(
    client: &AdminClient,
    method: &Method,
    place: &str,
    body: &Value,
    tries: usize,
) -> Result<Value, AdminFailure> {
    let sent = client.send(method.clone(), place, body);
    match &sent {
        Err(AdminFailure::Refused { code, body: answer, .. }) if code == "stale_version" && tries > 1 => {
            let mut body = body.clone();
            body["version"] = answer["current"]["version"].clone();
            send(client, method, place, &body, tries - 1)
        }
        _ => sent,
    }
}

fn say_what_was(before: Option<&Value>) {
    if let Some(before) = before.map(|before| &before["in_force"]) {
        let paused = if before["paused"] == true { ", paused" } else { "" };
        output::note(&format!(
            "it was cutover {}, migrate {}, rollback {}{paused}",
            text(&before["cutover"]),
            text(&before["migrate"]),
            text(&before["rollback"]),
        ));
    }
}

/// Somebody was faster: who, and what they set.
fn say_who(current: &Value) {
    let record = &current["record"];
    if !record.is_object() {
        return;
    }
    let reason = record["reason"].as_str().map(|_| format!(" ({})", text(&record["reason"])));
    output::note(&format!(
        "{} turned it to cutover {}, migrate {} at {}{}: version {}",
        text(&record["changed_by"]),
        text(&record["cutover"]),
        text(&record["migrate"]),
        text(&record["changed_at"]),
        reason.unwrap_or_default(),
        current["version"],
    ));
}
