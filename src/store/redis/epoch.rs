//! The epoch of a store in Redis: a hash beside the ledger, in the ledger's own slot, so that both are lost together.

use std::{sync::LazyLock, time::Duration};

use super::{Redis, script::Script};
use crate::{
    clock::Timestamp,
    login::{Doubt, Epoch, EpochStore, LedgerError, Put},
};
use async_trait::async_trait;

static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat_epoch.lua")));
static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("epoch.lua")));

pub(super) const EPOCH: &str = "{ledger}:epoch";

/// Name, beat, last use, doubt, confirmation.
type Fields = (Option<String>, Option<u64>, Option<u64>, Option<String>, Option<u64>);

#[async_trait]
impl EpochStore for Redis {
    async fn beat(&self, longest: Duration, _: Timestamp) -> Result<Option<Epoch>, LedgerError> {
        let mut script = BEAT.key(self.key(EPOCH));
        script.arg(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
        let fields =
            self.run(|mut connection| async move { Ok(script.invoke_async(&mut connection).await?) });
        let (id, beat, at, doubt, confirmed_at): Fields = fields.await?;
        Ok(id.map(|id| Epoch {
            id,
            beat: beat.unwrap_or_default(),
            at: Timestamp::from_millis(at.unwrap_or_default()),
            doubt: doubt.as_deref().map(Doubt::read),
            confirmed_at: confirmed_at.map(Timestamp::from_millis),
        }))
    }

    async fn put_epoch(&self, known: Option<&Epoch>, next: Put, _: Timestamp) -> Result<(), LedgerError> {
        let word = |doubt: Option<Doubt>| doubt.map_or("", Doubt::as_str);
        let mut script = PUT.key(self.key(EPOCH));
        script.arg(known.map_or("", |known| &known.id)).arg(word(known.and_then(|known| known.doubt)));
        script.arg(next.id).arg(next.beat).arg(word(next.doubt)).arg(u8::from(next.confirms));
        let put = self.run(|mut connection| async move {
            script.invoke_async::<()>(&mut connection).await?;
            Ok(())
        });
        Ok(put.await?)
    }

    fn line(&self) -> u64 {
        self.link.number()
    }

    /// A replica has no place of its own; what one of them saw, it knows while it lives.
    async fn remembered(&self) -> Option<Epoch> {
        None
    }

    async fn remember(&self, _: &Epoch) {}
}
