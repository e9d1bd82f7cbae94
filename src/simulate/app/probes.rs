//! Routes that show what a proxy in front did to a request, and answers that are hard on a proxy.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{any, get, post},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::App;
use crate::simulate::backstage::{Scripted, Step};

/// The longest stream and the longest wait one request can ask for.
const MOST_KIB: usize = 1 << 20;
const LONGEST_WAIT: Duration = Duration::from_mins(10);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/echo", any(echo))
        .route("/upload", post(echo))
        .route("/stream", get(stream))
        .route("/slow", any(slow))
        .route("/status/{code}", any(status))
        .route("/headers", get(headers))
        .route("/set-cookies", get(set_cookies))
}

/// The request as it was received. The body is hashed as it comes and never held.
async fn echo(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let (mut length, mut hash, mut trailers) = (0_u64, Sha256::new(), Value::Null);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": "broken_body" }))).into_response();
        };
        if let Some(data) = frame.data_ref() {
            length += u64::try_from(data.len()).unwrap_or(u64::MAX);
            hash.update(data);
        } else if let Some(fields) = frame.trailers_ref() {
            trailers = listed(fields);
        }
    }
    let body = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "version": format!("{:?}", parts.version),
        "headers": listed(&parts.headers),
        "body": { "length_bytes": length, "sha256": hex(&hash.finalize()), "trailers": trailers },
    });
    Json(body).into_response()
}

/// Names and values in the order of the message; repeated names stand together, bytes beyond UTF-8 are replaced.
fn listed(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[derive(Deserialize)]
struct StreamWanted {
    #[serde(default = "some_kib")]
    kib: usize,
    /// Between two chunks.
    #[serde(default)]
    delay_ms: u64,
}

fn some_kib() -> usize {
    64
}

/// A chunked body of as many KiB, in chunks of one.
async fn stream(Query(wanted): Query<StreamWanted>) -> Response {
    let kib = Bytes::from(vec![b'x'; 1024]);
    let pause = Duration::from_millis(wanted.delay_ms).min(LONGEST_WAIT);
    let steps = (0..wanted.kib.min(MOST_KIB)).flat_map(|_| {
        let wait = (!pause.is_zero()).then_some(Step::Wait(pause));
        wait.into_iter().chain([Step::Chunk(kib.clone())])
    });
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::new(Scripted::new(steps))).into_response()
}

#[derive(Deserialize)]
struct SlowWanted {
    #[serde(default)]
    ms: u64,
}

/// An answer after a wait.
async fn slow(State(app): State<Arc<App>>, Query(wanted): Query<SlowWanted>) -> Response {
    let wait = Duration::from_millis(wanted.ms).min(LONGEST_WAIT);
    app.backstage.clock().sleep(wait).await;
    Json(json!({ "waited_ms": u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) })).into_response()
}

/// An answer with this status; redirections point home.
async fn status(Path(code): Path<u16>) -> Response {
    match StatusCode::from_u16(code) {
        // An interim status cannot end an exchange (RFC 9110 §15.2).
        Ok(status) if !status.is_informational() => {
            let to = status.is_redirection().then_some([(header::LOCATION, "/")]);
            let body = if matches!(code, 204 | 205 | 304) {
                Body::empty()
            } else {
                Body::from(format!("{status}\n"))
            };
            (status, to.map(AppendHeaders), body).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "This is no final status.\n").into_response(),
    }
}

/// The request's fields in the body, and an answer with repeated and empty fields.
async fn headers(headers: HeaderMap) -> Response {
    let fields = AppendHeaders([("x-double", "one"), ("x-double", "two"), ("x-empty", "")]);
    (fields, Json(listed(&headers))).into_response()
}

/// Several `Set-Cookie` lines, one with a comma inside, which must not be folded (RFC 6265 §3).
async fn set_cookies() -> Response {
    let lines = [
        "first=1; Path=/",
        "second=two; Path=/; HttpOnly; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
        "third=; Path=/; Max-Age=0",
    ];
    (AppendHeaders(lines.map(|line| (header::SET_COOKIE, line))), "Three cookies.\n").into_response()
}
