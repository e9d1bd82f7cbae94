//! `crossfade hash identify`.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::{super::output, Exit, read_bytes};
use crate::{
    config::HashCeilings,
    hash::{HashError, StoredHash, possible_formats},
};

const HELP: &str = "\
Formats are told by syntax alone. Some texts fit more than one format (a bare digest, `sha1$salt$hex`): then all
of them are named, and the source's `hash_format` has to say which it is. Costs are held against the default
ceilings.

Exit codes: 0 every hash has a format, 2 some have none.

Examples:
  crossfade hash identify -                      a hash from standard input, out of the shell's history
  crossfade hash identify '$2b$12$…'             a hash as an argument; mind the quotes
  crossfade hash identify --file hashes.txt      a file with one hash a line
  crossfade hash identify --file - --json        the same from standard input, one JSON object a line";

/// Name the formats of hashes, with their cost.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
#[group(id = "what", required = true)]
pub(super) struct Args {
    /// The hash, or `-` to read it from standard input.
    #[arg(group = "what")]
    hash: Option<String>,
    /// A file with one hash a line; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "what")]
    file: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What is said of one hash. The hash itself is never repeated.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Found {
    line: usize,
    /// The format's name when there is only one.
    format: Option<&'static str>,
    /// Every format that the syntax allows.
    possible: Vec<&'static str>,
    costs: BTreeMap<&'static str, u64>,
    over_ceiling: bool,
    error_kind: Option<&'static str>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let text = match (&args.hash, &args.file) {
        (Some(hash), _) if hash != "-" => hash.clone(),
        (_, file) => {
            let path = file.clone().unwrap_or_else(|| PathBuf::from("-"));
            String::from_utf8(read_bytes(&path)?).context("hashes must be UTF-8 text")?
        }
    };
    let mut exit = Exit::Done;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let found = identify(number, line);
        if found.possible.is_empty() {
            exit = Exit::BadInput;
        }
        output::line(&if args.json { serde_json::to_string(&found)? } else { found.to_string() });
    }
    Ok(exit)
}

fn identify(line: usize, text: &str) -> Found {
    let stored = StoredHash::new(text, None);
    let formats = possible_formats(&stored.text);
    let ceilings = HashCeilings::default();
    let only = match formats.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let inspected = only.map(|format| format.inspect(&stored, &ceilings));
    let (costs, refused) = match inspected {
        Some(Ok(inspection)) => (inspection.costs, inspection.refused),
        Some(Err(error)) => (Vec::new(), Some(error)),
        None => (Vec::new(), None),
    };
    Found {
        line,
        format: only.map(crate::hash::HashFormat::name),
        possible: formats.iter().map(crate::hash::HashFormat::name).collect(),
        costs: costs.into_iter().collect(),
        over_ceiling: refused == Some(HashError::CostLimit),
        error_kind: refused.map(HashError::kind),
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.line)?;
        match (self.format, self.possible.as_slice()) {
            (Some(format), _) => f.write_str(format)?,
            (None, []) => f.write_str("no known format")?,
            (None, several) => write!(f, "one of {}", several.join(", "))?,
        }
        for (name, value) in &self.costs {
            write!(f, " {name}={value}")?;
        }
        match self.error_kind {
            Some(_) if self.over_ceiling => f.write_str(" (over the default ceiling: would be refused)"),
            Some(kind) => write!(f, " (would be refused: {kind})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_named_with_its_cost() {
        let hash = "$2b$12$azJEF2rpilZIvhh2IIfSkejeG84bdNzC8Dx//mNrM2Ju2gbS8Eagq";
        assert_eq!(identify(1, hash).to_string(), "1: bcrypt cost=12");
        let bomb = identify(2, &hash.replace("$12$", "$31$"));
        assert!(bomb.over_ceiling);
        assert_eq!(bomb.to_string(), "2: bcrypt cost=31 (over the default ceiling: would be refused)");
        assert_eq!(identify(3, "$2b$12$short").to_string(), "3: bcrypt (would be refused: syntax)");
        assert_eq!(identify(4, "no hash at all").to_string(), "4: no known format");
    }

    #[test]
    fn ambiguous_text_names_every_candidate() {
        let found = identify(1, "sha1$oydmRwEz$876d1f077b0774f313a1ab4950a138193af54d66");
        assert_eq!(found.possible, ["django-salted-digest", "werkzeug-hmac"]);
        assert_eq!(found.format, None);
        let bare = identify(1, "0af31426747bbd306e5bf5fd91967d88");
        assert_eq!(bare.possible, ["django-salted-digest", "digest", "hmac"]);
        // As long as a digest in hex and, taken for base64, as long as another: it is hex.
        assert_eq!(identify(1, &"0a".repeat(32)).possible, ["digest", "hmac"]);
        assert_eq!(identify(1, &"0a".repeat(48)).possible, ["digest", "hmac"]);
        assert_eq!(identify(1, &format!("{}=", "Zz".repeat(21) + "A")).possible, ["digest", "hmac"]);
    }

    #[test]
    fn json_never_repeats_the_hash() {
        let json = serde_json::to_string(&identify(7, "{SSHA}zteFVOqdYVlkl0+LUELSVNeM1pTh5oX3")).unwrap();
        assert_eq!(
            json,
            r#"{"line":7,"format":"ldap","possible":["ldap"],"costs":{"iterations":1},"over_ceiling":false,"error_kind":null}"#
        );
    }
}
