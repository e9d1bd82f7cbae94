//! This stand-in's own part of the side door: mails, organizations, the true state of users, settings, clients,
//! keys, and the transcript. None of it exists on the real service.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};

use super::{Client, Origin, Scalekit, reader::Query, records::Organization};
use crate::simulate::backstage::locked;

pub(super) fn routes() -> Router<Arc<Scalekit>> {
    Router::new()
        .route("/__simulator/mails", get(mails))
        .route("/__simulator/organizations", get(organizations))
        .route("/__simulator/users", get(users))
        .route("/__simulator/settings", get(settings).put(change_settings))
        .route("/__simulator/clients", get(clients).put(set_clients))
        .route("/__simulator/keys/rotate", post(rotate_keys))
        .route("/__simulator/api_tokens", delete(forget_api_tokens))
        .route("/__simulator/refreshes", get(refreshes))
        .route("/__simulator/transcript", get(transcript).delete(take_transcript))
}

/// Every mail, newest last.
async fn mails(State(scalekit): State<Arc<Scalekit>>, Origin(origin): Origin) -> Json<Value> {
    let world = locked(&scalekit.world);
    let shown = world.mails.all().map(|mail| {
        let mut shown = json!(mail);
        shown["link"] = Value::from(format!("{origin}{}", mail.link));
        shown
    });
    Json(json!({ "mails": shown.collect::<Vec<_>>() }))
}

/// All organizations, without pages.
async fn organizations(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    let world = locked(&scalekit.world);
    let shown: Vec<Value> = world.organizations.values().map(Organization::to_json).collect();
    Json(json!({ "organizations": shown }))
}

/// All users as they really are, without pages.
async fn users(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    let world = locked(&scalekit.world);
    let shown = world.people.all().map(|user| {
        let memberships = user.memberships.iter().map(|member| {
            json!({
                "organization_id": member.organization, "status": member.standing, "roles": member.roles,
                "metadata": member.metadata,
            })
        });
        json!({
            "id": user.id,
            "email": user.email,
            "email_verified": user.email_verified,
            "external_id": user.external_id,
            "metadata": user.metadata,
            "profile": user.profile.texts,
            "memberships": memberships.collect::<Vec<_>>(),
            "origin": user.origin,
            "created_at": user.created.to_string(),
            "last_login_at": user.last_login.map(|at| at.to_string()),
        })
    });
    Json(json!({ "users": shown.collect::<Vec<_>>(), "created": world.created }))
}

async fn settings(State(scalekit): State<Arc<Scalekit>>) -> Json<super::Settings> {
    Json(scalekit.settings())
}

/// Changes the settings the body names and leaves the others.
async fn change_settings(State(scalekit): State<Arc<Scalekit>>, Json(wanted): Json<Value>) -> Response {
    let mut settings = locked(&scalekit.settings);
    match settings.changed(wanted) {
        Ok(changed) => {
            settings.clone_from(&changed);
            Json(changed).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// The applications, without their secrets.
async fn clients(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    let shown: Vec<Value> = locked(&scalekit.clients).iter().map(without_secret).collect();
    Json(Value::from(shown))
}

/// Replaces the applications: a test learns its redirect address only when its own server listens.
async fn set_clients(State(scalekit): State<Arc<Scalekit>>, Json(clients): Json<Vec<Client>>) -> Json<Value> {
    let shown: Vec<Value> = clients.iter().map(without_secret).collect();
    *locked(&scalekit.clients) = clients;
    Json(Value::from(shown))
}

fn without_secret(client: &Client) -> Value {
    json!({
        "id": client.id,
        "public": client.secret.is_none(),
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "management_api": client.management_api,
        "enforce_pkce": client.enforce_pkce,
    })
}

/// Signs with a new key from now on. With `retire=true` the old one is not published any more.
async fn rotate_keys(State(scalekit): State<Arc<Scalekit>>, RawQuery(query): RawQuery) -> Response {
    let Ok(retire) = Query::of(query.as_deref()).flag("retire", false) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let id = locked(&scalekit.world).id("snk_");
    match locked(&scalekit.keys).rotate(id, retire) {
        Ok(id) => Json(json!({ "kid": id })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Every token of the management API is worth nothing from now on.
async fn forget_api_tokens(State(scalekit): State<Arc<Scalekit>>) -> StatusCode {
    locked(&scalekit.tickets).forget_api_tokens();
    StatusCode::NO_CONTENT
}

/// How often refresh tokens came, counted by session; the tokens themselves stay inside.
async fn refreshes(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    Json(json!(locked(&scalekit.tickets).refreshes()))
}

async fn transcript(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    Json(locked(&scalekit.transcript).shown())
}

/// The transcript so far, which is forgotten: a long play is judged in pieces.
async fn take_transcript(State(scalekit): State<Arc<Scalekit>>) -> Json<Value> {
    Json(locked(&scalekit.transcript).taken())
}
