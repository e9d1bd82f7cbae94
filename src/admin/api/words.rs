//! Values that several operations read or show.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::{
    clock::{self, Timestamp},
    identity::{LegacyId, LoginName, PersonKey, SourceName},
    login::{Stage, Whom},
};

/// A point in time, as RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Time(String);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at.to_string())
    }
}

impl Time {
    /// A parameter's value.
    pub(super) fn read(&self, name: &str) -> Result<Timestamp, Problem> {
        clock::rfc_3339(&self.0).ok_or_else(|| {
            Problem::invalid_query(format!("{name}: must be a time such as 2026-01-31T09:15:00Z"))
        })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A point in time, RFC 3339; not before 1970.",
        })
    }
}

/// Where a person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Known, and nothing begun.
    None,
    /// A migration is under way.
    Claimed,
    /// The user was created, and is not checked yet.
    Created,
    /// Exists in Scalekit, read back and checked.
    Done,
    /// Somebody has to look at it.
    Conflict,
    /// May not be created as they are.
    Ineligible,
    /// Removed for good.
    Tombstone,
}

impl From<Stage> for State {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::None => Self::None,
            Stage::Claimed => Self::Claimed,
            Stage::Created => Self::Created,
            Stage::Done => Self::Done,
            Stage::Conflict => Self::Conflict,
            Stage::Ineligible => Self::Ineligible,
            Stage::Tombstone => Self::Tombstone,
        }
    }
}

impl From<State> for Stage {
    fn from(state: State) -> Self {
        match state {
            State::None => Self::None,
            State::Claimed => Self::Claimed,
            State::Created => Self::Created,
            State::Done => Self::Done,
            State::Conflict => Self::Conflict,
            State::Ineligible => Self::Ineligible,
            State::Tombstone => Self::Tombstone,
        }
    }
}

/// A person's key: the configured name of their source, and their immutable id there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9_-]{0,31}$"))]
    pub(super) source: String,
    #[schemars(length(min = 1, max = 255))]
    pub(super) id: String,
}

impl From<&PersonKey> for Key {
    fn from(key: &PersonKey) -> Self {
        Self { source: key.source.as_str().to_owned(), id: key.id.as_str().to_owned() }
    }
}

impl Key {
    pub(super) fn read(&self) -> Option<PersonKey> {
        Some(PersonKey { source: SourceName::parse(&self.source)?, id: LegacyId::parse(&self.id)? })
    }
}

/// Whom a call is about. A name stands in the body, so that no log of addresses gets it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Person {
    /// What they sign in with.
    Name(#[schemars(length(min = 1, max = 512))] String),
    Key(Key),
}

impl Person {
    pub(super) fn read(&self) -> Result<Whom, Problem> {
        match self {
            Self::Name(name) => LoginName::parse(name).map(Whom::Name).ok_or_else(|| {
                Problem::invalid("person.name: must be a name of 1 to 512 bytes, without control characters")
            }),
            Self::Key(key) => key.read().map(Whom::Key).ok_or_else(|| {
                Problem::invalid("person.key: must be a configured source's name and an id of 1 to 255 bytes")
            }),
        }
    }
}
