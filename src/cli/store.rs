//! `crossfade store`: what an operator does about the place where state lives.
//!
//! `copy` and `doubt` work on the stores themselves, whether or not anything runs; the others talk to a running
//! instance. Start reading at [`run`].

mod copy;
mod doubt;
mod progress;
mod standing;

use std::path::Path;

use clap::Subcommand;
use tokio::runtime::{Builder, Runtime};

use super::{Exit, admin_client, confirmation, install_crypto, output};
use crate::{
    app::{Cause, StoreFailed},
    config::{self, Config},
};

/// Move the store from a file to Redis, see whether it is believed, doubt it, and confirm it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Copy(copy::Args),
    Status(standing::Status),
    Doubt(doubt::Args),
    Confirm(standing::Confirm),
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let ended = match &args.command {
        Command::Copy(args) => return copy::run(args),
        Command::Doubt(args) => return doubt::run(args),
        Command::Status(args) => standing::status(args),
        Command::Confirm(args) => standing::confirm(args),
    };
    Ok(ended.unwrap_or_else(|failure| failure.told()))
}

/// Reads a configuration, or says what is wrong with it.
fn configuration(path: &Path) -> Option<Config> {
    match config::load(path, &config::environment()) {
        Ok(loaded) => Some(loaded.config),
        Err(problems) => {
            output::note(&format!("{}: the configuration cannot be used:", path.display()));
            output::note(&problems.to_string());
            None
        }
    }
}

/// For work on a store itself.
fn runtime() -> std::io::Result<Runtime> {
    install_crypto();
    Builder::new_multi_thread().enable_all().build()
}

/// Says why the work was not done.
fn refused(failed: &StoreFailed) -> Exit {
    output::note(&format!("error: {failed}"));
    output::note(&format!("  fix: {}", failed.fix));
    match failed.cause {
        Cause::Input => Exit::BadInput,
        Cause::State => Exit::Failed,
        Cause::Unreachable => Exit::NotReachable,
    }
}
