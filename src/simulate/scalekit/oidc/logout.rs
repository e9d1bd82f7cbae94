//! The end of the browser's session.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::Value;

use super::{COOKIE, authorize::answer, pages, session_cookie};
use crate::simulate::{
    backstage::locked,
    scalekit::{Scalekit, reader::Query, session::SessionEnd},
};

/// `GET /oidc/logout`. The session of the cookie ends, and the one an ID token names.
pub(super) async fn end(
    State(scalekit): State<Arc<Scalekit>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::of(query.as_deref());
    let now = scalekit.now();
    let hint = query.get("id_token_hint").and_then(|token| locked(&scalekit.keys).claims(token));
    let claim = |name: &str| hint.as_ref().and_then(|claims| claims.get(name)).and_then(Value::as_str);
    let of_browser =
        session_cookie(&headers).and_then(|cookie| locked(&scalekit.tickets).forget_browser(&cookie));
    let mut world = locked(&scalekit.world);
    for id in [of_browser.as_deref(), claim("sid")].into_iter().flatten() {
        if let Some(session) = world.sessions.get_mut(id).filter(|session| session.end_at(now).is_none()) {
            session.ended = Some((SessionEnd::Logout, now));
        }
    }
    drop(world);
    let mut response = farewell(&scalekit, &query, claim("client_id"));
    let expired = HeaderValue::try_from(format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"));
    if let Ok(expired) = expired {
        response.headers_mut().append(header::SET_COOKIE, expired);
    }
    response
}

/// Back to the application when the address is registered, by the hinted client or without a hint by any.
fn farewell(scalekit: &Scalekit, query: &Query, client: Option<&str>) -> Response {
    let Some(target) = query.get("post_logout_redirect_uri") else {
        return pages::notice("Signed out", "You are signed out.");
    };
    let clients = locked(&scalekit.clients);
    let mut asked = clients.iter().filter(|one| client.is_none_or(|id| one.id == id));
    if asked.any(|one| one.post_logout_redirect_uris.iter().any(|own| own == target)) {
        return answer(target, &[], query.get("state"));
    }
    let text = "You are signed out, but the address to return to is not registered.";
    pages::refused(StatusCode::BAD_REQUEST, "invalid_redirect_uri", text)
}
