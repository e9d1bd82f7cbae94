//! A person's JSON object as a [`LegacyRecord`], by the configured pointers. Members nobody configured are not looked at.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    config::{HttpFields, HttpSource, MfaDeclaration, Pointer, RoleMap, Source},
    identity::{
        AccountState, CanonicalEmail, EmailClaim, LegacyId, LegacyRecord, LoginName, MfaState, PersonName,
        SourceName,
    },
    legacy::{
        cells::{Read, unreadable},
        names,
        record::mapped_roles,
    },
};

/// How the people of one endpoint are read.
pub(super) struct People {
    source: SourceName,
    fields: HttpFields,
    mfa: MfaDeclaration,
    roles: RoleMap,
}

/// Somebody of the endpoint's.
pub(super) struct Person {
    pub(super) record: LegacyRecord,
    /// The password has to be changed before anything else.
    pub(super) must_change: bool,
}

impl Person {
    pub(super) fn answers_to(&self, name: &LoginName) -> bool {
        names::is_asked_for(name, Some(&self.record.login), self.record.email.address.as_deref())
    }

    pub(super) fn has_email(&self, email: &CanonicalEmail) -> bool {
        let own = self.record.email.address.as_deref().map(CanonicalEmail::parse);
        own.is_some_and(|own| own.is_ok_and(|own| own == *email))
    }
}

impl People {
    pub(super) fn new(source: &Source, settings: &HttpSource) -> Self {
        Self {
            source: source.name.clone(),
            fields: settings.fields.clone(),
            mfa: source.mfa.clone(),
            roles: source.roles.clone(),
        }
    }

    /// The person of an object. A value that cannot be read is an error that names its pointer, never a guess.
    pub(super) fn person(&self, document: &Value) -> Read<Person> {
        let f = &self.fields;
        let maybe = |pointer: &Option<Pointer>| match pointer {
            Some(pointer) => text(document, pointer),
            None => Ok(None),
        };
        let id = text(document, &f.id)?.ok_or_else(|| unreadable(&f.id.0, "is missing or empty"))?;
        let id = LegacyId::parse(&id).ok_or_else(|| unreadable(&f.id.0, "is not usable as a key"))?;
        let address = text(document, &f.email)?;
        let login = maybe(&f.login)?.or_else(|| address.clone());
        let login = login.ok_or_else(|| unreadable(&f.email.0, "is empty, and so is the login"))?;
        let verified = match &f.email_verified {
            // Where nothing is said although something could be: that is no yes (legacy-stores.md §5).
            Some(pointer) => Some(flag(document, pointer)?.unwrap_or(false)),
            None => None,
        };
        let record = LegacyRecord {
            source: self.source.clone(),
            id,
            login,
            email: EmailClaim { address, verified },
            state: self.state(document)?,
            mfa: self.second_factor(document)?,
            name: PersonName {
                given: maybe(&f.given_name)?,
                family: maybe(&f.family_name)?,
                full: maybe(&f.full_name)?,
                locale: maybe(&f.locale)?.map(|locale| locale.replace('_', "-")),
            },
            organization: maybe(&f.organization)?,
            roles: self.roles(document)?,
            metadata: BTreeMap::new(),
        };
        Ok(Person { record, must_change: self.must_change(document)? })
    }

    fn state(&self, document: &Value) -> Read<AccountState> {
        let f = &self.fields;
        let inactive = match &f.active {
            Some(pointer) => flag(document, pointer)?.map(|active| !active),
            None => Some(false),
        };
        let disabled = negative_flag(document, f.disabled.as_ref())?;
        let locked = negative_flag(document, f.locked.as_ref())?;
        Ok(match (inactive, disabled, locked) {
            (Some(true), _, _) | (_, Some(true), _) => AccountState::Disabled,
            (_, _, Some(true)) => AccountState::Locked,
            (Some(false), Some(false), Some(false)) => AccountState::Active,
            _ => AccountState::Unknown,
        })
    }

    fn second_factor(&self, document: &Value) -> Read<MfaState> {
        let pointer = match &self.mfa {
            MfaDeclaration::None => return Ok(MfaState::None),
            MfaDeclaration::Unknown { .. } => return Ok(MfaState::Unknown),
            MfaDeclaration::Field(pointer) => Pointer(pointer.clone()),
        };
        let enrolled = match document.pointer(&pointer.0) {
            Some(Value::Array(factors)) => Some(!factors.is_empty()),
            _ => flag(document, &pointer)?,
        };
        Ok(match enrolled {
            Some(true) => MfaState::Enrolled,
            Some(false) => MfaState::None,
            None => MfaState::Unknown,
        })
    }

    /// As for rows: a member that is not there is no demand, one without a value is.
    fn must_change(&self, document: &Value) -> Read<bool> {
        let Some(pointer) = &self.fields.must_change else { return Ok(false) };
        match document.pointer(&pointer.0) {
            None => Ok(false),
            Some(Value::Array(things)) => Ok(!things.is_empty()),
            Some(_) => Ok(flag(document, pointer)?.unwrap_or(true)),
        }
    }

    /// A list of names, or names with commas between them.
    fn roles(&self, document: &Value) -> Read<Vec<String>> {
        let Some(pointer) = &self.fields.roles else { return Ok(Vec::new()) };
        match document.pointer(&pointer.0) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(mapped_roles(&self.roles, text.split(',').map(str::trim))),
            Some(Value::Array(items)) => {
                Ok(mapped_roles(&self.roles, items.iter().filter_map(Value::as_str)))
            }
            Some(_) => Err(unreadable(&pointer.0, "is not a list of names")),
        }
    }
}

/// Text, or a whole number as its digits; empty is none.
fn text(document: &Value, pointer: &Pointer) -> Read<Option<String>> {
    match document.pointer(&pointer.0) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
        Some(_) => Err(unreadable(&pointer.0, "is not text")),
    }
}

/// A boolean, or the word for one: endpoints in use write both (legacy-stores.md §5).
fn flag(document: &Value, pointer: &Pointer) -> Read<Option<bool>> {
    match document.pointer(&pointer.0) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(word)) if word == "true" => Ok(Some(true)),
        Some(Value::String(word)) if word == "false" => Ok(Some(false)),
        Some(_) => Err(unreadable(&pointer.0, "is not a boolean")),
    }
}

/// A flag whose *true* forbids: one that is not there is *false*, one without a value is not known.
fn negative_flag(document: &Value, pointer: Option<&Pointer>) -> Read<Option<bool>> {
    match pointer {
        None => Ok(Some(false)),
        Some(pointer) if document.pointer(&pointer.0).is_none() => Ok(Some(false)),
        Some(pointer) => flag(document, pointer),
    }
}
