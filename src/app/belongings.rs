//! What a Redis holds for all processes and each of them has, too: the pledge, and the key that signs assertions. One
//! that lost them gets them back, or the next process to start would sign with a key that nobody else publishes, and
//! might put people into other buckets.
//!
//! Where that process was faster, its key is taken over as in a rotation, and it is told of the one before: then all
//! sign with the old key until whoever keeps the key set has asked again. Start reading at [`Belongings::put_back`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::{build::STORED_KEY, pledge};
use crate::{
    clock::Timestamp,
    jobs::PutsBack,
    proxy::Gate,
    session::{KEYS_KEPT_FOR, Purpose, SigningKey},
    store::{Meta, MetaError},
    telemetry::with_causes,
};

/// Where a store keeps the key that all signed with before it lost it.
const FORMER_KEY: &str = "assertion_key_before";

/// The values of this process, as the store should hold them.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    pub(super) pledge: Vec<u8>,
    /// Sealed; `None` where the key is a file's.
    pub(super) key: Option<Vec<u8>>,
    former: Option<Vec<u8>>,
    /// The last pledge in the store that does not go with this one.
    foreign: Option<Vec<u8>>,
    /// The last key in the store that no key of this process opens.
    unopened: Option<Vec<u8>>,
}

impl Own {
    pub(super) fn new(pledge: Vec<u8>, key: Option<Vec<u8>>) -> Self {
        Self { pledge, key, ..Self::default() }
    }
}

/// A key that some still sign with.
#[derive(Debug, Serialize, Deserialize)]
struct Former {
    /// Sealed.
    key: String,
    /// Until when they do.
    signs_until: Timestamp,
}

/// The values of this process, and the store that may lose them.
pub(super) struct Belongings {
    meta: Arc<dyn Meta>,
    gate: Arc<Gate>,
    own: Mutex<Own>,
}

impl Belongings {
    pub(super) fn new(meta: Arc<dyn Meta>, gate: Arc<Gate>, own: Own) -> Self {
        Self { meta, gate, own: Mutex::new(own) }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other ones by a reload.
    pub(super) fn replace(&self, own: Own) {
        let former = self.own().former.take();
        *self.own() = Own { former, ..own };
    }

    async fn try_put_back(&self) -> Result<(), MetaError> {
        let own = self.own().clone();
        let pledge = self.there_or(pledge::META, &own.pledge).await?;
        if pledge != own.pledge && own.foreign.as_ref() != Some(&pledge) {
            match pledge::joined(&own.pledge, &pledge) {
                // Of two that write it together the next look makes one.
                Ok(both) => {
                    if both == pledge || self.meta.swap_meta(pledge::META, Some(pledge), both.clone()).await?
                    {
                        self.own().pledge = both;
                    }
                }
                Err(parted) => {
                    error!(error = %parted, "the store was lost, and another process put its settings there");
                    self.own().foreign = Some(pledge);
                }
            }
        }
        let Some(key) = own.key else { return Ok(()) };
        let there = self.there_or(STORED_KEY, &key).await?;
        if there != key {
            self.take_over(&there, key).await?;
        }
        let former = self.own().former.clone();
        let former = match former {
            Some(former) => Some(self.there_or(FORMER_KEY, &former).await?),
            None => self.meta.meta(FORMER_KEY).await?,
        };
        if let Some(former) = former.filter(|former| self.own().former.as_ref() != Some(former)) {
            self.follow(&former);
            self.own().former = Some(former);
        }
        Ok(())
    }

    /// The store's value, which is this process's where it had none.
    async fn there_or(&self, name: &'static str, own: &[u8]) -> Result<Vec<u8>, MetaError> {
        match self.meta.meta(name).await? {
            Some(there) => Ok(there),
            None => self.meta.meta_or_insert(name, own.to_vec()).await,
        }
    }

    /// Another key is in the place of this process's, or the same one sealed anew.
    async fn take_over(&self, there: &[u8], before: Vec<u8>) -> Result<(), MetaError> {
        if self.own().unopened.as_deref() == Some(there) {
            return Ok(());
        }
        let Some(key) = self.opened(there) else {
            // This process's own is what others published, so it is not given away for that.
            self.own().unopened = Some(there.to_vec());
            return Ok(());
        };
        self.own().key = Some(there.to_vec());
        let now = self.gate.clock.now();
        if !self.gate.signer.rotate(key, now) {
            return Ok(());
        }
        warn!(
            "the store was lost, and another process put its own signing key there: it is published here, too"
        );
        let key = String::from_utf8_lossy(&before).into_owned();
        let former = Former { key, signs_until: now.after(KEYS_KEPT_FOR) };
        let Ok(former) = serde_json::to_vec(&former) else { return Ok(()) };
        self.own().former = Some(former.clone());
        self.meta.set_meta(FORMER_KEY, former).await
    }

    /// Others sign with another key than this process, for a while.
    fn follow(&self, former: &[u8]) {
        let Ok(former) = serde_json::from_slice::<Former>(former) else { return };
        if let Some(key) = self.opened(former.key.as_bytes()) {
            self.gate.signer.follow(key, former.signs_until, self.gate.clock.now());
        }
    }

    fn opened(&self, sealed: &[u8]) -> Option<SigningKey> {
        let der = self.gate.keys.open(Purpose::SigningKey, std::str::from_utf8(sealed).ok()?);
        let key = der.and_then(|der| SigningKey::from_der(&der).ok());
        if key.is_none() {
            warn!(
                "a signing key in the store was sealed with a key that is not in session.keys: this process goes on \
                 with its own, and the next one does not start until that key is in session.keys again"
            );
        }
        key
    }
}

#[async_trait]
impl PutsBack for Belongings {
    async fn put_back(&self) {
        // A file is lost with its process.
        if !self.meta.is_shared() {
            return;
        }
        if let Err(error) = self.try_put_back().await {
            warn!(error = %with_causes(&error), "what the store should hold for all replicas cannot be looked at");
        }
    }
}
