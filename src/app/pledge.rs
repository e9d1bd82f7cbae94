//! What may never change while the ledger has rows: the bucket salt and the external ids (design, step 3 and
//! "Words"). The store keeps what it was first used with.

use std::{collections::BTreeMap, fmt};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{config::Config, store::Store};

/// The name under which the store keeps it.
pub(super) const META: &str = "pledge";

/// The settings a store is bound to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pledge {
    /// A fingerprint, never the salt itself.
    salt: String,
    /// Source name to external id template.
    external_ids: BTreeMap<String, String>,
}

impl Pledge {
    fn of(config: &Config) -> Self {
        let template = |source: &crate::config::Source| {
            (source.name.as_str().to_owned(), source.external_id.as_str().to_owned())
        };
        Self {
            salt: config.rollout.salt.fingerprint(),
            external_ids: config.legacy.sources.iter().map(template).collect(),
        }
    }
}

/// Refuses a configuration that would reshuffle people or lose them in Scalekit; remembers one that may be used.
pub(super) async fn keep(store: &Store, config: &Config) -> anyhow::Result<()> {
    let mut now = Pledge::of(config);
    let kept = store.meta.meta(META).await.context("the store cannot be read")?;
    let kept: Option<Pledge> = kept.map(|kept| serde_json::from_slice(&kept)).transpose()?;
    if let Some(kept) = kept
        && !store.ledger.is_empty().await.context("the ledger cannot be read")?
    {
        check(&kept, &now)?;
        // A source that is switched off for a while keeps its promise.
        for (name, template) in kept.external_ids {
            now.external_ids.entry(name).or_insert(template);
        }
    }
    store.meta.set_meta(META, serde_json::to_vec(&now)?).await.context("the store cannot be written")?;
    Ok(())
}

/// A setting that must not be what it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) struct Breach {
    pub(super) place: String,
    pub(super) seen: String,
    pub(super) fix: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.seen, self.fix)
    }
}

/// What a store with people in it keeps against this configuration, if anything. `kept` is the store's value under
/// [`META`].
pub(super) fn breach(kept: &[u8], config: &Config) -> Result<Option<Breach>, serde_json::Error> {
    Ok(check(&serde_json::from_slice(kept)?, &Pledge::of(config)).err())
}

fn check(kept: &Pledge, now: &Pledge) -> Result<(), Breach> {
    if kept.salt != now.salt {
        return Err(Breach {
            place: "rollout.salt".into(),
            seen: "the ledger has people who were put into buckets with another salt".into(),
            fix: "bring the old salt back, or start with an empty store".into(),
        });
    }
    for (name, template) in &now.external_ids {
        if let Some(old) = kept.external_ids.get(name).filter(|old| *old != template) {
            return Err(Breach {
                place: format!("legacy source {name}: external_id"),
                seen: format!("it is {template:?}, but people are in Scalekit already under {old:?}"),
                fix: format!("set external_id to {old:?}"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pledge(salt: &str, ids: &[(&str, &str)]) -> Pledge {
        let ids = ids.iter().map(|(name, template)| ((*name).to_owned(), (*template).to_owned()));
        Pledge { salt: salt.to_owned(), external_ids: ids.collect() }
    }

    #[test]
    fn a_salt_or_an_external_id_never_changes_under_people() {
        let kept = pledge("a", &[("crm", "{id}")]);
        assert!(check(&kept, &pledge("a", &[("crm", "{id}"), ("okta", "okta:{id}")])).is_ok());
        assert!(check(&kept, &pledge("a", &[])).is_ok());
        let salt = check(&kept, &pledge("b", &[("crm", "{id}")])).unwrap_err().to_string();
        assert!(salt.contains("rollout.salt"), "{salt}");
        let template = check(&kept, &pledge("a", &[("crm", "{source}:{id}")])).unwrap_err().to_string();
        assert!(template.contains("set external_id to \"{id}\""), "{template}");
    }
}
