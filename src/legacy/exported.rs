//! Values of an export, read as a file of hashes reads them, for whoever looks at one before it is a source.
//!
//! A problem is what a row is left out for.

use serde_json::Value;

use super::cells::{Cell, cell_of};

/// What a value cannot be used for: "is not text".
pub(crate) type Problem = &'static str;

pub(crate) fn text(value: Option<&Value>) -> Result<Option<String>, Problem> {
    cell(value).text()
}

pub(crate) fn flag(value: Option<&Value>) -> Result<Option<bool>, Problem> {
    cell(value).flag()
}

/// The text of a password hash, also of one that is an object.
pub(crate) fn hash_text(value: Option<&Value>) -> Result<Option<String>, Problem> {
    cell(value).hash_text()
}

fn cell(value: Option<&Value>) -> Cell {
    value.map_or(Cell::Absent, cell_of)
}
