//! Values as sources give them, and what may be read from them: text, booleans and nothing by guessing.

use std::sync::Arc;

use serde_json::Value;

/// One value as a source gave it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// The row has no such member (JSON only).
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Cell>),
    /// A JSON object, as its text: some systems export hashes so.
    Object(String),
    /// A type nothing is read from: times, fractions.
    Other,
}

impl Cell {
    /// A whole number; one that 64 bits cannot hold is its digits.
    pub(super) fn whole(number: i128) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Text(number.to_string()), Self::Int)
    }

    /// Text without the blanks that `CHAR(n)` pads with; empty is none.
    pub(super) fn text(&self) -> Result<Option<String>, &'static str> {
        let text = match self {
            Self::Absent | Self::Null => return Ok(None),
            Self::Int(number) => number.to_string(),
            Self::Text(text) => text.trim_end_matches(' ').to_owned(),
            Self::Bytes(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
                text.trim_end_matches([' ', '\0']).to_owned()
            }
            Self::Bool(_) | Self::List(_) | Self::Object(_) | Self::Other => return Err("is not text"),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A boolean in one of the spellings that cannot mean anything else.
    pub(super) fn flag(&self) -> Result<Option<bool>, &'static str> {
        let text = match self {
            Self::Absent | Self::Null => return Ok(None),
            Self::Bool(flag) => return Ok(Some(*flag)),
            Self::Int(number) => number.to_string(),
            // BIT(1) of some drivers.
            Self::Bytes(bytes) if bytes.len() == 1 && bytes.first().is_some_and(|b| *b <= 1) => {
                return Ok(bytes.first().map(|b| *b == 1));
            }
            Self::Text(text) => text.trim().to_ascii_lowercase(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).trim().to_ascii_lowercase(),
            Self::List(_) | Self::Object(_) | Self::Other => return Err("is not a boolean"),
        };
        match text.as_str() {
            "" => Ok(None),
            "1" | "t" | "true" | "y" | "yes" => Ok(Some(true)),
            "0" | "f" | "false" | "n" | "no" => Ok(Some(false)),
            _ => Err("is not a boolean"),
        }
    }

    /// The text of a password hash, without the blanks that `CHAR(n)` pads with; empty is none.
    pub(super) fn hash_text(&self) -> Result<Option<String>, &'static str> {
        let text = match self {
            Self::Text(text) | Self::Object(text) => text.clone(),
            Self::Bytes(bytes) => bytes_as_text(bytes, |b| b.is_ascii_graphic() || b == b' '),
            Self::Absent | Self::Null => return Ok(None),
            Self::Bool(_) | Self::Int(_) | Self::List(_) | Self::Other => return Err("is not text"),
        };
        let text = text.trim_end_matches([' ', '\t', '\r', '\n']).to_owned();
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// The values of one row under the names the configuration gives their columns. The names are shared by all rows.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) columns: Arc<[String]>,
    /// By the place of their column; what is absent is left out, since a file of people is kept in memory.
    pub(super) cells: Box<[(usize, Cell)]>,
}

/// A column whose value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub(super) struct Unreadable {
    pub(super) column: String,
    pub(super) problem: &'static str,
}

pub(super) type Read<T> = Result<T, Unreadable>;

impl Fields {
    /// One cell for each column, in their order.
    pub(super) fn new(columns: &Arc<[String]>, cells: Vec<Cell>) -> Self {
        let there = cells.into_iter().enumerate().filter(|(_, cell)| *cell != Cell::Absent);
        Self { columns: Arc::clone(columns), cells: there.collect() }
    }

    pub(super) fn get(&self, column: &str) -> &Cell {
        let at = self.columns.iter().position(|name| name == column);
        let mut cells = self.cells.iter();
        cells.find(|(place, _)| Some(*place) == at).map_or(&Cell::Absent, |(_, cell)| cell)
    }

    pub(super) fn text(&self, column: &str) -> Read<Option<String>> {
        self.get(column).text().map_err(|problem| unreadable(column, problem))
    }

    pub(super) fn optional(&self, column: Option<&String>) -> Read<Option<String>> {
        column.map_or(Ok(None), |column| self.text(column))
    }

    pub(super) fn flag(&self, column: &str) -> Read<Option<bool>> {
        self.get(column).flag().map_err(|problem| unreadable(column, problem))
    }

    /// A flag whose *true* forbids. Exports leave it out where it is not set, so a member that is not there is
    /// *false*; one that is there without a value is not known.
    pub(super) fn negative_flag(&self, column: Option<&String>) -> Read<Option<bool>> {
        match column {
            None => Ok(Some(false)),
            Some(column) if *self.get(column) == Cell::Absent => Ok(Some(false)),
            Some(column) => self.flag(column),
        }
    }
}

/// Bytes of a binary column: text where every byte `fits`, else hex.
pub(super) fn bytes_as_text(bytes: &[u8], fits: impl Fn(u8) -> bool) -> String {
    // BINARY(n) pads with NUL; a raw digest may end in one, and then it is no text.
    let unpadded = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let text = bytes.get(..unpadded).unwrap_or_default();
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(fits) => text.to_owned(),
        _ => hex(bytes),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

pub(super) fn unreadable(column: &str, problem: &'static str) -> Unreadable {
    Unreadable { column: column.to_owned(), problem }
}

/// A JSON value as a cell.
pub(super) fn cell_of(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Bool(*flag),
        Value::Number(number) if number.is_f64() => Cell::Other,
        Value::Number(number) => number.as_i64().map_or_else(|| Cell::Text(number.to_string()), Cell::Int),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Array(items) => Cell::List(items.iter().map(cell_of).collect()),
        Value::Object(_) => Cell::Object(value.to_string()),
    }
}
