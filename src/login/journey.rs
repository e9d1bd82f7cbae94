//! One sign-in, driven over the ports (design, "One sign-in").
//!
//! [`Journeys::decide`] names the lane; [`Journeys::new_lane`] goes through a sign-in of the new lane;
//! [`Journeys::after_upstream`] follows the application's own yes, in either lane; [`Journeys::callback`] follows
//! Scalekit's. Whoever calls these runs them to their end: a client that goes away must not cut a create from its
//! record.

mod callback;
mod choice;
mod crossed;
mod crossing;
mod doubt;
mod finish;
mod mend;
mod migrate;
mod names;
mod operate;
#[cfg(test)]
mod ramp;
#[cfg(test)]
mod tests;

use std::{iter, sync::Arc};

use arc_swap::ArcSwap;

pub(crate) use callback::Callback;
pub(crate) use finish::Swept;
pub(crate) use operate::{NotDone, Whom};

use self::migrate::{Migrated, Proven};
use super::{
    Alias, Asker, Attempt, Basis, Chain, Closed, Directory, HandOver, Ledger as _, LedgerError, LegacyError,
    Moment, Origin, Outcome, Rejected, Rejection, Remembering, Row, RowState, Settings, StayReason, Trust,
    Verdict, WhyForward, Witness, ports::ErrorClass, row::names_in,
};
use crate::{
    clock::{Deadline, SharedClock},
    config::HandOff,
    identity::{
        AccountState, CanonicalEmail, LegacyRecord, LoginName, MfaState, PersonKey, Proof, ProofKind,
        VerifiedEmail,
    },
    rollout::{self, BasisPoints, Bucket, Decision, Facts, Forced, Known, Lane, RuleSubject},
};

/// How often a crossing is written anew when others write the same row.
const CROSS_TRIES: usize = 5;

/// The sign-ins of this process.
#[derive(Clone)]
pub(crate) struct Journeys {
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) chain: Arc<ArcSwap<Chain>>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) ledger: Arc<Remembering>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) clock: SharedClock,
    pub(crate) witness: Arc<dyn Witness>,
}

/// A sign-in whose lane is known. Settings are read once: a reload meets the next sign-in, not this one (REL-09).
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) name: LoginName,
    pub(crate) decision: Decision,
    pub(crate) bucket: Bucket,
    pub(crate) row: Option<Row>,
    /// The rule that the decision rests on, where it is one.
    pub(crate) rule: Option<RuleSubject>,
    migrates: bool,
    settings: Arc<Settings>,
    forced: Option<Forced>,
}

impl Decided {
    /// Whether the person is created when they sign in, whatever the lane. Whoever was set aside is judged anew by
    /// the lane they would have without that: a rule that let them in once lets them in again.
    pub(crate) fn migrates(&self) -> bool {
        self.migrates
    }

    /// Whether there is still something to do for the person after the application's yes.
    pub(crate) fn is_open(&self) -> bool {
        let settled = |row: &Row| matches!(row.state, RowState::Done | RowState::Tombstone);
        self.migrates() && !self.row.as_ref().is_some_and(settled)
    }

    /// As [`Decided::is_open`], once the application has said whom it let in. A name may have changed hands: it led to
    /// somebody who moved, and is another's now.
    pub(crate) fn is_open_after(&self, said: &Upstream) -> bool {
        let is_anothers = |row: &Row| match said {
            Upstream::Named(named) => row.state == RowState::Done && row.key != named.key(),
            Upstream::SignalsOnly => false,
        };
        self.is_open() || self.row.as_ref().is_some_and(is_anothers)
    }

    /// The cutover percent that the decision was made by.
    pub(crate) fn cutover(&self) -> BasisPoints {
        self.settings.dial.cutover
    }

    /// How long the browser's answer may wait for a migration in the legacy lane.
    pub(crate) fn legacy_lane_budget(&self) -> std::time::Duration {
        self.settings.migration.legacy_lane_budget
    }
}

/// What the application's yes is worth.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// Its own who-am-I route, called with the cookies it just set, named this person.
    Named(Box<LegacyRecord>),
    /// Its success signals alone: a weak proof.
    SignalsOnly,
}

impl Journeys {
    /// Names the lane of a sign-in, from the typed identifier and what the ledger knows.
    pub(crate) async fn decide(
        &self,
        name: LoginName,
        forced: Option<Forced>,
        asker: Asker,
    ) -> Result<Decided, LedgerError> {
        let settings = self.settings.load_full();
        let found = self.find_row(&name).await.inspect_err(|error| self.tell_unreadable(error))?;
        let row = match found {
            None => self.recognise(&settings, &name, asker).await,
            found => found,
        };
        Ok(decide_with(settings, name, forced, row, None))
    }

    /// Whom nobody can be sure about is named to operators, since only they can help.
    fn tell_unreadable(&self, error: &LedgerError) {
        if let LedgerError::Unreadable(key) = error {
            self.witness.unreadable(key);
        }
    }

    /// The row a typed identifier leads to.
    pub(crate) async fn find_row(&self, name: &LoginName) -> Result<Option<Row>, LedgerError> {
        if let Some(row) = self.ledger.find(&Alias::Typed(name.canonical().to_owned())).await? {
            return Ok(Some(row));
        }
        match name.email() {
            Some(email) => self.ledger.find(&Alias::Email(email.clone())).await,
            None => Ok(None),
        }
    }

    /// Where a crossed or born-new person goes whom a device remembers, before anything is typed (step 2). `None`
    /// shows the form: nobody of that key is pinned, or their lane is legacy now.
    pub(crate) async fn device(
        &self,
        key: &PersonKey,
        forced: Option<Forced>,
    ) -> Result<Option<HandOver>, LedgerError> {
        let settings = self.settings.load_full();
        let Some(row) = self.ledger.row(key).await? else { return Ok(self.device_in_doubt(key)) };
        let Some(name) = row.name().filter(|_| matches!(row.known(), Known::Crossed | Known::BornNew)) else {
            return Ok(None);
        };
        let decided = decide_with(settings, name, forced, Some(row.clone()), None);
        if decided.decision.lane != Lane::New {
            return Ok(None);
        }
        match self.hand_over(&decided, row, Basis::Device).await {
            Outcome::HandOver(over) => Ok(Some(*over)),
            _ => Ok(None),
        }
    }

    /// A sign-in of the new lane (design, steps 6–8). Without an attempt nothing was typed that could be tried: an
    /// empty or over-long password is one like any wrong one.
    pub(crate) async fn new_lane(&self, decided: Decided, attempt: Option<&Attempt>) -> Outcome {
        if let Some(outcome) = self.known_already(&decided).await {
            return outcome;
        }
        let Some(attempt) = attempt else {
            return Outcome::Rejected(Rejected { why: Rejection::NoUsablePassword, by: None });
        };
        let chain = self.chain.load_full();
        if !chain.verifies_passwords(&decided.name) {
            return Outcome::AskUpstream;
        }
        let deadline = Deadline::within(decided.settings.migration.legacy_budget);
        let judged = match chain.verify(attempt, deadline).await {
            Err(error) => return self.legacy_closed(&error),
            Ok(judged) => judged,
        };
        match judged.verdict {
            Verdict::Rejected(Rejection::Unknown) if chain.asks_the_application(&decided.name) => {
                Outcome::AskUpstream
            }
            Verdict::Rejected(why) => Outcome::Rejected(Rejected { why, by: judged.by }),
            Verdict::StayOnLegacy(why) => self.stays(&decided, why, deadline).await,
            Verdict::Verified(record) => self.proven(decided, *record, ProofKind::Password).await,
        }
    }

    /// The application said yes to the forwarded sign-in. In the legacy lane the outcome is for the log; in the new
    /// lane it may be a hand-over that replaces the application's answer.
    pub(crate) async fn after_upstream(&self, decided: Decided, said: Upstream) -> Outcome {
        if !decided.is_open_after(&said) && decided.decision.lane == Lane::Legacy {
            return Outcome::Forward(WhyForward::LaneLegacy);
        }
        let deadline = Deadline::within(decided.settings.migration.legacy_budget);
        let (record, kind) = match self.record_of(&decided.name, said, deadline).await {
            Ok(Some(found)) => found,
            Ok(None) => return Outcome::Forward(WhyForward::Later),
            Err(error) => return self.open_to_legacy("find_record", &error),
        };
        self.proven(decided, record, kind).await
    }

    /// The record behind the application's yes. What who-am-I says and what the store holds must be one person.
    async fn record_of(
        &self,
        name: &LoginName,
        said: Upstream,
        deadline: Deadline,
    ) -> Result<Option<(LegacyRecord, ProofKind)>, LegacyError> {
        let chain = self.chain.load_full();
        match said {
            Upstream::SignalsOnly => {
                Ok(chain.find(name, deadline).await?.map(|record| (record, ProofKind::UpstreamWeak)))
            }
            Upstream::Named(named) if !chain.holds_records(&named.source) => {
                Ok(Some((*named, ProofKind::Upstream)))
            }
            Upstream::Named(named) => {
                let by_id = match chain.read(&named.source, &named.id, deadline).await {
                    Err(error) if matches!(error.class, ErrorClass::Transient { .. }) => return Err(error),
                    Err(error) => {
                        self.witness.unavailable("read_record", &error);
                        None
                    }
                    Ok(record) => record,
                };
                let stored = match by_id {
                    Some(record) => Some(record),
                    // Not every store can be asked by id. By name it counts only as the one who was named.
                    None => chain.find(name, deadline).await?.filter(|record| record.key() == named.key()),
                };
                Ok(stored.map(|record| (with_doubts_of(&named, record), ProofKind::Upstream)))
            }
        }
    }

    /// Step 6: crossed, born-new and DONE people take the hand-off without a legacy guess. Not those whom a typed name
    /// alone would bring too far: they prove themselves by their password until they have crossed.
    async fn known_already(&self, decided: &Decided) -> Option<Outcome> {
        let row = decided.row.as_ref()?;
        if !matches!(row.known(), Known::Crossed | Known::BornNew | Known::Moved) {
            return None;
        }
        let wants_proof = row.crossed_at.is_none()
            && match hand_off(decided, row) {
                HandOff::Shadow => false,
                // Nobody here learns whether Scalekit proves them, and they cross at once.
                HandOff::App { .. } => true,
                // They would be sent off without their address, and another one there would make a second user.
                HandOff::Hosted => login_hint(decided, row, Basis::Name).is_none(),
            };
        if wants_proof { None } else { Some(self.hand_over(decided, row.clone(), Basis::Name).await) }
    }

    /// A proven person: migrate, then hand over, or leave them to the application.
    async fn proven(&self, decided: Decided, record: LegacyRecord, kind: ProofKind) -> Outcome {
        let proof = Proof { kind, source: record.source.clone(), at: self.clock.now() };
        let decided = match self.decide_again(decided, &record).await {
            Ok(decided) => decided,
            Err(error) => return self.open_to_legacy("read_row", &error),
        };
        if !decided.is_open() && decided.row.as_ref().is_none_or(|row| row.state != RowState::Done) {
            return Outcome::Forward(WhyForward::LaneLegacy);
        }
        let lane = decided.decision.lane;
        let proven = Proven { record, proof, typed: Some(decided.name.clone()), bucket: decided.bucket };
        match self.migrate(&decided.settings, proven).await {
            Migrated::Done { row, now } if lane == Lane::New => {
                match self.hand_over(&decided, *row, Basis::Proof).await {
                    Outcome::HandOver(over) => {
                        Outcome::HandOver(Box::new(HandOver { migrated_now: now, ..*over }))
                    }
                    other => other,
                }
            }
            Migrated::Done { .. } => Outcome::Forward(WhyForward::LaneLegacy),
            Migrated::Conflict(why) => Outcome::Forward(WhyForward::Conflict(why)),
            Migrated::Ineligible(why) => Outcome::Forward(WhyForward::Ineligible(why)),
            Migrated::Later => Outcome::Forward(WhyForward::Later),
            Migrated::InDoubt => Outcome::Forward(WhyForward::StoreInDoubt),
        }
    }

    /// The record may lead to a row that the typed name did not, and names the organisation: its bucket, its pins
    /// and its rules win. What a typed name led to says nothing of somebody else.
    async fn decide_again(&self, decided: Decided, record: &LegacyRecord) -> Result<Decided, LedgerError> {
        let row = self.ledger.row(&record.key()).await?;
        // A removed person's names stay closed, whomever they lead to now (truth 5).
        let row = row.or(decided.row.filter(|row| row.state == RowState::Tombstone));
        let began = decided.decision;
        let mut again = decide_with(decided.settings, decided.name, decided.forced, row, Some(record));
        // The application has answered already: this sign-in ends in the lane it began in (REL-09).
        if began.lane == Lane::Legacy && again.decision.lane == Lane::New {
            again.decision = began;
        }
        Ok(again)
    }

    async fn hand_over(&self, decided: &Decided, row: Row, basis: Basis) -> Outcome {
        let hand_off = hand_off(decided, &row).clone();
        let login_hint = login_hint(decided, &row, basis);
        let (key, crossed) = (row.key.clone(), row.crossed_at.is_some());
        match hand_off {
            HandOff::Shadow => return Outcome::Forward(WhyForward::Shadow),
            // The application keeps that session, so the redirect is the last thing we see.
            HandOff::App { .. } => match self.cross_for_good(row).await {
                // Removed, or set aside a moment ago: the application decides.
                Ok(row) if row.state == RowState::Tombstone || row.crossed_at.is_none() => {
                    return Outcome::Forward(WhyForward::LaneLegacy);
                }
                Ok(_) => {}
                Err(_) => return Outcome::Closed(Closed::Store),
            },
            HandOff::Hosted => {}
        }
        let migrated_now = false;
        Outcome::HandOver(Box::new(HandOver { hand_off, login_hint, key, migrated_now, basis, crossed }))
    }

    /// Where nobody looks again afterwards: the row is read anew, once the store has everybody who was removed.
    async fn cross_for_good(&self, row: Row) -> Result<Row, LedgerError> {
        self.settled().await?;
        let row = self.ledger.row(&row.key).await?.unwrap_or(row);
        let row = Box::pin(self.judged_anew(row, None)).await?;
        self.cross(row).await
    }

    /// Sets `crossed_at` once. Somebody else's write in between must not lose it (REL-08), nor may it bring back a
    /// person who was removed or set aside a moment ago: their row comes back as it stands.
    async fn cross(&self, mut row: Row) -> Result<Row, LedgerError> {
        for _ in 0..CROSS_TRIES {
            if row.crossed_at.is_some() || row.state != RowState::Done {
                return Ok(row);
            }
            row.crossed_at = Some(self.clock.now());
            self.witness.step(Moment::Before, "cross", &row);
            match self.ledger.write(&row).await {
                Err(LedgerError::Overtaken) => {
                    row = self.ledger.row(&row.key).await?.ok_or(LedgerError::Overtaken)?;
                }
                written => {
                    self.witness.step(Moment::After, "cross", &row);
                    return written;
                }
            }
        }
        Err(LedgerError::Overtaken)
    }

    /// The legacy side wants its own flow (step 8); the person is remembered as not to be migrated for now.
    async fn stays(&self, decided: &Decided, why: StayReason, deadline: Deadline) -> Outcome {
        let found = self.chain.load_full().find(&decided.name, deadline).await;
        if let Ok(Some(record)) = found {
            let typed = Some(&decided.name);
            let forced = decided.forced.clone();
            if let Some(outcome) = self.crossed_before(&record, typed, forced, Basis::Name).await {
                return outcome;
            }
            self.set_aside(&decided.settings, &record, &decided.name, decided.bucket, why.into()).await;
        }
        Outcome::Forward(WhyForward::StayOnLegacy(why))
    }

    fn legacy_closed(&self, error: &LegacyError) -> Outcome {
        self.witness.unavailable("legacy_verify", error);
        let retry_after = match error.class {
            ErrorClass::Transient { retry_after } => retry_after,
            ErrorClass::Permanent | ErrorClass::Misconfigured => None,
        };
        Outcome::Closed(Closed::Legacy { retry_after, counted: error.counted })
    }

    fn open_to_legacy(&self, step: &'static str, error: &(dyn std::error::Error + 'static)) -> Outcome {
        self.witness.unavailable(step, error);
        Outcome::Forward(WhyForward::Later)
    }
}

/// A store's record with the doubts of the application that named the person: a second factor or a closed account
/// is never overlooked because only one side knows of it (truth 6).
fn with_doubts_of(named: &LegacyRecord, mut stored: LegacyRecord) -> LegacyRecord {
    if named.mfa == MfaState::Enrolled {
        stored.mfa = MfaState::Enrolled;
    }
    if named.state != AccountState::Active {
        stored.state = named.state;
    }
    stored
}

/// How a person gets to a Scalekit session.
fn hand_off<'a>(decided: &'a Decided, row: &Row) -> &'a HandOff {
    let organization = row.record.as_ref().and_then(|record| record.organization.as_deref());
    match row.origin {
        // There is no legacy door for a born-new person, whatever is configured for the others.
        Origin::BornNew => &HandOff::Hosted,
        Origin::Legacy => decided.settings.hand_offs.of(organization),
    }
}

/// The address that Scalekit's page is filled in with. Anybody may type a user name: it is not turned into an address
/// for them.
fn login_hint(decided: &Decided, row: &Row, basis: Basis) -> Option<CanonicalEmail> {
    let typed = decided.name.email();
    let address = row.email.as_ref().map(VerifiedEmail::email).or(typed);
    address.filter(|address| basis.is_theirs() || typed == Some(address)).cloned()
}

/// `record` is the person's own, where one was proven.
fn decide_with(
    settings: Arc<Settings>,
    name: LoginName,
    forced: Option<Forced>,
    row: Option<Row>,
    record: Option<&LegacyRecord>,
) -> Decided {
    let bucket = row.as_ref().map_or_else(|| settings.salt.bucket(&name), |row| row.bucket);
    let record = record.or_else(|| row.as_ref()?.record.as_ref());
    let organization = record.and_then(|record| record.organization.clone());
    let names: Vec<LoginName> = iter::once(name.clone())
        .chain(row.iter().flat_map(Row::all_names))
        .chain(record.into_iter().flat_map(names_in))
        .collect();
    let facts = Facts {
        known: row.as_ref().map_or(Known::Nothing, Row::known),
        forced: forced.as_ref(),
        names: &names,
        organization: organization.as_deref(),
        bucket,
    };
    let weighed = rollout::weigh(&settings.dial, &facts);
    let (decision, rule) = (weighed.decision, weighed.rule.cloned());
    let known = if facts.known == Known::SetAside { Known::Nothing } else { facts.known };
    let lane = rollout::weigh(&settings.dial, &Facts { known, ..facts }).decision.lane;
    let migrates = lane == Lane::New || settings.dial.migrates(bucket);
    Decided { name, decision, bucket, row, rule, migrates, settings, forced }
}
