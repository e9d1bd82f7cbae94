//! `crossfade doctor`: every dependency tried for real, each failure with its fix.

mod show;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use serde_json::json;

use self::show::Style;
use super::{Exit, check, output};
use crate::{
    app::{self, Group},
    config,
    findings::Level,
};

/// Try every dependency for real and say how each failure is mended
///
/// Looks at the configuration, the store, the application, Scalekit and every legacy source as a running Crossfade
/// would reach them. Nothing is changed anywhere: no user, no organisation, no file, and no password is ever tried.
/// It may run beside a running Crossfade.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade doctor --config crossfade.yaml
  crossfade doctor --config crossfade.yaml --only scalekit --only okta
  crossfade doctor --config crossfade.yaml --json | jq 'select(.level == \"fail\")'

Signs: ✓ well, ! worth a look, ✗ failed or not reachable, – not tried or not to be seen from here.

Exit codes: 0 all well (there may be warnings), 1 something failed, 2 the configuration cannot be used, 3 nothing
failed but something could not be reached.")]
pub(super) struct Args {
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON line a finding, then one with the summary
    #[arg(long)]
    json: bool,
    /// Look only at this: configuration, store, upstream, scalekit, legacy, public, or a source by its name
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// How long all of it may take
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    timeout: Duration,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let examined = config::examine(&args.config, &config::environment());
    let secret_files = examined.secret_files.clone();
    let loaded = match check::judged(examined) {
        Ok(loaded) => loaded,
        Err(problems) => {
            if args.json {
                output::line(&json!({ "ok": false, "problems": problems }).to_string());
            } else {
                output::note(&format!("{}: the configuration cannot be used:", args.config.display()));
                output::note(&problems.to_string());
            }
            return Ok(Exit::BadInput);
        }
    };
    super::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match app::examine(loaded, secret_files, &args.only, args.timeout) {
            Ok(groups) => print(groups, args.json).await,
            Err(unknown) => {
                output::note(&format!("error: --only: {unknown}"));
                Ok(Exit::BadInput)
            }
        }
    });
    // Whatever still hangs in a system call (a name that nobody resolves) is not waited for.
    runtime.shutdown_background();
    ended
}

/// How often each level was found.
#[derive(Default)]
struct Tally(BTreeMap<Level, usize>);

impl Tally {
    fn of(&self, level: Level) -> usize {
        self.0.get(&level).copied().unwrap_or_default()
    }

    fn exit(&self) -> Exit {
        match (self.of(Level::Fail), self.of(Level::Unreachable)) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::NotReachable,
            _ => Exit::Failed,
        }
    }
}

/// Prints findings as they come: the groups one after the other, so that what belongs together stands together,
/// while all of them are looked at side by side.
async fn print(groups: Vec<Group>, json: bool) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    let style = Style::of(io::stdout().is_terminal(), &config::environment());
    for mut group in groups {
        if !json {
            say(&style.heading(&group.name))?;
        }
        while let Some(finding) = group.findings.recv().await {
            *tally.0.entry(finding.level).or_default() += 1;
            if json {
                let mut line = json!({ "group": group.name });
                merge(&mut line, serde_json::to_value(&finding)?);
                say(&line.to_string())?;
            } else {
                say(&style.finding(&finding))?;
            }
        }
    }
    let exit = tally.exit();
    if json {
        let counts = [Level::Ok, Level::Warn, Level::Fail, Level::Unreachable, Level::Skipped];
        let counts = counts.map(|level| (level.to_string(), json!(tally.of(level))));
        let mut summary: serde_json::Map<String, serde_json::Value> = counts.into_iter().collect();
        summary.insert("ok_to_run".into(), json!(exit == Exit::Done));
        say(&json!({ "summary": summary }).to_string())?;
    } else {
        say(&style.summary(&tally))?;
    }
    Ok(exit)
}

fn merge(line: &mut serde_json::Value, finding: serde_json::Value) {
    if let (Some(line), serde_json::Value::Object(finding)) = (line.as_object_mut(), finding) {
        line.extend(finding);
    }
}

/// One line at once: somebody may be watching, or a reader may have gone away (`| head`).
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// `500ms`, `20s`, `2m`, between a tenth of a second and an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let millis = match unit {
        "ms" => Some(1),
        "s" | "" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let whole = number.parse::<u64>().ok().zip(millis).and_then(|(number, unit)| number.checked_mul(unit));
    let whole = whole.map(Duration::from_millis);
    whole
        .filter(|whole| (Duration::from_millis(100)..=Duration::from_hours(1)).contains(whole))
        .ok_or_else(|| "a duration such as 500ms, 20s or 2m, between 100ms and 60m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_failed_from_not_reachable() {
        let exit = |levels: &[Level]| {
            let mut tally = Tally::default();
            for level in levels {
                *tally.0.entry(*level).or_default() += 1;
            }
            tally.exit()
        };
        assert_eq!(exit(&[]), Exit::Done);
        assert_eq!(exit(&[Level::Ok, Level::Warn, Level::Skipped]), Exit::Done);
        assert_eq!(exit(&[Level::Ok, Level::Unreachable]), Exit::NotReachable);
        assert_eq!(exit(&[Level::Unreachable, Level::Fail]), Exit::Failed);
    }

    #[test]
    fn a_timeout_is_a_duration_within_reason() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "1h", "-1s", "0s", "61m", "99999999999999999999s", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
