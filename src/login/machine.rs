//! The migration machine (REL-01): pure, `(row, event) → (row, command)`.
//!
//! The driver stores the row, runs the command, and brings back what happened as the next event. Every path may be
//! cut at any point and begun again from [`Event::Begin`] with the same result: the final arbiter is Scalekit's
//! uniqueness of external id and e-mail, and nothing is created before it was looked up (REL-02, REL-03).

#[cfg(test)]
mod explore;
#[cfg(test)]
mod tests;

use super::{
    Alias, DirectoryUser, Ineligible, MembershipStatus, NewUser, OrganizationId, Row, RowState, SetAside,
    UserId,
};
use crate::{
    clock::Timestamp,
    config::OnExisting,
    identity::{Assertion, LegacyRecord, Proof, ProofKind, VerifiedEmail},
};
use std::time::Duration;

/// How long a clock of ours and one of Scalekit's may differ before a membership counts as older than our call.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A proven, eligible person; the claim is ours.
    Begin(Box<Begin>),
    ByExternalId(Option<DirectoryUser>),
    ByEmail(Option<DirectoryUser>),
    Created(DirectoryUser),
    /// 400 or 409: perhaps a duplicate.
    CreateRefused,
    /// Surely nothing was created.
    CreateNotDone,
    /// Sent, and no usable answer.
    CreateUnknown,
    /// The store came into doubt before the create was sent: nothing was sent.
    InDoubt,
    /// The external id was looked for all through the outcome budget.
    OutcomeNotFound,
    Linked(DirectoryUser),
    ReadBack(Option<DirectoryUser>),
    MembershipRemoved,
    /// A command other than create could not be done.
    Failed,
}

/// Everything the machine needs to know of a person before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) record: LegacyRecord,
    pub(crate) proof: Proof,
    pub(crate) email: VerifiedEmail,
    pub(crate) organization: OrganizationId,
    /// Whether another legacy record has this e-mail.
    pub(crate) has_twin: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    FindByExternalId,
    FindByEmail,
    Create(Box<NewUser>),
    /// Looks for the external id until it is found or the outcome budget has passed since the create was sent.
    AwaitOutcome,
    Link(UserId, Box<NewUser>),
    ReadBack(UserId),
    RemoveMembership(OrganizationId, UserId),
    Stop(Stop),
}

impl Command {
    /// The step's name in audit events and fault injection.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::FindByExternalId => "find_by_external_id",
            Self::FindByEmail => "find_by_email",
            Self::Create(_) => "create",
            Self::AwaitOutcome => "await_outcome",
            Self::Link(..) => "link",
            Self::ReadBack(_) => "read_back",
            Self::RemoveMembership(..) => "remove_membership",
            Self::Stop(_) => "stop",
        }
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stop {
    Done,
    Conflict(SetAside),
    Ineligible(Ineligible),
    /// Not finished: the next sign-in goes on from here.
    Later,
    /// Nobody has the person's id or e-mail, and nobody is created while the store is in doubt (truth 8).
    InDoubt,
}

/// Where a run stands beyond what the row remembers; lost in a crash, and not needed after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Looking,
    /// Create was refused: the look-ups now tell a duplicate from a refused field.
    AfterRefusal,
    /// Create was sent in this run and its answer is lost (REL-03): no second one in this run.
    AfterUnknown,
}

/// One run of the machine over one claimed row.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    row: Row,
    phase: Phase,
    rules: Rules,
}

/// Settings the machine depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) on_existing: OnExisting,
    /// For how long after a create was sent its outcome counts as open.
    pub(crate) outcome_budget: Duration,
    pub(crate) creating: Creating,
}

/// Whether a run may create a user. Every run may link and finish one who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Creating {
    Allowed,
    /// The store may have lost people (truth 8).
    InDoubt,
    /// Only what was begun is finished: a create was sent at some time, and nobody is here to prove anything. A user
    /// who has the e-mail alone is not what was begun, however old the proof is that it was this person's.
    LookUpOnly,
}

impl Machine {
    pub(crate) fn new(row: Row, rules: Rules) -> Self {
        Self { row, phase: Phase::Looking, rules }
    }

    pub(crate) fn row(&self) -> &Row {
        &self.row
    }

    /// Takes over the row as the ledger wrote it.
    pub(crate) fn stored(&mut self, row: Row) {
        self.row = row;
    }

    /// Takes one step.
    pub(crate) fn step(&mut self, event: Event, now: Timestamp) -> Command {
        self.row.updated_at = now;
        match event {
            Event::Begin(begin) => self.begin(*begin),
            Event::ByExternalId(Some(user)) | Event::Linked(user) => self.found_ours(&user),
            Event::ByExternalId(None) => self.not_found_by_external_id(now),
            Event::ByEmail(Some(user)) => self.found_by_email(&user),
            Event::ByEmail(None) => self.nobody_has_it(now),
            Event::Created(user) => self.created(&user),
            Event::CreateRefused => {
                self.row.create_sent_at = None;
                self.phase = Phase::AfterRefusal;
                Command::FindByExternalId
            }
            Event::CreateNotDone => {
                self.row.create_sent_at = None;
                self.stop(Stop::Later)
            }
            Event::InDoubt => {
                self.row.create_sent_at = None;
                self.stop(Stop::InDoubt)
            }
            Event::CreateUnknown => {
                self.phase = Phase::AfterUnknown;
                Command::AwaitOutcome
            }
            // An earlier run's create: its time has passed, and nobody has the id. Go on from the look-ups.
            Event::OutcomeNotFound if self.phase == Phase::Looking => Command::FindByEmail,
            Event::ReadBack(Some(user)) => self.read_back(&user),
            Event::MembershipRemoved => self.stop(Stop::Conflict(SetAside::CreatedForeign)),
            Event::OutcomeNotFound | Event::ReadBack(None) | Event::Failed => self.stop(Stop::Later),
        }
    }

    /// Ends the run for a person who may not be created.
    pub(crate) fn refuse(&mut self, why: Ineligible, now: Timestamp) -> Command {
        self.row.updated_at = now;
        self.stop(Stop::Ineligible(why))
    }

    fn begin(&mut self, begin: Begin) -> Command {
        // Neither is ever left automatically.
        match self.row.state {
            RowState::Done => return self.stop(Stop::Done),
            RowState::Tombstone => return self.stop(Stop::Later),
            _ => {}
        }
        self.row.state = RowState::Claimed;
        self.row.record = Some(begin.record);
        self.row.proof = Some(begin.proof);
        // Bound before anything is created: a twin at another source then meets the alias, not Scalekit.
        self.row.aliases.retain(|alias| !matches!(alias, Alias::Email(_)));
        if !begin.has_twin {
            self.row.add_alias(Alias::Email(begin.email.email().clone()));
        }
        self.row.email = Some(begin.email);
        self.row.organization = Some(begin.organization);
        if begin.has_twin {
            return self.stop(Stop::Conflict(SetAside::Twins));
        }
        Command::FindByExternalId
    }

    fn not_found_by_external_id(&mut self, now: Timestamp) -> Command {
        let open = self.row.create_sent_at.is_some_and(|sent| now.since(sent) < self.rules.outcome_budget);
        if open && self.phase == Phase::Looking { Command::AwaitOutcome } else { Command::FindByEmail }
    }

    fn found_by_email(&mut self, user: &DirectoryUser) -> Command {
        if user.external_id.as_ref() == Some(&self.row.external_id) {
            return self.found_ours(user);
        }
        if user.external_id.is_some() {
            return self.stop(Stop::Conflict(SetAside::ForeignUser));
        }
        if self.rules.creating == Creating::LookUpOnly {
            return self.stop(Stop::Later);
        }
        let allowed = self.rules.on_existing == OnExisting::LinkVerified;
        // Truth 4: the mailbox was checked on both sides.
        let there = user.email_verified && self.has_our_email(user);
        match self.new_user() {
            Some(new) if allowed && there && self.mailbox_was_checked_here() => {
                Command::Link(user.id.clone(), Box::new(new))
            }
            _ => self.stop(Stop::Conflict(SetAside::NotLinkable)),
        }
    }

    fn nobody_has_it(&mut self, now: Timestamp) -> Command {
        match (self.phase, self.new_user()) {
            (Phase::AfterRefusal, _) => self.stop(Stop::Conflict(SetAside::Refused)),
            (Phase::Looking, Some(new)) => match self.rules.creating {
                Creating::Allowed => {
                    self.row.create_sent_at = Some(now);
                    Command::Create(Box::new(new))
                }
                Creating::InDoubt => self.stop(Stop::InDoubt),
                Creating::LookUpOnly => self.stop(Stop::Later),
            },
            (Phase::AfterUnknown, _) | (Phase::Looking, None) => self.stop(Stop::Later),
        }
    }

    fn created(&mut self, user: &DirectoryUser) -> Command {
        if user.external_id.as_ref() == Some(&self.row.external_id) {
            return self.found_ours(user);
        }
        let organization = self.row.organization.clone();
        let sent = self.row.create_sent_at;
        let added_by_us = |m: &&super::Membership| {
            Some(&m.organization) == organization.as_ref()
                && m.since.zip(sent).is_none_or(|(since, sent)| since.after(CLOCK_TOLERANCE) >= sent)
        };
        match user.memberships.iter().find(added_by_us) {
            Some(membership) => Command::RemoveMembership(membership.organization.clone(), user.id.clone()),
            None => self.stop(Stop::Conflict(SetAside::CreatedForeign)),
        }
    }

    /// A user with our external id: ours, if the e-mail is the one we proved.
    fn found_ours(&mut self, user: &DirectoryUser) -> Command {
        let ours = user.external_id.as_ref() == Some(&self.row.external_id);
        if !ours || !self.has_our_email(user) {
            // The user they had before stays known as theirs: nobody who comes as that one is somebody new.
            let known = self.row.user.take().filter(|known| ours && *known == user.id);
            let stopped = self.stop(Stop::Conflict(SetAside::ExternalIdElsewhere));
            if let Some(known) = known {
                self.row.add_alias(Alias::User(known.clone()));
                self.row.user = Some(known);
            }
            return stopped;
        }
        self.row.state = RowState::Created;
        self.row.user = Some(user.id.clone());
        self.row.aliases.retain(|alias| !matches!(alias, Alias::User(_)));
        self.row.add_alias(Alias::User(user.id.clone()));
        Command::ReadBack(user.id.clone())
    }

    fn read_back(&mut self, user: &DirectoryUser) -> Command {
        let same = self.row.user.as_ref() == Some(&user.id);
        let ours = user.external_id.as_ref() == Some(&self.row.external_id);
        if !same || !ours || !self.has_our_email(user) {
            return self.stop(Stop::Conflict(SetAside::ExternalIdElsewhere));
        }
        let member = user.memberships.iter().any(|m| {
            Some(&m.organization) == self.row.organization.as_ref() && m.status == MembershipStatus::Active
        });
        if member {
            return self.stop(Stop::Done);
        }
        // Found with our id and outside the organisation: somebody made or moved them. Joining them is what
        // linking does, and it is repeatable.
        match (self.new_user(), self.phase) {
            (Some(new), Phase::Looking) => {
                self.phase = Phase::AfterRefusal;
                Command::Link(user.id.clone(), Box::new(new))
            }
            _ => self.stop(Stop::Conflict(SetAside::NotLinkable)),
        }
    }

    /// Whether a strong proof came with a mailbox that legacy verified, or Scalekit did in this very sign-in. An
    /// operator's word for a whole source is enough to create somebody, not to take over who is there: any address can be
    /// written into a record that nobody checks.
    fn mailbox_was_checked_here(&self) -> bool {
        let (Some(proof), Some(email)) = (&self.row.proof, &self.row.email) else { return false };
        let by_legacy = matches!(email.asserted(), Assertion::Legacy { .. });
        proof.may_link() && (by_legacy || proof.kind == ProofKind::Inbox)
    }

    fn has_our_email(&self, user: &DirectoryUser) -> bool {
        let ours = self.row.email.as_ref().map(VerifiedEmail::email);
        ours.is_some() && user.email.as_ref() == ours
    }

    fn new_user(&self) -> Option<NewUser> {
        let (record, email) = (self.row.record.as_ref()?, self.row.email.as_ref()?);
        // Truth 1: no proof, no user.
        self.row.proof.as_ref()?;
        Some(NewUser {
            organization: self.row.organization.clone()?,
            external_id: self.row.external_id.clone(),
            email: email.email().clone(),
            name: record.name.clone(),
            roles: record.roles.clone(),
            metadata: record.metadata.clone(),
        })
    }

    fn stop(&mut self, stop: Stop) -> Command {
        self.row.claim = None;
        match stop {
            Stop::Done => self.row.state = RowState::Done,
            Stop::Conflict(why) => {
                self.row.user = None;
                self.row.aliases.retain(|alias| !matches!(alias, Alias::User(_)));
                self.row.state = RowState::Conflict { why };
            }
            Stop::Ineligible(why) => self.row.state = RowState::Ineligible { why },
            Stop::Later | Stop::InDoubt => {}
        }
        Command::Stop(stop)
    }
}
