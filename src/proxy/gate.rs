//! What every sign-in route and every door of ours shares: the rules in force, and the ports behind them.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use serde::{Deserialize, Serialize};

use super::{
    Evenly, Recorder,
    visitor::{Visitor, Visitors},
};
use crate::{
    clock::SharedClock,
    config::{Config, Guessing, IdentityHeaders, Lockout, MfaDeclaration, Public, SessionSettings, SignIn},
    identity::{LoginName, PersonKey, SourceName},
    login::{CountKeys, Journeys, TryCounter},
    net::{Tracker, about},
    pages::{Page, Pages, Problem},
    rollout::Forced,
    session::{
        AssertionSigner, CookieJar, Cookies, Digest, Flows, ForceTokens, Found, IdentityProvider, KeyRing,
        Purpose, Session, SessionStoreError, Sessions,
    },
};

/// What a reload may change of the data plane's rules; swapped whole, read once per request.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(super) public: Public,
    pub(super) sign_in: SignIn,
    pub(super) guessing: Guessing,
    /// What legacy sources lock at, and the domains they are asked for.
    pub(super) lockouts: Vec<(Vec<String>, Lockout)>,
    pub(super) session: SessionSettings,
    /// The names of those of `session`, shared by the requests that must not carry them.
    pub(super) legacy_cookies: Arc<[String]>,
    pub(super) identity: IdentityHeaders,
    pub(super) force: Option<ForceTokens>,
    pub(super) mfa: BTreeMap<SourceName, MfaDeclaration>,
}

impl Rules {
    pub(crate) fn of(config: &Config) -> Self {
        let lockouts = config.legacy.sources.iter();
        let lockouts = lockouts.filter_map(|source| Some((source.domains.clone(), source.lockout?)));
        let mfa = config.legacy.sources.iter().map(|source| (source.name.clone(), source.mfa.clone()));
        Self {
            public: config.public.clone(),
            sign_in: config.sign_in.clone(),
            guessing: config.guessing.clone(),
            lockouts: lockouts.collect(),
            session: config.session.clone(),
            legacy_cookies: config.session.legacy_cookies.iter().map(|cookie| cookie.name.clone()).collect(),
            identity: config.identity.clone(),
            force: config.rollout.force_key.as_ref().map(ForceTokens::new),
            mfa: mfa.collect(),
        }
    }

    /// These rules with what only a restart changes as it was: address, prefix, limits, and the names of identity
    /// fields. The edge strips those it was started with: a new name would be set for the signed-in and let through
    /// from everybody else.
    pub(crate) fn keeping(self, old: &Self) -> Self {
        Self { public: old.public.clone(), identity: old.identity.clone(), ..self }
    }
}

/// The gate before the application: sign-ins are intercepted here, everything else passes.
pub(crate) struct Gate {
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) journeys: Journeys,
    pub(crate) sessions: Sessions,
    pub(crate) flows: Flows,
    pub(crate) provider: Arc<dyn IdentityProvider>,
    pub(crate) cookies: Cookies,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) signer: AssertionSigner,
    pub(crate) pages: Pages,
    pub(crate) recorder: Recorder,
    pub(crate) tracker: Tracker,
    pub(crate) clock: SharedClock,
    pub(crate) visitors: Visitors,
    pub(crate) evenly: Evenly,
    pub(crate) counts: Arc<dyn TryCounter>,
    pub(crate) count_keys: CountKeys,
}

/// What the device cookie holds, sealed: a crossed person who signed in here.
#[derive(Serialize, Deserialize)]
struct Device {
    key: PersonKey,
}

impl Gate {
    /// Runs work on the shared runtime, to its end even if the client goes away. A panic there is a fault of ours
    /// and nobody else's (REL-33).
    pub(super) async fn shared<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        self.tracker.spawn(work).await.map_err(|_| Problem::Internal)
    }

    /// As [`Gate::shared`], for work about the one who signs in by this name: what fails for them alone is not taken
    /// for an outage.
    pub(super) fn shared_about<T: Send + 'static>(
        &self,
        name: &LoginName,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, Problem>> {
        // Large, and handed on twice.
        self.shared(about(self.count_keys.typed(name).into(), Box::pin(work)))
    }

    /// Who sends a request; `Err` when the store cannot say.
    pub(super) async fn visitor(
        self: &Arc<Self>,
        headers: &HeaderMap,
        rules: &Arc<Rules>,
    ) -> Result<Option<Arc<Visitor>>, Problem> {
        let Some(id) = CookieJar::new(headers).only(&self.cookies.session) else { return Ok(None) };
        let digest = Digest::of(id);
        if let Some(visitor) = self.visitors.recent(&digest, &self.clock) {
            return Ok(Some(visitor));
        }
        // Rare, and large: what passes with every request stays small.
        Box::pin(self.ask(digest, id.to_owned(), Arc::clone(rules))).await
    }

    /// Asks the store who sends a request, and remembers it for a moment.
    async fn ask(
        self: &Arc<Self>,
        digest: Digest,
        id: String,
        rules: Arc<Rules>,
    ) -> Result<Option<Arc<Visitor>>, Problem> {
        let forgotten = self.visitors.forgotten();
        let gate = Arc::clone(self);
        let found = self.shared(async move { gate.look_up(&id, &rules).await });
        let visitor = found.await?.map_err(|error| {
            tracing::error!(error = %error, "the session store cannot be asked");
            Problem::Overloaded
        })?;
        let visitor = visitor.map(Arc::new);
        if let Some(visitor) = &visitor {
            self.visitors.remember(digest, Arc::clone(visitor), forgotten);
        }
        Ok(visitor)
    }

    /// The session of a cookie value, refreshed where that is due, and ready to be told to the application.
    async fn look_up(
        self: &Arc<Self>,
        id: &str,
        rules: &Arc<Rules>,
    ) -> Result<Option<Visitor>, SessionStoreError> {
        // What the store says is believed for a moment from when it was asked: an answer that is late, or a wait for a
        // refresh after it, must not let a session that another replica ended meanwhile live on for longer.
        let mut asked = self.clock.now();
        let Some(mut session) = self.find_live(id).await? else { return Ok(None) };
        if self.refresh_if_due(&Digest::of(id), &session, rules).await {
            asked = self.clock.now();
            let Some(refreshed) = self.find_live(id).await? else { return Ok(None) };
            session = refreshed;
        }
        Ok(Some(Visitor::of(*session, &rules.identity, &self.signer, asked)))
    }

    /// The live session of a cookie value. One that has run out is put on record, and its connections are cut.
    async fn find_live(&self, id: &str) -> Result<Option<Box<Session>>, SessionStoreError> {
        match self.sessions.find(id).await? {
            // Another replica's removal may have been cut short, or the store may have the session again.
            Found::Live(session) if self.journeys.ledger.has_removed(&session.key, &session.user) => {
                self.visitors.forget(&Digest::of(id));
                if let Some(session) = self.sessions.end(id).await? {
                    self.recorder.session_ended(&session, "removed");
                }
                Ok(None)
            }
            Found::Live(session) => Ok(Some(session)),
            Found::Over(session, why) => {
                self.visitors.forget(&Digest::of(id));
                self.recorder.session_ended(&session, why);
                Ok(None)
            }
            Found::Nobody => Ok(None),
        }
    }

    /// The crossed person this device remembers.
    pub(super) fn device(&self, headers: &HeaderMap) -> Option<PersonKey> {
        let sealed = CookieJar::new(headers).only(&self.cookies.device)?;
        let device: Device = serde_json::from_slice(&self.keys.open(Purpose::Device, sealed)?).ok()?;
        Some(device.key)
    }

    /// A `Set-Cookie` by which this device remembers a crossed person; `None` when nothing can be sealed, and then
    /// the form is shown once more.
    pub(super) fn remember_device(&self, key: &PersonKey, rules: &Rules) -> Option<HeaderValue> {
        let plain = serde_json::to_vec(&Device { key: key.clone() }).ok()?;
        let sealed = self.keys.seal(Purpose::Device, &plain).ok()?;
        self.cookies.set(&self.cookies.device, &sealed, Some(rules.session.device_lifetime))
    }

    /// The lane a browser's force token asks for.
    pub(super) fn forced(&self, headers: &HeaderMap, rules: &Rules) -> Option<Forced> {
        let token = CookieJar::new(headers).only(&self.cookies.force)?;
        rules.force.as_ref()?.check(token, self.clock.now())
    }

    /// Adds cookies to an answer of ours. The first is always there; the rest expire the application's own ones.
    pub(super) fn with_cookies(
        mut page: Page,
        cookies: impl IntoIterator<Item = Option<HeaderValue>>,
    ) -> Page {
        for cookie in cookies.into_iter().flatten() {
            page.headers_mut().append(SET_COOKIE, cookie);
        }
        page
    }

    /// Expires the application's own session cookies, so that two people cannot be mixed.
    pub(super) fn expire_legacy(rules: &Rules) -> impl Iterator<Item = Option<HeaderValue>> {
        let secure = Cookies::are_secure(&rules.public);
        rules.session.legacy_cookies.iter().map(move |cookie| Cookies::expire_foreign(cookie, secure))
    }
}

/// A gate is a bundle of ports: there is nothing in it to print.
impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
