//! Password checks, in each of the dialects.

use std::sync::Arc;

use axum::{
    Json,
    body::to_bytes,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::{
    HttpStore, Person,
    people::{People, with},
    refusal,
};
use crate::simulate::backstage::{Number, PasswordSeen, locked};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Password {
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hooked {
    identifier: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    login: String,
    password: String,
}

/// What a check came to.
enum Judgement {
    Right(Box<Person>),
    Wrong,
    Unknown,
    Locked,
    /// What this person's checks are always answered with.
    Always(StatusCode),
}

/// `POST /legacy/users/{name}`: the status decides. 200 right, 401 wrong, 404 unknown, 423 locked.
pub(super) async fn by_status(
    State(store): State<Arc<HttpStore>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    told_by_status(&store, &name, request, |people| people.named(&name).cloned()).await
}

/// `POST /legacy/by-id/{id}`: the same for the person with this id.
pub(super) async fn by_status_and_id(
    State(store): State<Arc<HttpStore>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    told_by_status(&store, &id, request, |people| people.with_id(&id).cloned()).await
}

async fn told_by_status(
    store: &HttpStore,
    key: &str,
    request: Request,
    find: impl FnOnce(&People) -> Option<Person>,
) -> Response {
    let number = request.extensions().get::<Number>().copied();
    let Some(Password { password }) = body(request).await else { return refusal(StatusCode::BAD_REQUEST) };
    match judge(store, number, key, &password, find) {
        Judgement::Right(_) => StatusCode::OK.into_response(),
        Judgement::Wrong => refusal(StatusCode::UNAUTHORIZED),
        Judgement::Unknown => refusal(StatusCode::NOT_FOUND),
        Judgement::Locked => refusal(StatusCode::LOCKED),
        Judgement::Always(status) => always(status),
    }
}

/// `POST /legacy/hooks/password`: 200 and the word `password_match` is right, 403 is anything else.
pub(super) async fn hook(State(store): State<Arc<HttpStore>>, request: Request) -> Response {
    let number = request.extensions().get::<Number>().copied();
    let Some(Hooked { identifier, password }) = body(request).await else {
        return refusal(StatusCode::BAD_REQUEST);
    };
    match judge(&store, number, &identifier, &password, |people| people.named(&identifier).cloned()) {
        Judgement::Right(_) => Json(json!({ "status": "password_match" })).into_response(),
        Judgement::Always(status) => always(status),
        Judgement::Wrong | Judgement::Unknown | Judgement::Locked => refusal(StatusCode::FORBIDDEN),
    }
}

/// `POST /legacy/check`: 200 whatever it is; a flag decides, and a yes comes with the person.
pub(super) async fn by_flag(State(store): State<Arc<HttpStore>>, request: Request) -> Response {
    let number = request.extensions().get::<Number>().copied();
    let Some(Login { login, password }) = body(request).await else {
        return refusal(StatusCode::BAD_REQUEST);
    };
    match judge(&store, number, &login, &password, |people| people.named(&login).cloned()) {
        Judgement::Right(person) => {
            let mut answer = store.shown(&person);
            answer["valid"] = true.into();
            Json(with(answer, &person.check_more)).into_response()
        }
        Judgement::Always(status) => always(status),
        Judgement::Wrong | Judgement::Unknown | Judgement::Locked => {
            Json(json!({ "valid": false })).into_response()
        }
    }
}

fn always(status: StatusCode) -> Response {
    if status.is_redirection() {
        return (status, [(header::LOCATION, "/legacy/elsewhere")]).into_response();
    }
    if status.is_success() { (status, Json(json!({}))).into_response() } else { refusal(status) }
}

async fn body<T: DeserializeOwned>(request: Request) -> Option<T> {
    let body = to_bytes(request.into_body(), 64 * 1024).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// `key` is what the caller named the person by.
fn judge(
    store: &HttpStore,
    number: Option<Number>,
    key: &str,
    password: &str,
    find: impl FnOnce(&People) -> Option<Person>,
) -> Judgement {
    if let Some(number) = number {
        store.backstage.note(number, |entry| {
            entry.login = Some(key.to_owned());
            entry.password = Some(PasswordSeen { length_bytes: password.len() });
        });
    }
    store.backstage.count_check(key);
    let mut people = locked(&store.people);
    let Some(person) = find(&people) else { return Judgement::Unknown };
    if let Some(status) = person.check_status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return Judgement::Always(status);
    }
    if people.is_locked(&person.id) {
        return Judgement::Locked;
    }
    let stored = person.password.as_deref().unwrap_or_default();
    let right = !stored.is_empty() && bool::from(stored.as_bytes().ct_eq(password.as_bytes()));
    people.tried(&person.id, right, store.options.lock_out_after);
    if right { Judgement::Right(Box::new(person)) } else { Judgement::Wrong }
}
