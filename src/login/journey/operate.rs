//! What an operator does about one person: find their row, have them judged anew, remove them.

use super::{CROSS_TRIES, Journeys};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, ExternalId, LoginName, PersonKey},
    login::{
        Alias, DirectoryError, Ledger as _, LedgerError, LegacyError, Row, RowState, Stage, row::names_in,
    },
};

/// Whom an operator means.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// Whoever signs in with this.
    Name(LoginName),
    Key(PersonKey),
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    /// Neither the ledger nor, where it was asked, a legacy store knows exactly one person so named.
    #[error("nobody is so named")]
    Nobody,
    /// Only who was set aside, or is DONE, can be tried again.
    #[error("the person is {} and not set aside", .0.as_str())]
    NotSetAside(Stage),
    /// They are DONE, and Scalekit has their user with the address they have here.
    #[error("their user at Scalekit is there, with the same address")]
    UserIsThere,
    /// They are DONE, and Scalekit has their user with an address that is neither theirs here nor at the legacy side.
    #[error("their user at Scalekit has an address of which the legacy side says nothing")]
    AddressDiffers,
    /// A removed person's names are never given up (truth 5).
    #[error("the person is removed")]
    Removed,
    /// Without it nothing would keep a second person from being created with the same address.
    #[error("the name is the address that the person has, or may have, at Scalekit")]
    TheirAddress,
    /// The store's answer was lost: it may be done or not. The row as it would be.
    #[error("it may have been done: {error}")]
    Unknown {
        row: Box<Row>,
        #[source]
        error: LedgerError,
    },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Legacy(#[from] LegacyError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl NotDone {
    /// A refused write changed nothing; what else went wrong with it says nothing of the row.
    pub(super) fn after_writing(row: Row, error: LedgerError) -> Self {
        match error {
            LedgerError::Overtaken | LedgerError::AliasTaken | LedgerError::Unreadable(_) => error.into(),
            LedgerError::Unavailable(..) => Self::Unknown { row: Box::new(row), error },
        }
    }
}

impl Journeys {
    /// The row of whoever is meant. An address that nobody vouches for leads to no row: the legacy side is asked whose
    /// login it is.
    pub(crate) async fn row_of(&self, whom: &Whom) -> Result<Option<Row>, LedgerError> {
        let name = match whom {
            Whom::Name(name) => name,
            Whom::Key(key) => return self.ledger.row(key).await,
        };
        if let Some(row) = self.find_row(name).await? {
            return Ok(Some(row));
        }
        let deadline = Deadline::within(self.settings.load().migration.legacy_budget);
        match self.chain.load_full().find(name, deadline).await {
            Ok(Some(record)) => self.ledger.row(&record.key()).await,
            Ok(None) => Ok(None),
            Err(error) => {
                self.witness.unavailable("find_record", &error);
                Ok(None)
            }
        }
    }

    /// Lets a person who was set aside be judged anew: their next sign-in takes the lane that the dial gives them. Who is
    /// DONE is mended where Scalekit, which is asked first, does not have them as they are here.
    pub(crate) async fn retry(&self, whom: &Whom) -> Result<Row, NotDone> {
        for _ in 0..CROSS_TRIES {
            let row = self.row_of(whom).await?.ok_or(NotDone::Nobody)?;
            let before = row.state.clone();
            let mut row = match row.state {
                RowState::Conflict { .. } | RowState::Ineligible { .. } => {
                    Row { state: RowState::None, ..row }
                }
                RowState::Done => self.mended(row).await?,
                _ => return Err(NotDone::NotSetAside(row.state.stage())),
            };
            row.updated_at = self.clock.now();
            match self.ledger.write(&row).await {
                Err(LedgerError::Overtaken) => {}
                Err(error) => return Err(NotDone::after_writing(row, error)),
                Ok(row) => {
                    if row.state != before {
                        self.witness.moved(&before, &row);
                    }
                    return Ok(row);
                }
            }
        }
        Err(LedgerError::Overtaken.into())
    }

    /// Removes a person for good: every name of theirs leads to a tombstone, and no legacy password brings them back
    /// (truth 5). Somebody who never signed in here is looked up in the legacy stores and gets a row. `true` where
    /// they had not been removed before. Their sessions are for the caller to end, afterwards. A row that cannot be read
    /// is written over: nothing else would help.
    pub(crate) async fn remove(&self, whom: &Whom) -> Result<(Row, bool), NotDone> {
        for _ in 0..CROSS_TRIES {
            let mut row = match self.row_to_remove(whom).await {
                Err(NotDone::Ledger(LedgerError::Unreadable(key))) => {
                    return Ok((self.remove_unread(key, whom).await?, true));
                }
                found => found?,
            };
            if row.state == RowState::Tombstone {
                return Ok((row, false));
            }
            let before = row.state.clone();
            for alias in names_of(&row, whom) {
                self.add_free(&mut row, alias).await?;
            }
            row.state = RowState::Tombstone;
            // Whoever works on the row is overtaken by this write.
            row.claim = None;
            row.updated_at = self.clock.now();
            match self.ledger.write(&row).await {
                Err(LedgerError::Overtaken | LedgerError::AliasTaken) => {}
                Err(error) => return Err(NotDone::after_writing(row, error)),
                Ok(row) => {
                    self.witness.moved(&before, &row);
                    return Ok((row, true));
                }
            }
        }
        Err(LedgerError::Overtaken.into())
    }

    /// Adds an alias that is nobody's; one that leads to somebody else is theirs.
    async fn add_free(&self, row: &mut Row, alias: Alias) -> Result<(), LedgerError> {
        match self.ledger.find(&alias).await {
            Ok(None) => row.add_alias(alias),
            Ok(Some(_)) | Err(LedgerError::Unreadable(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn row_to_remove(&self, whom: &Whom) -> Result<Row, NotDone> {
        match self.row_of(whom).await? {
            Some(row) => Ok(row),
            None => self.row_from_legacy(whom).await,
        }
    }

    /// Puts a tombstone in the place of a row that cannot be read. All names that led to the row lead to it, and those
    /// of the legacy record, where that can be had: an operator's word does not wait for a legacy store.
    async fn remove_unread(&self, key: PersonKey, whom: &Whom) -> Result<Row, NotDone> {
        let settings = self.settings.load_full();
        let deadline = Deadline::within(settings.migration.legacy_budget);
        let record = self.chain.load_full().read(&key.source, &key.id, deadline).await.unwrap_or_default();
        let external_id = match settings.sources.get(&key.source) {
            Some(rules) => rules.external_id.render(&key),
            None => ExternalId::received(key.id.as_str().to_owned()),
        };
        // No percentage reaches a removed person.
        let bucket = settings.salt.bucket(&LoginName::parse(&key.to_string()).ok_or(NotDone::Nobody)?);
        let fresh = Row::fresh(key, bucket, external_id, self.clock.now());
        let mut row = Row { record, state: RowState::Tombstone, ..fresh };
        for alias in names_of(&row, whom) {
            self.add_free(&mut row, alias).await?;
        }
        match self.ledger.write_over(&row).await {
            Err(error) => Err(NotDone::after_writing(row, error)),
            Ok(row) => {
                self.witness.moved(&RowState::None, &row);
                Ok(row)
            }
        }
    }

    /// A row, not written yet, for somebody whom only the legacy side knows.
    async fn row_from_legacy(&self, whom: &Whom) -> Result<Row, NotDone> {
        let (settings, chain) = (self.settings.load_full(), self.chain.load_full());
        let deadline = Deadline::within(settings.migration.legacy_budget);
        let record = match whom {
            Whom::Name(name) => chain.find(name, deadline).await?,
            Whom::Key(key) => chain.read(&key.source, &key.id, deadline).await?,
        };
        let record = record.ok_or(NotDone::Nobody)?;
        let key = record.key();
        // The name may be new and the person not.
        if let Some(row) = self.ledger.row(&key).await? {
            return Ok(row);
        }
        let rules = settings.sources.get(&key.source).ok_or(NotDone::Nobody)?;
        let typed = match whom {
            Whom::Name(name) => Some(name.clone()),
            Whom::Key(_) => names_in(&record).into_iter().next(),
        };
        let bucket = settings.salt.bucket(&typed.ok_or(NotDone::Nobody)?);
        let external_id = rules.external_id.render(&key);
        let fresh = Row::fresh(key, bucket, external_id, self.clock.now());
        Ok(Row { record: Some(record), ..fresh })
    }
}

/// Every name that is known of a person, as aliases.
fn names_of(row: &Row, whom: &Whom) -> Vec<Alias> {
    let mut names: Vec<LoginName> = row.record.as_ref().map(names_in).unwrap_or_default();
    if let Whom::Name(name) = whom {
        names.push(name.clone());
    }
    let verified = row.email.as_ref().map(|email| email.email().clone());
    let emails = names.iter().filter_map(LoginName::email).cloned().chain(verified);
    let emails: Vec<CanonicalEmail> = emails.collect();
    let typed = names.iter().map(|name| Alias::Typed(name.canonical().to_owned()));
    let user = row.user.clone().map(Alias::User);
    typed.chain(emails.into_iter().map(Alias::Email)).chain(user).collect()
}
