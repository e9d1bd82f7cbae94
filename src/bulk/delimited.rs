//! CSV as RFC 4180 has it: a header row, commas, double quotes.

use std::{
    cell::Cell,
    collections::HashMap,
    io::{self, Read},
    sync::Arc,
};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use serde_json::Value;

use super::{Fields, HeaderProblem, ROW_MAX_BYTES, Row, RowProblem};

/// The records of a file.
pub(super) struct Delimited<R> {
    reader: Reader<Bounded<R>>,
    columns: Option<Arc<HashMap<String, usize>>>,
    record: ByteRecord,
    number: u64,
    over: bool,
}

impl<R: Read> Delimited<R> {
    pub(super) fn new(text: R) -> Self {
        let bounded = Bounded { text, left: Cell::new(0), at: At::Start, exhausted: false, ended: false };
        Self {
            // Ragged rows are ours to report: the reader's own error would end the file.
            reader: ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bounded),
            columns: None,
            record: ByteRecord::new(),
            number: 0,
            over: false,
        }
    }

    /// Reads the next record into `record`; `false` at the end.
    fn read_record(&mut self) -> Result<bool, RowProblem> {
        self.reader.get_ref().left.set(ROW_MAX_BYTES);
        let found = self.reader.read_byte_record(&mut self.record).map_err(|error| self.problem(error))?;
        // A record that ran into the end of the file with a quote open has swallowed the rows after it.
        let file = self.reader.get_ref();
        if found && file.ended && file.at == At::Quoted {
            return Err(RowProblem::UnclosedQuote);
        }
        Ok(found)
    }

    fn problem(&self, error: csv::Error) -> RowProblem {
        if self.reader.get_ref().exhausted {
            return RowProblem::EndlessRecord;
        }
        match error.into_kind() {
            ErrorKind::Io(error) => RowProblem::Io(error),
            // Ragged rows and UTF-8 are judged here, not by the reader.
            _ => RowProblem::Io(io::Error::other("the CSV reader gave up")),
        }
    }

    fn read_header(&mut self) -> Result<Arc<HashMap<String, usize>>, RowProblem> {
        if !self.read_record()? {
            return Err(RowProblem::Header(HeaderProblem::Missing));
        }
        columns(&self.record).map(Arc::new).map_err(RowProblem::Header)
    }

    fn row(&mut self, fields: Result<Fields, RowProblem>) -> Row {
        self.over = fields.as_ref().is_err_and(RowProblem::ends_the_file);
        Row { number: self.number, fields }
    }
}

impl<R: Read> Iterator for Delimited<R> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.over {
            return None;
        }
        let columns = match self.columns.clone() {
            Some(columns) => columns,
            None => match self.read_header() {
                Ok(columns) => self.columns.insert(columns).clone(),
                Err(problem) => return Some(self.row(Err(problem))),
            },
        };
        let read = self.read_record();
        if matches!(read, Ok(false)) {
            return None;
        }
        self.number += 1;
        let fields = read.and_then(|_| cells(&self.record, columns));
        Some(self.row(fields))
    }
}

fn columns(header: &ByteRecord) -> Result<HashMap<String, usize>, HeaderProblem> {
    let mut columns = HashMap::new();
    for (index, name) in header.iter().enumerate() {
        let name = std::str::from_utf8(name).map_err(|_| HeaderProblem::NotUtf8)?.trim_matches([' ', '\t']);
        if name.is_empty() {
            return Err(HeaderProblem::Empty(index + 1));
        }
        if header.len() == 1 && name.contains([';', '\t']) {
            return Err(HeaderProblem::OtherDelimiter);
        }
        if let Some(first) = columns.insert(name.to_owned(), index) {
            return Err(HeaderProblem::Duplicate(first + 1, index + 1));
        }
    }
    Ok(columns)
}

fn cells(record: &ByteRecord, columns: Arc<HashMap<String, usize>>) -> Result<Fields, RowProblem> {
    if record.len() != columns.len() {
        return Err(RowProblem::Ragged { found: record.len(), expected: columns.len() });
    }
    let mut cells = Vec::with_capacity(record.len());
    for cell in record {
        let text = std::str::from_utf8(cell).map_err(|_| RowProblem::NotUtf8)?;
        cells.push((!text.is_empty()).then(|| Value::from(text)));
    }
    Ok(Fields::cells(columns, cells))
}

/// A place in a cell, as the CSV reader takes it: a quote opens a cell at its start only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// In a cell that is not quoted, or behind its quotes.
    Bare,
    Quoted,
    /// Behind a quote in a quoted cell: the cell's end, or the first of two that mean one.
    Quote,
}

impl At {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::Quote,
            (Self::Start | Self::Quote, b'"') | (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\r' | b'\n') => Self::Start,
            (Self::Start | Self::Bare | Self::Quote, _) => Self::Bare,
        }
    }
}

/// Gives out a limited number of bytes between two refills: the CSV reader keeps a record whole, however long.
struct Bounded<R> {
    text: R,
    /// Refilled before each record. The reader buffers ahead, so the bound is met to within its buffer.
    left: Cell<usize>,
    /// Where the bytes given out end.
    at: At,
    exhausted: bool,
    ended: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left.get());
        if room == 0 {
            self.exhausted = true;
            return Err(io::Error::other("record above the bound"));
        }
        let got = self.text.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.left.set(self.left.get().saturating_sub(got));
        self.ended = got == 0;
        for byte in buffer.get(..got).unwrap_or_default() {
            self.at = self.at.then(*byte);
        }
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Result<Fields, String>)> {
        super::super::read(bytes, Kind::Csv)
            .map(|row| (row.number, row.fields.map_err(|problem| problem.to_string())))
            .collect()
    }

    #[test]
    fn cells_are_read_as_rfc_4180_has_them() {
        let text = "\u{feff}id, email ,\"a.b\"\r\n1,\"a,\"\"b\"\"\r\nc\",x\r\n\r\n2,,\" y \"\r\n";
        let rows = read(text.as_bytes());
        assert_eq!(rows.len(), 2);
        let first = rows[0].1.as_ref().unwrap();
        assert_eq!(first.get("id"), Some(&Value::from("1")));
        assert_eq!(first.get("email"), Some(&Value::from("a,\"b\"\r\nc")));
        assert_eq!(first.get("a.b"), Some(&Value::from("x")));
        let second = rows[1].1.as_ref().unwrap();
        assert_eq!(rows[1].0, 2);
        assert!(second.get("email").is_none(), "an empty cell is absent");
        assert_eq!(second.get("a.b"), Some(&Value::from(" y ")), "cells are not trimmed");
    }

    #[test]
    fn a_bad_record_does_not_stop_the_next() {
        let rows = read(b"a,b\n1,2\n1\n1,2,3\n\xff,2\n1,2");
        let problems: Vec<_> = rows.iter().map(|(n, row)| (*n, row.as_ref().err().cloned())).collect();
        assert_eq!(
            problems,
            [
                (1, None),
                (2, Some("1 cells where the header has 2".into())),
                (3, Some("3 cells where the header has 2".into())),
                (4, Some("not UTF-8".into())),
                (5, None),
            ]
        );
    }

    #[test]
    fn a_header_names_each_column_once() {
        for (bytes, problem) in [
            (&b""[..], "header row: missing (the file is empty)"),
            (b"\n\n", "header row: missing (the file is empty)"),
            (b"a,,b\n1,2,3\n", "header row: column 2 has no name"),
            (b"a,b, a\n1,2,3\n", "header row: columns 1 and 3 have the same name"),
            (b"a,\xff\n1,2\n", "header row: not UTF-8"),
            (
                b"a;b\n1;2\n",
                "header row: one column with semicolons or tabs in its name; columns are parted by commas here",
            ),
        ] {
            let rows = read(bytes);
            assert_eq!(rows.len(), 1, "{problem}");
            assert_eq!(rows[0].0, 0);
            assert_eq!(rows[0].1.as_ref().unwrap_err(), problem);
        }
        assert!(read(b"a,b\n").is_empty());
    }

    #[test]
    fn a_quote_that_is_never_closed_swallows_nothing_in_silence() {
        let rows = read(b"a,b\n1,2\n1,\"2\n3,4\n5,6\n");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].1.as_ref().unwrap_err(), "a quote is opened and never closed");
        assert!(read(b"a,b\n1,\"2\"").iter().all(|(_, row)| row.is_ok()));

        // A quote inside a cell that is not quoted opens nothing.
        for end in ["", "\n", "\r\n"] {
            let rows = read(format!("a,b\n5\" pipe,2\n3,4{end}").as_bytes());
            assert_eq!(rows.len(), 2, "{end:?}");
            assert!(rows.iter().all(|(_, row)| row.is_ok()), "{end:?} {rows:?}");
            assert_eq!(rows[0].1.as_ref().unwrap().get("a"), Some(&Value::from("5\" pipe")));
            for open in ["3,\"4", "3,\"4\"\"", "3,\"4\"\"5", "3,\"4,5"] {
                let rows = read(format!("a,b\n5\" pipe,2\n{open}{end}").as_bytes());
                let problem = rows[1].1.as_ref().unwrap_err();
                assert_eq!(problem, "a quote is opened and never closed", "{open} {end:?}");
            }
            let rows = read(format!("a,b\n5\" pipe,2\n3,4\" x{end}").as_bytes());
            assert!(rows.iter().all(|(_, row)| row.is_ok()), "{end:?} {rows:?}");
        }

        let endless = format!("a\n1\n\"{}", "x\n".repeat(ROW_MAX_BYTES));
        let rows = read(endless.as_bytes());
        assert_eq!(rows.len(), 2);
        assert!(rows[1].1.as_ref().unwrap_err().starts_with("longer than 1 MiB"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes: Vec<u8>) {
            let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            proptest::prop_assert!(read(&bytes).len() <= lines);
        }
    }
}
