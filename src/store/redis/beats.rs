//! The beat of each process, by which the others know how many they are, and the look whether Redis is back.
//!
//! One task does both. What a process may do alone while Redis is away is its share of what all may do together; how
//! many share, and which of them it is, is what was last seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::AsyncCommands as _;

use super::{Failure, Redis, connection::Connection, script::Script};
use crate::{
    login::Budget,
    net::{Dependencies, Probes, Tracker},
    store::MetaError,
};

/// How this store is called among the dependencies.
const NAME: &str = "store";

/// How often it is asked whether it is back: sooner than anybody would notice.
const LOOK: Duration = Duration::from_millis(200);

/// Every so many looks the process says that it is there.
const LOOKS_A_BEAT: u32 = 10;

/// Whoever was silent for so long is not there any more.
const SILENCE_MS: u64 = 10_000;

/// Whoever was not among those named so many times in a row is not there any more, either. While Redis is away nobody
/// can say that they are there, and the first one who can again would else take itself for the only one.
const MISSES: u32 = 5;

static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));

/// The processes that share the store, as they were last seen. Clones are the same.
#[derive(Clone)]
pub(super) struct Replicas(Arc<Mutex<Seen>>);

struct Seen {
    seat: Seat,
    /// Who is there, and how often in a row they were not among those named.
    missed: BTreeMap<String, u32>,
}

/// One process among those that share the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// How many there are; never less than one.
    all: u32,
    /// Which one it is, from 0, in an order that is the same for all; `None` before any were counted.
    own: Option<u32>,
}

impl Seat {
    /// What it may do by itself of `whole`, so that all together do no more than that. What cannot be divided falls to
    /// some of them, others for each `lot`; to nobody where it is not known who is who.
    pub(super) fn share(self, whole: u32, lot: u128) -> u32 {
        let (each, rest) = (whole / self.all, whole % self.all);
        let all = u128::from(self.all);
        let falls_here = |own: u32| (lot % all + u128::from(own)) % all < u128::from(rest);
        each + u32::from(self.own.is_some_and(falls_here))
    }

    /// As [`Seat::share`], of both parts of a budget. Each is divided by itself: where a share is one, some may spend it
    /// on strangers and others may not, and strangers have no less than where all count together.
    pub(super) fn share_of(self, whole: Budget, lot: u128) -> Budget {
        let strangers = self.share(whole.strangers, lot);
        Budget { all: self.share(whole.all, lot), strangers, ..whole }
    }
}

impl Replicas {
    /// Before any were counted.
    pub(super) fn assumed(number: u32) -> Self {
        let seat = Seat { all: number.max(1), own: None };
        Self(Arc::new(Mutex::new(Seen { seat, missed: BTreeMap::new() })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seat(&self) -> Seat {
        self.seen().seat
    }

    pub(super) fn number(&self) -> u32 {
        self.seat().all
    }

    /// These are there, `own` among them.
    fn counted(&self, names: Vec<String>, own: &str) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut seen = self.seen();
        for missed in seen.missed.values_mut() {
            *missed += 1;
        }
        seen.missed.extend(names.into_iter().map(|name| (name, 0)));
        seen.missed.retain(|_, missed| *missed <= MISSES);
        seen.seat = Seat {
            all: number(seen.missed.len()).max(1),
            own: seen.missed.keys().position(|name| name == own).map(number),
        };
    }
}

impl Redis {
    /// The store with its breaker, which a task of `tracker` closes when Redis is back. Counts this process.
    pub(crate) async fn watched(mut self, dependencies: &Dependencies, tracker: &Tracker) -> Self {
        self.breaker = Some(dependencies.breaker(NAME, Probes::InTheBackground));
        // At once: others should know before anything goes wrong.
        self.beat().await;
        let (store, stopping) = (self.clone(), tracker.stopping());
        drop(tracker.spawn(async move {
            let mut looks = 0_u32;
            // A wait that is broken off leaves nothing undone.
            while stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
                looks = looks.wrapping_add(1);
                store.look(looks.is_multiple_of(LOOKS_A_BEAT)).await;
            }
            store.leave().await;
        }));
        self
    }

    async fn look(&self, beats: bool) {
        let Some(breaker) = &self.breaker else { return };
        if !breaker.refuses() {
            if beats {
                self.beat().await;
            }
            return;
        }
        // A beat is a write: one that answers and may not write is of no use.
        let (key, holder) = self.beat_of();
        if let Ok(names) = self.link.run(|connection| beat(connection, key, holder)).await {
            self.replicas.counted(names, &self.holder);
            breaker.close();
        }
    }

    /// What could not be counted is counted the next time; the last count stands.
    async fn beat(&self) {
        let (key, holder) = self.beat_of();
        if let Ok(names) = self.run(|connection| beat(connection, key, holder)).await {
            self.replicas.counted(names, &self.holder);
        }
    }

    fn beat_of(&self) -> (String, Arc<str>) {
        (self.key("replicas"), Arc::clone(&self.holder))
    }

    /// How many processes use the store now; unlike a beat, the question counts nobody.
    pub(crate) async fn in_use_by(&self) -> Result<u64, MetaError> {
        let (key, _) = self.beat_of();
        let asked = self.run(|mut connection| async move {
            let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
            let silent = (seconds * 1000 + micros / 1000).saturating_sub(SILENCE_MS);
            Ok(connection.zcount(key, silent, "+inf").await?)
        });
        Ok(asked.await?)
    }

    /// The others need not wait for the silence.
    async fn leave(&self) {
        let (key, holder) = self.beat_of();
        let left = self.run(|mut connection| async move {
            let mut leave = redis::cmd("ZREM");
            leave.arg(key).arg(&*holder);
            Ok(leave.query_async::<()>(&mut connection).await?)
        });
        if let Err(error) = left.await {
            tracing::debug!(error = %error, "the other replicas were not told that this one leaves");
        }
    }
}

/// Says that a process is there, and gives the names of all that are.
async fn beat(mut connection: Connection, key: String, holder: Arc<str>) -> Result<Vec<String>, Failure> {
    let mut script = BEAT.key(key);
    script.arg(&*holder).arg(SILENCE_MS);
    Ok(script.invoke_async(&mut connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, config::Lockout, login::Spent};

    fn seats(all: u32) -> Vec<Seat> {
        let names: Vec<String> = (0..all).map(|number| format!("process-{number}")).collect();
        let seat = |own: &String| {
            let replicas = Replicas::assumed(1);
            // Each may hear of them in another order.
            let heard = names.iter().rev().filter(|name| *name != own).chain([own]).cloned();
            replicas.counted(heard.collect(), own);
            replicas.seat()
        };
        names.iter().map(seat).collect()
    }

    /// SEC-41: what each may grant while it knows nothing of the others is no more than all may, however many they are;
    /// and no less, for people whose browsers nobody knows as for others.
    #[test]
    fn processes_that_are_alone_lock_no_account_together_and_keep_nobody_out() {
        let window = Duration::from_hours(24);
        for failures in 3..12_u32 {
            for (all, lot) in (1..30).zip([0, 1, 7, u128::MAX].into_iter().cycle()) {
                let whole = Budget::from(Lockout { failures, window });
                let at = Timestamp::from_seconds(1);
                let granted = |spent: &mut Spent, seat: &Seat, known: bool| {
                    let share = seat.share_of(whole, lot);
                    (0..20).filter(|ticket| spent.take(&share, (*ticket, known), at).is_ok()).count()
                };
                let of_all = |tries: &dyn Fn(&Seat) -> usize| seats(all).iter().map(tries).sum::<usize>();
                let known = of_all(&|seat| granted(&mut Spent::default(), seat, true));
                assert_eq!(known, whole.all as usize, "{failures} lock, {all} processes");
                let strangers = of_all(&|seat| granted(&mut Spent::default(), seat, false));
                assert!(strangers > 0, "{failures} lock, {all} processes");
                assert_eq!(strangers, whole.strangers as usize, "{failures} lock, {all} processes");
                let both = of_all(&|seat| {
                    let mut spent = Spent::default();
                    granted(&mut spent, seat, false) + granted(&mut spent, seat, true)
                });
                assert_eq!(both, known, "{failures} lock, {all} processes");
            }
        }
    }

    /// Redis was away for longer than a silence may be, and goes away again before the others could say anything.
    #[test]
    fn the_first_one_back_does_not_take_itself_for_the_only_one() {
        let replicas = Replicas::assumed(1);
        let (all, alone) = (["a", "b", "c"].map(str::to_owned).to_vec(), vec!["b".to_owned()]);
        replicas.counted(all.clone(), "b");
        let seat = replicas.seat();
        assert_eq!(seat, Seat { all: 3, own: Some(1) });
        replicas.counted(alone.clone(), "b");
        assert_eq!(replicas.seat(), seat);
        replicas.counted(all, "b");
        for _ in 0..MISSES {
            replicas.counted(alone.clone(), "b");
            assert_eq!(replicas.seat(), seat);
        }
        replicas.counted(alone, "b");
        assert_eq!(replicas.seat(), Seat { all: 1, own: Some(0) });
    }

    #[test]
    fn who_does_not_know_which_one_it_is_takes_nothing_that_cannot_be_divided() {
        let seat = Replicas::assumed(4).seat();
        assert_eq!((0..12).map(|whole| seat.share(whole, 3)).max(), Some(2));
        assert_eq!((seat.share(3, 0), Replicas::assumed(1).seat().share(9, 5)), (0, 9));
    }
}
