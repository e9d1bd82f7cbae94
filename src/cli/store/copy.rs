//! `crossfade store copy`: from one file to Redis, for more than one replica.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, output, progress::Told};
use crate::{
    app::{self, Copied},
    clock::SystemClock,
    login::Doubt,
};

/// Copy an embedded store into the Redis that a configuration names
///
/// Stop the crossfade that serves the file, copy, and start the replicas after the copy: while it is unfinished, the
/// file is held and no crossfade starts on the Redis. People keep their place, their version and their lane, sessions
/// live on, and the dial stays as it was turned. The Redis has to be empty.
///
/// A copy that broke off is finished by the same command. Do not serve the file again afterwards: what happens there
/// would not be seen in Redis.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade store copy --from /var/lib/crossfade/crossfade.redb --config crossfade.yaml
  crossfade store copy --from crossfade.redb --config crossfade.yaml --json 2>progress.jsonl

FILE of --config is the configuration of the replicas: store.redis in the place of store.embedded, and the same salt,
session keys and sources as before. Exit codes: 0 copied, 1 refused, 2 bad input, 3 Redis is not reachable.")]
pub(super) struct Args {
    /// The file of the embedded store (store.embedded.path until now)
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The configuration file (YAML), whose store.redis is filled
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(config) = super::configuration(&args.config) else { return Ok(Exit::BadInput) };
    let runtime = super::runtime()?;
    let (clock, mut told) = (SystemClock::shared(), Told::new());
    let begun = clock.monotonic();
    let copied = runtime.block_on(app::copy(&args.from, &config, |progress| told.tell(progress)));
    let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
    told.end();
    Ok(match copied {
        Ok(copied) => {
            output::line(&if args.json { summary(&copied, took) } else { words(&copied, took) });
            Exit::Done
        }
        Err(failed) => super::refused(&failed),
    })
}

fn summary(copied: &Copied, took: f64) -> String {
    let summary = json!({
        "people": copied.people,
        "aliases": copied.aliases,
        "sessions": copied.sessions,
        "flows": copied.flows,
        "left_out": copied.left_out,
        "dial_version": copied.dial,
        "doubt": copied.doubt.map(Doubt::as_str),
        "resumed": copied.is_resumed,
        "finished_before": copied.was_finished,
        "seconds": took,
    });
    json!({ "summary": summary }).to_string()
}

fn words(copied: &Copied, took: f64) -> String {
    if copied.was_finished {
        return "the copy was finished before; nothing was done".to_owned();
    }
    let mut lines = vec![
        format!("people    {} with {} names, read back and compared", copied.people, copied.aliases),
        format!("sessions  {}", copied.sessions),
        format!("flows     {}", copied.flows),
    ];
    let dial = copied.dial.map_or_else(|| "nobody turned it yet".to_owned(), |at| format!("version {at}"));
    lines.push(format!("dial      {dial}"));
    if copied.left_out > 0 {
        lines.push(format!("left out  {} that could not be read: they sign in again", copied.left_out));
    }
    if let Some(doubt) = copied.doubt {
        let doubt = doubt.as_str();
        lines.push(format!("in doubt  {doubt}, as before: see crossfade store status once it is served"));
    }
    let how = if copied.is_resumed { ", after an earlier copy that broke off" } else { "" };
    lines.push(format!("finished in {took:.1} s{how}; replicas may be started now"));
    lines.join("\n")
}
