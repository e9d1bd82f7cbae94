//! Export readers: rows of a JSON lines or CSV file, one after the other.
//!
//! A bad row is a [`RowProblem`] with its number and never stops the rows after it; what a problem says never holds
//! what the row holds (hashes and addresses are in these files). Nothing here keeps more than one row in memory,
//! and one row has a bound, so a file may be larger than the machine. Start reading at [`read`].

mod delimited;
mod fields;
mod lines;
mod start;

use std::{io, path::Path};

pub(crate) use fields::Fields;

use crate::config::HashFileKind;

/// The longest row, in bytes: a line of JSON, or a record of CSV with its line ends.
pub(crate) const ROW_MAX_BYTES: usize = 1 << 20;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One JSON object a line.
    JsonLines,
    /// RFC 4180 with a header row.
    Csv,
}

impl Kind {
    /// What the file's name says: `.jsonl`, `.ndjson` and `.json`, or `.csv`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

impl From<HashFileKind> for Kind {
    fn from(kind: HashFileKind) -> Self {
        match kind {
            HashFileKind::JsonLines => Self::JsonLines,
            HashFileKind::Csv => Self::Csv,
        }
    }
}

/// One data row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Data rows are counted from 1, unreadable ones, too; blank lines and the header row are not. A problem of the
    /// file as a whole has the number 0.
    pub(crate) number: u64,
    pub(crate) fields: Result<Fields, RowProblem>,
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowProblem {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("longer than 1 MiB")]
    TooLong,
    /// The column counts bytes of the line from 1.
    #[error("not valid JSON at column {column}")]
    NotJson { column: usize },
    #[error("not a JSON object (one object a line is expected)")]
    NotAnObject,
    #[error("an object names one field twice")]
    DuplicateKey,
    #[error("{found} cells where the header has {expected}")]
    Ragged { found: usize, expected: usize },
    #[error("a quote is opened and never closed")]
    UnclosedQuote,
    /// CSV only: inside an endless quoted cell nobody can say where the next row begins.
    #[error("longer than 1 MiB (a quote that is never closed?); the rest cannot be read")]
    EndlessRecord,
    #[error("header row: {0}")]
    Header(HeaderProblem),
    #[error("the file is {0}, not UTF-8 text")]
    NotText(&'static str),
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
}

impl RowProblem {
    /// Whether no row after this one can be read.
    pub(crate) fn ends_the_file(&self) -> bool {
        match self {
            Self::NotUtf8
            | Self::TooLong
            | Self::NotJson { .. }
            | Self::NotAnObject
            | Self::DuplicateKey
            | Self::Ragged { .. } => false,
            Self::UnclosedQuote | Self::EndlessRecord | Self::Header(_) | Self::NotText(_) | Self::Io(_) => {
                true
            }
        }
    }
}

/// Why a header row names no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderProblem {
    #[error("missing (the file is empty)")]
    Missing,
    #[error("not UTF-8")]
    NotUtf8,
    #[error("column {0} has no name")]
    Empty(usize),
    #[error("columns {0} and {1} have the same name")]
    Duplicate(usize, usize),
    #[error("one column with semicolons or tabs in its name; columns are parted by commas here")]
    OtherDelimiter,
}

/// Reads the rows of an export, in their order.
///
/// A problem of the whole file (no header, not text, an I/O error) is the last item.
pub(crate) fn read<R: io::Read>(reader: R, kind: Kind) -> impl Iterator<Item = Row> {
    match (start::check(reader), kind) {
        (Err(problem), _) => Rows::None(Some(Row { number: 0, fields: Err(problem) })),
        (Ok(text), Kind::JsonLines) => Rows::Lines(lines::Lines::new(text)),
        (Ok(text), Kind::Csv) => Rows::Csv(delimited::Delimited::new(text)),
    }
}

/// The rows of a file of either kind.
enum Rows<R> {
    /// Not a file with rows; the problem that says so, until it was told.
    None(Option<Row>),
    Lines(lines::Lines<start::Text<R>>),
    Csv(delimited::Delimited<start::Text<R>>),
}

impl<R: io::Read> Iterator for Rows<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        match self {
            Self::None(problem) => problem.take(),
            Self::Lines(rows) => rows.next(),
            Self::Csv(rows) => rows.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_says_the_kind() {
        for (name, kind) in [
            ("a.jsonl", Some(Kind::JsonLines)),
            ("a.NDJSON", Some(Kind::JsonLines)),
            ("a.json", Some(Kind::JsonLines)),
            ("a.b.csv", Some(Kind::Csv)),
            ("csv", None),
            ("a.txt", None),
        ] {
            assert_eq!(Kind::of(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn what_is_not_text_is_named_before_any_row() {
        for (bytes, what) in [
            (&b"\xff\xfe{\x00"[..], "UTF-16"),
            (&b"\xfe\xff\x00{"[..], "UTF-16"),
            (&b"\x1f\x8b\x08\x00"[..], "gzip"),
            (&b"PK\x03\x04"[..], "zip"),
        ] {
            for kind in [Kind::JsonLines, Kind::Csv] {
                let rows: Vec<Row> = read(bytes, kind).collect();
                assert_eq!(rows.len(), 1);
                assert_eq!(rows[0].number, 0);
                let problem = rows[0].fields.as_ref().unwrap_err();
                assert!(problem.ends_the_file());
                assert!(problem.to_string().contains(what), "{problem}");
            }
        }
    }

    struct Broken;

    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable"))
        }
    }

    #[test]
    fn a_file_that_breaks_off_says_so_and_ends() {
        let line = b"email\n\"ann@example.com\"\n";
        let json = b"{\"email\":\"ann@example.com\"}\n";
        for (kind, bytes) in [(Kind::Csv, &line[..]), (Kind::JsonLines, &json[..])] {
            let rows: Vec<Row> = read(io::Read::chain(bytes, Broken), kind).collect();
            assert_eq!(rows.len(), 2, "{kind:?}");
            assert!(rows[0].fields.is_ok());
            assert_eq!(rows[1].number, 2);
            assert!(matches!(rows[1].fields, Err(RowProblem::Io(_))));
        }
    }
}
