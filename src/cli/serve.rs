//! `crossfade serve`.

use super::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> anyhow::Result<Exit> {
    anyhow::bail!("being built")
}
