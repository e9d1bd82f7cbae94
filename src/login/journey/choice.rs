//! Whoever comes to Scalekit by their own choice, and not by a hand-over of ours: what the dial says to that.

use crate::{
    identity::{CanonicalEmail, LegacyRecord, LoginName, PersonKey},
    login::{Origin, Row, RowState, Settings, row::names_in},
    rollout::{self, BasisPoints, Facts, Known, Lane, Reason, RollbackMode},
};

/// A legacy person whose mailbox Scalekit checked, as far as they are known here.
pub(super) struct AtTheDoor<'a> {
    pub(super) key: &'a PersonKey,
    pub(super) row: Option<&'a Row>,
    /// As just read.
    pub(super) record: Option<&'a LegacyRecord>,
    pub(super) email: Option<&'a CanonicalEmail>,
}

impl AtTheDoor<'_> {
    /// Whether a session may open for them. Whoever crossed is through already, and a sign-in that a hand-over of ours
    /// began ends in the mode it began in (REL-09).
    pub(super) fn may_enter(&self, settings: &Settings, begun_for: Option<&PersonKey>) -> bool {
        let is_through =
            self.row.is_some_and(|row| row.origin == Origin::BornNew || row.crossed_at.is_some());
        is_through || begun_for == Some(self.key) || self.may_choose(settings)
    }

    /// A rule about any of their names decides; else they may, whatever the percentages: but not while the dial is
    /// paused or everybody was sent back, and nobody is created for it where nobody is created at all.
    fn may_choose(&self, settings: &Settings) -> bool {
        let dial = &settings.dial;
        let names = self.names();
        let Some(first) = names.first() else { return false };
        let is_there = self.row.is_some_and(|row| row.state == RowState::Done);
        let record = self.record.or_else(|| self.row?.record.as_ref());
        let facts = Facts {
            // Whoever was set aside is judged anew.
            known: if is_there { Known::Moved } else { Known::Nothing },
            forced: None,
            names: &names,
            organization: record.and_then(|record| record.organization.as_deref()),
            bucket: self.row.map_or_else(|| settings.salt.bucket(first), |row| row.bucket),
        };
        let decision = rollout::weigh(dial, &facts).decision;
        let is_open =
            !dial.paused && dial.rollback == RollbackMode::Keep && decision.reason != Reason::DenyRule;
        decision.lane == Lane::New || is_open && (is_there || dial.migrate() > BasisPoints::NONE)
    }

    /// Every name that is known of them.
    fn names(&self) -> Vec<LoginName> {
        let email = self.email.and_then(|email| LoginName::parse(email.as_str()));
        let recorded = self.record.into_iter().flat_map(names_in);
        self.row.into_iter().flat_map(Row::all_names).chain(email).chain(recorded).collect()
    }
}
