//! `crossfade users`: what an operator does about single people from a terminal, through a running instance.
//!
//! Names of people go into bodies of requests, not into addresses. Start reading at [`run`].

mod change;
mod list;
mod show;
mod unlock;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Exit, admin_client::AdminFailure, output::text};

/// Look at people and where they stand, and change what is to happen to one of them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Show(show::Args),
    Retry(change::Retry),
    Pin(change::Pin),
    Hold(change::Hold),
    Release(change::Release),
    ForgetName(change::ForgetName),
    Tombstone(change::Tombstone),
    Unlock(unlock::Args),
}

pub(super) fn run(args: &Args) -> Exit {
    let ended = match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Retry(args) => change::retry(args),
        Command::Pin(args) => change::pin(args),
        Command::Hold(args) => change::hold(args),
        Command::Release(args) => change::release(args),
        Command::ForgetName(args) => change::forget_name(args),
        Command::Tombstone(args) => change::tombstone(args),
        Command::Unlock(args) => unlock::run(args),
    };
    ended.unwrap_or_else(|failure| failure.told())
}

/// Whom a command is about.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// What the person signs in with: an e-mail address or a user name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Their key in the ledger, as `users list` shows it
    #[arg(long, value_name = "SOURCE:ID")]
    key: Option<String>,
}

impl Who {
    fn source_and_id(&self) -> Result<Option<(&str, &str)>, AdminFailure> {
        let Some(key) = &self.key else { return Ok(None) };
        key.split_once(':').map(Some).ok_or_else(|| {
            AdminFailure::BadInput("--key: must be SOURCE:ID, as `crossfade users list` shows it".into())
        })
    }

    /// A request's body.
    fn body(&self) -> Result<Value, AdminFailure> {
        Ok(match self.source_and_id()? {
            Some((source, id)) => json!({ "person": { "key": { "source": source, "id": id } } }),
            None => json!({ "person": { "name": self.name } }),
        })
    }

    /// For people, to say whom a command was about.
    fn words(&self) -> &str {
        self.name.as_deref().or(self.key.as_deref()).unwrap_or_default()
    }
}

/// A person's key as one word.
fn key(person: &Value) -> String {
    format!("{}:{}", text(&person["key"]["source"]), text(&person["key"]["id"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_hold_colons_in_its_id_and_has_to_have_one() {
        let who = |key: &str| Who { name: None, key: Some(key.into()) };
        assert_eq!(who("app:urn:7").body().unwrap()["person"]["key"]["id"], "urn:7");
        assert!(matches!(who("app").body(), Err(AdminFailure::BadInput(_))));
    }
}
