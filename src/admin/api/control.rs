//! What the operations work on.

use std::sync::Arc;

use crate::proxy::Gate;

/// The running parts that operations read and change.
pub(crate) struct Control {
    pub(crate) gate: Arc<Gate>,
}
