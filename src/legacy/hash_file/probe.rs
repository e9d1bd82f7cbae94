//! A look at a file of hashes: every row is read as at a start, and every hash without computing it.

use std::{collections::BTreeMap, fmt::Write as _};

use async_trait::async_trait;

use super::{Rows, load};
use crate::{
    clock::{Clock, Deadline},
    config::{HashCeilings, HashFileSource},
    findings::Notes,
    hash::{HashError, HashFormat, identify},
    legacy::{probe::Probe, record::Reader},
};

const PATH: &str = "hash_file.path";
const FORMAT: &str = "hash_file.hash_format";

/// How many rows that were left out are named.
const TOLD: usize = 3;

/// A configured file.
#[derive(Clone)]
pub(in crate::legacy) struct HashFileProbe {
    pub(in crate::legacy) settings: HashFileSource,
    pub(in crate::legacy) reader: Reader,
    pub(in crate::legacy) format: HashFormat,
    pub(in crate::legacy) ceilings: HashCeilings,
}

/// What the hashes of a file are.
#[derive(Default)]
struct Census {
    formats: BTreeMap<&'static str, usize>,
    /// Why hashes cannot be judged, with how many.
    refused: BTreeMap<&'static str, usize>,
    over_ceiling: usize,
    missing: usize,
}

#[async_trait]
impl Probe for HashFileProbe {
    async fn probe(&self, notes: &Notes, _clock: &dyn Clock, deadline: Deadline) {
        let (probe, told) = (self.clone(), notes.clone());
        let reading = tokio::task::spawn_blocking(move || probe.read(&told));
        if tokio::time::timeout(deadline.remaining(), reading).await.is_err() {
            notes.unreachable(
                "rows",
                PATH,
                "reading it takes longer than there is time",
                "give more --timeout",
            );
        }
    }
}

impl HashFileProbe {
    fn read(&self, notes: &Notes) {
        let rows = match load(&self.reader, &self.settings) {
            Ok(rows) => rows,
            Err(problem) => {
                let problem = problem.strip_prefix("path: ").unwrap_or(&problem);
                let fix = "put the export where the setting says, readable for Crossfade's account, and see \
                           `crossfade preflight`";
                return notes.fail("rows", PATH, problem, fix);
            }
        };
        tell_rows(&rows, notes);
        rows.meet_hashes(&self.reader, &self.format, &self.ceilings);
        self.census(&rows).tell(&self.format, notes);
    }

    fn census(&self, rows: &Rows) -> Census {
        let mut census = Census::default();
        for fields in &rows.all {
            let Ok(Some(stored)) = self.reader.stored_hash(fields) else {
                census.missing += 1;
                continue;
            };
            let named = if self.format.name() == "auto" { identify(&stored.text) } else { None };
            let inspected = self.format.inspect(&stored, &self.ceilings);
            match inspected.map(|inspection| inspection.refused) {
                Ok(None) => *census.formats.entry(named.unwrap_or(self.format.name())).or_default() += 1,
                Ok(Some(HashError::CostLimit)) => census.over_ceiling += 1,
                Ok(Some(error)) | Err(error) => *census.refused.entry(error.kind()).or_default() += 1,
            }
        }
        census
    }
}

fn tell_rows(rows: &Rows, notes: &Notes) {
    let left_out = rows.problems();
    if left_out.is_empty() {
        return notes.ok("rows", PATH, format!("{} can be read", rows.len()));
    }
    let named: Vec<String> = left_out
        .iter()
        .take(TOLD)
        .map(|told| match told.row {
            0 => told.problem.clone(),
            row => format!("row {row}: {}", told.problem),
        })
        .collect();
    let more = if left_out.len() > TOLD { "; …" } else { "" };
    notes.warn(
        "rows",
        PATH,
        format!("{} can be read, {} problems: {}{more}", rows.len(), left_out.len(), named.join("; ")),
        "correct the export, or the names under `columns`; whoever is left out cannot be checked and stays",
    );
}

/// Whoever it is at: the dearest hash of each function (SEC-40).
fn cost_of_a_guess(format: &HashFormat) -> String {
    let of_one = |costs: &Vec<(&str, u64)>| {
        let costs: Vec<String> = costs.iter().map(|(name, cost)| format!("{name}={cost}")).collect();
        if costs.is_empty() { "one digest".to_owned() } else { costs.join(" ") }
    };
    let all: Vec<String> = format.costs_of_a_guess().iter().map(of_one).collect();
    all.join(" + ")
}

impl Census {
    fn tell(&self, format: &HashFormat, notes: &Notes) {
        const CHECK: &str = "hashes";
        if self.formats.is_empty() {
            return notes.fail(
                CHECK,
                FORMAT,
                format!("none can be checked as {}{}", format.name(), self.rest()),
                "see `crossfade hash identify` for what they are, and set hash_format to that",
            );
        }
        let formats: Vec<String> =
            self.formats.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let seen =
            format!("{}{}; one guess costs {}", formats.join(", "), self.rest(), cost_of_a_guess(format));
        if self.over_ceiling > 0 {
            return notes.warn(
                CHECK,
                "hash_file",
                seen,
                "raise legacy.hash_ceilings if this machine can afford it; whoever has such a hash stays",
            );
        }
        if !self.refused.is_empty() {
            return notes.warn(
                CHECK,
                FORMAT,
                seen,
                "look at them with `crossfade hash identify`; whoever has such a hash stays",
            );
        }
        notes.ok(CHECK, FORMAT, seen);
    }

    fn rest(&self) -> String {
        let mut rest = String::new();
        if self.over_ceiling > 0 {
            let _ = write!(rest, "; {} over the ceilings", self.over_ceiling);
        }
        for (kind, count) in &self.refused {
            let _ = write!(rest, "; {count} refused ({kind})");
        }
        if self.missing > 0 {
            let _ = write!(rest, "; {} rows without one", self.missing);
        }
        rest
    }
}
