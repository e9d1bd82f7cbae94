//! Black-box tests: they start the built program and talk to it.

#![expect(clippy::unwrap_used, reason = "a helper that panics fails its test, as it should")]

mod simulate;
