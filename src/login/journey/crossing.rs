//! Before somebody who exists crosses for the first time: would the legacy side still let them in?
//!
//! DONE may be long ago: people are created unnoticed while their lane is legacy. Whoever was disabled since, locked,
//! given a second factor (truth 6) or another address must not get a session by a mailbox they had then. Who crossed is
//! Scalekit's from then on, and the legacy side is not asked any more.

use std::time::Duration;

use super::{CROSS_TRIES, Journeys};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, VerifiedEmail},
    login::{ErrorClass, Ineligible, Ledger as _, LedgerError, Notice, Origin, Row, RowState, eligibility},
};

/// All that asking may take: somebody who exists is not kept out by a legacy side that is slow or away.
const LOOK_BUDGET: Duration = Duration::from_secs(1);

/// How a person stands at the legacy side by now.
enum Standing {
    InOrder,
    NotInOrder(Ineligible),
    /// With the reason's class.
    NotAsked(&'static str),
}

impl Journeys {
    /// Judges somebody anew who is about to cross for the first time. Who is not in order any more is set aside, and
    /// their row comes back as it stands then. `mailbox` is the address that Scalekit checked a moment ago.
    pub(super) async fn judged_anew(
        &self,
        row: Row,
        mailbox: Option<&CanonicalEmail>,
    ) -> Result<Row, LedgerError> {
        let is_first = row.origin == Origin::Legacy && row.crossed_at.is_none();
        if !is_first || row.state != RowState::Done {
            return Ok(row);
        }
        match self.standing(&row, mailbox).await {
            Standing::InOrder => Ok(row),
            Standing::NotInOrder(why) => self.set_aside_done(row, why).await,
            Standing::NotAsked(why) => {
                self.witness.notice(&row, Notice::CrossesUnasked(why));
                Ok(row)
            }
        }
    }

    async fn standing(&self, row: &Row, mailbox: Option<&CanonicalEmail>) -> Standing {
        let (settings, chain) = (self.settings.load_full(), self.chain.load_full());
        let (source, id) = (&row.key.source, &row.key.id);
        let rules = settings.sources.get(source).filter(|_| chain.holds_records(source));
        let Some(rules) = rules else { return Standing::NotAsked("holds_no_records") };
        let record = match chain.read(source, id, Deadline::within(LOOK_BUDGET)).await {
            Ok(Some(record)) => record,
            Ok(None) => return Standing::NotInOrder(Ineligible::AccountGone),
            Err(error) => {
                self.witness.unavailable("read_record", &error);
                return Standing::NotAsked(match error.class {
                    ErrorClass::Transient { .. } => "unavailable",
                    ErrorClass::Permanent => "unreadable",
                    ErrorClass::Misconfigured => "misconfigured",
                });
            }
        };
        let accepted = &settings.migration.mfa_accepted_organizations;
        let email = match eligibility::judge(&record, None, &row.external_id, rules, accepted) {
            Ok(email) => email,
            Err(why) => return Standing::NotInOrder(why),
        };
        // The address they were created with, or the one that they just proved to have.
        let known = [row.email.as_ref().map(VerifiedEmail::email), mailbox];
        if known.contains(&Some(email.email())) {
            Standing::InOrder
        } else {
            Standing::NotInOrder(Ineligible::EmailChanged)
        }
    }

    /// Their sign-ins go to the application from now on, which judges them, and they are judged anew at each.
    async fn set_aside_done(&self, mut row: Row, why: Ineligible) -> Result<Row, LedgerError> {
        for _ in 0..CROSS_TRIES {
            let aside =
                Row { state: RowState::Ineligible { why }, updated_at: self.clock.now(), ..row.clone() };
            match self.ledger.write(&aside).await {
                Err(LedgerError::Overtaken) => {
                    row = self.ledger.row(&row.key).await?.ok_or(LedgerError::Overtaken)?;
                }
                written => {
                    let written = written?;
                    self.witness.moved(&row.state, &written);
                    return Ok(written);
                }
            }
            // Removed meanwhile, or through already.
            if row.state != RowState::Done || row.crossed_at.is_some() {
                return Ok(row);
            }
        }
        Err(LedgerError::Overtaken)
    }
}
