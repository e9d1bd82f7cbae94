//! How far people are, by the counts of the ledger.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::Percent;
use crate::{
    login::Counts,
    rollout::{BasisPoints, Dial, RollbackMode},
};

/// How far the people are whom the ledger knows. Rules of organisations, domains and persons are left out of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RolloutPeople")]
pub(super) struct People {
    /// Everybody who was identified at a sign-in and was not removed.
    known: u64,
    /// Of those, who crossed or began at Scalekit, and was not set aside: the percentage does not reach them.
    pinned: u64,
    /// Of those, who began at Scalekit: they are always new.
    born_new: u64,
    /// Set aside, in conflict or ineligible: their sign-ins take the legacy lane, whatever the percentage says.
    set_aside: u64,
    /// Share of everybody known whose sign-ins take the new lane.
    real_share: Percent,
    /// The same of those who are neither pinned nor set aside.
    share_not_pinned: Percent,
}

impl People {
    pub(super) fn of(counts: &Counts, dial: &Dial) -> Self {
        let (pinned, born_new, in_reach) = (counts.over(), counts.born_new(), counts.in_reach());
        let within = if dial.paused { 0 } else { counts.in_reach_within(dial.cutover) };
        // Going back takes those who crossed along.
        let pinned_new = if dial.rollback == RollbackMode::Legacy { born_new } else { pinned };
        let known = pinned + counts.set_aside() + in_reach;
        Self {
            known,
            pinned,
            born_new,
            set_aside: counts.set_aside(),
            real_share: share(pinned_new + within, known),
            share_not_pinned: share(within, in_reach),
        }
    }
}

/// To the nearest hundredth of a percent; nobody of nobody is nothing.
fn share(part: u64, whole: u64) -> Percent {
    let points = (u128::from(part) * 10_000 + u128::from(whole) / 2).checked_div(u128::from(whole));
    let points = points.and_then(|points| u16::try_from(points).ok()).and_then(BasisPoints::new);
    Percent(points.unwrap_or(BasisPoints::NONE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        identity::{ExternalId, LegacyId, PersonKey, SourceName},
        login::{Origin, Row, RowState, SetAside},
        rollout::{Bucket, Rules},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1);

    fn none() -> Row {
        let key = PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("1").unwrap() };
        Row::fresh(key, Bucket::test(4711), ExternalId::received("1".into()), NOW)
    }

    fn told(rows: &[Row], dial: &Dial) -> (u64, u64, u64, u64, String, String) {
        let mut counts = Counts::default();
        for row in rows {
            counts.add(row.counted_as());
        }
        let people = People::of(&counts, dial);
        let shares = [people.real_share, people.share_not_pinned].map(|share| share.0.to_string());
        let [real, not_pinned] = shares;
        (people.known, people.pinned, people.born_new, people.set_aside, real, not_pinned)
    }

    #[test]
    fn who_was_set_aside_is_not_reached_and_who_was_born_new_never_goes_back() {
        let dial = |rollback| Dial::new(BasisPoints::ALL, BasisPoints::ALL, rollback, Rules::default());
        let (mut keep, mut legacy) = (dial(RollbackMode::Keep), dial(RollbackMode::Legacy));
        let aside = Row { state: RowState::Conflict { why: SetAside::Twins }, ..none() };
        let shares = |real: &str, not_pinned: &str| (real.to_owned(), not_pinned.to_owned());
        let (real, rest) = shares("50%", "100%");
        assert_eq!(told(&[none(), aside.clone()], &keep), (2, 0, 0, 1, real, rest));

        // Also who crossed before: CONFLICT is judged first.
        let crossed = Row { state: RowState::Done, crossed_at: Some(NOW), ..none() };
        let crossed_aside = Row { crossed_at: Some(NOW), ..aside };
        let born = Row { state: RowState::Done, origin: Origin::BornNew, ..none() };
        let gone = Row { state: RowState::Tombstone, ..born.clone() };
        let all = [none(), crossed, crossed_aside, born, gone];
        let (real, rest) = shares("75%", "100%");
        assert_eq!(told(&all, &keep), (4, 2, 1, 1, real, rest));
        legacy.cutover = BasisPoints::NONE;
        let (real, rest) = shares("25%", "0%");
        assert_eq!(told(&all, &legacy), (4, 2, 1, 1, real, rest), "born-new people stay");
        keep.paused = true;
        let (real, rest) = shares("50%", "0%");
        assert_eq!(told(&all, &keep), (4, 2, 1, 1, real, rest));
    }
}
