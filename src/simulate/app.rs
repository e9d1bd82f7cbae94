//! A small legacy application, as realistic as an upstream has to be: its own sign-in form with a CSRF field,
//! its own user table and session cookie, second factor, forced password change, and pages for people.
//!
//! It believes an identity that Crossfade hands it only when `trust_headers` is on, and then a broken assertion
//! is never replaced by a plain header. Passwords of its seed are plain texts; it must never face anything but
//! loopback. Start reading at [`Options`], then [`doors`].

mod csrf;
mod doors;
mod export;
mod form;
mod identity;
mod live;
mod pages;
mod people;
mod probes;
mod session;
mod sso;
mod steps;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use self::{csrf::Csrf, identity::Keys, people::People, session::Sessions};
pub(crate) use self::{identity::AssertionRules, people::Person, sso::Sso};
pub(crate) use super::backstage::Fault;
use super::backstage::{self, Backstage};
use crate::{clock::SharedClock, clock::Timestamp};

/// What the application is like; also the seed file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The name on its pages.
    pub(crate) name: String,
    pub(crate) users: Vec<Person>,
    /// How a refused sign-in looks.
    pub(crate) on_failure: OnFailure,
    /// The code that every second factor accepts.
    pub(crate) mfa_code: String,
    /// Whether an identity in the request's head is believed at all.
    pub(crate) trust_headers: bool,
    /// How a signed assertion is checked; without it only the plain header can be believed.
    pub(crate) assertion: Option<AssertionRules>,
    /// Where the application's own Scalekit sign-in begins.
    pub(crate) sso: Option<Sso>,
    /// bcrypt's cost in the exported table, 4 to 6.
    pub(crate) hash_cost: u32,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "Harbour Ledger".into(),
            users: Vec::new(),
            on_failure: OnFailure::Form,
            mfa_code: "123456".into(),
            trust_headers: false,
            assertion: None,
            sso: None,
            hash_cost: 4,
            faults: Vec::new(),
        }
    }
}

/// A web address in a seed.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address(url::Url);

impl TryFrom<String> for Address {
    type Error = url::ParseError;

    fn try_from(text: String) -> Result<Self, url::ParseError> {
        text.parse().map(Self)
    }
}

/// How a refused sign-in looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// 200 with the form and an error text.
    Form,
    /// 401 with the form and an error text.
    Unauthorized,
    /// 302 to the form with `error=1`.
    Redirect,
}

/// A running application.
pub(crate) struct App {
    options: Options,
    people: Mutex<People>,
    sessions: Sessions,
    csrf: Csrf,
    keys: Keys,
    backstage: Arc<Backstage>,
}

impl App {
    pub(crate) fn new(options: Options, clock: SharedClock) -> io::Result<Arc<Self>> {
        let backstage = Backstage::new(clock, options.faults.clone(), of_fault);
        let people = Mutex::new(People::from_seed(&options.users));
        let csrf = Csrf::new()?;
        let (sessions, keys) = (Sessions::default(), Keys::default());
        Ok(Arc::new(Self { options, people, sessions, csrf, keys, backstage }))
    }

    fn router(self: &Arc<Self>) -> Router {
        let play = Router::new()
            .route("/", get(doors::home))
            .route("/login", get(doors::form).post(doors::sign_in))
            .route("/mfa", get(steps::mfa_form).post(steps::mfa))
            .route("/password/change", get(steps::change_form).post(steps::change))
            .route("/account/password", get(steps::reset_form).post(steps::reset))
            .route("/logout", get(doors::sign_out).post(doors::sign_out))
            .route("/api/login", post(doors::api_sign_in))
            .route("/api/me", get(doors::who_am_i))
            .route("/live", get(live::live))
            .route("/sso/start", get(sso::start))
            .route("/sso/callback", get(sso::callback))
            .merge(probes::routes())
            .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page.\n") })
            .with_state(Arc::clone(self));
        let afterwards = Arc::clone(self);
        self.backstage.mount(play, move || {
            *backstage::locked(&afterwards.people) = People::from_seed(&afterwards.options.users);
            afterwards.sessions.clear();
        })
    }
}

/// Serves the application until `shutdown`.
pub(crate) async fn serve(
    door: impl Into<backstage::Door>,
    state: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    backstage::serve(door, state.router(), shutdown).await
}

/// The error pages that a fault asks for.
fn of_fault(status: StatusCode, fault: &Fault, _now: Timestamp) -> Response {
    let wait = fault.reset_after_secs().to_string();
    let retry = (status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE)
        .then_some([("retry-after", wait)]);
    (status, retry.map(axum::response::AppendHeaders), "The application is in trouble.\n").into_response()
}

#[cfg(test)]
mod tests;
