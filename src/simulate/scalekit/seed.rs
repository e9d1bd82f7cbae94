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
