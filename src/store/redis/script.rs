//! Scripts, by their digest, or with their text where a server does not know them.
//!
//! The driver's own loads an unknown script at every node of a cluster, and fails when one of them is away; a node
//! that was just promoted knows none.

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs};

use super::connection::Connection;

pub(super) struct Script {
    text: &'static str,
    digest: String,
}

/// A script with its keys and arguments.
pub(super) struct Invocation<'a> {
    script: &'a Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Script {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Begins with the first key, which says where in a cluster the script runs.
    pub(super) fn key(&self, key: impl ToRedisArgs) -> Invocation<'_> {
        Invocation { script: self, keys: key.to_redis_args(), arguments: Vec::new() }
    }
}

impl Invocation<'_> {
    /// Another key, of the same slot.
    pub(super) fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        self.keys.extend(key.to_redis_args());
        self
    }

    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.arguments.extend(argument.to_redis_args());
        self
    }

    pub(super) async fn invoke_async<T: FromRedisValue>(
        &self,
        connection: &mut Connection,
    ) -> RedisResult<T> {
        match self.by_digest().query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.text).query_async(connection).await
            }
            answer => answer,
        }
    }

    /// The call as a command, for a pipeline: it fails where a server does not know the script.
    pub(super) fn by_digest(&self) -> redis::Cmd {
        self.command("EVALSHA", &self.script.digest)
    }

    fn command(&self, name: &str, script: &str) -> redis::Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
