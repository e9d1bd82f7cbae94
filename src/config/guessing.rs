//! Section `guessing`: how often a sign-in may be tried (SEC-41).

use std::time::Duration;

use crate::rollout::BasisPoints;

/// Section `guessing`. A reload changes it for the next try; counts stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guessing {
    pub(crate) account: AccountLimit,
    /// Tries of one address (IPv6: of one /64), whatever comes of them.
    pub(crate) address: Rate,
    /// Tries at one process.
    pub(crate) process: Rate,
    pub(crate) storm: Storm,
    /// The most accounts, devices and addresses that are remembered, each kind by itself.
    pub(crate) entries: usize,
}

impl Guessing {
    /// What one of so many processes may grant by itself: together they grant no more than all.
    #[must_use]
    pub(crate) fn share(&self, replicas: u32) -> Self {
        let failures = (self.account.failures / replicas.max(1)).max(1);
        let account = AccountLimit { failures, ..self.account.clone() };
        let storm = Storm { address: self.storm.address.share(replicas), ..self.storm.clone() };
        Self { account, address: self.address.share(replicas), storm, ..self.clone() }
    }
}

/// When one account's sign-ins have to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountLimit {
    /// So many failures within `window`; then each try waits, and twice as long after every further failure.
    pub(crate) failures: u32,
    pub(crate) window: Duration,
    pub(crate) first_delay: Duration,
    pub(crate) longest_delay: Duration,
}

/// So many tries within a span, evenly or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) tries: u32,
    pub(crate) per: Duration,
}

impl Rate {
    /// A share of less than one try is one in a longer span.
    fn share(self, replicas: u32) -> Self {
        match self.tries / replicas.max(1) {
            0 => Self { tries: 1, per: self.per * replicas / self.tries.max(1) },
            tries => Self { tries, ..self },
        }
    }
}

/// When failures over all accounts mean that somebody tries stolen passwords, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storm {
    /// More failures a minute than this …
    pub(crate) failures: u32,
    /// … and a larger share of all finished tries.
    pub(crate) share: BasisPoints,
    /// Then takes the place of `address`. Known devices are not touched.
    pub(crate) address: Rate,
}

/// What a legacy source locks an account at: so many failures within a window. A success clears its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lockout {
    pub(crate) failures: u32,
    pub(crate) window: Duration,
}

impl Lockout {
    /// The bounds of two sources that one name may lead to.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self { failures: self.failures.min(other.failures), window: self.window.max(other.window) }
    }
}

impl Default for Guessing {
    fn default() -> Self {
        let minute = Duration::from_mins(1);
        Self {
            account: AccountLimit {
                failures: 10,
                window: Duration::from_mins(15),
                first_delay: Duration::from_secs(30),
                longest_delay: Duration::from_mins(15),
            },
            address: Rate { tries: 30, per: minute },
            process: Rate { tries: 200, per: Duration::from_secs(1) },
            storm: Storm {
                failures: 100,
                share: BasisPoints::new(7500).unwrap_or(BasisPoints::ALL),
                address: Rate { tries: 3, per: minute },
            },
            entries: 200_000,
        }
    }
}
