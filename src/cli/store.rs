//! `crossfade store`: what an operator does about the place where state lives.
//!
//! `copy` works on the stores themselves while nothing runs; the others talk to a running instance. Start reading at
//! [`run`].

mod copy;
mod progress;
mod standing;

use clap::Subcommand;

use super::{Exit, admin_client, confirmation, output};

/// Move the store from a file to Redis, see whether it is believed, and confirm it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Copy(copy::Args),
    Status(standing::Status),
    Confirm(standing::Confirm),
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let ended = match &args.command {
        Command::Copy(args) => return copy::run(args),
        Command::Status(args) => standing::status(args),
        Command::Confirm(args) => standing::confirm(args),
    };
    Ok(ended.unwrap_or_else(|failure| failure.told()))
}
