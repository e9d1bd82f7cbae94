//! What the API answers when it cannot do what was asked.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A refusal or a failure: what happened, in a word and in a sentence, and where there is one the way out.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    told: Told,
    /// Boxed, because every answer carries the room for it.
    current: Option<Box<Value>>,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Error")]
pub(super) struct Body {
    error: Told,
    /// How it stands, where a change was refused because it was made from an older state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    current: Option<Value>,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Problem")]
pub(super) struct Told {
    /// A fixed word, for machines.
    code: &'static str,
    /// A sentence, for people.
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let told = Told { code, message: message.into(), fix: None };
        Self { status, told, current: None, retry_after: None, allow: None }
    }

    /// Says what to do about it.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.told.fix = Some(fix.into());
        self
    }

    /// Shows how it stands.
    pub(crate) fn with_current(mut self, current: &impl Serialize) -> Self {
        self.current = serde_json::to_value(current).ok().map(Box::new);
        self
    }

    /// Says when to come again.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(super) fn allow(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }

    /// The store, or another dependency, cannot be asked now.
    pub(crate) fn unavailable(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("{what} cannot be asked now"))
            .fix("see /api/v1/dependencies and the log, then try again")
            .retry_after(Duration::from_secs(1))
    }

    /// A change may have been made, or not.
    pub(super) fn outcome_unknown(fix: &'static str) -> Self {
        let message = "the store's answer was lost: the change may have been made, or not";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "outcome_unknown", message)
            .fix(fix)
            .retry_after(Duration::from_secs(1))
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// A value of the body cannot be meant.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", message)
    }

    /// A parameter in the address cannot be meant.
    pub(crate) fn invalid_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", message)
    }

    /// Somebody else changed what was to be changed.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body =
            serde_json::to_vec(&Body { error: self.told, current: self.current.map(|current| *current) })
                .unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Rounded up: whoever comes back when told is not too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if let Some(methods) = self.allow.and_then(|methods| HeaderValue::from_str(&methods).ok()) {
            headers.insert(header::ALLOW, methods);
        }
        response
    }
}
