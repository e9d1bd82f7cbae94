//! The transcript: every exchange of the management API as it was worked, for judges of the contract.
//!
//! It stands inside the faults, so an answer that was lost on its way is here as it would have been, and a
//! request that a fault answered is not. Header fields, and with them bearer tokens, are never kept.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{OriginalUri, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Scalekit,
    failure::{Code, Failure},
    reader::Query,
};
use crate::simulate::backstage::locked;

/// Older exchanges are forgotten.
const MOST_EXCHANGES: usize = 20_000;

/// The largest body either way.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// One request and its answer: personal data, hence no `Debug`.
#[derive(Clone, Serialize)]
struct Exchange {
    number: u64,
    method: String,
    /// As it was sent, percent-encoding and all.
    path: String,
    query: Vec<(String, String)>,
    request: Payload,
    status: u16,
    response: Payload,
}

/// A body: JSON, nothing, or something else, of which only the fact is kept.
#[derive(Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload {
    None,
    Json(Value),
    NotJson,
}

impl Payload {
    fn of(body: &Bytes) -> Self {
        if body.is_empty() {
            return Self::None;
        }
        serde_json::from_slice(body).map_or(Self::NotJson, Self::Json)
    }
}

/// The last exchanges, oldest first.
#[derive(Default)]
pub(super) struct Transcript {
    next: u64,
    /// How many were forgotten before anybody saw them.
    forgotten: u64,
    exchanges: VecDeque<Exchange>,
}

impl Transcript {
    pub(super) fn shown(&self) -> Value {
        serde_json::json!({ "exchanges": self.exchanges, "forgotten": self.forgotten })
    }

    /// What is there, to be judged in pieces: it is gone from here.
    pub(super) fn taken(&mut self) -> Value {
        let taken = self.shown();
        (self.exchanges, self.forgotten) = (VecDeque::new(), 0);
        taken
    }

    fn push(&mut self, mut exchange: Exchange) {
        if self.exchanges.len() >= MOST_EXCHANGES {
            self.exchanges.pop_front();
            self.forgotten += 1;
        }
        exchange.number = self.next;
        self.next += 1;
        self.exchanges.push_back(exchange);
    }
}

/// Reads both bodies on their way.
pub(super) async fn record(
    State(scalekit): State<Arc<Scalekit>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let (parts, body) = request.into_parts();
    let Ok(sent) = to_bytes(body, BODY_MAX_BYTES).await else {
        return Failure::new(Code::InvalidArgument, "the body is too large or was cut off").into_response();
    };
    let request = Request::from_parts(parts, Body::from(sent.clone()));
    let (parts, body) = next.run(request).await.into_parts();
    let Ok(answered) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    locked(&scalekit.transcript).push(Exchange {
        number: 0,
        method,
        path: uri.path().to_owned(),
        query: Query::of(uri.query()).into_pairs(),
        request: Payload::of(&sent),
        status: parts.status.as_u16(),
        response: Payload::of(&answered),
    });
    Response::from_parts(parts, Body::from(answered))
}
