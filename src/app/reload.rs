//! A changed configuration: what can be swapped is swapped whole, the rest says that it needs a restart.

use std::{error::Error, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;

use super::{Instance, belongings::Own, build, pledge};
use crate::{
    config::{self, AssertionKey, Config, IdentityHeaders},
    login::LedgerError,
    proxy::Rules,
    session::KeyRing,
    store::MetaError,
};

/// A section as text, to tell whether it changed.
type Print = fn(&Config) -> String;

/// Settings that only a restart can change, and how to tell that they did.
const NEEDS_RESTART: [(&str, Print); 10] = [
    ("public (all but the certificates)", |config| {
        let mut public = config.public.clone();
        if let Some(tls) = &mut public.tls {
            tls.certificates.clear();
        }
        format!("{public:?}")
    }),
    ("admin (all but tokens)", |config| format!("{:?} {:?}", config.admin.listen, config.admin.wrong_tokens)),
    ("upstream", |config| format!("{:?}{}", config.upstream, content(config.upstream.ca_file.as_ref()))),
    ("store (all but the passwords)", |config| {
        let ca_file = match &config.store {
            config::Store::Redis(redis) => redis.ca_file.as_ref(),
            config::Store::Embedded { .. } => None,
        };
        format!("{:?}{}", config.store, content(ca_file))
    }),
    ("identity (all but assertion_key)", |config| {
        let assertion_key = AssertionKey::Stored;
        format!("{:?}", IdentityHeaders { assertion_key, ..config.identity.clone() })
    }),
    ("pages", |config| format!("{:?}", config.pages)),
    ("telemetry", |config| format!("{:?}{}", config.telemetry, config.telemetry.subject_key.expose())),
    ("scalekit (all but client_secret, hand_offs and on_existing)", |config| {
        let mut scalekit = config.scalekit.clone();
        scalekit.hand_offs = crate::config::HandOffs {
            default: crate::config::HandOff::Shadow,
            organizations: std::collections::BTreeMap::new(),
        };
        scalekit.on_existing = crate::config::OnExisting::Conflict;
        format!("{scalekit:?}")
    }),
    ("session.cookie, session.idle, session.absolute", |config| {
        let session = &config.session;
        format!("{}{:?}{:?}", session.cookie, session.idle, session.absolute)
    }),
    ("legacy.hash_threads, hash_queue, hash_ceilings", |config| {
        let legacy = &config.legacy;
        format!("{}/{}/{:?}", legacy.hash_threads, legacy.hash_queue, legacy.hash_ceilings)
    }),
];

/// What a file that is read at the start only holds now: its path does not tell that it was replaced.
fn content(file: Option<&PathBuf>) -> String {
    let Some(file) = file else { return String::new() };
    match std::fs::read(file) {
        Ok(content) => format!("{:?}", digest::digest(&digest::SHA256, &content)),
        Err(error) => error.to_string(),
    }
}

/// Digests of the settings that this process began with, which stay in force whatever is loaded: they hold secrets.
pub(super) struct Began([digest::Digest; NEEDS_RESTART.len()]);

impl Began {
    pub(super) fn with(config: &Config) -> Self {
        Self(NEEDS_RESTART.map(|(_, print)| digest::digest(&digest::SHA256, print(config).as_bytes())))
    }

    /// The sections in which another configuration says something else.
    fn differing(&self, config: &Config) -> Vec<&'static str> {
        let other = Self::with(config);
        let sections = NEEDS_RESTART.into_iter().zip(self.0.iter().zip(other.0.iter()));
        let differing = sections.filter(|(_, (began, now))| began.as_ref() != now.as_ref());
        differing.map(|((section, _), _)| section).collect()
    }
}

/// Why a configuration is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It cannot be used here, and the old one stays.
    #[error("the changed configuration is refused")]
    Refused(#[source] anyhow::Error),
    /// The store cannot be asked for now. What does not need it is in force, and the rest has to be tried again.
    #[error("the store cannot be asked")]
    NotYet(#[source] anyhow::Error),
}

impl NotTaken {
    fn of(error: anyhow::Error) -> Self {
        let is_of_store =
            |cause: &(dyn Error + 'static)| cause.is::<MetaError>() || cause.is::<LedgerError>();
        if error.chain().any(is_of_store) { Self::NotYet(error) } else { Self::Refused(error) }
    }
}

impl Instance {
    /// Takes a new configuration into force, or refuses it whole (but for certificates and tokens) and leaves the old
    /// one. May be called again with the same one.
    pub(crate) async fn reload(&self, new: &Arc<Config>) -> Result<(), NotTaken> {
        // Also when the rest is refused below: they were checked and depend on nothing else. A certificate that waits
        // for somebody to mend another setting may expire meanwhile, and a token that leaked goes on to be used.
        if let Some(tls) = &new.public.tls {
            self.plane.renew(tls);
        }
        self.api.take_tokens(&new.admin);
        let taken = self.take(new).await.map_err(NotTaken::of);
        if let Err(NotTaken::NotYet(_)) = taken {
            // Who turns the dial by the file may be in a hurry, and an outage is when that is so.
            self.parts.dialing.reload_dial(new);
        }
        taken
    }

    async fn take(&self, new: &Arc<Config>) -> anyhow::Result<()> {
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
        let parts = &self.parts;
        // Files of people may be large, and are not read again and again while the store is away.
        parts.store.meta.meta(pledge::META).await.context("the store cannot be read")?;
        let chain = build::chain(&new.legacy, &parts.hashes, &parts.observer, &parts.dependencies).await?;
        // A source that comes back after a reload without it is still bound to its external ids.
        let pledge = pledge::keep(&parts.store, new).await?;
        #[cfg(feature = "openfeature")]
        let flagd = crate::jobs::Flagd::of(&new.rollout, &parts.dependencies)?;
        let sealed = self.rotate(new).await?;
        parts.belongings.replace(Own::new(pledge, sealed));
        #[cfg(feature = "openfeature")]
        parts.dialing.heed(flagd).await;
        for section in self.began.differing(new) {
            tracing::warn!(config.section = section, "a changed setting needs a restart and is not in force");
        }
        let gate = &parts.gate;
        gate.journeys.chain.store(Arc::new(chain));
        parts.dialing.reload(new);
        gate.rules.store(Arc::new(Rules::of(new).keeping(&gate.rules.load())));
        self.config.store(Arc::clone(new));
        Ok(())
    }

    /// Takes keys and secrets into force (REL-11). The last thing that can refuse a configuration, and then nothing of
    /// it was taken. Gives the key that signs assertions as the store holds it.
    async fn rotate(&self, new: &Config) -> anyhow::Result<Option<Vec<u8>>> {
        let (gate, before) = (&self.parts.gate, self.config.load());
        // What the store keeps is opened with any key, and sealed with the first one of the new keys: none of the old
        // ones need stay for its sake.
        let all: Vec<_> = new.session.keys.iter().chain(&before.session.keys).cloned().collect();
        let all = KeyRing::new(&all).context("session.keys")?;
        let (key, sealed) =
            build::signing_key(&new.identity.assertion_key, &*self.parts.store.meta, &all).await?;
        if let (Some(redis), config::Store::Redis(settings)) = (&self.parts.store.redis, &new.store) {
            redis.take_passwords(settings).context("store.redis")?;
        }
        gate.keys.replace(&new.session.keys).context("session.keys")?;
        if gate.signer.rotate(key, gate.clock.now()) {
            tracing::info!("a new key is published and signs assertions in a few minutes");
        }
        self.parts.scalekit.set_client_secret(&new.scalekit.client_secret);
        Ok(sealed)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        clock::Timestamp,
        config::{Environment, parse},
        identity::{ExternalId, LegacyId, PersonKey, SourceName},
        login::Row,
        rollout::Bucket,
    };

    fn config(sources: &str, store: &Path) -> Config {
        read(&text(sources, store))
    }

    fn text(sources: &str, store: &Path) -> String {
        format!(
            "
public: {{url: 'https://app.example.com', allowed_hosts: [app.example.com], listen: '127.0.0.1:0'}}
admin: {{listen: '127.0.0.1:0'}}
upstream: {{url: 'https://inside.example.com'}}
legacy: {{sources: [{sources}]}}
scalekit:
  environment_url: https://example.scalekit.com
  client_id: skc_1
  client_secret: {{env: KEY}}
  default_organization: {{external_id: main, display_name: Main}}
rollout: {{cutover: 0%, salt: {{env: KEY}}}}
session: {{keys: [{{env: KEY}}]}}
store: {{embedded: {{path: '{}'}}}}
telemetry: {{subject_key: {{env: KEY}}}}
",
            store.display()
        )
    }

    fn read(text: &str) -> Config {
        let environment = Environment::new([("KEY".to_owned(), "k".repeat(32))]);
        parse(text, Path::new("/base"), &environment).unwrap_or_else(|problems| panic!("{problems}")).config
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_source_that_comes_back_is_still_bound_to_its_external_ids() {
        let file = std::env::temp_dir().join(format!("crossfade-reload-{}.redb", uuid::Uuid::now_v7()));
        let crm = "{name: crm, upstream: {}, external_id: 'crm-{id}'}";
        let instance = Instance::start(config(crm, &file), None).await.unwrap();
        let key = PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("7").unwrap() };
        let now = Timestamp::from_seconds(1_800_000_000);
        let row = Row::fresh(key, Bucket::test(1), ExternalId::received("crm-7".into()), now);
        instance.parts.store.ledger.claim(&row, std::time::Duration::from_secs(1), now).await.unwrap();
        let reload = async |sources: &str| instance.reload(&Arc::new(config(sources, &file))).await;
        reload("{name: other, upstream: {}, external_id: 'o-{id}'}").await.unwrap();
        let changed = reload(&crm.replace("crm-", "new-")).await;
        let Err(NotTaken::Refused(why)) = changed else { panic!("{changed:?}") };
        assert!(why.to_string().contains("external_id"));
        assert!(reload(crm).await.is_ok());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn what_needs_a_restart_is_judged_by_what_the_process_began_with() {
        let file = std::env::temp_dir().join(format!("crossfade-ca-{}.pem", uuid::Uuid::now_v7()));
        std::fs::write(&file, "one").unwrap();
        let upstream = format!("{{url: 'https://inside.example.com', ca_file: '{}'}}", file.display());
        let first = text("{name: crm, upstream: {}}", Path::new("state.redb"))
            .replace("{url: 'https://inside.example.com'}", &upstream);
        let began = Began::with(&read(&first));
        let other = read(&first.replace("keys: [{env: KEY}]", "keys: [{env: KEY}], idle: 7m"));
        for _ in 0..2 {
            assert_eq!(began.differing(&other), ["session.cookie, session.idle, session.absolute"]);
        }
        assert_eq!(began.differing(&read(&first)), [""; 0], "as it was: nothing waits for a restart");
        // A rotated file of authorities is not in force, whatever its name.
        std::fs::write(&file, "two").unwrap();
        assert_eq!(began.differing(&read(&first)), ["upstream"]);
        std::fs::remove_file(&file).unwrap();
    }
}
