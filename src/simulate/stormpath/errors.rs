//! The service's error answers: status, code and texts.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::super::backstage::{self, Fault};
use crate::clock::Timestamp;

/// Every refusal the service can utter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A login attempt that came to nothing: 71xx, and 72xx for social providers.
    Login(u32),
    /// The request breaks a rule of the API; the text names it.
    Invalid(&'static str),
    Unauthorized,
    NotFound,
    Method,
    Other(StatusCode),
}

impl Failure {
    /// Status, code and message. Codes of general errors are their status.
    fn wording(&self) -> (u16, u32, &'static str) {
        match self {
            Self::Login(code) => (400, *code, login_message(*code)),
            Self::Invalid(what) => (400, 2000, what),
            Self::Unauthorized => (401, 401, "Authentication is required."),
            Self::NotFound => (404, 404, "The requested resource does not exist."),
            Self::Method => (405, 405, "Request method is not supported for this resource."),
            Self::Other(status) if status.as_u16() == 429 => (429, 429, "Too many simultaneous requests."),
            Self::Other(status) => {
                (status.as_u16(), u32::from(status.as_u16()), "The server met an error it did not expect.")
            }
        }
    }
}

fn login_message(code: u32) -> &'static str {
    match code {
        7100 => "Login attempt failed because the specified password is incorrect.",
        7101 => "Login attempt failed because the Account is disabled.",
        7102 => "Login attempt failed because the Account is not verified.",
        7103 => "Login attempt failed because the Account is locked.",
        7104 => {
            "Login attempt failed because there is no Account in the Application's associated Account Stores."
        }
        7105..=7107 => "Login attempt failed because what the Account belongs to is disabled.",
        _ => "Login attempt failed.",
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, code, message) = self.wording();
        let body = json!({
            "status": status,
            "code": code,
            "message": message,
            "developerMessage": message,
            "moreInfo": format!("http://docs.example/errors/{code}"),
            "requestId": backstage::random_text(12).unwrap_or_default(),
        });
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"API\""));
        }
        response
    }
}

/// The error answers that a fault asks for. The service names no wait unless it is told to.
pub(super) fn of_fault(status: StatusCode, fault: &Fault, _now: Timestamp) -> Response {
    let mut response = match status {
        StatusCode::UNAUTHORIZED => Failure::Unauthorized,
        StatusCode::NOT_FOUND => Failure::NotFound,
        other => Failure::Other(other),
    }
    .into_response();
    if let (StatusCode::TOO_MANY_REQUESTS, Some(wait)) = (status, fault.named_reset_secs()) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}
