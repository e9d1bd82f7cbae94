//! Sections `rollout` and `migration`: the dial's start value and the budgets of one migration.

use std::time::Duration;

use url::Url;

use crate::{
    identity::Secret,
    rollout::{BucketSalt, Dial, DialSource},
};

/// Section `rollout`: where the dial stands.
#[derive(Clone, Debug)]
pub(crate) struct RolloutStart {
    pub(crate) dial: Dial,
    /// Who says where the dial stands once the store has a record.
    pub(crate) source: DialSource,
    /// Never changes while the ledger has rows.
    pub(crate) salt: BucketSalt,
    /// Key of force tokens; at least 32 bytes. Without it there are none.
    pub(crate) force_key: Option<Secret>,
    /// Where the feature flags are, if they say where the dial stands or could.
    pub(crate) flagd: Option<Flagd>,
}

/// Section `rollout.flagd`: the feature flags that say where the dial stands.
#[derive(Clone, Debug)]
pub(crate) struct Flagd {
    /// Where flags are evaluated (OFREP).
    pub(crate) url: Url,
    /// Sent as a bearer token.
    #[cfg_attr(not(feature = "openfeature"), expect(dead_code, reason = "only who asks flagd sends it"))]
    pub(crate) token: Option<Secret>,
    /// All that one evaluation may take; at most a second, so that a change is seen within two (REL-09).
    pub(crate) timeout: Duration,
    pub(crate) flags: FlagNames,
}

/// The names of the flags.
#[derive(Clone, Debug)]
pub(crate) struct FlagNames {
    pub(crate) cutover: String,
    pub(crate) migrate: String,
    pub(crate) rollback_mode: String,
    pub(crate) paused: String,
}

/// Section `migration`: time budgets and accepted risks.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    /// All of the legacy chain for one sign-in (5 s).
    pub(crate) legacy_budget: Duration,
    /// Scalekit before a create was sent (3 s).
    pub(crate) scalekit_budget: Duration,
    /// How long the outcome of a sent create is looked for (10 s, REL-03).
    pub(crate) outcome_budget: Duration,
    /// How long the browser's answer waits for a migration in the legacy lane.
    pub(crate) legacy_lane_budget: Duration,
    /// A claim's lease (30 s).
    pub(crate) lease: Duration,
    /// How long a second sign-in waits for the first one's claim (3 s, REL-06).
    pub(crate) claim_wait: Duration,
    /// Organisations (external ids) whose own second factor in Scalekit replaces the legacy one (truth 6).
    pub(crate) mfa_accepted_organizations: Vec<String>,
}

impl Default for Migration {
    fn default() -> Self {
        Self {
            legacy_budget: Duration::from_secs(5),
            scalekit_budget: Duration::from_secs(3),
            outcome_budget: Duration::from_secs(10),
            legacy_lane_budget: Duration::from_millis(500),
            lease: Duration::from_secs(30),
            claim_wait: Duration::from_secs(3),
            mfa_accepted_organizations: Vec::new(),
        }
    }
}
