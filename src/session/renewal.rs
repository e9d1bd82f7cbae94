//! When tokens are refreshed, and by whom: a claim with a lease in the session's own record.
//!
//! Pure, so that every store does the same with it: read, one of these functions, written back only if nobody else
//! wrote meanwhile. Whoever holds the claim asks the provider; everybody else goes on with the session as it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Session, SessionFacts};
use crate::clock::Timestamp;

/// Where a session's refresh stands. A session of an earlier version has none and is never refreshed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Renewal {
    /// From this moment on the next use refreshes; `None`: there is nothing to refresh with.
    pub(crate) due_at: Option<Timestamp>,
    /// Until when the one who claimed may be at it.
    pub(crate) claimed_until: Option<Timestamp>,
    /// Grows with each claim: what an overtaken holder brings counts for nothing.
    pub(crate) fence: u64,
    /// Tries in a row that brought nothing.
    pub(crate) failures: u32,
    /// The refresh token was sent and no answer was stored: where tokens rotate, it may be used up.
    pub(crate) is_unsure: bool,
}

/// How a claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// New tokens, sealed, and what the application is told from now on.
    Renewed { tokens: String, facts: SessionFacts, due_at: Timestamp },
    /// New tokens whose claims could not be judged: kept, since the old refresh token may be used up.
    TokensOnly { tokens: String, due_at: Timestamp },
    /// Nothing came; the session lives on and asks again. `is_unsure`: the token may have been used.
    Later { due_at: Timestamp, is_unsure: bool },
    /// The session is over.
    Ended,
}

impl Renewal {
    /// The first refresh comes at `due_at`.
    pub(crate) fn due(due_at: Option<Timestamp>) -> Self {
        Self { due_at, ..Self::default() }
    }

    /// Whether a use now should refresh: it is time, and nobody is at it.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|at| at <= now) && self.claimed_until.is_none_or(|until| until <= now)
    }
}

impl Session {
    /// Why a session is over at a moment; `None` while it lives.
    pub(crate) fn over(&self, now: Timestamp) -> Option<&'static str> {
        if now >= self.ends_at {
            return Some("absolute");
        }
        (now >= self.idle_ends_at).then_some("idle")
    }

    /// Claims the refresh; `false` when it is not due, somebody is at it, or the session is over. A claim that
    /// nobody settled leaves the doubt that its token was used.
    pub(crate) fn claim(&mut self, lease: Duration, now: Timestamp) -> bool {
        if !self.renewal.is_open(now) || self.over(now).is_some() {
            return false;
        }
        let renewal = &mut self.renewal;
        renewal.is_unsure |= renewal.claimed_until.is_some();
        renewal.claimed_until = Some(now.after(lease));
        renewal.fence += 1;
        true
    }

    /// Takes away a claim whose holder is gone: what they sent may have used the token up.
    pub(crate) fn disclaim(&mut self) {
        self.renewal.is_unsure |= self.renewal.claimed_until.take().is_some();
    }

    /// Ends the claim with this fence; `false` when another one followed it, and then nothing is changed. The record
    /// of [`Settled::Ended`] is for the store to delete.
    pub(crate) fn settle(&mut self, fence: u64, settled: &Settled) -> bool {
        if self.renewal.fence != fence || self.renewal.claimed_until.is_none() {
            return false;
        }
        let failures = self.renewal.failures.saturating_add(1);
        let renewal = match settled {
            Settled::Renewed { tokens, facts, due_at } => {
                self.tokens.clone_from(tokens);
                self.facts.clone_from(facts);
                Renewal { fence, ..Renewal::due(Some(*due_at)) }
            }
            Settled::TokensOnly { tokens, due_at } => {
                self.tokens.clone_from(tokens);
                Renewal { fence, failures, ..Renewal::due(Some(*due_at)) }
            }
            Settled::Later { due_at, is_unsure } => {
                let is_unsure = self.renewal.is_unsure || *is_unsure;
                Renewal { fence, failures, is_unsure, ..Renewal::due(Some(*due_at)) }
            }
            Settled::Ended => Renewal { fence, ..Renewal::default() },
        };
        self.renewal = renewal;
        true
    }
}
