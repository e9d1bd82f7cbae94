//! Who is meant: the typed name, the key of a person at a source, the external id, the name in logs.

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::CanonicalEmail;

/// The configured name of one legacy source: `^[a-z0-9][a-z0-9_-]{0,31}$`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SourceName(String);

impl SourceName {
    /// `None` when the text is not a name: it becomes part of ledger keys and external ids, so it has no `:`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first_fits = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_fits = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        (first_fits && rest_fits && text.len() <= 32).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The legacy system's own immutable id of a record: never the e-mail, never a directory path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LegacyId(String);

impl LegacyId {
    /// `None` for an empty id, one above 255 bytes or one with control characters: no key can be built on it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of one ledger row: one human at one legacy source.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct PersonKey {
    pub(crate) source: SourceName,
    pub(crate) id: LegacyId,
}

impl PersonKey {
    /// A key as it is shown: a source has no `:`, so the first one ends it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (source, id) = text.split_once(':')?;
        Some(Self { source: SourceName::parse(source)?, id: LegacyId::parse(id)? })
    }
}

impl fmt::Display for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.id.as_str())
    }
}

/// The id under which a person is found again in Scalekit, and which the application reads as `xuid`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ExternalId(String);

impl ExternalId {
    /// An id as Scalekit returned it.
    pub(crate) fn received(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a source's external ids are written: text with `{id}` and, optionally, `{source}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExternalIdTemplate(String);

impl ExternalIdTemplate {
    /// `None` unless `{id}` occurs exactly once and no other brace does, `{source}` apart.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.replacen("{id}", "", 1).replacen("{source}", "", 1);
        (text.contains("{id}") && !rest.contains(['{', '}'])).then(|| Self(text.to_owned()))
    }

    /// The default: the bare id with one source, `source:id` with several.
    pub(crate) fn default_for(sources: usize) -> Self {
        Self(if sources <= 1 { "{id}" } else { "{source}:{id}" }.to_owned())
    }

    /// The external id of a person. The id goes in last, so braces inside it mean nothing.
    pub(crate) fn render(&self, key: &PersonKey) -> ExternalId {
        ExternalId(self.0.replacen("{source}", key.source.as_str(), 1).replacen("{id}", key.id.as_str(), 1))
    }

    /// Whether an external id can be one of this source's: written with this template from some id.
    pub(crate) fn could_be(&self, source: &SourceName, id: &ExternalId) -> bool {
        let written = self.0.replacen("{source}", source.as_str(), 1);
        let Some((before, after)) = written.split_once("{id}") else { return false };
        let rest = id.as_str().strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        rest.is_some_and(|rest| !rest.is_empty())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person typed to say who they are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginName {
    typed: String,
    email: Option<CanonicalEmail>,
}

impl LoginName {
    /// The longest typed name that is looked at, in bytes.
    pub(crate) const MAX_BYTES: usize = 512;

    /// `None` when nothing is left after trimming SP and TAB, when it is too long, or holds control characters.
    pub(crate) fn parse(typed: &str) -> Option<Self> {
        let trimmed = typed.trim_matches([' ', '\t']);
        let fits =
            !trimmed.is_empty() && trimmed.len() <= Self::MAX_BYTES && !trimmed.chars().any(char::is_control);
        fits.then(|| Self { typed: trimmed.to_owned(), email: CanonicalEmail::parse(trimmed).ok() })
    }

    /// As typed, without the blanks around it; what a legacy store is asked for.
    pub(crate) fn as_typed(&self) -> &str {
        &self.typed
    }

    /// The canonical address when what was typed is one.
    pub(crate) fn email(&self) -> Option<&CanonicalEmail> {
        self.email.as_ref()
    }

    /// What buckets and aliases are computed from: the canonical e-mail, else the trimmed bytes.
    pub(crate) fn canonical(&self) -> &str {
        self.email.as_ref().map_or(&self.typed, CanonicalEmail::as_str)
    }
}

impl fmt::Debug for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A person's name in logs and audit events: the first 16 hex digits of a keyed hash (SEC-51).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Subject(String);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes as lower-case hex digits, as names of hashes are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 0xf)]);
    }
    text
}

/// The key of the hash behind [`Subject`].
#[derive(Clone)]
pub(crate) struct SubjectKey(hmac::Key);

impl SubjectKey {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The subject of a canonical identifier (the e-mail where there is one).
    pub(crate) fn subject(&self, canonical: &str) -> Subject {
        let tag = hmac::sign(&self.0, canonical.as_bytes());
        Subject(hex(tag.as_ref().get(..8).unwrap_or_default()))
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_id_follows_its_template() {
        let key = PersonKey {
            source: SourceName::parse("crm").unwrap(),
            id: LegacyId::parse("a{source}b").unwrap(),
        };
        assert_eq!(ExternalIdTemplate::default_for(1).render(&key).as_str(), "a{source}b");
        assert_eq!(ExternalIdTemplate::default_for(2).render(&key).as_str(), "crm:a{source}b");
        assert_eq!(ExternalIdTemplate::parse("old-{id}").unwrap().render(&key).as_str(), "old-a{source}b");
        for bad in ["", "{source}", "{id}{id}", "{id}{x}"] {
            assert!(ExternalIdTemplate::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_login_name_is_its_canonical_email_or_its_trimmed_bytes() {
        assert_eq!(LoginName::parse(" Ann@Example.COM\t").unwrap().canonical(), "ann@example.com");
        assert_eq!(LoginName::parse(" Ann ").unwrap().canonical(), "Ann");
        assert!(LoginName::parse(" \t ").is_none());
        assert!(LoginName::parse("a\nb").is_none());
    }

    #[test]
    fn a_source_name_cannot_be_mistaken_for_a_key() {
        for bad in ["", "a:b", "-a", "A", "a b", "x".repeat(33).as_str()] {
            assert!(SourceName::parse(bad).is_none(), "{bad}");
        }
    }
}
