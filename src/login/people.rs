//! The ledger as a whole: lists of people, and counts of them.
//!
//! Counts are kept with each write and never made by looking at rows, so that they are cheap however many there are.

use std::collections::BTreeMap;

use super::{Origin, Row, RowState};
use crate::{
    clock::Timestamp,
    identity::{PersonKey, SourceName},
    rollout::{BasisPoints, Bucket},
};

/// Where a person stands, without why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    None,
    Claimed,
    Created,
    Done,
    Conflict,
    Ineligible,
    Tombstone,
}

impl Stage {
    /// All of them, in the order of a life.
    pub(crate) const ALL: [Self; 7] = [
        Self::None,
        Self::Claimed,
        Self::Created,
        Self::Done,
        Self::Conflict,
        Self::Ineligible,
        Self::Tombstone,
    ];

    /// The word for it everywhere.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Claimed => "claimed",
            Self::Created => "created",
            Self::Done => "done",
            Self::Conflict => "conflict",
            Self::Ineligible => "ineligible",
            Self::Tombstone => "tombstone",
        }
    }

    /// Judged anew at each sign-in, in the legacy lane.
    const fn is_set_aside(self) -> bool {
        matches!(self, Self::Conflict | Self::Ineligible)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

impl RowState {
    pub(crate) const fn stage(&self) -> Stage {
        match self {
            Self::None => Stage::None,
            Self::Claimed => Stage::Claimed,
            Self::Created => Stage::Created,
            Self::Done => Stage::Done,
            Self::Conflict { .. } => Stage::Conflict,
            Self::Ineligible { .. } => Stage::Ineligible,
            Self::Tombstone => Stage::Tombstone,
        }
    }
}

/// What of a row is counted. Its text is kept beside the row and counts are changed by comparing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CountedAs {
    pub(crate) stage: Stage,
    /// Crossed or born new, and so out of the percentage's reach.
    pub(crate) is_pinned: bool,
    /// That of a person whom the percentage can reach: neither pinned, nor set aside, nor removed. People born new are
    /// counted under [`Bucket::BORN_NEW`].
    pub(crate) bucket: Option<Bucket>,
}

impl Row {
    /// Whether the percentage cannot move the person any more.
    pub(crate) fn is_pinned(&self) -> bool {
        let is_removed = self.state == RowState::Tombstone;
        !is_removed && (self.crossed_at.is_some() || self.origin == Origin::BornNew)
    }

    /// What of it is counted.
    pub(crate) fn counted_as(&self) -> CountedAs {
        let (stage, is_pinned) = (self.state.stage(), self.is_pinned());
        let bucket = match stage {
            Stage::Tombstone => None,
            _ if self.origin == Origin::BornNew => Some(Bucket::BORN_NEW),
            Stage::Conflict | Stage::Ineligible => None,
            Stage::None | Stage::Claimed | Stage::Created | Stage::Done => {
                (!is_pinned).then_some(self.bucket)
            }
        };
        CountedAs { stage, is_pinned, bucket }
    }
}

/// `done:1:-`, `none:0:4711`: the stage, whether pinned, the bucket.
impl std::fmt::Display for CountedAs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:", self.stage.as_str(), u8::from(self.is_pinned))?;
        match self.bucket {
            Some(bucket) => write!(f, "{}", bucket.get()),
            None => f.write_str("-"),
        }
    }
}

/// How many people there are, and where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By stage, and whether they are pinned.
    pub(crate) people: BTreeMap<(Stage, bool), u64>,
    /// By bucket, of those in the percentage's reach and, under one of their own, of those born new.
    pub(crate) by_bucket: BTreeMap<u16, u64>,
}

impl Counts {
    /// Everybody with a row.
    pub(crate) fn all(&self) -> u64 {
        self.people.values().sum()
    }

    pub(crate) fn in_stage(&self, stage: Stage) -> u64 {
        self.people.iter().filter(|((known, _), _)| *known == stage).map(|(_, count)| count).sum()
    }

    fn those(&self, are: impl Fn(Stage, bool) -> bool) -> u64 {
        self.people.iter().filter(|((stage, is_pinned), _)| are(*stage, *is_pinned)).map(|(_, n)| n).sum()
    }

    /// Crossed and born new.
    pub(crate) fn pinned(&self) -> u64 {
        self.those(|_, is_pinned| is_pinned)
    }

    /// Those of them who take the new lane unless the dial went back.
    pub(crate) fn over(&self) -> u64 {
        self.those(|stage, is_pinned| is_pinned && !stage.is_set_aside())
    }

    /// Born new.
    pub(crate) fn born_new(&self) -> u64 {
        self.by_bucket.get(&Bucket::BORN_NEW.get()).copied().unwrap_or_default()
    }

    /// In conflict or ineligible, whether or not they crossed.
    pub(crate) fn set_aside(&self) -> u64 {
        self.those(|stage, _| stage.is_set_aside())
    }

    /// Neither pinned nor removed.
    pub(crate) fn unpinned(&self) -> u64 {
        self.those(|stage, is_pinned| !is_pinned && stage != Stage::Tombstone)
    }

    /// Those whom the percentage can reach: neither pinned, nor set aside, nor removed.
    pub(crate) fn in_reach(&self) -> u64 {
        self.in_reach_within(BasisPoints::ALL)
    }

    /// How many of those a percentage of this size reaches.
    pub(crate) fn in_reach_within(&self, points: BasisPoints) -> u64 {
        self.by_bucket.range(..points.get()).map(|(_, count)| count).sum()
    }

    /// Adds or takes away one row's tally.
    #[cfg(test)]
    pub(crate) fn add(&mut self, tally: CountedAs) {
        *self.people.entry((tally.stage, tally.is_pinned)).or_default() += 1;
        if let Some(bucket) = tally.bucket {
            *self.by_bucket.entry(bucket.get()).or_default() += 1;
        }
    }
}

/// Whom a list is of; nothing set means everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeopleFilter {
    pub(crate) stages: Vec<Stage>,
    pub(crate) source: Option<SourceName>,
    pub(crate) is_pinned: Option<bool>,
    /// Exclusive.
    pub(crate) updated_before: Option<Timestamp>,
    /// Inclusive.
    pub(crate) updated_since: Option<Timestamp>,
}

impl PeopleFilter {
    /// The stages it looks at.
    pub(crate) fn wanted(&self) -> Vec<Stage> {
        if self.stages.is_empty() { Stage::ALL.to_vec() } else { self.stages.clone() }
    }

    /// Whether a row, as it stands now, is one of those.
    pub(crate) fn takes(&self, row: &Row) -> bool {
        (self.stages.is_empty() || self.stages.contains(&row.state.stage()))
            && self.source.as_ref().is_none_or(|source| *source == row.key.source)
            && self.is_pinned.is_none_or(|wanted| wanted == row.is_pinned())
            && self.updated_before.is_none_or(|end| row.updated_at < end)
            && self.updated_since.is_none_or(|begin| row.updated_at >= begin)
    }
}

/// A part of a list, in the order of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct People {
    pub(crate) rows: Vec<Row>,
    /// Those of this part whose rows cannot be read.
    pub(crate) unreadable: Vec<PersonKey>,
    /// The last one that was looked at; `None` when there are no more. A part may be short, or empty, and not the
    /// last one: how many rows are looked at for it is bounded.
    pub(crate) next: Option<PersonKey>,
}

/// What came of taking rows of an earlier version into lists and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Indexed {
    pub(crate) people: u64,
    /// Those that are still missing there: their rows cannot be read.
    pub(crate) unreadable: Vec<PersonKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{ExternalId, LegacyId},
        login::SetAside,
    };

    #[test]
    fn a_tally_is_what_the_dial_can_reach() {
        let key = PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("1").unwrap() };
        let now = Timestamp::from_seconds(1);
        let row = Row::fresh(key, Bucket::test(4711), ExternalId::received("1".into()), now);
        let crossed = Row { state: RowState::Done, crossed_at: Some(now), ..row.clone() };
        let born = Row { origin: Origin::BornNew, state: RowState::Done, ..row.clone() };
        let gone = Row { state: RowState::Tombstone, ..crossed.clone() };
        let aside = Row { state: RowState::Conflict { why: SetAside::Twins }, ..row.clone() };
        let crossed_aside = Row { crossed_at: Some(now), ..aside.clone() };
        let mut counts = Counts::default();
        for (row, text) in [
            (row, "none:0:4711"),
            (crossed, "done:1:-"),
            (born, "done:1:10000"),
            (gone, "tombstone:0:-"),
            (aside, "conflict:0:-"),
            (crossed_aside, "conflict:1:-"),
        ] {
            assert_eq!(row.counted_as().to_string(), text);
            counts.add(row.counted_as());
        }
        assert_eq!((counts.all(), counts.pinned(), counts.unpinned()), (6, 3, 2));
        assert_eq!((counts.over(), counts.born_new(), counts.set_aside(), counts.in_reach()), (2, 1, 2, 1));
        let within = |points| counts.in_reach_within(BasisPoints::new(points).unwrap());
        assert_eq!((within(4711), within(4712), within(10_000)), (0, 1, 1));
        assert_eq!((counts.in_stage(Stage::Done), counts.in_stage(Stage::Tombstone)), (2, 1));
    }
}
