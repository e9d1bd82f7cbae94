//! Everything that can go wrong with a request, as far as a client may know.

use http::StatusCode;

/// A closed set of refusals and failures; exhaustive wherever it is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Problem {
    /// The request has no one meaning (SEC-01 … SEC-09).
    BadRequest,
    /// CONNECT or TRACE (SEC-09).
    MethodNotAllowed,
    /// The client took too long.
    RequestTimeout,
    /// A body above its limit.
    ContentTooLarge,
    UriTooLong,
    /// An `Expect` other than `100-continue` (SEC-13).
    ExpectationFailed,
    /// `Host` is none of ours (SEC-10).
    Misdirected,
    HeadTooLarge,
    /// A transfer coding other than `chunked` (SEC-03).
    NotImplemented,
    /// Our own pseudonym in `Via` (SEC-12).
    Loop,
    /// The application could not be reached or broke off.
    BadGateway,
    /// The application did not answer in time.
    GatewayTimeout,
    /// Too much at once; comes with `Retry-After`.
    Overloaded,
    /// A fault of ours.
    Internal,
    /// One of our own routes that does not exist.
    NotFound,
    /// A cross-site sign-in (SEC-24).
    Forbidden,
}

impl Problem {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::GatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
        }
    }

    /// The class in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::ContentTooLarge => "content_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::ExpectationFailed => "expectation_failed",
            Self::Misdirected => "misdirected",
            Self::HeadTooLarge => "head_too_large",
            Self::NotImplemented => "not_implemented",
            Self::Loop => "loop",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
        }
    }
}
