//! What the legacy stand-ins share behind the scenes: faults, the journal, and the wire under a request.
//!
//! A stand-in plays its part on its own routes; everything under `/__simulator/` is for whoever runs the play:
//! `faults` (GET, PUT, DELETE), `journal`, `counts` and `reset`. The journal never holds a password, a token or
//! a cookie's value: only whether one was there and how long it was. Start reading at [`Backstage::mount`].

mod fault;
pub(super) mod html;
mod journal;
mod serve;
mod wire;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub(crate) use fault::Fault;
use fault::Kind;
pub(super) use journal::PasswordSeen;
use journal::{Entry, Journal};
pub(crate) use serve::{Certificate, Door};
pub(super) use serve::{Scheme, serve};
pub(super) use wire::{Scripted, Step, Wire};

use crate::clock::{SharedClock, Timestamp, to_http_date};

/// How a stand-in words the error answers that a fault asks for.
pub(super) type Wording = fn(StatusCode, &Fault, Timestamp) -> Response;

/// The faults in force and the journal of one stand-in.
pub(super) struct Backstage {
    clock: SharedClock,
    wording: Wording,
    at_start: Vec<Fault>,
    faults: Mutex<Vec<Fault>>,
    journal: Mutex<Journal>,
}

impl Backstage {
    pub(super) fn new(clock: SharedClock, faults: Vec<Fault>, wording: Wording) -> Arc<Self> {
        let journal = Mutex::new(Journal::default());
        Arc::new(Self { clock, wording, faults: Mutex::new(faults.clone()), at_start: faults, journal })
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Notes on one request of the journal; without effect when it has been forgotten since.
    pub(super) fn note(&self, number: Number, write: impl FnOnce(&mut Entry)) {
        locked(&self.journal).with(number.0, write);
    }

    /// Counts one well-formed sign-in with a password, whatever came of it.
    pub(super) fn count_check(&self, login: &str) {
        locked(&self.journal).count_check(login);
    }

    /// Adds one to a number of the stand-in's own that `counts` shows under this name.
    pub(super) fn tally(&self, name: &'static str) {
        locked(&self.journal).tally(name, 1);
    }

    /// Shows these numbers of the stand-in's own from the start, at zero.
    pub(super) fn begin_tallies(&self, names: &[&'static str]) {
        let mut journal = locked(&self.journal);
        for name in names {
            journal.tally(name, 0);
        }
    }

    /// Puts faults and journal around `play`, and the side door beside it. `reset` restores what the stand-in
    /// itself remembers.
    pub(super) fn mount(self: &Arc<Self>, play: Router, reset: impl Fn() + Send + Sync + 'static) -> Router {
        let reset = Arc::new(reset);
        let side = Router::new()
            .route("/__simulator/faults", get(list_faults).put(set_faults).delete(clear_faults))
            .route("/__simulator/journal", get(read_journal))
            .route("/__simulator/counts", get(read_counts))
            .route(
                "/__simulator/reset",
                post(move |State(backstage): State<Arc<Self>>| async move {
                    reset();
                    locked(&backstage.journal).clear();
                    locked(&backstage.faults).clone_from(&backstage.at_start);
                    StatusCode::NO_CONTENT
                }),
            )
            .with_state(Arc::clone(self));
        play.layer(middleware::from_fn_with_state(Arc::clone(self), attend)).merge(side)
    }

    /// The first fault that concerns this request and whose turn it is; one with a count is used up by being taken.
    fn take_fault(&self, request: &Request) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let (method, path) = (request.method(), request.uri().path());
        let at = faults.iter_mut().position(|fault| fault.concerns(method, path) && fault.is_due())?;
        let fault = faults.get_mut(at)?;
        let taken = fault.clone();
        if fault.use_up() {
            faults.remove(at);
        }
        self.tally("faults_hit");
        Some(taken)
    }
}

/// The number of a request in the journal, handed to the handlers as a request extension.
#[derive(Clone, Copy)]
pub(super) struct Number(u64);

/// A random text for ids, tokens and cookies: `bytes` random bytes in the URL alphabet of base64.
pub(super) fn random_text(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// The guarded value, also after a panic elsewhere: a stand-in has no invariant that spans two locks.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request's way through journal and faults.
async fn attend(State(backstage): State<Arc<Backstage>>, mut request: Request, next: Next) -> Response {
    let wire = request.extensions().get::<ConnectInfo<Wire>>().map(|info| info.0.clone());
    let fault = backstage.take_fault(&request);
    let entry = Entry::of(&request, wire.as_ref(), fault.as_ref(), backstage.clock.now());
    let number = Number(locked(&backstage.journal).push(entry));
    request.extensions_mut().insert(number);
    let response = match fault {
        None => next.run(request).await,
        Some(fault) => play_fault(&backstage, &fault, wire, request, next).await,
    };
    backstage.note(number, |entry| entry.status = Some(response.status().as_u16()));
    response
}

/// Faults of the way in answer for the stand-in; faults of the way out let it work and spoil the answer, as
/// when a reply is lost after the password was checked.
async fn play_fault(
    backstage: &Backstage,
    fault: &Fault,
    wire: Option<Wire>,
    request: Request,
    next: Next,
) -> Response {
    match fault.kind {
        Kind::Down => {
            wire.as_ref().inspect(|wire| wire.hang_up());
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Kind::Slow => {
            backstage.clock.sleep(fault.delay()).await;
            next.run(request).await
        }
        Kind::Late => {
            let response = next.run(request).await;
            backstage.clock.sleep(fault.delay()).await;
            response
        }
        Kind::Lost => {
            let response = next.run(request).await;
            wire.as_ref().inspect(|wire| wire.hang_up());
            response
        }
        Kind::Status => (backstage.wording)(fault.status(), fault, backstage.clock.now()),
        Kind::RateLimited => (backstage.wording)(StatusCode::TOO_MANY_REQUESTS, fault, backstage.clock.now()),
        Kind::Html => fault::garbage_page().into_response(),
        Kind::Skewed => {
            let mut response = next.run(request).await;
            let date = to_http_date(backstage.clock.now().after(fault.skew()));
            if let Ok(date) = HeaderValue::try_from(date) {
                response.headers_mut().insert(header::DATE, date);
            }
            response
        }
        Kind::Huge | Kind::Truncated | Kind::Reset | Kind::WrongTypes => {
            fault::spoil(fault, wire, next.run(request).await).await
        }
    }
}

/// One fault or a list of them.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Fault>),
    One(Box<Fault>),
}

async fn list_faults(State(backstage): State<Arc<Backstage>>) -> Json<Vec<Fault>> {
    Json(locked(&backstage.faults).clone())
}

async fn set_faults(State(backstage): State<Arc<Backstage>>, body: Json<OneOrMany>) -> Json<Vec<Fault>> {
    let faults = match body.0 {
        OneOrMany::Many(faults) => faults,
        OneOrMany::One(fault) => vec![*fault],
    };
    locked(&backstage.faults).clone_from(&faults);
    Json(faults)
}

async fn clear_faults(State(backstage): State<Arc<Backstage>>) -> StatusCode {
    locked(&backstage.faults).clear();
    StatusCode::NO_CONTENT
}

async fn read_journal(State(backstage): State<Arc<Backstage>>) -> Response<Body> {
    Json(locked(&backstage.journal).entries()).into_response()
}

async fn read_counts(State(backstage): State<Arc<Backstage>>) -> Response<Body> {
    Json(locked(&backstage.journal).counts()).into_response()
}

#[cfg(test)]
pub(super) mod rig;
