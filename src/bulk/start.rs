//! The first bytes of a file: a byte order mark is dropped, what is not text is named.

use std::io::{self, BufReader, Cursor, Read};

use super::RowProblem;

/// A file after its first bytes were looked at.
pub(super) type Text<R> = BufReader<io::Chain<Cursor<Vec<u8>>, R>>;

/// Signatures of what people hand in instead of text.
const NOT_TEXT: [(&[u8], &str); 4] = [
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"PK\x03\x04", "compressed (zip)"),
];

/// Looks at the first bytes.
pub(super) fn check<R: Read>(mut reader: R) -> Result<Text<R>, RowProblem> {
    let mut head = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut head).map_err(RowProblem::Io)?;
    if let Some((_, name)) = NOT_TEXT.iter().find(|(signature, _)| head.starts_with(signature)) {
        return Err(RowProblem::NotText(name));
    }
    if head.starts_with("\u{feff}".as_bytes()) {
        head.drain(..3);
    }
    Ok(BufReader::with_capacity(64 * 1024, Cursor::new(head).chain(reader)))
}
