//! What the heart needs of the configuration, in one value that is swapped whole on a reload.

use std::collections::BTreeMap;

use super::{Holders, Search};
use crate::{
    config::{AssumeStranger, AssumeVerified, Config, HandOffs, MfaDeclaration, Migration, OnExisting},
    identity::{ExternalIdTemplate, SourceName},
    rollout::{BucketSalt, Dial},
};

/// The rules of one source that matter after its record is known.
#[derive(Clone, Debug)]
pub(crate) struct SourceRules {
    pub(crate) external_id: ExternalIdTemplate,
    pub(crate) assume_verified: Option<AssumeVerified>,
    pub(crate) assume_stranger: Option<AssumeStranger>,
    pub(crate) mfa: MfaDeclaration,
}

/// Read once at the start of each sign-in, so that a change is atomic per request (REL-09).
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) dial: Dial,
    pub(crate) salt: BucketSalt,
    pub(crate) sources: BTreeMap<SourceName, SourceRules>,
    pub(crate) hand_offs: HandOffs,
    pub(crate) on_existing: OnExisting,
    pub(crate) migration: Migration,
}

impl Settings {
    pub(crate) fn of(config: &Config) -> Self {
        let rules = |source: &crate::config::Source| {
            let rules = SourceRules {
                external_id: source.external_id.clone(),
                assume_verified: source.assume_verified.clone(),
                assume_stranger: source.assume_stranger.clone(),
                mfa: source.mfa.clone(),
            };
            (source.name.clone(), rules)
        };
        Self {
            dial: config.rollout.dial.clone(),
            salt: config.rollout.salt.clone(),
            sources: config.legacy.sources.iter().map(rules).collect(),
            hand_offs: config.scalekit.hand_offs.clone(),
            on_existing: config.scalekit.on_existing,
            migration: config.migration.clone(),
        }
    }

    /// Whether nobody of the legacy side can be who was searched for. A source that cannot tell may know them, unless
    /// somebody signed that it does not: being born new cannot be taken back.
    pub(crate) fn may_be_new(&self, search: &Search) -> bool {
        let is_signed = |source: &SourceName| {
            self.sources.get(source).is_some_and(|rules| rules.assume_stranger.is_some())
        };
        let is_found = matches!(search.holders, Holders::One(_) | Holders::Several);
        !is_found && search.silent.iter().all(is_signed)
    }
}
