//! Calls to the organisation, each sent once and to the configured address alone.

use std::{future::Future, net::IpAddr};

use http::{HeaderValue, header};
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    paging::next_link,
    refusal::{Refusal, content, is_unknown_token},
};
use crate::{
    clock::Deadline,
    identity::SourceName,
    legacy::{
        credential::Credential,
        failure::{failure, garbage, unanswered},
    },
    login::{ClientFacts, ErrorClass, LegacyError},
    net::{Answer, ApiClient, CallError},
};

/// A group list longer than this is not read to its end: 4,000 groups are nobody's roles.
const MOST_PAGES: usize = 20;
const PAGE_SIZE: &str = "200";

/// The organisation's API.
pub(super) struct Api {
    pub(super) source: SourceName,
    pub(super) base: Url,
    /// `SSWS …`; none when no token is configured.
    pub(super) token: Option<Credential>,
    pub(super) client: ApiClient,
}

impl Api {
    /// A path below the organisation's address, every segment percent-encoded as one.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, LegacyError> {
        let mut url = self.base.clone();
        let unfit = || failure(&self.source, ErrorClass::Misconfigured, "the address has no path");
        url.path_segments_mut().map_err(|()| unfit())?.pop_if_empty().extend(segments);
        Ok(url)
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone()).header(header::ACCEPT, "application/json")
    }

    /// One password check; sent once, never again (SEC-42).
    pub(super) async fn authenticate(
        &self,
        login: &str,
        password: &str,
        client: &ClientFacts,
        forwarded_for: Option<IpAddr>,
        deadline: Deadline,
    ) -> Result<Answer, LegacyError> {
        let body = serde_json::json!({
            "username": login,
            "password": password,
            "options": { "multiOptionalFactorEnroll": false, "warnBeforePasswordExpired": false },
        });
        let url = self.url(["api", "v1", "authn"])?;
        // Okta's policies and its system log judge the person's own browser, not ours.
        let agent = client.user_agent.as_deref().and_then(|agent| HeaderValue::from_str(agent).ok());
        let request = || {
            let mut request = self.request(Method::POST, &url).json(&body);
            if let Some(agent) = &agent {
                request = request.header(header::USER_AGENT, agent);
            }
            if let Some(address) = forwarded_for {
                request = request.header("x-forwarded-for", address.to_canonical().to_string());
            }
            request
        };
        self.send(request, |request| self.client.send_guess(request, deadline)).await
    }

    /// Reads one thing; `None` when Okta says that it is not there.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        url: Url,
        deadline: Deadline,
    ) -> Result<Option<T>, LegacyError> {
        let answer = self.get(&url, deadline).await?;
        match content(&answer) {
            Ok(thing) => Ok(Some(thing)),
            Err(Refusal::NotFound) => Ok(None),
            Err(refusal) => Err(self.as_error(refusal)),
        }
    }

    /// Reads a list to its end, page by page. The next page's address comes from the answer, and the token is
    /// sent there: so it must be the configured organisation's.
    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        mut url: Url,
        deadline: Deadline,
    ) -> Result<Option<Vec<T>>, LegacyError> {
        url.query_pairs_mut().append_pair("limit", PAGE_SIZE);
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let answer = self.get(&url, deadline).await?;
            let page: Vec<T> = match content(&answer) {
                Ok(page) => page,
                Err(Refusal::NotFound) => return Ok(None),
                Err(refusal) => return Err(self.as_error(refusal)),
            };
            all.extend(page);
            let Some(next) = next_link(&answer.headers) else { return Ok(Some(all)) };
            url = self.own_address(&next)?;
        }
        Err(failure(&self.source, ErrorClass::Permanent, format!("a list has more than {MOST_PAGES} pages")))
    }

    fn own_address(&self, link: &str) -> Result<Url, LegacyError> {
        let url = self.base.join(link).ok();
        url.filter(|url| {
            url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none()
        })
        .ok_or_else(|| {
            failure(
                &self.source,
                ErrorClass::Misconfigured,
                "a list's next page is at another address than `url`",
            )
        })
    }

    pub(super) async fn get(&self, url: &Url, deadline: Deadline) -> Result<Answer, LegacyError> {
        let request = || self.request(Method::GET, url);
        self.send(request, |request| self.client.send(request, deadline)).await
    }

    async fn send<Sending>(
        &self,
        request: impl Fn() -> RequestBuilder,
        send: impl Fn(RequestBuilder) -> Sending,
    ) -> Result<Answer, LegacyError>
    where
        Sending: Future<Output = Result<Answer, CallError>>,
    {
        let answer = match &self.token {
            Some(token) => token.send(request, send, is_unknown_token).await,
            None => send(request()).await,
        };
        answer.map_err(|error| unanswered(&self.source, error))
    }

    /// A refusal of a call that carried no guess.
    pub(super) fn as_error(&self, refusal: Refusal) -> LegacyError {
        match refusal {
            Refusal::Failed { class, problem } => failure(&self.source, class, problem),
            Refusal::NotFound => garbage(&self.source, "answered that something it named is not there"),
            Refusal::Rejected(_) | Refusal::Stay(_) => {
                failure(&self.source, ErrorClass::Misconfigured, "the API token may not read this")
            }
        }
    }
}
