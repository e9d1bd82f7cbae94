//! Whether the store is the one that was last seen (truth 8).
//!
//! The store holds an epoch: a name, and a beat that only grows while somebody uses the store. Each process remembers
//! the last one it saw. An epoch that is gone, another one, or one whose beat went back means that the store may have
//! lost people, and then nobody is created until an operator has confirmed the store. Start reading at [`judge`].

mod told;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub(crate) use self::told::put_in_doubt;
use super::{Asker, LedgerError, look_ups::LookUps};
use crate::clock::{SharedClock, Timestamp};

/// How often a look is begun anew when others change the epoch meanwhile.
const TRIES: usize = 5;

/// Why a store is not believed to have everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    /// The epoch that was seen before is gone.
    Emptied,
    /// Another epoch is in its place.
    Replaced,
    /// The same epoch, at a time that was over: an old copy.
    RolledBack,
    /// The store is new, and Scalekit has people whom this installation could have created.
    PeopleAtScalekit,
    /// The store is new, and Scalekit could not be asked yet whether it should be.
    NotAskedYet,
    /// An operator knows what no process can see: it was brought back while none ran.
    ByOperator,
}

impl Doubt {
    const ALL: [Self; 6] = [
        Self::Emptied,
        Self::Replaced,
        Self::RolledBack,
        Self::PeopleAtScalekit,
        Self::NotAskedYet,
        Self::ByOperator,
    ];

    /// The reason in logs, metrics and the store.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Emptied => "emptied",
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled_back",
            Self::PeopleAtScalekit => "people_at_scalekit",
            Self::NotAskedYet => "not_asked_yet",
            Self::ByOperator => "by_operator",
        }
    }

    /// The doubt that a store wrote down. A word of another version is a doubt all the same.
    pub(crate) fn read(word: &str) -> Self {
        Self::ALL.into_iter().find(|doubt| doubt.as_str() == word).unwrap_or(Self::Replaced)
    }
}

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Random: two stores never share one.
    pub(crate) id: String,
    /// For how many milliseconds it was in use. It measures time in use and not the time of day, so that an old copy
    /// cannot catch up by being used.
    pub(crate) beat: u64,
    /// When it was last used, by the store's clock.
    pub(crate) at: Timestamp,
    pub(crate) doubt: Option<Doubt>,
    /// When an operator last confirmed it, by the store's clock.
    pub(crate) confirmed_at: Option<Timestamp>,
}

/// Where the epoch is kept.
#[async_trait]
pub(crate) trait EpochStore: Send + Sync {
    /// Uses the store once more, which counts as `longest` at most, and gives its epoch. `now` is for stores without
    /// a clock.
    async fn beat(&self, longest: Duration, now: Timestamp) -> Result<Option<Epoch>, LedgerError>;

    /// Puts `next` in the place of `known`, or where there is none; its times are the store's own. Without effect
    /// where the epoch is not `known` any more, by name and doubt.
    async fn put_epoch(&self, known: Option<&Epoch>, next: Put, now: Timestamp) -> Result<(), LedgerError>;

    /// Which line to the store is in use, counted from the first one: whoever breaks a line may lose what it had not
    /// kept yet. A store that shares its life with this process has one.
    fn line(&self) -> u64 {
        0
    }

    /// What an earlier process of this machine saw last.
    async fn remembered(&self) -> Option<Epoch>;

    /// Keeps what was seen for later processes of this machine, where that can be done beside the store.
    async fn remember(&self, seen: &Epoch);
}

/// An epoch to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) id: String,
    pub(crate) beat: u64,
    pub(crate) doubt: Option<Doubt>,
    pub(crate) confirms: bool,
}

/// What a look at the store means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Sound,
    /// Somebody doubted it already.
    Doubted(Doubt),
    /// It has to be doubted now.
    Doubt(Doubt),
    /// Neither the store nor this process knows of an epoch.
    New,
}

/// Compares what was seen with what is there.
pub(crate) fn judge(seen: Option<&Epoch>, there: Option<&Epoch>, tolerance: Duration) -> Judgement {
    let (seen, there) = match (seen, there) {
        (None, None) => return Judgement::New,
        (Some(_), None) => return Judgement::Doubt(Doubt::Emptied),
        // Begun by a process that knew of no other: whoever did know does not unlearn it.
        (Some(seen), Some(there)) if there.doubt == Some(Doubt::NotAskedYet) && there.id != seen.id => {
            return Judgement::Doubt(Doubt::Replaced);
        }
        (_, Some(Epoch { doubt: Some(doubt), .. })) => return Judgement::Doubted(*doubt),
        (None, Some(_)) => return Judgement::Sound,
        (Some(seen), Some(there)) => (seen, there),
    };
    // Confirmed after this process looked: an operator knew what this process is about to notice.
    if there.confirmed_at > seen.confirmed_at && there.confirmed_at >= Some(seen.at) {
        return Judgement::Sound;
    }
    if there.id != seen.id {
        return Judgement::Doubt(Doubt::Replaced);
    }
    let tolerance = u64::try_from(tolerance.as_millis()).unwrap_or(u64::MAX);
    if there.beat.saturating_add(tolerance) < seen.beat {
        return Judgement::Doubt(Doubt::RolledBack);
    }
    Judgement::Sound
}

/// Settings of the watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustSettings {
    /// How much of its last moments a store may lose without being doubted.
    pub(crate) tolerance: Duration,
    /// How often it is looked at.
    pub(crate) every: Duration,
    /// How long other processes may take to write back what a store lost; zero where there are none.
    pub(crate) settles: Duration,
}

/// What this process thinks of its store.
pub(crate) struct Trust {
    store: Arc<dyn EpochStore>,
    settings: TrustSettings,
    /// Random, and different in each process: names of epochs are made of it.
    own_name: String,
    clock: SharedClock,
    now: Mutex<Now>,
}

#[derive(Clone, Debug)]
struct Now {
    seen: Option<Epoch>,
    doubt: Option<Doubt>,
    /// Whether people may have been served by the store before it was seen for the first time.
    was_blind: bool,
    /// The doubt, or that there is none, in the word that was last told to the witness.
    told: Option<&'static str>,
    names: u64,
    look_ups: LookUps,
    /// The line by which it was looked at last.
    line: Option<u64>,
    /// Until when others may be writing back what it lost.
    settled_at: Duration,
}

/// How the store stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreStanding {
    pub(crate) doubt: Option<Doubt>,
    pub(crate) epoch: Option<Epoch>,
}

impl Trust {
    /// Begins with what an earlier process saw, where that is known. Nothing is believed before the first look.
    pub(crate) fn new(
        store: Arc<dyn EpochStore>,
        settings: TrustSettings,
        own_name: String,
        clock: SharedClock,
        seen: Option<Epoch>,
    ) -> Self {
        let moment = clock.monotonic();
        let now = Now {
            seen,
            doubt: Some(Doubt::NotAskedYet),
            was_blind: false,
            told: None,
            names: 0,
            look_ups: LookUps::new(moment),
            line: None,
            settled_at: moment,
        };
        Self { store, settings, own_name, clock, now: Mutex::new(now) }
    }

    /// The pause between two looks.
    pub(crate) fn every(&self) -> Duration {
        self.settings.every
    }

    /// Believes the store without a look.
    #[cfg(test)]
    pub(super) fn believe(&self) {
        self.now().doubt = None;
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last look found.
    pub(crate) fn doubt(&self) -> Option<Doubt> {
        self.now().doubt
    }

    /// Whether others may know what the store does not.
    pub(super) fn settles(&self) -> bool {
        !self.settings.settles.is_zero()
    }

    /// How long others may still be writing back what the store lost, as far as this process saw that it may have.
    pub(super) fn settles_in(&self) -> Duration {
        self.now().settled_at.saturating_sub(self.clock.monotonic())
    }

    /// Takes note of the line by which the store was reached, and of a beat that did not grow: a store that broke its
    /// line, or that was used less than before, may have come back without its last moments. Nobody doubts it for that.
    fn was_reached(&self, line: u64, seen: Option<&Epoch>, there: Option<&Epoch>) {
        let went_back = matches!((seen, there), (Some(seen), Some(there))
            if there.id == seen.id && there.beat <= seen.beat);
        let mut now = self.now();
        let is_another = now.line.replace(line).is_some_and(|before| before != line);
        if is_another || went_back {
            now.settled_at = self.clock.monotonic() + self.settings.settles;
        }
    }

    /// Takes note of what a look found.
    fn doubts(&self, now: &mut Now, doubt: Option<Doubt>) {
        if now.doubt.is_none() && doubt.is_some() {
            now.settled_at = self.clock.monotonic() + self.settings.settles;
        }
        now.doubt = doubt;
    }

    /// Takes note that this is told now; whether it is news.
    pub(super) fn tell(&self, doubt: Option<Doubt>) -> bool {
        let word = doubt.map_or("believed", Doubt::as_str);
        self.now().told.replace(word) != Some(word)
    }

    /// Whether Scalekit may be asked for one more person on account of a doubt, and for this asker.
    pub(super) fn may_look_up(&self, asker: Asker) -> bool {
        let moment = self.clock.monotonic();
        self.now().look_ups.take(asker, moment)
    }

    /// How the store stood at the last look.
    pub(crate) fn standing(&self) -> StoreStanding {
        let now = self.now();
        StoreStanding { doubt: now.doubt, epoch: now.seen.clone() }
    }

    /// Looks at the store. A store that has to be doubted is marked, so that every process knows; one that is new stays
    /// in doubt until [`Trust::begin`].
    pub(crate) async fn look(&self) -> Result<Option<Doubt>, LedgerError> {
        for _ in 0..TRIES {
            // What was seen before the store is asked: an answer that is long under way is older than what another
            // look may have seen meanwhile, and no old copy for that.
            let seen = self.now().seen.clone();
            let line = self.store.line();
            let there = self.store.beat(self.settings.every * 2, self.clock.now()).await;
            let there = there.inspect_err(|_| self.now().was_blind |= seen.is_none())?;
            self.was_reached(line, seen.as_ref(), there.as_ref());
            match judge(seen.as_ref(), there.as_ref(), self.settings.tolerance) {
                Judgement::New => return Ok(self.doubt()),
                Judgement::Sound => return Ok(self.saw(there, None).await),
                Judgement::Doubted(doubt) => return Ok(self.saw(there, Some(doubt)).await),
                Judgement::Doubt(doubt) => {
                    // Known here at once, whether or not it can be written down.
                    self.doubts(&mut self.now(), Some(doubt));
                    self.put(there.as_ref(), Some(doubt)).await?;
                }
            }
        }
        Ok(self.doubt())
    }

    /// Whether the store has no epoch, as far as this process knows.
    pub(super) fn is_new(&self) -> bool {
        self.now().seen.is_none()
    }

    /// Whether rows may be from sign-ins since this process began, before it saw that the store has no epoch.
    pub(super) fn was_blind(&self) -> bool {
        self.now().was_blind
    }

    /// Gives a new store its epoch, or says of one that waits for Scalekit's word what that was.
    pub(crate) async fn begin(&self, doubt: Option<Doubt>) -> Result<Option<Doubt>, LedgerError> {
        let waits = |seen: &Epoch| seen.doubt == Some(Doubt::NotAskedYet);
        let there = self.now().seen.clone().filter(waits);
        self.put(there.as_ref(), doubt).await?;
        self.look().await
    }

    /// An operator takes the store as it is.
    pub(crate) async fn confirm(&self) -> Result<StoreStanding, LedgerError> {
        for _ in 0..TRIES {
            self.look().await?;
            let Some(there) = self.now().seen.clone().filter(|there| there.doubt.is_some()) else { break };
            let put = Put { id: there.id.clone(), beat: there.beat, doubt: None, confirms: true };
            self.store.put_epoch(Some(&there), put, self.clock.now()).await?;
        }
        if self.now().seen.is_none() {
            self.begin(None).await?;
        }
        Ok(self.standing())
    }

    async fn put(&self, there: Option<&Epoch>, doubt: Option<Doubt>) -> Result<(), LedgerError> {
        let name = {
            let mut now = self.now();
            now.names += 1;
            format!("{}-{}", self.own_name, now.names)
        };
        let put = match there {
            Some(there) => Put { id: there.id.clone(), beat: there.beat, doubt, confirms: false },
            None => Put { id: name, beat: 0, doubt, confirms: false },
        };
        self.store.put_epoch(there, put, self.clock.now()).await
    }

    async fn saw(&self, there: Option<Epoch>, doubt: Option<Doubt>) -> Option<Doubt> {
        let kept = {
            let mut now = self.now();
            // Two looks may end in the other order; a beat is never forgotten for an earlier one of the same epoch.
            let is_older = matches!((&now.seen, &there), (Some(seen), Some(there))
                if seen.id == there.id && seen.doubt == there.doubt && seen.beat > there.beat
                    && seen.confirmed_at == there.confirmed_at);
            self.doubts(&mut now, doubt);
            if !is_older {
                now.seen = there;
            }
            now.seen.clone()
        };
        if let Some(kept) = kept {
            self.store.remember(&kept).await;
        }
        doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(10);

    fn epoch(id: &str, beat_seconds: u64) -> Epoch {
        Epoch {
            id: id.into(),
            beat: beat_seconds * 1000,
            at: Timestamp::from_seconds(1000),
            doubt: None,
            confirmed_at: None,
        }
    }

    #[test]
    fn a_store_that_lost_something_is_doubted() {
        use Judgement as J;
        let doubted = Epoch { doubt: Some(Doubt::Emptied), ..epoch("b", 1) };
        let begun = Epoch { doubt: Some(Doubt::NotAskedYet), ..epoch("c", 1) };
        let confirmed = |at| Epoch { confirmed_at: Some(Timestamp::from_seconds(at)), ..epoch("b", 1) };
        let table = [
            (None, None, J::New),
            (None, Some(epoch("a", 5)), J::Sound),
            (Some(epoch("a", 5)), Some(epoch("a", 6)), J::Sound),
            (Some(epoch("a", 500)), Some(epoch("a", 490)), J::Sound),
            (Some(epoch("a", 500)), Some(epoch("a", 489)), J::Doubt(Doubt::RolledBack)),
            (Some(epoch("a", 5)), Some(epoch("b", 500)), J::Doubt(Doubt::Replaced)),
            (Some(epoch("a", 5)), None, J::Doubt(Doubt::Emptied)),
            (Some(epoch("a", 5)), Some(doubted.clone()), J::Doubted(Doubt::Emptied)),
            (None, Some(doubted), J::Doubted(Doubt::Emptied)),
            // Begun by a process that has not seen the store before.
            (None, Some(begun.clone()), J::Doubted(Doubt::NotAskedYet)),
            (Some(begun.clone()), Some(begun.clone()), J::Doubted(Doubt::NotAskedYet)),
            (Some(epoch("a", 5)), Some(begun), J::Doubt(Doubt::Replaced)),
            // Confirmed after this process last looked, or before.
            (Some(epoch("a", 500)), Some(confirmed(1000)), J::Sound),
            (Some(epoch("a", 500)), Some(confirmed(999)), J::Doubt(Doubt::Replaced)),
        ];
        for (seen, there, expected) in table {
            assert_eq!(judge(seen.as_ref(), there.as_ref(), TOLERANCE), expected, "{seen:?} {there:?}");
        }
    }

    /// A store that is used for a minute with each look, and whose first answer is long under way.
    struct Late {
        epoch: Mutex<Epoch>,
        first: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
    }

    #[async_trait]
    impl EpochStore for Late {
        async fn beat(&self, _: Duration, _: Timestamp) -> Result<Option<Epoch>, LedgerError> {
            let answer = {
                let mut epoch = self.epoch.lock().unwrap();
                epoch.beat += 60_000;
                epoch.clone()
            };
            let first = self.first.lock().unwrap().take();
            if let Some(first) = first {
                first.await.unwrap();
            }
            Ok(Some(answer))
        }

        async fn put_epoch(&self, _: Option<&Epoch>, next: Put, _: Timestamp) -> Result<(), LedgerError> {
            self.epoch.lock().unwrap().doubt = next.doubt;
            Ok(())
        }

        async fn remembered(&self) -> Option<Epoch> {
            None
        }

        async fn remember(&self, _: &Epoch) {}
    }

    #[tokio::test]
    async fn an_answer_that_came_late_is_no_old_copy() {
        let (arrives, first) = tokio::sync::oneshot::channel();
        let store = Arc::new(Late { epoch: Mutex::new(epoch("a", 0)), first: Mutex::new(Some(first)) });
        let settings =
            TrustSettings { tolerance: TOLERANCE, every: Duration::from_secs(1), settles: Duration::ZERO };
        let clock = crate::clock::TestClock::at(Timestamp::from_seconds(1000));
        let trust = Trust::new(Arc::clone(&store) as _, settings, "test".into(), clock, None);
        let other = async {
            let looked = trust.look().await;
            arrives.send(()).unwrap();
            looked
        };
        let (late, other) = tokio::join!(trust.look(), other);
        assert_eq!((late.unwrap(), other.unwrap(), trust.doubt()), (None, None, None));
        assert_eq!(store.epoch.lock().unwrap().doubt, None);
        assert_eq!(trust.standing().epoch.unwrap().beat, 120_000, "the later one is kept");
    }

    #[test]
    fn every_doubt_is_read_as_it_was_written() {
        for doubt in Doubt::ALL {
            assert_eq!(Doubt::read(doubt.as_str()), doubt);
        }
        assert_eq!(Doubt::read("of another version"), Doubt::Replaced);
    }
}
