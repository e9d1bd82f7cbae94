//! A changed configuration: what can be swapped is swapped whole, the rest says that it needs a restart.

use std::sync::Arc;

use anyhow::bail;

use super::{Instance, build};
use crate::{config::Config, login::Settings, proxy::Rules};

/// Settings that only a restart can change, and how to tell that they did.
const NEEDS_RESTART: [(&str, fn(&Config) -> String); 8] = [
    ("public", |config| format!("{:?}", config.public)),
    ("admin", |config| format!("{:?}", config.admin)),
    ("upstream", |config| format!("{:?}", config.upstream)),
    ("store", |config| format!("{:?}", config.store)),
    ("telemetry", |config| format!("{:?}{}", config.telemetry, config.telemetry.subject_key.expose())),
    ("scalekit (all but hand_offs and on_existing)", |config| {
        let mut scalekit = config.scalekit.clone();
        scalekit.hand_offs = crate::config::HandOffs {
            default: crate::config::HandOff::Shadow,
            organizations: std::collections::BTreeMap::new(),
        };
        scalekit.on_existing = crate::config::OnExisting::Conflict;
        format!("{scalekit:?}{}", scalekit.client_secret.expose())
    }),
    ("session.keys, session.cookie, session.idle, session.absolute", |config| {
        let session = &config.session;
        let keys: Vec<&str> = session.keys.iter().map(crate::identity::Secret::expose).collect();
        format!("{keys:?}{}{:?}{:?}", session.cookie, session.idle, session.absolute)
    }),
    ("legacy.hash_threads, hash_queue, hash_ceilings", |config| {
        let legacy = &config.legacy;
        format!("{}/{}/{:?}", legacy.hash_threads, legacy.hash_queue, legacy.hash_ceilings)
    }),
];

impl Instance {
    /// Takes a new configuration into force, or refuses it whole and leaves the old one.
    pub(crate) async fn reload(&self, new: Config) -> anyhow::Result<()> {
        let old = self.config.load_full();
        if new.rollout.salt.fingerprint() != old.rollout.salt.fingerprint() {
            bail!(
                "rollout.salt: cannot change while Crossfade runs; it would put everybody into another bucket"
            );
        }
        for source in &new.legacy.sources {
            let before = old.legacy.sources.iter().find(|known| known.name == source.name);
            if before.is_some_and(|before| before.external_id != source.external_id) {
                bail!(
                    "legacy source {}: external_id cannot change while people are migrated by it",
                    source.name
                );
            }
        }
        let chain = build::chain(&new.legacy, &self.parts.hashes, &self.parts.observer).await?;
        for (section, print) in NEEDS_RESTART {
            if print(&old) != print(&new) {
                tracing::warn!(
                    config.section = section,
                    "a changed setting needs a restart and is not in force"
                );
            }
        }
        let gate = &self.parts.gate;
        gate.journeys.chain.store(Arc::new(chain));
        gate.journeys.settings.store(Arc::new(Settings::of(&new)));
        gate.rules.store(Arc::new(Rules::of(&new).keeping(&gate.rules.load())));
        if old.rollout.dial != new.rollout.dial {
            self.parts.observer.audit.rollout_changed("configuration", &old.rollout.dial, &new.rollout.dial);
        }
        self.parts.metrics.dial_stands(&new.rollout.dial);
        self.config.store(Arc::new(new));
        Ok(())
    }
}
