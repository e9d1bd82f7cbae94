//! What may never change while the ledger has rows: the bucket salt and the external ids (design, step 3 and
//! "Words"). The store keeps what it was first used with.
//!
//! What is kept is compared and replaced at once: of two processes that start together, one is first and the other is
//! held to its word. In a store that several use, the word binds from then on; nobody can see whether another process
//! is about to write its first row. A file that only this process has may still change while it is empty.

use std::{collections::BTreeMap, fmt};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{config::Config, store::Store};

/// The name under which the store keeps it.
pub(super) const META: &str = "pledge";

/// How often others may be faster: each of them is one that starts or reloads.
const MOST_TURNS: usize = 100;

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

/// Refuses a configuration that would reshuffle people or lose them in Scalekit; remembers one that may be used, and
/// gives what the store holds now.
pub(super) async fn keep(store: &Store, config: &Config) -> anyhow::Result<Vec<u8>> {
    for _ in 0..MOST_TURNS {
        let mut now = Pledge::of(config);
        let old = store.meta.meta(META).await.context("the store cannot be read")?;
        let kept: Option<Pledge> = old.as_deref().map(serde_json::from_slice).transpose()?;
        if let Some(kept) = kept
            && (store.meta.is_shared()
                || !store.ledger.is_empty().await.context("the ledger cannot be read")?)
        {
            check(&kept, &now)?;
            // A source that is switched off for a while keeps its promise.
            for (name, template) in kept.external_ids {
                now.external_ids.entry(name).or_insert(template);
            }
        }
        let new = serde_json::to_vec(&now)?;
        if old.as_ref() == Some(&new)
            || store.meta.swap_meta(META, old, new.clone()).await.context("the store cannot be written")?
        {
            return Ok(new);
        }
    }
    anyhow::bail!("other processes change what the store keeps of the settings without an end")
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

/// The word of this process and of another one together, in that each keeps its promise about sources that the other
/// does not know; refused where they say different things about the same.
pub(super) fn joined(own: &[u8], other: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (own, mut both): (Pledge, Pledge) = (serde_json::from_slice(own)?, serde_json::from_slice(other)?);
    check(&both, &own)?;
    both.external_ids.extend(own.external_ids);
    Ok(serde_json::to_vec(&both)?)
}

fn check(kept: &Pledge, now: &Pledge) -> Result<(), Breach> {
    if kept.salt != now.salt {
        return Err(Breach {
            place: "rollout.salt".into(),
            seen: "the store was first used with another salt, by which people are put into buckets".into(),
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
    fn what_two_processes_promised_is_kept_together() {
        let bytes = |salt, ids: &[_]| serde_json::to_vec(&pledge(salt, ids)).unwrap();
        let (crm, okta) = (("crm", "{id}"), ("okta", "okta:{id}"));
        let all = bytes("a", &[crm, okta]);
        assert_eq!(joined(&bytes("a", &[crm]), &bytes("a", &[okta])).unwrap(), all);
        assert_eq!(
            joined(&all, &bytes("a", &[okta])).unwrap(),
            all,
            "a source that the other has switched off"
        );
        assert!(joined(&all, &bytes("b", &[])).is_err());
        assert!(joined(&all, &bytes("a", &[("crm", "crm:{id}")])).is_err());
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
