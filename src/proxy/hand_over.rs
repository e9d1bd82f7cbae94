//! A proven person on their way: the answer that takes a browser from the sign-in form to Scalekit.

use std::{sync::Arc, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::gate::{Gate, Rules};
use crate::{
    clock::Deadline,
    config::HandOff,
    identity::{CanonicalEmail, PersonKey},
    login::{Closed, HandOver},
    pages::{Asked, Page, Pages},
    session::{Authorize, SessionError, SignInError},
    telemetry::with_causes,
};

/// All that beginning a sign-in at Scalekit may take; the addresses there are usually known already.
const BEGIN_BUDGET: Duration = Duration::from_secs(3);

/// What may stand in a query value as it is (RFC 3986 §2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The browser that is sent away.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    /// The cookie that binds sign-ins under way to it, when it has one.
    pub(super) browser: Option<String>,
    /// Checked (SEC-25).
    pub(super) return_to: String,
    /// A JSON client gets the address as data.
    pub(super) json: bool,
}

/// Nobody could be handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotBegin {
    #[error("the sign-in cannot be kept")]
    Session(#[from] SessionError),
    #[error("Scalekit cannot be reached")]
    Provider(#[from] SignInError),
}

impl Gate {
    /// Sends a person on, proven or for Scalekit to prove. Runs on the shared runtime.
    pub(super) async fn hand_over(
        &self,
        rules: &Rules,
        over: &HandOver,
        leaving: &Leaving,
    ) -> Result<Page, CannotBegin> {
        let page = match &over.hand_off {
            HandOff::App { url } => {
                let location = fill(url, over.login_hint.as_ref(), &leaving.return_to);
                let page = Pages::hand_over(&location, leaving.json);
                // Whoever typed a name is not remembered as its person: what follows is not seen here.
                let remembered = over.basis.is_theirs().then(|| self.remember_device(&over.key, rules));
                Self::with_cookies(page, [remembered.flatten()])
            }
            // `shadow` never hands over: `login` forwards such a person.
            HandOff::Hosted | HandOff::Shadow => {
                self.begin(over.login_hint.as_ref(), Some(over.key.clone()), leaving).await?
            }
        };
        Ok(Self::with_cookies(page, Self::expire_legacy(rules)))
    }

    /// Begins a sign-in at Scalekit's hosted page.
    pub(super) async fn begin(
        &self,
        login_hint: Option<&CanonicalEmail>,
        key: Option<PersonKey>,
        leaving: &Leaving,
    ) -> Result<Page, CannotBegin> {
        let begun = self.flows.begin(leaving.browser.as_deref(), leaving.return_to.clone(), key).await?;
        let authorize = Authorize { state: &begun.state, secrets: &begun.secrets, login_hint };
        let url = self.provider.authorize_url(authorize, Deadline::within(BEGIN_BUDGET)).await?;
        let page = Pages::hand_over(url.as_str(), leaving.json);
        Ok(Self::with_cookies(page, [self.cookies.set(&self.cookies.browser, &begun.browser, None)]))
    }

    /// Nobody could be handed over: said in the log, and "could not ask" to the person.
    pub(super) fn cannot_begin(&self, error: &CannotBegin, asked: &Asked) -> Page {
        tracing::error!(error = %with_causes(error), request.id = %asked.id, "a sign-in at Scalekit cannot begin");
        self.pages.closed(Closed::Store, asked)
    }
}

/// The configured address of the application's own sign-in, filled in.
fn fill(template: &str, login_hint: Option<&CanonicalEmail>, return_to: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, QUERY_VALUE).to_string();
    let hint = login_hint.map(|email| encode(email.as_str())).unwrap_or_default();
    template.replace("{login_hint}", &hint).replace("{return_to}", &encode(return_to))
}

/// What a browser brings along when it leaves.
pub(super) fn leaving(gate: &Arc<Gate>, headers: &http::HeaderMap, return_to: String, json: bool) -> Leaving {
    let browser = crate::session::CookieJar::new(headers).only(&gate.cookies.browser);
    Leaving { browser: browser.map(str::to_owned), return_to, json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applications_own_sign_in_gets_hint_and_target_encoded() {
        let email = CanonicalEmail::parse("a+b@example.com").unwrap();
        let filled = fill("/sso?h={login_hint}&n={return_to}", Some(&email), "/x?y=1&z");
        assert_eq!(filled, "/sso?h=a%2Bb%40example.com&n=%2Fx%3Fy%3D1%26z");
        assert_eq!(fill("/sso", None, "/"), "/sso");
    }
}
