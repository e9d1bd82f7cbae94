//! Back from a configuration to the file's own shape, with every default filled in.
//!
//! Secrets come from what the file said, so that their content cannot get here.

mod admin;
mod guessing;
mod legacy;
mod pages;
mod sections;
mod services;

use std::path::Path;

use super::{
    Config,
    raw::{Raw, SecretRef},
};

/// `raw` is what the file said, `base` the folder its relative paths start from.
pub(super) fn fill(config: &Config, raw: &Raw, base: &Path) -> Raw {
    Raw {
        public: Some(sections::public(&config.public)),
        admin: Some(admin::admin(&config.admin, raw.admin.as_ref(), base)),
        upstream: Some(sections::upstream(&config.upstream)),
        sign_in: Some(sections::sign_in(&config.sign_in)),
        guessing: Some(guessing::guessing(&config.guessing)),
        legacy: Some(legacy::legacy(&config.legacy, raw.legacy.as_ref(), base)),
        scalekit: Some(sections::scalekit(&config.scalekit, raw.scalekit.as_ref(), base)),
        migration: Some(sections::migration(&config.migration)),
        rollout: Some(sections::rollout(&config.rollout, raw.rollout.as_ref(), base)),
        session: Some(sections::session(&config.session, raw.session.as_ref(), base)),
        identity: Some(sections::identity(&config.identity)),
        store: Some(sections::store(&config.store, raw.store.as_ref(), base)),
        telemetry: Some(sections::telemetry(&config.telemetry, raw.telemetry.as_ref(), base)),
        pages: Some(pages::pages(&config.pages)),
    }
}

/// A reference that means the same from any folder.
fn whole(secret: Option<&SecretRef>, base: &Path) -> Option<SecretRef> {
    secret.map(|secret| match secret {
        SecretRef::File(path) => SecretRef::File(base.join(path).display().to_string()),
        SecretRef::Env(name) => SecretRef::Env(name.clone()),
    })
}
