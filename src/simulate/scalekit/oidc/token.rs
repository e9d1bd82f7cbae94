//! The token endpoint.

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{
    claims::Subject,
    tickets::{Redeemed, Right},
};
use crate::simulate::{
    backstage::locked,
    scalekit::{
        Client, Origin, Scalekit, random_text,
        settings::{RefreshReplay, RefreshTokens},
    },
};

/// A refusal in the words of RFC 6749 §5.2.
pub(super) struct Refused(StatusCode, &'static str, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.1, "error_description": self.2 });
        (self.0, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

const fn bad_request(error: &'static str, description: &'static str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, error, description)
}

fn broken() -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the token cannot be made")
}

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        broken()
    }
}

/// The fields of the form; one that is given twice counts as broken.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(headers: &HeaderMap, body: &Bytes) -> Result<Self, Refused> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            return Err(bad_request("invalid_request", "the body must be a form"));
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
        let twice = |(at, (name, _)): (usize, &(String, String))| {
            fields.iter().skip(at + 1).any(|(other, _)| other == name)
        };
        if fields.iter().enumerate().any(twice) {
            return Err(bad_request("invalid_request", "a parameter is given twice"));
        }
        Ok(Self(fields))
    }

    /// An empty value is as good as none (RFC 6749 §3.2).
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn needed(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or(bad_request("invalid_request", "a parameter is missing"))
    }
}

/// `POST /oauth/token`
pub(super) async fn redeem(
    State(scalekit): State<Arc<Scalekit>>,
    Origin(issuer): Origin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let form = Form::of(&headers, &body)?;
    let client = caller(&scalekit, &form)?;
    let body = match form.needed("grant_type")? {
        "client_credentials" => for_client(&scalekit, &issuer, &client, &form)?,
        "authorization_code" => for_code(&scalekit, &issuer, &client, &form)?,
        "refresh_token" => for_refresh(&scalekit, &issuer, &client, &form)?,
        _ => return Err(bad_request("unsupported_grant_type", "no such grant")),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The client, by the secret in the form; the only way that any of the official clients uses.
fn caller(scalekit: &Scalekit, form: &Form) -> Result<Client, Refused> {
    let refused = || Refused(StatusCode::UNAUTHORIZED, "invalid_client", "unknown client or wrong secret");
    let client = form.get("client_id").and_then(|id| scalekit.client(id)).ok_or_else(refused)?;
    let right = match (&client.secret, form.get("client_secret")) {
        (None, _) => true,
        (Some(secret), Some(given)) => secret.as_bytes().ct_eq(given.as_bytes()).into(),
        (Some(_), None) => false,
    };
    if right { Ok(client) } else { Err(refused()) }
}

fn for_client(scalekit: &Scalekit, issuer: &str, client: &Client, form: &Form) -> Result<Value, Refused> {
    if client.secret.is_none() || !client.management_api {
        return Err(bad_request("unauthorized_client", "this client may not use the management API"));
    }
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let end = now.after(Duration::from_secs(settings.api_token_secs));
    let id = locked(&scalekit.world).id("tkn_");
    let scope = form.get("scope").unwrap_or("openid");
    let claims = json!({
        "iss": issuer, "aud": [issuer], "sub": client.id, "client_id": client.id, "jti": id,
        "iat": now.seconds(), "nbf": now.seconds(), "exp": end.seconds(), "scope": scope,
        "scopes": scope.split(' ').collect::<Vec<_>>(),
    });
    let token = locked(&scalekit.keys).sign(&claims)?;
    locked(&scalekit.tickets).keep_api_token(token.clone(), end, now);
    Ok(json!({
        "access_token": token, "token_type": "Bearer", "scope": scope,
        "expires_in": settings.api_token_secs.saturating_sub(1),
    }))
}

fn for_code(scalekit: &Scalekit, issuer: &str, client: &Client, form: &Form) -> Result<Value, Refused> {
    let (code, redirect_uri) = (form.needed("code")?, form.needed("redirect_uri")?);
    let redeemed = locked(&scalekit.tickets).use_code(code, scalekit.now());
    let right = match redeemed {
        Redeemed::Good(right) => right,
        Redeemed::Again(_) => return Err(bad_request("invalid_grant", "the code was used before")),
        Redeemed::Late => return Err(bad_request("invalid_grant", "the code has expired")),
        Redeemed::Unknown => return Err(bad_request("invalid_grant", "the code is unknown")),
    };
    if right.client != client.id {
        return Err(bad_request("invalid_grant", "the code belongs to another client"));
    }
    if right.redirect_uri != redirect_uri {
        return Err(bad_request("invalid_grant", "redirect_uri differs from the authorize request"));
    }
    match (&right.challenge, form.get("code_verifier")) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if *challenge == s256(verifier) => {}
        _ => return Err(bad_request("invalid_grant", "code_verifier does not fit")),
    }
    tokens(scalekit, issuer, &right, For::Code(code))
}

fn for_refresh(scalekit: &Scalekit, issuer: &str, client: &Client, form: &Form) -> Result<Value, Refused> {
    let token = form.needed("refresh_token")?;
    let now = scalekit.now();
    let unknown = bad_request("invalid_grant", "the refresh token is unknown or has expired");
    let manner = scalekit.settings().refresh_tokens;
    let mut tickets = locked(&scalekit.tickets);
    tickets.refresh_came();
    // A client that is not the owner must not be able to use a token up.
    if tickets.refresh(token).is_none_or(|right| right.client != client.id) {
        return Err(unknown);
    }
    let redeemed = tickets.use_refresh(token, manner == RefreshTokens::Rotate, now);
    drop(tickets);
    if manner == RefreshTokens::Refused {
        return Err(unknown);
    }
    match redeemed {
        Redeemed::Good(right) => {
            let right = Right { nonce: None, ..right };
            let granted = tokens(scalekit, issuer, &right, For::Refresh(manner, token))?;
            locked(&scalekit.tickets).refresh_granted();
            Ok(granted)
        }
        Redeemed::Again(right) => {
            if scalekit.settings().refresh_replay == RefreshReplay::EndsSession {
                locked(&scalekit.world).end_sessions(now, |session| session.id == right.session);
            }
            Err(bad_request("invalid_grant", "the refresh token was used before"))
        }
        Redeemed::Late | Redeemed::Unknown => Err(unknown),
    }
}

/// What tokens are given for.
#[derive(Clone, Copy)]
enum For<'a> {
    Code(&'a str),
    Refresh(RefreshTokens, &'a str),
}

/// The tokens of a person, and the session kept awake.
fn tokens(scalekit: &Scalekit, issuer: &str, right: &Right, reason: For<'_>) -> Result<Value, Refused> {
    let (now, settings) = (scalekit.now(), scalekit.settings());
    let offline = right.scope.split(' ').any(|scope| scope == "offline_access");
    let refresh = random_text().map_err(|_| broken())?;
    let mut world = locked(&scalekit.world);
    let id = world.id("tkn_");
    let (access_token, id_token) = {
        let subject = Subject::find(issuer, right, &world, now)
            .map_err(|_| bad_request("invalid_grant", "the session, user or membership has ended"))?;
        let keys = locked(&scalekit.keys);
        let access_token = subject.access_token(&keys, &settings, &id)?;
        let code = match reason {
            For::Code(code) => Some(code),
            For::Refresh(..) => None,
        };
        let id_token = subject.id_token(&keys, &settings, &access_token, code)?;
        (access_token, id_token)
    };
    let mut body = json!({
        "access_token": access_token, "id_token": id_token, "token_type": "Bearer", "scope": right.scope,
        "expires_in": settings.access_token_secs.saturating_sub(1),
    });
    if let Some(session) = world.sessions.get_mut(&right.session) {
        session.active = now;
        session.idle_end = now.after(Duration::from_secs(settings.session_idle_secs));
        match reason {
            For::Refresh(RefreshTokens::Same, token) => body["refresh_token"] = Value::from(token),
            For::Refresh(RefreshTokens::Omitted, _) => {}
            For::Code(_) | For::Refresh(..) if offline => {
                let end = session.absolute_end;
                locked(&scalekit.tickets).keep_refresh(refresh.clone(), right.clone(), end, now);
                body["refresh_token"] = Value::from(refresh);
            }
            For::Code(_) | For::Refresh(..) => {}
        }
    }
    Ok(body)
}

/// The challenge of a verifier (RFC 7636 §4.2).
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let challenge = super::s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
