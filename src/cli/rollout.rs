//! `crossfade rollout`: what an operator does with the dial from a terminal.
//!
//! All but `force` talk to a running instance. A turn names the version that was looked at just before, so nobody
//! overwrites what somebody else has set meanwhile. Start reading at [`run`].

pub(super) mod explain;
mod force;
mod status;
mod turn;

use clap::Subcommand;

use super::Exit;

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
