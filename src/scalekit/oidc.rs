//! The code flow's client side (SEC-26, SEC-27), for Scalekit or any `OpenID` provider in its place.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    channel::{Channel, read},
    discovery::{Discovery, Metadata},
    error::Trouble,
    id_token::{AccessClaims, Expected, Failed, IdClaims, Unverified},
    jwks::Jwks,
    secret::ClientSecret,
};
use crate::{
    clock::{Deadline, SharedClock},
    identity::{CanonicalEmail, Secret},
    login::UserId,
    session::{Authorize, FlowSecrets, SessionTokens, SignInError, SignedIn},
};

/// Where Scalekit signs people out; its metadata may not say so.
const LOGOUT_PATH: &str = "/oidc/logout";

/// The longest life of an access token that is taken at its word.
const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// More than this is no code and no token of a browser's session.
const TOKEN_MAX_BYTES: usize = 64 * 1024;

/// One client at one provider.
pub(super) struct Provider {
    pub(super) channel: Channel,
    pub(super) discovery: Discovery,
    pub(super) jwks: Jwks,
    pub(super) clock: SharedClock,
    pub(super) client_id: String,
    pub(super) client_secret: Arc<ClientSecret>,
    pub(super) redirect_uri: Url,
    pub(super) scope: String,
}

#[derive(Serialize)]
struct Redemption<'a> {
    grant_type: &'static str,
    code: &'a str,
    redirect_uri: &'a str,
    client_id: &'a str,
    client_secret: &'a str,
    code_verifier: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) access_token: String,
    pub(super) id_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<f64>,
}

impl Granted {
    /// The access token's life, where it is named.
    pub(super) fn access_lifetime(&self) -> Option<Duration> {
        let lifetime = Duration::try_from_secs_f64(self.expires_in?).ok()?;
        Some(lifetime.min(LIFETIME_MAX))
    }

    /// Whether the tokens can be used at all.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        // RFC 6749 wants it there; Scalekit's documents do not show it everywhere.
        if self.token_type.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err("token endpoint: the token is of another type than Bearer");
        }
        let is_sized = |token: &str| (1..=TOKEN_MAX_BYTES).contains(&token.len());
        if !is_sized(&self.access_token) || !self.refresh_token.as_deref().is_none_or(is_sized) {
            return Err("token endpoint: a token is empty or too long");
        }
        Ok(())
    }
}

impl Provider {
    pub(super) async fn authorize_url(
        &self,
        begin: Authorize<'_>,
        deadline: Deadline,
    ) -> Result<Url, SignInError> {
        let metadata = self.metadata(deadline).await?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, begin.secrets.verifier.as_bytes()));
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("scope", &self.scope),
            ("state", begin.state),
            ("nonce", &begin.secrets.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if let Some(email) = begin.login_hint {
            parameters.push(("login_hint", email.as_str()));
        }
        Ok(with_query(metadata.authorization_endpoint.clone(), &parameters))
    }

    /// Sent once, whatever happens: a code that is redeemed twice is taken for stolen (RFC 6749 §4.1.2).
    pub(super) async fn redeem(
        &self,
        code: &str,
        secrets: &FlowSecrets,
        issuer: Option<&str>,
        deadline: Deadline,
    ) -> Result<SignedIn, SignInError> {
        let metadata = self.metadata(deadline).await?;
        // RFC 9207: before the code goes anywhere.
        match issuer {
            Some(issuer) if issuer != self.discovery.issuer => {
                return Err(refused("the callback names another issuer"));
            }
            None if metadata.callback_names_issuer => return Err(refused("the callback names no issuer")),
            _ => {}
        }
        if code.is_empty() || code.len() > TOKEN_MAX_BYTES {
            return Err(refused("the callback's code is empty or too long"));
        }
        let granted = self.exchange(code, secrets, &metadata, deadline).await?;
        self.judge(granted, secrets, &metadata, deadline).await
    }

    pub(super) async fn end_session_url(
        &self,
        id_token_hint: Option<&str>,
        after: &Url,
        deadline: Deadline,
    ) -> Result<Url, SignInError> {
        let metadata = self.metadata(deadline).await?;
        let endpoint = match &metadata.end_session_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&format!("{}{LOGOUT_PATH}", self.discovery.issuer))
                .map_err(|_| SignInError::Misconfigured("the environment URL cannot be extended".into()))?,
        };
        let mut parameters = vec![("post_logout_redirect_uri", after.as_str())];
        match id_token_hint {
            Some(hint) => parameters.push(("id_token_hint", hint)),
            // Says whose redirect it is where no token does (`OpenID` Connect RP-Initiated Logout §2).
            None => parameters.push(("client_id", &self.client_id)),
        }
        Ok(with_query(endpoint, &parameters))
    }

    async fn metadata(&self, deadline: Deadline) -> Result<Arc<Metadata>, SignInError> {
        self.discovery.metadata(&self.channel, deadline).await.map_err(Trouble::into_sign_in)
    }

    async fn exchange(
        &self,
        code: &str,
        secrets: &FlowSecrets,
        metadata: &Metadata,
        deadline: Deadline,
    ) -> Result<Granted, SignInError> {
        let send = |secret: Secret| {
            let redemption = Redemption {
                grant_type: "authorization_code",
                code,
                redirect_uri: self.redirect_uri.as_str(),
                client_id: &self.client_id,
                client_secret: secret.expose(),
                code_verifier: &secrets.verifier,
            };
            let request =
                self.channel.request(Method::POST, metadata.token_endpoint.clone()).form(&redemption);
            self.channel.send(request, deadline)
        };
        let answer = self.client_secret.send(send).await.map_err(exchange_refused)?;
        // A page in its place is an outage (fault matrix): it says nothing about the code.
        read(&answer).map_err(exchange_refused)
    }

    async fn judge(
        &self,
        granted: Granted,
        secrets: &FlowSecrets,
        metadata: &Metadata,
        deadline: Deadline,
    ) -> Result<SignedIn, SignInError> {
        granted.check().map_err(refused)?;
        let access_lifetime = granted.access_lifetime();
        let id_token = granted.id_token.ok_or_else(|| refused("token endpoint: no ID token came"))?;
        let expected =
            Expected { issuer: &self.discovery.issuer, client_id: &self.client_id, now: self.clock.now() };
        let claims: IdClaims =
            self.verified(&id_token, metadata, deadline).await?.map_err(id_token_refused)?;
        claims.check(&expected, &secrets.nonce, &granted.access_token).map_err(id_token_refused)?;
        let roles = self.roles(&granted.access_token, &claims.sub, &expected, metadata, deadline).await;
        let email_verified = claims.is_email_verified();
        let email = claims.email.as_ref().and_then(|email| CanonicalEmail::parse(email.as_str()?).ok());
        Ok(SignedIn {
            user: UserId(claims.sub),
            email_verified: email_verified && email.is_some(),
            email,
            organization: claims.oid.filter(|oid| !oid.is_empty()),
            scalekit_session: claims.sid.filter(|sid| !sid.is_empty()),
            roles,
            tokens: SessionTokens {
                id_token,
                access_token: granted.access_token,
                refresh_token: granted.refresh_token,
            },
            access_lifetime,
        })
    }

    /// The claims of a token whose signature is right. The outer error: the keys could not be had.
    pub(super) async fn verified<T: serde::de::DeserializeOwned>(
        &self,
        token: &str,
        metadata: &Metadata,
        deadline: Deadline,
    ) -> Result<Result<T, Failed>, SignInError> {
        let token = match Unverified::parse(token) {
            Ok(token) => token,
            Err(failed) => return Ok(Err(failed)),
        };
        let from = (&self.channel, &metadata.jwks_uri);
        let keys = self.jwks.find(&token.kid, token.algorithm, from, deadline).await;
        Ok(token.verify(&keys.map_err(Trouble::into_sign_in)?))
    }

    /// What the access token says of roles: nothing where it is opaque, fails a check or has no such claim.
    async fn roles(
        &self,
        access_token: &str,
        subject: &str,
        expected: &Expected<'_>,
        metadata: &Metadata,
        deadline: Deadline,
    ) -> Option<Vec<String>> {
        match self.verified::<AccessClaims>(access_token, metadata, deadline).await {
            Ok(Ok(claims)) if claims.check(expected, subject).is_ok() => claims.roles,
            _ => None,
        }
    }
}

fn refused(why: &str) -> SignInError {
    SignInError::Refused(why.to_owned())
}

fn id_token_refused(failed: Failed) -> SignInError {
    SignInError::Refused(format!("ID token: {}", failed.0))
}

/// No token came; where the endpoint answered, RFC 6749 §5.2 says whose fault it is.
fn exchange_refused(trouble: Trouble) -> SignInError {
    let code = trouble.code.as_deref().map(str::to_ascii_lowercase);
    let status = trouble.status().unwrap_or_default();
    let trouble = Trouble { problem: format!("token endpoint: {}", trouble.problem), ..trouble };
    match code.as_deref() {
        Some("invalid_grant") if status < 500 => SignInError::CodeInvalid,
        Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope") => {
            SignInError::Misconfigured(trouble.problem)
        }
        // A redirect away from the token endpoint is not followed, and not believed.
        _ if (300..400).contains(&status) => SignInError::Refused(trouble.problem),
        _ => trouble.into_sign_in(),
    }
}

/// Adds parameters to what an endpoint's address already has; a blank is `%20`, which every reader takes.
fn with_query(mut url: Url, parameters: &[(&str, &str)]) -> Url {
    url.query_pairs_mut().extend_pairs(parameters);
    let query = url.query().map(|query| query.replace('+', "%20"));
    url.set_query(query.as_deref());
    url
}
