//! A route of the application that starts its own Scalekit sign-in: the target of the hand-off `app`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    Address, App,
    doors::{redirect, with_cookie},
    form::query_field,
    pages,
    session::{cookie, expire_cookie, set_cookie},
};
use crate::simulate::backstage::random_text;

/// The cookie that ties the way back to the browser that left.
const STATE_COOKIE: &str = "app_sso_state";

/// Fields of the query that travel on to the authorization address.
const HINTS: [&str; 4] = ["login_hint", "organization_id", "connection_id", "prompt"];

/// Where the application's own Scalekit sign-in goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sso {
    pub(crate) authorize_url: Address,
    pub(crate) client_id: String,
    /// The application's own `/sso/callback`, as registered.
    pub(crate) redirect_uri: String,
    #[serde(default = "usual_scope")]
    pub(crate) scope: String,
}

fn usual_scope() -> String {
    "openid profile email".into()
}

/// `GET /sso/start`
pub(super) async fn start(State(app): State<Arc<App>>, request: Request) -> Response {
    let Some(sso) = &app.options.sso else {
        return (StatusCode::NOT_FOUND, "No sign-in with Scalekit is configured.\n").into_response();
    };
    let Ok(state) = random_text(24) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut to = sso.authorize_url.0.clone();
    to.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &sso.client_id)
        .append_pair("redirect_uri", &sso.redirect_uri)
        .append_pair("scope", &sso.scope)
        .append_pair("state", &state);
    let sent = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    for (name, value) in sent.filter(|(name, _)| HINTS.contains(&name.as_ref())) {
        to.query_pairs_mut().append_pair(&name, &value);
    }
    with_cookie(redirect(to.as_str()), Ok(set_cookie(STATE_COOKIE, &state)))
}

/// `GET /sso/callback`: the sample stops here, where a real application would redeem the code with the SDK.
pub(super) async fn callback(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let field = |name: &str| query_field(uri.query(), name);
    let expected = cookie(&headers, STATE_COOKIE);
    let (status, said) = if expected.is_none() || field("state") != expected {
        (StatusCode::FORBIDDEN, "This sign-in was not started in this browser.".to_owned())
    } else if let Some(error) = field("error") {
        (StatusCode::OK, format!("Scalekit answered with the error {error}."))
    } else if field("code").is_some() {
        (StatusCode::OK, "Scalekit sent a code back. A real application redeems it now.".to_owned())
    } else {
        (StatusCode::BAD_REQUEST, "The answer holds neither a code nor an error.".to_owned())
    };
    let page = pages::notice(&app.options.name, status, "Back from Scalekit", &said);
    with_cookie(page, Ok(expire_cookie(STATE_COOKIE)))
}
