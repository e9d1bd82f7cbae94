//! The management API: the bearer gate, the transcript, and what all its calls share.

mod memberships;
mod organizations;
mod roles;
mod sessions;
mod users;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};

pub(super) use self::users::is_email;
use super::{
    Scalekit,
    failure::{Code, Failure},
    reader::Length,
    transcript,
};
use crate::simulate::backstage::locked;

/// What every call answers.
type Answer = Result<Response, Failure>;

/// Pages of plain lists.
const LIST_SIZES: Length = 1..=100;

/// Pages of searches.
const SEARCH_SIZES: Length = 1..=30;

const EXTERNAL_ID: Length = 1..=510;

pub(super) fn routes(state: &Arc<Scalekit>) -> Router<Arc<Scalekit>> {
    let member = || post(memberships::add).patch(memberships::update).delete(memberships::remove);
    let member_by_external = || {
        post(memberships::add_external)
            .patch(memberships::update_external)
            .delete(memberships::remove_external)
    };
    let api = Router::new()
        .route("/organizations", get(organizations::list).post(organizations::create))
        .route("/organizations:search", get(organizations::search))
        .route("/organizations:external/{external_id}", get(organizations::by_external_id))
        .route(
            "/organizations/{id}",
            get(organizations::one).patch(organizations::update).delete(organizations::remove),
        )
        .route("/organizations/{id}/users", get(users::in_organization).post(users::create))
        .route("/organizations/{id}/users:search", get(users::search_in_organization))
        .route("/organizations/{id}/users/{user_id}/roles", get(roles::of_user))
        .route("/users", get(users::list))
        .route("/users:search", get(users::search))
        .route(
            "/users:external/{external_id}",
            get(users::by_external_id).patch(users::update_external).delete(users::remove_external),
        )
        .route("/users/{id}", get(users::one).patch(users::update).delete(users::remove))
        .route("/users/{id}/sessions", get(sessions::of_user))
        .route("/users/{id}/sessions/revoke", post(sessions::revoke_all))
        .route("/sessions/{id}", get(sessions::one))
        .route("/sessions/{id}/revoke", post(sessions::revoke))
        .route("/memberships/organizations/{organization}/users/{id}", member())
        .route("/memberships/organizations/{organization}/users:external/{external_id}", member_by_external())
        .route(
            "/invites/organizations/{organization}/users/{id}/resend",
            axum::routing::patch(memberships::resend),
        )
        .route("/roles", get(roles::list).post(roles::create))
        .route("/roles/{name}", get(roles::one))
        .route("/roles/{name}", delete(roles::remove))
        .route("/roles/{name}/users:count", get(roles::count))
        // No organisation of a play has a sign-in of its own.
        .route("/connections", get(|| async { axum::Json(serde_json::json!({ "connections": [] })) }))
        .method_not_allowed_fallback(|| async { Failure::new(Code::Unimplemented, "Method Not Allowed") })
        .fallback(|| async { Failure::new(Code::NotFound, "Not Found") })
        .layer(middleware::from_fn_with_state(Arc::clone(state), guard))
        .layer(middleware::from_fn_with_state(Arc::clone(state), transcript::record));
    Router::new().nest("/api/v1", api)
}

async fn guard(State(scalekit): State<Arc<Scalekit>>, request: Request, next: Next) -> Response {
    match admit(&scalekit, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// Only a token from the token endpoint opens the API, and only while it lives.
pub(super) fn admit(scalekit: &Scalekit, headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let refused = match token {
        None | Some("") => "Token empty",
        Some(token) if !locked(&scalekit.tickets).opens_api(token, scalekit.now()) => {
            "Token invalid or expired"
        }
        Some(_) => return Ok(()),
    };
    Err(Failure::new(Code::Unauthenticated, refused))
}

/// A body as JSON; an empty one is an empty message.
fn parsed(body: &Bytes) -> Result<Value, Failure> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|_| Failure::field("body", "must be JSON"))
}

#[expect(clippy::unnecessary_wraps, reason = "the last word of every call")]
fn ok(body: Value) -> Answer {
    Ok(Json(body).into_response())
}

#[expect(clippy::unnecessary_wraps, reason = "the last word of every call")]
fn made(body: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// The path parameter of an organization: `org_` and at most 32 characters.
fn organization_id(id: &str) -> Result<&str, Failure> {
    checked_id(id, "organization_id", id.starts_with("org_") && id.len() <= 32)
}

/// The path parameter of a user where the API wants 19 to 25 characters.
fn user_id(id: &str) -> Result<&str, Failure> {
    let digits = id.strip_prefix("usr_").is_some_and(all_digits);
    checked_id(id, "id", digits && (19..=25).contains(&id.len()))
}

fn session_id(id: &str) -> Result<&str, Failure> {
    checked_id(id, "session_id", id.strip_prefix("ses_").is_some_and(all_digits))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn checked_id<'a>(id: &'a str, field: &str, good: bool) -> Result<&'a str, Failure> {
    if good { Ok(id) } else { Err(Failure::field(field, "is not an id of this kind")) }
}

/// The query of a search: 3 to 100 characters, folded.
fn search_text(query: &super::reader::Query) -> Result<String, Failure> {
    let text = query.get("query").unwrap_or_default();
    if (3..=100).contains(&text.chars().count()) {
        return Ok(text.to_lowercase());
    }
    Err(Failure::field("query", "must have 3 to 100 characters"))
}
