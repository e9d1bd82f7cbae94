//! `crossfade preflight FILE`: a read-only look at an export before anybody migrates.
//!
//! Judges every row by the same code as a sign-in does, so that what is found here is what will happen then.

mod examine;
mod limits;
mod show;

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::PathBuf,
};

use anyhow::Context as _;

use self::examine::{FieldNames, Report, examine};
use super::{Exit, output};
use crate::{bulk, hash::HashFormat};

/// Look at an export: hash formats, twins, refused addresses, unverified people, values over the target's limits.
///
/// Nothing is written and nobody is asked. Exits with 0 when the file was read, whatever was found in it, and with
/// 2 when it could not be read to its end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  crossfade preflight export.csv
  crossfade preflight users.json --format jsonl --email-field profile.email --id-field id
  crossfade preflight export.jsonl --json | jq -c 'select(.summary)'")]
pub(super) struct Args {
    /// JSON lines (.jsonl, .ndjson, .json) or CSV with a header row (.csv)
    file: PathBuf,
    /// Print one JSON line a row, then one with the summary
    #[arg(long)]
    json: bool,
    /// What the file is, where its name does not say
    #[arg(long)]
    format: Option<Format>,
    /// Field (or dotted path) of the e-mail address
    #[arg(long, value_name = "NAME", default_value = "email")]
    email_field: String,
    /// Field of the immutable id; without it `external_id`, else `id`
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,
    /// Field that says whether the address is verified
    #[arg(long, value_name = "NAME", default_value = "email_verified")]
    verified_field: String,
    /// Field of the password hash
    #[arg(long, value_name = "NAME", default_value = "password_hash")]
    hash_field: String,
    /// Field of the given name
    #[arg(long, value_name = "NAME", default_value = "given_name")]
    given_name_field: String,
    /// Field of the family name
    #[arg(long, value_name = "NAME", default_value = "family_name")]
    family_name_field: String,
    /// Field of an object that is to become metadata
    #[arg(long, value_name = "NAME", default_value = "metadata")]
    metadata_field: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let said = args.format.map(|format| match format {
        Format::Jsonl => bulk::Kind::JsonLines,
        Format::Csv => bulk::Kind::Csv,
    });
    let Some(kind) = said.or_else(|| bulk::Kind::of(&args.file)) else {
        output::note("error: the file's name does not say what it is; add --format jsonl or --format csv");
        return Ok(Exit::BadInput);
    };
    let file = match File::open(&args.file) {
        Ok(file) => file,
        Err(error) => {
            output::note(&format!("error: {}: {error}", args.file.display()));
            return Ok(Exit::BadInput);
        }
    };
    let names = FieldNames {
        email: args.email_field,
        ids: args.id_field.map_or_else(|| vec!["external_id".into(), "id".into()], |name| vec![name]),
        verified: args.verified_field,
        hash: args.hash_field,
        given_name: args.given_name_field,
        family_name: args.family_name_field,
        metadata: args.metadata_field,
    };
    let auto = HashFormat::from_settings(&"auto".into()).context("no hash can be read")?;
    let report = examine(watched(bulk::read(file, kind)), &names, &auto);
    if let Some(problem) = report.unusable(&names) {
        output::note(&format!("error: {}: {problem}", args.file.display()));
        return Ok(Exit::BadInput);
    }
    print(&report, args.json).context("cannot print the result")?;
    if let Some((row, reason)) = &report.broken_off {
        output::note(&format!("error: {}: row {row}: {reason}", args.file.display()));
        return Ok(Exit::BadInput);
    }
    Ok(Exit::Done)
}

/// Counts aloud where a person is watching.
fn watched(rows: impl Iterator<Item = bulk::Row>) -> impl Iterator<Item = bulk::Row> {
    const EVERY: u64 = 20_000;
    let watched = io::stderr().is_terminal();
    rows.inspect(move |row| {
        if watched && row.number.is_multiple_of(EVERY) {
            // Erases itself before whatever comes next on the line.
            let _ = write!(io::stderr().lock(), "\r{} rows …\r", row.number);
        }
    })
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let printed = if json { show::json(report, &mut out) } else { show::table(report, &mut out) };
    match printed.and_then(|()| out.flush()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
