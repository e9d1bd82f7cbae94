//! Finishing what a sign-in began and nobody came back to (design, "Settled": the sweeper).

use std::time::Duration;

use super::{
    Journeys,
    migrate::{Migrated, Proven},
};
use crate::{
    clock::Deadline,
    identity::{LegacyRecord, LoginName, PersonKey, Proof, ProofKind},
    login::{ClaimAnswer, Ledger as _, LedgerError, Mark, Row, RowState, Settings, machine::Creating},
};

/// How old a proof may be for a create that was never sent.
const PROOF_LASTS: Duration = Duration::from_hours(24);

/// What became of one open row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    Done,
    /// The person may not be created any more.
    SetAside,
    /// For another time: somebody works on it, something could not be asked, or its outcome is still open.
    NotYet,
    /// Their row cannot be read.
    Unreadable,
    /// For the person's next sign-in: there is no proof that is young enough, or no record any more.
    NextSignIn,
    /// It is not open any more.
    Nothing,
}

impl Swept {
    /// The result in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::SetAside => "set_aside",
            Self::NotYet => "not_yet",
            Self::Unreadable => "unreadable",
            Self::NextSignIn => "next_sign_in",
            Self::Nothing => "nothing",
        }
    }
}

impl Journeys {
    /// People whose migration was begun and is not finished.
    pub(crate) async fn open_people(
        &self,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        self.ledger.marked(Mark::Open, after, limit).await
    }

    /// Finishes one of them as far as that goes without them: a create that was sent is looked for at any age, and a
    /// first one is sent only on a young proof and for a record that was read again and is still in order. What is
    /// wrong with one person is no error: the others wait.
    pub(crate) async fn finish(&self, key: &PersonKey) -> Result<Swept, LedgerError> {
        match self.try_finish(key).await {
            Err(LedgerError::Overtaken | LedgerError::AliasTaken) => Ok(Swept::NotYet),
            Err(LedgerError::Unreadable(key)) => {
                self.witness.unreadable(&key);
                Ok(Swept::Unreadable)
            }
            swept => swept,
        }
    }

    async fn try_finish(&self, key: &PersonKey) -> Result<Swept, LedgerError> {
        let settings = self.settings.load_full();
        // Before the row is read: others may know that the person was removed.
        self.settled().await?;
        let Some(row) = self.ledger.row(key).await?.filter(is_open) else { return Ok(Swept::Nothing) };
        let (Some(stored), Some(proof)) = (row.record.clone(), row.proof.clone()) else {
            return Ok(Swept::NextSignIn);
        };
        let Some(rules) = settings.sources.get(&key.source).cloned() else { return Ok(Swept::NextSignIn) };
        let (record, creating) = if was_sent(&row) {
            // A sign-in that waits for the outcome has the claim, or comes back; nobody is kept from that.
            let sent = row.create_sent_at.map(|sent| self.clock.now().since(sent));
            if sent.is_some_and(|since| since < settings.migration.outcome_budget) {
                return Ok(Swept::NotYet);
            }
            (stored, Creating::LookUpOnly)
        } else if !settings.dial.migrates(row.bucket) {
            // The dial is paused or went back since: nobody new is created.
            return Ok(Swept::NextSignIn);
        } else {
            match self.still_in_order(&settings, key, &proof).await {
                Ok(record) => (record, self.creating()),
                Err(swept) => return Ok(swept),
            }
        };
        let claimed_at = self.clock.monotonic();
        let claimed = self.ledger.claim(&row, settings.migration.lease, self.clock.now()).await?;
        let ClaimAnswer::Granted(claimed) = claimed else { return Ok(Swept::NotYet) };
        // Somebody went on with it in between: what was read before does not count.
        if claimed.version != row.version + 1 {
            self.ledger.write(&Row { claim: None, ..*claimed }).await?;
            return Ok(Swept::NotYet);
        }
        let bucket = claimed.bucket;
        // A mailbox proves its own address and none that the record has by now.
        let mailbox = claimed.email.as_ref().filter(|_| proof.kind == ProofKind::Inbox);
        let typed = mailbox.and_then(|email| LoginName::parse(email.email().as_str()));
        let proven = Proven { record, proof, typed, bucket };
        Ok(match self.run(&settings, &rules, (*claimed, claimed_at), proven, creating).await? {
            Migrated::Done { .. } => Swept::Done,
            Migrated::Conflict(_) | Migrated::Ineligible(_) => Swept::SetAside,
            Migrated::Later | Migrated::InDoubt => Swept::NotYet,
        })
    }

    /// The record of somebody who proved themselves lately, read again.
    async fn still_in_order(
        &self,
        settings: &Settings,
        key: &PersonKey,
        proof: &Proof,
    ) -> Result<LegacyRecord, Swept> {
        if self.clock.now().since(proof.at) >= PROOF_LASTS {
            return Err(Swept::NextSignIn);
        }
        let deadline = Deadline::within(settings.migration.legacy_budget);
        match self.chain.load_full().read(&key.source, &key.id, deadline).await {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(Swept::NextSignIn),
            Err(error) => {
                self.witness.unavailable("read_record", &error);
                Err(Swept::NotYet)
            }
        }
    }
}

fn is_open(row: &Row) -> bool {
    row.mark() == Some(Mark::Open)
}

/// Whether the person may exist at Scalekit.
fn was_sent(row: &Row) -> bool {
    row.create_sent_at.is_some() || row.state == RowState::Created
}
