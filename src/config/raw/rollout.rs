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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum DialSource {
    /// The store, from the first change through the admin API on; this file gives the start value and the rules.
    Store,
    /// This file alone: what the store holds is ignored, and the admin API refuses changes.
    File,
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
    /// Always the legacy lane. Default none.
    pub(in crate::config) deny: Option<Vec<Rule>>,
    /// Always the new lane. Default none.
    pub(in crate::config) allow: Option<Vec<Rule>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Rule {
    /// An e-mail or a login name.
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
