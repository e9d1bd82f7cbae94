//! The organisation's user object, groups and factors as a [`LegacyRecord`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Okta;
use crate::{
    clock::Deadline,
    config::MfaDeclaration,
    identity::{AccountState, CanonicalEmail, EmailClaim, LegacyId, LegacyRecord, MfaState, PersonName},
    legacy::failure::garbage,
    login::LegacyError,
};

/// A user of the users API.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) profile: Profile,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) login: String,
    pub(super) email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    display_name: Option<String>,
    locale: Option<String>,
    /// What the organisation added itself.
    #[serde(flatten)]
    own: Map<String, Value>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "type")]
    kind: String,
    profile: GroupProfile,
}

#[derive(Deserialize)]
struct GroupProfile {
    name: String,
}

#[derive(Deserialize)]
struct Factor {
    status: String,
}

impl User {
    /// What the status means for an account (second table of legacy-stores.md §1). `PASSWORD_EXPIRED` and
    /// `RECOVERY` are no states to migrate from without the password having been changed first.
    pub(super) fn state(&self) -> AccountState {
        match self.status.as_str() {
            "ACTIVE" => AccountState::Active,
            "LOCKED_OUT" => AccountState::Locked,
            "SUSPENDED" | "DEPROVISIONED" => AccountState::Disabled,
            _ => AccountState::Unknown,
        }
    }

    pub(super) fn has_email(&self, email: &CanonicalEmail) -> bool {
        let own = self.profile.email.as_deref().map(CanonicalEmail::parse);
        own.is_some_and(|own| own.is_ok_and(|own| own == *email))
    }
}

impl Profile {
    /// An attribute the organisation added, or one of those with a field of their own.
    fn attribute(&self, name: &str) -> Option<&Value> {
        self.own.get(name)
    }
}

impl Okta {
    /// The user with this id or exact login.
    pub(super) async fn user(
        &self,
        id_or_login: &str,
        deadline: Deadline,
    ) -> Result<Option<User>, LegacyError> {
        // `.` and `..` are no segments but steps; no id or login of Okta's is one of them.
        if matches!(id_or_login, "." | "..") {
            return Ok(None);
        }
        let url = self.api.url(["api", "v1", "users", id_or_login])?;
        self.api.read(url, deadline).await
    }

    pub(super) fn id_of(&self, user: &User) -> Result<LegacyId, LegacyError> {
        LegacyId::parse(&user.id)
            .ok_or_else(|| garbage(self.source_name(), "a user's id is not usable as a key"))
    }

    /// The whole record of a user: roles from groups, second factor from factors.
    pub(super) async fn record(&self, user: User, deadline: Deadline) -> Result<LegacyRecord, LegacyError> {
        let id = self.id_of(&user)?;
        let (roles, mfa) = tokio::try_join!(self.roles(&user.id, deadline), self.mfa(&user.id, deadline))?;
        let state = user.state();
        let profile = user.profile;
        let verified = self.email_verified.as_deref().and_then(|name| profile.attribute(name)?.as_bool());
        let organization = self.organization.as_deref().and_then(|name| profile.attribute(name)?.as_str());
        Ok(LegacyRecord {
            source: self.source_name().clone(),
            id,
            email: EmailClaim { address: text(profile.email.as_deref()), verified },
            state,
            mfa,
            name: PersonName {
                given: text(profile.first_name.as_deref()),
                family: text(profile.last_name.as_deref()),
                full: text(profile.display_name.as_deref()),
                // Okta writes `en_US`.
                locale: text(profile.locale.as_deref()).map(|locale| locale.replace('_', "-")),
            },
            organization: text(organization),
            roles,
            metadata: BTreeMap::new(),
            login: profile.login,
        })
    }

    /// Mapped groups; `BUILT_IN` ("Everyone") and kinds we do not know give no role.
    async fn roles(&self, id: &str, deadline: Deadline) -> Result<Vec<String>, LegacyError> {
        if self.roles.0.is_empty() {
            return Ok(Vec::new());
        }
        let url = self.api.url(["api", "v1", "users", id, "groups"])?;
        let groups: Vec<Group> = self.listed(self.api.read_all(url, deadline).await?)?;
        let named = groups
            .iter()
            .filter(|group| matches!(group.kind.as_str(), "OKTA_GROUP" | "APP_GROUP"))
            .map(|group| group.profile.name.as_str());
        Ok(crate::legacy::record::mapped_roles(&self.roles, named))
    }

    /// The factor list where the source declares that it tells (design: `mfa`).
    async fn mfa(&self, id: &str, deadline: Deadline) -> Result<MfaState, LegacyError> {
        match self.declared_mfa {
            MfaDeclaration::None => Ok(MfaState::None),
            MfaDeclaration::Unknown { .. } => Ok(MfaState::Unknown),
            MfaDeclaration::Field(_) => {
                let url = self.api.url(["api", "v1", "users", id, "factors"])?;
                let factors: Vec<Factor> = self.listed(self.api.read_all(url, deadline).await?)?;
                Ok(enrolled(&factors))
            }
        }
    }

    /// A list of a user who was there a moment ago.
    fn listed<T>(&self, list: Option<Vec<T>>) -> Result<Vec<T>, LegacyError> {
        list.ok_or_else(|| garbage(self.source_name(), "a user it named is not there any more"))
    }
}

/// A factor that was never set up is none; one in a state we do not know is not known to be none.
fn enrolled(factors: &[Factor]) -> MfaState {
    let state = |factor: &Factor| match factor.status.as_str() {
        "ACTIVE" | "ENROLLED" => MfaState::Enrolled,
        "NOT_SETUP" | "PENDING_ACTIVATION" => MfaState::None,
        _ => MfaState::Unknown,
    };
    let states: Vec<MfaState> = factors.iter().map(state).collect();
    [MfaState::Enrolled, MfaState::Unknown]
        .into_iter()
        .find(|state| states.contains(state))
        .unwrap_or(MfaState::None)
}

fn text(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_counts_until_it_is_known_not_to() {
        let judge = |statuses: &[&str]| {
            let factors: Vec<Factor> =
                statuses.iter().map(|status| Factor { status: (*status).to_owned() }).collect();
            enrolled(&factors)
        };
        assert_eq!(judge(&[]), MfaState::None);
        assert_eq!(judge(&["NOT_SETUP", "PENDING_ACTIVATION"]), MfaState::None);
        assert_eq!(judge(&["NOT_SETUP", "INACTIVE"]), MfaState::Unknown);
        assert_eq!(judge(&["INACTIVE", "ACTIVE"]), MfaState::Enrolled);
    }
}
