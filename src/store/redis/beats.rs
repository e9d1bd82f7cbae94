//! The beat of each process, by which the others know how many they are, and the look whether Redis is back.
//!
//! One task does both. What a process may do alone while Redis is away is its share of what all may do together; how
//! many share is what was last seen.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::AsyncCommands as _;

use super::{Failure, Redis, connection::Connection, script::Script};
use crate::{
    net::{Dependencies, Probes, Tracker},
    store::MetaError,
};

/// How this store is called among the dependencies.
const NAME: &str = "store";

/// How often it is asked whether it is back: sooner than anybody would notice.
const LOOK: Duration = Duration::from_millis(200);

/// Every so many looks the process says that it is there.
const LOOKS_A_BEAT: u32 = 10;

/// Whoever was silent for so long is not there any more.
const SILENCE_MS: u64 = 10_000;

static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));

/// How many processes share the store; never less than one.
#[derive(Clone)]
pub(super) struct Replicas(Arc<AtomicU32>);

impl Replicas {
    /// Before any were counted.
    pub(super) fn assumed(number: u32) -> Self {
        Self(Arc::new(AtomicU32::new(number.max(1))))
    }

    pub(super) fn number(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn counted(&self, number: u32) {
        self.0.store(number.max(1), Ordering::Relaxed);
    }
}

impl Redis {
    /// The store with its breaker, which a task of `tracker` closes when Redis is back. Counts this process.
    pub(crate) async fn watched(mut self, dependencies: &Dependencies, tracker: &Tracker) -> Self {
        self.breaker = Some(dependencies.breaker(NAME, Probes::InTheBackground));
        // At once: others should know before anything goes wrong.
        self.beat().await;
        let (store, stopping) = (self.clone(), tracker.stopping());
        drop(tracker.spawn(async move {
            let mut looks = 0_u32;
            // A wait that is broken off leaves nothing undone.
            while stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
                looks = looks.wrapping_add(1);
                store.look(looks.is_multiple_of(LOOKS_A_BEAT)).await;
            }
            store.leave().await;
        }));
        self
    }

    async fn look(&self, beats: bool) {
        let Some(breaker) = &self.breaker else { return };
        if !breaker.refuses() {
            if beats {
                self.beat().await;
            }
            return;
        }
        // A beat is a write: one that answers and may not write is of no use.
        let (key, holder) = self.beat_of();
        if let Ok(number) = self.link.run(|connection| beat(connection, key, holder)).await {
            self.replicas.counted(number);
            breaker.close();
        }
    }

    /// What could not be counted is counted the next time; the last number stands.
    async fn beat(&self) {
        let (key, holder) = self.beat_of();
        if let Ok(number) = self.run(|connection| beat(connection, key, holder)).await {
            self.replicas.counted(number);
        }
    }

    fn beat_of(&self) -> (String, Arc<str>) {
        (self.key("replicas"), Arc::clone(&self.holder))
    }

    /// How many processes use the store now; unlike a beat, the question counts nobody.
    pub(crate) async fn in_use_by(&self) -> Result<u64, MetaError> {
        let (key, _) = self.beat_of();
        let asked = self.run(|mut connection| async move {
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
            let silent = (seconds * 1000 + micros / 1000).saturating_sub(SILENCE_MS);
            Ok(connection.zcount(key, silent, "+inf").await?)
        });
        Ok(asked.await?)
    }

    /// The others need not wait for the silence.
    async fn leave(&self) {
        let (key, holder) = self.beat_of();
        let left = self.run(|mut connection| async move {
            let mut leave = redis::cmd("ZREM");
            leave.arg(key).arg(&*holder);
            Ok(leave.query_async::<()>(&mut connection).await?)
        });
        if let Err(error) = left.await {
            tracing::debug!(error = %error, "the other replicas were not told that this one leaves");
        }
    }
}

/// Says that a process is there, and counts all that are.
async fn beat(mut connection: Connection, key: String, holder: Arc<str>) -> Result<u32, Failure> {
    let mut script = BEAT.key(key);
    script.arg(&*holder).arg(SILENCE_MS);
    Ok(script.invoke_async(&mut connection).await?)
}
