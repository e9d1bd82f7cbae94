//! The threads that hash: few, with one memory arena each, behind a bounded queue (SEC-39).

use std::sync::Arc;

use super::{HashError, HashFormat, Judgement, StoredHash};
use crate::{clock::Deadline, config::HashCeilings, identity::Password};

/// The hashing threads of this process.
#[derive(Clone, Debug)]
pub(crate) struct HashPool {}

/// The pool could not take or finish the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("the hashing queue is full")]
    Full,
    #[error("hashing did not finish in time")]
    TooLate,
    #[error("the hashing threads have stopped")]
    Stopped,
}

impl HashPool {
    /// Starts `threads` threads with room for `queue` waiting jobs.
    pub(crate) fn start(_threads: usize, _queue: usize, _ceilings: HashCeilings) -> Self {
        Self {}
    }

    /// Judges a password on one of the threads. `None` for `stored` does the work of a typical hash of the format
    /// and answers "no match": an unknown name must cost what a known one does (SEC-40).
    pub(crate) async fn verify(
        &self,
        _format: &HashFormat,
        _stored: Option<StoredHash>,
        _password: Arc<Password>,
        _deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        Err(PoolError::Stopped)
    }
}
