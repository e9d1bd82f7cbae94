//! Measures every call to a legacy store and to Scalekit, and notices when one stops or begins to answer.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    admin::DependencySeen,
    clock::{Deadline, SharedClock, Timestamp},
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
    pub(super) watched: Watched,
}

/// What was seen of a dependency when it was asked.
#[derive(Debug)]
struct Health {
    name: String,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    failing: bool,
    last_success: Option<Timestamp>,
    last_failure: Option<(Timestamp, &'static str)>,
}

impl Health {
    /// `failure` is the class of a failure that says something of the dependency.
    fn saw(&self, failure: Option<&'static str>, observer: &Observer) {
        let word = |failing| if failing { "down" } else { "up" };
        let now = observer.clock.now();
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match failure {
                None => seen.last_success = Some(now),
                Some(class) => seen.last_failure = Some((now, class)),
            }
            std::mem::replace(&mut seen.failing, failure.is_some())
        };
        if before != failure.is_some() {
            observer.audit.dependency_changed(&self.name, word(before), word(failure.is_some()));
        }
    }
}

/// The dependencies that are watched, by name; those that nobody uses any more fall out.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<BTreeMap<String, Weak<Health>>>>);

impl Watched {
    /// What is seen of a dependency: what was seen before a reload counts on.
    fn health(&self, name: String) -> Arc<Health> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = known.get(&name).and_then(Weak::upgrade) {
            return health;
        }
        let health = Arc::new(Health { name: name.clone(), seen: Mutex::default() });
        known.insert(name, Arc::downgrade(&health));
        health
    }

    /// What was seen of each.
    pub(super) fn seen(&self) -> Vec<DependencySeen> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |health: Arc<Health>| {
            let seen = *health.seen.lock().unwrap_or_else(PoisonError::into_inner);
            DependencySeen {
                name: health.name.clone(),
                failing: seen.failing,
                last_success: seen.last_success,
                last_failure: seen.last_failure,
            }
        };
        known.values().filter_map(Weak::upgrade).map(seen).collect()
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
    health: Arc<Health>,
    observer: Observer,
}

impl ObservedStore {
    pub(super) fn shared(store: Arc<dyn LegacyStore>, observer: Observer) -> Arc<dyn LegacyStore> {
        let health = observer.watched.health(format!("legacy {}", store.source()));
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
        let failure = answer.as_ref().err().map(|error| class_word(error.class));
        self.health.saw(failure, &self.observer);
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
    health: Arc<Health>,
    observer: Observer,
}

impl ObservedDirectory {
    pub(super) fn shared(directory: Arc<dyn Directory>, observer: Observer) -> Arc<dyn Directory> {
        let health = observer.watched.health("scalekit".to_owned());
        Arc::new(Self { directory, health, observer })
    }

    async fn watch<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, DirectoryError>>,
    ) -> Result<T, DirectoryError> {
        let (answer, took) = timed(&self.observer.clock, call).await;
        let word = answer.as_ref().map_or_else(|error| class_word(error.class), |_| "ok");
        self.observer.metrics.scalekit_called(operation, word, took);
        let failed = answer.as_ref().err().filter(|error| error.class != ErrorClass::Permanent);
        self.health.saw(failed.map(|error| class_word(error.class)), &self.observer);
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
        self.health.saw((!answers).then_some(word), &self.observer);
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
