//! Error answers as gRPC words them: a status and its details in the trailers, no message.

use axum::{
    body::to_bytes,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;
use serde::Deserialize;

use super::GRPC_STATUS;

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// What a status message may not hold as it is; all else outside ASCII is encoded anyway.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%');

/// `google.rpc.Status`, from its JSON in an error answer.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(from = "TypedInfo")]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// A detail in JSON: its type beside its members.
#[derive(Deserialize)]
struct TypedInfo {
    #[serde(rename = "@type")]
    type_url: String,
    #[serde(flatten)]
    info: ErrorInfo,
}

impl From<TypedInfo> for Detail {
    fn from(typed: TypedInfo) -> Self {
        Self { type_url: typed.type_url, value: typed.info.encode_to_vec() }
    }
}

/// `scalekit.v1.errdetails.ErrorInfo`, as far as it is used here.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    error_code: String,
    #[prost(message, optional, tag = "8")]
    validation_error_info: Option<Violations>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Violations {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<Violation>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Violation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
    #[prost(string, tag = "3")]
    constraint: String,
}

/// The answer for a gRPC caller. What is neither gRPC nor an error of ours, such as a page, is sent as it is.
pub(super) async fn reworded(response: Response, kind: HeaderValue) -> Response {
    if response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return parts.status.into_response() };
    let Ok(status) = serde_json::from_slice::<Status>(&body) else { return (parts, body).into_response() };
    let message = utf8_percent_encode(&status.message, RESERVED).to_string();
    let details = STANDARD_NO_PAD.encode(status.encode_to_vec());
    let mut answer = Response::default();
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, kind);
    fields.insert(GRPC_STATUS, HeaderValue::from(status.code));
    for (name, value) in [(GRPC_MESSAGE, message), (GRPC_DETAILS, details)] {
        fields.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    answer
}
