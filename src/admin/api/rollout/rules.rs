//! Rules that name people, as they are shown: a viewer does not learn by whose name one is.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::Source;
use crate::{
    config::AdminRole,
    rollout::{Lane, RollbackMode, RuleSubject, Standing},
};

/// A rule that names people.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(super) struct RuleSeen {
    /// Whether it stands in the file, or an operator named the person.
    from: Source,
    kind: RuleKind,
    /// Of persons for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RuleKind {
    Person,
    Domain,
    Organization,
}

impl RuleSeen {
    /// One of the rules in force, which sends people into this lane.
    pub(super) fn of(rule: &RuleSubject, lane: Lane, standing: &Standing, reader: AdminRole) -> Self {
        let (kind, value) = match rule {
            RuleSubject::Person(name) => (RuleKind::Person, name),
            RuleSubject::Domain(name) => (RuleKind::Domain, name),
            RuleSubject::Organization(name) => (RuleKind::Organization, name),
        };
        let is_shown = reader >= AdminRole::Operator || !matches!(kind, RuleKind::Person);
        let from = if standing.is_of_file(rule, lane) { Source::File } else { Source::Store };
        Self { from, kind, value: is_shown.then(|| value.clone()) }
    }

    /// What sends people to the new lane although the dial went back to legacy; nothing where it did not.
    pub(super) fn still_new(standing: &Standing, reader: AdminRole) -> Vec<Self> {
        let dial = standing.dial();
        if dial.rollback != RollbackMode::Legacy {
            return Vec::new();
        }
        dial.rules.allow.iter().map(|rule| Self::of(rule, Lane::New, standing, reader)).collect()
    }
}
