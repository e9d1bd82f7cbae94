//! How long a test plays, and where it says what it measured.

use std::io::Write as _;

/// Whether the long form of the tests runs: `CROSSFADE_TESTS=long tests/run`.
pub(crate) fn long() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting, not the product's")]
    let form = std::env::var_os("CROSSFADE_TESTS");
    form.is_some_and(|form| form == "long")
}

/// Prints a measurement, also when the test passes: `tests/run` repeats these lines at its end.
pub(crate) fn note(text: &str) {
    // In one piece, past the test runner, which shows only what failing tests print.
    let _ = std::io::stdout().write_all(format!("figure: {text}\n").as_bytes());
}
