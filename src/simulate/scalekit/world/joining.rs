//! How somebody gets into an organization and out again: memberships, invitations, roles.

use std::time::Duration;

use super::{Entry, NewMembership, RoleName, World, missing};
use crate::{
    clock::Timestamp,
    simulate::scalekit::{
        failure::{Code, Failure},
        mails::{Kind, Mail},
        random_text,
        records::{Invitation, Membership, Standing},
        settings::Settings,
    },
};

/// How long an invitation can be accepted.
const INVITATION_LIFE: Duration = Duration::from_hours(15 * 24);

impl World {
    /// Puts an existing user into an organization.
    pub(in crate::simulate::scalekit) fn add_membership(
        &mut self,
        user: &str,
        organization: &str,
        new: NewMembership,
        entry: Entry,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.organization(organization)?;
        if self.user(user)?.membership(organization).is_some() {
            return Err(Failure::new(Code::AlreadyExists, "the user is a member already"));
        }
        let roles = self.roles_for(organization, new.roles.as_deref(), settings)?;
        self.join(user, organization, roles, new, entry, now)
    }

    pub(super) fn join(
        &mut self,
        user: &str,
        organization: &str,
        roles: Vec<String>,
        new: NewMembership,
        entry: Entry,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let invitation = match entry {
            Entry::Direct => None,
            Entry::Invited => Some(Invitation {
                token: random_text()?,
                expires: now.after(INVITATION_LIFE),
                resent: None,
                resent_count: 0,
            }),
        };
        let membership = Membership {
            organization: organization.to_owned(),
            standing: if entry == Entry::Direct { Standing::Active } else { Standing::PendingInvite },
            roles,
            metadata: new.metadata.unwrap_or_default(),
            inviter_email: new.inviter_email,
            created: now,
            accepted: (entry == Entry::Direct).then_some(now),
            provisioning: if entry == Entry::Direct { "direct_provision" } else { "invitation" },
            invitation,
        };
        let person = self.people.get_mut(user).ok_or_else(|| Failure::not_found("user"))?;
        let invited = membership.invitation.as_ref().map(|invitation| invitation.token.clone());
        let to = person.email.clone();
        person.memberships.push(membership);
        person.updated = now;
        if let Some(token) = invited {
            self.mails.send(invitation_mail(to, &token, now));
        }
        Ok(())
    }

    /// Sends the mail of an open invitation once more.
    pub(in crate::simulate::scalekit) fn resend_invitation(
        &mut self,
        user: &str,
        organization: &str,
        now: Timestamp,
    ) -> Result<Membership, Failure> {
        let person = self.people.get_mut(user).ok_or_else(|| Failure::not_found("user"))?;
        let to = person.email.clone();
        let membership =
            person.membership_mut(organization).ok_or_else(|| Failure::not_found("membership"))?;
        let accepted = membership.standing != Standing::PendingInvite;
        let Some(invitation) = membership.invitation.as_mut().filter(|_| !accepted) else {
            return Err(Failure::new(Code::InvalidArgument, "the invitation is accepted already"));
        };
        invitation.resent = Some(now);
        invitation.resent_count += 1;
        invitation.expires = now.after(INVITATION_LIFE);
        let mail = invitation_mail(to, &invitation.token, now);
        let membership = membership.clone();
        self.mails.send(mail);
        Ok(membership)
    }

    /// The names of the wanted roles, or of the default role.
    pub(in crate::simulate::scalekit) fn roles_for(
        &self,
        organization: &str,
        wanted: Option<&[RoleName]>,
        settings: &Settings,
    ) -> Result<Vec<String>, Failure> {
        let wanted = wanted.unwrap_or_default();
        if wanted.is_empty() {
            let empty = || !self.people.all().any(|user| user.membership(organization).is_some());
            let admin = settings.first_user_is_admin && empty();
            return Ok(vec![if admin { "admin" } else { "member" }.to_owned()]);
        }
        let find = |name: &RoleName| {
            self.roles.iter().find(|role| match name {
                RoleName::Id(id) => role.id == *id,
                RoleName::Name(name) => role.name == *name,
            })
        };
        let found = wanted.iter().map(|name| find(name).map(|role| role.name.clone()));
        let unknown = || missing(settings.unknown_role, "membership.roles", "role");
        found.collect::<Option<Vec<String>>>().ok_or_else(unknown)
    }

    pub(in crate::simulate::scalekit) fn remove_membership(
        &mut self,
        user: &str,
        organization: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let person = self.people.get_mut(user).ok_or_else(|| Failure::not_found("user"))?;
        let before = person.memberships.len();
        person.memberships.retain(|membership| membership.organization != organization);
        if person.memberships.len() == before {
            return Err(Failure::not_found("membership"));
        }
        person.updated = now;
        self.end_sessions(now, |session| session.user == user && session.organization == organization);
        Ok(())
    }
}

fn invitation_mail(to: String, token: &str, now: Timestamp) -> Mail {
    Mail {
        at: now,
        to,
        kind: Kind::Invitation,
        code: None,
        link: format!("/hosted/invitation?token={token}"),
    }
}
