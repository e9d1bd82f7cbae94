//! `crossfade schema`.

use super::{Exit, output};
use crate::config;

/// Prints the JSON schema of the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade schema > crossfade.schema.json

In an editor with the YAML language server, put this into the first line of the configuration:
  # yaml-language-server: $schema=crossfade.schema.json")]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> anyhow::Result<Exit> {
    output::line(&serde_json::to_string_pretty(&config::schema())?);
    Ok(Exit::Done)
}
