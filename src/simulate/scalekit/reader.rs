//! Reading what a caller sent: every rule that is broken is found and named, not only the first.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    failure::{Failure, Violation},
    settings::UnknownKeys,
};

/// Metadata and its kin.
pub(super) type Pairs = BTreeMap<String, String>;

/// The members of one JSON object, and what is wrong with them.
pub(super) struct Reader<'a> {
    members: &'a Map<String, Value>,
    /// Where the object stands in the body, for the names of fields.
    place: String,
    policy: UnknownKeys,
    known: Vec<&'static str>,
    problems: Vec<Violation>,
}

/// How many characters a text may have.
pub(super) type Length = std::ops::RangeInclusive<usize>;

impl<'a> Reader<'a> {
    pub(super) fn of(body: &'a Value, policy: UnknownKeys) -> Result<Self, Failure> {
        let members = body.as_object().ok_or_else(|| Failure::field("body", "must be a JSON object"))?;
        Ok(Self { members, place: String::new(), policy, known: Vec::new(), problems: Vec::new() })
    }

    /// The value of a member; JSON's null is as good as nothing (`ProtoJSON`).
    fn member(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn problem(&mut self, name: &str, rule: impl Into<String>) {
        self.problems.push(Violation { field: format!("{}{name}", self.place), rule: rule.into() });
    }

    pub(super) fn text(&mut self, name: &'static str, length: &Length) -> Option<String> {
        let value = self.member(name)?;
        let Some(text) = value.as_str() else {
            self.problem(name, "must be a string");
            return None;
        };
        if !length.contains(&text.chars().count()) {
            self.problem(name, format!("must have {} to {} characters", length.start(), length.end()));
        }
        Some(text.to_owned())
    }

    /// A map of texts with at most `most` entries, keys of 3 to 25 and values of 1 to 256 characters.
    pub(super) fn pairs(&mut self, name: &'static str, most: usize) -> Option<Pairs> {
        let value = self.member(name)?;
        let Some(members) = value.as_object() else {
            self.problem(name, "must be an object");
            return None;
        };
        if members.len() > most {
            self.problem(name, format!("must have at most {most} pairs"));
        }
        let mut pairs = Pairs::new();
        for (key, value) in members {
            let fits = (3..=25).contains(&key.chars().count());
            match value.as_str() {
                Some(text) if fits && (1..=256).contains(&text.chars().count()) => {
                    pairs.insert(key.clone(), text.to_owned());
                }
                Some(_) => self.problem(name, "keys have 3 to 25 and values 1 to 256 characters"),
                None => self.problem(name, "values must be strings"),
            }
        }
        Some(pairs)
    }

    pub(super) fn texts(&mut self, name: &'static str, most: usize, length: &Length) -> Option<Vec<String>> {
        let items = self.items(name)?;
        if items.len() > most {
            self.problem(name, format!("must have at most {most} items"));
        }
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) if length.contains(&text.chars().count()) && !texts.contains(&text.to_owned()) => {
                    texts.push(text.to_owned());
                }
                _ => self.problem(name, "must be different strings of the allowed length"),
            }
        }
        Some(texts)
    }

    pub(super) fn items(&mut self, name: &'static str) -> Option<&'a Vec<Value>> {
        let value = self.member(name)?;
        let items = value.as_array();
        if items.is_none() {
            self.problem(name, "must be an array");
        }
        items
    }

    /// Reads the object under `name` with `read`.
    pub(super) fn child<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> Option<T> {
        let value = self.member(name)?;
        self.object(name, value, read)
    }

    /// Reads `value`, which stands at `name`, as an object with `read`.
    pub(super) fn object<T>(
        &mut self,
        name: &str,
        value: &'a Value,
        read: impl FnOnce(&mut Reader<'a>) -> T,
    ) -> Option<T> {
        let Some(members) = value.as_object() else {
            self.problem(name, "must be an object");
            return None;
        };
        let place = format!("{}{name}.", self.place);
        let mut inner =
            Reader { members, place, policy: self.policy, known: Vec::new(), problems: Vec::new() };
        let read = read(&mut inner);
        inner.look_for_unknown();
        self.problems.append(&mut inner.problems);
        Some(read)
    }

    fn look_for_unknown(&mut self) {
        if self.policy == UnknownKeys::Refused {
            let unknown = self.members.keys().filter(|key| !self.known.contains(&key.as_str()));
            for key in unknown.cloned().collect::<Vec<_>>() {
                self.problem(&key, "is not known");
            }
        }
    }

    /// `read` when no rule was broken.
    pub(super) fn finish<T>(mut self, read: T) -> Result<T, Failure> {
        self.look_for_unknown();
        if self.problems.is_empty() { Ok(read) } else { Err(Failure::invalid(self.problems)) }
    }
}

/// A decoded query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The last value under this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// A flag in any of the spellings that HTTP transcoding takes.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(default),
            Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(true),
            Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(false),
            Some(_) => Err(Failure::field(name, "must be true or false")),
        }
    }

    /// `page_size` within `allowed`.
    pub(super) fn page_size(&self, allowed: &Length, default: usize) -> Result<usize, Failure> {
        let Some(text) = self.get("page_size") else { return Ok(default) };
        text.parse().ok().filter(|size| allowed.contains(size)).ok_or_else(|| {
            Failure::field("page_size", &format!("must be {} to {}", allowed.start(), allowed.end()))
        })
    }
}
