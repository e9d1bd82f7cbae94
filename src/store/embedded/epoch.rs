//! The epoch of the embedded store, and what was last seen of it in a file of its own beside the store's: an old copy
//! of the one is recognised by the other. Whoever brings back both together has to be believed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::{Embedded, META, StoreError};
use crate::{
    clock::Timestamp,
    login::{Doubt, Epoch, EpochStore, LedgerError, Put},
};

/// The name under which the store keeps it.
pub(super) const EPOCH: &str = "epoch";

/// An epoch as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    id: String,
    beat: u64,
    at: Timestamp,
    doubt: Option<String>,
    confirmed_at: Option<Timestamp>,
}

impl From<&Epoch> for Kept {
    fn from(epoch: &Epoch) -> Self {
        Self {
            id: epoch.id.clone(),
            beat: epoch.beat,
            at: epoch.at,
            doubt: epoch.doubt.map(|doubt| doubt.as_str().to_owned()),
            confirmed_at: epoch.confirmed_at,
        }
    }
}

impl From<Kept> for Epoch {
    fn from(kept: Kept) -> Self {
        let doubt = kept.doubt.as_deref().map(Doubt::read);
        Self { id: kept.id, beat: kept.beat, at: kept.at, doubt, confirmed_at: kept.confirmed_at }
    }
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".seen");
    name.into()
}

#[async_trait]
impl EpochStore for Embedded {
    async fn beat(&self, longest: Duration, now: Timestamp) -> Result<Option<Epoch>, LedgerError> {
        let beaten = Embedded::write(self, move |transaction| {
            let mut table = transaction.open_table(META)?;
            let Some(mut kept) = table.get(EPOCH)?.map(|value| read(value.value())).transpose()? else {
                return Ok(None);
            };
            let lived = u64::try_from(now.since(kept.at).min(longest).as_millis()).unwrap_or(u64::MAX);
            kept.beat = kept.beat.saturating_add(lived.max(1));
            kept.at = kept.at.max(now);
            table.insert(EPOCH, serde_json::to_vec(&kept)?.as_slice())?;
            Ok(Some(kept.into()))
        });
        Ok(beaten.await?)
    }

    async fn put_epoch(&self, known: Option<&Epoch>, next: Put, now: Timestamp) -> Result<(), LedgerError> {
        let known = known.map(|known| (known.id.clone(), known.doubt));
        let put = Embedded::write(self, move |transaction| {
            let mut table = transaction.open_table(META)?;
            let kept = table.get(EPOCH)?.map(|value| read(value.value())).transpose()?;
            let there = kept.map(Epoch::from);
            if there.as_ref().map(|there| (there.id.clone(), there.doubt)) != known {
                return Ok(());
            }
            let before = there.and_then(|there| there.confirmed_at);
            let confirmed_at = if next.confirms { Some(now) } else { before };
            let next = Epoch { id: next.id, beat: next.beat, at: now, doubt: next.doubt, confirmed_at };
            table.insert(EPOCH, serde_json::to_vec(&Kept::from(&next))?.as_slice())?;
            Ok(())
        });
        Ok(put.await?)
    }

    /// A file that cannot be read is as good as none.
    async fn remembered(&self) -> Option<Epoch> {
        let path = beside(&self.path);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path));
        let kept: Kept = serde_json::from_slice(&read.await.ok()?.ok()?).ok()?;
        Some(kept.into())
    }

    async fn remember(&self, seen: &Epoch) {
        let (path, kept) = (beside(&self.path), Kept::from(seen));
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &kept)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "what was seen of the store cannot be kept beside it");
        }
    }
}

pub(super) fn read(value: &[u8]) -> Result<Kept, StoreError> {
    Ok(serde_json::from_slice(value)?)
}

/// Looks of several sign-ins end at once, and there is one name for what is not in its place yet.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// All of it or nothing: a half-written memory would be none.
fn write_whole(path: &Path, kept: &Kept) -> io::Result<()> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    std::fs::write(&next, serde_json::to_vec(kept)?)?;
    std::fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_saw_at_once_is_kept_whole() {
        let path = std::env::temp_dir().join(format!("crossfade-seen-{}", uuid::Uuid::now_v7()));
        std::thread::scope(|scope| {
            let looks: Vec<_> = (0..8_u64)
                .map(|thread| {
                    let path = &path;
                    scope.spawn(move || {
                        (0..100).try_for_each(|beat| {
                            let at = Timestamp::from_seconds(1);
                            // Of different lengths: a mixture could not be read.
                            let id = "x".repeat(usize::try_from(thread).unwrap() * 100);
                            write_whole(path, &Kept { id, beat, at, doubt: None, confirmed_at: None })
                        })
                    })
                })
                .collect();
            for look in looks {
                look.join().unwrap().unwrap();
            }
        });
        let kept: Kept = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept.beat, 99);
        std::fs::remove_file(path).unwrap();
    }
}
