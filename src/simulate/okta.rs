//! A stand-in for an Okta organisation: primary authentication, users, groups, factors.
//!
//! Written from Okta's published behaviour alone and shares no type with the client that talks to it: a
//! misreading must not be made twice. It keeps plain passwords, lock-outs and rate limits in memory and must
//! never face anything but loopback. Start reading at [`Options`], then [`authn`].

mod authn;
mod errors;
mod limits;
mod people;
mod schema;
mod users;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, header},
    middleware,
    routing::{get, post},
};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use self::{errors::Failure, limits::Limits, people::People};
pub(crate) use super::backstage::Fault;
use super::backstage::{self, Backstage, Number, Wire};
use crate::clock::SharedClock;

pub(crate) use people::Person;

/// What the organisation is like; also the seed file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The API token that makes a caller a trusted application.
    pub(crate) api_token: String,
    /// What the token may read; a missing one answers 403 `E0000006`.
    pub(crate) token_scopes: Vec<Scope>,
    /// The address in links; the request's `Host` when absent.
    pub(crate) base_url: Option<String>,
    pub(crate) users: Vec<Person>,
    /// After how many wrong passwords in a row a person is locked; 0 is never.
    pub(crate) lock_out_after: u32,
    /// Whether a locked person's sign-in says so (200 `LOCKED_OUT`) or looks like a wrong password.
    pub(crate) lock_out: LockOut,
    /// Requests per window for the whole organisation.
    pub(crate) requests_per_window: u32,
    pub(crate) window_secs: u64,
    /// Callers whose `X-Forwarded-For` counts, when they also bring the token.
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// Client addresses the sign-on policy refuses, whatever the password.
    pub(crate) blocked_ips: Vec<IpAddr>,
    /// The largest page of a list.
    pub(crate) page_size: usize,
    /// Longer passwords answer `E0000001`.
    pub(crate) longest_password_bytes: Option<usize>,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_token: "00simulated-okta-token".into(),
            token_scopes: vec![Scope::Users, Scope::Groups, Scope::Factors],
            base_url: None,
            users: Vec::new(),
            lock_out_after: 10,
            lock_out: LockOut::Hidden,
            requests_per_window: 6_000,
            window_secs: 60,
            trusted_proxies: Vec::new(),
            blocked_ips: Vec::new(),
            page_size: 200,
            longest_password_bytes: None,
            faults: Vec::new(),
        }
    }
}

/// What an API token may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    Users,
    Groups,
    Factors,
}

/// Whether the lock-out policy shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LockOut {
    Hidden,
    Shown,
}

/// A running organisation.
pub(crate) struct Okta {
    options: Options,
    people: Mutex<People>,
    limits: Mutex<Limits>,
    backstage: Arc<Backstage>,
}

impl Okta {
    pub(crate) fn new(options: Options, clock: SharedClock) -> Arc<Self> {
        let backstage = Backstage::new(clock, options.faults.clone(), errors::of_fault);
        let people = Mutex::new(People::from_seed(&options.users));
        Arc::new(Self { options, people, limits: Mutex::new(Limits::default()), backstage })
    }

    fn router(self: &Arc<Self>) -> Router {
        let play = Router::new()
            .route("/api/v1/authn", post(authn::authenticate))
            .route("/api/v1/meta/schemas/user/default", get(schema::user))
            .route("/api/v1/users", get(users::list))
            .route("/api/v1/users/{id}", get(users::one))
            .route("/api/v1/users/{id}/groups", get(users::groups))
            .route("/api/v1/users/{id}/factors", get(users::factors))
            .method_not_allowed_fallback(|| async { Failure::E0000022 })
            .fallback(|| async { Failure::NotFound("the requested resource".into()) })
            .layer(middleware::from_fn_with_state(Arc::clone(self), limits::enforce))
            .with_state(Arc::clone(self));
        let afterwards = Arc::clone(self);
        self.backstage.mount(play, move || afterwards.reset())
    }

    fn reset(&self) {
        *backstage::locked(&self.people) = People::from_seed(&self.options.users);
        *backstage::locked(&self.limits) = Limits::default();
    }

    /// Who calls: without `Authorization` a public application, with the token a trusted one.
    fn caller(&self, call: &Call) -> Result<Caller, Failure> {
        let Some(given) = call.headers.get(header::AUTHORIZATION) else { return Ok(Caller::Public) };
        let token = given.as_bytes().strip_prefix(b"SSWS ").unwrap_or_default();
        if token.ct_eq(self.options.api_token.as_bytes()).into() {
            Ok(Caller::Trusted)
        } else {
            Err(Failure::E0000011)
        }
    }

    /// The guard of the users API: a token, and the permission.
    fn permit(&self, call: &Call, scope: Scope) -> Result<(), Failure> {
        match self.caller(call)? {
            Caller::Public => Err(Failure::E0000005),
            Caller::Trusted if self.options.token_scopes.contains(&scope) => Ok(()),
            Caller::Trusted => Err(Failure::E0000006),
        }
    }

    /// Where the person sits: the peer, unless a trusted caller on a registered gateway says otherwise. Then it
    /// is the last address in `X-Forwarded-For` that is no gateway itself.
    fn client_ip(&self, call: &Call, caller: Caller) -> IpAddr {
        let gateways = &self.options.trusted_proxies;
        if caller != Caller::Trusted || !gateways.contains(&call.peer.ip()) {
            return call.peer.ip();
        }
        let lines = call.headers.get_all("x-forwarded-for").iter();
        let hops: Vec<IpAddr> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|hop| hop.trim().parse().ok())
            .collect();
        hops.into_iter().rev().find(|hop| !gateways.contains(hop)).unwrap_or(call.peer.ip())
    }

    /// The beginning of every link in an answer.
    fn base_url(&self, headers: &HeaderMap) -> String {
        let of_host = || {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            format!("http://{host}")
        };
        self.options.base_url.clone().unwrap_or_else(of_host)
    }
}

/// Whether the caller proved to be an application of the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Public,
    Trusted,
}

/// What the handlers need of a request's head.
struct Call {
    headers: HeaderMap,
    peer: SocketAddr,
    number: Option<Number>,
}

impl Call {
    fn of(request: &Request) -> Self {
        let peer = request
            .extensions()
            .get::<ConnectInfo<Wire>>()
            .map_or(Wire::default().peer(), |info| info.0.peer());
        Self { headers: request.headers().clone(), peer, number: request.extensions().get().copied() }
    }
}

/// Serves the organisation until `shutdown`.
pub(crate) async fn serve(
    door: impl Into<backstage::Door>,
    state: Arc<Okta>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    backstage::serve(door, state.router(), shutdown).await
}

#[cfg(test)]
mod tests;
