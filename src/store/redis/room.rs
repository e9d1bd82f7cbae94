//! Room for the counts of tries: strangers who guess at ever new names cannot fill the store.
//!
//! A sorted set for each kind names its counts in the order in which they go: those that hold nobody back first, those
//! that are over soonest before the others. Counts have slots of their own, so it is written after them: for a moment
//! it may leave out a new one, which Redis forgets by itself. A count that is on the way out may be changed at the same
//! moment; then it is forgotten right after that change.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::Cmd;

use super::{Failure, Redis, script::Script};
use crate::{
    clock::Timestamp,
    login::{Count, CountKey},
};

static ROOM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("room.lua")));

/// A count that goes on changing is noted anew in each of these spans: what is noted is never further behind.
const SPAN: Duration = Duration::from_mins(1);

/// How many counts go at a time.
const BATCH: usize = 100;

/// Counts of one kind.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// How long one is kept after it was changed.
    pub(super) kept_for: Duration,
    /// How many there may be.
    pub(super) most: usize,
}

/// Where a count stands among the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    holds_back: bool,
    span: u64,
}

impl Place {
    pub(super) fn of(count: &impl Count) -> Self {
        let span = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
        Self { holds_back: count.holds_back(), span: count.last().millis() / span }
    }
}

/// When it was last told that counts had to go: once in a span is enough.
#[derive(Default)]
pub(super) struct Told(AtomicU64);

impl Told {
    fn tell(&self, most: usize, now: Timestamp) {
        let span = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
        let this = now.millis() / span;
        if self.0.swap(this, Ordering::Relaxed) != this {
            tracing::warn!(
                most,
                "counts of sign-in tries were forgotten for want of room in Redis (guessing.entries)"
            );
        }
    }
}

impl Redis {
    pub(super) fn count_key(&self, kind: &str, key: CountKey) -> String {
        self.key(&format!("tries:{kind}:{key:?}"))
    }

    fn room_key(&self, kind: &str) -> String {
        self.key(&format!("tries-of:{kind}"))
    }

    /// A count of this kind was changed; it has this place now, or is gone. Makes room where there is none.
    pub(super) async fn note_count(
        &self,
        kind: Kind,
        key: CountKey,
        place: Option<Place>,
        (told, now): (&Told, Timestamp),
    ) -> Result<(), Failure> {
        let what = match place {
            None => "gone",
            Some(Place { holds_back: false, .. }) => "idle",
            Some(Place { holds_back: true, .. }) => "holds",
        };
        let kept_for = u64::try_from((kind.kept_for + SPAN).as_millis()).unwrap_or(u64::MAX);
        let mut script = ROOM.key(self.room_key(kind.name));
        script.arg(format!("{key:?}")).arg(what).arg(kept_for).arg(kind.most).arg(BATCH);
        let noted = self.run(|mut connection| async move {
            Ok(script.invoke_async::<Vec<String>>(&mut connection).await?)
        });
        let go = noted.await?;
        if go.is_empty() {
            return Ok(());
        }
        told.tell(kind.most, now);
        let prefix = self.key(&format!("tries:{}:", kind.name));
        let commands: Vec<Cmd> = go.iter().map(|name| Cmd::del(format!("{prefix}{name}"))).collect();
        self.run(|mut connection| async move {
            connection.each::<()>(&commands).await?;
            Ok(())
        })
        .await
    }

    /// Deletes a count, whatever it says.
    pub(super) async fn drop_count(&self, kind: &str, key: CountKey) -> Result<(), Failure> {
        let commands =
            [Cmd::del(self.count_key(kind, key)), Cmd::zrem(self.room_key(kind), format!("{key:?}"))];
        self.run(|mut connection| async move {
            connection.each::<()>(&commands).await?;
            Ok(())
        })
        .await
    }
}
