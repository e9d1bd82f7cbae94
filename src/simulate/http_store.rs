//! A stand-in for an HTTP endpoint of somebody's own that finds people and checks passwords.
//!
//! It speaks the two dialects that such endpoints are commonly written in: `GET` and `POST /legacy/users/{name}`, where
//! the status decides, and password hooks, where a word in the body does. It shares no type with the client that talks to
//! it, keeps plain passwords in memory and must never face anything but loopback. Start reading at [`Options`], then
//! [`checks`].

mod checks;
mod people;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

pub(crate) use super::backstage::Fault;
use super::backstage::{self, Backstage, locked};
use crate::clock::{SharedClock, Timestamp};

use self::people::{People, Person};

/// What the endpoint is like; also the seed file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    pub(crate) auth: Auth,
    pub(crate) users: Vec<Person>,
    /// After how many wrong passwords in a row somebody is locked (423); 0 is never.
    pub(crate) lock_out_after: u32,
    /// Booleans are written as the words `"true"` and `"false"`, as some endpoints do.
    pub(crate) booleans_as_text: bool,
    /// The member that lists stand in; without it the whole answer is the list.
    pub(crate) list_member: Option<String>,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::Bearer("simulated-http-store-token".into()),
            users: Vec::new(),
            lock_out_after: 10,
            booleans_as_text: false,
            list_member: None,
            faults: Vec::new(),
        }
    }
}

/// How callers say who they are.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    None,
    Bearer(String),
    Basic { user: String, password: String },
    Header { name: String, value: String },
}

/// A running endpoint.
pub(crate) struct HttpStore {
    options: Options,
    people: Mutex<People>,
    backstage: Arc<Backstage>,
}

impl HttpStore {
    pub(crate) fn new(options: Options, clock: SharedClock) -> Arc<Self> {
        let backstage = Backstage::new(clock, options.faults.clone(), of_fault);
        let people = Mutex::new(People::from_seed(&options.users));
        Arc::new(Self { options, people, backstage })
    }

    fn router(self: &Arc<Self>) -> Router {
        let play = Router::new()
            .route("/legacy/users", get(list))
            .route("/legacy/users/{name}", get(one).post(checks::by_status))
            .route("/legacy/by-id/{id}", get(by_id).post(checks::by_status_and_id))
            .route("/legacy/hooks/password", post(checks::hook))
            .route("/legacy/check", post(checks::by_flag))
            .method_not_allowed_fallback(|| async { refusal(StatusCode::METHOD_NOT_ALLOWED) })
            .fallback(|| async { refusal(StatusCode::NOT_FOUND) })
            .layer(middleware::from_fn_with_state(Arc::clone(self), admit))
            .with_state(Arc::clone(self));
        let afterwards = Arc::clone(self);
        self.backstage.mount(play, move || {
            *locked(&afterwards.people) = People::from_seed(&afterwards.options.users);
        })
    }

    fn knows_caller(&self, headers: &HeaderMap) -> bool {
        let (name, right) = match &self.options.auth {
            Auth::None => return true,
            Auth::Bearer(token) => ("authorization", format!("Bearer {token}")),
            Auth::Basic { user, password } => {
                ("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Auth::Header { name, value } => (name.as_str(), value.clone()),
        };
        let given = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        given.ct_eq(right.as_bytes()).into()
    }

    fn shown(&self, person: &Person) -> Value {
        person.to_json(self.options.booleans_as_text)
    }
}

/// Every route wants to know who calls.
async fn admit(State(store): State<Arc<HttpStore>>, request: Request, next: Next) -> Response {
    if store.knows_caller(request.headers()) {
        next.run(request).await
    } else {
        refusal(StatusCode::UNAUTHORIZED)
    }
}

/// `GET /legacy/users/{name}`: a user name or an e-mail, in any case.
async fn one(State(store): State<Arc<HttpStore>>, Path(name): Path<String>) -> Response {
    let found = locked(&store.people).named(&name).cloned();
    found.map_or_else(|| refusal(StatusCode::NOT_FOUND), |person| Json(store.shown(&person)).into_response())
}

/// `GET /legacy/by-id/{id}`
async fn by_id(State(store): State<Arc<HttpStore>>, Path(id): Path<String>) -> Response {
    let found = locked(&store.people).with_id(&id).cloned();
    found.map_or_else(|| refusal(StatusCode::NOT_FOUND), |person| Json(store.shown(&person)).into_response())
}

#[derive(Deserialize)]
struct Wanted {
    email: Option<String>,
}

/// `GET /legacy/users?email=`: everybody with that address, or everybody.
async fn list(State(store): State<Arc<HttpStore>>, Query(wanted): Query<Wanted>) -> Json<Value> {
    let people = locked(&store.people);
    let wants =
        |person: &&Person| wanted.email.as_ref().is_none_or(|email| person.email.eq_ignore_ascii_case(email));
    let shown: Vec<Value> = people.all().filter(wants).map(|person| store.shown(person)).collect();
    Json(match &store.options.list_member {
        Some(member) => json!({ member.as_str(): shown }),
        None => shown.into(),
    })
}

/// An answer that only says its status.
fn refusal(status: StatusCode) -> Response {
    let text = status.canonical_reason().unwrap_or("Refused");
    (status, Json(json!({ "error": text }))).into_response()
}

/// The error answers that a fault asks for. The endpoint names no wait unless it is told to.
fn of_fault(status: StatusCode, fault: &Fault, _now: Timestamp) -> Response {
    let mut response = refusal(status);
    if let (StatusCode::TOO_MANY_REQUESTS, Some(wait)) = (status, fault.named_reset_secs()) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

/// Serves the endpoint until `shutdown`.
pub(crate) async fn serve(
    door: impl Into<backstage::Door>,
    state: Arc<HttpStore>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    backstage::serve(door, state.router(), shutdown).await
}

#[cfg(test)]
mod tests;
