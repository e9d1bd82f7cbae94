//! Wrong tokens, counted for each address: whoever guesses has to wait.
//!
//! Only wrong tokens are. Whoever holds a right one is let in from any address, so that nobody who shares an operator's
//! (a proxy, a cluster's network, a tool with an old token) shuts them out. What keeps tokens from being guessed is
//! that they have 32 bytes or more; the limit keeps guesses from filling the audit log and makes them noticed.

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

    /// Counts a wrong token, unless there were too many. Those beyond do not make the wait longer.
    pub(super) fn count(&self, address: IpAddr) -> Counted {
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
        if count.wrong >= self.rate.tries {
            return Counted::TooMany { wait: (count.since + self.rate.per).saturating_sub(now) };
        }
        count.wrong += 1;
        if count.wrong == self.rate.tries { Counted::Last } else { Counted::Wrong }
    }
}

/// What becomes of a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is refused as one without a token is.
    Wrong,
    /// The same, and those that follow from this address have to wait.
    Last,
    TooMany {
        wait: Duration,
    },
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
    fn an_address_waits_after_its_wrong_tokens_and_others_do_not() {
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let minute = Duration::from_mins(1);
        let wrong = WrongTokens::new(Rate { tries: 3, per: minute }, clock.clone());
        let (guesser, other) = (address("2001:db8::1"), address("192.0.2.1"));
        assert_eq!([wrong.count(guesser), wrong.count(guesser)], [Counted::Wrong, Counted::Wrong]);
        clock.advance(Duration::from_secs(20));
        assert_eq!(wrong.count(address("2001:db8::2")), Counted::Last, "the same /64");
        assert_eq!(wrong.count(guesser), Counted::TooMany { wait: Duration::from_secs(40) });
        assert_eq!(wrong.count(other), Counted::Wrong);
        clock.advance(Duration::from_secs(39));
        let wait = Duration::from_secs(1);
        assert_eq!(wrong.count(guesser), Counted::TooMany { wait }, "not longer for having been asked");
        clock.advance(wait);
        assert_eq!(wrong.count(guesser), Counted::Wrong, "counted anew");
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
        assert!(matches!(wrong.count(first), Counted::TooMany { .. }));
        let beyond = wrong.count(address("10.0.250.250"));
        assert!(matches!(beyond, Counted::TooMany { .. }), "those that found no room wait together");
    }
}
