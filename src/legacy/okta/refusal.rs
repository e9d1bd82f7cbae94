//! What each answer of the organisation means (legacy-stores.md §1): 200 with the content asked for, or an error by
//! status and code. What is not in the table is never a word about a guess.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    legacy::failure::TRANSIENT,
    login::{ErrorClass, Rejection, StayReason},
    net::{Answer, LEAST_WAIT, is_nested_too_deeply, retry_after, retry_after_field},
};

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A word about the guess.
    Rejected(Rejection),
    Stay(StayReason),
    /// The thing asked for is not there.
    NotFound,
    /// No word about the guess at all.
    Failed {
        class: ErrorClass,
        problem: String,
    },
}

/// Okta's error object; only the code is read, since the texts may repeat what was sent.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "errorCode")]
    code: String,
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
    if is_nested_too_deeply(&answer.body) {
        return Err(garbage());
    }
    // The parser's message may quote the answer, so it is dropped.
    serde_json::from_slice(&answer.body).map_err(|_| garbage())
}

/// What an answer other than 200 means (legacy-stores.md §1, second half of the table).
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let status = answer.status.as_u16();
    let failed = |class, problem| Refusal::Failed { class, problem };
    if status == 429 {
        let wait = retry_after(&answer.headers).or(Some(LEAST_WAIT));
        return failed(ErrorClass::Transient { retry_after: wait }, "answered 429".to_owned());
    }
    if status >= 500 {
        let wait: Option<Duration> = retry_after_field(&answer.headers);
        return failed(ErrorClass::Transient { retry_after: wait }, format!("answered {status}"));
    }
    if (300..400).contains(&status) {
        return failed(
            ErrorClass::Misconfigured,
            format!("answered {status}: the address is not the organisation's own"),
        );
    }
    let Ok(ErrorBody { code }) = serde_json::from_slice(&answer.body) else {
        return failed(TRANSIENT, format!("answered {status} without an error code"));
    };
    match (status, code.as_str()) {
        // Wrong password, unknown, locked or refused by policy: indistinguishable on purpose. E0000079 is a state in
        // which no password is judged: nothing was proven.
        (401, "E0000004") | (403, "E0000079") => Refusal::Rejected(Rejection::WrongPassword),
        (401, "E0000064") => Refusal::Stay(StayReason::PasswordExpired),
        (403, "E0000069" | "E0000119") => Refusal::Rejected(Rejection::Locked),
        (403, "E0000038") => Refusal::Rejected(Rejection::Disabled),
        (404, "E0000007") => Refusal::NotFound,
        (401, "E0000011") => {
            failed(ErrorClass::Misconfigured, "the API token is not valid (E0000011)".into())
        }
        (401, "E0000015") => {
            failed(ErrorClass::Misconfigured, "a feature of the organisation is missing (E0000015)".into())
        }
        (403, "E0000006") => {
            failed(ErrorClass::Misconfigured, "the API token lacks a permission (E0000006)".into())
        }
        (401 | 403, _) => failed(ErrorClass::Misconfigured, coded(status, &code)),
        _ => failed(ErrorClass::Permanent, coded(status, &code)),
    }
}

/// Whether the organisation does not know our token. It looks at that first: no password was judged then.
pub(super) fn is_unknown_token(answer: &Answer) -> bool {
    let code = || serde_json::from_slice::<ErrorBody>(&answer.body).ok().map(|body| body.code);
    answer.status == http::StatusCode::UNAUTHORIZED && code().as_deref() == Some("E0000011")
}

/// Status and code; a code that does not look like Okta's is not repeated.
fn coded(status: u16, code: &str) -> String {
    let own = code.len() <= 12 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    format!("answered {status} {}", if own { code } else { "with an unknown error code" })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

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
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_names_nothing_known_is_never_a_word_about_the_guess() {
        assert_eq!(class(401, "<html>"), TRANSIENT);
        assert_eq!(class(401, r#"{"errorCode": 4}"#), TRANSIENT);
        assert_eq!(class(401, r#"{"errorCode": "E0009999"}"#), ErrorClass::Misconfigured);
        // The code belongs to another status.
        assert_eq!(class(400, r#"{"errorCode": "E0000004"}"#), ErrorClass::Permanent);
        assert_eq!(class(302, ""), ErrorClass::Misconfigured);
        assert_eq!(class(204, ""), TRANSIENT);
        assert_eq!(class(502, r#"{"errorCode": "E0000004"}"#), TRANSIENT);
    }

    #[test]
    fn a_strange_code_is_not_repeated() {
        let Refusal::Failed { problem, .. } = refusal(&answer(400, r#"{"errorCode": "ann@example.com"}"#))
        else {
            panic!("not a failure");
        };
        assert_eq!(problem, "answered 400 with an unknown error code");
    }
}
