//! Asking a person before something that cannot be taken back.

use std::io::{BufRead as _, IsTerminal as _};

use super::{admin_client::AdminFailure, output};

/// Asks at a terminal; elsewhere nobody can answer, and nothing is done by mistake. `warning` says what will happen,
/// `why` why that is asked.
pub(super) fn is_given(warning: &str, why: &str) -> Result<bool, AdminFailure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(AdminFailure::BadInput(format!("{why}: say --yes where nobody can be asked")));
    }
    output::note(&format!("{warning} Type yes to go on:"));
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    Ok(read.is_ok() && line.trim() == "yes")
}
