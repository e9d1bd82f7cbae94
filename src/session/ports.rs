//! What sessions and flows need of a store and of the identity provider.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use url::Url;

use super::{Flow, FlowSecrets, Session, SessionTokens, Settled};
use crate::{
    clock::{Deadline, Timestamp},
    identity::{CanonicalEmail, PersonKey, hex},
    login::UserId,
};

/// The SHA-256 of a random id: what a store knows a session or flow by (SEC-20).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn of(id: &str) -> Self {
        let hash = digest(&SHA256, id.as_bytes());
        Self(hex(hash.as_ref()))
    }

    /// One that a store gives back.
    pub(crate) fn stored(hex: &str) -> Self {
        Self(hex.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The session store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the session store is not available: {0}")]
pub(crate) struct SessionStoreError(pub(crate) String);

/// One person, by either of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// By Scalekit's id.
    User(UserId),
    /// By their ledger row.
    Person(PersonKey),
}

/// Hears of sessions that were ended.
pub(crate) type Told<'a> = &'a mut (dyn FnMut(&[Digest]) + Send);

/// Sessions by the hash of their id.
#[async_trait]
pub(crate) trait SessionStore: Send + Sync {
    /// Keeps or replaces a session.
    async fn put(&self, id: &Digest, session: &Session) -> Result<(), SessionStoreError>;

    async fn get(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError>;

    /// Notes that the session was used and moves its idle end; a session that is gone stays gone.
    async fn touch(
        &self,
        id: &Digest,
        at: Timestamp,
        idle_ends_at: Timestamp,
    ) -> Result<(), SessionStoreError>;

    /// Ends a session and returns it.
    async fn remove(&self, id: &Digest) -> Result<Option<Session>, SessionStoreError>;

    /// Ends all sessions of one person and says which they were.
    async fn remove_all_of(&self, whose: &Whose) -> Result<Vec<Digest>, SessionStoreError>;

    /// Ends all sessions of everybody, and tells of them as they end: those are over, also where a later one cannot be
    /// ended.
    async fn remove_all(&self, told: Told<'_>) -> Result<(), SessionStoreError>;

    /// Those of `ids` that lead to no live session.
    async fn ended(&self, ids: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, SessionStoreError>;

    /// Claims a session's refresh by [`Session::claim`], atomically, and returns it with the claim in it. `None`: not
    /// due, somebody else's, over or gone.
    async fn claim_refresh(
        &self,
        id: &Digest,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<Session>, SessionStoreError>;

    /// Ends the claim with this fence by [`Session::settle`], atomically; [`Settled::Ended`] removes the session.
    /// `false`: overtaken or gone, and nothing was written.
    async fn settle_refresh(
        &self,
        id: &Digest,
        fence: u64,
        settled: &Settled,
    ) -> Result<bool, SessionStoreError>;

    /// Deletes sessions and flows that are over, and returns how many; called now and then, correctness does not depend on it.
    async fn sweep(&self, now: Timestamp) -> Result<usize, SessionStoreError>;
}

/// Sign-ins under way at Scalekit, by the hash of their `state`.
#[async_trait]
pub(crate) trait FlowStore: Send + Sync {
    async fn put_flow(&self, state: &Digest, flow: &Flow) -> Result<(), SessionStoreError>;

    /// Takes a flow out: a second callback with the same state finds nothing (SEC-26).
    async fn take_flow(&self, state: &Digest) -> Result<Option<Flow>, SessionStoreError>;
}

/// What one sign-in at the identity provider is begun with.
#[derive(Clone, Copy)]
pub(crate) struct Authorize<'a> {
    pub(crate) state: &'a str,
    pub(crate) secrets: &'a FlowSecrets,
    pub(crate) login_hint: Option<&'a CanonicalEmail>,
}

/// A finished sign-in: the claims of an ID token that passed every check of SEC-27, and the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) user: UserId,
    pub(crate) email: Option<CanonicalEmail>,
    /// `false` also where the token does not say (SEC-28).
    pub(crate) email_verified: bool,
    /// Scalekit's id of the organisation signed in to, claim `oid`.
    pub(crate) organization: Option<String>,
    /// Scalekit's session, claim `sid`.
    pub(crate) scalekit_session: Option<String>,
    /// Role names from the access token's `roles`; an empty list says that the person has none. `None`: the token is
    /// no JWT that passed the same checks, or does not speak of roles.
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) tokens: SessionTokens,
    /// The access token's life, where the answer names it.
    pub(crate) access_lifetime: Option<Duration>,
}

/// What tokens are refreshed with, and whose they must be afterwards.
#[derive(Clone, Copy)]
pub(crate) struct RefreshWith<'a> {
    pub(crate) refresh_token: &'a str,
    /// The ID token in hand: a new one may repeat its nonce and no other.
    pub(crate) id_token: &'a str,
    pub(crate) user: &'a UserId,
}

/// New tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refreshed {
    /// The refresh token is the new one, or the one in hand where none came. The ID token is the one in hand unless
    /// the new one was believed.
    pub(crate) tokens: SessionTokens,
    pub(crate) access_lifetime: Option<Duration>,
    pub(crate) claims: Result<NewClaims, ClaimsProblem>,
}

/// What changed about the person; `None` where the tokens say nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewClaims {
    /// Only a verified address (SEC-28).
    pub(crate) email: Option<CanonicalEmail>,
    pub(crate) organization: Option<String>,
    pub(crate) roles: Option<Vec<String>>,
}

/// Tokens came, and their claims do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClaimsProblem {
    /// Well signed, and about another person or from another issuer.
    AnotherPerson,
    /// A check failed or could not be made; the text names it.
    Unjudged(String),
}

/// No tokens came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshError {
    /// `invalid_grant`: the token is used up, revoked or expired, or the provider's session is over.
    TokenInvalid,
    /// Everything else. `may_be_used`: the request left and no usable answer came.
    Later { problem: String, retry_after: Option<Duration>, may_be_used: bool },
}

/// Why a sign-in at the identity provider came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// The provider, or whoever sits in between, answered with something that may not be believed. The text names
    /// the check that failed and holds no token, code or personal data.
    #[error("refused: {0}")]
    Refused(String),
    /// The code was used, expired or not ours (`invalid_grant`).
    #[error("the code is not valid any more")]
    CodeInvalid,
    /// Could not be asked; trying again may help.
    #[error("not available: {0}")]
    Unavailable(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// An operator has to change something: client credentials, redirect URI, issuer.
    #[error("misconfigured: {0}")]
    Misconfigured(String),
}

/// The identity provider's side of the code flow (SEC-26, SEC-27).
#[async_trait]
pub(crate) trait IdentityProvider: Send + Sync {
    /// The address the browser is sent to, with PKCE S256, state and nonce.
    async fn authorize_url(&self, begin: Authorize<'_>, deadline: Deadline) -> Result<Url, SignInError>;

    /// Redeems a code once and checks the ID token. `issuer` is the callback's `iss` parameter, when present.
    async fn redeem(
        &self,
        code: &str,
        secrets: &FlowSecrets,
        issuer: Option<&str>,
        deadline: Deadline,
    ) -> Result<SignedIn, SignInError>;

    /// Exchanges a refresh token once.
    async fn refresh(&self, with: RefreshWith<'_>, deadline: Deadline) -> Result<Refreshed, RefreshError>;

    /// Where the browser goes to sign out there, too.
    async fn end_session_url(
        &self,
        id_token_hint: Option<&str>,
        after: &Url,
        deadline: Deadline,
    ) -> Result<Url, SignInError>;
}
