//! The legacy stores in order: one form, one guess (SEC-42).

use std::sync::Arc;

use super::{Attempt, Holders, LegacyError, LegacyStore, Rejection, Verdict};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, PersonKey, SourceName},
};

/// Legacy stores in the order they are asked.
#[derive(Clone)]
pub(crate) struct Chain {
    stores: Vec<Arc<dyn LegacyStore>>,
}

impl Chain {
    pub(crate) fn new(stores: Vec<Arc<dyn LegacyStore>>) -> Self {
        Self { stores }
    }

    /// Whether any store serving this name can judge a password itself; if not, only the application can.
    pub(crate) fn verifies_passwords(&self, name: &LoginName) -> bool {
        self.serving(name).any(|store| store.verifies_passwords())
    }

    /// Whether a store serving this name leaves the judging to the application. Then nobody can be called unknown
    /// before the application has been asked.
    pub(crate) fn asks_the_application(&self, name: &LoginName) -> bool {
        self.serving(name).any(|store| !store.verifies_passwords())
    }

    /// Judges a guess. The next store is asked only after "nobody of that name here": after a *no* nobody else
    /// sees the password, and a store that cannot be asked closes the chain, since it might have said *no*.
    pub(crate) async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        for store in self.serving(&attempt.name).filter(|store| store.verifies_passwords()) {
            match store.verify(attempt, deadline).await? {
                Verdict::Rejected(Rejection::Unknown) => {}
                decided => return Ok(decided),
            }
        }
        Ok(Verdict::Rejected(Rejection::Unknown))
    }

    /// The record of a name, from the first store that has one.
    pub(crate) async fn find(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        for store in self.serving(name) {
            if let Some(record) = store.look_up(name, deadline).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether the source can be asked for records (all but `upstream` can).
    pub(crate) fn holds_records(&self, source: &SourceName) -> bool {
        self.store(source).is_some_and(|store| store.holds_records())
    }

    /// A source's record read again by its immutable id.
    pub(crate) async fn read(
        &self,
        source: &SourceName,
        id: &LegacyId,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        match self.store(source) {
            Some(store) => store.read(id, deadline).await,
            None => Ok(None),
        }
    }

    /// Who holds this e-mail in the source.
    pub(crate) async fn holders(
        &self,
        source: &SourceName,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Holders, LegacyError> {
        match self.store(source) {
            Some(store) => store.holders(email, deadline).await,
            None => Ok(Holders::CannotTell),
        }
    }

    /// Who holds this e-mail in any source with records. All are asked, whatever names they serve: people who sign
    /// in by user name have addresses, too.
    pub(crate) async fn holders_anywhere(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Holders<PersonKey>, LegacyError> {
        let mut holders = Holders::Nobody;
        for store in self.stores.iter().filter(|store| store.holds_records()) {
            let here = store.holders(email, deadline).await?;
            holders = holders.and(here.map(|id| PersonKey { source: store.source().clone(), id }));
        }
        Ok(holders)
    }

    fn store(&self, source: &SourceName) -> Option<&Arc<dyn LegacyStore>> {
        self.stores.iter().find(|store| store.source() == source)
    }

    fn serving(&self, name: &LoginName) -> impl Iterator<Item = &Arc<dyn LegacyStore>> {
        self.stores.iter().filter(|store| store.serves(name))
    }
}
