//! gRPC, the tongue of the official clients: the same calls as the management API, in protobuf over HTTP/2.
//!
//! The real service has one set of calls and serves REST as a JSON transcoding of it. This stand-in goes the other
//! way: a call becomes the REST request of its published HTTP rule and goes through the management API's own gate,
//! rules and transcript, so no rule is written twice and every call is judged by the `OpenAPI` document, too.
//! Messages hold the fields that the stand-in knows, under the numbers of the official clients' descriptors.
//! Start reading at [`routes`]; `refusal` turns error answers into gRPC's.

#![expect(clippy::struct_field_names, reason = "fields have the names of the protocol")]

mod organizations;
mod refusal;
mod sessions;
mod users;
mod words;

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tower::ServiceExt as _;
use url::form_urlencoded;

use super::{
    Scalekit, api,
    failure::{Code, Failure},
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The largest message either way.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// Before each message: one byte that says whether it is compressed, four with its length.
const PREFIX_BYTES: usize = 5;

/// A request message, and the call of the management API that it is.
trait Call: Message + Default + 'static {
    type Answer: Message + Default + DeserializeOwned;

    /// The REST request of the call's HTTP rule. Only what that request has no words for is refused here.
    fn to_rest(&self, scalekit: &Scalekit) -> Result<Rest, Failure>;
}

pub(super) fn routes(scalekit: &Arc<Scalekit>) -> Router<Arc<Scalekit>> {
    let api = api::routes(scalekit).with_state(Arc::clone(scalekit));
    organizations::routes(&api).merge(users::routes(&api)).merge(sessions::routes(&api))
}

/// Whether a request says that it is gRPC. The suffix names the format of the messages; protobuf is the default.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    matches!(kind, "application/grpc" | "application/grpc+proto")
}

/// The last layer on the way out: gRPC callers get every error answer, also one that a fault asks for, as a status.
pub(super) async fn reword(request: Request, next: Next) -> Response {
    let kind =
        is_call(request.headers()).then(|| request.headers().get(header::CONTENT_TYPE).cloned()).flatten();
    let response = next.run(request).await;
    match kind {
        Some(kind) => refusal::reworded(response, kind).await,
        None => response,
    }
}

fn call<C: Call>(api: &Router) -> MethodRouter<Arc<Scalekit>> {
    let api = api.clone();
    post(|State(scalekit): State<Arc<Scalekit>>, request: Request| async move {
        answer::<C>(&scalekit, api, request).await.unwrap_or_else(IntoResponse::into_response)
    })
}

async fn answer<C: Call>(scalekit: &Scalekit, api: Router, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    if parts.version != Version::HTTP_2 || !is_call(&parts.headers) {
        return Err(Failure::new(Code::Unimplemented, "gRPC needs HTTP/2 and application/grpc"));
    }
    api::admit(scalekit, &parts.headers)?;
    let sent = to_bytes(body, MESSAGE_MAX_BYTES + PREFIX_BYTES).await;
    let sent =
        sent.map_err(|_| Failure::new(Code::ResourceExhausted, "the message is too large or was cut off"))?;
    let message = C::decode(unframed(&sent)?)
        .map_err(|error| Failure::new(Code::Internal, format!("the message is not of this call: {error}")))?;
    let response = api.oneshot(message.to_rest(scalekit)?.into_request(&parts.headers)?).await;
    let response = response.unwrap_or_else(|never: Infallible| match never {});
    if !response.status().is_success() {
        return Ok(response);
    }
    let answered = to_bytes(response.into_body(), usize::MAX).await;
    let answered = answered.map_err(|_| Failure::new(Code::Internal, "the answer was cut off"))?;
    let answer: C::Answer = serde_json::from_slice(&answered)
        .map_err(|error| Failure::new(Code::Internal, format!("the answer has no such message: {error}")))?;
    Ok(framed(&answer, parts.headers.get(header::CONTENT_TYPE)))
}

/// The one message of a body.
fn unframed(body: &Bytes) -> Result<Bytes, Failure> {
    let broken = || Failure::new(Code::Internal, "the body is not one message in its frame");
    let (prefix, message) = body.split_first_chunk::<PREFIX_BYTES>().ok_or_else(broken)?;
    let [compressed, length @ ..] = *prefix;
    if compressed != 0 {
        return Err(Failure::new(Code::Unimplemented, "compressed messages are not taken"));
    }
    let whole = u32::try_from(message.len()).is_ok_and(|have| have == u32::from_be_bytes(length));
    if whole { Ok(body.slice(PREFIX_BYTES..)) } else { Err(broken()) }
}

/// A message in its frame, and the status after it.
fn framed(message: &impl Message, kind: Option<&HeaderValue>) -> Response {
    let encoded = message.encode_to_vec();
    let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(PREFIX_BYTES + encoded.len());
    body.push(0);
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&encoded);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(body)).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().extend(kind.map(|kind| (header::CONTENT_TYPE, kind.clone())));
    response
}

/// A request of the management API in the making.
struct Rest {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Rest {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, query: Vec::new(), body: None }
    }

    fn get(path: String) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a query parameter that the message has.
    fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Adds a body. Protobuf has no word for an empty list or map: both are as good as absent.
    fn sending(mut self, message: Option<&impl Serialize>) -> Result<Self, Failure> {
        let missing = || Failure::field("body", "is required");
        let mut body = serde_json::to_value(message.ok_or_else(missing)?)
            .map_err(|error| Failure::new(Code::Internal, format!("the message has no JSON: {error}")))?;
        drop_absent(&mut body);
        self.body = Some(body);
        Ok(self)
    }

    fn into_request(self, headers: &HeaderMap) -> Result<Request, Failure> {
        let mut target = format!("/api/v1{}", self.path);
        if !self.query.is_empty() {
            target.push('?');
            target
                .push_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(self.query).finish());
        }
        let mut request = Request::builder().method(self.method).uri(target);
        if let Some(bearer) = headers.get(header::AUTHORIZATION) {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let body = match self.body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| Failure::new(Code::Internal, format!("no such request: {error}")))
    }
}

fn drop_absent(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(drop_absent);
        members.retain(|_, member| match member {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        });
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(drop_absent);
    }
}

/// A value as one segment of a path.
fn segment(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// How a message names its one user or organization.
enum Identity<'a> {
    Id(&'a str),
    External(&'a str),
}

impl<'a> Identity<'a> {
    fn of(id: Option<&'a String>, external: Option<&'a String>) -> Result<Self, Failure> {
        match (id, external) {
            (Some(id), _) if !id.is_empty() => Ok(Self::Id(id)),
            (None, Some(external)) if !external.is_empty() => Ok(Self::External(external)),
            _ => Err(Failure::field("identities", "is required")),
        }
    }

    /// The end of the paths that know both: `/{id}` or `:external/{external_id}`.
    fn path(&self) -> String {
        match self {
            Self::Id(id) => format!("/{}", segment(id)),
            Self::External(external) => format!(":external/{}", segment(external)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_holds_exactly_one_plain_message() {
        let good = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
        assert_eq!(unframed(&good).unwrap(), Bytes::from_static(&[8, 1]));
        for bad in
            [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8, 1], &[1, 0, 0, 0, 2, 8, 1]]
        {
            assert!(unframed(&Bytes::copy_from_slice(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_identity_is_a_segment_whatever_it_holds() {
        assert_eq!(Identity::External("a/b:c%é").path(), ":external/a%2Fb%3Ac%25%C3%A9");
        assert!(Identity::of(None, None).is_err());
        assert!(Identity::of(Some(&String::new()), None).is_err());
    }

    #[test]
    fn what_protobuf_cannot_say_is_left_out() {
        let mut body =
            serde_json::json!({ "a": null, "m": {}, "l": [{ "x": null, "y": "" }], "o": { "p": null } });
        drop_absent(&mut body);
        assert_eq!(body, serde_json::json!({ "l": [{ "y": "" }] }));
    }
}
