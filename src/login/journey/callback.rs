//! Scalekit signed somebody in: who are they here?

use super::{
    Journeys,
    choice::AtTheDoor,
    migrate::{Migrated, Proven},
};
use crate::{
    clock::Deadline,
    identity::{
        CanonicalEmail, ExternalId, LegacyId, LegacyRecord, LoginName, PersonKey, Proof, ProofKind,
        SourceName,
    },
    login::{
        Alias, ClaimAnswer, ErrorClass, Holders, Identified, Ledger as _, LedgerError, Moment, Notice,
        Origin, Refused, Row, RowState, Settings, UserId,
    },
};

/// The source name of people whom no legacy store knows; reserved, so no configured source may bear it.
pub(crate) const BORN_NEW_SOURCE: &str = "born-new";

/// What a checked ID token says of the person.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub(crate) user: UserId,
    pub(crate) email: Option<CanonicalEmail>,
    pub(crate) email_verified: bool,
    /// Whose hand-over began the sign-in; none where somebody came by themselves.
    pub(crate) begun_for: Option<PersonKey>,
}

impl Callback {
    /// The address that Scalekit checked.
    fn mailbox(&self) -> Option<&CanonicalEmail> {
        self.email.as_ref().filter(|_| self.email_verified)
    }
}

/// Whom the legacy side knows by a mailbox that somebody proved.
enum OfMailbox {
    Person(Box<LegacyRecord>),
    Nobody,
    /// A source that may know them cannot tell: a legacy person must not begin anew as a stranger.
    CannotTell,
}

impl Journeys {
    /// Names the person behind a finished Scalekit sign-in, and marks them crossed.
    ///
    /// People are found by Scalekit's id, never by e-mail (SEC-28). One who is not found is either a legacy person
    /// who came to Scalekit by another way, and is then linked with the mailbox as proof, or born new. Whom the dial keeps
    /// at the legacy side for now is left there, and so is whom legacy would not let in any more.
    pub(crate) async fn callback(&self, callback: Callback) -> Result<Identified, Refused> {
        self.settled().await.map_err(|error| self.try_again(&error))?;
        let row =
            self.ledger.find(&Alias::User(callback.user.clone())).await.map_err(|e| self.try_again(&e))?;
        let is_unfinished = match row {
            Some(row) if matches!(row.state, RowState::Done | RowState::Tombstone) => {
                self.may_enter(&row, &callback)?;
                let row = Box::pin(self.judged_anew(row, callback.mailbox())).await;
                return self.known(row.map_err(|error| self.try_again(&error))?, callback).await;
            }
            // Found by id and not finished: the checks of a migration are not over, so they are made now.
            row => row.is_some(),
        };
        let Some(email) = callback.mailbox().cloned() else { return Err(Refused::EmailUnverified) };
        let name = LoginName::parse(email.as_str()).ok_or(Refused::EmailUnverified)?;
        let settings = self.settings.load_full();
        match self.of_mailbox(&settings, &name, &email).await? {
            OfMailbox::Person(record) => self.link_by_inbox(*record, name, callback).await,
            // Somebody whom we know is nobody new, whatever their mailbox is now.
            _ if is_unfinished => Err(Refused::NotLinkable),
            other => self.without_record(other, &email, name, callback).await,
        }
    }

    /// The legacy record of somebody who proved a mailbox; "could not ask" and "which of them?" are never "nobody".
    async fn of_mailbox(
        &self,
        settings: &Settings,
        name: &LoginName,
        email: &CanonicalEmail,
    ) -> Result<OfMailbox, Refused> {
        let (chain, deadline) = (self.chain.load_full(), Deadline::within(settings.migration.legacy_budget));
        if let Some(record) = chain.find(name, deadline).await.map_err(|error| self.try_again(&error))? {
            return Ok(OfMailbox::Person(Box::new(record)));
        }
        // Where people sign in by user name, no login is like the address: its holder is another question.
        let search = chain.search(email, deadline).await.map_err(|error| self.try_again(&error))?;
        let may_be_new = settings.may_be_new(&search);
        let key = match search.holders {
            Holders::Nobody | Holders::CannotTell if may_be_new => return Ok(OfMailbox::Nobody),
            Holders::Nobody | Holders::CannotTell => return Ok(OfMailbox::CannotTell),
            Holders::Several => return Err(Refused::NotLinkable),
            Holders::One(key) => key,
        };
        match chain.read(&key.source, &key.id, deadline).await {
            Ok(Some(record)) => Ok(OfMailbox::Person(Box::new(record))),
            // Removed a moment ago: the next try finds nobody.
            Ok(None) => Err(Refused::TryAgain),
            Err(error) => {
                let refused = self.try_again(&error);
                // A source that can never be read by id is no reason to try again.
                Err(if error.class == ErrorClass::Misconfigured { Refused::NotLinkable } else { refused })
            }
        }
    }

    /// Whether the dial lets somebody in who exists; that of a removed person is for [`Journeys::known`] to say.
    fn may_enter(&self, row: &Row, callback: &Callback) -> Result<(), Refused> {
        let email = callback.mailbox();
        let at_the_door = AtTheDoor { key: &row.key, row: Some(row), record: None, email };
        let is_removed = row.state == RowState::Tombstone;
        let may = is_removed || at_the_door.may_enter(&self.settings.load(), callback.begun_for.as_ref());
        if may { Ok(()) } else { Err(Refused::NotNow) }
    }

    async fn known(&self, row: Row, callback: Callback) -> Result<Identified, Refused> {
        let row = self.cross(row).await.map_err(|error| self.try_again(&error))?;
        if row.state == RowState::Tombstone {
            return Err(Refused::Tombstone);
        }
        if row.crossed_at.is_none() {
            return Err(Refused::NotLinkable);
        }
        // The application may know people by it: an address that nobody verified is never told (SEC-28).
        let verified = callback.mailbox().cloned();
        let email = verified.or_else(|| row.email.as_ref().map(|email| email.email().clone()));
        Ok(Identified { row, user: callback.user, email })
    }

    async fn link_by_inbox(
        &self,
        record: LegacyRecord,
        name: LoginName,
        callback: Callback,
    ) -> Result<Identified, Refused> {
        let settings = self.settings.load_full();
        let proof = Proof { kind: ProofKind::Inbox, source: record.source.clone(), at: self.clock.now() };
        let bucket = settings.salt.bucket(&name);
        let known = self.ledger.row(&record.key()).await.map_err(|error| self.try_again(&error))?;
        if known.as_ref().is_some_and(|row| row.state == RowState::Tombstone) {
            return Err(Refused::Tombstone);
        }
        let (key, email) = (record.key(), callback.email.as_ref());
        let at_the_door = AtTheDoor { key: &key, row: known.as_ref(), record: Some(&record), email };
        if !at_the_door.may_enter(&settings, callback.begun_for.as_ref()) {
            return Err(Refused::NotNow);
        }
        match self.migrate(&settings, Proven { record, proof, typed: Some(name), bucket }).await {
            Migrated::Done { row, .. } if row.user.as_ref() == Some(&callback.user) => {
                self.known(*row, callback).await
            }
            Migrated::Done { row, .. } => {
                self.witness.notice(&row, Notice::CameAsAnother);
                Err(Refused::NotLinkable)
            }
            Migrated::Conflict(_) | Migrated::Ineligible(_) => Err(Refused::NotLinkable),
            Migrated::Later | Migrated::InDoubt => Err(Refused::TryAgain),
        }
    }

    /// Somebody of whom no legacy store has a record: the ledger may know them all the same, else they are born new.
    async fn without_record(
        &self,
        of_mailbox: OfMailbox,
        email: &CanonicalEmail,
        name: LoginName,
        callback: Callback,
    ) -> Result<Identified, Refused> {
        let by_name = self.find_row(&name).await.map_err(|error| self.try_again(&error))?;
        let by_email = self.ledger.find(&Alias::Email(email.clone())).await;
        let by_email = by_email.map_err(|error| self.try_again(&error))?;
        let others = || by_name.iter().chain(&by_email);
        // A removed person's alias closes the way whatever else the name leads to.
        if others().any(|row| row.state == RowState::Tombstone) {
            return Err(Refused::Tombstone);
        }
        if let Some(other) = others().next().cloned() {
            return self.released(other, email, name, callback).await;
        }
        if !matches!(of_mailbox, OfMailbox::Nobody) {
            return Err(Refused::CannotTell);
        }
        let row = self.write_born_new(email, &name, &callback).await;
        let row = row.map_err(|error| self.try_again(&error))?;
        row.ok_or(Refused::TryAgain).map(|row| Identified { row, user: callback.user, email: callback.email })
    }

    /// Somebody whose row has this address and another user, or none: an operator released it because the user was gone
    /// ([`Journeys::retry`]). Where no store can be asked for a record, the one that was read last counts.
    async fn released(
        &self,
        row: Row,
        email: &CanonicalEmail,
        name: LoginName,
        callback: Callback,
    ) -> Result<Identified, Refused> {
        let has_address = row.aliases.contains(&Alias::Email(email.clone()));
        let is_released = row.state == RowState::None && row.user.is_none() && has_address;
        if !is_released {
            if row.user.is_some() {
                self.witness.notice(&row, Notice::CameAsAnother);
            }
            return Err(Refused::NotLinkable);
        }
        let is_recorded = self.chain.load_full().holds_records(&row.key.source);
        match row.record.clone() {
            _ if row.origin == Origin::BornNew => {
                let row = self.born_again(row, &callback).await.map_err(|error| self.try_again(&error))?;
                Ok(Identified { row, user: callback.user, email: callback.email })
            }
            Some(record) if !is_recorded => self.link_by_inbox(record, name, callback).await,
            _ => Err(Refused::NotLinkable),
        }
    }

    /// A born-new person whose user was gone: the same mailbox, and a new user.
    async fn born_again(&self, mut row: Row, callback: &Callback) -> Result<Row, LedgerError> {
        let before = row.state.clone();
        row.state = RowState::Done;
        row.user = Some(callback.user.clone());
        row.add_alias(Alias::User(callback.user.clone()));
        row.updated_at = self.clock.now();
        let row = self.ledger.write(&row).await?;
        self.witness.step(Moment::After, "store_born_new", &row);
        self.witness.moved(&before, &row);
        Ok(row)
    }

    async fn write_born_new(
        &self,
        email: &CanonicalEmail,
        name: &LoginName,
        callback: &Callback,
    ) -> Result<Option<Row>, LedgerError> {
        let settings = self.settings.load_full();
        let (Some(source), Some(id)) =
            (SourceName::parse(BORN_NEW_SOURCE), LegacyId::parse(&callback.user.0))
        else {
            return Ok(None);
        };
        let now = self.clock.now();
        let external_id = ExternalId::received(callback.user.0.clone());
        let fresh = Row::fresh(PersonKey { source, id }, settings.salt.bucket(name), external_id, now);
        self.witness.step(Moment::Before, "claim_born_new", &fresh);
        let claimed = self.ledger.claim(&fresh, settings.migration.lease, now).await?;
        let ClaimAnswer::Granted(mut row) = claimed else { return Ok(None) };
        self.witness.step(Moment::After, "claim_born_new", &row);
        let before = row.state.clone();
        if before == RowState::Tombstone {
            return Ok(None);
        }
        row.state = RowState::Done;
        row.origin = Origin::BornNew;
        row.claim = None;
        row.user = Some(callback.user.clone());
        row.crossed_at = Some(now);
        row.add_alias(Alias::Typed(name.canonical().to_owned()));
        row.add_alias(Alias::Email(email.clone()));
        row.add_alias(Alias::User(callback.user.clone()));
        let row = self.ledger.write(&row).await?;
        self.witness.step(Moment::After, "store_born_new", &row);
        self.witness.moved(&before, &row);
        Ok(Some(row))
    }

    fn try_again(&self, error: &(dyn std::error::Error + 'static)) -> Refused {
        self.witness.unavailable("callback", error);
        error.downcast_ref().inspect(|error| self.tell_unreadable(error));
        Refused::TryAgain
    }
}
