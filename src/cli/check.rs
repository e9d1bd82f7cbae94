//! `crossfade check`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Exit, output};
use crate::{
    config::{self, Environment, Examined, HashFormatSetting, Loaded, Problem, Problems},
    hash::HashFormat,
};

/// Validates a configuration: prints every problem at once, or the complete configuration in force.
///
/// Nothing is asked over the network. Secrets and other files it names have to be there; their content is never
/// printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade check --config crossfade.yaml
  crossfade check --config crossfade.yaml --json | jq .warnings
  CROSSFADE_ROLLOUT__CUTOVER=5% crossfade check --config crossfade.yaml

Exit codes: 0 the configuration can be used (there may be warnings), 2 it cannot.")]
pub(super) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments this way")]
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let outcome = check(&args.config, &config::environment());
    if args.json {
        output::line(&serde_json::to_string_pretty(&as_json(&outcome))?);
    } else {
        say(&outcome);
    }
    Ok(if outcome.is_ok() { Exit::Done } else { Exit::BadInput })
}

/// What room `config` finds, and what only room `hash` can know.
fn check(path: &Path, environment: &Environment) -> Result<Loaded, Problems> {
    judged(config::examine(path, environment))
}

/// The outcome of a look, with what only room `hash` can know.
pub(super) fn judged(examined: Examined) -> Result<Loaded, Problems> {
    let unusable = examined.hash_formats.iter().filter_map(unusable_hash_format);
    let (loaded, told) = match examined.outcome {
        Ok(loaded) => (Some(loaded), Vec::new()),
        Err(problems) => (None, problems.0),
    };
    let mut problems: Vec<Problem> = told.into_iter().chain(unusable).collect();
    problems.sort_by_key(|problem| problem.position);
    loaded.filter(|_| problems.is_empty()).ok_or(Problems(problems))
}

fn unusable_hash_format(setting: &HashFormatSetting) -> Option<Problem> {
    let error = HashFormat::from_settings(&setting.settings).err()?;
    Some(Problem { path: setting.path.clone(), text: error.to_string(), position: setting.position })
}

fn say(outcome: &Result<Loaded, Problems>) {
    match outcome {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                output::note(&format!("warning: {warning}"));
            }
            output::line(loaded.effective().trim_end());
        }
        Err(problems) => {
            for problem in &problems.0 {
                output::note(&format!("error: {problem}"));
            }
        }
    }
}

fn as_json(outcome: &Result<Loaded, Problems>) -> serde_json::Value {
    match outcome {
        Ok(loaded) => {
            json!({ "ok": true, "warnings": loaded.warnings, "effective": loaded.effective_json() })
        }
        Err(problems) => json!({ "ok": false, "problems": problems }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{MINIMAL, Scratch, environment};

    #[test]
    fn problems_and_warnings_are_said_for_programs_too() {
        let folder = Scratch::new();
        let path = folder.write("good.yaml", MINIMAL);
        let good = as_json(&check(&path, &environment()));
        assert_eq!(good["ok"], true);
        assert_eq!(good["warnings"][0]["path"], "legacy.sources[0]");
        assert_eq!(good["effective"]["session"]["idle"], "30m");
        assert!(!good.to_string().contains("canary"));

        let path = folder.write("bad.yaml", &MINIMAL.replace("cutover: 0%", "cutover: 200%"));
        let bad = as_json(&check(&path, &environment()));
        assert_eq!(bad["ok"], false);
        assert_eq!(bad["problems"][0]["path"], "rollout.cutover");
        assert_eq!(bad["problems"][0]["line"], 17);
    }

    #[test]
    fn a_hash_format_is_found_at_its_place_even_among_other_problems() {
        let folder = Scratch::new();
        let text = MINIMAL
            .replace("upstream: {}", "hash_file: {path: none, columns: {id: i}, hash_format: {name: 7}}")
            .replace("cutover: 0%", "cutover: 200%");
        let examined = config::examine(&folder.write("bad.yaml", &text), &environment());
        assert!(examined.outcome.is_err());
        let setting = &examined.hash_formats[0];
        assert_eq!(setting.path, "legacy.sources[0].hash_file.hash_format");
        assert_eq!(setting.settings, json!({"name": 7}));
        assert!(setting.position.is_some());
    }
}
