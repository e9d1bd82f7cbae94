//! JSON objects read field by field: format settings, and hashes that are objects (Okta, Auth0, Keycloak, Gigya).
//!
//! An unknown field is refused: it may change what the hash means.

use serde_json::{Map, Value};

use super::HashError;

/// A field that is missing, unknown or of the wrong kind. Names the field, never its value: keys and peppers are
/// among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: HashError,
    pub(crate) text: String,
}

impl From<Refusal> for HashError {
    fn from(refusal: Refusal) -> Self {
        refusal.kind
    }
}

/// An object being read.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    read: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `path` is what messages call the object; empty for the outermost.
    pub(super) fn of(map: &'a Map<String, Value>, path: &str) -> Self {
        Self { path: path.to_owned(), map, read: Vec::new() }
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A refusal about a field.
    pub(super) fn refuse(&self, key: &str, text: &str) -> Refusal {
        Refusal { kind: HashError::Syntax, text: format!("{}: {text}", self.name(key)) }
    }

    /// A field that is there and not null.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.refuse(key, "must be a text"))
    }

    pub(super) fn need_text(&mut self, key: &'static str) -> Result<&'a str, Refusal> {
        self.text(key)?.ok_or_else(|| self.refuse(key, "is missing"))
    }

    pub(super) fn number(&mut self, key: &'static str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.refuse(key, "must be a whole number, not negative"))
    }

    pub(super) fn need_number(&mut self, key: &'static str) -> Result<u64, Refusal> {
        self.number(key)?.ok_or_else(|| self.refuse(key, "is missing"))
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.refuse(key, "must be true or false"))
    }

    /// One of the names that `known` knows.
    pub(super) fn choice<T>(
        &mut self,
        key: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(name) = self.text(key)? else { return Ok(None) };
        known(name).map(Some).ok_or_else(|| self.refuse(key, "is not one of the known values"))
    }

    /// The same for a field that decides what the hash is: an unknown name is a variant we do not have.
    pub(super) fn need_choice<T>(
        &mut self,
        key: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Refusal> {
        let name = self.need_text(key)?;
        known(name).ok_or_else(|| Refusal {
            kind: HashError::Unsupported,
            ..self.refuse(key, "is not one of the known values")
        })
    }

    pub(super) fn object(&mut self, key: &'static str) -> Result<Option<Fields<'a>>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.refuse(key, "must be an object"))?;
        Ok(Some(Fields::of(map, &self.name(key))))
    }

    pub(super) fn need_object(&mut self, key: &'static str) -> Result<Fields<'a>, Refusal> {
        self.object(key)?.ok_or_else(|| self.refuse(key, "is missing"))
    }

    /// The only text of a list, as Keycloak writes single values.
    pub(super) fn listed_text(&mut self, key: &'static str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let only = match value {
            Value::Array(list) => list.first().filter(|_| list.len() == 1).and_then(Value::as_str),
            other => other.as_str(),
        };
        only.map(Some).ok_or_else(|| self.refuse(key, "must be a list of one text"))
    }

    /// Refuses fields that nobody asked for.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.map.keys().find(|key| !self.read.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                Err(Refusal { kind: HashError::Unsupported, ..self.refuse(key, "is not a known key") })
            }
        }
    }
}
