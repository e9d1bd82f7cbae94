//! What the heart needs from the outside, as traits that the edges implement.
//!
//! A wrong password is an *answer*; a time-out is an *error*. No error may ever become "rejected" or "accepted".

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Alias, Counts, Indexed, People, PeopleFilter, Row};
use crate::{
    clock::{Deadline, Timestamp},
    identity::{
        CanonicalEmail, ExternalId, LegacyId, LegacyRecord, LoginName, Password, PersonKey, PersonName,
        SourceName,
    },
};

/// What a caller can do about an error; retry, breaker and status code follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// May work later: unreachable, slow, 5xx, 429, garbage.
    Transient { retry_after: Option<Duration> },
    /// Will not work for this request, however often it is tried.
    Permanent,
    /// An operator has to change something: credentials, permissions, addresses.
    Misconfigured,
}

/// The circumstances of an attempt, for stores that use them.
#[derive(Clone, Debug)]
pub(crate) struct ClientFacts {
    pub(crate) address: IpAddr,
    pub(crate) user_agent: Option<String>,
}

/// One guess: a name and a password, as typed.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) name: LoginName,
    pub(crate) password: Arc<Password>,
    pub(crate) client: ClientFacts,
}

/// What a legacy store says of one guess.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The password is right; this is the record *the store returned for these credentials* (SEC-35).
    Verified(Box<LegacyRecord>),
    Rejected(Rejection),
    /// The password is right or cannot be judged, and the application's own flow has to go on from here.
    StayOnLegacy(StayReason),
}

/// Why a guess was refused. For logs and the chain only: the browser gets one answer for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    WrongPassword,
    /// Nobody of that name here; the only rejection after which the next store is asked.
    Unknown,
    Locked,
    Disabled,
    /// No password is set, or its hash cannot be read (which is also reported to the operator).
    NoUsablePassword,
}

impl Rejection {
    /// The class in logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong_password",
            Self::Unknown => "unknown",
            Self::Locked => "locked",
            Self::Disabled => "disabled",
            Self::NoUsablePassword => "no_usable_password",
        }
    }
}

/// Why the application's own flow has to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StayReason {
    PasswordExpired,
    MustChangePassword,
    Mfa,
    /// Registration or verification is unfinished at the legacy side.
    Pending,
    /// Several records answer to the name: only the application knows whom it means (SEC-34). Nothing was tried.
    Ambiguous,
}

impl StayReason {
    /// The reason in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordExpired => "password_expired",
            Self::MustChangePassword => "must_change_password",
            Self::Mfa => "mfa",
            Self::Pending => "pending",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Whether somebody in a store answers to a name, asked before anything is tried there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Nobody,
    /// One or several.
    Somebody,
    /// The store has no way to look a name up.
    CannotTell,
}

/// Whose records have one canonical e-mail (SEC-34).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holders<Id = LegacyId> {
    Nobody,
    One(Id),
    /// Twins: which of them is meant cannot be known.
    Several,
    /// The store cannot be searched by e-mail; the ledger's alias is the only guard.
    CannotTell,
}

impl<Id> Holders<Id> {
    /// The same answer with another kind of id.
    pub(crate) fn map<Other>(self, id: impl FnOnce(Id) -> Other) -> Holders<Other> {
        match self {
            Self::Nobody => Holders::Nobody,
            Self::One(one) => Holders::One(id(one)),
            Self::Several => Holders::Several,
            Self::CannotTell => Holders::CannotTell,
        }
    }

    /// The answer of two stores together. One person in each makes twins, and "nobody" needs both to be sure.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Several, _) | (_, Self::Several) | (Self::One(_), Self::One(_)) => Self::Several,
            (Self::One(one), _) | (_, Self::One(one)) => Self::One(one),
            (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
            (Self::Nobody, Self::Nobody) => Self::Nobody,
        }
    }
}

/// A legacy store could not be asked, or its answer cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("legacy store {source_name}: {problem}")]
pub(crate) struct LegacyError {
    pub(crate) source_name: SourceName,
    pub(crate) class: ErrorClass,
    /// What happened, without any secret or personal data: `answered 503`, `timed out after 5 s`.
    pub(crate) problem: String,
    pub(crate) counted: Counted,
    #[source]
    pub(crate) cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whether the legacy side may have counted a guess as a failure although no verdict came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Surely not: no guess was sent, what came back says that none was judged, or it was right and what follows failed.
    No,
    /// The answer was lost, or cannot be told from a verdict.
    Perhaps,
    /// The guess was judged already, by a store that was asked before, and was not right there.
    Yes,
}

/// A legacy credential store.
#[async_trait]
pub(crate) trait LegacyStore: Send + Sync {
    /// The configured name.
    fn source(&self) -> &SourceName;

    /// Whether this store is asked about the name at all (per-domain choice).
    fn serves(&self, name: &LoginName) -> bool;

    /// Whether this store can judge a password itself; `false` for `upstream`, where the application does.
    fn verifies_passwords(&self) -> bool;

    /// Judges one guess. Never retried once sent (SEC-42). Unknown names cost the same work as known ones.
    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError>;

    /// Whether somebody here answers to a login name, without a guess. A name that `verify` would judge is somebody's.
    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError>;

    /// The record of a login name, without a guess: exact match only, `None` when there is none or several.
    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError>;

    /// The record of an immutable id, read again.
    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError>;

    /// Whether this store holds records at all; `false` for `upstream`, whose people only who-am-I can name.
    fn holds_records(&self) -> bool;

    /// Who holds this canonical e-mail, whatever people sign in with.
    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError>;
}

/// Scalekit's id of a user, `usr_…`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UserId(pub(crate) String);

/// Scalekit's id of an organisation, `org_…`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OrganizationId(pub(crate) String);

/// A user as Scalekit describes them, reduced to what is decided on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DirectoryUser {
    pub(crate) id: UserId,
    pub(crate) external_id: Option<ExternalId>,
    /// `None` when the address there has no canonical form.
    pub(crate) email: Option<CanonicalEmail>,
    pub(crate) email_verified: bool,
    pub(crate) memberships: Vec<Membership>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Membership {
    pub(crate) organization: OrganizationId,
    pub(crate) status: MembershipStatus,
    /// When it began, by Scalekit's clock.
    pub(crate) since: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MembershipStatus {
    Active,
    Inactive,
    PendingInvite,
    InviteExpired,
    Unknown,
}

/// A user to create: active at once, e-mail marked verified, no invitation mail. Only ever built from a
/// [`crate::identity::VerifiedEmail`] by the machine.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NewUser {
    pub(crate) organization: OrganizationId,
    pub(crate) external_id: ExternalId,
    pub(crate) email: CanonicalEmail,
    pub(crate) name: PersonName,
    pub(crate) roles: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Personal data stays out of logs: `Debug` names the organisation only.
impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser").field("organization", &self.organization).finish_non_exhaustive()
    }
}

/// Scalekit could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
#[error("scalekit: {operation}: {problem}")]
pub(crate) struct DirectoryError {
    /// A fixed name: `create_user`, `find_by_external_id`, …
    pub(crate) operation: &'static str,
    pub(crate) class: ErrorClass,
    /// Without any secret or personal data.
    pub(crate) problem: String,
    #[source]
    pub(crate) cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// How a create can fail; what is allowed next depends on nothing else (REL-03, REL-04).
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    /// 400 or 409: perhaps a duplicate, perhaps a refused field. Look up before deciding.
    #[error("create refused: {0}")]
    Refused(DirectoryError),
    /// Nothing was sent, or Scalekit said that nothing was done (401, 403, 404, 429, connect failure, open breaker).
    #[error("create not done: {0}")]
    NotDone(DirectoryError),
    /// Sent, and no usable answer came: time-out, reset, 5xx, garbage. The user may exist.
    #[error("create outcome unknown: {0}")]
    Unknown(DirectoryError),
}

/// The target directory: Scalekit's users and organisations.
#[async_trait]
pub(crate) trait Directory: Send + Sync {
    /// The user with this external id.
    async fn find_by_external_id(
        &self,
        id: &ExternalId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError>;

    /// The user whose e-mail equals this one exactly, after canonicalising.
    async fn find_by_email(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError>;

    /// The user with this id.
    async fn read_user(
        &self,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError>;

    /// Creates a user and their membership, without an invitation; sent at most once.
    async fn create_user(&self, user: &NewUser, deadline: Deadline) -> Result<DirectoryUser, CreateError>;

    /// Gives an existing user our external id and the membership. Repeatable.
    async fn link_user(
        &self,
        id: &UserId,
        user: &NewUser,
        deadline: Deadline,
    ) -> Result<DirectoryUser, DirectoryError>;

    /// Whether somebody has an external id that `is_ours`, as far as a limited look at the list of users tells.
    async fn anybody_named(
        &self,
        is_ours: &(dyn for<'id> Fn(&'id ExternalId) -> bool + Send + Sync),
        deadline: Deadline,
    ) -> Result<Presence, DirectoryError>;

    /// Removes a membership; one that is not there is a success.
    async fn remove_membership(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<(), DirectoryError>;

    /// The organisation with this external id (`None`: the default one), created where the configuration says so;
    /// `None` when it is unknown and may not be created.
    async fn organization(
        &self,
        external_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, DirectoryError>;
}

/// The ledger could not be read or written. Its outcome is unknown: read again before acting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("the ledger is not available: {0}")]
    Unavailable(String, #[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Somebody else wrote the row, or our claim has been overtaken (REL-06).
    #[error("the row was written by somebody else")]
    Overtaken,
    /// An alias of the row leads to another person already.
    #[error("another row holds one of the aliases")]
    AliasTaken,
    /// This person's row is there and says nothing: it may be a removed person's, so it is not taken for none. Whoever
    /// is busy with many goes on to the next one.
    #[error("a person's row cannot be read")]
    Unreadable(PersonKey),
}

/// What a claim attempt answers.
#[derive(Clone, Debug)]
pub(crate) enum ClaimAnswer {
    /// Ours until the lease ends; the row as it stands, with the claim in it.
    Granted(Box<Row>),
    /// Somebody else works on it; the row as it stands.
    Held(Box<Row>),
}

/// The ledger: one row per person, aliases that lead to it. Every write is atomic and durable when it returns.
#[async_trait]
pub(crate) trait Ledger: Send + Sync {
    async fn row(&self, key: &PersonKey) -> Result<Option<Row>, LedgerError>;

    /// The row an alias leads to.
    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError>;

    /// Claims the row of `fresh.key`, writing `fresh` first if there is none; the fencing number grows by one.
    async fn claim(&self, fresh: &Row, lease: Duration, now: Timestamp) -> Result<ClaimAnswer, LedgerError>;

    /// Replaces the row and makes its aliases exactly those named in it, all or nothing. Refused with `Overtaken` unless the stored version
    /// is `row.version` and the stored fencing number is `row.fence`; the version then grows by one and the row as
    /// written is returned. Refused with `AliasTaken` when an alias leads elsewhere.
    async fn write(&self, row: &Row) -> Result<Row, LedgerError>;

    /// Puts a row in the place of one that cannot be read, which is claimed by nobody then; the names that led there lead
    /// to it as well. Refused with `Overtaken` where the stored row can be read, or there is none.
    async fn write_over(&self, row: &Row) -> Result<Row, LedgerError>;

    /// Whether the ledger has any row.
    async fn is_empty(&self) -> Result<bool, LedgerError>;

    /// People in the order of their keys, from the first one after `after`.
    async fn list(
        &self,
        filter: &PeopleFilter,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<People, LedgerError>;

    /// How many people there are, without going through them.
    async fn counts(&self) -> Result<Counts, LedgerError>;

    /// Takes rows that an earlier version wrote into lists and counts, where that has not happened.
    async fn index(&self) -> Result<Indexed, LedgerError>;

    /// How many people have a mark, without going through them.
    async fn how_many(&self, mark: Mark) -> Result<u64, LedgerError>;

    /// The people with a mark, in the order of their keys, from the first one after `after`.
    async fn marked(
        &self,
        mark: Mark,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError>;

    /// People who were removed, whoever was removed last first: at most `limit`, without the first `skip`.
    async fn last_removed(&self, skip: usize, limit: usize) -> Result<Vec<PersonKey>, LedgerError>;
}

/// Rows that are found without going through all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A migration that was begun and is not finished: CLAIMED or CREATED.
    Open,
    /// TOMBSTONE.
    Removed,
}

impl Mark {
    /// Every mark there is.
    pub(crate) const ALL: [Self; 2] = [Self::Open, Self::Removed];
}

/// Where a migration stands, told as it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// What an operator may have to know of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// They cross, and the legacy side could not be asked whether it would still let them in; with the reason's class.
    CrossesUnasked(&'static str),
    /// They came back from Scalekit as another user than the one they have.
    CameAsAnother,
}

/// Told of every step of a migration, for audit events, metrics and fault injection. Must not fail or block.
pub(crate) trait Witness: Send + Sync {
    /// A named step is about to run or has run; `row` is the row as it stands in memory.
    fn step(&self, moment: Moment, step: &'static str, row: &Row);

    /// The row went from one state to another and that is stored.
    fn moved(&self, before: &super::RowState, row: &Row);

    /// Something else about a person that should be on record.
    fn notice(&self, row: &Row, notice: Notice);

    /// A dependency failed in the course of a migration; what follows is decided by the machine.
    fn failed(&self, step: &'static str, error: &(dyn std::error::Error + 'static), row: &Row);

    /// The store came into doubt, or is believed again (`None`).
    fn doubted(&self, doubt: Option<super::Doubt>);

    /// So many tombstones that the store had lost were written back.
    fn removed_again(&self, people: usize);

    /// A person's row cannot be read, and was passed over.
    fn unreadable(&self, key: &PersonKey);

    /// A dependency could not be asked where no row is at stake yet.
    fn unavailable(&self, step: &'static str, error: &(dyn std::error::Error + 'static));
}
