//! `crossfade rollout force`: one browser in one lane, for a while.

use std::{path::PathBuf, time::Duration};

use crate::{
    cli::{Exit, output},
    clock::SystemClock,
    config,
    identity::LoginName,
    rollout::Lane,
    session::ForceTokens,
};

/// Make an address that puts one browser into a lane for a while
///
/// For a tester who must see the new flow at 0 %, or the old one at 100 %. The token is signed with
/// `rollout.force_key`, lives at most 24 hours, and does not move people who are removed, born new or set aside. Open
/// the printed address in the browser; without a token (`?token=`) the same route ends it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crossfade rollout force --config crossfade.yaml --lane new --for 2h\n  crossfade rollout force --config crossfade.yaml --lane legacy --person ann@example.com"
)]
pub(super) struct Force {
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The lane to force
    #[arg(long)]
    lane: ForcedLane,
    /// How long it counts: 30m, 2h; at most 24h
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    life: Duration,
    /// Only for the person who has this name, whichever of theirs they sign in by
    #[arg(long, value_name = "NAME")]
    person: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ForcedLane {
    Legacy,
    New,
}

pub(super) fn run(force: &Force) -> anyhow::Result<Exit> {
    let config = match config::load(&force.config, &config::environment()) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            output::note(&problems.to_string());
            return Ok(Exit::BadInput);
        }
    };
    let Some(key) = &config.rollout.force_key else {
        output::note(
            "rollout.force_key is not set, so there are no force tokens; set it to 32 bytes or more",
        );
        return Ok(Exit::BadInput);
    };
    let person = match force.person.as_deref().map(LoginName::parse) {
        Some(None) => {
            output::note("--person is not a name anybody could sign in by");
            return Ok(Exit::BadInput);
        }
        Some(person) => person,
        None => None,
    };
    let lane = match force.lane {
        ForcedLane::Legacy => Lane::Legacy,
        ForcedLane::New => Lane::New,
    };
    let now = SystemClock::shared().now();
    let token = ForceTokens::new(key).issue(lane, person.as_ref(), force.life, now);
    let Some(token) = token else { anyhow::bail!("the token cannot be written") };
    let mut url = config.public.url.join(&format!("{}force", config.public.prefix))?;
    url.query_pairs_mut().append_pair("token", &token);
    output::line(url.as_str());
    Ok(Exit::Done)
}

/// `90s`, `30m`, `24h`, within the 24 hours a token may live.
fn parse_time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "write a number and a unit, as in 30m or 2h".to_owned())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    match seconds.map(Duration::from_secs) {
        Some(life) if !life.is_zero() && life <= Duration::from_hours(24) => Ok(life),
        Some(_) => Err("a force token lives between 1s and 24h".to_owned()),
        None => Err("write a number and a unit, as in 30m or 2h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_stays_within_a_day() {
        assert_eq!(parse_time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("24h"), Ok(Duration::from_hours(24)));
        for bad in ["", "0s", "25h", "10", "h", "-1h", "1d", "99999999999999999999h"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
