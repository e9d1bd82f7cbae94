//! The two streams of a command line program, in one place.

use std::io::Write as _;

/// Writes one line of result to standard output. A reader that has gone away (`| head`) is no failure.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes one line for the person to standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says what went wrong, with its causes, on standard error.
pub(super) fn error(error: &anyhow::Error) {
    note(&format!("error: {error:#}"));
}
