//! When a request finds its session's tokens due: one refresh, and nobody waits for it for long.
//!
//! The requests of this process share one flight; among replicas the claim in the store decides. A request waits a
//! moment, so that new roles count at once, and then goes on with the session as it is: it lives by its own times.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::gate::{Gate, Rules};
use crate::{
    clock::Deadline,
    session::{Digest, Refresh, Session},
    telemetry::with_causes,
};

/// What a request waits for a refresh at most.
const PATIENCE: Duration = Duration::from_millis(400);

/// More refreshes than this are not under way at once; the next use of a session asks again.
const MOST_FLIGHTS: usize = 64;

/// The refreshes under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<Digest, Flight>>);

/// One refresh under way.
#[derive(Clone, Debug)]
struct Flight {
    /// Never sends: it closes when the flight has landed.
    landed: watch::Receiver<()>,
    /// Until when anybody waits for it: a slow one does not cost every request the whole wait.
    patience: Deadline,
}

impl Flights {
    /// The flight under way for a session.
    fn under_way(&self, id: &Digest) -> Option<Flight> {
        self.lock().get(id).cloned()
    }

    /// The flight under way, or a new one beside the sender that ends it; `None` when there are too many.
    fn join_or_begin(&self, id: &Digest) -> Option<(Flight, Option<watch::Sender<()>>)> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(id) {
            return Some((flight.clone(), None));
        }
        if flights.len() >= MOST_FLIGHTS {
            return None;
        }
        let (tell, landed) = watch::channel(());
        let flight = Flight { landed, patience: Deadline::within(PATIENCE) };
        flights.insert(id.clone(), flight.clone());
        Some((flight, Some(tell)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight's end, also by a panic: out of the list first, then everybody who waits is told.
struct Landing {
    gate: Arc<Gate>,
    id: Digest,
    _tell: watch::Sender<()>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.gate.visitors.flights.lock().remove(&self.id);
    }
}

impl Gate {
    /// Refreshes a session that was just found, where that is due, and waits a moment for it. `true` when a refresh
    /// has ended: the session should be read again. Runs on the shared runtime.
    pub(super) async fn refresh_if_due(
        self: &Arc<Self>,
        id: &Digest,
        session: &Session,
        rules: &Arc<Rules>,
    ) -> bool {
        let flights = &self.visitors.flights;
        let flight = if session.renewal.is_open(self.clock.now()) {
            let Some((flight, begins)) = flights.join_or_begin(id) else { return false };
            if let Some(tell) = begins {
                self.take_off(id.clone(), tell, rules.session.refresh_after);
            }
            Some(flight)
        } else {
            flights.under_way(id)
        };
        let Some(mut flight) = flight else { return false };
        timeout(flight.patience.remaining(), flight.landed.changed()).await.is_ok()
    }

    fn take_off(self: &Arc<Self>, id: Digest, tell: watch::Sender<()>, every: Option<Duration>) {
        let landing = Landing { gate: Arc::clone(self), id, _tell: tell };
        self.tracker.spawn(async move {
            let (gate, id) = (&landing.gate, &landing.id);
            match gate.sessions.refresh(id, gate.provider.as_ref(), every).await {
                Ok(refresh) => gate.note(id, refresh),
                Err(error) => {
                    tracing::error!(error = %with_causes(&error), "a session's refresh could not be stored");
                }
            }
        });
    }

    fn note(&self, id: &Digest, refresh: Refresh) {
        match refresh {
            Refresh::NotOurs => {}
            Refresh::Renewed { session, is_changed } => {
                self.visitors.look_again(id);
                self.recorder.session_refreshed(&session, is_changed);
            }
            Refresh::Kept { problem, again_in } => self.recorder.session_not_refreshed(&problem, again_in),
            Refresh::Ended { session, why } => {
                self.visitors.forget(id);
                self.recorder.session_ended(&session, why);
            }
        }
    }
}
