//! From a request to an operation, or to the reason why not.
//!
//! The order is part of the protection: whoever shows no right token learns nothing, not even which paths there are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{
    Api, Caller, PREFIX,
    access::Shown,
    operation::{Given, Operation},
    problem::Problem,
    wrong::Counted,
};
use crate::admin::Peer;

/// The largest body; a change of the dial with its thousand people fits.
const LARGEST_BODY: usize = 64 * 1024;

/// A body has to be there within this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Answers everything below the API's prefix.
pub(in crate::admin) async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let answer = match admit(&api, &head) {
        Ok(caller) => operate(&api, &head, body, caller).await,
        Err(problem) => Err(problem),
    };
    let mut response = match answer {
        Ok(body) => {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body).into_response()
        }
        Err(problem) => problem.into_response(),
    };
    if head.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Whoever may go on.
fn admit(api: &Api, head: &Parts) -> Result<Caller, Problem> {
    let tokens = api.tokens.load();
    if tokens.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_configured", "there is no admin API here").fix(
            "add admin.tokens: [{name: NAME, role: operator, token: {file: PATH}}] to the configuration",
        ));
    }
    if let Shown::Token(token) = Shown::of(&head.headers) {
        // Before anything is said of the address: whoever shares it with a guesser is not shut out.
        if let Some(caller) = tokens.caller(token) {
            return Ok(caller);
        }
        // Every connection has one; without it all would be one address.
        let address = head.extensions.get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
        match api.wrong.count(address) {
            Counted::Wrong => api.audit.admin_refused("wrong_token", address),
            Counted::Last => api.audit.admin_refused("limit", address),
            Counted::TooMany { wait } => {
                let why = "too many wrong tokens came from this address, and this is another one";
                return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_tokens", why)
                    .fix("call with a token of admin.tokens")
                    .retry_after(wait));
            }
        }
    }
    // One text for no token and a wrong one.
    Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "a bearer token of admin.tokens is needed")
        .fix("send the header: Authorization: Bearer TOKEN"))
}

async fn operate(api: &Arc<Api>, head: &Parts, body: Body, caller: Caller) -> Result<Vec<u8>, Problem> {
    let operation = find(&api.operations, head)?;
    if operation.role > caller.role {
        let may = format!("this needs the role {}", operation.role.as_str());
        return Err(
            Problem::new(StatusCode::FORBIDDEN, "forbidden", may).fix("call with the token of an operator")
        );
    }
    let given = if operation.has_body() {
        Given::Body(read(&head.headers, body).await?)
    } else {
        Given::Query(head.uri.query().unwrap_or_default().to_owned())
    };
    let Some(control) = api.control.get() else {
        return Err(Problem::unavailable("Crossfade is starting; its store"));
    };
    let run = operation.run(Arc::clone(api), Arc::clone(control), caller, given);
    if !operation.has_body() {
        return run.await;
    }
    // A caller who goes away does not stop a change half-way.
    control.gate.tracker.spawn(run).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the change stopped half-way; the log says where",
        ))
    })
}

/// The operation of a path and method.
fn find<'a>(operations: &'a [Operation], head: &Parts) -> Result<&'a Operation, Problem> {
    let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let here = || operations.iter().filter(|operation| operation.path == path);
    if here().next().is_none() {
        return Err(Problem::not_found("there is nothing at this path")
            .fix("GET /api/v1/openapi.json lists what there is"));
    }
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    here().find(|operation| operation.method == *method).ok_or_else(|| {
        let mut allowed: Vec<&str> = here().map(|operation| operation.method.as_str()).collect();
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let allowed = allowed.join(", ");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("use {allowed}"))
            .allow(allowed)
    })
}

/// A JSON body within its limits.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be JSON",
        )
        .fix("send the header: Content-Type: application/json"));
    }
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body is larger than {LARGEST_BODY} bytes"),
        )),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "cut_off", "the body ended too early")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not come in time")),
    }
}
