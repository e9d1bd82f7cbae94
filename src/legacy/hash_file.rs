//! Password hashes in a file, read whole at the start and again on a reload.
//!
//! A row that cannot be read is reported with its number and left out; the rest loads. Rows are found by login, by
//! e-mail and by id; where several answer to one name, none does.

mod probe;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

pub(super) use self::probe::HashFileProbe;
use super::{
    cells::{Cell, Fields, Unreadable, cell_of},
    names,
    passwords::{Found, Passwords},
    record::Reader,
};
use crate::{
    bulk,
    clock::Deadline,
    config::{HashCeilings, HashFileKind, HashFileSource, Source},
    hash::HashFormat,
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{Attempt, Holders, LegacyError, LegacyStore, Presence, Verdict},
};

/// Reads a file and indexes its rows; blocks. A file that cannot be read to its end, or holds nobody, is refused:
/// its people would all seem to have mistyped their passwords.
pub(super) fn load(reader: &Reader, settings: &HashFileSource) -> Result<Rows, String> {
    let path = settings.path.display();
    let file =
        File::open(&settings.path).map_err(|error| format!("path: {path} cannot be opened: {error}"))?;
    let mut columns = Sightings { reader, kind: settings.kind, seen: BTreeSet::new() };
    let mut rows: Vec<NumberedRow> = Vec::new();
    for row in bulk::read(file, settings.kind.into()) {
        let fields = match row.fields {
            Ok(fields) => Ok(columns.read(&fields)),
            Err(problem) if problem.ends_the_file() => {
                return Err(format!("path: {path} cannot be read beyond row {}: {problem}", row.number));
            }
            Err(problem) => Err(problem.to_string()),
        };
        rows.push((row.number, fields));
    }
    let never = columns.never_seen();
    let mut rows = Rows::index(reader, rows);
    if rows.len() == 0 {
        let first = rows.problems().first();
        let first = first.map_or(String::new(), |told| format!(" (row {}: {})", told.row, told.problem));
        return Err(format!("path: {path} has no usable row{first}"));
    }
    rows.problems.splice(0..0, never);
    Ok(rows)
}

/// Takes the wanted columns out of rows and remembers which of them any row had.
struct Sightings<'a> {
    reader: &'a Reader,
    kind: HashFileKind,
    seen: BTreeSet<String>,
}

impl Sightings<'_> {
    fn read(&mut self, row: &bulk::Fields) -> Fields {
        let wanted = self.reader.wanted();
        let cells = wanted.iter().map(|column| match (row.get(column), self.kind) {
            (Some(value), _) => {
                if !self.seen.contains(column) {
                    self.seen.insert(column.clone());
                }
                cell_of(value)
            }
            // An object leaves out what is not set; a table has the column and nothing in it.
            (None, HashFileKind::JsonLines) => Cell::Absent,
            (None, HashFileKind::Csv) => Cell::Null,
        });
        Fields::new(wanted, cells.collect())
    }

    /// A misspelt column looks like one that nobody has a value in.
    fn never_seen(&self) -> Vec<RowProblem> {
        let missing = self.reader.wanted().iter().filter(|column| !self.seen.contains(*column));
        missing
            .map(|column| RowProblem {
                row: 0,
                problem: format!("column {column}: no row has a value in it"),
            })
            .collect()
    }
}

/// How many unreadable rows are told one by one.
const PROBLEMS_TOLD: usize = 20;

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowProblem {
    /// Data rows, counted from 1; 0 for the file as a whole.
    pub(crate) row: u64,
    /// Names the column, never the value.
    pub(crate) problem: String,
}

/// Every readable row of a file.
pub(super) struct Rows {
    all: Vec<Fields>,
    by_login: HashMap<String, Vec<usize>>,
    by_email: HashMap<CanonicalEmail, Vec<usize>>,
    by_id: HashMap<LegacyId, usize>,
    problems: Vec<RowProblem>,
}

/// One row before it is judged: its number and its values, or why there are none.
pub(super) type NumberedRow = (u64, Result<Fields, String>);

impl Rows {
    /// Indexes the rows of a file.
    pub(super) fn index(reader: &Reader, rows: impl IntoIterator<Item = NumberedRow>) -> Self {
        let mut index = Self {
            all: Vec::new(),
            by_login: HashMap::new(),
            by_email: HashMap::new(),
            by_id: HashMap::new(),
            problems: Vec::new(),
        };
        let mut by_id: BTreeMap<LegacyId, Vec<(u64, Fields)>> = BTreeMap::new();
        for (row, fields) in rows {
            match fields.and_then(|fields| Ok((checked(reader, &fields)?, fields))) {
                Ok((id, fields)) => by_id.entry(id).or_default().push((row, fields)),
                Err(problem) => index.problems.push(RowProblem { row, problem }),
            }
        }
        for (id, same) in by_id {
            let same = match <[(u64, Fields); 1]>::try_from(same) {
                Ok([(_, fields)]) => {
                    index.add(reader, id, fields);
                    continue;
                }
                Err(same) => same,
            };
            // Two people under one key: which of them a sign-in means cannot be known.
            let problem = format!("column {}: another row has the same id", reader.id_column());
            let left_out = same.iter().map(|(row, _)| RowProblem { row: *row, problem: problem.clone() });
            index.problems.extend(left_out);
        }
        index.problems.sort_by_key(|problem| problem.row);
        index
    }

    fn add(&mut self, reader: &Reader, id: LegacyId, fields: Fields) {
        let at = self.all.len();
        let email = reader.email(&fields).ok().flatten();
        if let Some(email) = email.as_deref().and_then(|email| CanonicalEmail::parse(email).ok()) {
            self.by_email.entry(email).or_default().push(at);
        }
        // Without a login column people sign in with the address, also one that has no canonical form.
        if let Some(login) = reader.login(&fields).ok().flatten().or(email) {
            self.by_login.entry(names::comparable(&login)).or_default().push(at);
        }
        self.by_id.insert(id, at);
        self.all.push(fields);
    }

    /// Shows the format every kind of hash there is, so that a first guess costs what all others do.
    pub(super) fn meet_hashes(&self, reader: &Reader, format: &HashFormat, ceilings: &HashCeilings) {
        for stored in self.all.iter().filter_map(|fields| reader.stored_hash(fields).ok().flatten()) {
            format.meet(&stored, ceilings);
        }
    }

    /// Rows left out, in the order of the file.
    pub(super) fn problems(&self) -> &[RowProblem] {
        &self.problems
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The one row a typed name means.
    fn find(&self, reader: &Reader, name: &LoginName) -> Found {
        let mut candidates = self.with_login(reader, name);
        let of_email = name.email().and_then(|email| self.by_email.get(email));
        candidates.extend(of_email.into_iter().flatten());
        candidates.sort_unstable();
        candidates.dedup();
        match candidates.as_slice() {
            [] => Found::Nobody,
            [at] => self.all.get(*at).cloned().map_or(Found::Nobody, Found::One),
            _ => Found::Several,
        }
    }

    /// Rows with this login; the one spelled exactly so where there is one and others differ in case.
    fn with_login(&self, reader: &Reader, name: &LoginName) -> Vec<usize> {
        let same = self.by_login.get(&names::comparable(name.as_typed())).cloned().unwrap_or_default();
        let exactly = |at: &&usize| {
            let login = self.all.get(**at).and_then(|fields| reader.login(fields).ok().flatten());
            login.as_deref() == Some(name.as_typed())
        };
        let exact: Vec<usize> = same.iter().filter(exactly).copied().collect();
        if exact.len() == 1 { exact } else { same }
    }

    fn with_id(&self, id: &LegacyId) -> Option<&Fields> {
        self.all.get(*self.by_id.get(id)?)
    }

    fn holders(&self, reader: &Reader, email: &CanonicalEmail) -> Result<Holders, Unreadable> {
        let rows = self.by_email.get(email).map(Vec::as_slice).unwrap_or_default();
        match rows {
            [] => Ok(Holders::Nobody),
            [at] => match self.all.get(*at) {
                Some(fields) => reader.id(fields).map(Holders::One),
                None => Ok(Holders::Nobody),
            },
            _ => Ok(Holders::Several),
        }
    }
}

/// Reads every column once, so that nothing is found unreadable at a sign-in.
fn checked(reader: &Reader, fields: &Fields) -> Result<LegacyId, String> {
    let record = reader.record(fields).map_err(|why| why.to_string())?;
    reader.stored_hash(fields).map_err(|why| why.to_string())?;
    reader.must_change(fields).map_err(|why| why.to_string())?;
    Ok(record.id)
}

/// A file of hashes as a legacy store.
pub(super) struct HashFile {
    domains: Vec<String>,
    timeout: Duration,
    rows: Arc<Rows>,
    passwords: Passwords,
}

impl HashFile {
    pub(super) fn new(source: &Source, rows: Arc<Rows>, passwords: Passwords) -> Self {
        for problem in rows.problems().iter().take(PROBLEMS_TOLD) {
            tracing::warn!(
                legacy.store = %source.name, row = problem.row, problem = %problem.problem, "a row was left out",
            );
        }
        let left_out = rows.problems().len();
        tracing::info!(legacy.store = %source.name, rows = rows.len(), left_out, "read the file of hashes");
        Self { domains: source.domains.clone(), timeout: source.timeout, rows, passwords }
    }
}

#[async_trait]
impl LegacyStore for HashFile {
    fn source(&self) -> &SourceName {
        &self.passwords.source
    }

    fn serves(&self, name: &LoginName) -> bool {
        names::is_served(&self.domains, name)
    }

    fn verifies_passwords(&self) -> bool {
        true
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        let found = self.rows.find(&self.passwords.reader, &attempt.name);
        self.passwords.verdict(found, attempt, deadline.at_most(self.timeout)).await
    }

    async fn presence(&self, name: &LoginName, _deadline: Deadline) -> Result<Presence, LegacyError> {
        Ok(self.rows.find(&self.passwords.reader, name).presence())
    }

    async fn look_up(
        &self,
        name: &LoginName,
        _deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        match self.rows.find(&self.passwords.reader, name) {
            Found::One(fields) => self.passwords.record(&fields).map(Some),
            Found::Nobody | Found::Several => Ok(None),
        }
    }

    async fn read(&self, id: &LegacyId, _deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        self.rows.with_id(id).map(|fields| self.passwords.record(fields)).transpose()
    }

    fn holds_records(&self) -> bool {
        true
    }

    async fn holders(&self, email: &CanonicalEmail, _deadline: Deadline) -> Result<Holders, LegacyError> {
        let holders = self.rows.holders(&self.passwords.reader, email);
        holders.map_err(|why| self.passwords.unreadable(&why))
    }
}

#[cfg(test)]
mod tests;
