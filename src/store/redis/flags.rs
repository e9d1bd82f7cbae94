//! The flag state in Redis: a hash of the record and the version that replacements go by.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::AsyncCommands as _;

use super::{
    Failure, Redis,
    script::{Invocation, Script},
};
use crate::{
    login::{Damaged, Flags, FlagsError, Replaced, StoredFlags},
    rollout::FlagState,
    telemetry::with_causes,
};

static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replace_flags.lua")));
static OVERWRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("overwrite_flags.lua")));

pub(super) const FLAGS: &str = "flags";

/// As the scripts write it: they compare the text, and another one for the same number would never fit.
fn number(version: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(version).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == version).then_some(number)
}

#[async_trait]
impl Flags for Redis {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        let key = self.key(FLAGS);
        let read =
            self.run(|mut connection| async move { Ok(connection.hmget(key, &["version", "state"]).await?) });
        let (version, state) = read.await?;
        StoredFlags { version, state }.read(number)
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        let mut script = REPLACE.key(self.key(FLAGS));
        script.arg(over).arg(next.version).arg(serde_json::to_vec(next).map_err(Failure::from)?);
        self.put(script).await
    }

    async fn overwrite_flags(&self, damaged: &Damaged, next: &FlagState) -> Result<Replaced, FlagsError> {
        let StoredFlags { version, state } = &damaged.stored;
        let mut script = OVERWRITE.key(self.key(FLAGS));
        for stored in [version, state] {
            script.arg(stored.as_deref().unwrap_or_default());
        }
        script.arg(next.version).arg(serde_json::to_vec(next).map_err(Failure::from)?);
        self.put(script).await
    }
}

impl Redis {
    async fn put(&self, script: Invocation<'_>) -> Result<Replaced, FlagsError> {
        let done =
            self.run(|mut connection| async move { Ok(script.invoke_async::<bool>(&mut connection).await?) });
        Ok(if done.await? { Replaced::Done } else { Replaced::Stale })
    }
}

impl From<Failure> for FlagsError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(with_causes(&failure))
    }
}
