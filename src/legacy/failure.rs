//! Errors of the stores, worded without any secret or personal data.

use crate::{
    identity::SourceName,
    login::{ErrorClass, LegacyError, Reached},
    net::CallError,
};

/// May work later.
pub(super) const TRANSIENT: ErrorClass = ErrorClass::Transient { retry_after: None };

/// An error of a source without an underlying cause.
pub(super) fn failure(source: &SourceName, class: ErrorClass, problem: impl Into<String>) -> LegacyError {
    LegacyError {
        source_name: source.clone(),
        class,
        problem: problem.into(),
        reached: Reached::Perhaps,
        cause: None,
    }
}

/// The source answered, but not what it was asked.
pub(super) fn garbage(source: &SourceName, problem: impl Into<String>) -> LegacyError {
    failure(source, TRANSIENT, problem)
}

/// No usable answer came: slow, cut off, too large, or nobody there.
pub(super) fn unanswered(source: &SourceName, error: CallError) -> LegacyError {
    let class = ErrorClass::Transient { retry_after: error.retry_after() };
    let reached = if error.may_have_happened() { Reached::Perhaps } else { Reached::No };
    let cause: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(error));
    LegacyError { reached, cause, ..failure(source, class, "no usable answer") }
}
