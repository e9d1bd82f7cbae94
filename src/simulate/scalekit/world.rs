//! What the environment remembers, and the rules that hold whichever door a change comes through.

mod joining;

use std::collections::BTreeMap;

use super::{
    failure::{Code, Failure},
    mails::Mails,
    people::People,
    reader::Pairs,
    records::{Organization, Profile, Role, User},
    session::{Session, SessionEnd},
    settings::{Missing, OnDuplicate, Settings},
};
use crate::clock::Timestamp;

/// Everything that is stored.
pub(super) struct World {
    pub(super) organizations: BTreeMap<String, Organization>,
    pub(super) people: People,
    pub(super) roles: Vec<Role>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) mails: Mails,
    /// How many users were made since the start or the last reset, the seed not counted.
    pub(super) created: u64,
    next_id: u64,
}

/// A user as a create asks for it.
pub(super) struct NewUser {
    pub(super) email: String,
    pub(super) external_id: Option<String>,
    pub(super) metadata: Pairs,
    pub(super) profile: Profile,
    pub(super) membership: NewMembership,
}

/// A membership as a call asks for it.
#[derive(Default)]
pub(super) struct NewMembership {
    /// `None` when the call says nothing about roles.
    pub(super) roles: Option<Vec<RoleName>>,
    pub(super) metadata: Option<Pairs>,
    pub(super) inviter_email: Option<String>,
}

/// How a call names a role.
pub(super) enum RoleName {
    Id(String),
    Name(String),
}

/// Whether somebody who is added is invited by mail or simply there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Invited,
    Direct,
}

/// What a create came to.
pub(super) enum Created {
    New(String),
    /// A second user with an address or external id that somebody has already.
    Duplicate(String),
    /// Nobody was made: the user who was there.
    Existing(String),
}

impl World {
    /// An empty environment with the two roles every environment has. Ids of a later start never meet those of
    /// an earlier one: like the real ones they grow with time.
    pub(super) fn new(now: Timestamp) -> Self {
        let mut world = Self {
            organizations: BTreeMap::new(),
            people: People::default(),
            roles: Vec::new(),
            sessions: BTreeMap::new(),
            mails: Mails::default(),
            created: 0,
            next_id: now.millis().saturating_mul(100_000),
        };
        for (name, display_name) in [("admin", "Admin"), ("member", "Member")] {
            let role = Role {
                id: world.id("role_"),
                name: name.into(),
                display_name: display_name.into(),
                description: String::new(),
                extends: None,
                permissions: Vec::new(),
                created: now,
            };
            world.roles.push(role);
        }
        world
    }

    /// The same, emptied; ids go on rising.
    pub(super) fn emptied(&self, now: Timestamp) -> Self {
        let fresh = Self::new(now);
        let next_id = fresh.next_id.max(self.next_id);
        Self { next_id, ..fresh }
    }

    /// A new id: the prefix and 18 digits.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}{:018}", self.next_id)
    }

    pub(super) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    pub(super) fn organization(&self, id: &str) -> Result<&Organization, Failure> {
        self.organizations.get(id).ok_or_else(|| Failure::not_found("organization"))
    }

    pub(super) fn organization_by_external_id(&self, external: &str) -> Result<&Organization, Failure> {
        let found = self.organizations.values().find(|org| org.external_id.as_deref() == Some(external));
        found.ok_or_else(|| Failure::not_found("organization"))
    }

    pub(super) fn user(&self, id: &str) -> Result<&User, Failure> {
        self.people.get(id).ok_or_else(|| Failure::not_found("user"))
    }

    /// A user with the first membership, or what the environment does instead.
    pub(super) fn create_user(
        &mut self,
        organization: &str,
        new: NewUser,
        entry: Entry,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Created, Failure> {
        if !self.organizations.contains_key(organization) {
            return Err(missing(settings.unknown_organization, "organization_id", "organization"));
        }
        let by_email = self.people.by_email(&new.email, settings.email_case);
        let by_external = new.external_id.as_deref().and_then(|id| self.people.by_external_id(id));
        let what = if by_email.is_some() { "email" } else { "external_id" };
        let existing = by_email.or(by_external).map(|user| user.id.clone());
        let roles = self.roles_for(organization, new.membership.roles.as_deref(), settings)?;
        match (existing.clone(), settings.on_duplicate) {
            (Some(id), OnDuplicate::Existing) => {
                if self.people.get(&id).is_some_and(|user| user.membership(organization).is_none()) {
                    self.join(&id, organization, roles, new.membership, entry, now)?;
                }
                return Ok(Created::Existing(id));
            }
            (Some(_), policy) => refuse_duplicate(policy, what)?,
            (None, _) => {}
        }
        let id = self.id("usr_");
        self.people.insert(User {
            id: id.clone(),
            email: new.email,
            // Only an invitation leaves the address unproven: the caller vouches for it otherwise.
            email_verified: entry == Entry::Direct,
            external_id: new.external_id,
            metadata: new.metadata,
            profile: new.profile,
            memberships: Vec::new(),
            created: now,
            updated: now,
            last_login: None,
            origin: "api",
        });
        self.created += 1;
        self.join(&id, organization, roles, new.membership, entry, now)?;
        Ok(if existing.is_some() { Created::Duplicate(id) } else { Created::New(id) })
    }

    pub(super) fn set_external_id(
        &mut self,
        user: &str,
        external: String,
        settings: &Settings,
    ) -> Result<(), Failure> {
        if self.people.by_external_id(&external).is_some_and(|other| other.id != user) {
            let policy = match settings.on_duplicate {
                // A change has no user to answer with in place of its own.
                OnDuplicate::Existing => OnDuplicate::Conflict,
                other => other,
            };
            refuse_duplicate(policy, "external_id")?;
        }
        self.people.set_external_id(user, external);
        Ok(())
    }

    pub(super) fn delete_user(&mut self, id: &str, now: Timestamp) -> Result<(), Failure> {
        self.people.remove(id).ok_or_else(|| Failure::not_found("user"))?;
        self.end_sessions(now, |session| session.user == id);
        Ok(())
    }

    /// An organization goes with its memberships, and users who have no other go too.
    pub(super) fn delete_organization(&mut self, id: &str, now: Timestamp) -> Result<(), Failure> {
        self.organizations.remove(id).ok_or_else(|| Failure::not_found("organization"))?;
        let mut homeless = Vec::new();
        for user in self.people.all_mut().filter(|user| user.membership(id).is_some()) {
            user.memberships.retain(|membership| membership.organization != id);
            if user.memberships.is_empty() {
                homeless.push(user.id.clone());
            }
        }
        self.end_sessions(now, |session| session.organization == id);
        homeless.iter().try_for_each(|user| self.delete_user(user, now))
    }

    /// Revokes the open sessions that `concerns`, and gives them.
    pub(super) fn end_sessions(
        &mut self,
        now: Timestamp,
        concerns: impl Fn(&Session) -> bool,
    ) -> Vec<Session> {
        let open = self.sessions.values_mut().filter(|session| session.end_at(now).is_none());
        let mut ended = Vec::new();
        for session in open.filter(|session| concerns(session)) {
            session.ended = Some((SessionEnd::Revoked, now));
            ended.push(session.clone());
        }
        ended
    }
}

fn missing(policy: Missing, field: &str, what: &str) -> Failure {
    match policy {
        Missing::NotFound => Failure::not_found(what),
        Missing::BadRequest => Failure::field(field, "does not exist"),
    }
}

fn refuse_duplicate(policy: OnDuplicate, what: &str) -> Result<(), Failure> {
    let message = format!("a user with this {what} exists already");
    match policy {
        OnDuplicate::SecondUser => Ok(()),
        OnDuplicate::BadRequest => Err(Failure::new(Code::InvalidArgument, message)),
        OnDuplicate::Internal => Err(Failure::new(Code::Internal, "internal error")),
        OnDuplicate::Conflict | OnDuplicate::Existing => Err(Failure::new(Code::AlreadyExists, message)),
    }
}
