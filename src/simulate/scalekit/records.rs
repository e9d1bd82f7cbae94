//! Organizations, users, memberships and roles, and how the API words them.
//!
//! As the API's own JSON: snake case, empty values present, absent optional values left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reader::Pairs;
use crate::clock::Timestamp;

/// The texts of a profile and their greatest length.
pub(super) const PROFILE_TEXTS: [(&str, usize); 8] = [
    ("given_name", 255),
    ("family_name", 255),
    ("name", 512),
    ("locale", 64),
    ("phone_number", 64),
    ("preferred_username", 512),
    ("picture", 2048),
    ("gender", 64),
];

pub(super) struct Organization {
    pub(super) id: String,
    pub(super) display_name: String,
    pub(super) external_id: Option<String>,
    pub(super) metadata: Pairs,
    pub(super) slug: Option<String>,
    pub(super) logo_url: Option<String>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

impl Organization {
    pub(super) fn to_json(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "display_name": self.display_name,
            "region_code": "US",
            "create_time": self.created.to_string(),
            "update_time": self.updated.to_string(),
            "metadata": self.metadata,
            "settings": { "features": [] },
        });
        for (name, value) in
            [("external_id", &self.external_id), ("slug", &self.slug), ("logo_url", &self.logo_url)]
        {
            put(&mut shown, name, value.as_ref());
        }
        shown
    }
}

/// Puts a value that is there under `name`.
pub(super) fn put(shown: &mut Value, name: &str, value: Option<impl ToString>) {
    if let (Value::Object(members), Some(value)) = (shown, value) {
        members.insert(name.to_owned(), Value::from(value.to_string()));
    }
}

#[derive(Clone)]
pub(super) struct Role {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) description: String,
    pub(super) extends: Option<String>,
    pub(super) permissions: Vec<String>,
    pub(super) created: Timestamp,
}

impl Role {
    pub(super) fn to_json(&self) -> Value {
        let permission = |name: &String| {
            json!({
                "id": format!("perm_{name}"), "name": name, "description": "", "role_name": self.name,
                "create_time": self.created.to_string(), "update_time": self.created.to_string(),
            })
        };
        let mut shown = json!({
            "id": self.id,
            "name": self.name,
            "display_name": self.display_name,
            "description": self.description,
            "default_creator": self.name == "admin",
            "default_member": self.name == "member",
            "permissions": self.permissions.iter().map(permission).collect::<Vec<_>>(),
            "dependent_roles_count": 0,
            "is_org_role": false,
        });
        put(&mut shown, "extends", self.extends.as_ref());
        shown
    }

    /// The short form inside memberships.
    pub(super) fn named(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "display_name": self.display_name })
    }
}

/// Whether a membership is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Standing {
    Active,
    Inactive,
    PendingInvite,
}

/// An invitation that is out.
#[derive(Clone)]
pub(super) struct Invitation {
    pub(super) token: String,
    pub(super) expires: Timestamp,
    pub(super) resent: Option<Timestamp>,
    pub(super) resent_count: u32,
}

#[derive(Clone)]
pub(super) struct Membership {
    pub(super) organization: String,
    pub(super) standing: Standing,
    /// Names of roles.
    pub(super) roles: Vec<String>,
    pub(super) metadata: Pairs,
    pub(super) inviter_email: Option<String>,
    pub(super) created: Timestamp,
    pub(super) accepted: Option<Timestamp>,
    pub(super) invitation: Option<Invitation>,
    pub(super) provisioning: &'static str,
}

/// What a person may tell about themselves.
#[derive(Clone, Default)]
pub(super) struct Profile {
    /// By the names in [`PROFILE_TEXTS`].
    pub(super) texts: BTreeMap<&'static str, String>,
    pub(super) groups: Vec<String>,
    pub(super) metadata: Pairs,
    pub(super) custom_attributes: Pairs,
}

impl Profile {
    pub(super) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }
}

#[derive(Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    pub(super) external_id: Option<String>,
    pub(super) metadata: Pairs,
    pub(super) profile: Profile,
    pub(super) memberships: Vec<Membership>,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    pub(super) last_login: Option<Timestamp>,
    /// `api`, `sign_up` or `seed`.
    pub(super) origin: &'static str,
}

impl User {
    pub(super) fn membership(&self, organization: &str) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.organization == organization)
    }

    pub(super) fn membership_mut(&mut self, organization: &str) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|membership| membership.organization == organization)
    }

    pub(super) fn to_json(&self, world: &super::world::World) -> Value {
        let memberships = self.memberships.iter().map(|membership| membership.to_json(world));
        let mut profile = Map::new();
        for (name, _) in PROFILE_TEXTS {
            profile.insert(name.into(), Value::from(self.profile.text(name)));
        }
        profile.extend([
            ("id".to_owned(), Value::from(self.id.replacen("usr_", "usp_", 1))),
            ("email_verified".to_owned(), Value::from(self.email_verified)),
            ("phone_number_verified".to_owned(), Value::from(false)),
            ("groups".to_owned(), json!(self.profile.groups)),
            ("metadata".to_owned(), json!(self.profile.metadata)),
            ("custom_attributes".to_owned(), json!(self.profile.custom_attributes)),
            ("external_identities".to_owned(), json!([])),
        ]);
        let mut shown = json!({
            "id": self.id,
            "email": self.email,
            "create_time": self.created.to_string(),
            "update_time": self.updated.to_string(),
            "metadata": self.metadata,
            "memberships": memberships.collect::<Vec<_>>(),
            "user_profile": profile,
        });
        put(&mut shown, "external_id", self.external_id.as_ref());
        put(&mut shown, "last_login_time", self.last_login);
        shown
    }
}

impl Membership {
    fn to_json(&self, world: &super::world::World) -> Value {
        let roles: Vec<&Role> = self.roles.iter().filter_map(|name| world.role(name)).collect();
        let name = world.organizations.get(&self.organization).map_or("", |org| org.display_name.as_str());
        let permissions: Vec<&String> = roles.iter().flat_map(|role| &role.permissions).collect();
        let mut shown = json!({
            "organization_id": self.organization,
            "membership_status": self.standing,
            "roles": roles.iter().map(|role| role.named()).collect::<Vec<_>>(),
            "permissions": permissions,
            "metadata": self.metadata,
            "name": name,
            "display_name": name,
            "created_at": self.created.to_string(),
            "provisioning_method": self.provisioning,
        });
        put(&mut shown, "inviter_email", self.inviter_email.as_ref());
        put(&mut shown, "join_time", self.accepted);
        put(&mut shown, "accepted_at", self.accepted);
        put(&mut shown, "expires_at", self.invitation.as_ref().map(|invitation| invitation.expires));
        shown
    }
}
