//! The life of a session and of a sign-in under way at Scalekit.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Digest, FlowStore, KeyRing, Purpose, Renewal, SessionStore, SessionStoreError, random_token,
    seal::SealError,
};
use crate::{
    clock::{SharedClock, Timestamp},
    identity::PersonKey,
    login::{Origin, UserId},
};

/// How long a sign-in may be under way (SEC-26).
const FLOW_LIFETIME: Duration = Duration::from_mins(10);

/// How often a used session is written again; the idle time-out is exact to this.
const TOUCH_EVERY: Duration = Duration::from_secs(30);

/// One person's session at the new side, as it is stored. Tokens are sealed.
#[expect(clippy::struct_field_names, reason = "Scalekit has a session of its own, and it is called so")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) key: PersonKey,
    pub(crate) origin: Origin,
    /// Scalekit's `sub`.
    pub(crate) user: UserId,
    /// Scalekit's `sid`, for revocation.
    pub(crate) scalekit_session: Option<String>,
    pub(crate) facts: SessionFacts,
    /// `SessionTokens`, sealed.
    pub(crate) tokens: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_seen: Timestamp,
    /// Absolute end.
    pub(crate) ends_at: Timestamp,
    /// Idle end, moved by each use.
    pub(crate) idle_ends_at: Timestamp,
    #[serde(default)]
    pub(crate) renewal: Renewal,
}

/// What the application is told of the person.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionFacts {
    pub(crate) legacy_login: Option<String>,
    pub(crate) legacy_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) organization: Option<String>,
}

/// Personal data stays out of logs.
impl fmt::Debug for SessionFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The tokens behind a session; they never leave the server.
#[expect(clippy::struct_field_names, reason = "the names of OpenID Connect and RFC 6749")]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionTokens {
    pub(crate) id_token: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
}

impl fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a session is opened with.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) person: (PersonKey, Origin, UserId),
    pub(crate) facts: SessionFacts,
    pub(crate) scalekit_session: Option<String>,
    pub(crate) tokens: &'a SessionTokens,
    /// After this long the tokens are refreshed with the next use.
    pub(crate) refresh_after: Duration,
}

/// A new session's cookie value, shown once.
pub(crate) struct Opened {
    pub(crate) id: String,
    /// The session that died for it.
    pub(crate) replaced: Option<Session>,
}

/// What a cookie value leads to.
#[derive(Debug)]
pub(crate) enum Found {
    Live(Box<Session>),
    /// It was over, and is gone now; the reason for the audit event.
    Over(Box<Session>, &'static str),
    Nobody,
}

/// Opens, finds and ends sessions.
#[derive(Clone)]
pub(crate) struct Sessions {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) clock: SharedClock,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
}

/// A session could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Store(#[from] SessionStoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("tokens cannot be written")]
    Tokens(#[from] serde_json::Error),
}

impl Sessions {
    /// Opens a session with a new id; `replaces` is the id a browser brought along and dies at once (SEC-20).
    pub(crate) async fn open(
        &self,
        opening: Opening<'_>,
        replaces: Option<&str>,
    ) -> Result<Opened, SessionError> {
        let ended = match replaces {
            Some(old) => self.store.remove(&Digest::of(old)).await?,
            None => None,
        };
        let (key, origin, user) = opening.person;
        let now = self.clock.now();
        let refreshes = opening.tokens.refresh_token.is_some();
        let session = Session {
            key,
            origin,
            user,
            scalekit_session: opening.scalekit_session,
            facts: opening.facts,
            tokens: self.keys.seal(Purpose::Tokens, &serde_json::to_vec(opening.tokens)?)?,
            created_at: now,
            last_seen: now,
            ends_at: now.after(self.absolute),
            idle_ends_at: now.after(self.idle),
            renewal: Renewal::due(refreshes.then(|| now.after(opening.refresh_after))),
        };
        let id = random_token()?;
        self.store.put(&Digest::of(&id), &session).await?;
        Ok(Opened { id, replaced: ended })
    }

    /// What a cookie value leads to. Finding a live session counts as using it.
    pub(crate) async fn find(&self, id: &str) -> Result<Found, SessionStoreError> {
        let digest = Digest::of(id);
        let Some(mut session) = self.store.get(&digest).await? else { return Ok(Found::Nobody) };
        let now = self.clock.now();
        if let Some(why) = session.over(now) {
            // Whoever removes it tells of it; somebody else may have been first.
            let removed = self.store.remove(&digest).await?;
            return Ok(removed.map_or(Found::Nobody, |session| Found::Over(Box::new(session), why)));
        }
        // Not removed: with several replicas, one may seal with a key that another one has not read yet.
        if !self.keys.knows(&session.tokens) {
            tracing::warn!(
                "a session was sealed with a key that is not in session.keys: taken for signed out"
            );
            return Ok(Found::Nobody);
        }
        if now.since(session.last_seen) >= TOUCH_EVERY.min(self.idle / 4) {
            let idle_ends_at = now.after(self.idle);
            self.store.touch(&digest, now, idle_ends_at).await?;
            session.idle_ends_at = session.idle_ends_at.max(idle_ends_at);
        }
        Ok(Found::Live(Box::new(session)))
    }

    /// Ends the session of a cookie value and returns it.
    pub(crate) async fn end(&self, id: &str) -> Result<Option<Session>, SessionStoreError> {
        self.store.remove(&Digest::of(id)).await
    }

    /// The tokens of a session; `None` when their key was retired.
    pub(crate) fn tokens(&self, session: &Session) -> Option<SessionTokens> {
        serde_json::from_slice(&self.keys.open(Purpose::Tokens, &session.tokens)?).ok()
    }
}

/// A sign-in under way at Scalekit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Hash of the browser's cookie: another browser's callback finds nothing.
    pub(crate) browser: Digest,
    /// Verifier and nonce, sealed.
    pub(crate) secrets: String,
    /// Checked when stored and again when used (SEC-25).
    pub(crate) return_to: String,
    /// Whose proof began it, where one did.
    pub(crate) key: Option<PersonKey>,
    pub(crate) ends_at: Timestamp,
}

/// The secrets of a flow in the clear.
#[derive(Serialize, Deserialize)]
pub(crate) struct FlowSecrets {
    pub(crate) verifier: String,
    pub(crate) nonce: String,
}

/// A flow as begun: what goes into the authorise URL and the browser's cookie.
pub(crate) struct Begun {
    pub(crate) state: String,
    pub(crate) secrets: FlowSecrets,
    /// The browser's binding cookie; the one it brought along, when it had one.
    pub(crate) browser: String,
}

/// Begins and finishes sign-ins at Scalekit.
#[derive(Clone)]
pub(crate) struct Flows {
    pub(crate) store: Arc<dyn FlowStore>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) clock: SharedClock,
}

impl Flows {
    /// Begins a flow for a browser. A binding cookie of the right shape is kept, so that two tabs do not end each
    /// other's sign-in.
    pub(crate) async fn begin(
        &self,
        browser: Option<&str>,
        return_to: String,
        key: Option<PersonKey>,
    ) -> Result<Begun, SessionError> {
        let browser = match browser.filter(|value| is_token(value)) {
            Some(value) => value.to_owned(),
            None => random_token()?,
        };
        let secrets = FlowSecrets { verifier: random_token()?, nonce: random_token()? };
        let state = random_token()?;
        let flow = Flow {
            browser: Digest::of(&browser),
            secrets: self.keys.seal(Purpose::Flow, &serde_json::to_vec(&secrets)?)?,
            return_to,
            key,
            ends_at: self.clock.now().after(FLOW_LIFETIME),
        };
        self.store.put_flow(&Digest::of(&state), &flow).await?;
        Ok(Begun { state, secrets, browser })
    }

    /// Takes the flow of a callback: once, by its browser, in time.
    pub(crate) async fn finish(
        &self,
        state: &str,
        browser: Option<&str>,
    ) -> Result<Option<(Flow, FlowSecrets)>, SessionStoreError> {
        let Some(browser) = browser.map(Digest::of) else { return Ok(None) };
        let Some(flow) = self.store.take_flow(&Digest::of(state)).await? else { return Ok(None) };
        if flow.browser != browser || self.clock.now() >= flow.ends_at {
            return Ok(None);
        }
        let secrets =
            self.keys.open(Purpose::Flow, &flow.secrets).and_then(|s| serde_json::from_slice(&s).ok());
        Ok(secrets.map(|secrets| (flow, secrets)))
    }
}

/// Whether a text has the shape of [`random_token`]'s.
fn is_token(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
