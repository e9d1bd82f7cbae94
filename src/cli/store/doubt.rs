//! `crossfade store doubt`: an operator's word that the store may have lost people.

use std::path::PathBuf;

use serde_json::json;

use super::Exit;
use crate::{
    app::{self, Doubted},
    cli::output,
};

/// Put the store in doubt: people who exist in Scalekit get in, and nobody is created until `store confirm`
///
/// For a store that was brought back from an older copy while no crossfade ran: those that run notice by themselves,
/// and those that start cannot know. It works on the store itself, before they start or while they run; an embedded
/// store's file must not be in use. Given again it changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade store doubt --config crossfade.yaml
  crossfade store doubt --config crossfade.yaml --json | jq .people

FILE is the configuration that is served. Exit codes: 0 in doubt, 1 refused, 2 bad input, 3 Redis is not reachable.")]
pub(super) struct Args {
    /// The configuration file (YAML), whose store is doubted
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(config) = super::configuration(&args.config) else { return Ok(Exit::BadInput) };
    Ok(match super::runtime()?.block_on(app::doubt(&config)) {
        Ok(doubted) => {
            output::line(&if args.json { summary(doubted) } else { words(doubted) });
            Exit::Done
        }
        Err(failed) => super::refused(&failed),
    })
}

fn summary(doubted: Doubted) -> String {
    let doubt = doubted.doubt.as_str();
    json!({ "doubt": doubt, "was_so": doubted.was_so, "people": doubted.people }).to_string()
}

fn words(doubted: Doubted) -> String {
    let so = if doubted.was_so { "was in doubt before" } else { "is in doubt" };
    let mut lines = vec![
        format!(
            "the store {so} ({}): nobody is created until crossfade store confirm",
            doubted.doubt.as_str()
        ),
        format!("people  {}", doubted.people),
    ];
    if doubted.people == 0 {
        lines.push("nobody is in it: see whether it is the store that was brought back".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Doubt;

    #[test]
    fn what_stands_now_is_told_and_whether_it_can_be_the_right_store() {
        let mut doubted = Doubted { doubt: Doubt::ByOperator, was_so: false, people: 7 };
        let so = "(by_operator): nobody is created until crossfade store confirm";
        assert_eq!(words(doubted), format!("the store is in doubt {so}\npeople  7"));
        assert_eq!(summary(doubted), r#"{"doubt":"by_operator","people":7,"was_so":false}"#);
        (doubted.was_so, doubted.people) = (true, 0);
        let told = words(doubted);
        assert!(told.starts_with(&format!("the store was in doubt before {so}")), "{told}");
        assert!(told.ends_with("see whether it is the store that was brought back"), "{told}");
    }
}
