//! Turning the dial for all replicas, and what became of turns whose answer was lost.

use std::time::Duration;

use tracing::warn;

use super::{Dialing, Stands};
use crate::{
    identity::Subject,
    login::{FlagsError, Replaced},
    rollout::{Change, ChangeRefused, Dial, DialSource, FlagState},
    telemetry::{Named, Turned},
};

/// A turn that the store does not have after this time will not come any more: nothing of ours lives as long.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// How many turns of unknown outcome are looked after at most; the oldest stay unknown.
const MOST_UNSETTLED: usize = 32;

/// Who turns the dial, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Turn<'a> {
    /// The version that the change was made from (REL-09).
    pub(crate) version: u64,
    pub(crate) over: Over,
    /// The name of the caller's token.
    pub(crate) by: &'a str,
    pub(crate) reason: Option<String>,
    /// The person whom the change is about, where it is about one.
    pub(crate) about: Option<Subject>,
}

/// What a turn may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// A record that was understood, so that nothing is lost that nobody has seen.
    Readable,
    /// Also one that cannot be: somebody said that they want that.
    Unreadable,
}

/// A turn that was not made, unless it says that nobody knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnRefused {
    #[error("the configuration file alone says where the dial stands (rollout.source: file)")]
    FileRules,
    #[error("feature flags alone say where the dial stands (rollout.source: flagd)")]
    FlagsRule,
    /// Somebody else was faster; how it stands now.
    #[error("the dial was turned since that version")]
    Stale(Box<Stands>),
    /// The store's record cannot be understood, and nobody said that it may be lost; how it stands now.
    #[error("the store's record of the dial cannot be read")]
    Unreadable(Box<Stands>),
    #[error(transparent)]
    Change(#[from] ChangeRefused),
    #[error("the change was not stored: {0}")]
    NotAsked(#[source] FlagsError),
    /// Whether the change was stored is not known.
    #[error("the change may have been stored: {0}")]
    Unknown(#[source] FlagsError),
}

/// A turn whose answer was lost.
pub(super) struct Unsettled {
    record: FlagState,
    old: Dial,
    new: Dial,
    named: Option<Named>,
    /// By the monotonic clock.
    since: Duration,
}

impl Dialing {
    /// Turns the dial, for all replicas. Told to the audit log once, here; or as unknown, and again when it is known.
    pub(crate) async fn turn(&self, change: Change, turn: Turn<'_>) -> Result<Stands, TurnRefused> {
        let source = self.known().standing.source;
        match source {
            DialSource::Store => {}
            DialSource::File => return Err(TurnRefused::FileRules),
            DialSource::Flagd => return Err(TurnRefused::FlagsRule),
        }
        let damaged = match self.follow().await {
            Ok(()) => None,
            Err(FlagsError::Unreadable(damaged)) => Some(damaged),
            Err(error) => return Err(TurnRefused::NotAsked(error)),
        };
        let standing = self.known().standing.clone();
        let version = damaged.as_ref().map_or(standing.version(), |damaged| damaged.version);
        if damaged.is_some() && turn.over == Over::Readable {
            return Err(TurnRefused::Unreadable(Box::new(self.stands())));
        }
        if version != turn.version {
            return Err(TurnRefused::Stale(Box::new(self.stands())));
        }
        let next = standing.after(change.clone(), version, turn.by, turn.reason, self.clock.now())?;
        let (old, new) = (standing.dial(), next.dial(&standing.file.rules));
        let lane_in = |record: &FlagState| record.lane_of(&change.names());
        let named = turn.about.map(|subject| Named {
            subject,
            old: standing.record.as_ref().and_then(lane_in),
            new: lane_in(&next),
        });
        let replaced = match &damaged {
            Some(damaged) => self.flags.overwrite_flags(damaged, &next).await,
            None => self.flags.replace_flags(version, &next).await,
        };
        match replaced {
            Ok(Replaced::Done) => {}
            // A driver that sent it twice was told of the second time only.
            Ok(Replaced::Stale) => match self.follow().await {
                Ok(()) if self.known().standing.record.as_ref() == Some(&next) => {}
                Ok(()) => return Err(TurnRefused::Stale(Box::new(self.stands()))),
                Err(error) => return Err(self.unsettled(next, (old, new), named, error)),
            },
            Err(error) => return Err(self.unsettled(next, (old, new), named, error)),
        }
        if let Some(damaged) = &damaged {
            warn!(
                rollout.who = turn.by,
                rollout.version = next.version,
                rollout.version.stored = damaged.version,
                "the store's flag state {}; an operator had it written over",
                damaged.why
            );
            self.saw(true, None, None);
        }
        self.audit.rollout_turned(turn.by, &old, &new, named.as_ref(), Turned::Made);
        self.take(next, "turned here");
        Ok(self.stands())
    }

    /// A turn that may stand or not: on record as that, and looked after until it is known.
    fn unsettled(
        &self,
        record: FlagState,
        (old, new): (Dial, Dial),
        named: Option<Named>,
        error: FlagsError,
    ) -> TurnRefused {
        self.audit.rollout_turned(&record.changed_by, &old, &new, named.as_ref(), Turned::Unknown);
        let mut known = self.known();
        if known.unsettled.len() >= MOST_UNSETTLED {
            known.unsettled.remove(0);
        }
        known.unsettled.push(Unsettled { record, old, new, named, since: self.clock.monotonic() });
        TurnRefused::Unknown(error)
    }

    /// Tells what became of turns whose answer was lost, as far as the store's record says it. Which of two was first
    /// it does not say where a third followed: that one stays unknown.
    pub(super) fn settle(&self, stored: Option<&FlagState>) {
        let now = self.clock.monotonic();
        self.known().unsettled.retain(|turn| {
            let (ours, version) = (turn.record.version, stored.map_or(0, |stored| stored.version));
            let turned = if stored == Some(&turn.record) {
                Some(Turned::Confirmed)
            } else if version == ours || (version < ours && now >= turn.since + LOST_AFTER) {
                Some(Turned::NotMade)
            } else {
                None
            };
            if let Some(turned) = turned {
                let (who, named) = (&turn.record.changed_by, turn.named.as_ref());
                self.audit.rollout_turned(who, &turn.old, &turn.new, named, turned);
            }
            turned.is_none() && version < ours
        });
    }
}
