//! JSON lines: one object a line.

use std::{fmt, io::BufRead};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, error::Category};

use super::{Fields, ROW_MAX_BYTES, Row, RowProblem};

/// The lines of a file.
pub(super) struct Lines<R> {
    text: R,
    number: u64,
    line: Vec<u8>,
    over: bool,
}

/// What was found where a line could be.
enum Found {
    Line,
    TooLong,
    End,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(text: R) -> Self {
        Self { text, number: 0, line: Vec::new(), over: false }
    }

    /// Reads the next line into `line`, without its end. A line above the bound is read past, not kept.
    fn read_line(&mut self) -> std::io::Result<Found> {
        self.line.clear();
        let (mut length, mut ended) = (0_usize, false);
        while !ended {
            let piece = self.text.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            let room = ROW_MAX_BYTES.saturating_sub(length);
            self.line.extend_from_slice(taken.get(..room.min(taken.len())).unwrap_or_default());
            length += taken.len();
            ended = end.is_some();
            let used = taken.len() + usize::from(ended);
            self.text.consume(used);
        }
        Ok(match length {
            0 if !ended => Found::End,
            above if above > ROW_MAX_BYTES => Found::TooLong,
            _ => Found::Line,
        })
    }

    fn row(&mut self, fields: Result<Fields, RowProblem>) -> Row {
        self.number += 1;
        self.over = fields.as_ref().is_err_and(RowProblem::ends_the_file);
        Row { number: self.number, fields }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while !self.over {
            match self.read_line() {
                Err(error) => return Some(self.row(Err(RowProblem::Io(error)))),
                Ok(Found::End) => return None,
                Ok(Found::TooLong) => return Some(self.row(Err(RowProblem::TooLong))),
                Ok(Found::Line) if self.line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Found::Line) => {
                    let fields = parse(&self.line);
                    return Some(self.row(fields));
                }
            }
        }
        None
    }
}

fn parse(line: &[u8]) -> Result<Fields, RowProblem> {
    let text = std::str::from_utf8(line).map_err(|_| RowProblem::NotUtf8)?;
    match serde_json::from_str(text) {
        Ok(Unique(Value::Object(object))) => Ok(Fields::object(object)),
        Ok(_) => Err(RowProblem::NotAnObject),
        // The error's own text may quote the line; its place may not.
        Err(error) => Err(match error.classify() {
            Category::Data => RowProblem::DuplicateKey,
            Category::Io | Category::Syntax | Category::Eof => RowProblem::NotJson { column: error.column() },
        }),
    }
}

/// A JSON value in which no object names a field twice.
///
/// `serde_json` keeps the last of two; another reader of the same export keeps the first, and then the address that
/// was checked is not the address that is used.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UniqueValue.deserialize(deserializer).map(Self)
    }
}

struct UniqueValue;

impl<'de> DeserializeSeed<'de> for UniqueValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueValue)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(UniqueValue)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Result<String, String>)> {
        super::super::read(bytes, super::super::Kind::JsonLines)
            .map(|row| {
                let email =
                    row.fields.map(|f| f.get("email").and_then(Value::as_str).unwrap_or_default().to_owned());
                (row.number, email.map_err(|problem| problem.to_string()))
            })
            .collect()
    }

    #[test]
    fn a_bad_line_does_not_stop_the_next() {
        let mut bytes = "\u{feff}{\"email\":\"a@example.com\"}\r\n\n  \t\n".as_bytes().to_vec();
        bytes.extend_from_slice(b"{\"email\":\"canary\n");
        bytes.extend_from_slice(b"{\"email\":\"\xff\"}\n");
        bytes.extend_from_slice(b"[\"canary\"]\n\"canary\"\n{} {}\n");
        bytes.extend_from_slice(b"{\"email\":\"b\",\"x\":{\"canary\":1,\"c\\u0061nary\":2}}\n");
        bytes.extend_from_slice(b"{\"email\":\"z@example.com\"}");
        let not_object = "not a JSON object (one object a line is expected)";
        let expected: [Result<&str, &str>; 8] = [
            Ok("a@example.com"),
            Err("not valid JSON at column 16"),
            Err("not UTF-8"),
            Err(not_object),
            Err(not_object),
            Err("not valid JSON at column 4"),
            Err("an object names one field twice"),
            Ok("z@example.com"),
        ];
        let expected: Vec<_> =
            (1..).zip(expected.map(|row| row.map(str::to_owned).map_err(str::to_owned))).collect();
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn a_line_has_a_bound_and_is_not_kept_beyond_it() {
        let row = |padding: usize| format!("{{\"email\":\"a\",\"p\":\"{}\"}}", "x".repeat(padding));
        let around = row(0).len();
        let text = format!(
            "{}\n{}\n{}",
            row(ROW_MAX_BYTES - around),
            row(ROW_MAX_BYTES - around + 1),
            row(ROW_MAX_BYTES - around)
        );
        let rows = read(text.as_bytes());
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[0].1, Ok("a".into()));
        assert_eq!(rows[1], (2, Err("longer than 1 MiB".into())));
        assert_eq!(rows[2], (3, Ok("a".into())));
    }

    #[test]
    fn an_empty_file_has_no_rows() {
        for bytes in [&b""[..], b"\n\n", "\u{feff}".as_bytes(), b" \r\n"] {
            assert!(read(bytes).is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>) {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            proptest::prop_assert!(read(&bytes).len() <= lines);
        }
    }
}
