//! Why we believe that this is the person.

use serde::{Deserialize, Serialize};

use super::SourceName;
use crate::clock::Timestamp;

/// What was seen that proves a person is who they say (design: *proof*). No proof, no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProofKind {
    /// A legacy store verified the password.
    Password,
    /// The application accepted the forwarded sign-in and its own who-am-I route named the person.
    Upstream,
    /// The application accepted the forwarded sign-in; nobody named the person. Enough for `shadow` and `hosted`,
    /// never for `bridge`, a kept hash or linking.
    UpstreamWeak,
    /// Who-am-I confirmed a live session.
    LegacySession,
    /// Scalekit verified the mailbox.
    Inbox,
}

/// A proof as it is kept in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) kind: ProofKind,
    pub(crate) source: SourceName,
    pub(crate) at: Timestamp,
}

impl Proof {
    /// Whether the proof is strong enough to adopt an existing Scalekit user.
    pub(crate) fn may_link(&self) -> bool {
        !matches!(self.kind, ProofKind::UpstreamWeak)
    }
}
