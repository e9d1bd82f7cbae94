//! The service's account object, custom data and groups as a [`LegacyRecord`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Stormpath;
use crate::{
    clock::Deadline,
    config::{MfaDeclaration, Pointer},
    identity::{
        AccountState, CanonicalEmail, EmailClaim, LegacyId, LegacyRecord, LoginName, MfaState, PersonName,
    },
    legacy::{failure::garbage, names, record::mapped_roles},
    login::LegacyError,
};

/// An account; in the answer to a login attempt perhaps its address alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub(super) href: String,
    username: Option<String>,
    pub(super) email: Option<String>,
    given_name: Option<String>,
    surname: Option<String>,
    full_name: Option<String>,
    pub(super) status: Option<String>,
    email_verification_status: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    status: String,
}

impl Account {
    /// Whether the typed name is one this account may sign in with.
    pub(super) fn answers_to(&self, name: &LoginName) -> bool {
        names::is_asked_for(name, self.username.as_deref(), self.email.as_deref())
    }

    pub(super) fn has_email(&self, email: &CanonicalEmail) -> bool {
        let own = self.email.as_deref().map(CanonicalEmail::parse);
        own.is_some_and(|own| own.is_ok_and(|own| own == *email))
    }

    fn state(&self) -> AccountState {
        match self.status.as_deref() {
            Some("ENABLED") => AccountState::Active,
            Some("DISABLED" | "UNVERIFIED") => AccountState::Disabled,
            _ => AccountState::Unknown,
        }
    }

    /// That an account is enabled is no word about its mailbox: the workflow may be off, and then this says `UNKNOWN`.
    /// A word we do not know is not taken for one that nobody said.
    fn is_email_verified(&self) -> Option<bool> {
        match self.email_verification_status.as_deref() {
            Some("VERIFIED") => Some(true),
            None | Some("UNKNOWN") => None,
            Some(_) => Some(false),
        }
    }
}

impl Stormpath {
    /// The account with this id, and no other.
    pub(super) async fn account(
        &self,
        id: &LegacyId,
        deadline: Deadline,
    ) -> Result<Option<Account>, LegacyError> {
        let Some(url) = self.api.account(id, &[])? else { return Ok(None) };
        let Some(account) = self.api.read::<Account>(url, deadline).await? else { return Ok(None) };
        if self.id_of(&account)? == *id {
            return Ok(Some(account));
        }
        Err(garbage(self.source_name(), "gave another account than was asked for"))
    }

    pub(super) fn id_of(&self, account: &Account) -> Result<LegacyId, LegacyError> {
        self.api.account_id(&account.href)
    }

    /// The whole record of an account: roles from groups, organisation and second factor from custom data.
    pub(super) async fn record(
        &self,
        account: Account,
        deadline: Deadline,
    ) -> Result<LegacyRecord, LegacyError> {
        let id = self.id_of(&account)?;
        let login = text(account.username.as_deref()).or_else(|| text(account.email.as_deref()));
        let login = login
            .ok_or_else(|| garbage(self.source_name(), "an account has neither user name nor e-mail"))?;
        let (roles, data) = tokio::try_join!(self.roles(&id, deadline), self.custom_data(&id, deadline))?;
        Ok(LegacyRecord {
            source: self.source_name().clone(),
            login,
            email: EmailClaim {
                address: text(account.email.as_deref()),
                verified: account.is_email_verified(),
            },
            state: account.state(),
            mfa: self.mfa(&data),
            name: PersonName {
                given: text(account.given_name.as_deref()),
                family: text(account.surname.as_deref()),
                full: text(account.full_name.as_deref()),
                locale: None,
            },
            organization: self.organization.as_ref().and_then(|pointer| key_at(&data, pointer)),
            roles,
            metadata: BTreeMap::new(),
            id,
        })
    }

    /// Mapped groups; disabled ones give no role.
    async fn roles(&self, id: &LegacyId, deadline: Deadline) -> Result<Vec<String>, LegacyError> {
        if self.roles.0.is_empty() {
            return Ok(Vec::new());
        }
        let Some(url) = self.api.account(id, &["groups"])? else { return Ok(Vec::new()) };
        let groups: Vec<Group> = self.there(self.api.read_all(url, deadline).await?)?;
        let enabled = groups.iter().filter(|group| group.status == "ENABLED");
        Ok(mapped_roles(&self.roles, enabled.map(|group| group.name.as_str())))
    }

    /// Custom data, where something is read from it.
    async fn custom_data(&self, id: &LegacyId, deadline: Deadline) -> Result<Value, LegacyError> {
        let is_wanted = self.organization.is_some() || matches!(self.declared_mfa, MfaDeclaration::Field(_));
        match self.api.account(id, &["customData"])? {
            Some(url) if is_wanted => self.there(self.api.read(url, deadline).await?),
            _ => Ok(Value::Null),
        }
    }

    fn mfa(&self, data: &Value) -> MfaState {
        match &self.declared_mfa {
            MfaDeclaration::None => MfaState::None,
            MfaDeclaration::Unknown { .. } => MfaState::Unknown,
            MfaDeclaration::Field(pointer) => match data.pointer(pointer) {
                Some(Value::Bool(false)) => MfaState::None,
                Some(Value::Array(factors)) if factors.is_empty() => MfaState::None,
                Some(Value::Bool(true) | Value::Array(_)) => MfaState::Enrolled,
                _ => MfaState::Unknown,
            },
        }
    }

    /// Something of an account that was there a moment ago.
    fn there<T>(&self, thing: Option<T>) -> Result<T, LegacyError> {
        thing.ok_or_else(|| garbage(self.source_name(), "an account it named is not there any more"))
    }
}

fn key_at(data: &Value, pointer: &Pointer) -> Option<String> {
    match data.pointer(&pointer.0)? {
        Value::String(key) => text(Some(key)),
        Value::Number(key) if !key.is_f64() => Some(key.to_string()),
        _ => None,
    }
}

fn text(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}
