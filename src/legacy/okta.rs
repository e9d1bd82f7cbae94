//! Okta: primary authentication and the users API (legacy-stores.md §1).
//!
//! A 200 proves nothing: `authn` decides on the state by an allow-list, `refusal` on status and error code. The record
//! is the one Okta names for the verified credentials, read again with its e-mail and status by `people`. Tokens of
//! a transaction are never read, the API token goes to the configured address alone.

mod api;
mod authn;
mod paging;
mod people;
mod probe;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderValue, header::AUTHORIZATION};

use self::{
    api::Api,
    authn::{Checked, Proven},
    people::User,
};
use super::{
    client,
    credential::Credential,
    failure::{failure, garbage, uncounted},
    names,
};
use crate::{
    clock::Deadline,
    config::{MfaDeclaration, OktaSource, RoleMap, Source},
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{
        Attempt, ErrorClass, Holders, LegacyError, LegacyStore, Presence, Rejection, StayReason, Verdict,
    },
    net::Dependencies,
};

/// One Okta organisation.
pub(super) struct Okta {
    api: Api,
    domains: Vec<String>,
    timeout: Duration,
    trusted_gateway: bool,
    declared_mfa: MfaDeclaration,
    roles: RoleMap,
    email_verified: Option<String>,
    organization: Option<String>,
}

impl Okta {
    /// The problem names the setting and no secret.
    pub(super) fn new(
        source: &Source,
        settings: &OktaSource,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        let token = match settings.api_token.expose() {
            "" => None,
            token => {
                let mut value = HeaderValue::from_str(&format!("SSWS {token}"))
                    .map_err(|_| "api_token: holds characters that cannot be sent".to_owned())?;
                value.set_sensitive(true);
                Some(Credential::new(source, &settings.url, (AUTHORIZATION, value), dependencies))
            }
        };
        if settings.url.cannot_be_a_base() || settings.url.host().is_none() {
            return Err("url: must be the organisation's http(s) address".to_owned());
        }
        let client = client("okta", source, dependencies)?;
        Ok(Self {
            api: Api { source: source.name.clone(), base: settings.url.clone(), token, client },
            domains: source.domains.clone(),
            timeout: source.timeout,
            trusted_gateway: settings.trusted_gateway,
            declared_mfa: source.mfa.clone(),
            roles: source.roles.clone(),
            email_verified: settings.email_verified_attribute.clone(),
            organization: settings.organization_attribute.clone(),
        })
    }

    fn source_name(&self) -> &SourceName {
        &self.api.source
    }

    /// The password is right: now the user, and their state, may matter.
    async fn after_yes(
        &self,
        proven: &Proven,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Verdict, LegacyError> {
        let user = self.proven_user(proven, name, deadline).await?;
        match forbidden(&user.status) {
            Some(verdict) => Ok(verdict),
            None => Ok(Verdict::Verified(Box::new(self.record(user, deadline).await?))),
        }
    }

    /// The user behind a proven password, as the users API has them: the same user as the transaction named, and
    /// the one who was asked for.
    async fn proven_user(
        &self,
        proven: &Proven,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<User, LegacyError> {
        let user = self.user(&proven.id, deadline).await?;
        let user = user
            .ok_or_else(|| garbage(self.source_name(), "the user whose password it accepted is not there"))?;
        let same = user.id == proven.id
            && names::comparable(&user.profile.login) == names::comparable(&proven.login);
        if same && answers_to(&user, name) {
            return Ok(user);
        }
        Err(failure(
            self.source_name(),
            ErrorClass::Permanent,
            "accepted the password, but named another user than was asked for",
        ))
    }
}

/// Whether the typed name is one this user may sign in with.
fn answers_to(user: &User, name: &LoginName) -> bool {
    let login = user.profile.login.as_str();
    names::is_asked_for(name, Some(login), user.profile.email.as_deref())
        || is_short_name(name.as_typed(), login)
}

/// Okta lets people type what stands before the `@` of their login where only one has it.
fn is_short_name(typed: &str, login: &str) -> bool {
    login.split_once('@').is_some_and(|(short, _)| short.eq_ignore_ascii_case(typed))
}

/// What the status of a user with a proven password forbids (second table of legacy-stores.md §1).
fn forbidden(status: &str) -> Option<Verdict> {
    match status {
        "PASSWORD_EXPIRED" => Some(Verdict::StayOnLegacy(StayReason::PasswordExpired)),
        // A reset is under way: whoever holds the old password is not to be helped past it.
        "RECOVERY" => Some(Verdict::StayOnLegacy(StayReason::MustChangePassword)),
        "STAGED" | "PROVISIONED" => Some(Verdict::StayOnLegacy(StayReason::Pending)),
        "LOCKED_OUT" => Some(Verdict::Rejected(Rejection::Locked)),
        "SUSPENDED" | "DEPROVISIONED" => Some(Verdict::Rejected(Rejection::Disabled)),
        // `ACTIVE`, and words we do not know: those become an unknown account state, which nobody migrates from.
        _ => None,
    }
}

#[async_trait]
impl LegacyStore for Okta {
    fn source(&self) -> &SourceName {
        self.source_name()
    }

    fn serves(&self, name: &LoginName) -> bool {
        names::is_served(&self.domains, name)
    }

    fn verifies_passwords(&self) -> bool {
        true
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        // Okta's passwords are text: bytes that are none cannot be one. An empty one is not worth a call.
        let password = attempt.password.expose_text().filter(|password| !password.is_empty());
        let Some(password) = password else { return Ok(Verdict::Rejected(Rejection::WrongPassword)) };
        let forwarded_for = self.trusted_gateway.then_some(attempt.client.address);
        let (login, client) = (attempt.name.as_typed(), &attempt.client);
        let answer = self.api.authenticate(login, password, client, forwarded_for, deadline).await?;
        let proven = match authn::checked(&self.api, &answer)? {
            Checked::Proven(proven) => proven,
            Checked::Decided(verdict) => return Ok(verdict),
        };
        self.after_yes(&proven, &attempt.name, deadline).await.map_err(uncounted)
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        let user = self.user(name.as_typed(), deadline.at_most(self.timeout)).await?;
        let here = user.is_some_and(|user| answers_to(&user, name));
        Ok(if here { Presence::Somebody } else { Presence::Nobody })
    }

    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        let Some(user) = self.user(name.as_typed(), deadline).await? else { return Ok(None) };
        // The route takes ids and short names, too.
        if !names::is_asked_for(name, Some(&user.profile.login), user.profile.email.as_deref()) {
            return Ok(None);
        }
        self.record(user, deadline).await.map(Some)
    }

    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        let user = self.user(id.as_str(), deadline).await?;
        // The route takes logins, too: only the record of this very id counts.
        match user.filter(|user| user.id == id.as_str()) {
            Some(user) => self.record(user, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    fn holds_records(&self) -> bool {
        true
    }

    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        let mut url = self.api.url(["api", "v1", "users"])?;
        url.query_pairs_mut().append_pair("search", &search_for(email));
        let users: Option<Vec<User>> = self.api.read_all(url, deadline).await?;
        let users =
            users.ok_or_else(|| garbage(self.source_name(), "has no list of users at this address"))?;
        let mut same = users.iter().filter(|user| user.has_email(email));
        match (same.next(), same.next()) {
            (None, _) => Ok(Holders::Nobody),
            (Some(user), None) => self.id_of(user).map(Holders::One),
            (Some(_), Some(_)) => Ok(Holders::Several),
        }
    }
}

/// A search for every spelling that has this canonical form: an internationalised domain may be stored as typed.
fn search_for(email: &CanonicalEmail) -> String {
    // Quoted as JSON text: a canonical address has no quote or backslash, and the search depends on that no more.
    let equals = |address: &str| format!("profile.email eq {}", serde_json::Value::from(address));
    names::spellings(email).iter().map(|spelling| equals(spelling)).collect::<Vec<_>>().join(" or ")
}
