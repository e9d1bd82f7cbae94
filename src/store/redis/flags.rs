//! The flag state in Redis: a hash of the record and the version that replacements go by.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::AsyncCommands as _;

use super::{Failure, Redis, script::Script};
use crate::{
    login::{Flags, FlagsError, Replaced},
    rollout::FlagState,
    telemetry::with_causes,
};

static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replace_flags.lua")));

pub(super) const FLAGS: &str = "flags";

#[async_trait]
impl Flags for Redis {
    async fn flags(&self) -> Result<Option<FlagState>, FlagsError> {
        let key = self.key(FLAGS);
        let state = self.run(|mut connection| async move {
            let state: Option<Vec<u8>> = connection.hget(key, "state").await?;
            Ok(state.map(|state| serde_json::from_slice(&state)).transpose()?)
        });
        Ok(state.await?)
    }

    async fn replace_flags(&self, over: u64, next: &FlagState) -> Result<Replaced, FlagsError> {
        let mut script = REPLACE.key(self.key(FLAGS));
        script.arg(over).arg(next.version).arg(serde_json::to_vec(next).map_err(Failure::from)?);
        let done =
            self.run(|mut connection| async move { Ok(script.invoke_async::<bool>(&mut connection).await?) });
        Ok(if done.await? { Replaced::Done } else { Replaced::Stale })
    }
}

impl From<Failure> for FlagsError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreadable(error) => Self::Unreadable(error.to_string()),
            other => Self::Unavailable(with_causes(&other)),
        }
    }
}
