//! Stormpath: login attempts and accounts (legacy-stores.md §2).
//!
//! `refusal` says what each error code means; only 7104 is "nobody of that name". The record is the account that the
//! service named for the verified credentials, read again by `accounts`. An account's address comes out of an answer and
//! the API key is sent there: so only its id is taken, and the address is built anew below the configured one.

mod accounts;
mod api;
mod probe;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;

use self::{accounts::Account, api::Api, refusal::Refusal};
use super::{
    failure::{failure, garbage, uncounted},
    names,
};
use crate::{
    clock::Deadline,
    config::{MfaDeclaration, Pointer, RoleMap, Source, StormpathSource},
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{
        Attempt, ErrorClass, Holders, LegacyError, LegacyStore, Presence, Rejection, StayReason, Verdict,
    },
    net::Dependencies,
};

/// One application of Stormpath's.
pub(super) struct Stormpath {
    api: Api,
    domains: Vec<String>,
    timeout: Duration,
    declared_mfa: MfaDeclaration,
    roles: RoleMap,
    organization: Option<Pointer>,
}

impl Stormpath {
    /// The problem names the setting and no secret.
    pub(super) fn new(
        source: &Source,
        settings: &StormpathSource,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        Ok(Self {
            api: Api::new(source, settings, dependencies)?,
            domains: source.domains.clone(),
            timeout: source.timeout,
            declared_mfa: source.mfa.clone(),
            roles: source.roles.clone(),
            organization: settings.organization_field.clone(),
        })
    }

    fn source_name(&self) -> &SourceName {
        &self.api.source
    }

    /// The password is right: now the account, and its state, may matter.
    async fn after_yes(
        &self,
        named: &Account,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Verdict, LegacyError> {
        let account = self.proven_account(named, name, deadline).await?;
        match forbidden(account.status.as_deref()) {
            Some(verdict) => Ok(verdict),
            None => Ok(Verdict::Verified(Box::new(self.record(account, deadline).await?))),
        }
    }

    /// The account behind a proven password, read again: the same as the attempt named, and the one asked for.
    async fn proven_account(
        &self,
        named: &Account,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Account, LegacyError> {
        let id = self.id_of(named)?;
        let account = self.account(&id, deadline).await?;
        let account = account.ok_or_else(|| {
            garbage(self.source_name(), "the account whose password it accepted is not there")
        })?;
        let unchanged = named.email.is_none() || named.email == account.email;
        if unchanged && account.answers_to(name) {
            return Ok(account);
        }
        Err(failure(
            self.source_name(),
            ErrorClass::Permanent,
            "accepted the password, but named another account than was asked for",
        ))
    }

    /// Everybody whose user name or address this is, each once.
    async fn named(&self, name: &LoginName, deadline: Deadline) -> Result<Vec<Account>, LegacyError> {
        let mut found = self.search("username", name.as_typed(), deadline).await?;
        if let Some(email) = name.email() {
            found.extend(self.with_email(email, deadline).await?);
        }
        found.retain(|account| account.answers_to(name));
        Ok(each_once(found))
    }

    /// Everybody with this address, however it is spelt there.
    async fn with_email(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Vec<Account>, LegacyError> {
        let mut found = Vec::new();
        for spelling in names::spellings(email) {
            found.extend(self.search("email", &spelling, deadline).await?);
        }
        found.retain(|account| account.has_email(email));
        Ok(each_once(found))
    }

    async fn search(
        &self,
        attribute: &str,
        text: &str,
        deadline: Deadline,
    ) -> Result<Vec<Account>, LegacyError> {
        let mut url = self.api.application(["accounts"])?;
        url.query_pairs_mut().append_pair(attribute, text);
        let found = self.api.read_all(url, deadline).await?;
        found.ok_or_else(|| self.no_application())
    }

    fn no_application(&self) -> LegacyError {
        failure(self.source_name(), ErrorClass::Misconfigured, "has no application at this address (404)")
    }
}

/// A search takes `*` for anything, and has no way to ask for the letter itself.
fn is_searchable(text: &str) -> bool {
    !text.contains('*')
}

fn each_once(mut accounts: Vec<Account>) -> Vec<Account> {
    accounts.sort_by(|one, other| one.href.cmp(&other.href));
    accounts.dedup_by(|one, other| one.href == other.href);
    accounts
}

/// What the status of an account with a proven password forbids.
fn forbidden(status: Option<&str>) -> Option<Verdict> {
    match status {
        Some("DISABLED") => Some(Verdict::Rejected(Rejection::Disabled)),
        // The same as disabled until the mailbox is confirmed, which only the application's own flow can ask for.
        Some("UNVERIFIED") => Some(Verdict::StayOnLegacy(StayReason::Pending)),
        // `ENABLED`, and what we do not know: that becomes an unknown account state, which nobody migrates from.
        _ => None,
    }
}

#[async_trait]
impl LegacyStore for Stormpath {
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
        let password = attempt.password.expose_text().filter(|password| !password.is_empty());
        let Some(password) = password else { return Ok(Verdict::Rejected(Rejection::WrongPassword)) };
        let login = attempt.name.as_typed();
        // The first colon ends the login in what is sent: with one of its own it would be another guess.
        if login.contains(':') {
            return Ok(Verdict::Rejected(Rejection::Unknown));
        }
        let named = match self.api.attempt(login, password, deadline).await? {
            Ok(account) => account,
            Err(Refusal::Rejected(why)) => return Ok(Verdict::Rejected(why)),
            Err(Refusal::NotFound) => return Err(self.no_application()),
            Err(failed @ Refusal::Failed { .. }) => return Err(self.api.as_error(failed)),
        };
        self.after_yes(&named, &attempt.name, deadline).await.map_err(uncounted)
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        if name.as_typed().contains(':') {
            return Ok(Presence::Nobody);
        }
        if !is_searchable(name.as_typed()) {
            return Ok(Presence::CannotTell);
        }
        let found = self.named(name, deadline.at_most(self.timeout)).await?;
        Ok(if found.is_empty() { Presence::Nobody } else { Presence::Somebody })
    }

    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        if !is_searchable(name.as_typed()) {
            return Ok(None);
        }
        let mut found = self.named(name, deadline).await?;
        match (found.pop(), found.is_empty()) {
            (Some(account), true) => self.record(account, deadline).await.map(Some),
            (Some(_), false) => {
                tracing::warn!(legacy.store = %self.source_name(), "several accounts for one login name; none is used");
                Ok(None)
            }
            (None, _) => Ok(None),
        }
    }

    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        match self.account(id, deadline).await? {
            Some(account) => self.record(account, deadline).await.map(Some),
            None => Ok(None),
        }
    }

    fn holds_records(&self) -> bool {
        true
    }

    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError> {
        if !is_searchable(email.as_str()) {
            let problem = "cannot be searched for an address with a * in it";
            return Err(failure(self.source_name(), ErrorClass::Permanent, problem));
        }
        let found = self.with_email(email, deadline.at_most(self.timeout)).await?;
        match found.as_slice() {
            [] => Ok(Holders::Nobody),
            [account] => self.id_of(account).map(Holders::One),
            _ => Ok(Holders::Several),
        }
    }
}
