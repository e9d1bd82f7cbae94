//! An HTTP endpoint of the operator's own that finds people and checks passwords (legacy-stores.md §5).
//!
//! The configuration says where to ask and what each answer means; what it does not name is neither a yes nor a no. A yes
//! has to name the person: the record is the one the check's answer holds, or the one that is found before and after it.
//! `calls` asks, `people` reads.

mod calls;
mod people;
mod probe;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use uuid::Uuid;

use self::{
    calls::{Calls, Checked},
    people::{People, Person},
};
use super::{
    failure::{failure, garbage, uncounted},
    names,
};
use crate::{
    clock::Deadline,
    config::{HttpMeaning, HttpSource, Source, UrlTemplate},
    identity::{AccountState, CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{
        Attempt, ErrorClass, Holders, LegacyError, LegacyStore, Presence, Rejection, StayReason, Verdict,
    },
    net::Dependencies,
};

/// One such endpoint.
pub(super) struct Endpoint {
    source: SourceName,
    domains: Vec<String>,
    timeout: Duration,
    find: Option<UrlTemplate>,
    find_by_id: Option<UrlTemplate>,
    find_by_email: Option<UrlTemplate>,
    names_person: bool,
    people: People,
    calls: Calls,
}

impl Endpoint {
    /// The problem names the setting and no secret.
    pub(super) fn new(
        source: &Source,
        settings: &HttpSource,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        Ok(Self {
            source: source.name.clone(),
            domains: source.domains.clone(),
            timeout: source.timeout,
            find: settings.find.clone(),
            find_by_id: settings.find_by_id.clone(),
            find_by_email: settings.find_by_email.clone(),
            names_person: settings.check.names_person,
            people: People::new(source, settings),
            calls: Calls::new(source, settings, dependencies)?,
        })
    }

    /// The person of a typed name, where the endpoint gives one that has it: its own comparison is not ours.
    async fn person(&self, name: &LoginName, deadline: Deadline) -> Result<Option<Person>, LegacyError> {
        let Some(template) = &self.find else { return Ok(None) };
        let found = self.calls.one(template, name.as_typed(), deadline).await?;
        let person = found.map(|document| self.read_person(&document)).transpose()?;
        Ok(person.filter(|person| person.answers_to(name)))
    }

    fn read_person(&self, document: &Value) -> Result<Person, LegacyError> {
        self.people
            .person(document)
            .map_err(|why| garbage(&self.source, format!("a person's {} {}", why.column, why.problem)))
    }

    /// The check of a name that nobody has: the same call as for anybody, whose answer says nothing (SEC-40).
    async fn nobody(
        &self,
        attempt: &Attempt,
        password: &str,
        deadline: Deadline,
    ) -> Result<Verdict, LegacyError> {
        // No id of anybody's.
        let id = format!("nobody-{}", Uuid::now_v7());
        let _said = self.calls.check(attempt.name.as_typed(), &id, password, deadline).await?;
        Ok(Verdict::Rejected(Rejection::Unknown))
    }

    /// The person behind a yes: the one whose password was checked, and the one who was asked for.
    async fn proven(
        &self,
        checked: &Checked,
        before: Option<Person>,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Person, LegacyError> {
        let unnamed = || garbage(&self.source, "accepted a password without naming the person");
        let person = match (&checked.document, &before) {
            (Some(document), _) if self.names_person => self.read_person(document)?,
            (None, _) if self.names_person => return Err(unnamed()),
            (_, Some(_)) if self.calls.checks_by_id() => return before.ok_or_else(unnamed),
            // The name led to this person before the check; it has to after it, too.
            _ => self.person(name, deadline).await?.ok_or_else(unnamed)?,
        };
        let is_same = before.is_none_or(|before| before.record.id == person.record.id);
        if is_same && person.answers_to(name) {
            return Ok(person);
        }
        let problem = "accepted the password, but named another person than was asked for";
        Err(failure(&self.source, ErrorClass::Permanent, problem))
    }
}

/// The password is right: now the state of the account may matter.
fn judged(person: Person) -> Verdict {
    match person.record.state {
        AccountState::Locked => Verdict::Rejected(Rejection::Locked),
        AccountState::Disabled => Verdict::Rejected(Rejection::Disabled),
        AccountState::Active | AccountState::Unknown if person.must_change => {
            Verdict::StayOnLegacy(StayReason::MustChangePassword)
        }
        AccountState::Active | AccountState::Unknown => Verdict::Verified(Box::new(person.record)),
    }
}

/// What an answer other than a yes means.
fn decided(means: HttpMeaning) -> Option<Verdict> {
    Some(match means {
        HttpMeaning::Right => return None,
        HttpMeaning::Wrong => Verdict::Rejected(Rejection::WrongPassword),
        HttpMeaning::Unknown => Verdict::Rejected(Rejection::Unknown),
        HttpMeaning::Locked => Verdict::Rejected(Rejection::Locked),
        HttpMeaning::Disabled => Verdict::Rejected(Rejection::Disabled),
        HttpMeaning::PasswordExpired => Verdict::StayOnLegacy(StayReason::PasswordExpired),
        HttpMeaning::MustChange => Verdict::StayOnLegacy(StayReason::MustChangePassword),
        HttpMeaning::Mfa => Verdict::StayOnLegacy(StayReason::Mfa),
        HttpMeaning::Pending => Verdict::StayOnLegacy(StayReason::Pending),
    })
}

#[async_trait]
impl LegacyStore for Endpoint {
    fn source(&self) -> &SourceName {
        &self.source
    }

    fn serves(&self, name: &LoginName) -> bool {
        names::is_served(&self.domains, name)
    }

    fn verifies_passwords(&self) -> bool {
        true
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        // JSON is text: bytes that are none cannot be sent.
        let password = attempt.password.expose_text().filter(|password| !password.is_empty());
        let Some(password) = password else { return Ok(Verdict::Rejected(Rejection::WrongPassword)) };
        let name = &attempt.name;
        let before = self.person(name, deadline).await.map_err(uncounted)?;
        let id = match &before {
            Some(person) => person.record.id.as_str(),
            None if self.find.is_some() => return self.nobody(attempt, password, deadline).await,
            None => "",
        };
        let Some(checked) = self.calls.check(name.as_typed(), id, password, deadline).await? else {
            return Ok(Verdict::Rejected(Rejection::Unknown));
        };
        match decided(checked.means) {
            Some(verdict) => Ok(verdict),
            None => self.proven(&checked, before, name, deadline).await.map(judged).map_err(uncounted),
        }
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        if self.find.is_none() {
            return Ok(Presence::CannotTell);
        }
        let person = self.person(name, deadline.at_most(self.timeout)).await?;
        Ok(if person.is_some() { Presence::Somebody } else { Presence::Nobody })
    }

    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        let person = self.person(name, deadline.at_most(self.timeout)).await?;
        Ok(person.map(|person| person.record))
    }

    /// As for a table without `id_query`: somebody gone and somebody who cannot be asked about are treated very
    /// differently.
    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let Some(template) = &self.find_by_id else {
            let problem = "has no `find_by_id`, so no record can be read again by its id";
            return Err(failure(&self.source, ErrorClass::Misconfigured, problem));
        };
        let found = self.calls.one(template, id.as_str(), deadline.at_most(self.timeout)).await?;
        let person = found.map(|document| self.read_person(&document)).transpose()?;
        Ok(person.map(|person| person.record).filter(|record| record.id == *id))
    }

    fn holds_records(&self) -> bool {
        self.find.is_some() || self.find_by_id.is_some()
    }

    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError> {
        let Some(template) = &self.find_by_email else { return Ok(Holders::CannotTell) };
        let deadline = deadline.at_most(self.timeout);
        let mut people = BTreeSet::new();
        for spelling in names::spellings(email) {
            for document in self.calls.list(template, &spelling, deadline).await? {
                let person = self.read_person(&document)?;
                if person.has_email(email) {
                    people.insert(person.record.id);
                }
            }
        }
        Ok(match (people.pop_first(), people.is_empty()) {
            (None, _) => Holders::Nobody,
            (Some(id), true) => Holders::One(id),
            (Some(_), false) => Holders::Several,
        })
    }
}
