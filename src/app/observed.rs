//! Measures every call to a legacy store and to Scalekit, and notices when one stops or begins to answer.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    clock::{Deadline, SharedClock},
    identity::{CanonicalEmail, ExternalId, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{
        Attempt, CreateError, Directory, DirectoryError, DirectoryUser, ErrorClass, Holders, LegacyError,
        LegacyStore, NewUser, OrganizationId, Presence, UserId, Verdict,
    },
    telemetry::{Audit, Metrics},
};

/// Where observations go.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) audit: Audit,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
}

/// Whether a dependency answered when it was last asked.
#[derive(Debug)]
struct Health {
    name: String,
    answers: AtomicBool,
}

impl Health {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), answers: AtomicBool::new(true) }
    }

    fn saw(&self, answers: bool, audit: Audit) {
        let word = |answers| if answers { "up" } else { "down" };
        let before = self.answers.swap(answers, Ordering::Relaxed);
        if before != answers {
            audit.dependency_changed(&self.name, word(before), word(answers));
        }
    }
}

/// Runs a call and says how long it took.
async fn timed<T>(clock: &SharedClock, call: impl Future<Output = T>) -> (T, Duration) {
    let started = clock.monotonic();
    let answer = call.await;
    (answer, clock.monotonic().saturating_sub(started))
}

const fn class_word(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Transient { .. } => "transient",
        ErrorClass::Permanent => "permanent",
        ErrorClass::Misconfigured => "misconfigured",
    }
}

/// A legacy store that is watched.
pub(super) struct ObservedStore {
    store: Arc<dyn LegacyStore>,
    health: Health,
    observer: Observer,
}

impl ObservedStore {
    pub(super) fn shared(store: Arc<dyn LegacyStore>, observer: Observer) -> Arc<dyn LegacyStore> {
        let health = Health::new(format!("legacy {}", store.source()));
        Arc::new(Self { store, health, observer })
    }

    async fn watch<T>(
        &self,
        call: impl Future<Output = Result<T, LegacyError>>,
        outcome: impl FnOnce(&T) -> &'static str,
    ) -> Result<T, LegacyError> {
        let (answer, took) = timed(&self.observer.clock, call).await;
        let word = match &answer {
            Ok(answer) => outcome(answer),
            Err(error) => class_word(error.class),
        };
        self.observer.metrics.legacy_called(self.store.source().as_str(), word, took);
        self.health.saw(answer.is_ok(), self.observer.audit);
        answer
    }
}

#[async_trait]
impl LegacyStore for ObservedStore {
    fn source(&self) -> &SourceName {
        self.store.source()
    }

    fn serves(&self, name: &LoginName) -> bool {
        self.store.serves(name)
    }

    fn verifies_passwords(&self) -> bool {
        self.store.verifies_passwords()
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        let outcome = |verdict: &Verdict| match verdict {
            Verdict::Verified(_) => "verified",
            Verdict::Rejected(_) => "rejected",
            Verdict::StayOnLegacy(_) => "stay_on_legacy",
        };
        self.watch(self.store.verify(attempt, deadline), outcome).await
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        let outcome = |presence: &Presence| match presence {
            Presence::Nobody => "none",
            Presence::Somebody => "found",
            Presence::CannotTell => "cannot_tell",
        };
        self.watch(self.store.presence(name, deadline), outcome).await
    }

    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        self.watch(self.store.look_up(name, deadline), found).await
    }

    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        self.watch(self.store.read(id, deadline), found).await
    }

    fn holds_records(&self) -> bool {
        self.store.holds_records()
    }

    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError> {
        let outcome = |holders: &Holders| match holders {
            Holders::Nobody | Holders::One(_) => "no_twin",
            Holders::Several => "twins",
            Holders::CannotTell => "cannot_tell",
        };
        self.watch(self.store.holders(email, deadline), outcome).await
    }
}

#[expect(clippy::ref_option, reason = "called with the answer of a call, whole")]
fn found<T>(answer: &Option<T>) -> &'static str {
    if answer.is_some() { "found" } else { "none" }
}

/// Scalekit's directory, watched.
pub(super) struct ObservedDirectory {
    directory: Arc<dyn Directory>,
    health: Health,
    observer: Observer,
}

impl ObservedDirectory {
    pub(super) fn shared(directory: Arc<dyn Directory>, observer: Observer) -> Arc<dyn Directory> {
        Arc::new(Self { directory, health: Health::new("scalekit"), observer })
    }

    async fn watch<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let (answer, took) = timed(&self.observer.clock, call).await;
        let word = answer.as_ref().map_or_else(|error| class_word(error.class), |_| "ok");
        self.observer.metrics.scalekit_called(operation, word, took);
        let unreachable = matches!(&answer, Err(error) if error.class != ErrorClass::Permanent);
        self.health.saw(!unreachable, self.observer.audit);
        answer
    }
}

#[async_trait]
impl Directory for ObservedDirectory {
    async fn find_by_external_id(
        &self,
        id: &ExternalId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.watch("find_by_external_id", self.directory.find_by_external_id(id, deadline)).await
    }

    async fn find_by_email(
        &self,
        email: &CanonicalEmail,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.watch("find_by_email", self.directory.find_by_email(email, deadline)).await
    }

    async fn read_user(
        &self,
        id: &UserId,
        deadline: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.watch("read_user", self.directory.read_user(id, deadline)).await
    }

    async fn create_user(&self, user: &NewUser, deadline: Deadline) -> Result<DirectoryUser, CreateError> {
        let call = self.directory.create_user(user, deadline);
        let (answer, took) = timed(&self.observer.clock, call).await;
        let (word, answers) = match &answer {
            Ok(_) => ("ok", true),
            Err(CreateError::Refused(_)) => ("refused", true),
            Err(CreateError::NotDone(_)) => ("not_done", false),
            Err(CreateError::Unknown(_)) => ("unknown", false),
        };
        self.observer.metrics.scalekit_called("create_user", word, took);
        self.health.saw(answers, self.observer.audit);
        answer
    }

    async fn link_user(
        &self,
        id: &UserId,
        user: &NewUser,
        deadline: Deadline,
    ) -> Result<DirectoryUser, DirectoryError> {
        self.watch("link_user", self.directory.link_user(id, user, deadline)).await
    }

    async fn anybody_named(
        &self,
        is_ours: &(dyn for<'id> Fn(&'id ExternalId) -> bool + Send + Sync),
        deadline: Deadline,
    ) -> Result<Presence, DirectoryError> {
        self.watch("list_users", self.directory.anybody_named(is_ours, deadline)).await
    }

    async fn remove_membership(
        &self,
        organization: &OrganizationId,
        user: &UserId,
        deadline: Deadline,
    ) -> Result<(), DirectoryError> {
        self.watch("remove_membership", self.directory.remove_membership(organization, user, deadline)).await
    }

    async fn organization(
        &self,
        external_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<Option<OrganizationId>, DirectoryError> {
        self.watch("organization", self.directory.organization(external_id, deadline)).await
    }
}
