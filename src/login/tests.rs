//! Stand-ins for the ports, for tests of the heart: a ledger in memory, a legacy store, and a Scalekit that answers
//! a duplicate in each of the ways the real one might.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{
    clock::{Deadline, SharedClock, Timestamp},
    config::MfaDeclaration,
    identity::{
        AccountState, CanonicalEmail, EmailClaim, ExternalId, ExternalIdTemplate, LegacyId, LegacyRecord,
        LoginName, MfaState, PersonKey, PersonName, SourceName,
    },
};

pub(crate) fn source() -> SourceName {
    SourceName::parse("crm").unwrap()
}

/// An active person with a verified address `{id}@example.com`.
pub(crate) fn record(id: &str) -> LegacyRecord {
    LegacyRecord {
        source: source(),
        id: LegacyId::parse(id).unwrap(),
        login: format!("{id}@example.com"),
        email: EmailClaim { address: Some(format!("{id}@example.com")), verified: Some(true) },
        state: AccountState::Active,
        mfa: MfaState::None,
        name: PersonName::default(),
        organization: None,
        roles: vec![],
        metadata: BTreeMap::new(),
    }
}

pub(crate) fn rules() -> SourceRules {
    SourceRules {
        external_id: ExternalIdTemplate::default_for(1),
        assume_verified: None,
        assume_stranger: None,
        mfa: MfaDeclaration::None,
    }
}

/// A ledger in memory that keeps the contract of [`Ledger`]. Claims of another holder count as void, as after a
/// restart of the embedded store.
pub(crate) struct MemoryLedger {
    pub(crate) rows: Mutex<HashMap<PersonKey, Row>>,
    pub(crate) holder: Mutex<String>,
    /// Whose row somebody else writes right after a write of it was refused for a name.
    pub(crate) contended: Mutex<Option<PersonKey>>,
    /// How often a row was read by its key.
    pub(crate) reads: AtomicUsize,
    /// After so many writes it fails.
    pub(crate) writes_left: AtomicUsize,
    /// It finds nobody and says so.
    pub(crate) is_away: AtomicBool,
    /// The next write is made, and its answer lost.
    pub(crate) loses_answer: AtomicBool,
    /// Whose rows cannot be read.
    pub(crate) garbled: Mutex<HashSet<PersonKey>>,
    /// Every so many reads of a row fail; 0: none.
    pub(crate) fails_every: AtomicUsize,
    /// Whose rows were read by their key.
    pub(crate) read: Mutex<HashSet<PersonKey>>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            holder: Mutex::default(),
            contended: Mutex::default(),
            reads: AtomicUsize::new(0),
            writes_left: AtomicUsize::new(usize::MAX),
            is_away: AtomicBool::new(false),
            loses_answer: AtomicBool::new(false),
            garbled: Mutex::default(),
            fails_every: AtomicUsize::new(0),
            read: Mutex::default(),
        }
    }
}

/// A mark comes with a write: a row that was claimed as it came has none yet.
fn is_marked(row: &Row, mark: Mark) -> bool {
    row.mark() == Some(mark) && (mark != Mark::Removed || row.claim.is_none())
}

impl MemoryLedger {
    pub(crate) fn restarted(&self) {
        self.holder.lock().unwrap().push('+');
    }

    fn legible(&self, key: &PersonKey) -> Result<(), LedgerError> {
        let is_garbled = self.garbled.lock().unwrap().contains(key);
        if is_garbled { Err(LedgerError::Unreadable(key.clone())) } else { Ok(()) }
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn row(&self, key: &PersonKey) -> Result<Option<Row>, LedgerError> {
        let number = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let every = self.fails_every.load(Ordering::SeqCst);
        if every > 0 && number.is_multiple_of(every) {
            return Err(LedgerError::Unavailable("made up".into(), None));
        }
        self.legible(key)?;
        self.read.lock().unwrap().insert(key.clone());
        Ok(self.rows.lock().unwrap().get(key).cloned())
    }

    async fn find(&self, alias: &Alias) -> Result<Option<Row>, LedgerError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(LedgerError::Unavailable("made up".into(), None));
        }
        let row = self.rows.lock().unwrap().values().find(|row| row.aliases.contains(alias)).cloned();
        row.iter().try_for_each(|row| self.legible(&row.key))?;
        Ok(row)
    }

    async fn claim(&self, fresh: &Row, lease: Duration, now: Timestamp) -> Result<ClaimAnswer, LedgerError> {
        let holder = self.holder.lock().unwrap().clone();
        let mut rows = self.rows.lock().unwrap();
        let row = rows.entry(fresh.key.clone()).or_insert_with(|| fresh.clone());
        if row.claim.as_ref().is_some_and(|claim| claim.holder == holder && claim.until > now) {
            return Ok(ClaimAnswer::Held(Box::new(row.clone())));
        }
        row.claim = Some(Claim { holder, until: now.after(lease) });
        row.fence += 1;
        row.version += 1;
        Ok(ClaimAnswer::Granted(Box::new(row.clone())))
    }

    async fn write(&self, row: &Row) -> Result<Row, LedgerError> {
        let left =
            self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| LedgerError::Unavailable("made up".into(), None))?;
        let mut rows = self.rows.lock().unwrap();
        let stored = rows.get(&row.key).map_or((0, 0), |stored| (stored.version, stored.fence));
        if stored != (row.version, row.fence) {
            return Err(LedgerError::Overtaken);
        }
        let taken =
            |other: &Row| other.key != row.key && other.aliases.iter().any(|a| row.aliases.contains(a));
        if rows.values().any(taken) {
            if self.contended.lock().unwrap().as_ref() == Some(&row.key)
                && let Some(stored) = rows.get_mut(&row.key)
            {
                stored.version += 1;
            }
            return Err(LedgerError::AliasTaken);
        }
        let written = Row { version: row.version + 1, ..row.clone() };
        rows.insert(row.key.clone(), written.clone());
        if self.loses_answer.swap(false, Ordering::SeqCst) {
            return Err(LedgerError::Unavailable("the answer was lost".into(), None));
        }
        Ok(written)
    }

    async fn write_over(&self, row: &Row) -> Result<Row, LedgerError> {
        if !self.garbled.lock().unwrap().remove(&row.key) {
            return Err(LedgerError::Overtaken);
        }
        let mut rows = self.rows.lock().unwrap();
        let mut row = row.clone();
        let names = rows.get(&row.key).map(|stored| stored.aliases.clone()).unwrap_or_default();
        for alias in names {
            row.add_alias(alias);
        }
        rows.insert(row.key.clone(), row.clone());
        Ok(row)
    }

    async fn is_empty(&self) -> Result<bool, LedgerError> {
        Ok(self.rows.lock().unwrap().is_empty())
    }

    async fn list(
        &self,
        filter: &PeopleFilter,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<People, LedgerError> {
        let rows = self.rows.lock().unwrap();
        let mut rows: Vec<Row> = rows.values().filter(|row| filter.takes(row)).cloned().collect();
        rows.sort_by_key(|row| row.key.to_string());
        rows.retain(|row| after.is_none_or(|after| row.key.to_string() > after.to_string()));
        let is_cut = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_cut).map(|row| row.key.clone());
        Ok(People { rows, unreadable: Vec::new(), next })
    }

    async fn counts(&self) -> Result<Counts, LedgerError> {
        let mut counts = Counts::default();
        for row in self.rows.lock().unwrap().values() {
            counts.add(row.counted_as());
        }
        Ok(counts)
    }

    async fn index(&self) -> Result<Indexed, LedgerError> {
        Ok(Indexed::default())
    }

    async fn how_many(&self, mark: Mark) -> Result<u64, LedgerError> {
        let rows = self.rows.lock().unwrap();
        Ok(u64::try_from(rows.values().filter(|row| is_marked(row, mark)).count()).unwrap())
    }

    async fn marked(
        &self,
        mark: Mark,
        after: Option<&PersonKey>,
        limit: usize,
    ) -> Result<Vec<PersonKey>, LedgerError> {
        let rows = self.rows.lock().unwrap();
        let marked = rows.values().filter(|row| is_marked(row, mark)).map(|row| row.key.clone());
        let mut keys: Vec<_> = marked.filter(|key| after.is_none_or(|after| key > after)).collect();
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    async fn last_removed(&self, skip: usize, limit: usize) -> Result<Vec<PersonKey>, LedgerError> {
        let rows = self.rows.lock().unwrap();
        let removed = rows.values().filter(|row| is_marked(row, Mark::Removed));
        let mut removed: Vec<_> = removed.map(|row| (row.updated_at, row.key.clone())).collect();
        removed.sort_unstable_by(|one, other| other.cmp(one));
        Ok(removed.into_iter().skip(skip).take(limit).map(|(_, key)| key).collect())
    }
}

/// Sees and says nothing.
pub(crate) struct Silent;

impl Witness for Silent {
    fn step(&self, _: Moment, _: &'static str, _: &Row) {}

    fn moved(&self, _: &RowState, _: &Row) {}

    fn notice(&self, _: &Row, _: Notice) {}

    fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {}

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}

    fn doubted(&self, _: Option<Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}
}

/// An epoch in memory, whose store is used for one second with each look.
#[derive(Default)]
pub(crate) struct MemoryEpoch(pub(crate) Mutex<Option<Epoch>>);

#[async_trait]
impl EpochStore for MemoryEpoch {
    async fn beat(&self, _: Duration, _: Timestamp) -> Result<Option<Epoch>, LedgerError> {
        let mut epoch = self.0.lock().unwrap();
        if let Some(epoch) = epoch.as_mut() {
            epoch.beat += 1000;
            epoch.at = epoch.at.after(Duration::from_secs(1));
        }
        Ok(epoch.clone())
    }

    async fn put_epoch(&self, known: Option<&Epoch>, next: Put, _: Timestamp) -> Result<(), LedgerError> {
        let mut epoch = self.0.lock().unwrap();
        let same = |epoch: &Epoch| (epoch.id.clone(), epoch.doubt);
        if epoch.as_ref().map(same) == known.map(same) {
            let at = epoch.as_ref().map_or(Timestamp::from_seconds(1), |epoch| epoch.at);
            let confirmed_at = next.confirms.then_some(at);
            *epoch = Some(Epoch { id: next.id, beat: next.beat, at, doubt: next.doubt, confirmed_at });
        }
        Ok(())
    }

    async fn remembered(&self) -> Option<Epoch> {
        None
    }

    async fn remember(&self, _: &Epoch) {}
}

impl MemoryEpoch {
    /// A store that was in use for an hour.
    pub(crate) fn used() -> Arc<Self> {
        let at = Timestamp::from_seconds(1_800_000_000);
        let epoch = Epoch { id: "first".into(), beat: 3_600_000, at, doubt: None, confirmed_at: None };
        Arc::new(Self(Mutex::new(Some(epoch))))
    }
}

/// Trust in a store.
pub(crate) fn trust(store: Arc<MemoryEpoch>, clock: SharedClock) -> Arc<Trust> {
    let settings = TrustSettings {
        tolerance: Duration::from_secs(10),
        every: Duration::from_secs(1),
        settles: Duration::ZERO,
    };
    let seen = store.0.lock().unwrap().clone();
    let trust = Trust::new(store, settings, "test".into(), clock, seen);
    trust.believe();
    Arc::new(trust)
}

/// How the fake Scalekit answers a create whose e-mail or external id exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    Refuse,
    /// 201 with the existing user, and a membership added to it.
    AnswerExisting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CreateFault {
    LostAfterCommit,
    LostBeforeCommit,
    NotDone,
}

pub(crate) struct FakeDirectory {
    pub(crate) users: Mutex<Vec<DirectoryUser>>,
    pub(crate) on_duplicate: OnDuplicate,
    pub(crate) faults: Mutex<Vec<CreateFault>>,
    pub(crate) down: Mutex<bool>,
    pub(crate) accepted: Mutex<usize>,
}

impl FakeDirectory {
    pub(crate) fn new(on_duplicate: OnDuplicate) -> Arc<Self> {
        Arc::new(Self {
            users: Mutex::default(),
            on_duplicate,
            faults: Mutex::default(),
            down: Mutex::default(),
            accepted: Mutex::default(),
        })
    }

    pub(crate) fn organization_id() -> OrganizationId {
        OrganizationId("org_1".into())
    }

    /// A user that was there before us.
    pub(crate) fn seed(&self, email: &str, external_id: Option<&str>, email_verified: bool) -> UserId {
        let mut users = self.users.lock().unwrap();
        let id = UserId(format!("usr_{}", 900 + users.len()));
        users.push(DirectoryUser {
            id: id.clone(),
            external_id: external_id.map(|id| ExternalId::received(id.into())),
            email: CanonicalEmail::parse(email).ok(),
            email_verified,
            memberships: vec![],
        });
        id
    }

    fn answer<T>(&self, operation: &'static str, value: T) -> Result<T, DirectoryError> {
        if *self.down.lock().unwrap() { Err(error(operation)) } else { Ok(value) }
    }

    fn find(&self, matches: impl Fn(&DirectoryUser) -> bool) -> Option<DirectoryUser> {
        self.users.lock().unwrap().iter().find(|user| matches(user)).cloned()
    }

    fn join(user: &mut DirectoryUser) {
        if user.memberships.is_empty() {
            let organization = Self::organization_id();
            user.memberships.push(Membership { organization, status: MembershipStatus::Active, since: None });
        }
    }
}

fn error(operation: &'static str) -> DirectoryError {
    let class = ErrorClass::Transient { retry_after: None };
    DirectoryError { operation, class, problem: "made up".into(), cause: None }
}

#[async_trait]
impl Directory for FakeDirectory {
    async fn find_by_external_id(
        &self,
        id: &ExternalId,
        _: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.answer("find_by_external_id", self.find(|user| user.external_id.as_ref() == Some(id)))
    }

    async fn find_by_email(
        &self,
        email: &CanonicalEmail,
        _: Deadline,
    ) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.answer("find_by_email", self.find(|user| user.email.as_ref() == Some(email)))
    }

    async fn read_user(&self, id: &UserId, _: Deadline) -> Result<Option<DirectoryUser>, DirectoryError> {
        self.answer("read_user", self.find(|user| &user.id == id))
    }

    async fn create_user(&self, new: &NewUser, _: Deadline) -> Result<DirectoryUser, CreateError> {
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            Some(CreateFault::NotDone) => return Err(CreateError::NotDone(error("create_user"))),
            Some(CreateFault::LostBeforeCommit) => return Err(CreateError::Unknown(error("create_user"))),
            _ => {}
        }
        self.answer("create_user", ()).map_err(CreateError::NotDone)?;
        let mut users = self.users.lock().unwrap();
        let existing = users.iter_mut().find(|user| {
            user.external_id.as_ref() == Some(&new.external_id) || user.email.as_ref() == Some(&new.email)
        });
        let created = match (existing, self.on_duplicate) {
            (Some(_), OnDuplicate::Refuse) => return Err(CreateError::Refused(error("create_user"))),
            (Some(user), OnDuplicate::AnswerExisting) => {
                Self::join(user);
                user.clone()
            }
            (None, _) => {
                let mut user = DirectoryUser {
                    id: UserId(format!("usr_{}", users.len())),
                    external_id: Some(new.external_id.clone()),
                    email: Some(new.email.clone()),
                    email_verified: true,
                    memberships: vec![],
                };
                Self::join(&mut user);
                users.push(user.clone());
                *self.accepted.lock().unwrap() += 1;
                user
            }
        };
        match fault {
            Some(CreateFault::LostAfterCommit) => Err(CreateError::Unknown(error("create_user"))),
            _ => Ok(created),
        }
    }

    async fn link_user(
        &self,
        id: &UserId,
        new: &NewUser,
        _: Deadline,
    ) -> Result<DirectoryUser, DirectoryError> {
        self.answer("link_user", ())?;
        let mut users = self.users.lock().unwrap();
        let user = users.iter_mut().find(|user| &user.id == id).ok_or_else(|| error("link_user"))?;
        user.external_id = Some(new.external_id.clone());
        Self::join(user);
        Ok(user.clone())
    }

    async fn anybody_named(
        &self,
        is_ours: &(dyn for<'id> Fn(&'id ExternalId) -> bool + Send + Sync),
        _: Deadline,
    ) -> Result<Presence, DirectoryError> {
        let found = self.find(|user| user.external_id.as_ref().is_some_and(is_ours));
        self.answer("list_users", if found.is_some() { Presence::Somebody } else { Presence::Nobody })
    }

    async fn remove_membership(
        &self,
        _: &OrganizationId,
        id: &UserId,
        _: Deadline,
    ) -> Result<(), DirectoryError> {
        self.answer("remove_membership", ())?;
        if let Some(user) = self.users.lock().unwrap().iter_mut().find(|user| &user.id == id) {
            user.memberships.clear();
        }
        Ok(())
    }

    async fn organization(
        &self,
        id: Option<&str>,
        _: Deadline,
    ) -> Result<Option<OrganizationId>, DirectoryError> {
        self.answer("organization", (id != Some("nowhere")).then(Self::organization_id))
    }
}

/// A legacy store of people whose password is `right`.
#[derive(Default)]
pub(crate) struct FakeStore {
    pub(crate) records: Mutex<Vec<LegacyRecord>>,
    pub(crate) verdicts: Mutex<HashMap<String, Verdict>>,
    pub(crate) asked: Mutex<usize>,
    pub(crate) down: Mutex<bool>,
    /// Searching by e-mail fails.
    pub(crate) no_search: Mutex<bool>,
    /// The application judges its people's passwords, and it holds no records.
    pub(crate) is_upstream: bool,
    /// It has no way to find a record by its id.
    pub(crate) no_ids: Mutex<bool>,
    /// How long it takes to judge a password.
    pub(crate) takes: Mutex<Duration>,
}

impl FakeStore {
    pub(crate) fn with(ids: &[&str]) -> Arc<Self> {
        let store = Self::default();
        store.records.lock().unwrap().extend(ids.iter().map(|id| record(id)));
        Arc::new(store)
    }

    fn answer<T>(&self, value: T) -> Result<T, LegacyError> {
        let class = ErrorClass::Transient { retry_after: Some(Duration::from_secs(7)) };
        if *self.down.lock().unwrap() {
            return Err(LegacyError {
                source_name: source(),
                class,
                problem: "down".into(),
                counted: Counted::Perhaps,
                cause: None,
            });
        }
        Ok(value)
    }
}

/// Static, so that `LegacyStore::source` can lend it.
static SOURCE: std::sync::LazyLock<SourceName> = std::sync::LazyLock::new(source);

#[async_trait]
impl LegacyStore for FakeStore {
    fn source(&self) -> &SourceName {
        &SOURCE
    }

    fn serves(&self, _: &LoginName) -> bool {
        true
    }

    fn verifies_passwords(&self) -> bool {
        !self.is_upstream
    }

    fn holds_records(&self) -> bool {
        !self.is_upstream
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        *self.asked.lock().unwrap() += 1;
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        if let Some(verdict) = self.verdicts.lock().unwrap().get(attempt.name.canonical()) {
            return self.answer(verdict.clone());
        }
        Ok(match self.look_up(&attempt.name, deadline).await? {
            None => Verdict::Rejected(Rejection::Unknown),
            Some(record) if attempt.password.expose() == b"right" => Verdict::Verified(Box::new(record)),
            Some(_) => Verdict::Rejected(Rejection::WrongPassword),
        })
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        Ok(match self.look_up(name, deadline).await? {
            _ if self.is_upstream => Presence::CannotTell,
            Some(_) => Presence::Somebody,
            None => Presence::Nobody,
        })
    }

    async fn look_up(&self, name: &LoginName, _: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let records = self.records.lock().unwrap();
        let wanted = name.canonical();
        self.answer(records.iter().find(|r| r.login == wanted || r.id.as_str() == wanted).cloned())
    }

    async fn read(&self, id: &LegacyId, _: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        if *self.no_ids.lock().unwrap() {
            let (class, problem) = (ErrorClass::Misconfigured, "no query by id".into());
            return Err(LegacyError {
                source_name: source(),
                class,
                problem,
                counted: Counted::Perhaps,
                cause: None,
            });
        }
        self.answer(self.records.lock().unwrap().iter().find(|record| &record.id == id).cloned())
    }

    async fn holders(&self, email: &CanonicalEmail, _: Deadline) -> Result<Holders, LegacyError> {
        if self.is_upstream {
            return Ok(Holders::CannotTell);
        }
        if *self.no_search.lock().unwrap() {
            let (class, problem) = (ErrorClass::Transient { retry_after: None }, "search failed".into());
            return Err(LegacyError {
                source_name: source(),
                class,
                problem,
                counted: Counted::Perhaps,
                cause: None,
            });
        }
        let records = self.records.lock().unwrap();
        let has = |r: &&LegacyRecord| {
            r.email.address.as_deref().and_then(|a| CanonicalEmail::parse(a).ok()).as_ref() == Some(email)
        };
        let mut same = records.iter().filter(has);
        self.answer(match (same.next(), same.next()) {
            (None, _) => Holders::Nobody,
            (Some(one), None) => Holders::One(one.id.clone()),
            (Some(_), Some(_)) => Holders::Several,
        })
    }
}
