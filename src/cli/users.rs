//! `crossfade users`: what an operator does about single people from a terminal, through a running instance.
//!
//! Names of people go into bodies of requests, not into addresses. Start reading at [`run`].

mod change;
mod list;
mod show;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Exit,
    admin_client::{AdminArgs, AdminFailure},
    output,
};

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
    Tombstone(change::Tombstone),
}

pub(super) fn run(args: &Args) -> Exit {
    let ended = match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Retry(args) => change::retry(args),
        Command::Pin(args) => change::pin(args),
        Command::Hold(args) => change::hold(args),
        Command::Release(args) => change::release(args),
        Command::Tombstone(args) => change::tombstone(args),
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

/// Prints an answer as JSON, or as it is written for people.
fn print(admin: &AdminArgs, answer: &Value, written: impl FnOnce(&Value) -> String) {
    output::line(&if admin.json { format!("{answer:#}") } else { written(answer) });
}

/// A value as one line of a terminal: what others typed must not move its cursor.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A person's key as one word.
fn key(person: &Value) -> String {
    format!("{}:{}", text(&person["key"]["source"]), text(&person["key"]["id"]))
}

/// Rows in columns, as wide as they need to be.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_hold_no_control_characters() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(
            columns(&[row(["KEY", "STATE"]), row(["app:123", "done"])]),
            "KEY      STATE\napp:123  done"
        );
        assert_eq!(text(&json!("a\u{1b}[2J")), "a\u{fffd}[2J");
        assert_eq!((text(&Value::Null), text(&json!(true))), ("-".to_owned(), "yes".to_owned()));
    }

    #[test]
    fn a_key_may_hold_colons_in_its_id_and_has_to_have_one() {
        let who = |key: &str| Who { name: None, key: Some(key.into()) };
        assert_eq!(who("app:urn:7").body().unwrap()["person"]["key"]["id"], "urn:7");
        assert!(matches!(who("app").body(), Err(AdminFailure::BadInput(_))));
    }
}
