//! Which names lead to a person, and how one comes to lead to another.
//!
//! Anybody may type anything, and write anything into their own record. So an address leads only to whom somebody
//! vouches that it is theirs; a user name leads to whoever proved themselves by it, until a store says that it is
//! another's now. A removed person's names stay closed, whatever a store says (truth 5).

use super::{CROSS_TRIES, Journeys, NotDone};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, LegacyRecord, LoginName},
    login::{Alias, Ledger as _, LedgerError, Moment, Origin, Row, RowState, row::names_in},
};

/// A proven person, as far as names may lead to them.
#[derive(Clone, Copy)]
pub(super) struct Bearer<'a> {
    pub(super) record: &'a LegacyRecord,
    /// The one address that may: somebody vouches for it.
    pub(super) address: Option<&'a CanonicalEmail>,
}

/// What a record's person signs in with by its own word. A source without such a field gives the id in its place, which
/// may be what somebody else signs in with.
pub(super) fn login_of(record: &LegacyRecord) -> Option<LoginName> {
    LoginName::parse(&record.login).filter(|_| record.login != record.id.as_str())
}

impl Journeys {
    /// Binds those of the names that are the person's. Whoever crosses is then known by each of them (REL-08), and
    /// nobody keeps an address that is somebody else's (SEC-35).
    pub(super) async fn add_names(
        &self,
        row: &mut Row,
        names: Vec<LoginName>,
        bearer: Bearer<'_>,
    ) -> Result<(), LedgerError> {
        for name in names {
            let alias = Alias::Typed(name.canonical().to_owned());
            let may_be_theirs = name.email().is_none_or(|email| bearer.address == Some(email));
            if may_be_theirs && !row.aliases.contains(&alias) && self.is_free_for(row, &name, bearer).await? {
                row.add_alias(alias);
            }
        }
        Ok(())
    }

    /// Somebody who exists in Scalekit was met under another name: it is remembered, and nothing else changes.
    pub(super) async fn remember_names(
        &self,
        row: Row,
        typed: Option<&LoginName>,
        record: &LegacyRecord,
    ) -> Result<Row, LedgerError> {
        let mut after = row.clone();
        let address = row.email.as_ref().map(|email| email.email().clone());
        let names = typed.cloned().into_iter().chain(login_of(record)).collect();
        self.add_names(&mut after, names, Bearer { record, address: address.as_ref() }).await?;
        if after.aliases.len() == row.aliases.len() {
            return Ok(row);
        }
        match self.ledger.write(&after).await {
            // The name is for another time; a row that holds it without the ledger's word would stand in the way of the
            // crossing.
            Err(LedgerError::Overtaken | LedgerError::AliasTaken) => Ok(row),
            written => written,
        }
    }

    /// Whether a name leads to nobody else, or does so no longer after this.
    async fn is_free_for(
        &self,
        row: &Row,
        name: &LoginName,
        bearer: Bearer<'_>,
    ) -> Result<bool, LedgerError> {
        match self.find_row(name).await {
            Ok(Some(other)) if other.key != row.key => self.gives_up(other, name, bearer.record).await,
            Ok(_) => Ok(true),
            // It may be a removed person's.
            Err(LedgerError::Unreadable(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a name from whoever it was bound to, where a store says that it is another's now: logins are given to new
    /// people. One write frees it and the next binds it: cut in between, it leads to nobody, and the next sign-in binds
    /// it. A row that somebody writes in between keeps it.
    async fn gives_up(
        &self,
        mut other: Row,
        name: &LoginName,
        record: &LegacyRecord,
    ) -> Result<bool, LedgerError> {
        let alias = Alias::Typed(name.canonical().to_owned());
        let is_bound = other.aliases.contains(&alias) && !is_address_of(&other, name);
        let is_busy = other.claim.as_ref().is_some_and(|claim| claim.until > self.clock.now());
        let is_kept = other.state == RowState::Tombstone || other.origin == Origin::BornNew || is_busy;
        if !is_bound || is_kept || !self.is_called(record, name, &other).await {
            return Ok(false);
        }
        other.aliases.retain(|bound| *bound != alias);
        other.updated_at = self.clock.now();
        self.witness.step(Moment::Before, "free_name", &other);
        match self.ledger.write(&other).await {
            Ok(other) => {
                self.witness.step(Moment::After, "free_name", &other);
                Ok(true)
            }
            Err(LedgerError::Overtaken | LedgerError::AliasTaken) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the legacy side says that a name is this record's and nobody else's. Where the application alone holds
    /// people, its who-am-I is the store.
    async fn is_called(&self, record: &LegacyRecord, name: &LoginName, other: &Row) -> bool {
        let (settings, chain) = (self.settings.load_full(), self.chain.load_full());
        let deadline = Deadline::within(settings.migration.legacy_budget);
        match chain.find(name, deadline).await {
            Ok(Some(found)) => found.key() == record.key(),
            Ok(None) => {
                let mut names = names_in(record).into_iter();
                !chain.holds_records(&record.source)
                    && other.key.source == record.source
                    && names.any(|own| own.canonical() == name.canonical())
            }
            Err(error) => {
                self.witness.unavailable("find_record", &error);
                false
            }
        }
    }

    /// An operator takes a name from whoever it leads to; everything else of theirs stays as it is. Whoever proves
    /// themselves by it next has it.
    pub(crate) async fn forget_name(&self, name: &LoginName) -> Result<Row, NotDone> {
        for _ in 0..CROSS_TRIES {
            let mut row = self.find_row(name).await?.ok_or(NotDone::Nobody)?;
            if row.state == RowState::Tombstone {
                return Err(NotDone::Removed);
            }
            if is_address_of(&row, name) && may_be_at_scalekit(&row) {
                return Err(NotDone::TheirAddress);
            }
            let email = name.email().cloned().map(Alias::Email);
            let typed = Alias::Typed(name.canonical().to_owned());
            row.aliases.retain(|alias| *alias != typed && Some(alias) != email.as_ref());
            row.updated_at = self.clock.now();
            match self.ledger.write(&row).await {
                Err(LedgerError::Overtaken) => {}
                Err(error) => return Err(NotDone::after_writing(row, error)),
                Ok(row) => return Ok(row),
            }
        }
        Err(LedgerError::Overtaken.into())
    }
}

/// Whether a name leads to a row as its address, and not only as what was typed.
fn is_address_of(row: &Row, name: &LoginName) -> bool {
    name.email().is_some_and(|email| row.aliases.contains(&Alias::Email(email.clone())))
}

/// Whether a user there may have the row's address. It then keeps others from being created with it.
fn may_be_at_scalekit(row: &Row) -> bool {
    let is_under_way = matches!(row.state, RowState::Claimed | RowState::Created | RowState::Done);
    is_under_way || row.user.is_some() || row.create_sent_at.is_some() || row.crossed_at.is_some()
}
