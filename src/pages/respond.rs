//! Facts to HTTP.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;

use super::Problem;

/// An answer of ours.
pub(crate) type Page = Response<Full<Bytes>>;

/// What the client can read, and the name under which support finds the request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request's id.
    pub(crate) id: String,
    /// The client prefers JSON to a page.
    pub(crate) json: bool,
}

impl Asked {
    /// Reads what the client can read from its head.
    pub(crate) fn of(headers: &HeaderMap, id: String) -> Self {
        let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        Self { id, json: accept.contains("json") && !accept.contains("text/html") }
    }
}

/// Renders answers.
#[derive(Clone, Debug)]
pub(crate) struct Pages {}

impl Pages {
    pub(crate) fn new() -> Self {
        Self {}
    }

    /// The answer to a request that was refused or failed.
    pub(crate) fn problem(&self, problem: Problem, asked: &Asked) -> Page {
        let mut page = Response::new(Full::new(Bytes::from(format!("{}\n", asked.id))));
        *page.status_mut() = problem.status();
        page
    }
}
