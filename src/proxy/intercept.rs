//! Which requests are ours: doors, sign-ins, account and sign-out routes. Everything else passes.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{LOCATION, SET_COOKIE},
    request::Parts,
};

use super::{
    Accepted, AnswerBody, Core, Extra, NormalPath, Outgoing, Recorder, credential,
    doors::Knock,
    gate::{Gate, Rules},
    hand_over::leaving,
    headers::strip_set_cookies,
    path::most_lenient,
    request::Asking,
    sign_in,
    visitor::Visitor,
};
use crate::{
    config::{RoutePath, SignIn, SignInRoute},
    identity::PersonKey,
    pages::{Page, Pages, Problem},
    session::{CookieJar, Digest, Session, return_to},
};

/// Answers what a request asks; one for all data-plane threads.
pub(crate) trait Handler: Send + Sync + fmt::Debug {
    /// Answers one request that passed the edge's checks. The future stays on the request's own thread.
    fn handle(self: Arc<Self>, core: &Core, request: Accepted) -> Handled<'_>;
}

/// An answer on its way.
pub(crate) type Handled<'a> = Pin<Box<dyn Future<Output = Response<AnswerBody>> + 'a>>;

impl Handler for Gate {
    fn handle(self: Arc<Self>, core: &Core, request: Accepted) -> Handled<'_> {
        let rules = self.rules.load_full();
        // A future is copied into its box at its full size, and that of a sign-in is some fifty times that of what
        // most requests need.
        if matches!(kind(&request, &rules), Kind::Pass) {
            return Box::pin(async move { self.pass(core, request, &rules).await });
        }
        Box::pin(self.attend(core, request, rules))
    }
}

/// What a request is to us.
enum Kind<'a> {
    /// One of our own routes; what follows the prefix.
    Door(String),
    SignIn(&'a SignInRoute),
    /// The page with the form.
    Page(&'a SignInRoute),
    Account,
    Logout,
    /// A second spelling of a listed path: whoever is behind us might resolve it, and a sign-in would pass unseen.
    Disguised,
    Pass,
}

impl Gate {
    async fn attend(
        self: Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: Arc<Rules>,
    ) -> Response<AnswerBody> {
        let asking = request.asking();
        match kind(&request, &rules) {
            Kind::Door(route) => {
                let (client, asked) = (request.client, asking.asked());
                let knock = Knock { head: &request.parts, client, asked: &asked, rules: &rules };
                AnswerBody::page(self.door(&route, &knock).await)
            }
            Kind::SignIn(route) => sign_in::read(&self, core, &rules, route, asking, request).await,
            Kind::Page(route) => self.page(core, request, &rules, route).await,
            Kind::Account => self.account(core, request, &rules).await,
            Kind::Logout => self.logout(core, request, &rules).await,
            Kind::Disguised => core.refuse(Problem::BadRequest, &asking),
            Kind::Pass => self.pass(core, request, &rules).await,
        }
    }

    /// Sends a request on with the identity of its session, if there is one.
    async fn pass(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
    ) -> Response<AnswerBody> {
        let asking = request.asking();
        let visitor = match self.visitor(&request.parts.headers, rules).await {
            Ok(visitor) => visitor,
            // A session that cannot be checked is not forgotten: 503, and the cookie stays (fault matrix).
            Err(problem) => return core.refuse(problem, &asking),
        };
        let stale = visitor.is_none() && self.has_stale_cookie(&request.parts.headers);
        let id = CookieJar::new(&request.parts.headers).only(&self.cookies.session).map(Digest::of);
        let outgoing = Outgoing { extra: extra(visitor.as_deref(), rules), ..request.onward() };
        let mut answer = send(core, outgoing, asking).await;
        if let (Some(visitor), Some(id)) = (&visitor, id) {
            // The application's own session would otherwise come back to life when ours ends.
            strip_set_cookies(answer.headers_mut(), &rules.legacy_cookies);
            answer.body_mut().bind(|| self.visitors.tunnels.bind(id, &visitor.session));
        }
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
    ) -> Response<AnswerBody> {
        let wants_form = query_field(&request, "crossfade").as_deref() == Some("form");
        let device = self.device(&request.parts.headers).filter(|_| !wants_form);
        let Some(key) = device else { return self.form(core, request, rules).await };
        // Somebody who is signed in and asks for the form gets what the application says to that.
        if matches!(self.visitor(&request.parts.headers, rules).await, Ok(Some(_))) {
            return self.form(core, request, rules).await;
        }
        let field = sign_in_target(route);
        let target = field.and_then(|field| query_field(&request, field));
        let target = return_to(target.as_deref(), &rules.public.url);
        match self.away(key, &request, rules, target).await {
            Some(page) => AnswerBody::page(page),
            None => self.form(core, request, rules).await,
        }
    }

    /// The application's own page with the form. Whoever is shown it is about to sign in, so a session that came along
    /// ends (SEC-20): it might be one that somebody else put there. An application that leads the signed-in elsewhere
    /// shows no form, and another site's link does not sign people out.
    async fn form(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
    ) -> Response<AnswerBody> {
        let head = &request.parts;
        let may_end =
            head.method == Method::GET && is_navigation(&head.headers) && !is_read_from_elsewhere(head);
        let has_session = CookieJar::new(&head.headers).has(&self.cookies.session);
        let headers = (may_end && has_session).then(|| head.headers.clone());
        let mut answer = self.pass(core, request, rules).await;
        if let Some(headers) = headers.filter(|_| answer.status() == StatusCode::OK) {
            // An error is logged there; the cookie goes in any case.
            let _ = self.end_session(&headers, "sign_in_page").await;
            if let Some(cookie) = self.cookies.clear(&self.cookies.session) {
                answer.headers_mut().append(SET_COOKIE, cookie);
            }
        }
        answer
    }

    /// Sends a device's crossed person to Scalekit; `None` shows the form.
    async fn away(
        self: &Arc<Self>,
        key: PersonKey,
        request: &Accepted,
        rules: &Arc<Rules>,
        target: String,
    ) -> Option<Page> {
        let headers = request.parts.headers.clone();
        let leaving = leaving(self, &headers, target, false);
        let (gate, for_rules, asked) = (Arc::clone(self), Arc::clone(rules), request.asking().asked());
        let sent = self.shared(async move {
            match gate.journeys.device(&key, gate.forced(&headers, &for_rules)).await {
                Ok(Some(over)) => Some(
                    gate.hand_over(&for_rules, &over, &leaving)
                        .await
                        .unwrap_or_else(|error| gate.cannot_begin(&error, &asked)),
                ),
                Ok(None) => None,
                Err(error) => {
                    Recorder::ledger_unavailable(&error);
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
    ) -> Response<AnswerBody> {
        let Some(page) = &rules.sign_in.account_page else {
            return self.pass(core, request, rules).await;
        };
        let signed_in = match self.visitor(&request.parts.headers, rules).await {
            Ok(visitor) => visitor.is_some(),
            Err(problem) => return core.refuse(problem, &request.asking()),
        };
        let wants_form = query_field(&request, "crossfade").as_deref() == Some("form");
        let device = self.device(&request.parts.headers).filter(|_| !wants_form);
        let crossed = match device {
            Some(key) if !signed_in => {
                let gate = Arc::clone(self);
                let known = self.shared(async move { gate.journeys.device(&key, None).await });
                matches!(known.await, Ok(Ok(Some(_))))
            }
            _ => signed_in,
        };
        if crossed {
            return AnswerBody::page(Pages::see_other(page.as_str()));
        }
        self.pass(core, request, rules).await
    }

    /// The application signs somebody out: our session ends with its own, and in a browser that is led on anyway
    /// Scalekit's, too. If that one went on, the next page would sign the person in again unasked.
    async fn logout(
        self: &Arc<Self>,
        core: &Core,
        request: Accepted,
        rules: &Arc<Rules>,
    ) -> Response<AnswerBody> {
        // Another site's link or picture signs nobody out here; what the application makes of it is its own affair.
        if is_read_from_elsewhere(&request.parts) {
            return self.pass(core, request, rules).await;
        }
        let (headers, asking) = (request.parts.headers.clone(), request.asking());
        // The application is told once more who it is; the session ends before it answers, since whoever signs out
        // may not wait for a slow answer.
        let visitor = match self.visitor(&headers, rules).await {
            Ok(Some(visitor)) => visitor,
            Ok(None) => return self.pass(core, request, rules).await,
            Err(problem) => return core.refuse(problem, &asking),
        };
        // Signed out there and not here would be a lie.
        let Ok(Ok(ended)) = self.end_session(&headers, "application_route").await else {
            return core.refuse(Problem::Overloaded, &asking);
        };
        let outgoing = Outgoing { extra: extra(Some(&*visitor), rules), ..request.onward() };
        let mut answer = send(core, outgoing, asking).await;
        if let Some(session) = ended
            && answer.status().is_redirection()
            && is_navigation(&headers)
        {
            self.lead_by_scalekit(&mut answer, session, rules).await;
        }
        for cookie in self.signed_out_cookies(rules, &headers).into_iter().flatten() {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }

    /// Has a redirect end Scalekit's session on its way; when that is not possible, it leads where it led.
    async fn lead_by_scalekit(
        self: &Arc<Self>,
        answer: &mut Response<AnswerBody>,
        session: Session,
        rules: &Rules,
    ) {
        let Ok(after) = rules.public.url.join(&rules.session.after_sign_out) else { return };
        let Ok(Some(away)) = self.scalekit_sign_out(session, after).await else { return };
        if let Ok(location) = HeaderValue::from_str(away.as_str()) {
            *answer.status_mut() = StatusCode::SEE_OTHER;
            answer.headers_mut().insert(LOCATION, location);
        }
    }

    /// Whether a navigation brought a session cookie that means nothing any more (SEC-21). Only a navigation clears
    /// it: the late answer to an image must not remove the cookie of a sign-in that just ended.
    fn has_stale_cookie(&self, headers: &HeaderMap) -> bool {
        is_navigation(headers) && CookieJar::new(headers).has(&self.cookies.session)
    }
}

/// Whether a browser goes to a page, or does not say what it does.
fn is_navigation(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode").and_then(|value| value.to_str().ok());
    matches!(mode, None | Some("navigate"))
}

/// Whether another site made the browser ask for this.
fn is_read_from_elsewhere(head: &Parts) -> bool {
    let site = head.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    reads(&head.method) && site == Some(b"cross-site")
}

fn reads(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Forwards, and answers for an application that does not.
pub(super) async fn send(core: &Core, outgoing: Outgoing, asking: Asking) -> Response<AnswerBody> {
    match core.forward(outgoing).await {
        Ok(answer) => answer,
        Err(error) => core.failed(&error, &asking),
    }
}

/// What a session adds to a request, and which of the application's cookies it keeps away.
fn extra(visitor: Option<&Visitor>, rules: &Rules) -> Extra {
    match visitor {
        Some(visitor) => {
            Extra { set: visitor.headers.clone(), strip_cookies: Some(Arc::clone(&rules.legacy_cookies)) }
        }
        None => Extra::default(),
    }
}

fn kind<'a>(request: &Accepted, rules: &'a Rules) -> Kind<'a> {
    if let Some(route) = request.path.below(&rules.public.prefix) {
        return Kind::Door(route.to_owned());
    }
    let method = &request.parts.method;
    let sign_in = &rules.sign_in;
    if *method == Method::POST
        && let Some(route) = sign_in_route(&sign_in.routes, &request.path, &request.parts)
    {
        return Kind::SignIn(route);
    }
    let is_page = |route: &&SignInRoute| route.page.as_ref().is_some_and(|page| request.path.matches(page));
    if reads(method)
        && let Some(route) = sign_in.routes.iter().find(is_page)
    {
        return Kind::Page(route);
    }
    if sign_in.account_routes.iter().any(|path| request.path.matches(path)) {
        return Kind::Account;
    }
    if sign_in.logout_routes.iter().any(|path| request.path.matches(path)) {
        return Kind::Logout;
    }
    let raw = request.parts.uri.path();
    let disguised = match request.path.as_str() {
        None => is_disguised(raw, rules),
        // A page is only looked at, and an application may well redirect such a path to the listed one.
        Some(_) if reads(method) || *method == Method::OPTIONS => false,
        Some(_) => is_loose_sign_in(&request.path, raw, sign_in),
    };
    if disguised {
        return Kind::Disguised;
    }
    Kind::Pass
}

/// The route of a sign-in. A form and a JSON route may share a path: the content type then tells which is meant.
fn sign_in_route<'a>(routes: &'a [SignInRoute], path: &NormalPath, head: &Parts) -> Option<&'a SignInRoute> {
    let mut here = routes.iter().filter(|route| path.matches(&route.path));
    let first = here.clone().next();
    here.find(|route| credential::has_type_of(&route.fields, head)).or(first)
}

/// Whether an unmatchable path could be read as one that is listed, or as a door of ours.
fn is_disguised(raw: &str, rules: &Rules) -> bool {
    let read = most_lenient(raw);
    listed(&rules.sign_in).any(|path| is_loosely(path, &read))
        || format!("{read}/").starts_with(&rules.public.prefix)
}

/// Whether a path that is not listed would be a sign-in's for an application that collapses doubled slashes, ignores
/// path parameters or a trailing slash, or does not tell capitals from small letters.
fn is_loose_sign_in(path: &NormalPath, raw: &str, sign_in: &SignIn) -> bool {
    let read = most_lenient(raw);
    sign_in.routes.iter().any(|route| is_loosely(&route.path, &read))
        && !listed(sign_in).any(|listed| path.matches(listed))
}

fn is_loosely(listed: &RoutePath, read: &str) -> bool {
    folded(listed.0.trim_end_matches('/')).eq(folded(read.trim_end_matches('/')))
}

/// A path's letters without their case, by whichever of the two ways a router may compare them.
fn folded(path: &str) -> impl Iterator<Item = char> {
    path.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// All paths that are ours to look at.
fn listed(sign_in: &SignIn) -> impl Iterator<Item = &RoutePath> {
    let routes = sign_in.routes.iter().flat_map(|route| std::iter::once(&route.path).chain(&route.page));
    routes.chain(&sign_in.account_routes).chain(&sign_in.logout_routes)
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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::{Answer, ClientKind, FieldNames, Pointer};

    fn route(name: &str, fields: FieldNames) -> SignInRoute {
        SignInRoute {
            name: name.into(),
            path: RoutePath("/login".into()),
            page: None,
            fields,
            client: ClientKind::Browser,
            rejected: Answer::Redirect { location: "/login".into() },
            success: vec![],
            failure: vec![],
        }
    }

    #[test]
    fn a_form_and_a_json_route_at_one_path_are_told_apart() {
        let pointer = |text: &str| Pointer(text.into());
        let form = FieldNames::Form { login: "l".into(), password: "p".into(), return_to: None };
        let json = FieldNames::Json { login: pointer("/l"), password: pointer("/p"), return_to: None };
        let routes = [route("form", form), route("json", json)];
        let path = NormalPath::of(&"/login".parse().unwrap());
        for (content_type, name) in [
            ("application/json; charset=utf-8", "json"),
            ("application/x-www-form-urlencoded", "form"),
            ("text/plain", "form"),
        ] {
            let head =
                Request::builder().header("content-type", content_type).body(()).unwrap().into_parts().0;
            assert_eq!(sign_in_route(&routes, &path, &head).unwrap().name, name, "{content_type}");
        }
    }

    /// The bytes of an asynchronous function's future.
    fn room_of<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_request_that_passes_needs_little_room() {
        let passing = room_of(Gate::pass);
        assert!(passing < 4608, "{passing} bytes are copied for each request");
    }
}
