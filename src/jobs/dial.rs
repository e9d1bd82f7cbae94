//! The dial of this replica: it follows the record that all replicas share, and turns it; or it follows feature flags.
//!
//! Whatever the store does, the percentage stays what was set last (REL-20): while the store is away the record as
//! last seen counts, and a store that lost it, or came back with an older one, is given it again.

#[cfg(feature = "openfeature")]
mod flagged;
#[cfg(feature = "openfeature")]
mod ofrep;
mod turn;

#[cfg(feature = "openfeature")]
pub(crate) use ofrep::Flagd;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{info, warn};

use self::turn::Unsettled;
pub(crate) use self::turn::{Over, Turn, TurnRefused};
use crate::{
    clock::SharedClock,
    config::Config,
    identity::LoginName,
    login::{Asker, Damaged, Decided, Flags, FlagsError, Journeys, LedgerError, Replaced, Settings, Why},
    net::Tracker,
    rollout::{Dial, DialSource, FlagState, Flagged, Judgement, Standing},
    telemetry::{Audit, Metrics, with_causes},
};

/// The pause between two looks at the record. With the time one look may take, a change is seen everywhere well
/// within the two seconds of REL-09.
const PAUSE: Duration = Duration::from_millis(500);

/// Follows and turns the dial; one for a process.
pub(crate) struct Dialing {
    flags: Arc<dyn Flags>,
    journeys: Journeys,
    clock: SharedClock,
    audit: Audit,
    metrics: Metrics,
    known: Mutex<Known>,
    /// Whom to ask for feature flags, where they say how the dial stands.
    #[cfg(feature = "openfeature")]
    flagd: arc_swap::ArcSwapOption<Flagd>,
}

struct Known {
    standing: Standing,
    store_answers: bool,
    unreadable: Option<Unreadable>,
    flag_troubles: FlagTroubles,
    unsettled: Vec<Unsettled>,
}

impl Known {
    /// Whether what says how the dial stands was read at the last look.
    fn is_followed(&self) -> bool {
        match self.standing.source {
            DialSource::Store => self.store_answers,
            DialSource::File => true,
            DialSource::Flagd => self.flag_troubles.is_empty(),
        }
    }

    fn tell(&self, metrics: &Metrics) {
        metrics.dial_stands(&self.standing.dial(), self.standing.version(), self.is_followed());
    }
}

/// Which feature flags are not followed now, and why.
pub(crate) type FlagTroubles = Vec<(&'static str, &'static str)>;

/// The store's record, where it is there and cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// 0 where it cannot be known.
    pub(crate) version: u64,
    pub(crate) why: Why,
}

/// How the dial stands here at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Stands {
    pub(crate) standing: Standing,
    /// Whether the record was read at the last look; if not, the one from before counts.
    pub(crate) store_answers: bool,
    /// Why not, where the store answered and its record cannot be understood.
    pub(crate) unreadable: Option<Unreadable>,
    /// The feature flags whose last good value counts, because of what they say now.
    pub(crate) flag_troubles: FlagTroubles,
}

impl Stands {
    /// The version that a change has to name: that of the record, whether or not it can be read; 0 without one.
    pub(crate) fn version(&self) -> u64 {
        self.unreadable.map_or(self.standing.version(), |record| record.version)
    }
}

impl Dialing {
    /// Follows the record from the next [`Dialing::follow`] on; until then the file's values count.
    pub(crate) fn new(
        config: &Config,
        flags: Arc<dyn Flags>,
        journeys: Journeys,
        audit: Audit,
        metrics: Metrics,
    ) -> Self {
        let standing = Standing::of_file(config.rollout.dial.clone(), config.rollout.source);
        let clock = journeys.clock.clone();
        let known = Known {
            standing,
            store_answers: true,
            unreadable: None,
            flag_troubles: Vec::new(),
            unsettled: Vec::new(),
        };
        known.tell(&metrics);
        Self {
            flags,
            journeys,
            clock,
            audit,
            metrics,
            known: Mutex::new(known),
            #[cfg(feature = "openfeature")]
            flagd: arc_swap::ArcSwapOption::empty(),
        }
    }

    /// How the dial stands here.
    pub(crate) fn stands(&self) -> Stands {
        let known = self.known();
        Stands {
            standing: known.standing.clone(),
            store_answers: known.store_answers,
            unreadable: known.unreadable,
            flag_troubles: known.flag_troubles.clone(),
        }
    }

    /// How a sign-in by this name would be decided now, by the very function that decides sign-ins.
    pub(crate) async fn explain(&self, name: LoginName) -> Result<Decided, LedgerError> {
        self.journeys.decide(name, None, Asker::Operator).await
    }

    /// Looks at the record once. A failure is said once, and changes nothing.
    pub(crate) async fn follow(&self) -> Result<(), FlagsError> {
        let stored = match self.flags.flags().await {
            Ok(stored) => stored,
            Err(FlagsError::Unreadable(damaged)) => return self.mend(damaged).await,
            Err(error) => {
                self.saw(false, None, Some(&error));
                return Err(error);
            }
        };
        self.saw(true, None, None);
        self.settle(stored.as_ref());
        let (judgement, ours) = {
            let known = self.known();
            (known.standing.judge(stored.as_ref()), known.standing.record.clone())
        };
        match (judgement, ours) {
            (Judgement::Same, _) => {}
            (Judgement::WriteBack { over }, Some(ours)) => {
                let replaced = self.flags.replace_flags(over, &ours).await?;
                if replaced == Replaced::Done {
                    warn!(
                        rollout.version = ours.version,
                        rollout.version.stored = over,
                        "the store lost the flag state or came back with an older one; the last known one was \
                         written back"
                    );
                }
            }
            (Judgement::Take | Judgement::WriteBack { .. }, _) => self.take_or_forget(stored),
        }
        Ok(())
    }

    /// Puts the record that is known here in the place of one that cannot be read, if that says nothing newer. What a
    /// newer Crossfade wrote, or somebody set since we last looked, is left to an operator.
    async fn mend(&self, damaged: Box<Damaged>) -> Result<(), FlagsError> {
        let ours = {
            let known = self.known();
            let gives_way =
                !matches!(damaged.why, Why::Newer { .. }) && known.standing.outlives(damaged.version);
            known.standing.record.clone().filter(|_| gives_way)
        };
        if let Some(ours) = ours
            && self.flags.overwrite_flags(&damaged, &ours).await? == Replaced::Done
        {
            warn!(
                rollout.version = ours.version,
                rollout.version.stored = damaged.version,
                "the store's flag state {}; the last known one was written over it",
                damaged.why
            );
            return Ok(());
        }
        let unreadable = Unreadable { version: damaged.version, why: damaged.why };
        let error = FlagsError::Unreadable(damaged);
        self.saw(false, Some(unreadable), Some(&error));
        Err(error)
    }

    fn take_or_forget(&self, stored: Option<FlagState>) {
        let Some(stored) = stored else {
            // Only where the record does not count: elsewhere a lost record is written back.
            let mut known = self.known();
            known.standing.record = None;
            return known.tell(&self.metrics);
        };
        self.take(stored, "turned at another replica");
    }

    /// Lets a record count, unless a newer one does already.
    fn take(&self, record: FlagState, why: &'static str) {
        let mut known = self.known();
        let is_older = record.version < known.standing.version();
        if is_older && known.standing.source == DialSource::Store {
            return;
        }
        let (version, who) = (record.version, record.changed_by.clone());
        let old = known.standing.dial();
        known.standing.record = Some(record);
        let new = self.put_in_force(&known);
        info!(
            rollout.version = version,
            rollout.who = who,
            rollout.cutover.old = %old.cutover,
            rollout.cutover.new = %new.cutover,
            rollout.migrate.new = %new.migrate(),
            rollout.paused = new.paused,
            "rollout: {why}"
        );
        say_if_they_disagree(&known.standing);
    }

    /// Takes a changed configuration into force. The file gives the rules, and the dial where it is the source; it
    /// does not undo what was set through the API.
    pub(crate) fn reload(&self, config: &Config) {
        self.take_file(config, Settings::of(config));
    }

    /// Takes no more of a changed configuration than what it says of the dial, while the rest has to wait. Feature
    /// flags wait with it: they may have to be asked for elsewhere.
    pub(crate) fn reload_dial(&self, config: &Config) {
        if config.rollout.source != DialSource::Flagd {
            self.take_file(config, Settings::clone(&self.journeys.settings.load()));
        }
    }

    fn take_file(&self, config: &Config, settings: Settings) {
        let mut known = self.known();
        let old = known.standing.dial();
        let before = (known.standing.file.clone(), known.standing.source);
        known.standing.file = config.rollout.dial.clone();
        known.standing.source = config.rollout.source;
        if known.standing.source != DialSource::Flagd {
            known.standing.flagged = Flagged::default();
            known.flag_troubles.clear();
        }
        let new = known.standing.dial();
        self.journeys.settings.store(Arc::new(Settings { dial: new.clone(), ..settings }));
        known.tell(&self.metrics);
        if old != new {
            self.audit.rollout_changed("configuration", &old, &new);
        }
        if before != (known.standing.file.clone(), known.standing.source) {
            say_if_they_disagree(&known.standing);
        }
    }

    /// Swaps the dial of the sign-ins that begin from now on.
    fn put_in_force(&self, known: &Known) -> Dial {
        let dial = known.standing.dial();
        self.journeys.settings.rcu(|settings| Settings { dial: dial.clone(), ..Settings::clone(settings) });
        known.tell(&self.metrics);
        dial
    }

    /// Says once that the record cannot be read, anew where the reason is another, and once that it can again.
    fn saw(&self, answers: bool, unreadable: Option<Unreadable>, error: Option<&FlagsError>) {
        let before = {
            let mut known = self.known();
            let before = (known.store_answers, known.unreadable);
            (known.store_answers, known.unreadable) = (answers, unreadable);
            known.tell(&self.metrics);
            before
        };
        match error {
            Some(error) if before.0 || (unreadable.is_some() && before.1 != unreadable) => {
                warn!(error = %with_causes(error), "the flag state cannot be read; the last known one stays in force");
            }
            None if !before.0 => info!("the flag state can be read again"),
            _ => {}
        }
    }

    /// Held for moments only, and around every swap: a reload and a turn must not undo one another.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the record again and again until the process stops.
    pub(crate) fn watch(self: Arc<Self>, tracker: &Tracker) {
        #[cfg(feature = "openfeature")]
        Arc::clone(&self).watch_flags(tracker);
        let stopping = tracker.stopping();
        tracker.spawn(async move {
            loop {
                // Only the wait is dropped when the process stops; a look that has begun is finished.
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = self.clock.sleep(PAUSE) => {}
                }
                // Said where it was seen; the next look is soon.
                let _ = self.follow().await;
            }
        });
    }
}

/// Two places that say different things surprise somebody: say which one counts.
fn say_if_they_disagree(standing: &Standing) {
    let Some(record) = standing.record.as_ref().filter(|_| standing.disagrees()) else { return };
    info!(
        rollout.in_force = standing.in_force().as_str(),
        rollout.cutover.file = %standing.file.cutover,
        rollout.cutover.store = %record.cutover,
        rollout.version = record.version,
        "rollout: the configuration file and the store's record differ; in force is {}",
        match standing.in_force() {
            DialSource::Store => "the one of the store",
            DialSource::File => "the one of the file",
            DialSource::Flagd => "neither: feature flags are",
        },
    );
}

#[cfg(test)]
mod tests;
