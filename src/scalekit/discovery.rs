//! The provider's metadata (`OpenID` Connect Discovery), kept for an hour and read again.

use std::{net::IpAddr, sync::Arc, time::Duration};

use reqwest::Method;
use serde::Deserialize;
use url::{Host, Url};

use super::{
    channel::{Channel, read},
    error::Trouble,
    shelf::{Fetched, Shelf},
};
use crate::{
    clock::{Deadline, SharedClock},
    login::ErrorClass,
};

/// SEC-27; the metadata is held to the same size as the keys.
pub(super) const DOCUMENT_MAX_BYTES: usize = 256 * 1024;

const RENEW_AFTER: Duration = Duration::from_hours(1);

/// An outage of the metadata route alone must not end sign-ins; addresses older than this may be anybody's.
const KEEP_FOR: Duration = Duration::from_hours(24);

/// The metadata of the pinned issuer.
pub(super) struct Discovery {
    /// The issuer as it must appear everywhere: the environment URL without a slash at the end.
    pub(super) issuer: String,
    shelf: Shelf<Metadata>,
}

/// What is used of the metadata, checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) end_session_endpoint: Option<Url>,
    /// RFC 9207 §2.3: a callback without `iss` is then refused.
    pub(super) callback_names_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl Discovery {
    pub(super) fn new(environment: &Url, clock: SharedClock) -> Self {
        let issuer = environment.as_str();
        let issuer = issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
        Self { issuer, shelf: Shelf::new(clock) }
    }

    pub(super) async fn metadata(
        &self,
        channel: &Channel,
        deadline: Deadline,
    ) -> Result<Arc<Metadata>, Trouble> {
        self.shelf.get(deadline, |deadline| self.fetch(channel, deadline)).await
    }

    async fn fetch(&self, channel: &Channel, deadline: Deadline) -> Result<Fetched<Metadata>, Trouble> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer);
        let url =
            Url::parse(&address).map_err(|_| misconfigured("the environment URL cannot be extended"))?;
        let document: Document = match channel.send(channel.request(Method::GET, url), deadline).await {
            Ok(answer) if answer.body.len() > DOCUMENT_MAX_BYTES => {
                return Err(Trouble::garbage("discovery: answered with more than 256 KiB"));
            }
            Ok(answer) => read(&answer).map_err(named)?,
            Err(trouble) => return Err(named(trouble)),
        };
        let value = self.check(document)?;
        Ok(Fetched { value, renew_after: RENEW_AFTER, keep_for: KEEP_FOR })
    }

    fn check(&self, document: Document) -> Result<Metadata, Trouble> {
        // SEC-27: another issuer here would vouch for everybody.
        if document.issuer != self.issuer {
            return Err(misconfigured("the issuer is not the configured environment URL"));
        }
        let methods = document.code_challenge_methods_supported;
        if methods.is_some_and(|methods| methods.iter().all(|method| method != "S256")) {
            return Err(misconfigured("the provider does not offer PKCE with S256"));
        }
        let end_session_endpoint = match document.end_session_endpoint.as_deref() {
            None | Some("") => None,
            Some(text) => Some(self.endpoint(text)?),
        };
        Ok(Metadata {
            authorization_endpoint: self.endpoint(&document.authorization_endpoint)?,
            token_endpoint: self.endpoint(&document.token_endpoint)?,
            jwks_uri: self.endpoint(&document.jwks_uri)?,
            end_session_endpoint,
            callback_names_issuer: document.authorization_response_iss_parameter_supported == Some(true),
        })
    }

    /// Codes, secrets and keys travel by https; by http only between a provider and endpoints on this machine.
    fn endpoint(&self, text: &str) -> Result<Url, Trouble> {
        let url = Url::parse(text).map_err(|_| misconfigured("an endpoint is not a URL"))?;
        let is_local =
            Url::parse(&self.issuer).is_ok_and(|issuer| issuer.scheme() == "http" && is_loopback(&issuer));
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_local && is_loopback(&url));
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        match (is_safe, is_plain) {
            (true, true) => Ok(url),
            (false, _) => Err(misconfigured("an endpoint is not https")),
            (true, false) => Err(misconfigured("an endpoint has a user, a password or a fragment")),
        }
    }
}

/// `localhost`, `*.localhost` (RFC 6761 §6.3) and loopback addresses.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn misconfigured(problem: &str) -> Trouble {
    Trouble::not_sent(ErrorClass::Misconfigured, format!("discovery: {problem}"))
}

/// No metadata where metadata must be is for the operator to mend.
fn named(mut trouble: Trouble) -> Trouble {
    if trouble.class == ErrorClass::Permanent {
        trouble.class = ErrorClass::Misconfigured;
    }
    trouble.problem = format!("discovery: {}", trouble.problem);
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{TestClock, Timestamp};

    #[test]
    fn the_issuer_is_the_environment_url_without_a_slash() {
        for (environment, issuer) in [
            ("https://acme.scalekit.com", "https://acme.scalekit.com"),
            ("https://acme.scalekit.com/", "https://acme.scalekit.com"),
            ("https://id.example.com/realm/", "https://id.example.com/realm"),
            ("http://op.localhost:3000", "http://op.localhost:3000"),
        ] {
            let clock = TestClock::at(Timestamp::from_seconds(0));
            assert_eq!(Discovery::new(&Url::parse(environment).unwrap(), clock).issuer, issuer);
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (issuer, endpoint, is_taken) in [
            ("https://acme.scalekit.com", "https://login.example.com/token", true),
            ("https://acme.scalekit.com", "http://acme.scalekit.com/token", false),
            ("https://acme.scalekit.com", "http://127.0.0.1/token", false),
            ("http://acme.scalekit.com", "http://acme.scalekit.com/token", false),
            ("http://scalekit.localhost:1", "http://scalekit.localhost:1/token", true),
            ("http://127.0.0.1:1", "http://[::1]:2/token", true),
            ("http://localhost:1", "http://localhost.example.com/token", false),
            ("http://localhost:1", "https://login.example.com/token#x", false),
            ("http://localhost:1", "http://a@localhost/token", false),
        ] {
            let clock = TestClock::at(Timestamp::from_seconds(0));
            let discovery = Discovery::new(&Url::parse(issuer).unwrap(), clock);
            assert_eq!(discovery.endpoint(endpoint).is_ok(), is_taken, "{issuer} {endpoint}");
        }
    }
}
