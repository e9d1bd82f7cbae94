//! `crossfade hash`: looks at password hashes and judges passwords against them, outside of any sign-in.

mod identify;
mod line;
mod verify;

use std::{
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;

use super::Exit;

/// Identify password hashes and judge passwords against them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: HashCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HashCommand {
    Identify(identify::Args),
    Verify(verify::Args),
}

pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        HashCommand::Identify(args) => identify::run(&args),
        HashCommand::Verify(args) => verify::run(&args),
    }
}

/// The bytes of a file, or of standard input for `-`.
fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
