//! One ledger row: what is remembered of one person's move.

use serde::{Deserialize, Serialize};

use super::{Mark, OrganizationId, StayReason, UserId};
use crate::{
    clock::Timestamp,
    identity::{
        CanonicalEmail, ExternalId, LegacyRecord, LoginName, PersonKey, Proof, Unverified, VerifiedEmail,
    },
    rollout::{Bucket, Known},
};

/// A name that leads to a row.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Alias {
    /// A typed identifier in canonical form.
    Typed(String),
    /// A canonical e-mail that a source holds for the person.
    Email(CanonicalEmail),
    /// Scalekit's user id.
    User(UserId),
}

/// Where a person came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Legacy,
    /// Written at a callback for someone no legacy store knows.
    BornNew,
}

/// Where a person stands (design: *ledger states*).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum RowState {
    None,
    Claimed,
    Created,
    /// Exists in Scalekit, read back and checked. Nothing more.
    Done,
    Conflict {
        why: SetAside,
    },
    Ineligible {
        why: Ineligible,
    },
    Tombstone,
}

impl RowState {
    pub(crate) const fn as_str(&self) -> &'static str {
        self.stage().as_str()
    }
}

/// Why a person is in CONFLICT; an operator or the person's own data has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SetAside {
    /// Two legacy records share the canonical e-mail (SEC-34).
    Twins,
    /// The e-mail belongs to a Scalekit user with another external id.
    ForeignUser,
    /// The e-mail's Scalekit user may not be linked: unverified there, weak proof, or `on_existing: conflict`.
    NotLinkable,
    /// Creating answered with a user that is not ours.
    CreatedForeign,
    /// Our external id belongs to a user with another e-mail.
    ExternalIdElsewhere,
    /// Scalekit refused the user and nobody holds the e-mail or the id: a field it does not accept.
    Refused,
}

impl SetAside {
    /// The reason in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Twins => "twins",
            Self::ForeignUser => "foreign_user",
            Self::NotLinkable => "not_linkable",
            Self::CreatedForeign => "created_foreign",
            Self::ExternalIdElsewhere => "external_id_elsewhere",
            Self::Refused => "refused",
        }
    }
}

/// Why a person may not be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ineligible {
    NoEmail,
    EmailRefused,
    EmailUnverified,
    /// The source does not say, and nobody vouched.
    EmailVerificationUnknown,
    /// What was typed is an e-mail and not the record's (SEC-35).
    TypedEmailDiffers,
    Mfa,
    MfaUnknown,
    PasswordExpired,
    MustChangePassword,
    Pending,
    /// Several legacy records answer to the typed name.
    Ambiguous,
    AccountLocked,
    AccountDisabled,
    AccountStateUnknown,
    OrganizationUnknown,
    ExternalIdTooLong,
    /// They were created, and are not at the legacy side any more.
    AccountGone,
    /// They were created with another address than the legacy side has now.
    EmailChanged,
}

impl Ineligible {
    /// The reason in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoEmail => "no_email",
            Self::EmailRefused => "email_refused",
            Self::EmailUnverified => "email_unverified",
            Self::EmailVerificationUnknown => "email_verification_unknown",
            Self::TypedEmailDiffers => "typed_email_differs",
            Self::Mfa => "mfa",
            Self::MfaUnknown => "mfa_unknown",
            Self::PasswordExpired => "password_expired",
            Self::MustChangePassword => "must_change_password",
            Self::Pending => "pending",
            Self::Ambiguous => "ambiguous",
            Self::AccountLocked => "account_locked",
            Self::AccountDisabled => "account_disabled",
            Self::AccountStateUnknown => "account_state_unknown",
            Self::OrganizationUnknown => "organization_unknown",
            Self::ExternalIdTooLong => "external_id_too_long",
            Self::AccountGone => "account_gone",
            Self::EmailChanged => "email_changed",
        }
    }
}

impl From<Unverified> for Ineligible {
    fn from(why: Unverified) -> Self {
        match why {
            Unverified::Missing => Self::NoEmail,
            Unverified::Refused(_) => Self::EmailRefused,
            Unverified::SaysNo => Self::EmailUnverified,
            Unverified::DoesNotSay => Self::EmailVerificationUnknown,
        }
    }
}

impl From<StayReason> for Ineligible {
    fn from(why: StayReason) -> Self {
        match why {
            StayReason::PasswordExpired => Self::PasswordExpired,
            StayReason::MustChangePassword => Self::MustChangePassword,
            StayReason::Mfa => Self::Mfa,
            StayReason::Pending => Self::Pending,
            StayReason::Ambiguous => Self::Ambiguous,
        }
    }
}

/// A claim: who works on the row, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The process that holds it; a new process has a new name.
    pub(crate) holder: String,
    pub(crate) until: Timestamp,
}

/// One row. `version` and `fence` belong to the ledger; everything else is the machine's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) key: PersonKey,
    #[serde(flatten)]
    pub(crate) state: RowState,
    pub(crate) origin: Origin,
    /// Grows by one with each write; 0 for a row that was never written.
    pub(crate) version: u64,
    /// Grows by one with each claim.
    pub(crate) fence: u64,
    pub(crate) claim: Option<Claim>,
    /// Computed once from the first typed identifier; stored, it always wins.
    pub(crate) bucket: Bucket,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) external_id: ExternalId,
    /// The legacy record as last read.
    pub(crate) record: Option<LegacyRecord>,
    /// Stored before anything is created (truth 1).
    pub(crate) proof: Option<Proof>,
    pub(crate) email: Option<VerifiedEmail>,
    pub(crate) organization: Option<OrganizationId>,
    /// When a create was last about to be sent: from then on the user may exist.
    pub(crate) create_sent_at: Option<Timestamp>,
    pub(crate) user: Option<UserId>,
    pub(crate) crossed_at: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
}

impl Row {
    /// A row for a person of whom nothing is known yet.
    pub(crate) fn fresh(key: PersonKey, bucket: Bucket, external_id: ExternalId, now: Timestamp) -> Self {
        Self {
            key,
            state: RowState::None,
            origin: Origin::Legacy,
            version: 0,
            fence: 0,
            claim: None,
            bucket,
            aliases: Vec::new(),
            external_id,
            record: None,
            proof: None,
            email: None,
            organization: None,
            create_sent_at: None,
            user: None,
            crossed_at: None,
            updated_at: now,
        }
    }

    /// What the row is found by beside its names.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self.state {
            RowState::Claimed | RowState::Created => Some(Mark::Open),
            RowState::Tombstone => Some(Mark::Removed),
            RowState::None | RowState::Done | RowState::Conflict { .. } | RowState::Ineligible { .. } => None,
        }
    }

    /// What the lane depends on.
    pub(crate) fn known(&self) -> Known {
        match (&self.state, self.origin) {
            (RowState::Tombstone, _) => Known::Tombstone,
            (_, Origin::BornNew) => Known::BornNew,
            // Whoever crossed has no legacy door, whatever comes of linking them anew (REL-08).
            _ if self.crossed_at.is_some() => Known::Crossed,
            (RowState::Conflict { .. } | RowState::Ineligible { .. }, _) => Known::SetAside,
            (RowState::Done, _) => Known::Moved,
            _ => Known::Nothing,
        }
    }

    /// A name the person can be called by: the e-mail where there is one, else what they typed first.
    pub(crate) fn name(&self) -> Option<LoginName> {
        self.names().next()
    }

    /// Every name that leads to the person.
    pub(crate) fn names(&self) -> impl Iterator<Item = LoginName> {
        let email = self.email.as_ref().map(|email| email.email().as_str());
        let by_alias = |alias: &'_ Alias| match alias {
            Alias::Email(email) => LoginName::parse(email.as_str()),
            Alias::Typed(name) => LoginName::parse(name),
            Alias::User(_) => None,
        };
        email.and_then(LoginName::parse).into_iter().chain(self.aliases.iter().filter_map(by_alias))
    }

    /// Every name that is known of the person: those of their record, too, though nobody signed in by them yet and nobody
    /// may have checked them. What is to hold for the person holds for each.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = LoginName> {
        self.names().chain(self.record.iter().flat_map(names_in))
    }

    /// Adds an alias once.
    pub(crate) fn add_alias(&mut self, alias: Alias) {
        if !self.aliases.contains(&alias) {
            self.aliases.push(alias);
        }
    }
}
/// What the person may sign in with, by their record.
pub(super) fn names_in(record: &LegacyRecord) -> Vec<LoginName> {
    let texts = [record.email.address.as_deref(), Some(record.login.as_str())];
    texts.into_iter().flatten().filter_map(LoginName::parse).collect()
}
