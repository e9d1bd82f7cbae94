//! `crossfade demo`: the whole of it on this machine's loopback, to look at and to prove.

mod browser;
mod people;
mod stage;
mod story;
mod tell;

use tokio::signal::unix::{SignalKind, signal};

use self::stage::Stage;
use super::{Exit, output};

/// Run everything on loopback: sample application, legacy stores, Scalekit stand-in, and the proxy in front
///
/// Needs no other program and leaves nothing behind. Open the printed address in a browser and sign in as one of the
/// sample people; with --walk the story is played and checked instead.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crossfade demo                # look around in a browser\n  crossfade demo --cutover 50%  # half of the people take the new flow\n  crossfade demo --walk         # play the story, check it, exit 0"
)]
pub(super) struct Args {
    /// Play the story and check every scene; exit 1 at the first surprise
    #[arg(long)]
    walk: bool,
    /// Share of people whose sign-ins take the new flow
    #[arg(long, value_name = "PERCENT", default_value = "100%", conflicts_with = "walk")]
    cutover: String,
    /// Show the proxy's log on standard error
    #[arg(long)]
    logs: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    super::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stage = Box::pin(Stage::set(args.walk, args.logs)).await?;
        let ended = if args.walk {
            Box::pin(walk(stage)).await
        } else {
            Box::pin(look_around(stage, &args.cutover)).await
        };
        ended.map(|()| Exit::Done)
    })
}

async fn walk(mut stage: Stage) -> anyhow::Result<()> {
    // Large: the whole story is one future.
    let played = Box::pin(story::play(&mut stage)).await;
    let stopped = stage.clear().await;
    let scenes = played?;
    stopped?;
    output::line(&format!("\nAll {scenes} scenes went as told."));
    Ok(())
}

async fn look_around(mut stage: Stage, cutover: &str) -> anyhow::Result<()> {
    stage.turn_dial(cutover, "100%").await?;
    tell::guide(&stage, cutover);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stage.clear().await
}
