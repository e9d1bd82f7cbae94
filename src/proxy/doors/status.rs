//! What programs ask: who is signed in, may this request pass, which key signs, which lane is forced.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::Knock;
use crate::{
    pages::{Page, Pages, Problem},
    proxy::{gate::Gate, visitor},
    session::KEYS_KEPT_FOR,
};

impl Gate {
    /// `session`: the session of this browser, for the application's own scripts.
    pub(super) async fn session_status(self: &Arc<Self>, knock: &Knock<'_>) -> Result<Page, Problem> {
        let Some(visitor) = self.visitor(&knock.head.headers, knock.rules).await? else {
            return Ok(Pages::json(StatusCode::OK, &json!({ "signed_in": false })));
        };
        let session = &visitor.session;
        let ends = session.ends_at.min(session.idle_ends_at);
        let body = json!({
            "signed_in": true,
            "user": visitor::user(session, &knock.rules.identity),
            "email": session.facts.email,
            "organization": session.facts.organization,
            "groups": session.facts.groups,
            "ends_at": ends.to_string(),
        });
        Ok(Pages::json(StatusCode::OK, &body))
    }

    /// `check`: exactly 200 with the identity headers, or 401. For nginx `auth_request`, Traefik `ForwardAuth` and
    /// Envoy `ext_authz`, which takes exactly 200 as yes.
    pub(super) async fn check(self: &Arc<Self>, knock: &Knock<'_>) -> Result<Page, Problem> {
        let Some(visitor) = self.visitor(&knock.head.headers, knock.rules).await? else {
            return Ok(Pages::json(StatusCode::UNAUTHORIZED, &json!({ "signed_in": false })));
        };
        let mut page = Pages::json(StatusCode::OK, &json!({ "signed_in": true }));
        page.headers_mut().extend(visitor.headers.iter().cloned());
        Ok(page)
    }

    /// `force`: takes a signed token into a cookie of this browser, and out of the address bar. An empty token ends
    /// it.
    pub(super) fn force(&self, knock: &Knock<'_>) -> Result<Page, Problem> {
        let token = knock.field("token").ok_or(Problem::NotFound)?;
        let target = Pages::see_other(&knock.return_to());
        if token.is_empty() {
            return Ok(Self::with_cookies(target, [self.cookies.clear(&self.cookies.force)]));
        }
        let tokens = knock.rules.force.as_ref().ok_or(Problem::NotFound)?;
        let (lane, remaining) = tokens.read(&token, self.clock.now()).ok_or(Problem::NotFound)?;
        self.recorder.force_token_used(lane, knock.client.address);
        Ok(Self::with_cookies(target, [self.cookies.set(&self.cookies.force, &token, Some(remaining))]))
    }

    /// `jwks.json`: the public halves of the keys that sign assertions, the next one and the last one among them.
    pub(super) fn jwks(&self) -> Page {
        let mut page = Pages::json(StatusCode::OK, &self.signer.jwks(self.clock.now()));
        let kept = format!("public, max-age={}", KEYS_KEPT_FOR.as_secs());
        if let Ok(kept) = HeaderValue::from_str(&kept) {
            page.headers_mut().insert(http::header::CACHE_CONTROL, kept);
        }
        page
    }
}
