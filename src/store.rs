//! Where state lives: the ledger, sessions, flows and counts of tries, behind the ports of `login` and `session`.
//!
//! [`Embedded`] is one file for one process, [`Redis`] is for several; the rest of the program sees a [`Store`]. Every
//! store passes the suites in `contract`. A store keeps what it is given and decides nothing.

mod counts;
mod embedded;
mod people;
mod redis;
mod time;

#[cfg(test)]
mod contract;

use std::sync::Arc;

use async_trait::async_trait;

pub(crate) use counts::LocalCounts;
pub(crate) use embedded::{Embedded, Glance, OpenError, Totals, glance};
pub(crate) use redis::{Redis, SharedCounts, SharedRates, Unreached};
pub(crate) use time::StoreClock;

use crate::{
    identity::CanonicalEmail,
    login::{Alias, EpochStore, Flags, Ledger, UserId},
    session::{FlowStore, SessionStore, Whose},
};

/// A store of any kind, as the ports it implements.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) epoch: Arc<dyn EpochStore>,
    pub(crate) sessions: Arc<dyn SessionStore>,
    pub(crate) flows: Arc<dyn FlowStore>,
    pub(crate) flags: Arc<dyn Flags>,
    pub(crate) meta: Arc<dyn Meta>,
    /// Where it is one: it alone takes new passwords while it runs.
    pub(crate) redis: Option<Redis>,
}

impl Store {
    pub(crate) fn of<Kind>(store: Kind) -> Self
    where
        Kind: Ledger + EpochStore + SessionStore + FlowStore + Flags + Meta + 'static,
    {
        let store = Arc::new(store);
        Self {
            ledger: store.clone(),
            epoch: store.clone(),
            sessions: store.clone(),
            flows: store.clone(),
            flags: store.clone(),
            meta: store,
            redis: None,
        }
    }

    pub(crate) fn of_redis(redis: Redis) -> Self {
        Self { redis: Some(redis.clone()), ..Self::of(redis) }
    }
}

/// Values that belong to the store itself, by name: the salt's fingerprint, the kept signing key.
#[async_trait]
pub(crate) trait Meta: Send + Sync {
    async fn meta(&self, name: &'static str) -> Result<Option<Vec<u8>>, MetaError>;

    /// Keeps or replaces a value.
    async fn set_meta(&self, name: &'static str, value: Vec<u8>) -> Result<(), MetaError>;

    /// Keeps a value unless there is one, and returns the one that is there then.
    async fn meta_or_insert(&self, name: &'static str, value: Vec<u8>) -> Result<Vec<u8>, MetaError>;

    /// Keeps a value in place of `old`; `false`, and nothing happens, where another one is there.
    async fn swap_meta(
        &self,
        name: &'static str,
        old: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, MetaError>;

    /// Whether other processes use this store at the same time.
    fn is_shared(&self) -> bool;
}

/// A value of the store itself could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the store is not available: {0}")]
pub(crate) struct MetaError(String);

/// An alias as a key; the kind goes first, so that a login name can never pass for an e-mail.
fn alias_key(alias: &Alias) -> String {
    match alias {
        Alias::Typed(name) => format!("typed:{name}"),
        Alias::Email(email) => format!("email:{}", email.as_str()),
        Alias::User(user) => format!("user:{}", user.0),
    }
}

/// The alias of such a key.
fn read_alias(key: &str) -> Option<Alias> {
    let (kind, name) = key.split_once(':')?;
    match kind {
        "typed" => Some(Alias::Typed(name.to_owned())),
        "email" => CanonicalEmail::parse(name).ok().map(Alias::Email),
        "user" => Some(Alias::User(UserId(name.to_owned()))),
        _ => None,
    }
}

/// One of a person's names as a key.
fn whose_key(whose: &Whose) -> String {
    match whose {
        Whose::User(user) => format!("user {}", user.0),
        Whose::Person(key) => format!("person {key}"),
    }
}
