//! Section `guessing`, and what a source locks at.

use std::time::Duration;

use super::Check;
use crate::{
    config::{AccountLimit, Guessing, Lockout, Rate, SourceKind, Storm, problem::At, raw},
    rollout::BasisPoints,
};

/// A larger count would only cost memory: nobody means it.
const MOST_FAILURES: u32 = 1000;

/// One failure for strangers, one for the person's own devices, and the one that locks.
const LEAST_LOCKOUT: u32 = 3;

/// How long a source remembers failures when nobody said otherwise.
const LOCKOUT_WINDOW: Duration = Duration::from_hours(24);

impl Check<'_> {
    pub(super) fn guessing(&mut self, raw: raw::Guessing) -> Guessing {
        let at = At::section("guessing");
        let default = Guessing::default();
        let account = self.account_limit(&at.key("account"), &raw.account.unwrap_or_default());
        let address = self.rate(&at.key("address"), raw.address, default.address);
        let process = self.rate(&at.key("process"), raw.process, default.process);
        let storm = self.storm(&at.key("storm"), raw.storm.unwrap_or_default());
        let entries = self.count(&at.key("entries"), raw.entries, default.entries, 10_000_000);
        if entries < 1000 {
            self.problem(&at.key("entries"), "must be at least 1000: fewer would be forgotten at once");
        }
        Guessing { account, address, process, storm, entries }
    }

    fn account_limit(&mut self, at: &At, raw: &raw::AccountLimit) -> AccountLimit {
        let default = Guessing::default().account;
        let failures = raw.failures.unwrap_or(default.failures);
        if !(1..=MOST_FAILURES).contains(&failures) {
            self.problem(&at.key("failures"), format!("must be between 1 and {MOST_FAILURES}"));
        }
        let window = self.span(&at.key("window"), raw.window, default.window);
        let first_delay = self.span(&at.key("first_delay"), raw.first_delay, default.first_delay);
        let longest_delay = self.span(&at.key("longest_delay"), raw.longest_delay, default.longest_delay);
        if first_delay > longest_delay {
            self.problem(&at.key("first_delay"), "is longer than longest_delay");
        }
        AccountLimit { failures, window, first_delay, longest_delay }
    }

    pub(super) fn rate(&mut self, at: &At, raw: Option<raw::Rate>, default: Rate) -> Rate {
        let Some(raw) = raw else { return default };
        let tries = raw.tries.unwrap_or(default.tries);
        if tries == 0 {
            self.problem(&at.key("tries"), "must be above 0: nobody could sign in");
        }
        Rate { tries, per: self.span(&at.key("per"), raw.per, default.per) }
    }

    fn storm(&mut self, at: &At, raw: raw::Storm) -> Storm {
        let default = Guessing::default().storm;
        let failures = raw.failures.unwrap_or(default.failures);
        if failures == 0 {
            self.problem(&at.key("failures"), "must be above 0: every wrong password would be a storm");
        }
        let share = raw.share.map_or(default.share, |percent| percent.0);
        if share == BasisPoints::NONE {
            self.problem(&at.key("share"), "must be above 0%");
        }
        Storm { failures, share, address: self.rate(&at.key("address"), raw.address, default.address) }
    }

    /// What a source locks at; `None` when it locks nobody.
    pub(super) fn lockout(
        &mut self,
        at: &At,
        raw: Option<&raw::Lockout>,
        kind: Option<&SourceKind>,
    ) -> Option<Lockout> {
        let default = if matches!(kind, Some(SourceKind::Okta(_))) { 10 } else { 0 };
        let failures = raw.and_then(|raw| raw.failures).unwrap_or(default);
        let window = self.span(&at.key("window"), raw.and_then(|raw| raw.window), LOCKOUT_WINDOW);
        if failures == 0 {
            return None;
        }
        if !(LEAST_LOCKOUT..=MOST_FAILURES).contains(&failures) {
            self.problem(
                &at.key("failures"),
                format!("must be 0 (locks nobody) or between {LEAST_LOCKOUT} and {MOST_FAILURES}"),
            );
        }
        Some(Lockout { failures, window })
    }
}
