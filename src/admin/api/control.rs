//! What the operations work on.

use std::sync::Arc;

use crate::{clock::Timestamp, jobs::Dialing, net::Dependencies, proxy::Gate};

/// The running parts that operations read and change.
pub(crate) struct Control {
    pub(crate) gate: Arc<Gate>,
    pub(crate) dialing: Arc<Dialing>,
    /// What was seen of Scalekit and the legacy stores.
    pub(crate) dependencies: Box<dyn Fn() -> Vec<DependencySeen> + Send + Sync>,
    /// The breakers before all of them.
    pub(crate) breakers: Dependencies,
}

/// What this process saw of a dependency when it last asked.
#[derive(Clone, Debug)]
pub(crate) struct DependencySeen {
    /// `scalekit`, `legacy NAME`.
    pub(crate) name: String,
    /// Whether the last call failed.
    pub(crate) failing: bool,
    pub(crate) last_success: Option<Timestamp>,
    /// When, and its class.
    pub(crate) last_failure: Option<(Timestamp, &'static str)>,
}
