//! Calls to the service, each sent once and below the configured address alone.

use std::future::Future;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use url::Url;

use super::{
    accounts::Account,
    refusal::{Refusal, content},
};
use crate::{
    clock::Deadline,
    config::{AccountStore, Source, StormpathSource},
    identity::{LegacyId, SourceName},
    legacy::{
        client,
        credential::Credential,
        failure::{failure, garbage, unanswered},
    },
    login::{ErrorClass, LegacyError},
    net::{Answer, ApiClient, CallError, Dependencies},
};

/// A list longer than this is not read to its end: 2,000 groups are nobody's roles.
const MOST_PAGES: usize = 20;
const PAGE_SIZE: usize = 100;

/// One application's part of the service.
pub(super) struct Api {
    pub(super) source: SourceName,
    /// The application's own address.
    application: Url,
    /// What stands before `/applications` in it, and before `/accounts` in an account's.
    root: Url,
    account_store: Option<AccountStore>,
    key: Credential,
    client: ApiClient,
}

/// The answer to a login attempt; the account is whole where it came expanded.
#[derive(Deserialize)]
struct Attempted {
    account: Account,
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    /// How many the service gives at most, which may be fewer than were asked for.
    limit: Option<usize>,
}

impl Api {
    pub(super) fn new(
        source: &Source,
        settings: &StormpathSource,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        let mut root = settings.url.clone();
        root.path_segments_mut().map_err(|()| "url: has no path".to_owned())?.pop().pop();
        let key = format!("{}:{}", settings.api_key_id.expose(), settings.api_key_secret.expose());
        let mut authorization = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(key)))
            .map_err(|_| "api_key_secret: cannot be sent".to_owned())?;
        authorization.set_sensitive(true);
        let key =
            Credential::new(source, &settings.url, (header::AUTHORIZATION, authorization), dependencies);
        let client = client("stormpath", source, dependencies)?;
        Ok(Self {
            source: source.name.clone(),
            application: settings.url.clone(),
            root,
            account_store: settings.account_store.clone(),
            key,
            client,
        })
    }

    /// Where the service is.
    pub(super) fn address(&self) -> &Url {
        &self.application
    }

    /// An address below the application's.
    pub(super) fn application<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Url, LegacyError> {
        self.below(&self.application, segments)
    }

    /// An account's address, or one below it. `None` for an id that would be a step in a path and not a place.
    pub(super) fn account(&self, id: &LegacyId, rest: &[&str]) -> Result<Option<Url>, LegacyError> {
        if matches!(id.as_str(), "." | "..") {
            return Ok(None);
        }
        let segments = ["accounts", id.as_str()].into_iter().chain(rest.iter().copied());
        self.below(&self.root, segments).map(Some)
    }

    /// Every segment percent-encoded as one.
    fn below<'a>(&self, base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, LegacyError> {
        let mut url = base.clone();
        let unfit = || failure(&self.source, ErrorClass::Misconfigured, "the address has no path");
        url.path_segments_mut().map_err(|()| unfit())?.pop_if_empty().extend(segments);
        Ok(url)
    }

    /// The id in an account's address, which must be one of the configured service's.
    pub(super) fn account_id(&self, href: &str) -> Result<LegacyId, LegacyError> {
        let elsewhere = || {
            failure(
                &self.source,
                ErrorClass::Misconfigured,
                "names an account at another address than `url`'s service",
            )
        };
        let url = Url::parse(href)
            .map_err(|_| garbage(&self.source, "names an account by something else than an address"))?;
        let own = url.origin() == self.root.origin() && url.username().is_empty() && url.password().is_none();
        let accounts = format!("{}/accounts/", self.root.path().trim_end_matches('/'));
        let segment = url.path().strip_prefix(&accounts).filter(|_| own).ok_or_else(elsewhere)?;
        if segment.contains('/') || url.query().is_some() || url.fragment().is_some() {
            return Err(elsewhere());
        }
        let id = percent_decode_str(segment).decode_utf8().ok().and_then(|id| LegacyId::parse(&id));
        id.ok_or_else(|| garbage(&self.source, "an account's id is not usable as a key"))
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone()).header(header::ACCEPT, "application/json")
    }

    /// One password check; sent once, never again (SEC-42).
    pub(super) async fn attempt(
        &self,
        login: &str,
        password: &str,
        deadline: Deadline,
    ) -> Result<Result<Account, Refusal>, LegacyError> {
        let mut url = self.application(["loginAttempts"])?;
        url.query_pairs_mut().append_pair("expand", "account");
        let mut body = json!({ "type": "basic", "value": STANDARD.encode(format!("{login}:{password}")) });
        match &self.account_store {
            Some(AccountStore::Href(href)) => body["accountStore"] = json!({ "href": href }),
            Some(AccountStore::NameKey(key)) => body["accountStore"] = json!({ "nameKey": key }),
            None => {}
        }
        let request = || self.request(Method::POST, &url).json(&body);
        let answer = self.send(request, |request| self.client.send_guess(request, deadline)).await?;
        Ok(content::<Attempted>(&answer).map(|attempted| attempted.account))
    }

    /// Reads one thing; `None` when the service says that it is not there.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        url: Url,
        deadline: Deadline,
    ) -> Result<Option<T>, LegacyError> {
        let request = || self.request(Method::GET, &url);
        let answer = self.send(request, |request| self.client.send(request, deadline)).await?;
        match content(&answer) {
            Ok(thing) => Ok(Some(thing)),
            Err(Refusal::NotFound) => Ok(None),
            Err(refusal) => Err(self.as_error(refusal)),
        }
    }

    /// Reads a list to its end, page by page. Addresses of pages are our own: none is taken from an answer.
    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        url: Url,
        deadline: Deadline,
    ) -> Result<Option<Vec<T>>, LegacyError> {
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut page = url.clone();
            page.query_pairs_mut()
                .append_pair("offset", &all.len().to_string())
                .append_pair("limit", &PAGE_SIZE.to_string());
            let Some(page) = self.read::<Page<T>>(page, deadline).await? else { return Ok(None) };
            let full = page.limit.unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
            let is_last = page.items.len() < full || page.items.is_empty();
            all.extend(page.items);
            if is_last {
                return Ok(Some(all));
            }
        }
        Err(failure(&self.source, ErrorClass::Permanent, format!("a list has more than {MOST_PAGES} pages")))
    }

    async fn send<Sending>(
        &self,
        request: impl Fn() -> RequestBuilder,
        send: impl Fn(RequestBuilder) -> Sending,
    ) -> Result<Answer, LegacyError>
    where
        Sending: Future<Output = Result<Answer, CallError>>,
    {
        // No guess is ever answered so: a wrong password is a 400.
        let is_unknown = |answer: &Answer| answer.status == StatusCode::UNAUTHORIZED;
        let answer = self.key.send(request, send, is_unknown).await;
        answer.map_err(|error| unanswered(&self.source, error))
    }

    /// A refusal of a call that carried no guess, or one that is no word about the guess.
    pub(super) fn as_error(&self, refusal: Refusal) -> LegacyError {
        match refusal {
            Refusal::Failed { class, problem } => failure(&self.source, class, problem),
            Refusal::NotFound => garbage(&self.source, "answered that something it named is not there"),
            Refusal::Rejected(_) => garbage(&self.source, "judged a login that was not attempted"),
        }
    }
}
