//! A stand-in for a Scalekit environment: the management API, hosted login and OIDC.
//!
//! Written from Scalekit's published contract alone and shares no type with the client that talks to it: a
//! misreading must not be made twice. Where the contract is silent a switch decides ([`Settings`]). Mails stay
//! inside and can be read at the side door with their codes, so it must never face anything but loopback. Start
//! reading at [`Options`], then `world` for the rules, `api` for the management API, `grpc` for the official
//! clients' way to it, `oidc` for sign-in.

mod api;
mod failure;
mod grpc;
mod mails;
mod oidc;
mod paging;
mod people;
mod reader;
mod records;
mod seed;
mod session;
mod settings;
mod side;
mod transcript;
mod world;

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
    middleware,
};
use serde::Deserialize;

use self::{
    failure::{Code, Failure},
    oidc::{Keys, Tickets},
    transcript::Transcript,
    world::World,
};
pub(crate) use self::{
    seed::{SeedOrganization, SeedRole, SeedUser},
    settings::Settings,
};
pub(crate) use super::backstage::Fault;
use super::backstage::{self, Backstage, Scheme, locked};
use crate::clock::{SharedClock, Timestamp};

/// What the environment is like; also the seed file.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The environment URL, which is also the issuer; as the request came when absent.
    pub(crate) base_url: Option<String>,
    pub(crate) clients: Vec<Client>,
    pub(crate) organizations: Vec<SeedOrganization>,
    pub(crate) roles: Vec<SeedRole>,
    pub(crate) users: Vec<SeedUser>,
    /// Connections that an authorize request may name.
    pub(crate) connections: Vec<String>,
    pub(crate) settings: Settings,
    pub(crate) faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            base_url: None,
            clients: vec![Client::default()],
            organizations: Vec::new(),
            roles: Vec::new(),
            users: Vec::new(),
            connections: Vec::new(),
            settings: Settings::default(),
            faults: Vec::new(),
        }
    }
}

/// An application of the environment. It may hold a secret, hence no `Debug`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) id: String,
    /// A client without one is public and must use PKCE.
    pub(crate) secret: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Whether its own token opens the management API.
    pub(crate) management_api: bool,
    pub(crate) enforce_pkce: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            id: "skc_100000000000000001".into(),
            secret: Some("simulated-scalekit-secret".into()),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            management_api: true,
            enforce_pkce: false,
        }
    }
}

/// What `/__simulator/counts` shows beside the requests.
const TALLIES: [&str; 5] =
    ["creates_received", "creates_accepted", "creates_answered_with_existing", "duplicates_made", "sign_ups"];

/// A running environment.
pub(crate) struct Scalekit {
    options: Options,
    settings: Mutex<Settings>,
    clients: Mutex<Vec<Client>>,
    world: Mutex<World>,
    tickets: Mutex<Tickets>,
    keys: Mutex<Keys>,
    transcript: Mutex<Transcript>,
    backstage: Arc<Backstage>,
}

impl Scalekit {
    /// An environment in the state of its seed; a seed with mistakes is [`io::ErrorKind::InvalidInput`].
    pub(crate) fn new(options: Options, clock: SharedClock) -> io::Result<Arc<Self>> {
        let problems = seed::problems(&options);
        if !problems.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problems.join("; ")));
        }
        let now = clock.now();
        let mut world = World::new(now);
        seed::plant(&mut world, &options, now);
        let keys = Keys::generate(world.id("snk_"), world.id("conn_"))?;
        let backstage = Backstage::new(clock, options.faults.clone(), failure::of_fault);
        backstage.begin_tallies(&TALLIES);
        Ok(Arc::new(Self {
            settings: Mutex::new(options.settings.clone()),
            clients: Mutex::new(options.clients.clone()),
            world: Mutex::new(world),
            tickets: Mutex::default(),
            keys: Mutex::new(keys),
            transcript: Mutex::default(),
            backstage,
            options,
        }))
    }

    fn router(self: &Arc<Self>) -> Router {
        let play = api::routes(self)
            .merge(oidc::routes())
            .merge(grpc::routes(self))
            .fallback(nowhere)
            .with_state(Arc::clone(self));
        let afterwards = Arc::clone(self);
        let side = side::routes().with_state(Arc::clone(self));
        let whole = self.backstage.mount(play, move || afterwards.reset()).merge(side);
        whole.layer(middleware::from_fn(grpc::reword))
    }

    /// Back to the seed. Tokens of the management API stay good: they belong to the caller, not to the play.
    fn reset(&self) {
        let now = self.now();
        let mut world = locked(&self.world);
        *world = world.emptied(now);
        seed::plant(&mut world, &self.options, now);
        drop(world);
        locked(&self.settings).clone_from(&self.options.settings);
        locked(&self.clients).clone_from(&self.options.clients);
        locked(&self.tickets).end_sign_ins();
        *locked(&self.transcript) = Transcript::default();
    }

    fn now(&self) -> Timestamp {
        self.backstage.clock().now()
    }

    fn settings(&self) -> Settings {
        locked(&self.settings).clone()
    }

    fn client(&self, id: &str) -> Option<Client> {
        locked(&self.clients).iter().find(|client| client.id == id).cloned()
    }
}

/// The environment URL as this request's caller knows it, without a slash at its end.
struct Origin(String);

impl FromRequestParts<Arc<Scalekit>> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, scalekit: &Arc<Scalekit>) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let scheme = parts.extensions.get().copied().unwrap_or(Scheme::Http);
        let of_request = || format!("{}://{host}", scheme.name());
        let told = scalekit.options.base_url.as_deref();
        Ok(Self(told.map_or_else(of_request, |url| url.trim_end_matches('/').to_owned())))
    }
}

/// A path that is not there; gRPC has a code of its own for that.
async fn nowhere(headers: HeaderMap) -> Failure {
    let code = if grpc::is_call(&headers) { Code::Unimplemented } else { Code::NotFound };
    Failure::new(code, "Not Found")
}

/// A text nobody can guess.
fn random_text() -> Result<String, Failure> {
    backstage::random_text(24).map_err(|_| Failure::new(Code::Internal, "no random bytes"))
}

/// Serves the environment until `shutdown`.
pub(crate) async fn serve(
    door: impl Into<backstage::Door>,
    state: Arc<Scalekit>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    backstage::serve(door, state.router(), shutdown).await
}

#[cfg(test)]
mod tests;
