//! Values that belong to the store itself, in Redis.

use std::sync::LazyLock;

use async_trait::async_trait;
use redis::{AsyncCommands as _, ExistenceCheck, SetOptions};

use super::{Redis, script::Script};
use crate::store::{Meta, MetaError};

static SWAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("swap.lua")));

impl Redis {
    pub(super) fn meta_key(&self, name: &str) -> String {
        format!("{}meta:{name}", self.prefix)
    }
}

#[async_trait]
impl Meta for Redis {
    async fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, MetaError> {
        let key = self.meta_key(name);
        Ok(self.run(|mut connection| async move { Ok(connection.get(key).await?) }).await?)
    }

    async fn set_meta(&self, name: &'static str, value: Vec<u8>) -> Result<(), MetaError> {
        let key = self.meta_key(name);
        let set = self.run(|mut connection| async move { Ok(connection.set::<_, _, ()>(key, value).await?) });
        Ok(set.await?)
    }

    async fn meta_or_insert(&self, name: &'static str, value: Vec<u8>) -> Result<Vec<u8>, MetaError> {
        let key = self.meta_key(name);
        let kept = self.run(|mut connection| async move {
            let unless_there = SetOptions::default().conditional_set(ExistenceCheck::NX);
            let () = connection.set_options(&key, &value, unless_there).await?;
            Ok(connection.get::<_, Option<Vec<u8>>>(key).await?.unwrap_or(value))
        });
        Ok(kept.await?)
    }

    async fn swap_meta(
        &self,
        name: &'static str,
        old: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, MetaError> {
        let mut script = SWAP.key(self.meta_key(name));
        // No value of ours is empty.
        script.arg(old.unwrap_or_default()).arg(new);
        Ok(self.run(|mut connection| async move { Ok(script.invoke_async(&mut connection).await?) }).await?)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
