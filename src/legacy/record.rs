//! One row of a table or file as a [`LegacyRecord`]: the operator names the columns, this file reads them.
//!
//! A value that cannot be read is an error that names its column, never a guess; a state that is not there is
//! [`AccountState::Unknown`], from which nobody migrates.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::cells::{Cell, Fields, Read, bytes_as_text, hex, unreadable};
use crate::{
    config::{Columns, MfaDeclaration, RoleMap, Source},
    hash::StoredHash,
    identity::{AccountState, EmailClaim, LegacyId, LegacyRecord, MfaState, PersonName, SourceName},
};

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
        let text = fields.get(column).hash_text().map_err(|problem| unreadable(column, problem))?;
        let Some(text) = text else { return Ok(None) };
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
            Cell::Bool(_) | Cell::List(_) | Cell::Object(_) | Cell::Other => {
                Err(unreadable(column, "is not text"))
            }
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

#[cfg(test)]
mod tests;
