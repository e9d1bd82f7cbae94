//! Refreshing the tokens behind a session: once for a session, whichever request, thread or replica asks first.
//!
//! The request that finds a session due claims it in the store; nobody else's claim is granted until that one is
//! settled or its lease is over. A rotated refresh token is stored before anything is done with it. Only
//! `invalid_grant`, and an answer about somebody else, end a session: every other failure is tried again later.
//!
//! When the process dies, or an answer is lost, between Scalekit's answer and our store, the old token is sent once
//! more. Where Scalekit rotates tokens that is a replay: it answers `invalid_grant`, and the person signs in again.
//! The reason in the log is then `refresh_lost`, and not `refresh_refused`.

use std::time::Duration;

use super::{
    ClaimsProblem, Digest, IdentityProvider, Purpose, RefreshError, RefreshWith, Refreshed, Session,
    SessionError, SessionFacts, SessionStoreError, Sessions, Settled,
};
use crate::clock::Deadline;

/// How long a claim keeps others away. Longer than a refresh and the writing of its answer may take.
const LEASE: Duration = Duration::from_secs(30);

/// All that asking may take.
const BUDGET: Duration = Duration::from_secs(10);

/// The life of an access token where the answer does not name one (scalekit.md §4).
const LIFETIME_UNSAID: Duration = Duration::from_mins(5);

/// The wait after the first failure, doubled with each further one up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_secs(5);
const BACK_OFF_MAX: Duration = Duration::from_mins(5);

/// What was answered is tried to be stored this often, with this pause: a rotated token that is lost ends a session.
const STORE_TRIES: u32 = 8;
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// What became of one look at a session's refresh.
#[derive(Debug)]
pub(crate) enum Refresh {
    /// Not due, or somebody else is at it.
    NotOurs,
    /// The session as it is now stored, and whether the application is told something else than before.
    Renewed { session: Box<Session>, is_changed: bool },
    /// It lives on as it is. The text names what happened, without any secret.
    Kept { problem: String, again_in: Duration },
    /// It is over; the reason for the audit event.
    Ended { session: Box<Session>, why: &'static str },
}

/// After how long tokens are refreshed: as configured, else with the access token.
pub(crate) fn refresh_after(configured: Option<Duration>, access_token: Option<Duration>) -> Duration {
    configured.or(access_token).unwrap_or(LIFETIME_UNSAID).max(Duration::from_secs(1))
}

/// The wait before a further try.
fn back_off(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(1 << failures.min(8)).min(BACK_OFF_MAX);
    asked.map_or(doubled, |asked| asked.max(doubled))
}

impl Sessions {
    /// Refreshes a session if that is due and nobody is at it. `every` is the configured time between two refreshes.
    pub(crate) async fn refresh(
        &self,
        id: &Digest,
        provider: &dyn IdentityProvider,
        every: Option<Duration>,
    ) -> Result<Refresh, SessionError> {
        let Some(session) = self.store.claim_refresh(id, LEASE, self.clock.now()).await? else {
            return Ok(Refresh::NotOurs);
        };
        let Some(tokens) = self.tokens(&session) else {
            let again_in = BACK_OFF_MAX;
            return self.later(id, &session, again_in, false, "its tokens cannot be opened".to_owned()).await;
        };
        let refresh_token = tokens.refresh_token.as_deref().unwrap_or_default();
        let with = RefreshWith { refresh_token, id_token: &tokens.id_token, user: &session.user };
        match provider.refresh(with, Deadline::within(BUDGET)).await {
            Ok(refreshed) => self.keep(id, session, refreshed, every).await,
            Err(RefreshError::TokenInvalid) => {
                let why = if session.renewal.is_unsure { "refresh_lost" } else { "refresh_refused" };
                self.finish(id, session, why).await
            }
            Err(RefreshError::Later { problem, retry_after, may_be_used }) => {
                let again_in = back_off(session.renewal.failures, retry_after);
                self.later(id, &session, again_in, may_be_used, problem).await
            }
        }
    }

    async fn keep(
        &self,
        id: &Digest,
        mut session: Session,
        refreshed: Refreshed,
        every: Option<Duration>,
    ) -> Result<Refresh, SessionError> {
        let sealed = self.keys.seal(Purpose::Tokens, &serde_json::to_vec(&refreshed.tokens)?)?;
        let claims = match refreshed.claims {
            Ok(claims) => claims,
            Err(ClaimsProblem::AnotherPerson) => return self.finish(id, session, "refresh_of_another").await,
            Err(ClaimsProblem::Unjudged(problem)) => {
                let again_in = back_off(session.renewal.failures, None);
                let settled =
                    Settled::TokensOnly { tokens: sealed, due_at: self.clock.now().after(again_in) };
                self.settle(id, session.renewal.fence, &settled).await?;
                return Ok(Refresh::Kept { problem, again_in });
            }
        };
        let facts = SessionFacts {
            email: claims.email.map(|email| email.as_str().to_owned()).or(session.facts.email.clone()),
            groups: claims.roles.unwrap_or_else(|| session.facts.groups.clone()),
            organization: claims.organization.or(session.facts.organization.clone()),
            ..session.facts.clone()
        };
        let due_at = self.clock.now().after(refresh_after(every, refreshed.access_lifetime));
        let is_changed = facts != session.facts;
        let fence = session.renewal.fence;
        let settled = Settled::Renewed { tokens: sealed, facts, due_at };
        if !self.settle(id, fence, &settled).await? {
            return Ok(Refresh::NotOurs);
        }
        session.settle(fence, &settled);
        Ok(Refresh::Renewed { session: Box::new(session), is_changed })
    }

    async fn finish(
        &self,
        id: &Digest,
        session: Session,
        why: &'static str,
    ) -> Result<Refresh, SessionError> {
        // Overtaken: whoever followed knows better than an answer to an older token.
        let is_ours = self.settle(id, session.renewal.fence, &Settled::Ended).await?;
        Ok(if is_ours { Refresh::Ended { session: Box::new(session), why } } else { Refresh::NotOurs })
    }

    async fn later(
        &self,
        id: &Digest,
        session: &Session,
        again_in: Duration,
        is_unsure: bool,
        problem: String,
    ) -> Result<Refresh, SessionError> {
        let settled = Settled::Later { due_at: self.clock.now().after(again_in), is_unsure };
        self.settle(id, session.renewal.fence, &settled).await?;
        Ok(Refresh::Kept { problem, again_in })
    }

    /// Writes how a claim ended, and does not give up at once: an answer cannot be had a second time.
    async fn settle(&self, id: &Digest, fence: u64, settled: &Settled) -> Result<bool, SessionStoreError> {
        let mut tries = 1;
        loop {
            match self.store.settle_refresh(id, fence, settled).await {
                Err(error) if tries < STORE_TRIES => {
                    tracing::warn!(error = %error, "the end of a refresh is not stored yet");
                    tries += 1;
                    self.clock.sleep(STORE_PAUSE).await;
                }
                result => return result,
            }
        }
    }
}
