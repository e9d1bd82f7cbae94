//! Sections `rollout` and `migration`.

use super::Check;
use crate::{
    config::{Migration, RolloutStart, problem::At, raw},
    identity::LoginName,
    rollout::{BasisPoints, BucketSalt, Dial, DialSource, RollbackMode, RuleSubject, Rules},
};

impl Check<'_> {
    pub(super) fn rollout(&mut self, raw: Option<raw::Rollout>) -> Option<RolloutStart> {
        let at = At::section("rollout");
        let raw = raw.unwrap_or_default();
        let cutover = raw.cutover.map_or(BasisPoints::NONE, |percent| percent.0);
        let migrate = raw.migrate.map_or(BasisPoints::NONE, |percent| percent.0);
        if self.source_names.is_empty() {
            for (key, points) in [("cutover", cutover), ("migrate", migrate)] {
                if points != BasisPoints::NONE {
                    self.problem(
                        &at.key(key),
                        "is above what exists: legacy.sources names no source, so nobody can be proven",
                    );
                }
            }
        }
        if raw.migrate.is_some() && migrate < cutover {
            self.warn(&at.key("migrate"), format!("is below cutover; {cutover} is in force"));
        }
        let salt = self.key(&at.key("salt"), raw.salt);
        let force_key = raw.force_key.map(|key| self.key(&at.key("force_key"), Some(key)));
        let rules = raw.rules.unwrap_or_default();
        let rules_at = at.key("rules");
        let deny = self.rules(&rules_at.key("deny"), rules.deny.unwrap_or_default());
        let allow = self.rules(&rules_at.key("allow"), rules.allow.unwrap_or_default());
        for (n, rule) in allow.iter().enumerate() {
            if deny.contains(rule) {
                self.problem(
                    &rules_at.key("allow").index(n),
                    "is denied above: remove it from one of the lists",
                );
            }
        }
        let rollback = match raw.rollback_mode {
            Some(raw::RollbackMode::Keep) | None => RollbackMode::Keep,
            Some(raw::RollbackMode::Legacy) => RollbackMode::Legacy,
        };
        let source = match raw.source {
            Some(raw::DialSource::Store) | None => DialSource::Store,
            Some(raw::DialSource::File) => DialSource::File,
        };
        Some(RolloutStart {
            source,
            dial: Dial::new(cutover, migrate, rollback, Rules { deny, allow }),
            salt: BucketSalt::new(salt?.expose().as_bytes()),
            force_key: force_key.flatten(),
        })
    }

    fn rules(&mut self, at: &At, raw: Vec<raw::Rule>) -> Vec<RuleSubject> {
        let rules = raw.into_iter().enumerate();
        rules.filter_map(|(n, rule)| self.rule(&at.index(n), rule)).collect()
    }

    fn rule(&mut self, at: &At, raw: raw::Rule) -> Option<RuleSubject> {
        match raw {
            raw::Rule::Person(text) => {
                let name = LoginName::parse(&text);
                if name.is_none() {
                    self.problem(&at.key("person"), "must be an e-mail or a login name");
                }
                name.map(|name| RuleSubject::Person(name.canonical().to_owned()))
            }
            raw::Rule::Domain(text) => self.domain(&at.key("domain"), &text).map(RuleSubject::Domain),
            raw::Rule::Organization(text) => {
                self.text(&at.key("organization"), Some(text)).map(RuleSubject::Organization)
            }
        }
    }

    pub(super) fn migration(&mut self, raw: raw::Migration) -> Migration {
        let at = At::section("migration");
        let default = Migration::default();
        let mut span = |key: &str, value, default| self.span(&at.key(key), value, default);
        let legacy_budget = span("legacy_budget", raw.legacy_budget, default.legacy_budget);
        let scalekit_budget = span("scalekit_budget", raw.scalekit_budget, default.scalekit_budget);
        let outcome_budget = span("outcome_budget", raw.outcome_budget, default.outcome_budget);
        let legacy_lane_budget = raw.legacy_lane_budget.map_or(default.legacy_lane_budget, |budget| budget.0);
        let lease = span("lease", raw.lease, default.lease);
        let claim_wait = span("claim_wait", raw.claim_wait, default.claim_wait);
        if lease <= scalekit_budget + outcome_budget {
            self.problem(
                &at.key("lease"),
                "must be longer than scalekit_budget and outcome_budget together: else it ends during the work",
            );
        }
        let mfa_accepted_organizations = raw.mfa_accepted_organizations.unwrap_or_default();
        self.no_blanks(&at.key("mfa_accepted_organizations"), &mfa_accepted_organizations);
        Migration {
            legacy_budget,
            scalekit_budget,
            outcome_budget,
            legacy_lane_budget,
            lease,
            claim_wait,
            mfa_accepted_organizations,
        }
    }
}
