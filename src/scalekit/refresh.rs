//! The refresh of a session's tokens (RFC 6749 §6, `OpenID` Connect Core §12).
//!
//! Whether Scalekit rotates refresh tokens is documented, how it treats a replay is not (scalekit.md §2.3): an answer
//! with a new refresh token replaces the one in hand, one without leaves it. An ID token in the answer is judged like
//! that of a sign-in; what fails leaves the tokens to be kept and their claims to count for nothing.

use reqwest::Method;
use serde::Serialize;

use super::{
    channel::read,
    discovery::Metadata,
    error::{Carried, Trouble},
    id_token::{AccessClaims, Before, Expected, IdClaims},
    oidc::{Granted, Provider},
};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, Secret},
    login::ErrorClass,
    session::{ClaimsProblem, NewClaims, RefreshError, RefreshWith, Refreshed, SessionTokens, SignInError},
};

#[derive(Serialize)]
struct Renewal<'a> {
    grant_type: &'static str,
    refresh_token: &'a str,
    client_id: &'a str,
    client_secret: &'a str,
}

impl Provider {
    /// Sends the refresh token once.
    pub(super) async fn refresh(
        &self,
        with: RefreshWith<'_>,
        deadline: Deadline,
    ) -> Result<Refreshed, RefreshError> {
        let metadata = self.discovery.metadata(&self.channel, deadline).await.map_err(|trouble| {
            // The token was not sent, whatever became of the question before.
            RefreshError::Later {
                problem: trouble.problem,
                retry_after: asked_wait(trouble.class),
                may_be_used: false,
            }
        })?;
        let send = |secret: Secret| {
            let renewal = Renewal {
                grant_type: "refresh_token",
                refresh_token: with.refresh_token,
                client_id: &self.client_id,
                client_secret: secret.expose(),
            };
            let request = self.channel.request(Method::POST, metadata.token_endpoint.clone()).form(&renewal);
            self.channel.send(request, deadline)
        };
        let answer = self.client_secret.send(send).await.map_err(|trouble| refused(&trouble))?;
        let granted: Granted = read(&answer).map_err(|trouble| refused(&trouble))?;
        granted.check().map_err(|problem| RefreshError::Later {
            problem: problem.to_owned(),
            retry_after: None,
            may_be_used: true,
        })?;
        let claims = self.new_claims(&granted, with, &metadata, deadline).await;
        let id_token = granted.id_token.as_ref().filter(|_| claims.is_ok()).cloned();
        let access_lifetime = granted.access_lifetime();
        let tokens = SessionTokens {
            id_token: id_token.unwrap_or_else(|| with.id_token.to_owned()),
            access_token: granted.access_token,
            refresh_token: granted.refresh_token.or_else(|| Some(with.refresh_token.to_owned())),
        };
        Ok(Refreshed { tokens, access_lifetime, claims })
    }

    async fn new_claims(
        &self,
        granted: &Granted,
        with: RefreshWith<'_>,
        metadata: &Metadata,
        deadline: Deadline,
    ) -> Result<NewClaims, ClaimsProblem> {
        let expected =
            Expected { issuer: &self.discovery.issuer, client_id: &self.client_id, now: self.clock.now() };
        let mut new = NewClaims::default();
        if let Some(id_token) = &granted.id_token {
            let claims = self
                .verified::<IdClaims>(id_token, metadata, deadline)
                .await
                .map_err(|error| unjudged(&error))?;
            let claims = claims.map_err(|failed| not_believed(failed.0))?;
            if !claims.is_of(expected.issuer, &with.user.0) {
                return Err(ClaimsProblem::AnotherPerson);
            }
            let checked =
                claims.check_refreshed(&expected, &Before::of(with.id_token), &granted.access_token);
            checked.map_err(|failed| not_believed(failed.0))?;
            let email = claims.email.as_ref().and_then(|email| CanonicalEmail::parse(email.as_str()?).ok());
            new.email = email.filter(|_| claims.is_email_verified());
            new.organization = claims.oid.filter(|oid| !oid.is_empty());
        }
        // An access token may be anything at all; one that is a good JWT is read.
        let access = self.verified::<AccessClaims>(&granted.access_token, metadata, deadline).await;
        if let Ok(claims) = access.map_err(|error| unjudged(&error))? {
            // Beside an ID token its subject may be another name of the same person; alone it is all there is.
            if granted.id_token.is_none() && !claims.is_of(&with.user.0) {
                return Err(ClaimsProblem::AnotherPerson);
            }
            if claims.check(&expected, &with.user.0).is_ok() {
                new.roles = claims.roles;
            }
        }
        Ok(new)
    }
}

/// RFC 6749 §5.2: only `invalid_grant`, said by a client error, is about the token.
fn refused(trouble: &Trouble) -> RefreshError {
    let is_grant = trouble.code.as_deref().is_some_and(|code| code.eq_ignore_ascii_case("invalid_grant"));
    if is_grant && matches!(trouble.status(), Some(400 | 401 | 403)) {
        return RefreshError::TokenInvalid;
    }
    // A server that gave up, or one in between that did, may have gone on.
    let may_be_used = match trouble.carried {
        Carried::NotSent => false,
        Carried::Unknown => true,
        Carried::Refused(status) => status.is_server_error() || matches!(status.as_u16(), 408 | 499),
    };
    RefreshError::Later {
        problem: format!("token endpoint: {}", trouble.problem),
        retry_after: asked_wait(trouble.class),
        may_be_used,
    }
}

fn asked_wait(class: ErrorClass) -> Option<std::time::Duration> {
    match class {
        ErrorClass::Transient { retry_after } => retry_after,
        ErrorClass::Permanent | ErrorClass::Misconfigured => None,
    }
}

fn unjudged(error: &SignInError) -> ClaimsProblem {
    ClaimsProblem::Unjudged(error.to_string())
}

fn not_believed(why: &str) -> ClaimsProblem {
    ClaimsProblem::Unjudged(format!("ID token: {why}"))
}
