//! Counts of tries that all processes share, beside those of this one.
//!
//! Accounts and addresses are counted in Redis, and whether an account is tried too often is for Redis alone to say:
//! one process does not hear of a success at another. What one process takes on in all, and the storm, are counted by
//! each process itself. While Redis cannot be asked, each goes by what it saw and grants its share of what all may grant
//! together (SEC-41). Spans are measured by the clock of Redis, which is the same for all. Of each kind as many are kept
//! as all processes together would keep by themselves.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Mutex as Turn, time::timeout};
use uuid::Uuid;

use super::{
    Failure, Redis,
    room::{Kind, Place, Told},
    script::Script,
};
use crate::{
    clock::{SharedClock, Timestamp},
    config::Guessing,
    login::{
        Allowance, Budget, Count, CountKey, Failures, Guess, Limit, Limited, NotForgotten, Settled, Spent,
        Ticket, Tried, TryCounter,
    },
    store::LocalCounts,
    telemetry::with_causes,
};

static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("look.lua")));
static COUNT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("count.lua")));

/// How long a change waits for its turn; behind a Redis that is silent, no longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long somebody waits who may not try here by the share of one process: as long as Redis may need to come back, and
/// the next try may meet another process.
const SOON: Duration = Duration::from_secs(5);

/// More names than this are not kept for those who wait no longer.
const MOST_TURNS: usize = 16_384;

/// Whose turn it is to change a count. A change is tried until nobody else came between; many at once in one process
/// would be in each other's way for most of their tries, and what takes too long is counted by this process alone. So
/// only processes meet at Redis.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Weak<Turn<()>>>>);

impl Turns {
    fn of(&self, key: &str) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= MOST_TURNS {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// The counts of one process and those it shares.
pub(crate) struct SharedCounts {
    local: LocalCounts,
    redis: Redis,
    turns: Turns,
    told: Told,
    /// What makes this process's tickets unlike those of any other.
    salt: u64,
}

/// Whose key a count goes by.
fn own(account: CountKey, guess: &Guess) -> CountKey {
    guess.device.map_or(account, |device| account.with(device))
}

impl SharedCounts {
    pub(crate) fn new(redis: Redis, clock: SharedClock) -> Self {
        // The random half of the name; tickets are numbered in the other.
        let (_, salt) = Uuid::now_v7().as_u64_pair();
        Self {
            local: LocalCounts::new(clock),
            redis,
            turns: Turns::default(),
            told: Told::default(),
            salt: salt << 32,
        }
    }

    fn kind(&self, name: &'static str, kept_for: Duration, rules: &Guessing) -> Kind {
        let all = usize::try_from(self.redis.replicas.number()).unwrap_or(usize::MAX);
        Kind { name, kept_for, most: rules.entries.saturating_mul(all) }
    }

    /// Deletes an account's counts.
    async fn forget_shared(&self, account: CountKey) -> Result<(), Failure> {
        for kind in ["account", "spent"] {
            self.redis.drop_count(kind, account).await?;
        }
        Ok(())
    }

    fn ticket(&self, ticket: &Ticket) -> u64 {
        self.salt ^ ticket.id
    }

    /// Changes a count until nobody else changed it meanwhile; one that says nothing any more is deleted.
    async fn change<T, Said>(
        &self,
        kind: Kind,
        of: CountKey,
        change: impl Fn(Option<T>, Timestamp) -> (Option<T>, Said) + Send,
    ) -> Result<Said, Failure>
    where
        T: Count + Serialize + DeserializeOwned + Send,
        Said: Send,
    {
        let key = self.redis.count_key(kind.name, of);
        let kept_for = u64::try_from(kind.kept_for.as_millis()).unwrap_or(u64::MAX).max(1);
        let turn = self.turns.of(&key);
        let _turn = timeout(PATIENCE, turn.lock()).await.map_err(|_| Failure::Slow(PATIENCE))?;
        let changed = self.redis.run(|mut connection| async move {
            loop {
                let (old, (seconds, micros)): (Option<Vec<u8>>, (u64, u64)) =
                    LOOK.key(&key).invoke_async(&mut connection).await?;
                let now = Timestamp::from_millis(seconds * 1000 + micros / 1000);
                // One that cannot be read is none.
                let count: Option<T> = old.as_deref().and_then(|old| serde_json::from_slice(old).ok());
                let before = count.as_ref().map(Place::of);
                let (new, said) = change(count, now);
                let after = new.as_ref().map(Place::of);
                let new = new.map(|new| serde_json::to_vec(&new)).transpose()?.unwrap_or_default();
                let old = old.unwrap_or_default();
                if old == new {
                    return Ok((said, None));
                }
                let mut script = COUNT.key(&key);
                script.arg(old).arg(new).arg(kept_for);
                if script.invoke_async(&mut connection).await? {
                    return Ok((said, (before != after).then_some((after, now))));
                }
            }
        });
        let (said, moved) = changed.await?;
        if let Some((place, now)) = moved {
            // It counts, noted or not; what is not noted is forgotten in its time all the same.
            if let Err(failure) = self.redis.note_count(kind, of, place, (&self.told, now)).await {
                tracing::debug!(error = with_causes(&failure), "a count of tries was not noted");
            }
        }
        Ok(said)
    }

    async fn ask_all(&self, ticket: &Ticket, rules: &Guessing) -> Result<Result<(), Limited>, Failure> {
        let (guess, id) = (&ticket.guess, self.ticket(ticket));
        let limited = |by| move |wait| Limited { by, wait };
        let from = guess.device.unwrap_or(guess.address);
        let rate = rules.address;
        let kind = self.kind("rate", rate.per, rules);
        let taken = self.change(kind, from, |allowance: Option<Allowance>, now| {
            let mut allowance = allowance.unwrap_or_else(|| Allowance::full(rate, now));
            let taken = allowance.take(rate, now);
            (Some(allowance), taken)
        });
        if let Err(wait) = taken.await? {
            return Ok(Err(limited(Limit::Address)(wait)));
        }
        for account in &guess.accounts {
            let limit = &rules.account;
            let taken = self.failures(own(*account, guess), rules, |failures, now| {
                failures.take(limit, (id, guess.pair), now)
            });
            if let Err(wait) = taken.await? {
                return Ok(Err(limited(Limit::Account)(wait)));
            }
            let Some(budget) = &guess.lockout else { continue };
            let known = guess.device.is_some();
            let taken = self.spent(*account, guess, rules, |spent, now| spent.take(budget, (id, known), now));
            if let Some(Err(wait)) = taken.await? {
                return Ok(Err(limited(Limit::Lockout)(wait)));
            }
        }
        Ok(Ok(()))
    }

    /// Whether an account has to wait from now on; `None` where no account of the ticket knows of it.
    async fn settle_all(
        &self,
        ticket: &Ticket,
        tried: Tried,
        rules: &Guessing,
    ) -> Result<Option<bool>, Failure> {
        let (guess, id, limit) = (&ticket.guess, self.ticket(ticket), &rules.account);
        let (mut is_known, mut locked_out) = (false, false);
        for account in &guess.accounts {
            let settled = self.failures(own(*account, guess), rules, |failures, _| {
                let is_open = failures.is_open(id);
                let locked_out = match tried {
                    _ if !is_open => false,
                    Tried::Wrong => failures.failed(limit, id),
                    Tried::Right => {
                        failures.forgive(id);
                        false
                    }
                    Tried::Unanswered | Tried::Unasked => {
                        failures.take_back(id);
                        false
                    }
                };
                (is_open, locked_out)
            });
            let (was_open, locks) = settled.await?;
            is_known |= was_open;
            locked_out |= locks;
            // A try that was refused by this account's other count is in neither, or only to be taken back.
            if !was_open && tried != Tried::Unasked {
                continue;
            }
            self.spent(*account, guess, rules, |spent, _| match tried {
                Tried::Right => spent.forgive(id),
                Tried::Wrong | Tried::Unanswered => spent.failed(id),
                Tried::Unasked => spent.take_back(id),
            })
            .await?;
        }
        Ok(is_known.then_some(locked_out))
    }

    /// Grants a try by this process's share. Of the failures that a source bears it may have none: then nobody tries
    /// here, or all processes together would lock the account.
    async fn ask_alone(&self, guess: Guess, rules: &Guessing) -> Result<Ticket, Limited> {
        let seat = self.redis.replicas.seat();
        let share = |whole: Budget| {
            let shares = guess.accounts.iter().map(|account| seat.share_of(whole, (*account).into()));
            let least = |one: Budget, other: Budget| Budget {
                all: one.all.min(other.all),
                strangers: one.strangers.min(other.strangers),
                ..one
            };
            shares.reduce(least).unwrap_or(Budget { all: 0, strangers: 0, ..whole })
        };
        let guess = Guess { lockout: guess.lockout.map(share), ..guess };
        let asked = self.local.ask(guess, &rules.share(self.redis.replicas.number())).await;
        asked.map_err(|limited| match limited.by {
            Limit::Lockout => Limited { wait: limited.wait.min(SOON), ..limited },
            _ => limited,
        })
    }

    async fn failures<Said: Send>(
        &self,
        key: CountKey,
        rules: &Guessing,
        change: impl Fn(&mut Failures, Timestamp) -> Said + Send + Sync,
    ) -> Result<Said, Failure> {
        let kept_for = rules.account.window + rules.account.longest_delay;
        self.change(self.kind("account", kept_for, rules), key, |failures: Option<Failures>, now| {
            let mut failures = failures.unwrap_or_default();
            let said = change(&mut failures, now);
            (Some(failures).filter(|failures| !failures.is_empty()), said)
        })
        .await
    }

    /// `None` where nothing locks the account at the legacy side.
    async fn spent<Said: Send>(
        &self,
        account: CountKey,
        guess: &Guess,
        rules: &Guessing,
        change: impl Fn(&mut Spent, Timestamp) -> Said + Send + Sync,
    ) -> Result<Option<Said>, Failure> {
        let Some(budget) = &guess.lockout else { return Ok(None) };
        let kind = self.kind("spent", budget.window, rules);
        let said = self.change(kind, account, |spent: Option<Spent>, now| {
            let mut spent = spent.unwrap_or_default();
            let said = change(&mut spent, now);
            (Some(spent).filter(|spent| !spent.is_empty()), said)
        });
        said.await.map(Some)
    }
}

#[async_trait]
impl TryCounter for SharedCounts {
    async fn ask(&self, guess: Guess, rules: &Guessing) -> Result<Ticket, Limited> {
        if self.redis.is_away() {
            return self.ask_alone(guess, rules).await;
        }
        let ticket = self.local.admit(guess.clone(), rules)?;
        match self.ask_all(&ticket, rules).await {
            Ok(Ok(())) => {
                self.local.take_granted(&ticket, rules);
                Ok(ticket)
            }
            Ok(Err(limited)) => {
                self.settle(&ticket, Tried::Unasked, rules).await;
                Err(limited)
            }
            Err(failure) => {
                say_alone(&failure);
                // Admitted once more, by the stricter rules of one that is alone.
                self.ask_alone(guess, rules).await
            }
        }
    }

    async fn settle(&self, ticket: &Ticket, tried: Tried, rules: &Guessing) -> Settled {
        let mut settled = self.local.settle(ticket, tried, rules).await;
        match self.settle_all(ticket, tried, rules).await {
            Ok(Some(locked_out)) => settled.locked_out = locked_out,
            // Granted while Redis was away, or counted nowhere.
            Ok(None) => {}
            Err(failure) => say_alone(&failure),
        }
        settled
    }

    async fn forget(&self, accounts: &[CountKey]) -> Result<(), NotForgotten> {
        self.local.forget(accounts).await?;
        for account in accounts {
            self.forget_shared(*account).await.map_err(|failure| NotForgotten(Box::new(failure)))?;
        }
        Ok(())
    }
}

fn say_alone(failure: &Failure) {
    tracing::warn!(error = with_causes(failure), "tries are counted by this process alone");
}
