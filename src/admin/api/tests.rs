//! The API as a whole, without a socket: who gets in, what is refused and how it is said.

use std::{net::IpAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
    routing::any,
};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    admin::Peer,
    clock::{TestClock, Timestamp},
    config::{AdminToken, Rate},
    identity::Secret,
    telemetry::AddressPolicy,
};

const VIEWER: &str = "viewer-viewer-viewer-viewer-viewer";
const OPERATOR: &str = "operator-operator-operator-operator";

fn admin(tokens: Vec<AdminToken>) -> Admin {
    let listen = "127.0.0.1:0".parse().unwrap();
    Admin { listen, tokens, wrong_tokens: Rate { tries: 3, per: Duration::from_mins(1) } }
}

fn token(name: &str, role: AdminRole, token: &str) -> AdminToken {
    AdminToken { name: name.into(), role, token: Secret::new(token.into()) }
}

fn api(admin: &Admin) -> Arc<Api> {
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    Arc::new(Api::new(admin, Audit::new(AddressPolicy::Network), clock))
}

/// An API that nobody may use.
pub(in crate::admin) fn without_tokens() -> Arc<Api> {
    api(&admin(Vec::new()))
}

fn with_tokens() -> Arc<Api> {
    api(&admin(vec![
        token("dashboard", AdminRole::Viewer, VIEWER),
        token("on-call", AdminRole::Operator, OPERATOR),
    ]))
}

struct Answered {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Answered {
    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("no code")
    }
}

async fn ask(api: &Arc<Api>, from: &str, method: Method, path: &str, token: &str) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer(from.parse::<IpAddr>().unwrap()));
    let routes = Router::new().fallback(any(answer)).with_state(Arc::clone(api));
    let response = routes.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answered { status: head.status, headers: head.headers, body }
}

const HERE: &str = "192.0.2.1";
const DOCUMENT: &str = "/api/v1/openapi.json";

#[tokio::test]
async fn without_tokens_there_is_no_api_and_the_answer_says_how_to_get_one() {
    let answered = ask(&without_tokens(), HERE, Method::GET, DOCUMENT, OPERATOR).await;
    assert_eq!((answered.status, answered.code()), (StatusCode::NOT_FOUND, "not_configured"));
    assert!(answered.body["error"]["fix"].as_str().unwrap().contains("admin.tokens"));
}

#[tokio::test]
async fn whoever_has_no_right_token_learns_nothing() {
    let api = with_tokens();
    let without = ask(&api, HERE, Method::GET, DOCUMENT, "").await;
    assert_eq!((without.status, without.code()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    assert_eq!(without.headers[header::WWW_AUTHENTICATE], "Bearer");
    for (method, path, token) in [
        (Method::GET, DOCUMENT, "wrong"),
        (Method::GET, "/api/v1/nothing", ""),
        (Method::DELETE, DOCUMENT, ""),
        (Method::POST, "/api", ""),
    ] {
        let other = ask(&api, HERE, method, path, token).await;
        assert_eq!((other.status, &other.body), (without.status, &without.body), "{path}");
    }
}

#[tokio::test]
async fn an_address_that_guesses_waits_and_a_right_token_from_it_never_does() {
    let api = with_tokens();
    for _ in 0..3 {
        let wrong = ask(&api, HERE, Method::GET, DOCUMENT, "wrong").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    // Nothing tells one wrong token from another: not how much of it is right, not the path, not the method.
    let (near, long) = (OPERATOR.replace("rator", "rators"), "w".repeat(9000));
    let mut limited = Vec::new();
    for (method, path, token) in [
        (Method::GET, DOCUMENT, "wrong"),
        (Method::GET, DOCUMENT, near.as_str()),
        (Method::GET, DOCUMENT, &VIEWER[1..]),
        (Method::PUT, "/api/v1/rollout", "wrong"),
        (Method::GET, "/api/v1/nothing", "wrong"),
    ] {
        let answered = ask(&api, HERE, method, path, token).await;
        assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS, "{token} {path}");
        assert_eq!(
            (answered.code(), &answered.headers[header::RETRY_AFTER]),
            ("too_many_wrong_tokens", &"60".parse().unwrap())
        );
        limited.push(answered.body);
    }
    assert!(limited.iter().all(|body| *body == limited[0]));
    // What is no guess is no secret either.
    for nothing in ["", long.as_str()] {
        assert_eq!(ask(&api, HERE, Method::GET, DOCUMENT, nothing).await.status, StatusCode::UNAUTHORIZED);
    }
    for (place, token) in [(HERE, VIEWER), (HERE, OPERATOR), ("192.0.2.2", VIEWER)] {
        let heard = ask(&api, place, Method::GET, DOCUMENT, token).await;
        assert_eq!(heard.status, StatusCode::SERVICE_UNAVAILABLE, "heard, and not open yet");
    }
    let after = ask(&api, HERE, Method::GET, DOCUMENT, "wrong").await;
    assert_eq!(after.status, StatusCode::TOO_MANY_REQUESTS, "a right token frees no wrong one");
    let elsewhere = ask(&api, "192.0.2.2", Method::GET, DOCUMENT, "wrong").await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_token_is_no_guess() {
    let api = with_tokens();
    for _ in 0..20 {
        ask(&api, HERE, Method::GET, DOCUMENT, "").await;
    }
    let heard = ask(&api, HERE, Method::GET, "/api/v1/nothing", VIEWER).await;
    assert_eq!((heard.status, heard.code()), (StatusCode::NOT_FOUND, "not_found"));
}

#[tokio::test]
async fn tokens_are_taken_anew() {
    let api = with_tokens();
    api.take_tokens(&admin(vec![token("new", AdminRole::Viewer, "another-another-another-another-")]));
    let old = ask(&api, HERE, Method::GET, "/api/v1/nothing", VIEWER).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = ask(&api, HERE, Method::GET, "/api/v1/nothing", "another-another-another-another-").await;
    assert_eq!(new.status, StatusCode::NOT_FOUND);
    api.take_tokens(&admin(Vec::new()));
    let none = ask(&api, HERE, Method::GET, DOCUMENT, VIEWER).await;
    assert_eq!(none.code(), "not_configured");
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_from_a_path_that_is_not() {
    let api = with_tokens();
    let method = ask(&api, HERE, Method::DELETE, DOCUMENT, VIEWER).await;
    assert_eq!((method.status, method.code()), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"));
    assert_eq!(method.headers[header::ALLOW], "GET, HEAD");
    for path in ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v2/openapi.json", "/api/v1/openapi.json/"] {
        assert_eq!(ask(&api, HERE, Method::GET, path, VIEWER).await.code(), "not_found", "{path}");
    }
}

#[test]
fn the_document_tells_every_operation_once_with_its_role() {
    let api = with_tokens();
    let document = Value::Object(api.document().clone());
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = std::collections::BTreeSet::new();
    for operation in &api.operations {
        let method = operation.method.as_str().to_ascii_lowercase();
        let told = &document["paths"][format!("{PREFIX}{}", operation.path)][method];
        assert_eq!(told["operationId"], operation.id);
        assert!(told["description"].as_str().unwrap().contains(operation.role.as_str()), "{}", operation.id);
        assert!(ids.insert(operation.id), "{} is there twice", operation.id);
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not there");
    }
}
