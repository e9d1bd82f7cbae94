//! The admin listener: health, metrics and the API, for orchestrators, scrapers and operators.
//!
//! `/livez` says that this process answers and asks nobody; `/readyz` says that it may get traffic. A legacy store
//! or Scalekit that is down never makes us unready (REL-35): every replica would go at once, and with them the
//! application that needs neither. Start reading at [`serve`], [`Readiness`] and `api`.

mod api;
mod listener;
mod routes;

pub(crate) use api::{Api, Control, DependencySeen};
pub(crate) use listener::serve;

use std::{net::IpAddr, sync::Arc};

use tokio::sync::watch;

use crate::telemetry::Metrics;

/// What the routes answer from.
#[derive(Clone, Debug)]
pub(crate) struct AdminState {
    pub(crate) ready: watch::Receiver<Readiness>,
    pub(crate) metrics: Metrics,
    pub(crate) api: Arc<Api>,
}

/// Who sends a request: the address at the other end of its connection, never what a header says.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

/// Whether traffic may come. No state of a dependency is among these, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Not yet, and what is waited for.
    Starting(Awaits),
    /// Configuration in force, store open, every data-plane thread listening.
    Ready,
    /// The process is going: what has begun is finished, nothing new should come.
    Draining,
}

/// The steps of a start, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The embedded store to open, or the shared one to be reached once.
    Store,
    Listeners,
}

impl Readiness {
    /// Why no traffic should come; `None` when it may.
    pub(crate) fn hindrance(self) -> Option<&'static str> {
        match self {
            Self::Starting(Awaits::Store) => Some("the store is not open or cannot be reached yet"),
            Self::Starting(Awaits::Listeners) => Some("not listening yet"),
            Self::Ready => None,
            Self::Draining => Some("draining"),
        }
    }
}

#[cfg(test)]
mod tests;
