//! Errors of the stores, worded without any secret or personal data.

use crate::{
    identity::SourceName,
    login::{Counted, ErrorClass, LegacyError},
    net::CallError,
};

/// May work later.
pub(super) const TRANSIENT: ErrorClass = ErrorClass::Transient { retry_after: None };

/// An error of a source without an underlying cause. That it can take nobody now, or does not take us, is no judgement of a
/// guess; what is about this one request may be a verdict in words that we do not know.
pub(super) fn failure(source: &SourceName, class: ErrorClass, problem: impl Into<String>) -> LegacyError {
    let counted = if class == ErrorClass::Permanent { Counted::Perhaps } else { Counted::No };
    LegacyError { source_name: source.clone(), class, problem: problem.into(), counted, cause: None }
}

/// The source answered, but not what it was asked.
pub(super) fn garbage(source: &SourceName, problem: impl Into<String>) -> LegacyError {
    failure(source, TRANSIENT, problem)
}

/// No usable answer came: slow, cut off, too large, or nobody there.
pub(super) fn unanswered(source: &SourceName, error: CallError) -> LegacyError {
    let class = ErrorClass::Transient { retry_after: error.retry_after() };
    let counted = if error.is_unheard() { Counted::Perhaps } else { Counted::No };
    let cause: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(error));
    LegacyError { counted, cause, ..failure(source, class, "no usable answer") }
}

/// An error of a call before a guess was sent, or after one was right: nobody counts a failure for it.
pub(super) fn uncounted(error: LegacyError) -> LegacyError {
    LegacyError { counted: Counted::No, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_been_a_verdict_may_have_been_counted() {
        let source = SourceName::parse("crm").unwrap();
        let no_answer = |problem| CallError::NoAnswer { name: "okta", problem, cause: None };
        for (error, counted) in [
            (garbage(&source, "a page"), Counted::No),
            (
                failure(&source, ErrorClass::Misconfigured, "answered 401: `auth` is not accepted"),
                Counted::No,
            ),
            (failure(&source, ErrorClass::Permanent, "answered 400 E0009999"), Counted::Perhaps),
            (unanswered(&source, no_answer("no answer in time")), Counted::Perhaps),
            (uncounted(unanswered(&source, no_answer("no answer in time"))), Counted::No),
            (
                unanswered(&source, CallError::Unreadable { name: "okta", problem: "cut off", cause: None }),
                Counted::No,
            ),
            (
                unanswered(
                    &source,
                    CallError::NotSent { name: "okta", problem: "no connection", cause: None },
                ),
                Counted::No,
            ),
        ] {
            assert_eq!(error.counted, counted, "{error}");
        }
    }
}
