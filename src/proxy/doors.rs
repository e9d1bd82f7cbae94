//! Our own routes under one prefix: where a sign-in comes back, where it ends, and what programs ask.

mod callback;
mod sign_out;
mod status;

use std::sync::Arc;

use http::{Method, request::Parts};

use super::{
    Client,
    gate::{Gate, Rules},
    hand_over::leaving,
};
use crate::{
    identity::CanonicalEmail,
    pages::{Asked, Page, Problem},
    session::return_to,
};

/// One request to a route of ours.
pub(super) struct Knock<'a> {
    pub(super) head: &'a Parts,
    pub(super) client: Client,
    pub(super) asked: &'a Asked,
    pub(super) rules: &'a Arc<Rules>,
}

impl Knock<'_> {
    /// A query field that is there exactly once, percent-decoded once.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let query = self.head.uri.query().unwrap_or_default();
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name);
        let first = values.next()?.1.into_owned();
        values.next().is_none().then_some(first)
    }

    /// Whether a query field is there more than once.
    pub(super) fn is_doubled(&self, name: &str) -> bool {
        let query = self.head.uri.query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| found == name).count() > 1
    }

    /// Where the browser wants to go afterwards, judged (SEC-25).
    pub(super) fn return_to(&self) -> String {
        return_to(self.field("return_to").as_deref(), &self.rules.public.url)
    }

    /// Whether another site sent the browser here. An older browser names the page it comes from in one of two other
    /// fields; what says nothing at all is a program, or a person who typed the address.
    pub(super) fn is_cross_site(&self) -> bool {
        let field = |name: &str| self.head.headers.get(name).map(|value| value.to_str().unwrap_or(""));
        if let Some(site) = field("sec-fetch-site") {
            return matches!(site, "cross-site" | "same-site");
        }
        let ours = self.rules.public.url.origin();
        let is_ours = |page: &str| url::Url::parse(page).is_ok_and(|page| page.origin() == ours);
        ["origin", "referer"].into_iter().filter_map(field).any(|page| !is_ours(page))
    }
}

impl Gate {
    /// Answers a route of ours; `route` is what follows the prefix.
    pub(super) async fn door(self: &Arc<Self>, route: &str, knock: &Knock<'_>) -> Page {
        let method = &knock.head.method;
        let goes = *method == Method::GET;
        let reads = goes || *method == Method::HEAD;
        let answered = match route {
            // HEAD changes nothing (RFC 9110 §9.2.1): whoever only looks uses up no code, no state and no session.
            "callback" if goes => self.callback(knock).await,
            "initiate" if goes => self.initiate(knock).await,
            "logout" if goes || *method == Method::POST => self.sign_out(knock).await,
            "session" if reads => self.session_status(knock).await,
            // The methods of the request that is checked arrive here as they are (nginx, Traefik, Envoy).
            "check" => self.check(knock).await,
            "force" if reads => self.force(knock),
            "jwks.json" if reads => Ok(self.jwks()),
            "callback" | "initiate" | "logout" | "session" | "force" | "jwks.json" => {
                Err(Problem::MethodNotAllowed)
            }
            _ => Err(Problem::NotFound),
        };
        answered.unwrap_or_else(|problem| self.pages.problem(problem, knock.asked))
    }

    /// Begins a sign-in by mailbox at Scalekit: the offer of our pages, and Scalekit's "initiate login" address.
    async fn initiate(self: &Arc<Self>, knock: &Knock<'_>) -> Result<Page, Problem> {
        let login_hint = knock.field("login_hint").and_then(|text| CanonicalEmail::parse(&text).ok());
        let leaving = leaving(self, &knock.head.headers, knock.return_to(), false);
        let (gate, rules, asked) = (Arc::clone(self), Arc::clone(knock.rules), knock.asked.clone());
        let client = knock.client.address;
        self.shared(async move {
            if let Err(limited) = gate.may_begin("initiate", client, &rules).await {
                return gate.limited(limited, &asked);
            }
            let begun = gate.begin(login_hint.as_ref(), None, &leaving).await;
            begun.unwrap_or_else(|error| gate.cannot_begin(&error, &asked))
        })
        .await
    }
}
