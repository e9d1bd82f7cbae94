//! The identity Crossfade hands the application: a signed assertion, or the plain header.

use std::{sync::Mutex, time::Duration};

use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{
    DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use url::Url;

use super::{Address, App, people::Person};
use crate::simulate::backstage::locked;

/// How a signed assertion is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssertionRules {
    #[serde(default = "default_header")]
    pub(crate) header: String,
    /// Plain HTTP: the key set is on loopback, like everything here.
    pub(crate) jwks_url: Address,
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    #[serde(default)]
    pub(crate) audience: Option<String>,
}

fn default_header() -> String {
    "x-crossfade-assertion".into()
}

/// An identity the application believes.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) user: String,
    pub(super) email: Option<String>,
    /// `assertion` or `header`.
    pub(super) by: &'static str,
}

/// Why an assertion is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbelievable {
    #[error("the assertion is no signed token of a known form")]
    Form(#[from] jsonwebtoken::errors::Error),
    #[error("the key set has no such key")]
    NoKey,
    #[error("the key set could not be fetched: {0}")]
    Fetch(String),
    #[error("the assertion names nobody")]
    Nobody,
}

/// The keys fetched last.
#[derive(Default)]
pub(super) struct Keys(Mutex<Option<JwkSet>>);

impl Keys {
    /// The key with this id; an id never seen makes one fetch, so that keys may rotate.
    async fn find(&self, kid: &str, url: &Url) -> Result<Jwk, Unbelievable> {
        let held = locked(&self.0).as_ref().and_then(|set| set.find(kid).cloned());
        if let Some(key) = held {
            return Ok(key);
        }
        let fetched = tokio::time::timeout(Duration::from_secs(2), fetch(url)).await;
        let set = fetched.map_err(|_| Unbelievable::Fetch("no answer in time".into()))??;
        let found = set.find(kid).cloned();
        *locked(&self.0) = Some(set);
        found.ok_or(Unbelievable::NoKey)
    }
}

impl App {
    /// The believed identity of a request, if there is one. An assertion that is there but wrong is an error and
    /// not a reason to look at the plain header.
    pub(super) async fn handed(&self, headers: &HeaderMap) -> Result<Option<Handed>, Unbelievable> {
        if !self.options.trust_headers {
            return Ok(None);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(rules) = &self.options.assertion
            && let Some(token) = text(&rules.header)
        {
            return self.verified(&token, rules).await.map(Some);
        }
        let user = text("x-forwarded-user").filter(|user| !user.is_empty());
        Ok(user.map(|user| Handed { user, email: text("x-forwarded-email"), by: "header" }))
    }

    async fn verified(&self, token: &str, rules: &AssertionRules) -> Result<Handed, Unbelievable> {
        let head = decode_header(token)?;
        let key = self.keys.find(head.kid.as_deref().unwrap_or(""), &rules.jwks_url.0).await?;
        let mut validation = Validation::new(head.alg);
        validation.validate_aud = rules.audience.is_some();
        rules.audience.iter().for_each(|audience| validation.set_audience(&[audience]));
        rules.issuer.iter().for_each(|issuer| validation.set_issuer(&[issuer]));
        // The key decides which family may sign; a token that names another one (RFC 8725 §3.1) fails here.
        let claims = decode::<Value>(token, &DecodingKey::from_jwk(&key)?, &validation)?.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let user = text("sub").ok_or(Unbelievable::Nobody)?;
        Ok(Handed { user, email: text("email"), by: "assertion" })
    }
}

impl Handed {
    /// What the application tells about somebody Crossfade vouches for; its own row when it has one.
    pub(super) fn to_json(&self, person: Option<&Person>) -> Value {
        person.map_or_else(
            || {
                json!({
                    "id": self.user,
                    "email": self.email,
                    "login": self.user,
                    "email_verified": null,
                    "name": null,
                    "mfa": null,
                    "status": "not_in_table",
                })
            },
            Person::to_json,
        )
    }
}

/// Whether a header field speaks about who somebody is.
pub(super) fn tells_identity(name: &str, rules: Option<&AssertionRules>) -> bool {
    const NAMES: [&str; 5] = [
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "remote-user",
    ];
    NAMES.contains(&name)
        || name.starts_with("x-auth-request-")
        || rules.is_some_and(|rules| rules.header.eq_ignore_ascii_case(name))
}

/// One GET over a connection of its own.
async fn fetch(url: &Url) -> Result<JwkSet, Unbelievable> {
    let failed = |cause: &dyn std::fmt::Display| Unbelievable::Fetch(cause.to_string());
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(Unbelievable::Fetch("the address has no host".into()));
    };
    let stream = TcpStream::connect((host, port)).await.map_err(|cause| failed(&cause))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|cause| failed(&cause))?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = Request::get(target)
        .header(header::HOST, format!("{host}:{port}"))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|cause| failed(&cause))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|cause| failed(&cause))?;
        if !response.status().is_success() {
            return Err(Unbelievable::Fetch(format!("status {}", response.status())));
        }
        let body = Limited::new(response.into_body(), 256 * 1024).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|cause| failed(&cause))
    };
    // The connection is driven beside the exchange; it ends with it, and its own error shows up there.
    let (body, _) = tokio::join!(answer, connection);
    serde_json::from_slice(&body?).map_err(|cause| failed(&cause))
}
