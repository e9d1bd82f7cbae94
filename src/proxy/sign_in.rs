//! A sign-in request, from its form to its answer (design, "One sign-in", steps 3–8).
//!
//! The form is read here, on the data plane; the decision and everything after it run on the shared runtime and are
//! awaited. Whatever proves nothing is forwarded as it came.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response,
    header::{
        ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE, TRANSFER_ENCODING, USER_AGENT,
    },
    request::Parts,
};
use tokio::time::timeout;

use super::{
    Accepted, AnswerBody, Client, Core, Extra, Outgoing, OutgoingBody, Recorder, RequestId,
    credential::{self, Credential},
    failure::ForwardError,
    gate::{Gate, Rules},
    guessing::{Aims, Granted, Reading, tried_by, tried_by_application, tried_in_vain},
    hand_over::{Leaving, leaving},
    headers::X_FORWARDED_FOR,
    recorder::End,
    request::Asking,
    signals::{self, Seen},
    who_am_i,
};
use crate::{
    config::{ClientKind, FieldNames, HandOff, SignInRoute, Signal, WhoAmI},
    identity::{LegacyRecord, LoginName},
    login::{Attempt, ClientFacts, Closed, Decided, HandOver, Outcome, Tried, Upstream},
    pages::{Asked, Pages, Problem},
    rollout::Lane,
    session::{CookieJar, return_to},
};

/// One sign-in request whose form is read.
pub(super) struct SignIn<'a> {
    pub(super) gate: &'a Arc<Gate>,
    pub(super) core: &'a Core,
    pub(super) rules: &'a Arc<Rules>,
    pub(super) route: &'a SignInRoute,
    pub(super) asking: Asking,
    pub(super) asked: &'a Asked,
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) client: Client,
    pub(super) id: RequestId,
    /// The try that the limits granted; `None` until they are asked.
    pub(super) granted: Option<Granted>,
    /// When the form was there, on the monotonic clock.
    pub(super) began: Duration,
}

/// Whether the form was sent from a page of this site (SEC-24). A browser says so; what does not say so is no
/// browser, and only an `api` route takes it.
pub(super) fn is_same_origin(headers: &HeaderMap, rules: &Rules) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN.as_str()), text("sec-fetch-site")) {
        // A page with `Referrer-Policy: no-referrer` sends this for its own form, too (Fetch, "append a request
        // `Origin` header"); a sandboxed frame is never same-origin.
        (Some("null"), Some(site)) => site == "same-origin",
        (Some(origin), _) => origin == rules.public.url.origin().ascii_serialization(),
        (None, Some(site)) => matches!(site, "same-origin" | "none"),
        (None, None) => false,
    }
}

impl SignIn<'_> {
    /// The answer to the request.
    pub(super) async fn answer(mut self) -> Response<AnswerBody> {
        let credential = match credential::read(&self.route.fields, &self.head, &self.body) {
            Ok(credential) => credential,
            Err(why) => {
                Recorder::no_proof(self.route, why.as_str(), self.asked);
                return self.without_proof().await;
            }
        };
        let forced = self.gate.forced(&self.head.headers, self.rules);
        let (gate, rules, name) = (Arc::clone(self.gate), Arc::clone(self.rules), credential.name.clone());
        let (headers, route, client) = (self.head.headers.clone(), self.route.clone(), self.client.address);
        let asker = self.gate.asker(&headers, client);
        let decided = self.gate.shared_about(&credential.name, async move {
            let decided = gate.journeys.decide(name.clone(), forced, asker).await;
            let row = decided.as_ref().ok().and_then(|decided| decided.row.as_ref());
            let aims = Aims { names: &[name], row, reading: Reading::Plain };
            let granted = gate.may_try(&headers, aims, &route, client, &rules).await;
            granted.map(|granted| (granted, decided))
        });
        let decided = match decided.await {
            Ok(Ok((granted, decided))) => {
                self.granted = Some(granted);
                Ok(decided)
            }
            Ok(Err(limited)) => return AnswerBody::page(self.gate.limited(limited, self.asked)),
            Err(problem) => Err(problem),
        };
        match decided {
            Ok(Ok(decided)) => {
                self.gate.recorder.decided(self.route, &decided, self.client.address);
                match decided.decision.lane {
                    Lane::Legacy => self.legacy_lane(decided).await,
                    // Large, and most sign-ins are of the other lane at first.
                    Lane::New => Box::pin(self.new_lane(decided, credential)).await,
                }
            }
            Ok(Err(error)) => {
                Recorder::ledger_unavailable(&error);
                self.without_ledger(&credential.name).await
            }
            Err(problem) => self.core.refuse(problem, &self.asking),
        }
    }

    /// Nothing that we could try, and the application may: it is counted for whomever it may be about.
    async fn without_proof(mut self) -> Response<AnswerBody> {
        let names = credential::loose_names(&self.route.fields, &self.head, &self.body);
        let (gate, rules) = (Arc::clone(self.gate), Arc::clone(self.rules));
        let (headers, route, client) = (self.head.headers.clone(), self.route.clone(), self.client.address);
        let granted = self.gate.shared(async move {
            let aims = Aims { names: &names, row: None, reading: Reading::Loose };
            gate.may_try(&headers, aims, &route, client, &rules).await
        });
        match granted.await {
            Ok(Ok(granted)) => self.granted = Some(granted),
            Ok(Err(limited)) => return AnswerBody::page(self.gate.limited(limited, self.asked)),
            Err(problem) => return self.core.refuse(problem, &self.asking),
        }
        self.pass_on(None).await
    }

    /// Takes down what came of the try.
    async fn tried(&self, tried: Tried) {
        let Some(granted) = self.granted.clone() else { return };
        let (gate, rules) = (Arc::clone(self.gate), Arc::clone(self.rules));
        // A panic there is logged, and the try goes on to count as a failure.
        let _ = self.gate.shared(async move { gate.tried(&granted, tried, &rules).await }).await;
    }

    /// Store down: sign-ins go to the application and nobody migrates, except for people whom this device knows as
    /// crossed and whom the dial has not sent back: their legacy password must open nothing (design, "Settled").
    async fn without_ledger(self, name: &LoginName) -> Response<AnswerBody> {
        let forced = self.gate.forced(&self.head.headers, self.rules);
        let device = self.gate.device(&self.head.headers);
        let waits =
            device.is_some_and(|key| self.gate.journeys.waits_for_ledger(&key, name, forced.as_ref()));
        if waits || !self.rules.sign_in.passthrough {
            self.tried(Tried::Unasked).await;
            return AnswerBody::page(self.gate.pages.closed(Closed::Store, self.asked));
        }
        self.ask_application().await.0
    }

    /// Lane `legacy`: the application decides first, and its answer never waits longer than a small budget.
    async fn legacy_lane(self, decided: Decided) -> Response<AnswerBody> {
        let (answer, said_yes) = self.ask_application().await;
        if !said_yes {
            self.ended(&decided, End::application(false));
            return answer;
        }
        // Somebody signed in to the application in this browser: a session of ours is over.
        let answer = self.end_old_session(answer).await;
        if !decided.is_open() {
            self.ended(&decided, End::application(true));
            return answer;
        }
        let (budget, started) = (decided.legacy_lane_budget(), self.gate.clock.monotonic());
        let Ok(Some(said)) = timeout(budget, self.application_says(&answer)).await else {
            self.ended(&decided, End::application(true));
            return answer;
        };
        let (gate, route) = (Arc::clone(self.gate), self.route.clone());
        let (decided_for, address) = (decided.clone(), self.client.address);
        let journey = self.gate.shared_about(&decided.name, async move {
            let outcome = gate.journeys.after_upstream(decided_for.clone(), said).await;
            gate.recorder.ended(&route, &decided_for, End::of(&outcome), address);
        });
        // The journey goes on when the budget has passed; only the answer does not wait for it. The budget is one,
        // for who-am-I and for what follows.
        let left = budget.saturating_sub(self.gate.clock.monotonic().saturating_sub(started));
        if let Ok(Err(problem)) = timeout(left, journey).await {
            tracing::error!(problem = problem.as_str(), "a migration in the legacy lane broke off");
        }
        answer
    }

    /// Lane `new`.
    async fn new_lane(self, decided: Decided, credential: Credential) -> Response<AnswerBody> {
        let attempt = credential.password.ok().map(|password| Attempt {
            name: credential.name.clone(),
            password,
            client: ClientFacts {
                address: self.client.address,
                user_agent: text(&self.head.headers, USER_AGENT).map(str::to_owned),
            },
        });
        let target = return_to(credential.return_to.as_deref(), &self.rules.public.url);
        let json = matches!(self.route.fields, FieldNames::Json { .. });
        let leaving = leaving(self.gate, &self.head.headers, target, json);
        let (gate, decided_for) = (Arc::clone(self.gate), decided.clone());
        let (route, address) = (self.route.clone(), self.client.address);
        let (granted, rules) = (self.granted.clone(), Arc::clone(self.rules));
        let outcome = self.gate.shared_about(&decided.name, async move {
            let outcome = gate.journeys.new_lane(decided_for.clone(), attempt.as_ref()).await;
            if let (Some(granted), Some(tried)) = (&granted, tried_by(&outcome)) {
                gate.tried(granted, tried, &rules).await;
            }
            // Recorded here: a client that goes away does not keep its guess off the record (SEC-51).
            if outcome != Outcome::AskUpstream {
                gate.recorder.ended(&route, &decided_for, End::of(&outcome), address);
            }
            outcome
        });
        match outcome.await {
            Ok(Outcome::AskUpstream) => self.new_lane_by_application(decided, leaving).await,
            Ok(outcome) => self.answer_outcome(outcome, leaving, None).await,
            Err(problem) => self.core.refuse(problem, &self.asking),
        }
    }

    /// Only the application can judge this guess: its yes is the proof, and the hand-over takes the place of its
    /// answer.
    async fn new_lane_by_application(self, decided: Decided, leaving: Leaving) -> Response<AnswerBody> {
        let (answer, said_yes) = self.ask_application().await;
        if !said_yes {
            self.ended(&decided, End::application(false));
            return answer;
        }
        let Some(said) = self.application_says(&answer).await else {
            self.ended(&decided, End::application(true));
            return self.pass_on(Some(answer)).await;
        };
        let gate = Arc::clone(self.gate);
        let (route, address) = (self.route.clone(), self.client.address);
        let name = decided.name.clone();
        let outcome = self.gate.shared_about(&name, async move {
            let outcome = gate.journeys.after_upstream(decided.clone(), said).await;
            gate.recorder.ended(&route, &decided, End::of(&outcome), address);
            outcome
        });
        match outcome.await {
            Ok(outcome) => self.answer_outcome(outcome, leaving, Some(answer)).await,
            // The application let the person in; a fault of ours is no reason to take that back.
            Err(_) => self.pass_on(Some(answer)).await,
        }
    }

    /// Turns an outcome into an answer; `answer` is the application's, when it was already asked.
    async fn answer_outcome(
        self,
        outcome: Outcome,
        leaving: Leaving,
        answer: Option<Response<AnswerBody>>,
    ) -> Response<AnswerBody> {
        match outcome {
            Outcome::HandOver(over) => self.hand_over(*over, leaving, answer).await,
            Outcome::Forward(_) | Outcome::AskUpstream => self.pass_on(answer).await,
            // The class is for the log alone: the browser gets one answer for all (SEC-40).
            Outcome::Rejected(rejected) => {
                self.gate.evenly.hold(self.began, rejected.by.as_ref(), &*self.gate.clock).await;
                AnswerBody::page(Pages::rejected(&self.route.rejected))
            }
            Outcome::Closed(closed) => AnswerBody::page(self.gate.pages.closed(closed, self.asked)),
        }
    }

    async fn hand_over(
        self,
        over: HandOver,
        leaving: Leaving,
        answer: Option<Response<AnswerBody>>,
    ) -> Response<AnswerBody> {
        let (gate, rules) = (Arc::clone(self.gate), Arc::clone(self.rules));
        let crossed = over.crossed;
        let known = self.granted.as_ref().filter(|_| over.proven);
        let known =
            known.and_then(|granted| self.gate.remember_known(&self.head.headers, granted, self.rules));
        let begins_elsewhere = matches!(over.hand_off, HandOff::App { .. });
        let granted = self.granted.clone().filter(|_| !over.proven);
        let sent = self.gate.shared(async move {
            let sent = gate.hand_over(&rules, &over, &leaving).await;
            // Scalekit proves the person, and the typed password goes nowhere: unless the application gets it yet.
            if let Some(granted) = granted.filter(|_| sent.is_ok() || over.crossed) {
                gate.tried(&granted, Tried::Unasked, &rules).await;
            }
            sent
        });
        let sent = sent.await.map(|sent| sent.map(|page| Gate::with_cookies(page, [known])));
        match sent {
            // No callback of ours follows that would end the session of whoever was here before (SEC-20).
            Ok(Ok(page)) if begins_elsewhere => self.end_old_session(AnswerBody::page(page)).await,
            Ok(Ok(page)) => AnswerBody::page(page),
            // Scalekit cannot take the person now, and they never crossed: the application may still let them in.
            Ok(Err(error)) if !crossed => {
                Recorder::cannot_begin(&error);
                self.pass_on(answer).await
            }
            Ok(Err(error)) => AnswerBody::page(self.gate.cannot_begin(&error, self.asked)),
            Err(problem) => self.core.refuse(problem, &self.asking),
        }
    }

    /// Leaves the sign-in to the application, which has said yes already where there is an answer. Whoever it lets in
    /// ends a session of ours in this browser, or two people would be mixed (SEC-20).
    async fn pass_on(self, answer: Option<Response<AnswerBody>>) -> Response<AnswerBody> {
        let (answer, said_yes) = match answer {
            Some(answer) => (answer, true),
            None => self.ask_application().await,
        };
        if said_yes { self.end_old_session(answer).await } else { answer }
    }

    fn has_session(&self) -> bool {
        CookieJar::new(&self.head.headers).has(&self.gate.cookies.session)
    }

    fn ended(&self, decided: &Decided, end: End) {
        self.gate.recorder.ended(self.route, decided, end, self.client.address);
    }

    /// Sends the form on as it came, judges the answer by the route's signals, and takes down what it says of the try.
    async fn ask_application(&self) -> (Response<AnswerBody>, bool) {
        let (mut answer, tried) = self.judge_application().await;
        let said_yes = tried == Tried::Right;
        let is_old = said_yes && self.is_old_yes(&answer).await;
        self.tried(if is_old { Tried::Unasked } else { tried }).await;
        let granted = self.granted.as_ref().filter(|_| said_yes && !is_old);
        let known =
            granted.and_then(|granted| self.gate.remember_known(&self.head.headers, granted, self.rules));
        if let Some(cookie) = known {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        (answer, said_yes)
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

    /// What the application's yes is worth: its who-am-I route names the person. `None` where there is such a route
    /// and it names nobody: then nobody is signed in yet (a second factor is still due, truth 6), and signals that
    /// look like a success prove nothing.
    async fn application_says(&self, answer: &Response<AnswerBody>) -> Option<Upstream> {
        let Some(who) = &self.rules.sign_in.who_am_i else { return Some(Upstream::SignalsOnly) };
        let named = timeout(who.timeout, self.who_am_i(who, answer.headers())).await.ok().flatten();
        let Some(named) = named else {
            tracing::warn!(request.id = %self.asked.id, "who-am-I named nobody after a sign-in");
            return None;
        };
        if self.was_signed_in_as(who, &named).await {
            tracing::warn!(
                request.id = %self.asked.id,
                "who-am-I named somebody who was signed in before, and whose names (sign_in.who_am_i.login) are not \
                 the one that was typed: nobody moves by that"
            );
            return None;
        }
        Some(named).map(|record| Upstream::Named(Box::new(record)))
    }

    /// Whether a yes is no word on what was typed: many applications lead whoever is signed in already on to their
    /// front page, whatever the form says. Without who-am-I that cannot be seen.
    async fn is_old_yes(&self, answer: &Response<AnswerBody>) -> bool {
        let Some(who) = self.rules.sign_in.who_am_i.as_ref().filter(|_| self.brings_a_session()) else {
            return false;
        };
        let asked = async {
            match self.who_am_i(who, answer.headers()).await {
                Some(named) => self.was_signed_in_as(who, &named).await,
                None => false,
            }
        };
        // Who cannot be seen in time is no proof of anything, and the answer does not wait for it.
        let budget = self.gate.journeys.settings.load().migration.legacy_lane_budget;
        timeout(who.timeout.min(budget), asked).await.unwrap_or(true)
    }

    /// Whether the request's own cookies lead to this person, and the typed name does not. An application that lets a
    /// sign-in begin a new session ends the old one; where it does not, a name that is the person's own is enough.
    async fn was_signed_in_as(&self, who: &WhoAmI, named: &LegacyRecord) -> bool {
        let typed = self.granted.as_ref().and_then(Granted::name);
        if !self.brings_a_session() || typed.is_some_and(|typed| who_am_i::is_called(named, typed)) {
            return false;
        }
        let before = timeout(who.timeout, self.who_am_i(who, &HeaderMap::new())).await;
        before.map_or(true, |before| before.is_some_and(|before| before.key() == named.key()))
    }

    /// Whether a cookie came along that may be the application's session.
    fn brings_a_session(&self) -> bool {
        let jar = CookieJar::new(&self.head.headers);
        let set = self.route.success.iter().filter_map(|signal| match signal {
            Signal::SetsCookie(name) => Some(name),
            _ => None,
        });
        let mut named = set.chain(&*self.rules.legacy_cookies).peekable();
        match named.peek() {
            Some(_) => named.any(|name| jar.has(name)),
            None => self.head.headers.contains_key(COOKIE),
        }
    }

    async fn who_am_i(&self, who: &WhoAmI, answered: &HeaderMap) -> Option<LegacyRecord> {
        let cookies = who_am_i::cookies_after(&self.head.headers, answered, self.gate.clock.now());
        let mut request =
            Request::builder().method(Method::GET).uri(&who.path).header(ACCEPT, "application/json");
        // What says where the client is found by the same way as for the sign-in itself.
        for name in [HOST, USER_AGENT, X_FORWARDED_FOR] {
            for value in self.head.headers.get_all(&name) {
                request = request.header(&name, value);
            }
        }
        let (head, ()) = request.header(COOKIE, cookies).body(()).ok()?.into_parts();
        let outgoing = Outgoing {
            parts: head,
            body: OutgoingBody::Empty,
            client: self.client,
            id: self.id,
            extra: Extra::default(),
        };
        let answer = self.core.forward(outgoing).await.ok()?;
        let (head, body) = answer.into_parts();
        let (body, _) = body.look(who_am_i::BODY_MAX_BYTES).await.ok()?;
        let mfa = self.rules.mfa.get(&who.source)?;
        if head.status == http::StatusCode::OK { who_am_i::record(who, mfa, &body?) } else { None }
    }

    async fn end_old_session(&self, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
        if self.has_session() {
            // An error is logged there; the cookie goes in any case.
            let _ = self.gate.end_session(&self.head.headers, "signed_in_again").await;
            if let Some(cookie) = self.gate.cookies.clear(&self.gate.cookies.session) {
                answer.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        answer
    }

    fn outgoing(&self) -> Outgoing {
        let mut parts = self.head.clone();
        // The body is whole now, so its length is known whatever framing it came with.
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove(CONTENT_LENGTH);
        Outgoing {
            parts,
            body: OutgoingBody::Bytes(self.body.clone()),
            client: self.client,
            id: self.id,
            extra: Extra::default(),
        }
    }
}

fn text<N: http::header::AsHeaderName>(headers: &HeaderMap, name: N) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a request may be a sign-in of this route as far as its head tells.
pub(super) fn may_be_sign_in(route: &SignInRoute, head: &Parts, rules: &Rules) -> Result<(), Problem> {
    let must_prove_origin = route.client == ClientKind::Browser;
    if must_prove_origin && !is_same_origin(&head.headers, rules) {
        return Err(Problem::Forbidden);
    }
    Ok(())
}

/// Whether a request's head says JSON; used where a page or data could answer.
pub(super) fn wants_json(route: &SignInRoute, head: &Parts) -> bool {
    let typed = text(&head.headers, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    typed && matches!(route.fields, FieldNames::Json { .. })
}

/// Takes what the data plane accepted apart into a sign-in, once its body is read.
pub(super) async fn read(
    gate: &Arc<Gate>,
    core: &Core,
    rules: &Arc<Rules>,
    route: &SignInRoute,
    asking: Asking,
    request: Accepted,
) -> Response<AnswerBody> {
    if let Err(problem) = may_be_sign_in(route, &request.parts, rules) {
        return core.refuse(problem, &asking);
    }
    let limits = &rules.public.limits;
    let body = match super::read_small(request.body, limits.sign_in_body_bytes, limits.body_pause).await {
        Ok(body) => body,
        Err(error) => return core.refuse(error.problem(), &asking),
    };
    let mut asked = asking.asked();
    asked.json |= wants_json(route, &request.parts);
    let (head, client, id) = (request.parts, request.client, request.id);
    let (asked, granted, began) = (&asked, None, gate.clock.monotonic());
    let sign_in = SignIn { gate, core, rules, route, asking, asked, head, body, client, id, granted, began };
    Box::pin(sign_in.answer()).await
}
