//! `crossfade rollout`: what an operator does with the dial from a terminal.
//!
//! All but `force` talk to a running instance. A turn names the version that was looked at just before, so nobody
//! overwrites what somebody else has set meanwhile. Start reading at [`run`].

mod explain;
mod force;
mod status;
mod turn;

use clap::Subcommand;
use serde_json::Value;

use super::{
    Exit,
    admin_client::{AdminArgs, AdminClient, AdminFailure},
    output,
};

/// Look at the dial, turn it, and go back
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(status::Args),
    Set(turn::Set),
    Pause(turn::Pause),
    Resume(turn::Resume),
    Rollback(turn::Rollback),
    Explain(explain::Args),
    Force(force::Force),
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let ended = match &args.command {
        Command::Status(args) => status::run(args),
        Command::Set(args) => turn::set(args),
        Command::Pause(args) => turn::pause(args),
        Command::Resume(args) => turn::resume(args),
        Command::Rollback(args) => turn::roll_back(args),
        Command::Explain(args) => explain::run(args),
        Command::Force(args) => return force::run(args),
    };
    Ok(ended.unwrap_or_else(|failure| failure.told()))
}

/// Where the dial is on the API.
const PLACE: &str = "rollout";

/// Asks with what the arguments say, and prints the answer as JSON or as `show` writes it.
fn answer(
    admin: &AdminArgs,
    ask: impl FnOnce(&AdminClient) -> Result<Value, AdminFailure>,
    show: impl FnOnce(&Value) -> String,
) -> Result<Exit, AdminFailure> {
    let answer = ask(&AdminClient::new(admin)?)?;
    output::line(&if admin.json { format!("{answer:#}") } else { show(&answer) });
    Ok(Exit::Done)
}

/// A text of the answer as one line of a terminal: what others typed must not move its cursor.
fn text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Names and values in two columns.
fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}
