//! Switched connections by the session they were opened with (SEC-14): they end when it does.
//!
//! A session that ends here cuts its connections at once, by the same call that empties the cache. What ends
//! elsewhere (another replica, a time-out) is found by a look at the store twice a second. Bytes that flow do not
//! count as use: a page's own heartbeat would keep an abandoned browser signed in for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::Gate;
use crate::{
    clock::Timestamp,
    session::{Digest, KeyRing, Session},
};

/// How often the store is asked about sessions with open connections.
const LOOK: Duration = Duration::from_millis(500);

/// The open connections of all data-plane threads.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(Mutex<HashMap<Digest, Open>>);

#[derive(Debug)]
struct Open {
    cut: CancellationToken,
    count: usize,
    /// The session's absolute end, for when the store cannot be asked.
    ends_at: Timestamp,
    /// The beginning of its sealed tokens, which names the key, as it was when the first connection was opened.
    sealed: String,
}

/// One connection's place; given up when dropped.
#[derive(Debug)]
pub(super) struct Bound {
    tunnels: Arc<Tunnels>,
    id: Digest,
    cut: CancellationToken,
}

impl Tunnels {
    /// Binds a connection to the session it was opened with.
    pub(super) fn bind(self: &Arc<Self>, id: Digest, session: &Session) -> Bound {
        let mut open = self.lock();
        let entry = open.entry(id.clone()).or_insert_with(|| Open {
            cut: CancellationToken::new(),
            count: 0,
            ends_at: session.ends_at,
            sealed: key_of(session),
        });
        entry.count += 1;
        Bound { tunnels: Arc::clone(self), id, cut: entry.cut.clone() }
    }

    /// Cuts every connection of a session.
    pub(super) fn cut(&self, id: &Digest) {
        if let Some(open) = self.lock().remove(id) {
            open.cut.cancel();
        }
    }

    fn ids(&self) -> Vec<Digest> {
        self.lock().keys().cloned().collect()
    }

    fn ended_for_good(&self, now: Timestamp) -> Vec<Digest> {
        let open = self.lock();
        open.iter().filter(|(_, open)| now >= open.ends_at).map(|(id, _)| id.clone()).collect()
    }

    /// Those whose tokens were sealed by a key that is there no more.
    fn of_retired_keys(&self, keys: &KeyRing) -> Vec<Digest> {
        let open = self.lock();
        open.iter().filter(|(_, open)| !keys.knows(&open.sealed)).map(|(id, _)| id.clone()).collect()
    }

    /// Notes that a session was sealed anew.
    fn sealed_anew(&self, id: &Digest, sealed: String) {
        if let Some(open) = self.lock().get_mut(id) {
            open.sealed = sealed;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As much of a session's sealed tokens as [`KeyRing::knows`] looks at.
fn key_of(session: &Session) -> String {
    session.tokens.chars().take(8).collect()
}

impl Bound {
    /// Resolves when the session has ended.
    pub(super) async fn over(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // After a cut the place is gone; one that is there again belongs to a connection that came too late.
        if self.cut.is_cancelled() {
            return;
        }
        let mut open = self.tunnels.lock();
        let Some(entry) = open.get_mut(&self.id) else { return };
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 {
            open.remove(&self.id);
        }
    }
}

impl Gate {
    /// Starts the watch over switched connections; it ends when the process begins to stop.
    pub(crate) fn watch_tunnels(self: &Arc<Self>) {
        let gate = Arc::clone(self);
        let stopping = self.tracker.stopping();
        self.tracker.spawn(async move {
            loop {
                // Only the wait is dropped when the process stops.
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = gate.clock.sleep(LOOK) => gate.cut_ended_tunnels().await,
                }
            }
        });
    }

    /// Cuts what was opened with sessions that are over.
    async fn cut_ended_tunnels(&self) {
        let (ids, now) = (self.visitors.tunnels.ids(), self.clock.now());
        if ids.is_empty() {
            return;
        }
        let ended = self.sessions.store.ended(ids, now).await.unwrap_or_else(|error| {
            // A session that cannot be checked is not ended, but none outlives its absolute end.
            tracing::warn!(error = %error, "sessions with open connections cannot be checked");
            self.visitors.tunnels.ended_for_good(now)
        });
        for id in ended {
            self.visitors.forget(&id);
        }
        // A session of a retired key is nobody's any more, though the store still has it.
        for id in self.visitors.tunnels.of_retired_keys(&self.keys) {
            match self.sessions.store.get(&id).await {
                Ok(Some(session)) if self.keys.knows(&session.tokens) => {
                    self.visitors.tunnels.sealed_anew(&id, key_of(&session));
                }
                // Where the store cannot be asked, the key's end is what is known.
                Ok(_) | Err(_) => self.visitors.forget(&id),
            }
        }
    }
}
