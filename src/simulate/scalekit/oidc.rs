//! OIDC and the hosted login.
//!
//! `authorize` judges the request, `hosted` shows the pages and finds the person,
//! `arrival` opens the session, `token` redeems what came of it,
//! `logout` ends the session of the browser. Start reading at [`routes`].

mod arrival;
mod authorize;
mod claims;
mod hosted;
mod invitation;
mod keys;
mod logout;
mod pages;
mod tickets;
mod token;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

pub(super) use self::{keys::Keys, tickets::Tickets};
use super::{Origin, Scalekit};
use crate::simulate::backstage::locked;

/// The cookie of the hosted login's own session.
const COOKIE: &str = "scalekit_session";

pub(super) fn routes() -> Router<Arc<Scalekit>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(jwks))
        .route("/oauth/authorize", get(authorize::begin))
        .route("/oauth/token", post(token::redeem))
        .route("/oidc/logout", get(logout::end))
        .route("/hosted/login", get(hosted::email_form).post(hosted::email))
        .route("/hosted/code", get(hosted::code_form).post(hosted::code))
        .route("/hosted/organization", post(hosted::organization))
        .route("/hosted/invitation", get(invitation::accept))
}

async fn discovery(Origin(issuer): Origin) -> Json<Value> {
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "end_session_endpoint": format!("{issuer}/oidc/logout"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
    }))
}

async fn jwks(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    Json(locked(&scalekit.keys).jwks())
}

/// A redirect of the browser, by GET whatever came before.
fn see(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location.to_owned())]).into_response()
}

/// The value of the session cookie.
fn session_cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(cookie::Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
}
