//! Refusals of the management API: a `google.rpc.Status` as JSON, with Scalekit's own detail.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::super::backstage::Fault;
use crate::clock::Timestamp;

const ERROR_INFO: &str = "type.googleapis.com/scalekit.v1.errdetails.ErrorInfo";

/// The gRPC codes this environment answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unknown | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RATE_LIMITED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) field: String,
    pub(super) rule: String,
}

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    code: Code,
    message: String,
    violations: Vec<Violation>,
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new() }
    }

    /// 400 with the fields that are to blame.
    pub(super) fn invalid(violations: Vec<Violation>) -> Self {
        Self { code: Code::InvalidArgument, message: "the request is not valid".into(), violations }
    }

    /// 400 for one field.
    pub(super) fn field(field: &str, rule: &str) -> Self {
        Self::invalid(vec![Violation { field: field.into(), rule: rule.into() }])
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("{what} not found"))
    }

    fn body(&self) -> Value {
        let mut info = json!({ "@type": ERROR_INFO, "error_code": self.code.word() });
        if !self.violations.is_empty() {
            let fields = self.violations.iter().map(|violation| {
                json!({ "field": violation.field, "description": violation.rule, "constraint": violation.rule })
            });
            info["validation_error_info"] = json!({ "field_violations": fields.collect::<Vec<_>>() });
        }
        json!({ "code": self.code as u32, "message": self.message, "details": [info] })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.code.status(), Json(self.body())).into_response()
    }
}

/// The error answers that a fault asks for.
pub(super) fn of_fault(status: StatusCode, fault: &Fault, _now: Timestamp) -> Response {
    let code = match status.as_u16() {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::AlreadyExists,
        429 => Code::ResourceExhausted,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let mut response = (status, Json(Failure::new(code, "the service is in trouble").body())).into_response();
    // Scalekit documents no wait of its own, so there is one only when the fault names it.
    if let Some(wait) = fault.named_reset_secs().filter(|_| status == StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}
