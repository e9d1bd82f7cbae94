//! `crossfade hash verify`.

use std::{
    fs::File,
    io::{BufRead, BufReader, stdin},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{super::output, Exit, line, read_bytes};
use crate::{
    config::HashCeilings,
    hash::{HashFormat, Judgement, StoredHash, verify},
    identity::Password,
};

const HELP: &str = "\
With --jsonl every line is an object with `id`, `format`, `hash`, `password` (or `password_rule` with `repeat` and
`count`) and, where the format needs settings, `params`. For each line one object is printed:
  {\"id\", \"format\", \"verdict\": \"match\" | \"no_match\" | \"error\", \"error_kind\"}
What a line says about the expected result is not looked at.

Hashes and passwords are never taken as arguments: other users of the machine could read them there. One line end
at the end of a file is not part of the password.

Exit codes: --jsonl: 0 every line was judged, 2 some could not be read. Otherwise: 0 match, 1 no match, 2 the hash
cannot be judged.

Examples:
  crossfade hash verify --jsonl vectors.jsonl
  crossfade hash verify --hash-file hash.txt --password-file password.txt
  crossfade hash verify --hash-file hash.txt --password-file - \\
      --format '{\"format\": \"devise-bcrypt\", \"pepper\": \"…\"}'";

/// Judge passwords against hashes.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// A file of JSON lines; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hash_file", "password_file", "salt_file", "format"])]
    jsonl: Option<PathBuf>,
    /// A file that holds one hash; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "jsonl", requires = "password_file")]
    hash_file: Option<PathBuf>,
    /// A file that holds the password; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "jsonl", requires = "hash_file")]
    password_file: Option<PathBuf>,
    /// A file that holds the salt, where it is not part of the hash.
    #[arg(long, value_name = "FILE")]
    salt_file: Option<PathBuf>,
    /// The source's `hash_format`: a name, or a JSON object with settings.
    #[arg(long, value_name = "SETTINGS_JSON", default_value = "auto")]
    format: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match (&args.jsonl, &args.hash_file, &args.password_file) {
        (Some(path), _, _) => lines(path),
        (None, Some(hash), Some(password)) => one(args, hash, password),
        _ => Ok(Exit::BadInput),
    }
}

/// Judges line by line, so that a large file needs no memory and shows its first results at once.
fn lines(path: &Path) -> anyhow::Result<Exit> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut exit = Exit::Done;
    for (number, text) in (1..).zip(input.split(b'\n')) {
        let text = text.with_context(|| format!("{} cannot be read further", path.display()))?;
        if text.trim_ascii().is_empty() {
            continue;
        }
        match line::judge(&text) {
            Ok(verdict) => output::line(&serde_json::to_string(&verdict)?),
            Err(why) => {
                output::note(&format!("line {number}: {why}"));
                exit = Exit::BadInput;
            }
        }
    }
    Ok(exit)
}

/// Judges one password against one hash.
fn one(args: &Args, hash: &Path, password: &Path) -> anyhow::Result<Exit> {
    // A name is JSON only within quotes, which a shell takes away.
    let settings = serde_json::from_str(&args.format).unwrap_or_else(|_| Value::String(args.format.clone()));
    let format = match HashFormat::from_settings(&settings) {
        Ok(format) => format,
        Err(error) => {
            output::note(&format!("error: --format: {error}"));
            return Ok(Exit::BadInput);
        }
    };
    let text = |path: &Path| -> anyhow::Result<String> {
        let bytes = read_bytes(path)?;
        String::from_utf8(bytes).ok().with_context(|| format!("{} is not UTF-8 text", path.display()))
    };
    let salt = args.salt_file.as_deref().map(text).transpose()?;
    let salt = salt.as_deref().map(|salt| salt.trim_end_matches(['\r', '\n']));
    let stored = StoredHash::new(&text(hash)?, salt);
    let password = Password::unchecked(without_line_end(read_bytes(password)?));
    let judged = verify(&format, &stored, &password, &HashCeilings::default());
    match judged {
        Ok(_) => output::line(line::words(judged).0),
        Err(error) => output::line(&format!("error: {} ({error})", error.kind())),
    }
    Ok(match judged {
        Ok(Judgement::Match) => Exit::Done,
        Ok(Judgement::NoMatch) => Exit::Failed,
        Err(_) => Exit::BadInput,
    })
}

/// Editors end a file with a line end that is not meant.
fn without_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_the_password() {
        for (file, password) in
            [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), ("pw \n", "pw "), ("\n", "")]
        {
            assert_eq!(without_line_end(file.into()), password.as_bytes(), "{file:?}");
        }
    }
}
