//! What each answer of the service means (legacy-stores.md §2): 200 with the content asked for, or an error by status and
//! code. What is not in the table is never a word about a guess.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    legacy::failure::TRANSIENT,
    login::{ErrorClass, Rejection},
    net::{Answer, LEAST_WAIT, is_nested_too_deeply, retry_after_field},
};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A word about the guess.
    Rejected(Rejection),
    /// The thing asked for is not there.
    NotFound,
    /// No word about the guess at all.
    Failed { class: ErrorClass, problem: String },
}

/// The code of an error object. Nothing else of it is read, since the texts may repeat what was sent.
fn code_of(answer: &Answer) -> Option<u64> {
    serde_json::from_slice::<Value>(&answer.body).ok()?.get("code")?.as_u64()
}

/// The content of a 200, or what the error answer means.
pub(super) fn content<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refusal> {
    if answer.status != http::StatusCode::OK {
        return Err(refusal(answer));
    }
    let garbage = || Refusal::Failed {
        class: TRANSIENT,
        problem: "answered 200 with something that is not what was asked for".to_owned(),
    };
    // All it gives are objects; the parser would also take a list of an object's values for one.
    if is_nested_too_deeply(&answer.body) || !answer.body.trim_ascii_start().starts_with(b"{") {
        return Err(garbage());
    }
    // The parser's message may quote the answer, so it is dropped.
    serde_json::from_slice(&answer.body).map_err(|_| garbage())
}

/// What an answer other than 200 means.
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let status = answer.status.as_u16();
    let failed =
        |class, problem: &str| Refusal::Failed { class, problem: format!("answered {status}{problem}") };
    if status == 429 {
        let wait = retry_after_field(&answer.headers).or(Some(LEAST_WAIT));
        return failed(ErrorClass::Transient { retry_after: wait }, "");
    }
    if status >= 500 {
        let wait = retry_after_field(&answer.headers);
        return failed(ErrorClass::Transient { retry_after: wait }, "");
    }
    if (300..400).contains(&status) {
        return failed(ErrorClass::Misconfigured, ": the address is not the service's own");
    }
    let Some(code) = code_of(answer) else {
        return failed(TRANSIENT, " without an error code");
    };
    match (status, code) {
        (400, 7100) => Refusal::Rejected(Rejection::WrongPassword),
        // Whether the password was looked at before the state is not known: these prove nothing.
        (400, 7101 | 7102 | 7105 | 7106 | 7107) => Refusal::Rejected(Rejection::Disabled),
        (400, 7103) => Refusal::Rejected(Rejection::Locked),
        (400, 7104) => Refusal::Rejected(Rejection::Unknown),
        (400, 7200 | 7201) => failed(TRANSIENT, &format!(": its social provider failed (code {code})")),
        (401 | 403, _) => failed(
            ErrorClass::Misconfigured,
            &format!(": the API key is wrong, or may not do this (code {code})"),
        ),
        (404, _) => Refusal::NotFound,
        _ => failed(ErrorClass::Permanent, &format!(" (code {code})")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn class(status: u16, body: &str) -> ErrorClass {
        match refusal(&answer(status, body)) {
            Refusal::Failed { class, .. } => class,
            other => panic!("{status} {body}: {other:?}"),
        }
    }

    #[test]
    fn an_answer_that_names_nothing_known_is_never_a_word_about_the_guess() {
        for body in
            ["<html>", r#"{"code": "7100"}"#, r#"{"status": 400}"#, r#"{"code": 7100.5}"#, "[7100]", ""]
        {
            assert_eq!(class(400, body), TRANSIENT, "{body}");
            assert_eq!(class(404, body), TRANSIENT, "{body}");
        }
        assert_eq!(class(400, r#"{"code": 7999}"#), ErrorClass::Permanent);
        // The code belongs to another status.
        assert_eq!(class(409, r#"{"code": 7100}"#), ErrorClass::Permanent);
        assert_eq!(class(401, r#"{"code": 7100}"#), ErrorClass::Misconfigured);
        assert_eq!(class(500, r#"{"code": 7100}"#), TRANSIENT);
        assert_eq!(class(302, r#"{"code": 7100}"#), ErrorClass::Misconfigured);
        assert_eq!(class(204, ""), TRANSIENT);
    }

    #[test]
    fn only_a_whole_200_is_content() {
        let read = |status, body: &str| content::<Value>(&answer(status, body)).is_ok();
        assert!(
            read(200, " {}")
                && !read(200, "[]")
                && !read(201, "{}")
                && !read(200, "<html>")
                && !read(200, "")
        );
        assert!(!read(200, &format!("{}{}", "[".repeat(65), "]".repeat(65))));
    }

    #[test]
    fn a_wait_is_passed_on_up_to_a_minute() {
        for (told, wait) in [(None, 1), (Some("7"), 7), (Some("0"), 1), (Some("86400"), 60)] {
            let mut limited = answer(429, "{}");
            if let Some(told) = told {
                limited.headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(told));
            }
            let Refusal::Failed { class: ErrorClass::Transient { retry_after }, .. } = refusal(&limited)
            else {
                panic!("not transient");
            };
            assert_eq!(retry_after, Some(Duration::from_secs(wait)));
        }
    }
}
