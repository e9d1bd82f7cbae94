//! Sections `rollout` and `migration`.

use std::time::Duration;

use super::Check;
use crate::{
    config::{FlagNames, Flagd, Migration, RolloutStart, problem::At, raw},
    identity::LoginName,
    rollout::{BasisPoints, BucketSalt, Dial, DialSource, RollbackMode, RuleSubject, Rules},
};

/// With the pause between two looks, a change is seen within the two seconds of REL-09.
const FLAGD_LONGEST: Duration = Duration::from_secs(1);

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
            Some(raw::DialSource::Flagd) => DialSource::Flagd,
        };
        if source == DialSource::Flagd && !self.flagd_is_built_in {
            self.problem(
                &at.key("source"),
                "flagd is not part of this build: build with `cargo build --release --features openfeature`, or \
                 write store or file",
            );
        }
        let asks_flagd = raw.flagd.is_some() || source == DialSource::Flagd;
        let flagd = asks_flagd.then(|| self.flagd(&at.key("flagd"), raw.flagd.unwrap_or_default()));
        Some(RolloutStart {
            source,
            flagd: flagd.flatten(),
            dial: Dial::new(cutover, migrate, rollback, Rules { deny, allow }),
            salt: BucketSalt::new(salt?.expose().as_bytes()),
            force_key: force_key.flatten(),
        })
    }

    fn flagd(&mut self, at: &At, raw: raw::Flagd) -> Option<Flagd> {
        let url = raw.url.unwrap_or_else(|| "http://localhost:8016".to_owned());
        // Without a secret, flagd in the cluster is commonly asked without TLS.
        let url = match &raw.token {
            Some(_) => self.https_or_own_machine(&at.key("url"), url),
            None => self.origin(&at.key("url"), Some(url)),
        };
        let token = raw.token.map(|token| self.secret(&at.key("token"), Some(token)));
        let timeout = self.span(&at.key("timeout"), raw.timeout, Duration::from_millis(500));
        if timeout > FLAGD_LONGEST {
            self.problem(&at.key("timeout"), "must be at most 1s: a change is seen within two seconds");
        }
        let names = raw.flags.unwrap_or_default();
        let names_at = at.key("flags");
        let mut name = |key: &str, given: Option<String>, default: &str| {
            self.text(&names_at.key(key), Some(given.unwrap_or_else(|| default.to_owned())))
        };
        let cutover = name("cutover", names.cutover, "crossfade-cutover-percent");
        let migrate = name("migrate", names.migrate, "crossfade-migrate-percent");
        let rollback_mode = name("rollback_mode", names.rollback_mode, "crossfade-rollback-mode");
        let paused = name("paused", names.paused, "crossfade-paused");
        Some(Flagd {
            url: url?,
            token: token.flatten(),
            timeout,
            flags: FlagNames {
                cutover: cutover?,
                migrate: migrate?,
                rollback_mode: rollback_mode?,
                paused: paused?,
            },
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::testing::environment;

    #[test]
    fn a_build_that_cannot_ask_flagd_says_how_to_make_one_that_can() {
        let environment = environment();
        let tried = |flagd_is_built_in, source| {
            let mut check = Check { flagd_is_built_in, ..Check::new(&environment, Path::new("/base")) };
            let salt = Some(raw::SecretRef::Env("KEY".to_owned()));
            check.rollout(Some(raw::Rollout { source: Some(source), salt, ..raw::Rollout::default() }));
            check.problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect()
        };
        let refused: Vec<String> = tried(false, raw::DialSource::Flagd);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].starts_with("rollout.source: flagd is not part of this build"), "{refused:?}");
        assert!(refused[0].contains("--features openfeature"), "{refused:?}");
        for (built_in, source) in [(true, raw::DialSource::Flagd), (false, raw::DialSource::File)] {
            assert_eq!(tried(built_in, source), Vec::<String>::new());
        }
    }
}
