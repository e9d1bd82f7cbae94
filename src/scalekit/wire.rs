//! The JSON of Scalekit's REST API, as far as it is used. Nothing outside of this room sees these types.
//!
//! Empty values are emitted there (`"external_id": ""`), so empty means absent. A field of another type than
//! documented makes the whole answer garbage: it decides who is created.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Trouble;
use crate::{
    clock::rfc_3339,
    identity::{CanonicalEmail, ExternalId},
    login::{DirectoryUser, Membership, MembershipStatus, OrganizationId, UserId},
};

/// The longest id that is taken; Scalekit's have at most 32 characters.
const ID_MAX_BYTES: usize = 64;

#[derive(Deserialize)]
pub(super) struct OneUser {
    user: User,
}

#[derive(Deserialize)]
pub(super) struct Users {
    #[serde(default)]
    users: Vec<User>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OneOrganization {
    organization: Organization,
}

#[derive(Deserialize)]
struct User {
    id: String,
    external_id: Option<String>,
    email: Option<String>,
    memberships: Option<Vec<UserMembership>>,
    #[serde(rename = "user_profile")]
    profile: Option<UserProfile>,
}

#[derive(Deserialize)]
struct UserProfile {
    email_verified: Option<bool>,
}

#[derive(Deserialize)]
struct UserMembership {
    organization_id: String,
    membership_status: Option<String>,
    join_time: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Organization {
    id: String,
    external_id: Option<String>,
}

impl OneUser {
    pub(super) fn read(self) -> Result<DirectoryUser, Trouble> {
        self.user.read()
    }
}

impl Users {
    /// The users of a page and the token of the next one.
    pub(super) fn read(self) -> Result<(Vec<DirectoryUser>, Option<String>), Trouble> {
        let users = self.users.into_iter().map(User::read).collect::<Result<_, _>>()?;
        Ok((users, said(self.next_page_token)))
    }
}

impl OneOrganization {
    /// The organisation, if it is the one with this external id.
    pub(super) fn read(self, external_id: &str) -> Result<OrganizationId, Trouble> {
        if self.organization.external_id.as_deref() != Some(external_id) {
            return Err(Trouble::garbage("answered with another organisation than asked for"));
        }
        Ok(OrganizationId(id(self.organization.id)?))
    }
}

impl User {
    fn read(self) -> Result<DirectoryUser, Trouble> {
        let memberships = self.memberships.unwrap_or_default();
        Ok(DirectoryUser {
            id: UserId(id(self.id)?),
            external_id: said(self.external_id).map(ExternalId::received),
            email: said(self.email).and_then(|email| CanonicalEmail::parse(&email).ok()),
            email_verified: self.profile.and_then(|profile| profile.email_verified) == Some(true),
            memberships: memberships.into_iter().map(UserMembership::read).collect::<Result<_, _>>()?,
        })
    }
}

impl UserMembership {
    fn read(self) -> Result<Membership, Trouble> {
        let status = match self.membership_status.as_deref() {
            Some("ACTIVE") => MembershipStatus::Active,
            Some("INACTIVE") => MembershipStatus::Inactive,
            Some("PENDING_INVITE") => MembershipStatus::PendingInvite,
            Some("INVITE_EXPIRED") => MembershipStatus::InviteExpired,
            _ => MembershipStatus::Unknown,
        };
        // A beginning that is named and cannot be read must not pass for one that is not named: a membership
        // without one counts as ours to remove.
        let since = match said(self.join_time).or_else(|| said(self.created_at)) {
            Some(text) => Some(
                rfc_3339(&text).ok_or_else(|| Trouble::garbage("a membership's beginning cannot be read"))?,
            ),
            None => None,
        };
        Ok(Membership { organization: OrganizationId(id(self.organization_id)?), status, since })
    }
}

/// An id as it goes into addresses and the ledger.
fn id(text: String) -> Result<String, Trouble> {
    let fits = !text.is_empty()
        && text.len() <= ID_MAX_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits { Ok(text) } else { Err(Trouble::garbage("answered with an id that is none")) }
}

fn said(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The body of a create is the user itself; the invitation switch is not in it but in the query.
#[derive(Serialize)]
pub(super) struct CreateUser<'a> {
    pub(super) email: &'a str,
    pub(super) external_id: &'a str,
    pub(super) membership: CreateMembership<'a>,
    #[serde(skip_serializing_if = "CreateUserProfile::is_empty")]
    pub(super) user_profile: CreateUserProfile,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
pub(super) struct CreateMembership<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<Role<'a>>,
}

/// Roles are objects; plain names, as one guide has them, are of no documented type.
#[derive(Serialize)]
pub(super) struct Role<'a> {
    pub(super) name: &'a str,
}

#[derive(Default, Serialize)]
pub(super) struct CreateUserProfile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) locale: Option<String>,
}

impl CreateUserProfile {
    fn is_empty(&self) -> bool {
        self.given_name.is_none()
            && self.family_name.is_none()
            && self.name.is_none()
            && self.locale.is_none()
    }
}

#[derive(Serialize)]
pub(super) struct UpdateUser<'a> {
    pub(super) external_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct CreateOrganization<'a> {
    pub(super) display_name: &'a str,
    pub(super) external_id: &'a str,
}
