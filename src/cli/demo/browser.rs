//! A very small browser: cookies, redirects and forms, as far as the story needs them.

use std::{collections::BTreeMap, sync::LazyLock};

use anyhow::{Context as _, bail};
use regex::Regex;
use reqwest::{
    Client, Method, Response,
    header::{ACCEPT, COOKIE, LOCATION, ORIGIN, SET_COOKIE},
};
use url::Url;

use crate::net::Resolver;

/// More redirects than this are a loop.
const MOST_REDIRECTS: usize = 12;

static FORM: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?is)<form\b([^>]*)>(.*?)</form>"));
static INPUT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?is)<input\b([^>]*)>"));
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?is)([a-z-]+)\s*=\s*"([^"]*)""#));

#[expect(clippy::expect_used, reason = "constant patterns, compiled once")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// One person's browser.
pub(super) struct Browser {
    client: Client,
    /// By host and name. Ports share cookies, as in any browser.
    jar: BTreeMap<(String, String), String>,
}

/// What a browser shows.
pub(super) struct Page {
    pub(super) status: u16,
    pub(super) url: Url,
    pub(super) text: String,
    /// Every address on the way here.
    pub(super) way: Vec<Url>,
}

impl Browser {
    #[expect(
        clippy::disallowed_methods,
        reason = "a visitor's browser, not an outbound client of the product"
    )]
    pub(super) fn new() -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(Resolver))
            .build()?;
        Ok(Self { client, jar: BTreeMap::new() })
    }

    /// Opens an address and follows redirects to a page.
    pub(super) async fn open(&mut self, url: &Url) -> anyhow::Result<Page> {
        self.go(Method::GET, url.clone(), None).await
    }

    /// Fills in the form of a page that has the first of these fields, and sends it.
    pub(super) async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> anyhow::Result<Page> {
        let wanted = fields.first().map_or("", |(name, _)| name);
        let (action, mut values) = form_with(&page.text, wanted)
            .with_context(|| format!("no form with a field {wanted:?} at {}", page.url))?;
        for (name, value) in fields {
            values.insert((*name).to_owned(), (*value).to_owned());
        }
        let target = page.url.join(&action)?;
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&values).finish();
        self.go(Method::POST, target, Some((page.url.origin().ascii_serialization(), body))).await
    }

    /// The value of a cookie this browser holds for a host.
    pub(super) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.jar.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    async fn go(
        &mut self,
        mut method: Method,
        mut url: Url,
        mut form: Option<(String, String)>,
    ) -> anyhow::Result<Page> {
        let mut way = Vec::new();
        for _ in 0..MOST_REDIRECTS {
            way.push(url.clone());
            let response = self.send(method.clone(), &url, form.take()).await?;
            self.keep_cookies(&url, &response);
            let status = response.status();
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            if let Some(location) = location.filter(|_| status.is_redirection()) {
                url = url.join(location)?;
                method = Method::GET;
                continue;
            }
            let text = response.text().await?;
            return Ok(Page { status: status.as_u16(), url, text, way });
        }
        bail!("more than {MOST_REDIRECTS} redirects, last to {url}")
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        form: Option<(String, String)>,
    ) -> anyhow::Result<Response> {
        let host = url.host_str().unwrap_or_default();
        let cookies: Vec<String> = self
            .jar
            .iter()
            .filter(|((of, _), _)| of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let mut request = self.client.request(method, url.clone()).header(ACCEPT, "text/html,*/*;q=0.8");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some((origin, body)) = form {
            request = request
                .header(ORIGIN, origin)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
        }
        request.send().await.with_context(|| format!("no answer from {}", url.origin().ascii_serialization()))
    }

    fn keep_cookies(&mut self, url: &Url, response: &Response) {
        let host = url.host_str().unwrap_or_default().to_owned();
        let lines = response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
        for cookie in lines.filter_map(|line| cookie::Cookie::parse(line).ok()) {
            let key = (host.clone(), cookie.name().to_owned());
            if cookie.max_age().is_some_and(|age| !age.is_positive()) || cookie.value().is_empty() {
                self.jar.remove(&key);
            } else {
                self.jar.insert(key, cookie.value().to_owned());
            }
        }
    }
}

/// The action and the prefilled fields of the first form that has a field of this name.
fn form_with(html: &str, wanted: &str) -> Option<(String, BTreeMap<String, String>)> {
    FORM.captures_iter(html).find_map(|form| {
        let attributes = attributes(form.get(1)?.as_str());
        let inputs = INPUT.captures_iter(form.get(2)?.as_str());
        let fields: BTreeMap<String, String> = inputs
            .filter_map(|input| {
                let attributes = self::attributes(input.get(1)?.as_str());
                let value = attributes.get("value").cloned().unwrap_or_default();
                Some((attributes.get("name")?.clone(), value))
            })
            .collect();
        let action = attributes.get("action").cloned().unwrap_or_default();
        fields.contains_key(wanted).then_some((action, fields))
    })
}

fn attributes(text: &str) -> BTreeMap<String, String> {
    let pairs = ATTRIBUTE.captures_iter(text);
    pairs
        .filter_map(|pair| Some((pair.get(1)?.as_str().to_lowercase(), unescape(pair.get(2)?.as_str()))))
        .collect()
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#39;", "'").replace("&#x27;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_with_the_wanted_field_is_found_with_what_it_holds() {
        let html = r#"<form action="/search"><input name="q"></form>
            <form method="post" action="/login?a=1&amp;b=2"><input type="hidden" name="csrf" value="x&quot;y">
            <input name="email" value=""></form>"#;
        let (action, fields) = form_with(html, "email").unwrap();
        assert_eq!(action, "/login?a=1&b=2");
        assert_eq!(fields["csrf"], "x\"y");
        assert!(form_with(html, "password").is_none());
    }
}
