//! Okta's error answers: code, status and text.

use axum::{
    Json,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::super::backstage::{self, Fault};
use crate::clock::Timestamp;

/// Every refusal this organisation can utter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request breaks a rule of the API; the text names it.
    Invalid(&'static str),
    E0000003,
    E0000004,
    E0000005,
    E0000006,
    /// The resource is not there; the text names it.
    NotFound(String),
    E0000009,
    E0000010,
    E0000011,
    E0000015,
    E0000021,
    E0000022,
    E0000031,
    E0000038,
    E0000047,
    E0000064,
    E0000069,
    E0000079,
    E0000119,
    /// A status for which Okta has no code of its own.
    Other(StatusCode),
}

impl Failure {
    /// The failure a seed names by its code.
    pub(super) fn from_code(code: &str) -> Self {
        match code {
            "E0000001" => Self::Invalid("password"),
            "E0000003" => Self::E0000003,
            "E0000004" => Self::E0000004,
            "E0000005" => Self::E0000005,
            "E0000006" => Self::E0000006,
            "E0000007" => Self::NotFound("me".into()),
            "E0000010" => Self::E0000010,
            "E0000011" => Self::E0000011,
            "E0000015" => Self::E0000015,
            "E0000021" => Self::E0000021,
            "E0000022" => Self::E0000022,
            "E0000031" => Self::E0000031,
            "E0000038" => Self::E0000038,
            "E0000047" => Self::E0000047,
            "E0000064" => Self::E0000064,
            "E0000069" => Self::E0000069,
            "E0000079" => Self::E0000079,
            "E0000119" => Self::E0000119,
            _ => Self::E0000009,
        }
    }

    /// Code, status and summary.
    fn wording(&self) -> (&'static str, u16, String) {
        let (code, status, text) = match self {
            Self::Invalid(what) => return ("E0000001", 400, format!("Api validation failed: {what}")),
            Self::NotFound(what) => {
                return ("E0000007", 404, format!("Not found: Resource not found: {what}"));
            }
            Self::Other(status) => return ("E0000009", status.as_u16(), "Internal Server Error".into()),
            Self::E0000003 => ("E0000003", 400, "The request body was not well-formed."),
            Self::E0000004 => ("E0000004", 401, "Authentication failed"),
            Self::E0000005 => ("E0000005", 401, "Invalid session"),
            Self::E0000006 => ("E0000006", 403, "You do not have permission to perform the requested action"),
            Self::E0000009 => ("E0000009", 500, "Internal Server Error"),
            Self::E0000010 => ("E0000010", 503, "Service is in read only mode"),
            Self::E0000011 => ("E0000011", 401, "Invalid token provided"),
            Self::E0000015 => {
                ("E0000015", 401, "You do not have permission to access the feature you are requesting")
            }
            Self::E0000021 => (
                "E0000021",
                400,
                "Bad request. Accept and/or Content-Type headers likely do not match supported values.",
            ),
            Self::E0000022 => ("E0000022", 405, "The endpoint does not support the provided HTTP method"),
            Self::E0000031 => ("E0000031", 400, "Invalid search criteria."),
            Self::E0000038 => {
                ("E0000038", 403, "This operation is not allowed in the user's current status.")
            }
            Self::E0000047 => ("E0000047", 429, "API call exceeded rate limit due to too many requests."),
            Self::E0000064 => ("E0000064", 401, "Password is expired and must be changed."),
            Self::E0000069 => ("E0000069", 403, "User Locked"),
            Self::E0000079 => {
                ("E0000079", 403, "This operation is not allowed in the current authentication state.")
            }
            Self::E0000119 => ("E0000119", 403, "Your account is locked. Please contact your administrator."),
        };
        (code, status, text.to_owned())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (code, status, summary) = self.wording();
        let causes = match &self {
            Self::Invalid(_) => json!([{ "errorSummary": summary }]),
            _ => json!([]),
        };
        let id = backstage::random_text(15).unwrap_or_default();
        let body = json!({
            "errorCode": code,
            "errorSummary": summary,
            "errorLink": code,
            "errorId": format!("oae{id}"),
            "errorCauses": causes,
        });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(body)).into_response()
    }
}

/// The rate-limit fields that stand on every answer.
pub(super) fn limit_fields(response: &mut Response, limit: u32, remaining: u32, reset_secs: u64) {
    let headers = response.headers_mut();
    headers.insert("x-rate-limit-limit", HeaderValue::from(limit));
    headers.insert("x-rate-limit-remaining", HeaderValue::from(remaining));
    headers.insert("x-rate-limit-reset", HeaderValue::from(reset_secs));
}

/// The error answers that a fault asks for.
pub(super) fn of_fault(status: StatusCode, fault: &Fault, now: Timestamp) -> Response {
    let failure = match status.as_u16() {
        500 => Failure::E0000009,
        503 => Failure::E0000010,
        429 => Failure::E0000047,
        401 => Failure::E0000011,
        403 => Failure::E0000006,
        _ => Failure::Other(status),
    };
    let mut response = failure.into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        // The concurrency limit is told apart by a limit of 0, with the reset only an estimate.
        limit_fields(&mut response, 0, 0, now.seconds() + fault.reset_after_secs());
    }
    response
}
