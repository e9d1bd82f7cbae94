//! YAML text to a tree. Strict: one document, no key twice, no anchors, aliases or merges, small and shallow.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{Entry, Kind, Node};
use crate::config::problem::{Position, Problem};

/// The largest file that is read; a real one has a few KiB.
const LARGEST_FILE_BYTES: usize = 1 << 20;
const DEEPEST: usize = 32;

/// Reads a file's text. An empty file is an empty mapping, whose missing parts are told later.
pub(in crate::config) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > LARGEST_FILE_BYTES {
        return Err(Problem::new("", "the file is larger than 1 MiB: this is no configuration"));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_documents: 1,
            max_aliases: 0,
            max_anchors: 0,
            max_merge_keys: 0,
        },
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let node = serde_saphyr::from_str_with_options::<Option<Spanned<Node>>>(text, options);
    let node = node.map(|node| node.map_or_else(|| Node::new(Kind::Null), placed));
    let mut node = node.map_err(|error| Problem {
        path: String::new(),
        text: format!("not valid YAML: {}", plain(&error)),
        position: error.location().map(position),
    })?;
    match node.kind {
        Kind::Null => node.kind = Kind::Map(Vec::new()),
        Kind::Map(_) => {}
        _ => return Err(Problem::new("", "must be a mapping of sections, such as `public:`")),
    }
    Ok(node)
}

fn position(location: serde_saphyr::Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

/// The parser's words without the source lines (which may hold secrets) and without the position it adds itself.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render();
    let first = text.lines().next().unwrap_or("unreadable").to_owned();
    match first.rfind(" at line ") {
        Some(end) => first[..end].to_owned(),
        None => first,
    }
}

fn placed(spanned: Spanned<Node>) -> Node {
    Node { position: Some(position(spanned.referenced)), ..spanned.value }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape).map(Self::new)
    }
}

struct Shape;

impl<'de> Visitor<'de> for Shape {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(u64::try_from(value).map_or(Kind::Signed(value), Kind::Unsigned))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Node>>()? {
            items.push(placed(item));
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push(Entry { key, value: placed(map.next_value()?) });
        }
        Ok(Kind::Map(entries))
    }
}
