//! One row of a table or file as a [`LegacyRecord`]: the operator names the columns, this file reads them.
//!
//! A value that cannot be read is an error that names its column, never a guess; a state that is not there is
//! [`AccountState::Unknown`], from which nobody migrates.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    config::{Columns, MfaDeclaration, RoleMap, Source},
    hash::StoredHash,
    identity::{AccountState, EmailClaim, LegacyId, LegacyRecord, MfaState, PersonName, SourceName},
};

/// One value as a source gave it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// The row has no such member (JSON only).
    Absent,
    Null,
    Bool(bool),
    Int(i128),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Cell>),
    /// A type nothing is read from: times, objects, fractions.
    Other,
}

/// The values of one row under the names the configuration gives their columns. The names are shared by all rows.
#[derive(Clone)]
pub(super) struct Fields {
    columns: Arc<[String]>,
    cells: Vec<Cell>,
}

/// A column whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub(super) struct Unreadable {
    pub(super) column: String,
    pub(super) problem: &'static str,
}

/// How the rows of one source are read.
#[derive(Clone)]
pub(super) struct Reader {
    source: SourceName,
    columns: Columns,
    mfa: MfaDeclaration,
    roles: RoleMap,
    /// The columns that are read at all.
    wanted: Arc<[String]>,
    /// The hash settings want hex where the source has bytes.
    salt_is_hex: bool,
}

type Read<T> = Result<T, Unreadable>;

impl Reader {
    pub(super) fn new(source: &Source, columns: &Columns, hash_format: &Value) -> Self {
        let salt_is_hex = hash_format.get("salt_encoding").and_then(Value::as_str) == Some("hex");
        Self {
            source: source.name.clone(),
            columns: columns.clone(),
            mfa: source.mfa.clone(),
            roles: source.roles.clone(),
            wanted: wanted(columns, &source.mfa),
            salt_is_hex,
        }
    }

    /// The columns that are read at all.
    pub(super) fn wanted(&self) -> &Arc<[String]> {
        &self.wanted
    }

    pub(super) fn id_column(&self) -> &str {
        &self.columns.id
    }

    pub(super) fn id(&self, fields: &Fields) -> Read<LegacyId> {
        let column = &self.columns.id;
        let text = match fields.get(column) {
            // Always hex, also where the bytes happen to be letters: a key must not depend on its value.
            Cell::Bytes(bytes) => Some(hex(bytes)),
            _ => fields.text(column)?,
        };
        let text = text.ok_or_else(|| unreadable(column, "is empty"))?;
        LegacyId::parse(&text).ok_or_else(|| unreadable(column, "is not usable as a key"))
    }

    pub(super) fn login(&self, fields: &Fields) -> Read<Option<String>> {
        fields.optional(self.columns.login.as_ref())
    }

    pub(super) fn email(&self, fields: &Fields) -> Read<Option<String>> {
        fields.text(&self.columns.email)
    }

    /// The stored hash; `None` for a row without a password.
    pub(super) fn stored_hash(&self, fields: &Fields) -> Read<Option<StoredHash>> {
        let column = &self.columns.password_hash;
        let text = match fields.get(column) {
            Cell::Text(text) => Some(text.clone()),
            Cell::Bytes(bytes) => Some(bytes_as_text(bytes, |b| b.is_ascii_graphic() || b == b' ')),
            Cell::Absent | Cell::Null => None,
            Cell::Bool(_) | Cell::Int(_) | Cell::List(_) | Cell::Other => {
                return Err(unreadable(column, "is not text"));
            }
        };
        // CHAR(n) columns pad with blanks.
        let text = text.map(|text| text.trim_end_matches([' ', '\t', '\r', '\n']).to_owned());
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let salt = match self.columns.salt.as_ref() {
            Some(column) => self.salt(column, fields)?,
            None => None,
        };
        Ok(Some(StoredHash { text, salt }))
    }

    /// A salt goes through untouched: every blank in it counts.
    fn salt(&self, column: &str, fields: &Fields) -> Read<Option<String>> {
        match fields.get(column) {
            Cell::Absent | Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            Cell::Int(number) => Ok(Some(number.to_string())),
            Cell::Bytes(bytes) if self.salt_is_hex => {
                Ok(Some(bytes_as_text(bytes, |b| b.is_ascii_hexdigit())))
            }
            Cell::Bytes(bytes) => Ok(Some(bytes_as_text(bytes, |b| b.is_ascii_graphic() || b == b' '))),
            Cell::Bool(_) | Cell::List(_) | Cell::Other => Err(unreadable(column, "is not text")),
        }
    }

    /// Whether the password has to be changed before anything else. A row that does not say has to be asked about
    /// by the application's own flow, so it counts as yes; a member that is not there does not.
    pub(super) fn must_change(&self, fields: &Fields) -> Read<bool> {
        let Some(column) = self.columns.must_change.as_ref() else { return Ok(false) };
        match fields.get(column) {
            Cell::Absent => Ok(false),
            _ => Ok(fields.flag(column)?.unwrap_or(true)),
        }
    }

    /// The record of a row.
    pub(super) fn record(&self, fields: &Fields) -> Read<LegacyRecord> {
        let c = &self.columns;
        let address = self.email(fields)?;
        let login = self.login(fields)?.or_else(|| address.clone());
        let login = login.ok_or_else(|| unreadable(&c.email, "is empty, and so is the login"))?;
        let verified = match c.email_verified.as_ref() {
            Some(column) => fields.flag(column)?,
            None => None,
        };
        Ok(LegacyRecord {
            source: self.source.clone(),
            id: self.id(fields)?,
            login,
            email: EmailClaim { address, verified },
            state: self.state(fields)?,
            mfa: self.second_factor(fields)?,
            name: PersonName {
                given: fields.optional(c.given_name.as_ref())?,
                family: fields.optional(c.family_name.as_ref())?,
                full: fields.optional(c.full_name.as_ref())?,
                locale: fields.optional(c.locale.as_ref())?.map(|locale| locale.replace('_', "-")),
            },
            organization: fields.optional(c.organization.as_ref())?,
            roles: self.roles(fields)?,
            metadata: BTreeMap::new(),
        })
    }

    fn state(&self, fields: &Fields) -> Read<AccountState> {
        let c = &self.columns;
        let active = match c.active.as_ref() {
            Some(column) => fields.flag(column)?.map(|active| !active),
            None => Some(false),
        };
        let disabled = fields.negative_flag(c.disabled.as_ref())?;
        let locked = fields.negative_flag(c.locked.as_ref())?;
        Ok(match (active, disabled, locked) {
            (Some(true), _, _) | (_, Some(true), _) => AccountState::Disabled,
            (_, _, Some(true)) => AccountState::Locked,
            (Some(false), Some(false), Some(false)) => AccountState::Active,
            _ => AccountState::Unknown,
        })
    }

    fn second_factor(&self, fields: &Fields) -> Read<MfaState> {
        let column = match &self.mfa {
            MfaDeclaration::None => return Ok(MfaState::None),
            MfaDeclaration::Unknown { .. } => return Ok(MfaState::Unknown),
            MfaDeclaration::Field(column) => column,
        };
        let enrolled = match fields.get(column) {
            // A list of factors, as some exports have it.
            Cell::List(factors) => Some(!factors.is_empty()),
            _ => fields.flag(column)?,
        };
        Ok(match enrolled {
            Some(true) => MfaState::Enrolled,
            Some(false) => MfaState::None,
            None => MfaState::Unknown,
        })
    }

    /// A list, a JSON list in a text, or names with commas between them.
    fn roles(&self, fields: &Fields) -> Read<Vec<String>> {
        let Some(column) = self.columns.roles.as_ref() else { return Ok(Vec::new()) };
        if let Cell::List(items) = fields.get(column) {
            let names = items.iter().filter_map(|item| match item {
                Cell::Text(name) => Some(name.as_str()),
                _ => None,
            });
            return Ok(mapped_roles(&self.roles, names));
        }
        let text = fields.text(column)?.unwrap_or_default();
        if text.starts_with('[') {
            let names: Vec<String> =
                serde_json::from_str(&text).map_err(|_| unreadable(column, "is not a JSON list of names"))?;
            return Ok(mapped_roles(&self.roles, names.iter().map(String::as_str)));
        }
        Ok(mapped_roles(&self.roles, text.split(',').map(str::trim)))
    }
}

impl Fields {
    /// One cell for each column, in their order.
    pub(super) fn new(columns: &Arc<[String]>, cells: Vec<Cell>) -> Self {
        Self { columns: Arc::clone(columns), cells }
    }

    pub(super) fn get(&self, column: &str) -> &Cell {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Cell::Absent)
    }

    /// Text without the blanks that `CHAR(n)` pads with; empty is none.
    fn text(&self, column: &str) -> Read<Option<String>> {
        let text = match self.get(column) {
            Cell::Absent | Cell::Null => return Ok(None),
            Cell::Int(number) => number.to_string(),
            Cell::Text(text) => text.trim_end_matches(' ').to_owned(),
            Cell::Bytes(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| unreadable(column, "is not UTF-8"))?;
                text.trim_end_matches([' ', '\0']).to_owned()
            }
            Cell::Bool(_) | Cell::List(_) | Cell::Other => return Err(unreadable(column, "is not text")),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn optional(&self, column: Option<&String>) -> Read<Option<String>> {
        column.map_or(Ok(None), |column| self.text(column))
    }

    /// A boolean in one of the spellings that cannot mean anything else.
    fn flag(&self, column: &str) -> Read<Option<bool>> {
        let text = match self.get(column) {
            Cell::Absent | Cell::Null => return Ok(None),
            Cell::Bool(flag) => return Ok(Some(*flag)),
            Cell::Int(number) => number.to_string(),
            // BIT(1) of some drivers.
            Cell::Bytes(bytes) if bytes.len() == 1 && bytes.first().is_some_and(|b| *b <= 1) => {
                return Ok(bytes.first().map(|b| *b == 1));
            }
            Cell::Text(text) => text.trim().to_ascii_lowercase(),
            Cell::Bytes(bytes) => String::from_utf8_lossy(bytes).trim().to_ascii_lowercase(),
            Cell::List(_) | Cell::Other => return Err(unreadable(column, "is not a boolean")),
        };
        match text.as_str() {
            "" => Ok(None),
            "1" | "t" | "true" | "y" | "yes" => Ok(Some(true)),
            "0" | "f" | "false" | "n" | "no" => Ok(Some(false)),
            _ => Err(unreadable(column, "is not a boolean")),
        }
    }

    /// A flag whose *true* forbids. Exports leave it out where it is not set, so a member that is not there is
    /// *false*; one that is there without a value is not known.
    fn negative_flag(&self, column: Option<&String>) -> Read<Option<bool>> {
        match column {
            None => Ok(Some(false)),
            Some(column) if *self.get(column) == Cell::Absent => Ok(Some(false)),
            Some(column) => self.flag(column),
        }
    }
}

fn wanted(c: &Columns, mfa: &MfaDeclaration) -> Arc<[String]> {
    let mfa = match mfa {
        MfaDeclaration::Field(column) => Some(column),
        MfaDeclaration::None | MfaDeclaration::Unknown { .. } => None,
    };
    let optional = [
        &c.login,
        &c.email_verified,
        &c.salt,
        &c.given_name,
        &c.family_name,
        &c.full_name,
        &c.locale,
        &c.organization,
        &c.roles,
        &c.active,
        &c.disabled,
        &c.locked,
        &c.must_change,
    ];
    let all =
        [&c.id, &c.email, &c.password_hash].into_iter().chain(optional.into_iter().flatten()).chain(mfa);
    // One column may serve two purposes.
    let all: BTreeSet<&String> = all.collect();
    all.into_iter().cloned().collect()
}

/// Scalekit's names of legacy groups or roles, each once; unmapped ones give none.
pub(super) fn mapped_roles<'a>(map: &RoleMap, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let roles: BTreeSet<&String> = names.into_iter().filter_map(|name| map.0.get(name)).collect();
    roles.into_iter().cloned().collect()
}

/// Bytes of a binary column: text where every byte `fits`, else hex.
fn bytes_as_text(bytes: &[u8], fits: impl Fn(u8) -> bool) -> String {
    // BINARY(n) pads with NUL; a raw digest may end in one, and then it is no text.
    let unpadded = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let text = bytes.get(..unpadded).unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(fits) => text.to_owned(),
        _ => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

pub(super) fn unreadable(column: &str, problem: &'static str) -> Unreadable {
    Unreadable { column: column.to_owned(), problem }
}

/// A JSON value as a cell.
pub(super) fn cell_of(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Bool(*flag),
        Value::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            .map_or(Cell::Other, Cell::Int),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(items) => Cell::List(items.iter().map(cell_of).collect()),
        Value::Object(_) => Cell::Other,
    }
}

#[cfg(test)]
mod tests;
