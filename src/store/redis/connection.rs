//! A connection to a Redis of any shape, and what of a command's routing the rest need not know.

use futures_util::future::{Either, try_join_all};
use redis::{
    Cmd, FromRedisValue, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};

/// Cheap to clone: all clones are one connection.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends commands of any keys together and gives their answers in their order. Together they are no unit: each
    /// may happen without the others.
    pub(super) async fn each<T: FromRedisValue>(&mut self, commands: &[Cmd]) -> RedisResult<Vec<T>> {
        match self {
            Self::One(connection) => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                pipeline.query_async(connection).await
            }
            // A pipeline goes to one node, and these may belong to several.
            Self::Cluster(connection) => {
                let asked = commands.iter().map(|command| {
                    let mut connection = connection.clone();
                    async move { command.query_async(&mut connection).await }
                });
                try_join_all(asked).await
            }
        }
    }

    fn inner(&mut self) -> Either<&mut MultiplexedConnection, &mut ClusterConnection> {
        match self {
            Self::One(connection) => Either::Left(connection),
            Self::Cluster(connection) => Either::Right(connection),
        }
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self.inner() {
            Either::Left(connection) => connection.req_packed_command(command),
            Either::Right(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self.inner() {
            Either::Left(connection) => connection.req_packed_commands(pipeline, offset, count),
            Either::Right(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
