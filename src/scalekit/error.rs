//! What can go wrong on the way to Scalekit, sorted by what may happen next.
//!
//! The first question is always whether the request may have been carried out ([`Carried`]); the second is who can
//! do something about it ([`ErrorClass`]). Texts hold a status and Scalekit's own error code, never a body, an
//! address or a token: a body may repeat what was sent.

use std::{error::Error as StdError, time::Duration};

use http::StatusCode;
use serde_json::Value;

use crate::{
    login::{CreateError, DirectoryError, ErrorClass},
    net::{Answer, CallError},
    session::SignInError,
};

/// Longest error code of Scalekit's that is repeated.
const CODE_MAX_BYTES: usize = 48;

/// Whether a request was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It never left.
    NotSent,
    /// Answered with a status that is no success.
    Refused(StatusCode),
    /// It left, and what came back says nothing: no answer, or one that cannot be read.
    Unknown,
}

/// One failed call.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) carried: Carried,
    pub(super) class: ErrorClass,
    pub(super) problem: String,
    /// Their own code for it, where they gave one.
    pub(super) code: Option<String>,
    pub(super) cause: Option<Box<dyn StdError + Send + Sync>>,
}

const TRANSIENT: ErrorClass = ErrorClass::Transient { retry_after: None };

impl Trouble {
    /// Nothing was sent, for a reason of ours.
    pub(super) fn not_sent(class: ErrorClass, problem: impl Into<String>) -> Self {
        Self::new(Carried::NotSent, class, problem.into())
    }

    /// Nothing is sent before a moment that Scalekit asked for.
    pub(super) fn held_back(wait: Duration) -> Self {
        let class = ErrorClass::Transient { retry_after: Some(wait) };
        Self::not_sent(class, "not asked: its rate limit was reached a moment ago")
    }

    /// An answer that is no answer to what was asked.
    pub(super) fn garbage(problem: impl Into<String>) -> Self {
        Self::new(Carried::Unknown, TRANSIENT, problem.into())
    }

    /// A refusal found out by looking, not told by a status.
    pub(super) fn permanent(problem: impl Into<String>) -> Self {
        Self::new(Carried::Unknown, ErrorClass::Permanent, problem.into())
    }

    fn new(carried: Carried, class: ErrorClass, problem: String) -> Self {
        Self { carried, class, problem, code: None, cause: None }
    }

    /// Any status outside 2xx.
    pub(super) fn of_status(answer: &Answer, retry_after: Option<Duration>) -> Self {
        let status = answer.status;
        let class = match status.as_u16() {
            401 | 403 => ErrorClass::Misconfigured,
            408 | 425 | 429 | 499 | 500..=599 => ErrorClass::Transient { retry_after },
            400..=499 => ErrorClass::Permanent,
            // A redirect is an answer of something in between: an address that is not the API's.
            _ => ErrorClass::Misconfigured,
        };
        let code = error_code(&answer.body);
        let problem = match &code {
            Some(code) => format!("answered {} ({code})", status.as_u16()),
            None => format!("answered {}", status.as_u16()),
        };
        Self { code, ..Self::new(Carried::Refused(status), class, problem) }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self.carried {
            Carried::Refused(status) => Some(status.as_u16()),
            Carried::NotSent | Carried::Unknown => None,
        }
    }

    /// Whether a call without side effects is worth one more try.
    pub(super) fn is_passing(&self) -> bool {
        self.class == TRANSIENT && self.status() != Some(429)
    }

    pub(super) fn into_directory(self, operation: &'static str) -> DirectoryError {
        DirectoryError { operation, class: self.class, problem: self.problem, cause: self.cause }
    }

    /// REL-03, REL-04: what a failed create allows.
    pub(super) fn into_create(self, operation: &'static str) -> CreateError {
        let carried = self.carried;
        let error = self.into_directory(operation);
        match carried {
            Carried::NotSent => CreateError::NotDone(error),
            Carried::Unknown => CreateError::Unknown(error),
            Carried::Refused(status) => match status.as_u16() {
                400 | 409 | 412 | 422 => CreateError::Refused(error),
                // 408, 499: the server, or one in between, gave up on a request that may have gone on.
                400..=407 | 410..=498 => CreateError::NotDone(error),
                _ => CreateError::Unknown(error),
            },
        }
    }

    pub(super) fn into_sign_in(self) -> SignInError {
        match self.class {
            ErrorClass::Transient { .. } => SignInError::Unavailable(self.problem, self.cause),
            ErrorClass::Permanent => SignInError::Refused(self.problem),
            ErrorClass::Misconfigured => SignInError::Misconfigured(self.problem),
        }
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        let carried = if error.may_have_happened() { Carried::Unknown } else { Carried::NotSent };
        let problem = error.problem().to_owned();
        let class = ErrorClass::Transient { retry_after: error.retry_after() };
        Self { cause: Some(Box::new(error)), ..Self::new(carried, class, problem) }
    }
}

/// Scalekit's own code for an error: `details[].error_code` of a `google.rpc.Status`, `error_code` of a bare
/// `ErrorInfo`, `error` of RFC 6749. `None` for any other body, and for a code that is no code.
fn error_code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let in_details = body.get("details").and_then(Value::as_array).into_iter().flatten();
    let code = in_details
        .chain([&body])
        .find_map(|info| info.get("error_code"))
        .or_else(|| body.get("error"))
        .and_then(Value::as_str)?;
    let is_code = !code.is_empty()
        && code.len() <= CODE_MAX_BYTES
        && code.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn every_error_shape_gives_its_code_and_nothing_else() {
        for (body, code) in [
            (r#"{"code":16,"message":"m","details":[{"@type":"t","error_code":"UNAUTHENTICATED"}]}"#, true),
            (r#"{"code":6,"details":[{"reason":"x"},{"error_code":"UNAUTHENTICATED"}]}"#, true),
            (r#"{"error_code":"UNAUTHENTICATED","debug_info":{}}"#, true),
            (r#"{"error":"UNAUTHENTICATED","error_description":"ann@example.com"}"#, true),
            (r#"{"code":16,"message":"ann@example.com"}"#, false),
            (r#"{"error":"ann@example.com"}"#, false),
            (r#"{"error":{"code":1}}"#, false),
            ("<html>UNAUTHENTICATED</html>", false),
            ("", false),
            ("[]", false),
        ] {
            assert_eq!(error_code(body.as_bytes()).as_deref(), code.then_some("UNAUTHENTICATED"), "{body}");
        }
    }

    #[test]
    fn what_a_failed_create_allows_follows_from_its_status() {
        for (status, expected) in [
            (400, "refused"),
            (409, "refused"),
            (422, "refused"),
            (401, "not done"),
            (403, "not done"),
            (404, "not done"),
            (405, "not done"),
            (413, "not done"),
            (429, "not done"),
            (302, "outcome unknown"),
            (408, "outcome unknown"),
            (499, "outcome unknown"),
            (500, "outcome unknown"),
            (501, "outcome unknown"),
            (502, "outcome unknown"),
            (503, "outcome unknown"),
            (504, "outcome unknown"),
        ] {
            let error = Trouble::of_status(&answer(status, ""), None).into_create("create_user");
            assert!(error.to_string().starts_with(&format!("create {expected}: ")), "{status}: {error}");
        }
    }

    #[test]
    fn the_class_says_who_can_do_something() {
        let class = |status| Trouble::of_status(&answer(status, ""), None).class;
        assert_eq!(class(401), ErrorClass::Misconfigured);
        assert_eq!(class(403), ErrorClass::Misconfigured);
        assert_eq!(class(302), ErrorClass::Misconfigured);
        assert_eq!(class(404), ErrorClass::Permanent);
        assert_eq!(class(400), ErrorClass::Permanent);
        assert_eq!(class(503), TRANSIENT);
        assert_eq!(class(429), TRANSIENT);
    }
}
