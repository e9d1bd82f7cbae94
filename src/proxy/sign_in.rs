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
    gate::{Gate, Rules},
    guessing::{Aims, Granted, Reading, tried_by},
    hand_over::{Leaving, leaving},
    headers::X_FORWARDED_FOR,
    recorder::End,
    request::Asking,
    who_am_i,
    word::{Said, Word},
};
use crate::{
    config::{ClientKind, FieldNames, HandOff, SignInRoute, WhoAmI},
    identity::{LegacyRecord, LoginName},
    login::{Attempt, Basis, ClientFacts, Closed, Decided, HandOver, Outcome, Tried},
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
    /// Where the form wants its sender to be led in the end; `None` until it is read.
    pub(super) return_to: Option<String>,
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
        self.return_to.clone_from(&credential.return_to);
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
                    // Both are large.
                    Lane::Legacy => Box::pin(self.legacy_lane(decided)).await,
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
    pub(super) async fn tried(&self, tried: Tried) {
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
        self.ask_application(self.longest_wait()).await.answer
    }

    /// Lane `legacy`: the application decides first, and its answer never waits longer than a small budget.
    async fn legacy_lane(self, decided: Decided) -> Response<AnswerBody> {
        let budget = decided.legacy_lane_budget();
        let Said { answer, word, since } = self.ask_application(budget).await;
        let Word::Yes(let_in) = word else {
            self.ended(&decided, End::application(false));
            return answer;
        };
        if let Some(outcome) = self.crossed(&let_in, Some(&decided.name)).await {
            self.ended(&decided, End::of(&outcome));
            return self.answer_outcome(outcome, Some(answer)).await;
        }
        // Somebody signed in to the application in this browser: a session of ours is over.
        let answer = self.end_old_session(answer).await;
        if decided.is_open() {
            let_in.tell_in_vain(self.asked);
        }
        let Some(said) = let_in.proof().filter(|said| decided.is_open_after(said)) else {
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
        let left = budget.saturating_sub(self.gate.clock.monotonic().saturating_sub(since));
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
            Ok(Outcome::AskUpstream) => Box::pin(self.new_lane_by_application(decided)).await,
            Ok(outcome) => self.answer_outcome(outcome, None).await,
            Err(problem) => self.core.refuse(problem, &self.asking),
        }
    }

    /// Only the application can judge this guess: its yes is the proof, and the hand-over takes the place of its
    /// answer.
    async fn new_lane_by_application(self, decided: Decided) -> Response<AnswerBody> {
        let Said { answer, word, .. } = self.ask_application(Duration::MAX).await;
        let Word::Yes(let_in) = word else {
            self.ended(&decided, End::application(false));
            return answer;
        };
        if let Some(outcome) = self.crossed(&let_in, Some(&decided.name)).await {
            self.ended(&decided, End::of(&outcome));
            return self.answer_outcome(outcome, Some(answer)).await;
        }
        let_in.tell_in_vain(self.asked);
        let Some(said) = let_in.proof() else {
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
            Ok(outcome) => self.answer_outcome(outcome, Some(answer)).await,
            // The application let the person in; a fault of ours is no reason to take that back.
            Err(_) => self.pass_on(Some(answer)).await,
        }
    }

    /// Turns an outcome into an answer; `answer` is the application's, when it was already asked.
    async fn answer_outcome(
        self,
        outcome: Outcome,
        answer: Option<Response<AnswerBody>>,
    ) -> Response<AnswerBody> {
        match outcome {
            Outcome::HandOver(over) => self.hand_over(*over, answer).await,
            Outcome::Forward(_) | Outcome::AskUpstream => self.pass_on(answer).await,
            // The class is for the log alone: the browser gets one answer for all (SEC-40).
            Outcome::Rejected(rejected) => {
                self.gate.evenly.hold(self.began, rejected.by.as_ref(), &*self.gate.clock).await;
                AnswerBody::page(Pages::rejected(&self.route.rejected))
            }
            Outcome::Closed(closed) => AnswerBody::page(self.gate.pages.closed(closed, self.asked)),
        }
    }

    async fn hand_over(self, over: HandOver, answer: Option<Response<AnswerBody>>) -> Response<AnswerBody> {
        let (gate, rules, leaving) = (Arc::clone(self.gate), Arc::clone(self.rules), self.leaving());
        let is_proven = over.basis == Basis::Proof;
        let crossed = over.crossed;
        let known = self.granted.as_ref().filter(|_| is_proven);
        let known =
            known.and_then(|granted| self.gate.remember_known(&self.head.headers, granted, self.rules));
        let begins_elsewhere = matches!(over.hand_off, HandOff::App { .. });
        let granted = self.granted.clone().filter(|_| !is_proven);
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
        let answer = if let Some(answer) = answer {
            answer
        } else {
            let Said { answer, word, .. } = self.ask_application(self.longest_wait()).await;
            let Word::Yes(let_in) = word else { return answer };
            if let Some(outcome) = self.crossed(&let_in, None).await {
                return Box::pin(self.answer_outcome(outcome, Some(answer))).await;
            }
            answer
        };
        self.end_old_session(answer).await
    }

    /// What the browser brings along that may have to leave.
    fn leaving(&self) -> Leaving {
        let target = return_to(self.return_to.as_deref(), &self.rules.public.url);
        let json = matches!(self.route.fields, FieldNames::Json { .. });
        leaving(self.gate, &self.head.headers, target, json)
    }

    /// For how long the application's answer may be held where no lane says so.
    fn longest_wait(&self) -> Duration {
        self.gate.journeys.settings.load().migration.legacy_lane_budget
    }

    fn has_session(&self) -> bool {
        CookieJar::new(&self.head.headers).has(&self.gate.cookies.session)
    }

    fn ended(&self, decided: &Decided, end: End) {
        self.gate.recorder.ended(self.route, decided, end, self.client.address);
    }

    pub(super) async fn who_am_i(&self, who: &WhoAmI, answered: &HeaderMap) -> Option<LegacyRecord> {
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

    pub(super) fn outgoing(&self) -> Outgoing {
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
    let (asked, granted, return_to, began) = (&asked, None, None, gate.clock.monotonic());
    let sign_in =
        SignIn { gate, core, rules, route, asking, asked, head, body, client, id, granted, return_to, began };
    Box::pin(sign_in.answer()).await
}
