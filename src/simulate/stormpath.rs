//! A stand-in for Stormpath's REST API: one application with its directories, accounts, groups and custom data.
//!
//! Written from the published behaviour of a service that was switched off in 2017, and shares no type with the client
//! that talks to it: a misreading must not be made twice. It keeps plain passwords in memory and must never face
//! anything but loopback. Start reading at [`Options`], then [`attempts`].

mod accounts;
mod attempts;
mod errors;
mod people;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use self::{
    errors::Failure,
    people::{Account, Directory, People},
};
pub(crate) use super::backstage::Fault;
use super::backstage::{self, Backstage};
use crate::clock::SharedClock;

/// What the application is like; also the seed file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The last part of the application's address, `/v1/applications/{id}`.
    pub(crate) application_id: String,
    pub(crate) api_key_id: String,
    pub(crate) api_key_secret: String,
    /// The address in links, up to before `/v1`; that of the request's `Host` when absent.
    pub(crate) base_url: Option<String>,
    pub(crate) directories: Vec<Directory>,
    pub(crate) accounts: Vec<Account>,
    /// After how many wrong passwords in a row an account is locked; 0 is never.
    pub(crate) lock_out_after: u32,
    /// The largest page of a list.
    pub(crate) page_size: usize,
    /// A search for an attribute also finds accounts that only contain the text.
    pub(crate) loose_search: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            application_id: "1simulatedApplication".into(),
            api_key_id: "2SIMULATEDKEYID".into(),
            api_key_secret: "simulated-stormpath-secret".into(),
            base_url: None,
            directories: Vec::new(),
            accounts: Vec::new(),
            lock_out_after: 10,
            page_size: 100,
            loose_search: false,
            faults: Vec::new(),
        }
    }
}

/// A running service.
pub(crate) struct Stormpath {
    options: Options,
    people: Mutex<People>,
    backstage: Arc<Backstage>,
}

impl Stormpath {
    pub(crate) fn new(options: Options, clock: SharedClock) -> Arc<Self> {
        let backstage = Backstage::new(clock, options.faults.clone(), errors::of_fault);
        let people = Mutex::new(People::from_seed(&options.accounts));
        Arc::new(Self { options, people, backstage })
    }

    fn router(self: &Arc<Self>) -> Router {
        let play = Router::new()
            .route("/v1/applications/{application}/loginAttempts", post(attempts::attempt))
            .route("/v1/applications/{application}/accounts", get(accounts::search))
            .route("/v1/accounts/{id}", get(accounts::one))
            .route("/v1/accounts/{id}/customData", get(accounts::custom_data))
            .route("/v1/accounts/{id}/groups", get(accounts::groups))
            .method_not_allowed_fallback(|| async { Failure::Method })
            .fallback(|| async { Failure::NotFound })
            .layer(middleware::from_fn_with_state(Arc::clone(self), admit))
            .with_state(Arc::clone(self));
        let afterwards = Arc::clone(self);
        self.backstage.mount(play, move || {
            *backstage::locked(&afterwards.people) = People::from_seed(&afterwards.options.accounts);
        })
    }

    /// HTTP Basic with the API key; the digest scheme of its own is not understood.
    fn knows_caller(&self, headers: &HeaderMap) -> bool {
        let pair = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|pair| STANDARD.decode(pair).ok())
            .unwrap_or_default();
        let right = format!("{}:{}", self.options.api_key_id, self.options.api_key_secret);
        pair.ct_eq(right.as_bytes()).into()
    }

    fn is_application(&self, id: &str) -> Result<(), Failure> {
        if id == self.options.application_id { Ok(()) } else { Err(Failure::NotFound) }
    }

    /// The beginning of every link in an answer.
    fn root(&self, headers: &HeaderMap) -> String {
        let of_host = || {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            format!("http://{host}")
        };
        format!("{}/v1", self.options.base_url.clone().unwrap_or_else(of_host))
    }
}

/// Every route wants the API key.
async fn admit(State(stormpath): State<Arc<Stormpath>>, request: Request, next: Next) -> Response {
    if stormpath.knows_caller(request.headers()) {
        return next.run(request).await;
    }
    Failure::Unauthorized.into_response()
}

/// Serves the application until `shutdown`.
pub(crate) async fn serve(
    door: impl Into<backstage::Door>,
    state: Arc<Stormpath>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    backstage::serve(door, state.router(), shutdown).await
}

#[cfg(test)]
mod tests;
