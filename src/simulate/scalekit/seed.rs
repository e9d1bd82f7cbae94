//! The seed: organizations, roles and users that are there from the start.

use serde::Deserialize;

use super::{
    reader::Pairs,
    records::{Membership, Organization, PROFILE_TEXTS, Profile, Role, Standing, User},
    world::World,
};
use crate::clock::Timestamp;

/// An organization of the seed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedOrganization {
    /// `org_` and digits.
    pub(crate) id: String,
    pub(crate) display_name: String,
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    #[serde(default)]
    pub(crate) metadata: Pairs,
}

/// A role beside `admin` and `member`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedRole {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) permissions: Vec<String>,
}

/// A user of the seed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedUser {
    /// `usr_` and 15 to 21 digits.
    pub(crate) id: String,
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    #[serde(default = "yes")]
    pub(crate) email_verified: bool,
    #[serde(default)]
    pub(crate) metadata: Pairs,
    /// `given_name`, `family_name` and so on.
    #[serde(default)]
    pub(crate) profile: Pairs,
    #[serde(default)]
    pub(crate) memberships: Vec<SeedMembership>,
}

/// A membership of the seed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeedMembership {
    pub(crate) organization_id: String,
    #[serde(default = "member")]
    pub(crate) roles: Vec<String>,
    #[serde(default = "active")]
    pub(crate) status: Standing,
}

fn yes() -> bool {
    true
}

fn member() -> Vec<String> {
    vec!["member".into()]
}

fn active() -> Standing {
    Standing::Active
}

/// What is wrong with the seed, all of it: an id the API would refuse, or a name that leads nowhere, would only
/// show later as an answer nobody understands.
pub(super) fn problems(options: &super::Options) -> Vec<String> {
    let mut found = Vec::new();
    let digits = |id: &str, prefix: &str| {
        id.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let organizations: Vec<&str> = options.organizations.iter().map(|org| org.id.as_str()).collect();
    for id in organizations.iter().filter(|id| !digits(id, "org_") || !(5..=32).contains(&id.len())) {
        found.push(format!("organizations: {id} is not org_ and at most 28 digits"));
    }
    let known = |role: &String| {
        ["admin", "member"].contains(&role.as_str()) || options.roles.iter().any(|own| own.name == *role)
    };
    for user in &options.users {
        if !digits(&user.id, "usr_") || !(19..=25).contains(&user.id.len()) {
            found.push(format!("users: {} is not usr_ and 15 to 21 digits", user.id));
        }
        for name in user.profile.keys().filter(|name| !PROFILE_TEXTS.iter().any(|(own, _)| own == name)) {
            found.push(format!("users: {}: profile has no {name}", user.id));
        }
        for membership in &user.memberships {
            if !organizations.contains(&membership.organization_id.as_str()) {
                found.push(format!("users: {}: no organization {}", user.id, membership.organization_id));
            }
            for role in membership.roles.iter().filter(|role| !known(role)) {
                found.push(format!("users: {}: no role {role}", user.id));
            }
        }
    }
    found
}

/// Puts the seed into an empty world.
pub(super) fn plant(world: &mut World, options: &super::Options, now: Timestamp) {
    for seed in &options.organizations {
        let organization = Organization {
            id: seed.id.clone(),
            display_name: seed.display_name.clone(),
            external_id: seed.external_id.clone(),
            metadata: seed.metadata.clone(),
            slug: None,
            logo_url: None,
            created: now,
            updated: now,
        };
        world.organizations.insert(seed.id.clone(), organization);
    }
    for seed in &options.roles {
        let id = world.id("role_");
        world.roles.push(Role {
            id,
            name: seed.name.clone(),
            display_name: seed.name.clone(),
            description: String::new(),
            extends: None,
            permissions: seed.permissions.clone(),
            created: now,
        });
    }
    for seed in &options.users {
        world.people.insert(user(seed, now));
    }
}

fn user(seed: &SeedUser, now: Timestamp) -> User {
    let text = |(name, _): (&'static str, usize)| seed.profile.get(name).map(|text| (name, text.clone()));
    let profile =
        Profile { texts: PROFILE_TEXTS.into_iter().filter_map(text).collect(), ..Profile::default() };
    let membership = |seed: &SeedMembership| Membership {
        organization: seed.organization_id.clone(),
        standing: seed.status,
        roles: seed.roles.clone(),
        metadata: Pairs::new(),
        inviter_email: None,
        created: now,
        accepted: (seed.status == Standing::Active).then_some(now),
        invitation: None,
        provisioning: "direct_provision",
    };
    User {
        id: seed.id.clone(),
        email: seed.email.clone(),
        email_verified: seed.email_verified,
        external_id: seed.external_id.clone(),
        metadata: seed.metadata.clone(),
        profile,
        memberships: seed.memberships.iter().map(membership).collect(),
        created: now,
        updated: now,
        last_login: None,
        origin: "seed",
    }
}
