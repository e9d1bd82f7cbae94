//! The authorize endpoint: judges a request and lets a live session answer it, or shows the hosted login.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use url::Url;

use super::{arrival, pages, see, session_cookie, tickets::LoginRequest};
use crate::simulate::{
    backstage::locked,
    scalekit::{Client, Scalekit, random_text, reader::Query, settings::ForeignHint},
};

/// Every parameter the endpoint knows; others are ignored.
const PARAMETERS: [&str; 16] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "login_hint",
    "domain_hint",
    "domain",
    "connection_id",
    "organization_id",
    "code_challenge",
    "code_challenge_method",
    "provider",
    "prompt",
    "response_mode",
];

/// An error for the application, told through the redirect address.
pub(super) struct Told(pub(super) &'static str, pub(super) &'static str);

/// What the browser is to be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    /// Only what is needed.
    Default,
    /// A sign-in, whatever sessions there are.
    Login,
    SelectAccount,
    /// Nothing at all.
    None,
}

/// `GET /oauth/authorize`
pub(super) async fn begin(
    State(scalekit): State<Arc<Scalekit>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::of(query.as_deref());
    // Before client and address are known to belong together nothing may be sent there (RFC 6749 §4.1.2.1).
    let Some(client) = query.get("client_id").and_then(|id| scalekit.client(id)) else {
        return pages::refused(StatusCode::BAD_REQUEST, "invalid_client", "No such application.");
    };
    let Some(redirect_uri) =
        query.get("redirect_uri").filter(|uri| client.redirect_uris.iter().any(|own| own == uri))
    else {
        let text = "The address to return to is not registered for this application.";
        return pages::refused(StatusCode::BAD_REQUEST, "invalid_redirect_uri", text);
    };
    let state = query.get("state").map(str::to_owned);
    let redirect_uri = redirect_uri.to_owned();
    match judge(&scalekit, &client, &query) {
        Err(told) => back(&redirect_uri, state.as_deref(), &told),
        Ok((request, prompt)) => {
            let request = LoginRequest { redirect_uri, state, ..request };
            lead(&scalekit, request, prompt, &headers)
        }
    }
}

/// The request as it was asked for, without address and state.
fn judge(scalekit: &Scalekit, client: &Client, query: &Query) -> Result<(LoginRequest, Prompt), Told> {
    if PARAMETERS.iter().any(|name| query.all(name).count() > 1) {
        return Err(Told("invalid_request", "a parameter is given twice"));
    }
    if query.get("response_type") != Some("code") {
        return Err(Told("invalid_request", "response_type must be code"));
    }
    let scope = query.get("scope").unwrap_or_default();
    if !scope.split(' ').any(|word| word == "openid") {
        return Err(Told("invalid_request", "scope must contain openid"));
    }
    let challenge = query.get("code_challenge").map(str::to_owned);
    if challenge.is_some() && query.get("code_challenge_method") != Some("S256") {
        return Err(Told("invalid_request", "code_challenge_method must be S256"));
    }
    if challenge.is_none() && (client.enforce_pkce || client.secret.is_none()) {
        return Err(Told("invalid_request", "code_challenge is required"));
    }
    let prompt = match query.get("prompt").unwrap_or_default() {
        "" | "consent" => Prompt::Default,
        "login" | "create" => Prompt::Login,
        "select_account" => Prompt::SelectAccount,
        "none" => Prompt::None,
        _ => return Err(Told("invalid_request", "prompt is not known")),
    };
    let connection = query.get("connection_id").map(str::to_owned);
    if connection.as_ref().is_some_and(|id| !scalekit.options.connections.contains(id)) {
        return Err(Told("invalid_connection_id", "no such connection"));
    }
    let organization = query.get("organization_id").map(str::to_owned);
    if organization.as_ref().is_some_and(|id| !locked(&scalekit.world).organizations.contains_key(id)) {
        return Err(Told("invalid_organization_id", "no such organization"));
    }
    let request = LoginRequest {
        client: client.id.clone(),
        scope: scope.to_owned(),
        nonce: query.get("nonce").map(str::to_owned),
        challenge,
        hint: query.get("login_hint").map(str::to_owned),
        organization,
        connection,
        choose_organization: prompt == Prompt::SelectAccount,
        ..LoginRequest::default()
    };
    Ok((request, prompt))
}

/// Straight back with a code when a live session may answer, else to the login page.
fn lead(scalekit: &Scalekit, request: LoginRequest, prompt: Prompt, headers: &HeaderMap) -> Response {
    if prompt != Prompt::Login
        && let Some((session, user)) = live_session(scalekit, &request, headers)
    {
        return arrival::choose(
            scalekit,
            request,
            &user,
            arrival::Way::Session(session),
            prompt == Prompt::None,
        );
    }
    if prompt == Prompt::None {
        return back(
            &request.redirect_uri,
            request.state.as_deref(),
            &Told("login_required", "nobody is signed in"),
        );
    }
    let Ok(id) = random_text() else {
        return pages::broken();
    };
    locked(&scalekit.tickets).keep_request(id.clone(), request, scalekit.now());
    see(&format!("/hosted/login?request={id}"))
}

/// Session and user of this browser, when that session may answer this request.
fn live_session(
    scalekit: &Scalekit,
    request: &LoginRequest,
    headers: &HeaderMap,
) -> Option<(String, String)> {
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let id = locked(&scalekit.tickets).session_of(&session_cookie(headers)?)?.clone();
    let world = locked(&scalekit.world);
    let session = world.sessions.get(&id).filter(|session| session.end_at(now).is_none())?;
    let user = world.people.get(&session.user)?;
    let foreign = request.hint.as_ref().is_some_and(|hint| !hint.eq_ignore_ascii_case(&user.email));
    if foreign && settings.foreign_hint == ForeignHint::Asks {
        return None;
    }
    Some((id, user.id.clone()))
}

/// Sends the browser back to the application with an error.
pub(super) fn back(redirect_uri: &str, state: Option<&str>, told: &Told) -> Response {
    answer(redirect_uri, &[("error", told.0), ("error_description", told.1)], state)
}

/// Sends the browser back to the application.
pub(super) fn answer(redirect_uri: &str, fields: &[(&str, &str)], state: Option<&str>) -> Response {
    let Ok(mut url) = Url::parse(redirect_uri) else {
        return pages::refused(StatusCode::BAD_REQUEST, "invalid_redirect_uri", "Not an address.");
    };
    url.query_pairs_mut().extend_pairs(fields).extend_pairs(state.map(|state| ("state", state)));
    see(url.as_str())
}
