//! An application without any API: it judges the forwarded sign-in itself, and its who-am-I route names the person.
//! Nothing can be asked here.

use async_trait::async_trait;

use super::{failure::failure, names};
use crate::{
    clock::Deadline,
    config::Source,
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{Attempt, ErrorClass, Holders, LegacyError, LegacyStore, Presence, Verdict},
};

/// The place of such an application in the chain.
pub(super) struct Upstream {
    source: SourceName,
    domains: Vec<String>,
}

impl Upstream {
    pub(super) fn new(source: &Source) -> Self {
        Self { source: source.name.clone(), domains: source.domains.clone() }
    }
}

#[async_trait]
impl LegacyStore for Upstream {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn serves(&self, name: &LoginName) -> bool {
        names::is_served(&self.domains, name)
    }

    fn verifies_passwords(&self) -> bool {
        false
    }

    async fn verify(&self, _attempt: &Attempt, _deadline: Deadline) -> Result<Verdict, LegacyError> {
        Err(failure(&self.source, ErrorClass::Misconfigured, "only the application itself judges passwords"))
    }

    async fn presence(&self, _name: &LoginName, _deadline: Deadline) -> Result<Presence, LegacyError> {
        Ok(Presence::CannotTell)
    }

    async fn look_up(
        &self,
        _name: &LoginName,
        _deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        Ok(None)
    }

    async fn read(&self, _id: &LegacyId, _deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        Ok(None)
    }

    fn holds_records(&self) -> bool {
        false
    }

    async fn holders(&self, _email: &CanonicalEmail, _deadline: Deadline) -> Result<Holders, LegacyError> {
        Ok(Holders::CannotTell)
    }
}
