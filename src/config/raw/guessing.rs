//! Section `guessing`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, Span};

/// How often a sign-in may be tried; more is answered with 429 and `Retry-After`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Guessing {
    /// Failures of one account, under all the names that are known to lead to it. A browser in which somebody signed
    /// in to the account before has a count of its own.
    pub(in crate::config) account: Option<AccountLimit>,
    /// Tries of one address (IPv6: of one /64), whatever comes of them. Default 30 in `1m`.
    pub(in crate::config) address: Option<Rate>,
    /// Tries at this process. Default 200 in `1s`.
    pub(in crate::config) process: Option<Rate>,
    /// What is done when failures over all accounts mean that somebody tries stolen passwords.
    pub(in crate::config) storm: Option<Storm>,
    /// The most accounts and addresses that are remembered, each kind by itself; those that matter least are
    /// forgotten first. About 200 bytes each, in Redis 400 and as many for each process. Default 200000.
    pub(in crate::config) entries: Option<u32>,
}

/// When one account's sign-ins have to wait.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AccountLimit {
    /// So many failures within `window`, then each further try has to wait. Default 10.
    pub(in crate::config) failures: Option<u32>,
    /// Default `15m`.
    pub(in crate::config) window: Option<Span>,
    /// The first wait; it doubles with every further failure. Default `30s`.
    pub(in crate::config) first_delay: Option<Span>,
    /// The longest wait. Default `15m`.
    pub(in crate::config) longest_delay: Option<Span>,
}

/// So many tries within a span, evenly or at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rate {
    pub(in crate::config) tries: Option<u32>,
    pub(in crate::config) per: Option<Span>,
}

/// More failures a minute than `failures`, and a larger share of all finished tries than `share`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Storm {
    /// Default 100.
    pub(in crate::config) failures: Option<u32>,
    /// Default `75%`.
    pub(in crate::config) share: Option<Percent>,
    /// Takes the place of the limit per address until the storm is over; known devices are not touched. Default 3 in
    /// `1m`.
    pub(in crate::config) address: Option<Rate>,
}

/// What a legacy source locks an account at. Fewer failures than that are passed on, so that nobody can lock a
/// person's account through Crossfade; about a third of them is kept for browsers in which the person signed in before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lockout {
    /// 0: it locks nobody. Default 10 for Okta, else 0.
    pub(in crate::config) failures: Option<u32>,
    /// How long the source remembers a failure, if no success comes in between. Default `24h`.
    pub(in crate::config) window: Option<Span>,
}
