//! What came of a sign-in: facts for the edge to answer with. Only `pages` turns them into HTTP.

use std::time::Duration;

use super::{Counted, Ineligible, Rejection, Row, SetAside, StayReason, UserId};
use crate::{
    config::HandOff,
    identity::{CanonicalEmail, PersonKey, SourceName},
};

/// What came of a sign-in in the new lane.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The person is proven and exists in Scalekit: hand them over.
    HandOver(Box<HandOver>),
    /// The request goes on to the application, which decides.
    Forward(WhyForward),
    /// Only the application can judge this guess: forward it, then ask again with its answer.
    AskUpstream,
    /// One answer for all reasons; the reason is for the log.
    Rejected(Rejected),
    /// Could not ask: 503, never "wrong password".
    Closed(Closed),
}

/// A person on their way to Scalekit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) hand_off: HandOff,
    /// What Scalekit's page is filled in with.
    pub(crate) login_hint: Option<CanonicalEmail>,
    pub(crate) key: PersonKey,
    /// Whether this sign-in created or finished the person (for logs and metrics).
    pub(crate) migrated_now: bool,
    pub(crate) basis: Basis,
    /// Whether the person crossed before: then there is no way back to the application's own form.
    pub(crate) crossed: bool,
}

/// How sure it is that whoever is at the browser is the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// A typed name led to them, and anybody may have typed it: Scalekit has yet to prove them. Nothing of theirs is told
    /// or left in the browser.
    Name,
    /// The browser remembers them.
    Device,
    /// This sign-in proved them.
    Proof,
}

impl Basis {
    /// Whether the browser is theirs.
    pub(crate) const fn is_theirs(self) -> bool {
        matches!(self, Self::Device | Self::Proof)
    }
}

/// Why the application gets the request although the lane is new, or what was done beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhyForward {
    /// The lane is legacy.
    LaneLegacy,
    /// `shadow`: the person exists now, and nobody notices.
    Shadow,
    StayOnLegacy(StayReason),
    Ineligible(Ineligible),
    Conflict(SetAside),
    /// Scalekit or the claim could not be had in time: open to legacy, tried again at the next sign-in.
    Later,
    /// The person would have to be created, and the store is in doubt (truth 8).
    StoreInDoubt,
}

impl WhyForward {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::LaneLegacy => "lane_legacy",
            Self::Shadow => "shadow",
            Self::StayOnLegacy(_) => "stay_on_legacy",
            Self::Ineligible(_) => "ineligible",
            Self::Conflict(_) => "conflict",
            Self::Later => "later",
            Self::StoreInDoubt => "store_in_doubt",
        }
    }
}

/// A refused guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) why: Rejection,
    /// The store that judged it, where one was asked.
    pub(crate) by: Option<SourceName>,
}

impl Outcome {
    /// The outcome's class in logs and metrics.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::HandOver(_) => "hand_over",
            Self::Forward(why) => why.as_str(),
            Self::AskUpstream => "ask_upstream",
            Self::Rejected(_) => "rejected",
            Self::Closed(Closed::Legacy { .. }) => "legacy_closed",
            Self::Closed(Closed::Store) => "store_closed",
        }
    }
}

/// Which dependency could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Legacy { retry_after: Option<Duration>, counted: Counted },
    Store,
}

/// Who a Scalekit session belongs to, as the ledger knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) row: Row,
    pub(crate) user: UserId,
    pub(crate) email: Option<CanonicalEmail>,
}

/// Why a Scalekit sign-in opens no session here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Removed by the directory or an operator.
    Tombstone,
    /// Scalekit does not say that the mailbox was checked (SEC-28).
    EmailUnverified,
    /// A legacy person of this e-mail exists and may not be linked.
    NotLinkable,
    /// Nobody is found, and a source that may know them cannot tell: they may be a legacy person or somebody new.
    CannotTell,
    /// A legacy person came by their own choice, and the dial does not let them cross now.
    NotNow,
    /// The ledger, a legacy store or Scalekit could not be asked.
    TryAgain,
}

impl Refused {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::EmailUnverified => "email_unverified",
            Self::NotLinkable => "not_linkable",
            Self::CannotTell => "cannot_tell",
            Self::NotNow => "not_now",
            Self::TryAgain => "try_again",
        }
    }
}
