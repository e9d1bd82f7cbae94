//! What Scalekit takes (scalekit.md §6.1), and which rows hold more.

use serde_json::Value;

use super::examine::FieldNames;
use crate::{bulk::Fields, identity::LegacyId, legacy::exported};

/// A limit that a row breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    ExternalId,
    GivenName,
    FamilyName,
    MetadataPairs,
    MetadataKey,
    MetadataValue,
}

impl Limit {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ExternalId => "external_id longer than 510 bytes",
            Self::GivenName => "given name longer than 255 characters",
            Self::FamilyName => "family name longer than 255 characters",
            Self::MetadataPairs => "more than 20 metadata pairs",
            Self::MetadataKey => "metadata key not of 3 to 25 characters",
            Self::MetadataValue => "metadata value not text of 1 to 256 characters",
        }
    }
}

/// Whether an id can be a person's key here: neither empty nor above 255 bytes, no control characters.
pub(super) fn is_usable_id(id: &str) -> bool {
    LegacyId::parse(id).is_some()
}

/// The limits a row breaks, each once.
pub(super) fn broken(fields: &Fields, id: Option<&str>, names: &FieldNames) -> Vec<Limit> {
    let mut broken = Vec::new();
    if id.is_some_and(|id| id.len() > 510) {
        broken.push(Limit::ExternalId);
    }
    for (name, limit) in [(&names.given_name, Limit::GivenName), (&names.family_name, Limit::FamilyName)] {
        if exported::text(fields.get(name))
            .is_ok_and(|text| text.is_some_and(|text| text.chars().count() > 255))
        {
            broken.push(limit);
        }
    }
    if let Some(Value::Object(metadata)) = fields.get(&names.metadata) {
        if metadata.len() > 20 {
            broken.push(Limit::MetadataPairs);
        }
        if metadata.keys().any(|key| !(3..=25).contains(&key.chars().count())) {
            broken.push(Limit::MetadataKey);
        }
        let fits =
            |value: &Value| value.as_str().is_some_and(|text| (1..=256).contains(&text.chars().count()));
        if !metadata.values().all(fits) {
            broken.push(Limit::MetadataValue);
        }
    }
    broken
}
