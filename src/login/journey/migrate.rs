//! The thin driver of the machine: stores the row, runs the command, brings back the event.

use std::{sync::Arc, time::Duration};

use super::{
    Journeys,
    names::{Bearer, login_of},
};
use crate::{
    clock::Deadline,
    identity::{LegacyRecord, LoginName, Proof, VerifiedEmail},
    login::{
        Alias, ClaimAnswer, Command, CreateError, Event, Holders, Ineligible, Ledger as _, LedgerError,
        Moment, Row, RowState, SetAside, Settings, eligibility,
        machine::{Begin, Creating, Machine, Rules, Stop},
        settings::SourceRules,
    },
    rollout::Bucket,
};

/// How often a waiter looks whether the claim it waits for is free, and an outcome is looked for.
const POLL: Duration = Duration::from_millis(100);

/// A proven person, as the driver takes them.
pub(super) struct Proven {
    pub(super) record: LegacyRecord,
    pub(super) proof: Proof,
    pub(super) typed: Option<LoginName>,
    pub(super) bucket: Bucket,
}

/// How a migration ended.
pub(super) enum Migrated {
    /// The person exists; `now` when this run did it.
    Done {
        row: Box<Row>,
        now: bool,
    },
    Conflict(SetAside),
    Ineligible(Ineligible),
    Later,
    /// Nobody is created while the store is in doubt.
    InDoubt,
}

impl Journeys {
    /// Moves a proven person as far as it goes.
    pub(super) async fn migrate(&self, settings: &Arc<Settings>, proven: Proven) -> Migrated {
        match self.try_migrate(settings, proven).await {
            Ok(migrated) => migrated,
            Err(error) => {
                self.witness.unavailable("ledger", &error);
                Migrated::Later
            }
        }
    }

    async fn try_migrate(&self, settings: &Arc<Settings>, proven: Proven) -> Result<Migrated, LedgerError> {
        let key = proven.record.key();
        if let Some(row) = self.ledger.row(&key).await? {
            match row.state {
                RowState::Done => {
                    let row = self.remember_names(row, proven.typed.as_ref(), &proven.record).await?;
                    return Ok(Migrated::Done { row: Box::new(row), now: false });
                }
                RowState::Tombstone => return Ok(Migrated::Later),
                _ => {}
            }
        }
        let Some(rules) = settings.sources.get(&key.source).cloned() else {
            return Ok(Migrated::Later);
        };
        let began = self.clock.monotonic();
        // Before the claim: it shows the row as it stands afterwards.
        self.settled().await?;
        let fresh = Row::fresh(key.clone(), proven.bucket, rules.external_id.render(&key), self.clock.now());
        let (row, claimed_at) = match self.claim(&fresh, settings, began).await? {
            Claimed::Ours(row, at) => (row, at),
            Claimed::DoneByAnother(row) => return Ok(Migrated::Done { row, now: false }),
            Claimed::Busy => return Ok(Migrated::Later),
        };
        match row.state {
            RowState::Done => Ok(Migrated::Done { row, now: false }),
            // Removed since it was read: nothing may write another state over it (truth 5).
            RowState::Tombstone => Ok(Migrated::Later),
            _ => self.run(settings, &rules, (*row, claimed_at), proven, self.creating()).await,
        }
    }

    /// Takes the claim, or waits for whoever holds it, for as long as REL-06 allows; whatever was waited for since
    /// `began` is part of that.
    async fn claim(&self, fresh: &Row, settings: &Settings, began: Duration) -> Result<Claimed, LedgerError> {
        loop {
            self.witness.step(Moment::Before, "claim", fresh);
            let asked = self.clock.monotonic();
            match self.ledger.claim(fresh, settings.migration.lease, self.clock.now()).await? {
                ClaimAnswer::Granted(row) => {
                    self.witness.step(Moment::After, "claim", &row);
                    return Ok(Claimed::Ours(row, asked));
                }
                ClaimAnswer::Held(row) if row.state == RowState::Done => {
                    return Ok(Claimed::DoneByAnother(row));
                }
                ClaimAnswer::Held(_) => {}
            }
            if self.clock.monotonic().saturating_sub(began) >= settings.migration.claim_wait {
                return Ok(Claimed::Busy);
            }
            self.clock.sleep(POLL).await;
        }
    }

    /// What a sign-in may do, by the last look at the store; before a create it is looked at again.
    pub(super) fn creating(&self) -> Creating {
        if self.trust.doubt().is_some() { Creating::InDoubt } else { Creating::Allowed }
    }

    pub(super) async fn run(
        &self,
        settings: &Settings,
        rules: &SourceRules,
        (mut row, claimed_at): (Row, Duration),
        proven: Proven,
        creating: Creating,
    ) -> Result<Migrated, LedgerError> {
        let before = row.state.clone();
        let (record, typed) = (&proven.record, proven.typed.as_ref());
        let accepted = &settings.migration.mfa_accepted_organizations;
        let judged = eligibility::judge(record, typed, &row.external_id, rules, accepted);
        match &judged {
            Ok(email) => {
                let names = typed.cloned().into_iter().chain(login_of(record)).collect();
                self.add_names(&mut row, names, Bearer { record, address: Some(email.email()) }).await?;
            }
            Err(_) => self.add_typed(&mut row, typed, record).await?,
        }
        let machine = Machine::new(row, machine_rules(settings, creating));
        let mut run = Run { journeys: self, machine, settings, before, claimed_at };
        let email = match judged {
            Ok(email) => email,
            Err(why) => return run.refuse(why, Some(proven.record)).await,
        };
        let deadline = Deadline::within(settings.migration.scalekit_budget);
        let organization =
            match self.directory.organization(proven.record.organization.as_deref(), deadline).await {
                Ok(Some(organization)) => organization,
                Ok(None) => return run.refuse(Ineligible::OrganizationUnknown, Some(proven.record)).await,
                Err(error) => {
                    self.witness.failed("organization", &error, run.machine.row());
                    return run.go_on(Event::Failed, deadline).await;
                }
            };
        let has_twin = match self.has_twin(&proven.record, &email, settings).await {
            Ok(has_twin) => has_twin,
            Err(TwinError::Ledger(error)) => return Err(error),
            Err(TwinError::Legacy) => return run.go_on(Event::Failed, deadline).await,
        };
        let begin = Begin { record: proven.record, proof: proven.proof, email, organization, has_twin };
        run.go_on(Event::Begin(Box::new(begin)), deadline).await
    }

    /// SEC-34: in every store, and through the ledger's e-mail alias. A store that cannot be asked may hold a twin.
    async fn has_twin(
        &self,
        record: &LegacyRecord,
        email: &VerifiedEmail,
        settings: &Settings,
    ) -> Result<bool, TwinError> {
        let deadline = Deadline::within(settings.migration.legacy_budget);
        let search = self.chain.load_full().search(email.email(), deadline).await;
        let search = search.map_err(|error| {
            self.witness.unavailable("holders", &error);
            TwinError::Legacy
        })?;
        match search.holders {
            Holders::Several => return Ok(true),
            Holders::One(key) if key != record.key() => return Ok(true),
            Holders::One(_) | Holders::Nobody | Holders::CannotTell => {}
        }
        let alias =
            self.ledger.find(&Alias::Email(email.email().clone())).await.map_err(TwinError::Ledger)?;
        Ok(alias.is_some_and(|row| row.key != record.key()))
    }

    /// Binds what somebody typed who may not move: an address only where the legacy side itself says that it was checked.
    async fn add_typed(
        &self,
        row: &mut Row,
        typed: Option<&LoginName>,
        record: &LegacyRecord,
    ) -> Result<(), LedgerError> {
        let checked = VerifiedEmail::assert(&record.source, &record.email, None).ok();
        let address = checked.as_ref().map(VerifiedEmail::email);
        self.add_names(row, typed.cloned().into_iter().collect(), Bearer { record, address }).await
    }

    /// Remembers a person who stays at the legacy side for now. Best effort: nothing depends on it.
    pub(super) async fn set_aside(
        &self,
        settings: &Settings,
        record: &LegacyRecord,
        typed: &LoginName,
        bucket: Bucket,
        why: Ineligible,
    ) {
        let key = record.key();
        let Some(rules) = settings.sources.get(&key.source) else { return };
        let fresh = Row::fresh(key.clone(), bucket, rules.external_id.render(&key), self.clock.now());
        let claimed_at = self.clock.monotonic();
        let claimed = self.ledger.claim(&fresh, settings.migration.lease, self.clock.now()).await;
        let Ok(ClaimAnswer::Granted(mut row)) = claimed else { return };
        let untouchable = matches!(row.state, RowState::Done | RowState::Tombstone);
        let before = row.state.clone();
        if !untouchable && self.add_typed(&mut row, Some(typed), record).await.is_err() {
            return;
        }
        let machine = Machine::new(*row, machine_rules(settings, self.creating()));
        let mut run = Run { journeys: self, machine, settings, before, claimed_at };
        let ended = if untouchable { run.release().await } else { run.refuse(why, None).await.map(|_| ()) };
        if let Err(error) = ended {
            self.witness.unavailable("ledger", &error);
        }
    }
}

fn machine_rules(settings: &Settings, creating: Creating) -> Rules {
    let outcome_budget = settings.migration.outcome_budget;
    Rules { on_existing: settings.on_existing, outcome_budget, creating }
}

enum Claimed {
    /// With the monotonic moment from which its lease runs at the latest.
    Ours(Box<Row>, Duration),
    DoneByAnother(Box<Row>),
    Busy,
}

/// A create came when its claim had no time left for it.
#[derive(Debug, thiserror::Error)]
#[error("it came too late for its claim, and nothing was sent")]
struct TooLate;

enum TwinError {
    Ledger(LedgerError),
    /// A store does not say whether it has the address, too: open to legacy, tried again next time.
    Legacy,
}

/// One run of the machine.
struct Run<'a> {
    journeys: &'a Journeys,
    machine: Machine,
    settings: &'a Settings,
    /// The state as last told to the witness.
    before: RowState,
    /// From when on the lease runs, on the monotonic clock.
    claimed_at: Duration,
}

impl Run<'_> {
    async fn refuse(
        &mut self,
        why: Ineligible,
        record: Option<LegacyRecord>,
    ) -> Result<Migrated, LedgerError> {
        let command = self.machine.refuse(why, self.journeys.clock.now());
        if record.is_some() {
            let mut row = self.machine.row().clone();
            row.record = record;
            self.machine.stored(row);
        }
        self.store(&command).await?;
        Ok(Migrated::Ineligible(why))
    }

    async fn release(&mut self) -> Result<(), LedgerError> {
        let mut row = self.machine.row().clone();
        row.claim = None;
        self.journeys.ledger.write(&row).await.map(|_| ())
    }

    /// Steps until the machine stops.
    async fn go_on(&mut self, first: Event, mut deadline: Deadline) -> Result<Migrated, LedgerError> {
        let mut event = first;
        loop {
            let command = self.machine.step(event, self.journeys.clock.now());
            if let Err(error) = self.store(&command).await {
                return self.could_not_store(error).await;
            }
            if let Command::Stop(stop) = command {
                return Ok(self.ended(stop));
            }
            let step = command.name();
            let waits = command == Command::AwaitOutcome;
            self.journeys.witness.step(Moment::Before, step, self.machine.row());
            event = self.execute(command, deadline).await;
            self.journeys.witness.step(Moment::After, step, self.machine.row());
            if waits {
                // The wait for an earlier run's create may be longer than the budget of the look-ups after it.
                deadline = Deadline::within(self.settings.migration.scalekit_budget);
            }
        }
    }

    /// Every row is stored before its command runs, so that a crash is followed by the same command.
    async fn store(&mut self, command: &Command) -> Result<(), LedgerError> {
        let row = self.machine.row().clone();
        self.journeys.witness.step(Moment::Before, stored_before(command), &row);
        let written = self.journeys.ledger.write(&row).await?;
        self.machine.stored(written);
        let row = self.machine.row();
        self.journeys.witness.step(Moment::After, stored_before(command), row);
        if row.state != self.before {
            self.journeys.witness.moved(&self.before, row);
            self.before = row.state.clone();
        }
        Ok(())
    }

    /// An alias that leads to another row is a twin found late; anything else is for the next sign-in.
    async fn could_not_store(&mut self, error: LedgerError) -> Result<Migrated, LedgerError> {
        match error {
            LedgerError::AliasTaken => {
                let mut row = self.machine.row().clone();
                row.state = RowState::Conflict { why: SetAside::Twins };
                row.claim = None;
                row.user = None;
                row.aliases.retain(|alias| matches!(alias, Alias::Typed(_)));
                let written = self.journeys.ledger.write(&row).await?;
                self.journeys.witness.moved(&self.before, &written);
                Ok(Migrated::Conflict(SetAside::Twins))
            }
            LedgerError::Overtaken | LedgerError::Unavailable(..) | LedgerError::Unreadable(_) => Err(error),
        }
    }

    fn ended(&self, stop: Stop) -> Migrated {
        match stop {
            Stop::Done => Migrated::Done { row: Box::new(self.machine.row().clone()), now: true },
            Stop::Conflict(why) => Migrated::Conflict(why),
            Stop::Ineligible(why) => Migrated::Ineligible(why),
            Stop::Later => Migrated::Later,
            Stop::InDoubt => Migrated::InDoubt,
        }
    }

    async fn execute(&self, command: Command, deadline: Deadline) -> Event {
        let (directory, row) = (&self.journeys.directory, self.machine.row());
        let step = command.name();
        let outcome = Deadline::within(self.settings.migration.outcome_budget);
        let result = match command {
            Command::FindByExternalId => {
                directory.find_by_external_id(&row.external_id, deadline).await.map(Event::ByExternalId)
            }
            Command::FindByEmail => match row.email.as_ref() {
                Some(email) => directory.find_by_email(email.email(), deadline).await.map(Event::ByEmail),
                None => Ok(Event::Failed),
            },
            Command::Create(user) => return self.create(&user).await,
            Command::AwaitOutcome => return self.await_outcome(outcome).await,
            Command::Link(id, user) => directory.link_user(&id, &user, outcome).await.map(Event::Linked),
            Command::ReadBack(id) => directory.read_user(&id, outcome).await.map(Event::ReadBack),
            Command::RemoveMembership(organization, user) => directory
                .remove_membership(&organization, &user, outcome)
                .await
                .map(|()| Event::MembershipRemoved),
            Command::Stop(_) => Ok(Event::Failed),
        };
        result.unwrap_or_else(|error| {
            self.journeys.witness.failed(step, &error, row);
            Event::Failed
        })
    }

    async fn create(&self, user: &crate::login::NewUser) -> Event {
        // The store may have been emptied since the run began: then the row with the intent is gone, too (truth 8).
        match self.journeys.trust.look().await {
            Ok(None) => {}
            Ok(Some(_)) => return Event::InDoubt,
            Err(error) => {
                self.journeys.witness.failed("look_at_store", &error, self.machine.row());
                return Event::CreateNotDone;
            }
        }
        // A process that stood still since it stored its intent may find that its lease is over: then somebody else
        // created the person, and no fence keeps Scalekit from being asked. Without time for the whole call, none is
        // made. Asked last: nothing that takes time comes between.
        let migration = &self.settings.migration;
        let held = self.journeys.clock.monotonic().saturating_sub(self.claimed_at);
        if held + migration.scalekit_budget > migration.lease {
            self.journeys.witness.failed("create", &TooLate, self.machine.row());
            return Event::CreateNotDone;
        }
        // This process slept between the intent and now: others take that create's time for over.
        let since = self.machine.row().create_sent_at.map(|sent| self.journeys.clock.now().since(sent));
        if since.is_some_and(|since| since >= self.settings.migration.outcome_budget) {
            return Event::CreateNotDone;
        }
        let deadline = Deadline::within(self.settings.migration.scalekit_budget);
        let error = match self.journeys.directory.create_user(user, deadline).await {
            Ok(created) => return Event::Created(created),
            Err(error) => error,
        };
        self.journeys.witness.failed("create", &error, self.machine.row());
        match error {
            CreateError::Refused(_) => Event::CreateRefused,
            CreateError::NotDone(_) => Event::CreateNotDone,
            CreateError::Unknown(_) => Event::CreateUnknown,
        }
    }

    /// REL-03: never a blind second create; look until it is found or the budget has passed.
    async fn await_outcome(&self, deadline: Deadline) -> Event {
        let row = self.machine.row();
        let since_sent =
            row.create_sent_at.map_or(Duration::ZERO, |sent| self.journeys.clock.now().since(sent));
        let budget = self.settings.migration.outcome_budget.saturating_sub(since_sent);
        let started = self.journeys.clock.monotonic();
        loop {
            match self.journeys.directory.find_by_external_id(&row.external_id, deadline).await {
                Ok(Some(user)) => return Event::ByExternalId(Some(user)),
                Ok(None) => {}
                Err(error) => self.journeys.witness.failed("await_outcome", &error, row),
            }
            let waited = self.journeys.clock.monotonic().saturating_sub(started);
            if waited >= budget || deadline.has_passed() {
                return Event::OutcomeNotFound;
            }
            self.journeys.clock.sleep(POLL.max(waited / 4)).await;
        }
    }
}

/// The name of the write that precedes a command, for audit events and fault injection.
const fn stored_before(command: &Command) -> &'static str {
    match command {
        Command::FindByExternalId => "store_claimed",
        Command::FindByEmail => "store_looked_up",
        Command::Create(_) => "store_intent",
        Command::AwaitOutcome => "store_open",
        Command::Link(..) => "store_link",
        Command::ReadBack(_) => "store_created",
        Command::RemoveMembership(..) => "store_foreign",
        Command::Stop(_) => "store_end",
    }
}
