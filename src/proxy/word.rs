//! The application's word on a form that was sent on to it: yes or no, and whom it let in.
//!
//! After a yes its who-am-I route is asked once, by the cookies that the browser has then. Who it names may have nothing
//! to do with what was typed, and may have crossed: both are seen here, whatever the lane.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, Response,
    header::{COOKIE, SET_COOKIE},
};
use tokio::time::timeout;

use super::{
    AnswerBody,
    failure::ForwardError,
    guessing::{Granted, tried_by_application, tried_in_vain},
    sign_in::SignIn,
    signals::{self, Seen},
    who_am_i,
};
use crate::{
    config::WhoAmI,
    identity::{LegacyRecord, LoginName},
    login::{Basis, Outcome, Tried, Upstream},
    pages::Asked,
};

/// What came back for a form.
pub(super) struct Said {
    pub(super) answer: Response<AnswerBody>,
    pub(super) word: Word,
    /// When the answer was there, on the monotonic clock.
    pub(super) since: Duration,
}

/// The application's word, by the route's signals.
pub(super) enum Word {
    No,
    Yes(LetIn),
}

/// Whom the application let in, as far as its who-am-I route says.
pub(super) enum LetIn {
    /// There is no such route.
    NotAsked,
    /// Nobody is signed in yet: a second factor is still due (truth 6), and signals that look like a success prove
    /// nothing.
    Nobody,
    /// It could not be seen in time.
    Unseen,
    /// Somebody who was signed in before, and who is not called what was typed: many applications lead them on to their
    /// front page, whatever the form says. The yes is no word on it.
    AsBefore,
    Named(Box<LegacyRecord>),
}

impl LetIn {
    /// What the yes is worth as a proof.
    pub(super) fn proof(self) -> Option<Upstream> {
        match self {
            Self::NotAsked => Some(Upstream::SignalsOnly),
            Self::Named(record) => Some(Upstream::Named(record)),
            Self::Nobody | Self::Unseen | Self::AsBefore => None,
        }
    }

    /// Says why somebody does not move who was let in.
    pub(super) fn tell_in_vain(&self, asked: &Asked) {
        match self {
            Self::Nobody | Self::Unseen => {
                tracing::warn!(request.id = %asked.id, "who-am-I named nobody after a sign-in");
            }
            Self::AsBefore => tracing::warn!(
                request.id = %asked.id,
                "who-am-I named somebody who was signed in before, and whose names (sign_in.who_am_i.login) are not \
                 the one that was typed: nobody moves by that"
            ),
            Self::NotAsked | Self::Named(_) => {}
        }
    }
}

impl SignIn<'_> {
    /// Sends the form on as it came, judges the answer by the route's signals, sees whom it lets in, and takes down what
    /// it says of the try. The answer waits for who-am-I no longer than `longest`.
    pub(super) async fn ask_application(&self, longest: Duration) -> Said {
        let (mut answer, tried) = self.judge_application().await;
        let since = self.gate.clock.monotonic();
        if tried != Tried::Right {
            self.tried(tried).await;
            return Said { answer, word: Word::No, since };
        }
        let let_in = self.let_in(&answer, longest).await;
        // Who cannot be seen in time is no proof of anything, unless nobody can have been signed in before.
        let is_old = match let_in {
            LetIn::AsBefore => true,
            LetIn::Unseen => self.has_cookies(),
            LetIn::NotAsked | LetIn::Nobody | LetIn::Named(_) => false,
        };
        self.tried(if is_old { Tried::Unasked } else { tried }).await;
        let granted = self.granted.as_ref().filter(|_| !is_old);
        let known =
            granted.and_then(|granted| self.gate.remember_known(&self.head.headers, granted, self.rules));
        if let Some(cookie) = known {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        Said { answer, word: Word::Yes(let_in), since }
    }

    async fn judge_application(&self) -> (Response<AnswerBody>, Tried) {
        let answer = match self.core.forward(self.outgoing()).await {
            Ok(answer) => answer,
            Err(error) => return (self.core.failed(&error, &self.asking), tried_in_vain(&error)),
        };
        let (head, body) = answer.into_parts();
        let (seen, body) = if signals::need_body(self.route) {
            match body.look(signals::BODY_MAX_BYTES).await {
                Ok(looked) => looked,
                // The answer broke off while it was read: what is left of it is no answer.
                Err(error) => {
                    let error = ForwardError::Answer(error);
                    return (self.core.failed(&error, &self.asking), tried_in_vain(&error));
                }
            }
        } else {
            (None, body)
        };
        let said_yes = signals::is_success(
            self.route,
            &Seen {
                status: head.status,
                headers: &head.headers,
                body: seen.as_deref(),
                now: self.gate.clock.now(),
            },
        );
        let tried = tried_by_application(said_yes, head.status);
        (Response::from_parts(head, body), tried)
    }

    async fn let_in(&self, answer: &Response<AnswerBody>, longest: Duration) -> LetIn {
        let Some(who) = &self.rules.sign_in.who_am_i else { return LetIn::NotAsked };
        let asked = async {
            match timeout(who.timeout, self.who_am_i(who, answer.headers())).await {
                Err(_) => LetIn::Unseen,
                Ok(None) => LetIn::Nobody,
                Ok(Some(named)) if self.was_signed_in_as(who, &named).await => LetIn::AsBefore,
                Ok(Some(named)) => LetIn::Named(Box::new(named)),
            }
        };
        timeout(longest, asked).await.unwrap_or(LetIn::Unseen)
    }

    /// Whether the request's own cookies lead to this person, and the typed name does not. Any cookie may: one that
    /// signs its browser's owner in anew is not named like a session. An application that lets a sign-in begin a new
    /// session ends the old one; where it does not, a name that is the person's own is enough.
    async fn was_signed_in_as(&self, who: &WhoAmI, named: &LegacyRecord) -> bool {
        let typed = self.granted.as_ref().and_then(Granted::name);
        if !self.has_cookies() || typed.is_some_and(|typed| who_am_i::is_called(named, typed)) {
            return false;
        }
        let before = timeout(who.timeout, self.who_am_i(who, &HeaderMap::new())).await;
        before.map_or(true, |before| before.is_some_and(|before| before.key() == named.key()))
    }

    fn has_cookies(&self) -> bool {
        self.head.headers.contains_key(COOKIE)
    }

    /// Where somebody goes whom the application let in although they crossed: by a name that does not lead to them, or by
    /// a form that can prove nothing to us. Its answer, with the cookies of a session there, is then no browser's (REL-08).
    pub(super) async fn crossed(&self, let_in: &LetIn, typed: Option<&LoginName>) -> Option<Outcome> {
        let LetIn::Named(named) = let_in else { return None };
        let forced = self.gate.forced(&self.head.headers, self.rules);
        let (gate, named, typed) = (Arc::clone(self.gate), named.clone(), typed.cloned());
        let led = self.gate.shared(async move {
            gate.journeys.crossed_before(&named, typed.as_ref(), forced, Basis::Proof).await
        });
        // A panic there is logged, and the application's word stands.
        let led = led.await.ok().flatten();
        if led.is_some() {
            tracing::info!(
                request.id = %self.asked.id,
                "the application let in somebody who crossed, by a form that did not lead to them: its answer is held back"
            );
        }
        led
    }
}
