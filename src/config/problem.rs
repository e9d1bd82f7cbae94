//! What is wrong with a configuration, and what is merely worth knowing.

use std::fmt;

use serde::Serialize;

/// A place in the configuration file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Position {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// One reason to refuse a configuration: where, what, and how to mend it. Never holds the content of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Such as `legacy.sources[1].okta.url`; empty when the file as a whole is meant.
    pub(crate) path: String,
    pub(crate) text: String,
    #[serde(flatten)]
    pub(crate) position: Option<Position>,
}

impl Problem {
    pub(crate) fn new(path: impl fmt::Display, text: impl Into<String>) -> Self {
        Self { path: path.to_string(), text: text.into(), position: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, together; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    pub(super) fn one(path: impl fmt::Display, text: impl Into<String>) -> Self {
        Self(vec![Problem::new(path, text)])
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let line_break = if n == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

/// Something allowed that an operator should know, in the same form as a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Warning(pub(crate) Problem);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The path of one value, as problems name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct At(String);

impl At {
    pub(super) fn section(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn key(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
