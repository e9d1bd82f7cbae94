//! Which requests are ours: doors, sign-ins, account and sign-out routes. Everything else passes.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, header::SET_COOKIE};

use super::{
    Accepted, AnswerBody, Core, Extra, Outgoing, OutgoingBody,
    doors::Knock,
    gate::{Gate, Rules},
    hand_over::leaving,
    sign_in,
    visitor::Visitor,
};
use crate::{
    config::SignInRoute,
    identity::PersonKey,
    pages::{Asked, Problem},
    session::{CookieJar, return_to},
};

/// What a request is to us.
enum Kind<'a> {
    /// One of our own routes; what follows the prefix.
    Door(String),
    SignIn(&'a SignInRoute),
    /// The page with the form.
    Page(&'a SignInRoute),
    Account,
    Logout,
    Pass,
}

impl Gate {
    /// Answers one request that passed the edge's checks.
    pub(crate) async fn handle(self: &Arc<Self>, core: &Core, request: Accepted) -> Response<AnswerBody> {
        let rules = self.rules.load_full();
        let asked = Asked::of(&request.parts.headers, request.id.to_string());
        match kind(&request, &rules) {
            Kind::Door(route) => {
                let knock = Knock { head: &request.parts, asked: &asked, rules: &rules };
                self.door(&route, &knock).await.map(AnswerBody::from)
            }
            Kind::SignIn(route) => sign_in::read(self, core, &rules, route, &asked, request).await,
            Kind::Page(route) => self.page(core, request, &rules, route, &asked).await,
            Kind::Account => self.account(core, request, &rules, &asked).await,
            Kind::Logout => self.logout(core, request, &rules, &asked).await,
            Kind::Pass => self.pass(core, request, &rules, &asked).await,
        }
    }

    /// Sends a request on with the identity of its session, if there is one.
    async fn pass(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
        asked: &Asked,
    ) -> Response<AnswerBody> {
        let visitor = match self.visitor(&request.parts.headers, rules).await {
            Ok(visitor) => visitor,
            // A session that cannot be checked is not forgotten: 503, and the cookie stays (fault matrix).
            Err(problem) => return self.pages.problem(problem, asked).map(AnswerBody::from),
        };
        let stale = visitor.is_none() && self.has_stale_cookie(&request.parts.headers);
        let extra = self.extra(visitor.as_deref(), rules);
        let outgoing = Outgoing {
            parts: request.parts,
            body: OutgoingBody::Stream(request.body),
            client: request.client,
            id: request.id,
            extra,
        };
        let mut answer = self.send(core, outgoing, asked).await;
        if stale && let Some(cookie) = self.cookies.clear(&self.cookies.session) {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }

    /// The form, unless this device knows a crossed person: then Scalekit (step 2). `?crossfade=form` brings the
    /// form back, for shared devices.
    async fn page(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
        route: &SignInRoute,
        asked: &Asked,
    ) -> Response<AnswerBody> {
        let wants_form = query_field(&request, "crossfade").as_deref() == Some("form");
        let device = self.device(&request.parts.headers).filter(|_| !wants_form);
        let Some(key) = device else { return self.pass(core, request, rules, asked).await };
        // Somebody who is signed in and asks for the form gets what the application says to that.
        if matches!(self.visitor(&request.parts.headers, rules).await, Ok(Some(_))) {
            return self.pass(core, request, rules, asked).await;
        }
        let field = sign_in_target(route);
        let target = field.and_then(|field| query_field(&request, field));
        let target = return_to(target.as_deref(), &rules.public.url);
        match self.away(key, &request.parts.headers, rules, target, asked).await {
            Some(page) => page.map(AnswerBody::from),
            None => self.pass(core, request, rules, asked).await,
        }
    }

    /// Sends a device's crossed person to Scalekit; `None` shows the form.
    async fn away(
        self: &Arc<Self>,
        key: PersonKey,
        headers: &HeaderMap,
        rules: &Arc<Rules>,
        target: String,
        asked: &Asked,
    ) -> Option<crate::pages::Page> {
        let leaving = leaving(self, headers, target, false);
        let (gate, for_rules, asked) = (Arc::clone(self), Arc::clone(rules), asked.clone());
        let headers = headers.clone();
        let sent = self.shared(async move {
            let forced = |name: &_| gate.forced(&headers, &for_rules, name);
            match gate.journeys.device(&key, forced).await {
                Ok(Some(over)) => Some(
                    gate.hand_over(&for_rules, &over, &leaving)
                        .await
                        .unwrap_or_else(|error| gate.cannot_begin(&error, &asked)),
                ),
                Ok(None) => None,
                Err(error) => {
                    gate.recorder.ledger_unavailable(&error);
                    None
                }
            }
        });
        sent.await.ok().flatten()
    }

    /// Password reset and the like mean nothing to a crossed person: they go to the configured page.
    async fn account(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
        asked: &Asked,
    ) -> Response<AnswerBody> {
        let Some(page) = &rules.sign_in.account_page else {
            return self.pass(core, request, rules, asked).await;
        };
        let signed_in = match self.visitor(&request.parts.headers, rules).await {
            Ok(visitor) => visitor.is_some(),
            Err(problem) => return self.pages.problem(problem, asked).map(AnswerBody::from),
        };
        let wants_form = query_field(&request, "crossfade").as_deref() == Some("form");
        let device = self.device(&request.parts.headers).filter(|_| !wants_form);
        let crossed = match device {
            Some(key) if !signed_in => {
                let gate = Arc::clone(self);
                let known = self.shared(async move { gate.journeys.device(&key, |_| None).await });
                matches!(known.await, Ok(Ok(Some(_))))
            }
            _ => signed_in,
        };
        if crossed {
            return self.pages.see_other(page.as_str()).map(AnswerBody::from);
        }
        self.pass(core, request, rules, asked).await
    }

    /// The application signs somebody out: our session ends with its own.
    async fn logout(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
        asked: &Asked,
    ) -> Response<AnswerBody> {
        let headers = request.parts.headers.clone();
        let mut answer = self.pass(core, request, rules, asked).await;
        match self.end_session(&headers).await {
            Ok(Ok(Some(_))) => {
                for cookie in self.signed_out_cookies(rules, &headers).into_iter().flatten() {
                    answer.headers_mut().append(SET_COOKIE, cookie);
                }
                answer
            }
            Ok(Ok(None)) => answer,
            // Signed out here and not there would be a lie.
            Ok(Err(_)) | Err(_) => self.pages.problem(Problem::Overloaded, asked).map(AnswerBody::from),
        }
    }

    /// Forwards, and answers for an application that does not.
    pub(super) async fn send(&self, core: &Core, outgoing: Outgoing, asked: &Asked) -> Response<AnswerBody> {
        match core.forward(outgoing).await {
            Ok(answer) => answer,
            Err(error) => self.pages.problem(error.problem(), asked).map(AnswerBody::from),
        }
    }

    fn extra(&self, visitor: Option<&Visitor>, rules: &Rules) -> Extra {
        match visitor {
            Some(visitor) => Extra {
                set: visitor.headers.clone(),
                strip_cookies: rules.session.legacy_cookies.clone(),
            },
            None => Extra::default(),
        }
    }

    /// Whether a navigation brought a session cookie that means nothing any more (SEC-21). Only a navigation clears
    /// it: the late answer to an image must not remove the cookie of a sign-in that just ended.
    fn has_stale_cookie(&self, headers: &HeaderMap) -> bool {
        let mode = headers.get("sec-fetch-mode").and_then(|value| value.to_str().ok());
        matches!(mode, None | Some("navigate")) && CookieJar::new(headers).has(&self.cookies.session)
    }
}

fn kind<'a>(request: &Accepted, rules: &'a Rules) -> Kind<'a> {
    if let Some(route) = request.path.below(&rules.public.prefix) {
        return Kind::Door(route.to_owned());
    }
    let method = &request.parts.method;
    let sign_in = &rules.sign_in;
    if *method == Method::POST
        && let Some(route) = sign_in.routes.iter().find(|route| request.path.matches(&route.path))
    {
        return Kind::SignIn(route);
    }
    let reads = *method == Method::GET || *method == Method::HEAD;
    let is_page = |route: &&SignInRoute| route.page.as_ref().is_some_and(|page| request.path.matches(page));
    if reads && let Some(route) = sign_in.routes.iter().find(is_page) {
        return Kind::Page(route);
    }
    if sign_in.account_routes.iter().any(|path| request.path.matches(path)) {
        return Kind::Account;
    }
    if sign_in.logout_routes.iter().any(|path| request.path.matches(path)) {
        return Kind::Logout;
    }
    Kind::Pass
}

/// The query field of the form's page that names the return target.
fn sign_in_target(route: &SignInRoute) -> Option<&str> {
    match &route.fields {
        crate::config::FieldNames::Form { return_to, .. } => return_to.as_deref(),
        crate::config::FieldNames::Json { .. } => None,
    }
}

fn query_field(request: &Accepted, name: &str) -> Option<String> {
    let query = request.parts.uri.query().unwrap_or_default();
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
    let first = values.next()?.1.into_owned();
    values.next().is_none().then_some(first)
}
