//! Ending sessions by somebody else's decision (SEC-22): all of one person, or all of everybody.

use super::Gate;
use crate::session::{Digest, SessionStoreError, Whose};

impl Gate {
    /// Ends every session of one person, with the connections opened by them, and returns how many there were.
    /// Scalekit's own session is not ended by it.
    pub(crate) async fn end_all_of(
        &self,
        whose: &Whose,
        why: &'static str,
    ) -> Result<usize, SessionStoreError> {
        let ended = self.sessions.store.remove_all_of(whose).await?;
        for id in &ended {
            self.visitors.forget(id);
        }
        self.recorder.sessions_revoked(Some(whose), ended.len(), why);
        Ok(ended.len())
    }

    /// Ends every session of everybody. Those that ended before a failure are on record, too.
    pub(crate) async fn end_all(&self, why: &'static str) -> Result<usize, SessionStoreError> {
        let mut ended = 0;
        let mut told = |ids: &[Digest]| {
            ended += ids.len();
            for id in ids {
                self.visitors.forget(id);
            }
        };
        let done = self.sessions.store.remove_all(&mut told).await;
        if done.is_ok() || ended > 0 {
            self.recorder.sessions_revoked(None, ended, why);
        }
        done.map(|()| ended)
    }
}
