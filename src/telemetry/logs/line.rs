//! One line of a log.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::Level;

use super::{super::redact::one_line, Format};
use crate::clock::Timestamp;

/// Names every line has; a field of such a name is renamed, so that nobody can forge them.
const FIXED: [&str; 4] = ["time", "level", "target", "message"];

/// A line being put together.
pub(super) struct Line {
    time: Timestamp,
    level: Level,
    target: String,
    message: String,
    fields: Vec<(String, Value)>,
}

impl Line {
    pub(super) fn new(time: Timestamp, level: Level, target: &str) -> Self {
        Self { time, level, target: target.to_owned(), message: String::new(), fields: Vec::new() }
    }

    pub(super) fn message(&mut self, text: &str) {
        text.clone_into(&mut self.message);
    }

    pub(super) fn target(&mut self, text: &str) {
        text.clone_into(&mut self.target);
    }

    /// Adds a field; the later one of a name counts.
    pub(super) fn field(&mut self, name: &str, value: Value) {
        let name = if FIXED.contains(&name) { format!("field.{name}") } else { name.to_owned() };
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// The line as an object.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let fixed = [("time", self.time.to_string()), ("message", self.message.clone())];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        fixed.chain(self.fields.iter().cloned()).collect()
    }

    /// The line with its end.
    pub(super) fn write(&self, format: Format) -> Vec<u8> {
        let mut text = match format {
            Format::Json => self.json(),
            Format::Readable => self.readable(),
        };
        text.push('\n');
        text.into_bytes()
    }

    fn json(&self) -> String {
        let mut text = String::with_capacity(256);
        let fixed = [
            ("time", Value::from(self.time.to_string())),
            ("level", Value::from(self.level.as_str().to_ascii_lowercase())),
            ("target", Value::from(self.target.as_str())),
            ("message", Value::from(self.message.as_str())),
        ];
        let fixed = fixed.iter().map(|(name, value)| (*name, value));
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value));
        for (index, (name, value)) in fixed.chain(fields).enumerate() {
            let _ = write!(text, "{}{}:{value}", if index == 0 { '{' } else { ',' }, Value::from(name));
        }
        text.push('}');
        // JSON itself escapes only the first 32 control characters.
        one_line(&text).into_owned()
    }

    fn readable(&self) -> String {
        let time = self.time.to_string();
        let clock = time.get(11..23).unwrap_or(&time);
        let mut text = format!("{clock} {:<5} {}", self.level.as_str(), self.message);
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let gap = if index == 0 { "  " } else { " " };
            let _ = match value {
                Value::String(value) if value.contains([' ', '"']) || value.is_empty() => {
                    write!(text, "{gap}{name}=\"{value}\"")
                }
                Value::String(value) => write!(text, "{gap}{name}={value}"),
                other => write!(text, "{gap}{name}={other}"),
            };
        }
        one_line(&text).into_owned()
    }
}
