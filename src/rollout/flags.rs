//! Flag state: how far the dial was turned while Crossfade runs, as one record for all replicas.

mod flagged;

#[cfg(feature = "openfeature")]
pub(crate) use flagged::DialFlag;
pub(crate) use flagged::Flagged;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BasisPoints, Dial, Lane, RollbackMode, RuleSubject, Rules};
use crate::clock::Timestamp;

/// How many people a record may name: each sign-in looks through them, and the record is read twice a second.
const PEOPLE_MAX: usize = 1_000;

/// What was set last, and by whom. There is none before the first change: until then the file's values count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlagState {
    /// How it is to be understood; the records of the first releases do not say it.
    #[serde(default = "FlagState::first_format")]
    pub(crate) format: u32,
    /// Grows by one with each change; a change names the version that it was made from (REL-09).
    pub(crate) version: u64,
    pub(crate) cutover: BasisPoints,
    pub(crate) migrate: BasisPoints,
    pub(crate) rollback: RollbackMode,
    pub(crate) paused: bool,
    /// By canonical name; several entries may be one person's, and then a hold comes first.
    pub(crate) people: Vec<NamedPerson>,
    pub(crate) changed_at: Timestamp,
    /// The name of the token that made the change.
    pub(crate) changed_by: String,
    pub(crate) reason: Option<String>,
    /// What a newer Crossfade keeps here beside, kept through our changes as it is.
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

/// A person whom an operator pinned to the new lane or held in legacy; counts as a person rule of the file does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedPerson {
    /// A canonical name of theirs; it counts for all of them.
    pub(crate) person: String,
    pub(crate) lane: Lane,
}

/// One turn of the dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Turns the percentages. `None` leaves things as they are; after going back to legacy whoever goes forward has to
    /// say what becomes of those who crossed.
    Set {
        cutover: BasisPoints,
        migrate: Option<BasisPoints>,
        rollback: Option<RollbackMode>,
    },
    /// Nobody crosses or is created for now; whoever crossed stays.
    Pause,
    Resume,
    /// Both percentages to 0, and what becomes of those who crossed (REL-10).
    Rollback(RollbackMode),
    /// Pins one person to the new lane or holds them in legacy, by one of their canonical names; what was said of the
    /// others counts no more.
    Name {
        person: NamedPerson,
        others: Vec<String>,
    },
    /// Neither pinned nor held any more, by any of these names.
    Unname {
        names: Vec<String>,
    },
}

impl Change {
    /// The person whom it is about, by any of these names; nobody where it is about all.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Name { person, others } => {
                others.iter().chain([&person.person]).map(String::as_str).collect()
            }
            Self::Unname { names } => names.iter().map(String::as_str).collect(),
            Self::Set { .. } | Self::Pause | Self::Resume | Self::Rollback(_) => Vec::new(),
        }
    }
}

/// A change that is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeRefused {
    #[error("the record names {PEOPLE_MAX} people already")]
    TooManyPeople,
    #[error("the dial went back to legacy, and going forward has to say what becomes of those who crossed")]
    WentBack,
}

impl FlagState {
    /// The newest format that is understood here. It grows only when a field changes its meaning, or when one comes
    /// that an older Crossfade must not leave as it is while it changes the others; any other field is just added.
    pub(crate) const FORMAT: u32 = 1;

    const fn first_format() -> u32 {
        1
    }

    /// What a first change starts from: the file's values, as version 0.
    fn of_file(file: &Dial) -> Self {
        Self {
            format: Self::FORMAT,
            version: 0,
            cutover: file.cutover,
            migrate: file.migrate,
            rollback: file.rollback,
            paused: false,
            people: Vec::new(),
            changed_at: Timestamp::default(),
            changed_by: String::new(),
            reason: None,
            others: Map::new(),
        }
    }

    /// The dial that this record and the file's rules make. A hold is one more deny rule and a pin one more allow
    /// rule, so a deny rule of the file wins over a pin, and a hold over an allow rule of the file.
    pub(crate) fn dial(&self, rules: &Rules) -> Dial {
        let named = |lane| {
            let people = self.people.iter().filter(move |named| named.lane == lane);
            people.map(|named| RuleSubject::Person(named.person.clone()))
        };
        let with = |rules: &[RuleSubject], lane| rules.iter().cloned().chain(named(lane)).collect();
        let rules = Rules { deny: with(&rules.deny, Lane::Legacy), allow: with(&rules.allow, Lane::New) };
        Dial { paused: self.paused, ..Dial::new(self.cutover, self.migrate, self.rollback, rules) }
    }

    /// Whether the record says what the file's dial says, of what a file can say: pauses, pins and holds are only here.
    fn says_the_same(&self, file: &Dial) -> bool {
        let dial = self.dial(&file.rules);
        (dial.cutover, dial.migrate(), dial.rollback) == (file.cutover, file.migrate(), file.rollback)
    }

    /// Where an operator put the person who has these names: a hold comes before a pin.
    pub(crate) fn lane_of(&self, names: &[&str]) -> Option<Lane> {
        let is_in = |lane| {
            self.people.iter().any(|known| known.lane == lane && names.contains(&known.person.as_str()))
        };
        [Lane::Legacy, Lane::New].into_iter().find(|lane| is_in(*lane))
    }

    fn change(&mut self, change: Change) -> Result<(), ChangeRefused> {
        let names: Vec<String> = change.names().into_iter().map(str::to_owned).collect();
        self.people.retain(|known| !names.contains(&known.person));
        match change {
            Change::Set { cutover, migrate, rollback } => {
                let goes_forward = cutover.max(migrate.unwrap_or_default()) > BasisPoints::NONE;
                if goes_forward && rollback.is_none() && self.rollback == RollbackMode::Legacy {
                    return Err(ChangeRefused::WentBack);
                }
                self.cutover = cutover;
                self.migrate = migrate.unwrap_or(self.migrate);
                self.rollback = rollback.unwrap_or(self.rollback);
            }
            Change::Pause => self.paused = true,
            Change::Resume => self.paused = false,
            Change::Rollback(mode) => {
                (self.cutover, self.migrate) = (BasisPoints::NONE, BasisPoints::NONE);
                self.rollback = mode;
            }
            Change::Name { person, .. } => {
                if self.people.len() >= PEOPLE_MAX {
                    return Err(ChangeRefused::TooManyPeople);
                }
                self.people.push(person);
            }
            Change::Unname { .. } => {}
        }
        Ok(())
    }
}

/// Who says where the dial stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DialSource {
    /// The store's record, from the first change on; the file gives the start value.
    #[default]
    Store,
    /// The file alone: the record is ignored and changes are refused.
    File,
    /// Feature flags of flagd: the record is ignored and changes are refused; the file gives the rules, and what no
    /// flag says.
    Flagd,
}

impl DialSource {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::File => "file",
            Self::Flagd => "flagd",
        }
    }
}

/// All that is known of the dial here: the file's value, and the record and the feature flags as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) file: Dial,
    pub(crate) source: DialSource,
    pub(crate) record: Option<FlagState>,
    pub(crate) flagged: Flagged,
}

/// What to do about the record that the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the one we go by.
    Same,
    /// It is another and counts from now on.
    Take,
    /// It is lost, or older than ours: the store was emptied or set back, and ours has to be written over the version
    /// that it holds (0: none). The percentage does not change because a store was lost (REL-20).
    WriteBack { over: u64 },
}

impl Standing {
    /// What counts before the store was asked.
    pub(crate) fn of_file(file: Dial, source: DialSource) -> Self {
        Self { file, source, record: None, flagged: Flagged::default() }
    }

    /// The dial in force.
    pub(crate) fn dial(&self) -> Dial {
        match (self.in_force(), &self.record) {
            (DialSource::Store, Some(record)) => record.dial(&self.file.rules),
            (DialSource::Flagd, _) => self.flagged.dial(&self.file),
            _ => self.file.clone(),
        }
    }

    /// Where the dial in force comes from.
    pub(crate) fn in_force(&self) -> DialSource {
        match (self.source, &self.record) {
            (DialSource::Store, Some(_)) => DialSource::Store,
            (DialSource::Flagd, _) if self.flagged.says_something() => DialSource::Flagd,
            _ => DialSource::File,
        }
    }

    /// Whether the file has a rule that stands in the dial in force. If not, an operator named the person.
    pub(crate) fn is_of_file(&self, rule: &RuleSubject, lane: Lane) -> bool {
        let rules = &self.file.rules;
        let of_lane = if lane == Lane::New { &rules.allow } else { &rules.deny };
        of_lane.contains(rule)
    }

    /// The version that a change has to name: that of the record, 0 without one.
    pub(crate) fn version(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.version)
    }

    /// Whether file and record say different things, so that somebody may be surprised by the one in force.
    pub(crate) fn disagrees(&self) -> bool {
        self.record.as_ref().is_some_and(|record| !record.says_the_same(&self.file))
    }

    /// Judges what the store holds against what is known here. Of two records with one version the store's counts:
    /// there is one store, so all replicas end with the same.
    pub(crate) fn judge(&self, stored: Option<&FlagState>) -> Judgement {
        if self.record.as_ref() == stored {
            return Judgement::Same;
        }
        let over = stored.map_or(0, |stored| stored.version);
        match self.source {
            DialSource::Store if over < self.version() => Judgement::WriteBack { over },
            DialSource::Store | DialSource::File | DialSource::Flagd => Judgement::Take,
        }
    }

    /// Whether a record of this version that nobody can read says nothing newer than ours, which then may take its
    /// place: it is the one we have, or an older one.
    pub(crate) fn outlives(&self, version: u64) -> bool {
        self.source == DialSource::Store && self.record.as_ref().is_some_and(|ours| version <= ours.version)
    }

    /// The record that a change makes of this one, to be stored over version `over`.
    pub(crate) fn after(
        &self,
        change: Change,
        over: u64,
        by: &str,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<FlagState, ChangeRefused> {
        let mut next = self.record.clone().unwrap_or_else(|| FlagState::of_file(&self.file));
        next.change(change)?;
        // One at the end of its numbers stays turnable: it is replaced by another of the same number.
        next.version = next.version.max(over).saturating_add(1);
        (next.changed_at, next.changed_by, next.reason) = (now, by.to_owned(), reason);
        Ok(next)
    }
}

#[cfg(test)]
mod tests;
