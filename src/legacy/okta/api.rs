//! Calls to the organisation: what is sent, and what each error answer means.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::limits;
use crate::{
    clock::Deadline,
    identity::SourceName,
    legacy::failure::{TRANSIENT, failure, garbage},
    login::{ClientFacts, ErrorClass, LegacyError, Rejection, StayReason},
    net::{Answer, ApiClient},
};

/// A group list longer than this is not read to its end: 4,000 groups are nobody's roles.
const MOST_PAGES: usize = 20;
const PAGE_SIZE: &str = "200";

/// The organisation's API.
pub(super) struct Api {
    pub(super) source: SourceName,
    pub(super) base: Url,
    /// `SSWS …`; none when no token is configured.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) client: ApiClient,
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A word about the guess.
    Rejected(Rejection),
    Stay(StayReason),
    /// The thing asked for is not there.
    NotFound,
    /// No word about the guess at all.
    Failed {
        class: ErrorClass,
        problem: String,
    },
}

/// Okta's error object; only the code is read, since the texts may repeat what was sent.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "errorCode")]
    code: String,
}

impl Api {
    /// A path below the organisation's address, every segment percent-encoded as one.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, LegacyError> {
        let mut url = self.base.clone();
        let unfit = || failure(&self.source, ErrorClass::Misconfigured, "the address has no path");
        url.path_segments_mut().map_err(|()| unfit())?.pop_if_empty().extend(segments);
        Ok(url)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url).header(header::ACCEPT, "application/json");
        match &self.authorization {
            Some(token) => request.header(header::AUTHORIZATION, token),
            None => request,
        }
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
        let mut request = self.request(Method::POST, self.url(["api", "v1", "authn"])?).json(&body);
        // Okta's policies and its system log judge the person's own browser, not ours.
        let agent = client.user_agent.as_deref().and_then(|agent| HeaderValue::from_str(agent).ok());
        if let Some(agent) = agent {
            request = request.header(header::USER_AGENT, agent);
        }
        if let Some(address) = forwarded_for {
            request = request.header("x-forwarded-for", address.to_string());
        }
        self.send(request, deadline).await
    }

    /// Reads one thing; `None` when Okta says that it is not there.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        url: Url,
        deadline: Deadline,
    ) -> Result<Option<T>, LegacyError> {
        let answer = self.send(self.request(Method::GET, url), deadline).await?;
        match self.content(&answer) {
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
            let answer = self.send(self.request(Method::GET, url.clone()), deadline).await?;
            let page: Vec<T> = match self.content(&answer) {
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

    async fn send(&self, request: RequestBuilder, deadline: Deadline) -> Result<Answer, LegacyError> {
        self.client.send(request, deadline).await.map_err(|error| LegacyError {
            source_name: self.source.clone(),
            class: TRANSIENT,
            problem: "no usable answer".to_owned(),
            cause: Some(Box::new(error)),
        })
    }

    /// The content of a 200, or what the error answer means.
    pub(super) fn content<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Refusal> {
        if answer.status != http::StatusCode::OK {
            return Err(refusal(answer));
        }
        // The parser's message may quote the answer, so it is dropped.
        serde_json::from_slice(&answer.body).map_err(|_| Refusal::Failed {
            class: TRANSIENT,
            problem: "answered 200 with something that is not what was asked for".to_owned(),
        })
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

/// What an answer other than 200 means (legacy-stores.md §1, second half of the table).
pub(super) fn refusal(answer: &Answer) -> Refusal {
    let status = answer.status.as_u16();
    let failed = |class, problem| Refusal::Failed { class, problem };
    if status == 429 {
        let wait = limits::retry_after(&answer.headers).or(Some(limits::LEAST_WAIT));
        return failed(ErrorClass::Transient { retry_after: wait }, "answered 429".to_owned());
    }
    if status >= 500 {
        let wait: Option<Duration> = limits::retry_after_field(&answer.headers);
        return failed(ErrorClass::Transient { retry_after: wait }, format!("answered {status}"));
    }
    if (300..400).contains(&status) {
        return failed(
            ErrorClass::Misconfigured,
            format!("answered {status}: the address is not the organisation's own"),
        );
    }
    let Ok(ErrorBody { code }) = serde_json::from_slice(&answer.body) else {
        return failed(TRANSIENT, format!("answered {status} without an error code"));
    };
    match (status, code.as_str()) {
        // Wrong password, unknown, locked or refused by policy: indistinguishable on purpose.
        (401, "E0000004") => Refusal::Rejected(Rejection::WrongPassword),
        (401, "E0000064") => Refusal::Stay(StayReason::PasswordExpired),
        (403, "E0000069" | "E0000119") => Refusal::Rejected(Rejection::Locked),
        (403, "E0000038") => Refusal::Rejected(Rejection::Disabled),
        // An authentication state in which no password is judged: nothing was proven.
        (403, "E0000079") => Refusal::Rejected(Rejection::WrongPassword),
        (404, "E0000007") => Refusal::NotFound,
        (401, "E0000011") => {
            failed(ErrorClass::Misconfigured, "the API token is not valid (E0000011)".into())
        }
        (401, "E0000015") => {
            failed(ErrorClass::Misconfigured, "a feature of the organisation is missing (E0000015)".into())
        }
        (403, "E0000006") => {
            failed(ErrorClass::Misconfigured, "the API token lacks a permission (E0000006)".into())
        }
        (401 | 403, _) => failed(ErrorClass::Misconfigured, coded(status, &code)),
        _ => failed(ErrorClass::Permanent, coded(status, &code)),
    }
}

/// Status and code; a code that does not look like Okta's is not repeated.
fn coded(status: u16, code: &str) -> String {
    let own = code.len() <= 12 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    format!("answered {status} {}", if own { code } else { "with an unknown error code" })
}

/// The address in `Link: <…>; rel="next"`: one field per link, or several in one (RFC 8288 §3).
fn next_link(headers: &HeaderMap) -> Option<String> {
    let fields = headers.get_all(header::LINK).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(links).find(|(_, parameters)| is_next(parameters)).map(|(address, _)| address.to_owned())
}

/// The links of one field: address and parameters. A comma inside `<…>` belongs to the address.
fn links(field: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = field;
    std::iter::from_fn(move || {
        let (address, after) = rest.split_once('<')?.1.split_once('>')?;
        let begins_a_link =
            |at: &usize| after.get(at + 1..).is_some_and(|next| next.trim_start().starts_with('<'));
        let mut commas = after.match_indices(',').map(|(at, _)| at);
        let end = commas.find(begins_a_link).unwrap_or(after.len());
        let (parameters, next) = after.split_at(end);
        rest = next;
        Some((address, parameters))
    })
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    fn class(status: u16, body: &str) -> ErrorClass {
        match refusal(&answer(status, body)) {
            Refusal::Failed { class, .. } => class,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_names_nothing_known_is_never_a_word_about_the_guess() {
        assert_eq!(class(401, "<html>"), TRANSIENT);
        assert_eq!(class(401, r#"{"errorCode": 4}"#), TRANSIENT);
        assert_eq!(class(401, r#"{"errorCode": "E0009999"}"#), ErrorClass::Misconfigured);
        // The code belongs to another status.
        assert_eq!(class(400, r#"{"errorCode": "E0000004"}"#), ErrorClass::Permanent);
        assert_eq!(class(302, ""), ErrorClass::Misconfigured);
        assert_eq!(class(204, ""), TRANSIENT);
        assert_eq!(class(502, r#"{"errorCode": "E0000004"}"#), TRANSIENT);
    }

    #[test]
    fn a_strange_code_is_not_repeated() {
        let Refusal::Failed { problem, .. } = refusal(&answer(400, r#"{"errorCode": "ann@example.com"}"#))
        else {
            panic!("not a failure");
        };
        assert_eq!(problem, "answered 400 with an unknown error code");
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        let mut headers = HeaderMap::new();
        assert_eq!(next_link(&headers), None);
        headers.append(header::LINK, HeaderValue::from_static("<https://o.example/a?x=1,2>; rel=\"self\""));
        assert_eq!(next_link(&headers), None);
        headers.append(
            header::LINK,
            HeaderValue::from_static(
                "<https://o.example/p>; rel=\"prev\", <https://o.example/n,<2>; title=n; rel=next",
            ),
        );
        assert_eq!(next_link(&headers).as_deref(), Some("https://o.example/n,<2"));
    }
}
