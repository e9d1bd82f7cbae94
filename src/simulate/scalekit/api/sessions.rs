//! Sessions of the hosted login: read and end, never begin.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use super::{Answer, LIST_SIZES, ok, session_id, user_id};
use crate::{
    clock::Timestamp,
    simulate::{
        backstage::locked,
        scalekit::{
            Scalekit,
            failure::Failure,
            paging::page,
            reader::Query,
            session::{Session, SessionEnd},
        },
    },
};

/// `GET /api/v1/sessions/{id}`
pub(super) async fn one(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    let (now, world) = (scalekit.now(), locked(&scalekit.world));
    let session = world.sessions.get(session_id(&id)?);
    ok(session.ok_or_else(|| Failure::not_found("session"))?.to_json(now))
}

/// `GET /api/v1/users/{id}/sessions`
pub(super) async fn of_user(
    State(scalekit): State<Arc<Scalekit>>,
    Path(user): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::of(query.as_deref());
    let size = query.page_size(&LIST_SIZES, 10)?;
    let statuses: Vec<String> = query.all("filter.status").map(str::to_lowercase).collect();
    let bound = |name: &str| {
        let text = query.get(name).map(str::to_owned);
        let good = text.as_deref().is_none_or(|text| text.ends_with('Z') && text.contains('T'));
        // Whole seconds get the fraction that the compared texts have.
        let whole = |text: String| if text.contains('.') { text } else { text.replace('Z', ".000Z") };
        if good { Ok(text.map(whole)) } else { Err(Failure::field(name, "must be an RFC 3339 time in UTC")) }
    };
    let (from, to) = (bound("filter.start_time")?, bound("filter.end_time")?);
    let (now, world) = (scalekit.now(), locked(&scalekit.world));
    world.user(user_id(&user)?)?;
    // Times in one format and zone are in order when their texts are.
    let within = |at: Timestamp| {
        let at = at.to_string();
        from.as_ref().is_none_or(|from| at >= *from) && to.as_ref().is_none_or(|to| at <= *to)
    };
    let wanted = |status: &str| statuses.is_empty() || statuses.iter().any(|one| one == status);
    let sessions = world.sessions.values().filter(|session| session.user == user);
    let items: Vec<&Session> =
        sessions.filter(|session| wanted(session.status_at(now)) && within(session.created)).collect();
    ok(page(&query, size, "sessions", &items, |session| session.to_json(now))?)
}

/// `POST /api/v1/sessions/{id}/revoke`
pub(super) async fn revoke(State(scalekit): State<Arc<Scalekit>>, Path(id): Path<String>) -> Answer {
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    let session = world.sessions.get_mut(session_id(&id)?);
    let session = session.ok_or_else(|| Failure::not_found("session"))?;
    if session.end_at(now).is_none() {
        session.ended = Some((SessionEnd::Revoked, now));
    }
    ok(json!({ "revoked_session": session.revoked_json(now) }))
}

/// `POST /api/v1/users/{id}/sessions/revoke`
pub(super) async fn revoke_all(State(scalekit): State<Arc<Scalekit>>, Path(user): Path<String>) -> Answer {
    let now = scalekit.now();
    let mut world = locked(&scalekit.world);
    world.user(user_id(&user)?)?;
    let ended = world.end_sessions(now, |session| session.user == user);
    let shown: Vec<Value> = ended.iter().map(|session| session.revoked_json(now)).collect();
    ok(json!({ "revoked_sessions": shown, "total_revoked": ended.len() }))
}
