//! Ending a session: ours, and on the way out Scalekit's.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use url::Url;

use super::Knock;
use crate::{
    clock::Deadline,
    pages::{Page, Pages, Problem},
    proxy::gate::{Gate, Rules},
    session::{CookieJar, Digest, Session, SessionStoreError},
    telemetry::with_causes,
};

/// Finding Scalekit's sign-out address may take this long; the person is signed out here in any case.
const SIGN_OUT_BUDGET: Duration = Duration::from_secs(3);

impl Gate {
    /// `logout`: ends our session, then Scalekit's, then shows the configured place.
    pub(super) async fn sign_out(self: &Arc<Self>, knock: &Knock<'_>) -> Result<Page, Problem> {
        // Another site may not sign people out by a link or a form.
        if knock.is_cross_site() {
            return Err(Problem::Forbidden);
        }
        let ended = self.end_session(&knock.head.headers, "own_route").await?;
        let cookies = self.signed_out_cookies(knock.rules, &knock.head.headers);
        let after = knock.rules.public.url.join(&knock.rules.session.after_sign_out);
        let (Ok(session), Ok(after)) = (ended, after) else { return Err(Problem::Overloaded) };
        let Some(session) = session else {
            return Ok(Self::with_cookies(Pages::see_other(after.as_str()), cookies));
        };
        let away = self.scalekit_sign_out(session, after.clone()).await?.unwrap_or(after);
        Ok(Self::with_cookies(Pages::see_other(away.as_str()), cookies))
    }

    /// Where the browser ends Scalekit's own session; `None` when that cannot be found out, and then only ours ended.
    pub(in crate::proxy) async fn scalekit_sign_out(
        self: &Arc<Self>,
        session: Session,
        after: Url,
    ) -> Result<Option<Url>, Problem> {
        let gate = Arc::clone(self);
        self.shared(async move {
            let hint = gate.sessions.tokens(&session).map(|tokens| tokens.id_token);
            let deadline = Deadline::within(SIGN_OUT_BUDGET);
            match gate.provider.end_session_url(hint.as_deref(), &after, deadline).await {
                Ok(url) => Some(url),
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), "Scalekit's session could not be ended");
                    None
                }
            }
        })
        .await
    }

    /// Ends the session of a request, at once and everywhere in this process.
    pub(in crate::proxy) async fn end_session(
        self: &Arc<Self>,
        headers: &HeaderMap,
        why: &'static str,
    ) -> Result<Result<Option<Session>, SessionStoreError>, Problem> {
        let Some(id) = CookieJar::new(headers).only(&self.cookies.session).map(str::to_owned) else {
            return Ok(Ok(None));
        };
        self.visitors.forget(&Digest::of(&id));
        let gate = Arc::clone(self);
        self.shared(async move {
            let ended = gate.sessions.end(&id).await;
            // A lookup that was under way may have put it back in between.
            gate.visitors.forget(&Digest::of(&id));
            match &ended {
                Ok(Some(session)) => gate.recorder.session_ended(session, why),
                Ok(None) => {}
                Err(error) => tracing::error!(error = %error, "a session could not be ended"),
            }
            ended
        })
        .await
    }

    /// The cookies of a signed-out browser: ours gone, the application's gone. The device stays known, since it is
    /// the person that crossed and not the session.
    pub(in crate::proxy) fn signed_out_cookies(
        &self,
        rules: &Rules,
        headers: &HeaderMap,
    ) -> Vec<Option<HeaderValue>> {
        let had_session = CookieJar::new(headers).has(&self.cookies.session);
        let ours = had_session.then(|| self.cookies.clear(&self.cookies.session)).flatten();
        std::iter::once(ours).chain(Self::expire_legacy(rules)).collect()
    }
}
