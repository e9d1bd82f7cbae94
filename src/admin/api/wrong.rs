//! Wrong tokens, counted for each address: whoever guesses is not listened to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{clock::SharedClock, config::Rate};

/// Addresses that are remembered; what is beyond shares one count, so that a crowd forgets nobody.
const MOST_ADDRESSES: usize = 4096;

/// Counts of wrong tokens.
pub(super) struct WrongTokens {
    rate: Rate,
    clock: SharedClock,
    counts: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    wrong: u32,
    /// When the first of them came, by the monotonic clock.
    since: Duration,
}

impl WrongTokens {
    pub(super) fn new(rate: Rate, clock: SharedClock) -> Self {
        Self { rate, clock, counts: Mutex::default() }
    }

    /// How long an address is not listened to; `None` when it is. Asked before a token is compared: a right one
    /// among many wrong ones must look like them.
    pub(super) fn wait(&self, address: IpAddr) -> Option<Duration> {
        let now = self.clock.monotonic();
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = |place: &IpAddr| {
            let count = counts.get(place).filter(|count| count.wrong >= self.rate.tries)?;
            (count.since + self.rate.per).checked_sub(now).filter(|wait| !wait.is_zero())
        };
        // What shares one count waits with it, unless it has its own.
        let place = narrowed(address);
        if counts.contains_key(&place) || counts.len() < MOST_ADDRESSES {
            spent(&place)
        } else {
            spent(&SHARED)
        }
    }

    /// Counts a wrong token; `true` when it is the last that is listened to.
    pub(super) fn count(&self, address: IpAddr) -> bool {
        let now = self.clock.monotonic();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = narrowed(address);
        if !counts.contains_key(&place) && counts.len() >= MOST_ADDRESSES {
            counts.retain(|_, count| count.since + self.rate.per > now);
            if counts.len() >= MOST_ADDRESSES {
                place = SHARED;
            }
        }
        let count = counts.entry(place).or_insert(Count { wrong: 0, since: now });
        if count.since + self.rate.per <= now {
            *count = Count { wrong: 0, since: now };
        }
        count.wrong = count.wrong.saturating_add(1);
        count.wrong == self.rate.tries
    }
}

/// Nobody's address: the count of those that found no room.
const SHARED: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// One customer has a whole /64.
fn narrowed(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{TestClock, Timestamp};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_not_listened_to_after_its_wrong_tokens_and_others_are() {
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let minute = Duration::from_mins(1);
        let wrong = WrongTokens::new(Rate { tries: 3, per: minute }, clock.clone());
        let (guesser, other) = (address("2001:db8::1"), address("192.0.2.1"));
        assert_eq!([wrong.count(guesser), wrong.count(guesser)], [false, false]);
        assert_eq!(wrong.wait(guesser), None);
        clock.advance(Duration::from_secs(20));
        assert!(wrong.count(address("2001:db8::2")), "the same /64");
        assert_eq!(wrong.wait(guesser), Some(Duration::from_secs(40)));
        assert_eq!(wrong.wait(other), None);
        clock.advance(Duration::from_secs(40));
        assert_eq!(wrong.wait(guesser), None);
        assert!(!wrong.count(guesser), "counted anew");
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_memory_and_frees_nobody() {
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let wrong = WrongTokens::new(Rate { tries: 2, per: Duration::from_mins(1) }, clock);
        let first = address("198.51.100.1");
        wrong.count(first);
        wrong.count(first);
        for n in 0..10_000_u32 {
            wrong.count(IpAddr::V4((0x0a00_0000 + n).into()));
        }
        assert!(wrong.counts.lock().unwrap().len() <= MOST_ADDRESSES + 1);
        assert!(wrong.wait(first).is_some());
        assert!(wrong.wait(address("10.0.250.250")).is_some(), "those that found no room wait together");
    }
}
