//! The look-ups of people at Scalekit on account of a doubt (truth 8): few a second, and shared out among those who ask.

use std::time::Duration;

use super::CountKey;

/// How many people a process looks up a second: sign-ins of strangers cost Scalekit no more.
const A_SECOND: usize = 10;
/// What strangers leave of them to devices that are somebody's.
const FOR_DEVICES: usize = 2;
/// So many a second for one asker: several have to come together to keep others from theirs.
const FOR_ONE: usize = 2;

/// Who wants to know whether Scalekit has somebody of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody at an address, of whom nothing is known.
    Stranger(CountKey),
    /// The device of somebody who crossed or was born new, by the person: two devices are one.
    Device(CountKey),
    /// Nobody who signs in.
    Operator,
}

/// The look-ups of the running second.
#[derive(Clone, Debug)]
pub(super) struct LookUps {
    /// A monotonic reading.
    since: Duration,
    by: Vec<Asker>,
}

impl LookUps {
    pub(super) fn new(now: Duration) -> Self {
        Self { since: now, by: Vec::new() }
    }

    /// Takes one, if there is one for this asker.
    pub(super) fn take(&mut self, asker: Asker, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        let most = match asker {
            Asker::Stranger(_) => A_SECOND - FOR_DEVICES,
            Asker::Device(_) | Asker::Operator => A_SECOND,
        };
        let own = self.by.iter().filter(|one| **one == asker).count();
        let is_granted = self.by.len() < most && own < FOR_ONE;
        if is_granted {
            self.by.push(asker);
        }
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::Secret, login::CountKeys};

    const NOW: Duration = Duration::from_secs(7);

    fn at(number: u8) -> CountKey {
        CountKeys::new(&Secret::new("k".repeat(32))).address([192, 0, 2, number].into())
    }

    #[test]
    fn one_asker_leaves_the_most_to_others_and_strangers_some_to_devices() {
        let mut look_ups = LookUps::new(NOW);
        let mut granted = |asker: Asker| (0..20).filter(|_| look_ups.take(asker, NOW)).count();
        assert_eq!(granted(Asker::Stranger(at(1))), 2);
        assert_eq!((2..100).map(|number| granted(Asker::Stranger(at(number)))).sum::<usize>(), 6);
        assert_eq!(granted(Asker::Device(at(1))), 2);
        assert_eq!(granted(Asker::Operator) + granted(Asker::Device(at(2))), 0, "ten in all");
        assert!(!look_ups.take(Asker::Stranger(at(101)), NOW + Duration::from_millis(999)));
        assert!(look_ups.take(Asker::Stranger(at(1)), NOW + Duration::from_secs(1)));
    }
}
