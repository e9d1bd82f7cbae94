//! Reads the tree as Rust types, in our own words and with the exact path of what does not fit.
//!
//! Its errors never hold a value's content: a password typed where a number belongs must not be printed.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor, value::StrDeserializer,
    },
};

use super::{Entry, Kind, Node, Step};

/// Why a value does not fit, and where.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    /// From the inside out.
    steps: Vec<Step>,
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), steps: Vec::new() }
    }

    fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// From the root to the culprit.
    pub(super) fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key: remove it, or use one of {}", listed(known)))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", listed(known)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("`{name}` is missing: add it"))
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// A value to be read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a Node);

impl<'a> Reader<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self(node)
    }

    /// A whole number; from the environment it comes as text.
    fn whole(self) -> Result<u64, Failure> {
        match &self.0.kind {
            Kind::Unsigned(number) => Some(*number),
            Kind::Given(text) => text.parse().ok(),
            _ => None,
        }
        .ok_or_else(|| Failure::new("must be a whole number, not negative"))
    }
}

/// Only the entries that are not switched off and say something.
fn present(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| !entry.value.off)
}

macro_rules! whole_numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.visit_u64(self.whole()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Unsigned(value) => visitor.visit_u64(*value),
            Kind::Signed(value) => visitor.visit_i64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(text) | Kind::Given(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if matches!(self.0.kind, Kind::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.kind {
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Given(text) if text == "true" || text == "false" => visitor.visit_bool(text == "true"),
            _ => Err(Failure::new("must be true or false")),
        }
    }

    whole_numbers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.kind {
            Kind::Text(text) | Kind::Given(text) => visitor.visit_str(text),
            Kind::List(_) | Kind::Map(_) => Err(Failure::new("must be text")),
            Kind::Null => Err(Failure::new("must be text, but there is nothing")),
            _ => Err(Failure::new("must be text: put it in quotes")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.kind {
            Kind::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            _ => Err(Failure::new("must be a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.kind {
            Kind::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
            _ => Err(Failure::new("must be a mapping: `key: value` lines, indented below it")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let known = || Failure::new(format!("must be one of {}", listed(variants)));
        match &self.0.kind {
            Kind::Text(name) | Kind::Given(name) => visitor.visit_enum(Choice { name, content: None }),
            Kind::Map(entries) => {
                let mut chosen = present(entries);
                match (chosen.next(), chosen.next()) {
                    (Some(entry), None) => {
                        visitor.visit_enum(Choice { name: &entry.key, content: Some(&entry.value) })
                    }
                    _ => Err(Failure::new(format!("must have exactly one of {}", listed(variants)))),
                }
            }
            _ => Err(known()),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        while let Some(item) = self.items.get(self.next) {
            self.next += 1;
            if !item.off {
                let step = Step::Index(self.next - 1);
                return seed.deserialize(Reader(item)).map(Some).map_err(|failure| failure.within(step));
            }
        }
        Ok(None)
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        while let Some((entry, rest)) = self.entries.split_first() {
            self.entries = rest;
            if !entry.value.off {
                self.value = Some(entry);
                let key: StrDeserializer<'_, Failure> = entry.key.as_str().into_deserializer();
                let within = |failure: Failure| failure.within(Step::Key(entry.key.clone()));
                return seed.deserialize(key).map(Some).map_err(within);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let entry = self.value.take().ok_or_else(|| Failure::new("a value was asked for before its key"))?;
        let within = |failure: Failure| failure.within(Step::Key(entry.key.clone()));
        seed.deserialize(Reader(&entry.value)).map_err(within)
    }
}

/// A choice among names, alone or with content: `shadow`, or `app: {url: …}`.
struct Choice<'a> {
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: StrDeserializer<'_, Failure> = self.name.into_deserializer();
        let within = |failure: Failure| match self.content {
            Some(_) => failure.within(Step::Key(self.name.to_owned())),
            None => failure,
        };
        Ok((seed.deserialize(name).map_err(within)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.content {
            Some(node) if !matches!(node.kind, Kind::Null) => {
                Err(Failure::new(format!("must be just `{}`, with nothing below it", self.name)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        let content =
            self.content.ok_or_else(|| Failure::new(format!("`{}` needs a value below it", self.name)))?;
        let within = |failure: Failure| failure.within(Step::Key(self.name.to_owned()));
        seed.deserialize(Reader(content)).map_err(within)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Failure> {
        Err(Failure::new(format!("`{}` cannot be a list", self.name)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let content = self.content.ok_or_else(|| {
            Failure::new(format!("`{}` needs more below it: {}", self.name, listed(fields)))
        })?;
        let within = |failure: Failure| failure.within(Step::Key(self.name.to_owned()));
        Reader(content).deserialize_struct("", fields, visitor).map_err(within)
    }
}
