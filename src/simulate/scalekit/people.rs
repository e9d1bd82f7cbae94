//! The table of users, found by id, address or external id.

use std::collections::{BTreeMap, HashMap};

use super::{records::User, settings::EmailCase};

/// All users. Ids rise, so the order of ids is the order of creation.
#[derive(Default)]
pub(super) struct People {
    rows: BTreeMap<String, User>,
    /// By the address in lower case.
    by_email: HashMap<String, Vec<String>>,
    /// More than one only after a duplicate was let in.
    by_external_id: HashMap<String, Vec<String>>,
}

impl People {
    pub(super) fn insert(&mut self, user: User) {
        self.by_email.entry(user.email.to_lowercase()).or_default().push(user.id.clone());
        if let Some(external) = &user.external_id {
            self.by_external_id.entry(external.clone()).or_default().push(user.id.clone());
        }
        self.rows.insert(user.id.clone(), user);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<User> {
        let user = self.rows.remove(id)?;
        forget(&mut self.by_email, &user.email.to_lowercase(), id);
        if let Some(external) = &user.external_id {
            forget(&mut self.by_external_id, external, id);
        }
        Some(user)
    }

    pub(super) fn get(&self, id: &str) -> Option<&User> {
        self.rows.get(id)
    }

    /// A user whose address and external id are left alone; those are indexed.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut User> {
        self.rows.get_mut(id)
    }

    pub(super) fn set_external_id(&mut self, id: &str, external: String) {
        let Some(user) = self.rows.get_mut(id) else { return };
        if let Some(old) = user.external_id.replace(external.clone()) {
            forget(&mut self.by_external_id, &old, id);
        }
        self.by_external_id.entry(external).or_default().push(id.to_owned());
    }

    /// The oldest user with this address.
    pub(super) fn by_email(&self, email: &str, case: EmailCase) -> Option<&User> {
        let ids = self.by_email.get(&email.to_lowercase())?;
        let same = |user: &&User| case == EmailCase::Folded || user.email == email;
        ids.iter().filter_map(|id| self.rows.get(id)).find(same)
    }

    /// The oldest user with this external id.
    pub(super) fn by_external_id(&self, external: &str) -> Option<&User> {
        self.by_external_id.get(external)?.iter().find_map(|id| self.rows.get(id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &User> {
        self.rows.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.rows.values_mut()
    }
}

fn forget(index: &mut HashMap<String, Vec<String>>, key: &str, id: &str) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
