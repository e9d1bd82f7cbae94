//! Rows in, findings out. No file, no printing.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::limits::{self, Limit};
use crate::{
    bulk::{Fields, Row},
    config::HashCeilings,
    hash::{self, HashError, HashFormat, StoredHash},
    identity::CanonicalEmail,
    legacy::exported,
    telemetry::with_causes,
};

/// Which field (or dotted path) holds what.
#[derive(Clone, Debug)]
pub(super) struct FieldNames {
    pub(super) email: String,
    /// The first that a row has.
    pub(super) ids: Vec<String>,
    pub(super) verified: String,
    pub(super) hash: String,
    pub(super) given_name: String,
    pub(super) family_name: String,
    pub(super) metadata: String,
}

/// What was found in an export.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// One finding a data row, in the order of the file.
    pub(super) rows: Vec<Finding>,
    /// Each canonical address with the rows that have it.
    pub(super) addresses: Vec<(CanonicalEmail, Vec<u64>)>,
    /// Rows that share an id with others.
    pub(super) same_id: Vec<Vec<u64>>,
    pub(super) without_id: u64,
    pub(super) unusable_id: u64,
    pub(super) verified: Verified,
    pub(super) hashes: Hashes,
    /// Rows that a source of this file would do without, by the reason: a value that cannot be read is never guessed.
    pub(super) left_out: BTreeMap<String, Vec<u64>>,
    pub(super) over_limits: BTreeMap<Limit, Vec<u64>>,
    /// Where and why the file could not be read on, when it could not.
    pub(super) broken_off: Option<(u64, String)>,
    has_email_field: bool,
}

/// What was found in one row.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) row: u64,
    pub(super) address: Address,
    pub(super) hash_format: Option<&'static str>,
}

/// What a row's address is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Its place in [`Report::addresses`].
    Canonical(usize),
    /// Nobody can be held by it, and why.
    Refused(String),
    /// The row could not be read at all, and why.
    Unreadable(String),
}

/// How many addresses the export itself calls verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) yes: u64,
    pub(super) no: u64,
    /// No flag, or one that is neither yes nor no: nobody may take it for a yes.
    pub(super) unknown: u64,
}

/// What the password hashes are, read as at a sign-in with `hash_format: auto`.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// Those that a guess would be judged by.
    pub(super) formats: BTreeMap<&'static str, u64>,
    /// Those that say what they are and would be refused, by the reason.
    pub(super) refused: BTreeMap<&'static str, u64>,
    /// There is a hash, and it does not say what it is.
    pub(super) unidentified: u64,
    pub(super) missing: u64,
}

impl Report {
    /// The rows of an address, where there is more than one.
    pub(super) fn twin_groups(&self) -> impl Iterator<Item = &[u64]> {
        self.addresses.iter().map(|(_, rows)| rows.as_slice()).filter(|rows| rows.len() > 1)
    }

    /// Why nothing can be said of this file, if so.
    pub(super) fn unusable(&self, names: &FieldNames) -> Option<String> {
        if let Some((0, reason)) = &self.broken_off {
            return Some(reason.clone());
        }
        let readable = self.rows.iter().any(|found| !matches!(found.address, Address::Unreadable(_)));
        (readable && !self.has_email_field)
            .then(|| format!("no row has a field `{}`; name the right one with --email-field", names.email))
    }
}

/// Looks at every row.
pub(super) fn examine(rows: impl Iterator<Item = Row>, names: &FieldNames, auto: &HashFormat) -> Report {
    let mut report = Report::default();
    let mut places = HashMap::new();
    let mut ids: HashMap<u64, Vec<u64>> = HashMap::new();
    for Row { number, fields } in rows {
        match fields {
            Ok(fields) => {
                let id = report.look_at_id(&fields, names);
                if let Some(id) = &id {
                    ids.entry(fingerprint(id)).or_default().push(number);
                }
                for limit in limits::broken(&fields, id.as_deref(), names) {
                    report.over_limits.entry(limit).or_default().push(number);
                }
                let mut problems = Vec::new();
                for name in [&names.given_name, &names.family_name] {
                    if let Err(problem) = exported::text(fields.get(name)) {
                        problems.push((name, problem));
                    }
                }
                match exported::flag(fields.get(&names.verified)) {
                    Ok(flag) => report.count_verified(flag),
                    Err(problem) => {
                        report.count_verified(None);
                        problems.push((&names.verified, problem));
                    }
                }
                let hash_format = match exported::hash_text(fields.get(&names.hash)) {
                    Ok(text) => report.look_at_hash(text, auto),
                    Err(problem) => {
                        problems.push((&names.hash, problem));
                        None
                    }
                };
                for (name, problem) in problems {
                    report.left_out.entry(format!("{name} {problem}")).or_default().push(number);
                }
                let address = report.look_at_address(number, &fields, names, &mut places);
                report.rows.push(Finding { row: number, address, hash_format });
            }
            Err(problem) => {
                if problem.ends_the_file() {
                    report.broken_off = Some((number, with_causes(&problem)));
                }
                if number > 0 {
                    let address = Address::Unreadable(problem.to_string());
                    report.rows.push(Finding { row: number, address, hash_format: None });
                }
            }
        }
    }
    report.same_id = ids.into_values().filter(|rows| rows.len() > 1).collect();
    report.same_id.sort();
    report
}

impl Report {
    /// The first id that a row has; one that is no text is none that can be used.
    fn look_at_id(&mut self, fields: &Fields, names: &FieldNames) -> Option<String> {
        let id = names.ids.iter().find_map(|name| exported::text(fields.get(name)).transpose());
        match id {
            None => self.without_id += 1,
            Some(Ok(id)) => {
                self.unusable_id += u64::from(!limits::is_usable_id(&id));
                return Some(id);
            }
            Some(Err(_)) => self.unusable_id += 1,
        }
        None
    }

    fn count_verified(&mut self, flag: Option<bool>) {
        *match flag {
            Some(true) => &mut self.verified.yes,
            Some(false) => &mut self.verified.no,
            None => &mut self.verified.unknown,
        } += 1;
    }

    fn look_at_hash(&mut self, text: Option<String>, auto: &HashFormat) -> Option<&'static str> {
        let Some(text) = text else {
            self.hashes.missing += 1;
            return None;
        };
        let format = hash::identify(&text);
        let stored = StoredHash { text, salt: None };
        let inspected = auto.inspect(&stored, &HashCeilings::default());
        match (format, inspected.and_then(|inspection| inspection.refused.map_or(Ok(()), Err))) {
            (Some(format), Ok(())) => *self.hashes.formats.entry(format).or_default() += 1,
            (_, Err(HashError::Unusable)) => {
                *self.hashes.refused.entry(HashError::Unusable.kind()).or_default() += 1;
            }
            (Some(_), Err(why)) => *self.hashes.refused.entry(why.kind()).or_default() += 1,
            (None, _) => self.hashes.unidentified += 1,
        }
        format
    }

    fn look_at_address(
        &mut self,
        row: u64,
        fields: &Fields,
        names: &FieldNames,
        places: &mut HashMap<CanonicalEmail, usize>,
    ) -> Address {
        let Some(value) = fields.get(&names.email) else {
            return Address::Refused("no e-mail".to_owned());
        };
        self.has_email_field = true;
        let Some(text) = value.as_str() else {
            return Address::Refused("not text".to_owned());
        };
        match CanonicalEmail::parse(text) {
            Err(why) => Address::Refused(why.to_string()),
            Ok(email) => {
                let place = *places.entry(email).or_insert_with_key(|email| {
                    self.addresses.push((email.clone(), Vec::new()));
                    self.addresses.len() - 1
                });
                if let Some((_, rows)) = self.addresses.get_mut(place) {
                    rows.push(row);
                }
                Address::Canonical(place)
            }
        }
    }
}

/// Ids are compared by 64 bits, which keeps a large export's ids out of memory. Two of ten million different ones
/// meet by chance once in some hundred thousand files, and then a person looks at two rows for nothing.
fn fingerprint(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
