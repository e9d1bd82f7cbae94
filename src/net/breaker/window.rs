//! The calls of the last ten seconds, and whether they were bad enough.

use std::time::Duration;

/// The window is this many slots of [`SLOT`] each.
const SLOTS: usize = 10;
pub(super) const SLOT: Duration = Duration::from_secs(1);
/// Fewer calls than this say nothing.
const LEAST_CALLS: u32 = 20;
/// Failures of fewer people than this are theirs: an account that a service cannot answer about fails as often as
/// somebody asks for it.
const LEAST_PEOPLE: usize = 5;

/// Calls by the second in which they ended.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: [Slot; SLOTS],
    /// Those for whom a call failed last. All of them in the window means that there are enough.
    failing: [Option<Failing>; LEAST_PEOPLE],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Which second, counted on the monotonic clock.
    second: u64,
    calls: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    /// `None` for a call that is about nobody in particular; each of those is like another person's.
    whom: Option<u128>,
    second: u64,
}

impl Window {
    /// A call ended in this second.
    pub(super) fn count(&mut self, second: u64, whom: Option<u128>, succeeded: bool) {
        let at = usize::try_from(second % SLOTS as u64).unwrap_or_default();
        if let Some(slot) = self.slots.get_mut(at) {
            if slot.second != second {
                *slot = Slot { second, ..Slot::default() };
            }
            slot.calls = slot.calls.saturating_add(1);
            slot.failures = slot.failures.saturating_add(u32::from(!succeeded));
        }
        if !succeeded {
            self.fails(Failing { whom, second });
        }
    }

    /// Takes the place of the same person's failure before, else of the oldest.
    fn fails(&mut self, new: Failing) {
        let is_same =
            |known: &Option<Failing>| new.whom.is_some() && known.and_then(|one| one.whom) == new.whom;
        let place = match self.failing.iter().position(is_same) {
            Some(at) => self.failing.get_mut(at),
            None => self.failing.iter_mut().min_by_key(|known| known.map(|one| one.second)),
        };
        if let Some(place) = place {
            *place = Some(new);
        }
    }

    /// Whether half of enough calls failed, and enough people's.
    pub(super) fn is_too_bad(&self, second: u64) -> bool {
        let is_recent = |then: u64| then + SLOTS as u64 > second;
        let recent = self.slots.iter().filter(|slot| is_recent(slot.second));
        let (calls, failures) = recent
            .fold((0_u32, 0_u32), |(c, f), s| (c.saturating_add(s.calls), f.saturating_add(s.failures)));
        let by_many = self.failing.iter().all(|known| known.is_some_and(|one| is_recent(one.second)));
        calls >= LEAST_CALLS && failures.saturating_mul(2) >= calls && by_many
    }
}
