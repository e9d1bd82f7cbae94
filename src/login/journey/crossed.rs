//! Whoever crossed has no way back by another name: a legacy password opens nothing any more (REL-08).

use super::{Journeys, decide_with};
use crate::{
    identity::{LegacyRecord, LoginName},
    login::{Basis, Ledger as _, LedgerError, Outcome},
    rollout::{Forced, Known, Lane},
};

impl Journeys {
    /// Where somebody goes whom the legacy side takes for themselves, by a name or a form that did not lead to their
    /// row, and who crossed. `None`: they did not, or the dial has sent them back, and the application's word stands.
    pub(crate) async fn crossed_before(
        &self,
        record: &LegacyRecord,
        typed: Option<&LoginName>,
        forced: Option<Forced>,
        basis: Basis,
    ) -> Option<Outcome> {
        let led = self.lead_crossed(record, typed, forced, basis).await;
        led.unwrap_or_else(|error| {
            self.witness.unavailable("read_row", &error);
            self.tell_unreadable(&error);
            None
        })
    }

    async fn lead_crossed(
        &self,
        record: &LegacyRecord,
        typed: Option<&LoginName>,
        forced: Option<Forced>,
        basis: Basis,
    ) -> Result<Option<Outcome>, LedgerError> {
        let row = self.ledger.row(&record.key()).await?;
        let Some(mut row) = row.filter(|row| row.known() == Known::Crossed) else { return Ok(None) };
        let Some(name) = typed.cloned().or_else(|| row.name()) else { return Ok(None) };
        let decided = decide_with(self.settings.load_full(), name, forced, Some(row.clone()), None);
        if decided.decision.lane != Lane::New {
            return Ok(None);
        }
        if basis == Basis::Proof {
            row = self.remember_names(row, typed, record).await?;
        }
        let outcome = self.hand_over(&decided, row, basis).await;
        Ok(Some(outcome).filter(|outcome| !matches!(outcome, Outcome::Forward(_))))
    }
}
