//! Sections `rollout` and `migration`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Percent, SecretRef, Span};

/// Where the dial stands at the start, and who may turn it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rollout {
    /// Who says where the dial stands. Default `store`.
    pub(in crate::config) source: Option<DialSource>,
    /// Share of people whose sign-ins take the new lane. Default `0%`.
    pub(in crate::config) cutover: Option<Percent>,
    /// Share of people who are created in Scalekit when they sign in, whatever their lane; never less than `cutover`.
    /// Default `0%`.
    pub(in crate::config) migrate: Option<Percent>,
    /// What happens to people who crossed when the dial goes back. Default `keep`.
    pub(in crate::config) rollback_mode: Option<RollbackMode>,
    /// Decides who is in which percent; at least 32 bytes. Never changed once somebody has moved.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) salt: Option<SecretRef>,
    /// Key of the tokens that force one browser into a lane; at least 32 bytes. Default none: no such tokens.
    pub(in crate::config) force_key: Option<SecretRef>,
    /// Come before the percentage.
    pub(in crate::config) rules: Option<Rules>,
    /// The feature flags that count with `source: flagd`.
    pub(in crate::config) flagd: Option<Flagd>,
}

/// Where flagd, or whatever else speaks the remote evaluation protocol of feature flags (OFREP), evaluates them, and
/// what they are called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Flagd {
    /// Scheme, host and port. Default `http://localhost:8016`, flagd beside this process.
    pub(in crate::config) url: Option<String>,
    /// Sent as a bearer token. Default: none is sent.
    pub(in crate::config) token: Option<SecretRef>,
    /// For one evaluation; at most a second. Default `500ms`.
    pub(in crate::config) timeout: Option<Span>,
    /// The names of the flags. A flag that is not there leaves it to the values of this section.
    pub(in crate::config) flags: Option<FlagNames>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FlagNames {
    /// A number from 0 to 100. Default `crossfade-cutover-percent`.
    pub(in crate::config) cutover: Option<String>,
    /// A number from 0 to 100. Default `crossfade-migrate-percent`.
    pub(in crate::config) migrate: Option<String>,
    /// `keep` or `legacy`. Default `crossfade-rollback-mode`.
    pub(in crate::config) rollback_mode: Option<String>,
    /// `true` or `false`. Default `crossfade-paused`.
    pub(in crate::config) paused: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum DialSource {
    /// The store, from the first change through the admin API on; this file gives the start value and the rules.
    Store,
    /// This file alone: what the store holds is ignored, and the admin API refuses changes.
    File,
    /// Feature flags of flagd: what the store holds is ignored, and the admin API refuses changes; this file gives the
    /// rules and what no flag says. Only in builds with the cargo feature `openfeature`.
    Flagd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RollbackMode {
    /// They stay in the new lane.
    Keep,
    /// They go back to legacy.
    Legacy,
}

/// Rules by person, domain or organisation; a deny rule wins over every allow rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rules {
    /// The legacy lane, but for people born new and force tokens. Default none.
    pub(in crate::config) deny: Option<Vec<Rule>>,
    /// The new lane, unless denied, paused, set aside or removed; after a rollback to legacy only for whoever is in
    /// Scalekit already. Default none.
    pub(in crate::config) allow: Option<Vec<Rule>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Rule {
    /// An e-mail or a login name; counts for every name of the person.
    Person(String),
    /// An e-mail domain, exactly.
    Domain(String),
    /// The external id of an organisation.
    Organization(String),
}

/// Time budgets of one migration, and accepted risks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Migration {
    /// All legacy sources together, for one sign-in. Default `5s`.
    pub(in crate::config) legacy_budget: Option<Span>,
    /// Scalekit, before a create was sent. Default `3s`.
    pub(in crate::config) scalekit_budget: Option<Span>,
    /// How long the outcome of a sent create is looked for. Default `10s`.
    pub(in crate::config) outcome_budget: Option<Span>,
    /// How long the browser's answer waits for a migration in the legacy lane. Default `500ms`.
    pub(in crate::config) legacy_lane_budget: Option<Span>,
    /// How long one replica may hold a person. Default `30s`.
    pub(in crate::config) lease: Option<Span>,
    /// How long a second sign-in of the same person waits for the first. Default `3s`.
    pub(in crate::config) claim_wait: Option<Span>,
    /// External ids of organisations whose second factor in Scalekit replaces the legacy one. Default none.
    pub(in crate::config) mfa_accepted_organizations: Option<Vec<String>>,
}
