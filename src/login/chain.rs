//! The legacy stores in order: one form, one guess (SEC-42).
//!
//! Where several stores could know a name, they are asked for the name first; the password goes to the one that has
//! it and to no other.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::join_all;

use super::{Attempt, Counted, Holders, LegacyError, LegacyStore, Presence, Rejection, StayReason, Verdict};
use crate::{
    clock::Deadline,
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, PersonKey, SourceName},
};

/// What the stores say of one guess.
#[must_use]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// The store that was asked last, where any was.
    pub(crate) by: Option<SourceName>,
}

impl Judged {
    fn by(store: &Arc<dyn LegacyStore>, verdict: Verdict) -> Self {
        Self { verdict, by: Some(store.source().clone()) }
    }

    fn by_nobody(verdict: Verdict) -> Self {
        Self { verdict, by: None }
    }
}

/// What all stores say of an address together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) holders: Holders<PersonKey>,
    /// Sources whose people may sign in with it, and which cannot say whether one of them has it.
    pub(crate) silent: Vec<SourceName>,
}

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

    /// Judges a guess, at one store: the only one that serves the name, or the first that has it. A store that cannot
    /// be asked closes the chain for the names that no store before it has, since it might have said *no*.
    pub(crate) async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Judged, LegacyError> {
        let stores: Vec<_> = self.serving(&attempt.name).filter(|store| store.verifies_passwords()).collect();
        match stores.as_slice() {
            [] => Ok(Judged::by_nobody(Verdict::Rejected(Rejection::Unknown))),
            [only] if !self.asks_the_application(&attempt.name) => {
                only.verify(attempt, deadline).await.map(|verdict| Judged::by(only, verdict))
            }
            several => verify_where_known(several, attempt, deadline).await,
        }
    }

    /// The record of a name. `None` also where several records answer to it, in one store or in two: which of them
    /// is meant cannot be known.
    pub(crate) async fn find(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        let stores: Vec<_> = self.serving(name).collect();
        let mut found = None;
        for store in &stores {
            match store.look_up(name, deadline).await? {
                Some(_) if found.is_some() => return Ok(None),
                Some(record) => found = Some(record),
                // A store that has several of that name gives none of them.
                None if stores.len() > 1 && is_known(store, name, deadline).await? => return Ok(None),
                None => {}
            }
        }
        Ok(found)
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

    /// Who holds this e-mail in any source. All are asked, whatever names they serve: people who sign in by user name
    /// have addresses, too.
    pub(crate) async fn search(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Search, LegacyError> {
        let name = LoginName::parse(email.as_str());
        let serves = |store: &Arc<dyn LegacyStore>| name.as_ref().is_none_or(|name| store.serves(name));
        let mut search = Search { holders: Holders::Nobody, silent: Vec::new() };
        let asked = join_all(self.stores.iter().map(|store| store.holders(email, deadline))).await;
        for (store, here) in self.stores.iter().zip(asked) {
            let here = here?;
            if here == Holders::CannotTell && serves(store) {
                search.silent.push(store.source().clone());
            }
            let here = here.map(|id| PersonKey { source: store.source().clone(), id });
            search.holders = search.holders.and(here);
        }
        Ok(search)
    }

    fn store(&self, source: &SourceName) -> Option<&Arc<dyn LegacyStore>> {
        self.stores.iter().find(|store| store.source() == source)
    }

    fn serving(&self, name: &LoginName) -> impl Iterator<Item = &Arc<dyn LegacyStore>> {
        self.stores.iter().filter(|store| store.serves(name))
    }
}

/// Judges a guess where several stores, or a store and the application, could know the name. All are asked for the
/// name, whatever the first says: how long that takes tells nobody who is where.
async fn verify_where_known(
    stores: &[&Arc<dyn LegacyStore>],
    attempt: &Attempt,
    deadline: Deadline,
) -> Result<Judged, LegacyError> {
    // Half of the time is kept for the check itself: one slow store may not use up everybody's.
    let for_names = deadline.at_most(deadline.remaining() / 2);
    let asked = join_all(stores.iter().map(|store| store.presence(&attempt.name, for_names))).await;
    let is_there = |presence: &Result<Presence, _>| matches!(presence, Ok(Presence::Somebody));
    // Two people of one name: only the application knows whom it means (SEC-34). Nothing is tried.
    if asked.iter().filter(|presence| is_there(presence)).count() > 1 {
        return Ok(Judged::by_nobody(Verdict::StayOnLegacy(StayReason::Ambiguous)));
    }
    let mut tried = None;
    // That another store cannot be asked makes no guess free that one has judged (SEC-41), and a name that cannot be
    // looked up costs none.
    let unsent = |error| LegacyError { counted: Counted::No, ..error };
    for (store, presence) in stores.iter().zip(asked) {
        let is_tried = tried.is_some();
        let counted = |error| if is_tried { LegacyError { counted: Counted::Yes, ..error } } else { error };
        match presence.map_err(|error| counted(unsent(error)))? {
            Presence::Nobody => {}
            Presence::Somebody => {
                let verdict = store.verify(attempt, deadline).await.map_err(counted)?;
                return Ok(Judged::by(store, verdict));
            }
            Presence::CannotTell => match store.verify(attempt, deadline).await.map_err(counted)? {
                Verdict::Rejected(Rejection::Unknown) => tried = Some(*store),
                decided => return Ok(Judged::by(store, decided)),
            },
        }
    }
    let unknown = Verdict::Rejected(Rejection::Unknown);
    match (tried, stores.first()) {
        (Some(last), _) => Ok(Judged::by(last, unknown)),
        // A name that nobody has costs a check, too (SEC-40).
        (None, Some(store)) => match store.verify(attempt, deadline).await? {
            Verdict::Rejected(_) => Ok(Judged::by(store, unknown)),
            decided => Ok(Judged::by(store, decided)),
        },
        (None, None) => Ok(Judged::by_nobody(unknown)),
    }
}

async fn is_known(
    store: &Arc<dyn LegacyStore>,
    name: &LoginName,
    deadline: Deadline,
) -> Result<bool, LegacyError> {
    Ok(store.presence(name, deadline).await? == Presence::Somebody)
}
