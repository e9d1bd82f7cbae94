//! The dial of this replica: it follows the record that all replicas share, and turns it; or it follows feature flags.
//!
//! Whatever the store does, the percentage stays what was set last (REL-20): while the store is away the record as
//! last seen counts, and a store that lost it, or came back with an older one, is given it again.

#[cfg(feature = "openfeature")]
mod flagged;
#[cfg(feature = "openfeature")]
mod ofrep;

#[cfg(feature = "openfeature")]
pub(crate) use ofrep::Flagd;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{info, warn};

use crate::{
    clock::SharedClock,
    config::Config,
    identity::LoginName,
    login::{Asker, Decided, Flags, FlagsError, Journeys, LedgerError, Replaced, Settings},
    net::Tracker,
    rollout::{Change, ChangeRefused, Dial, DialSource, FlagState, Flagged, Judgement, Standing},
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
    flag_troubles: FlagTroubles,
}

/// Which feature flags are not followed now, and why.
pub(crate) type FlagTroubles = Vec<(&'static str, &'static str)>;

/// How the dial stands here at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Stands {
    pub(crate) standing: Standing,
    /// Whether the record was read at the last look; if not, the one from before counts.
    pub(crate) store_answers: bool,
    /// The feature flags whose last good value counts, because of what they say now.
    pub(crate) flag_troubles: FlagTroubles,
}

/// A turn that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnRefused {
    #[error("the configuration file alone says where the dial stands (rollout.source: file)")]
    FileRules,
    #[error("feature flags alone say where the dial stands (rollout.source: flagd)")]
    FlagsRule,
    /// Somebody else was faster; how it stands now.
    #[error("the dial was turned since that version")]
    Stale(Box<Stands>),
    #[error(transparent)]
    Change(#[from] ChangeRefused),
    /// Whether the change was stored is not known.
    #[error("the change may not have been stored: {0}")]
    Store(#[source] FlagsError),
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
        metrics.dial_stands(&standing.dial());
        let clock = journeys.clock.clone();
        Self {
            flags,
            journeys,
            clock,
            audit,
            metrics,
            known: Mutex::new(Known { standing, store_answers: true, flag_troubles: Vec::new() }),
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
            flag_troubles: known.flag_troubles.clone(),
        }
    }

    /// How a sign-in by this name would be decided now, by the very function that decides sign-ins.
    pub(crate) async fn explain(&self, name: LoginName) -> Result<Decided, LedgerError> {
        self.journeys.decide(name, None, Asker::Operator).await
    }

    /// Turns the dial, for all replicas: `version` is the one that the change was made from (REL-09). Told to the
    /// audit log once, here.
    pub(crate) async fn turn(
        &self,
        change: Change,
        version: u64,
        by: &str,
        reason: Option<String>,
    ) -> Result<Stands, TurnRefused> {
        let source = self.known().standing.source;
        match source {
            DialSource::Store => {}
            DialSource::File => return Err(TurnRefused::FileRules),
            DialSource::Flagd => return Err(TurnRefused::FlagsRule),
        }
        match self.follow().await {
            // A record that cannot be read is mended by writing over it.
            Ok(()) | Err(FlagsError::Unreadable(_)) => {}
            Err(error) => return Err(TurnRefused::Store(error)),
        }
        let standing = self.known().standing.clone();
        if standing.version() != version {
            return Err(TurnRefused::Stale(Box::new(self.stands())));
        }
        let next = standing.after(change, by, reason, self.clock.now())?;
        match self.flags.replace_flags(version, &next).await {
            Ok(Replaced::Done) => {
                let (old, new) = (standing.dial(), next.dial(&standing.file.rules));
                self.audit.rollout_changed(by, &old, &new);
                self.take(next, "turned here");
                Ok(self.stands())
            }
            Ok(Replaced::Stale) => match self.follow().await {
                Ok(()) => Err(TurnRefused::Stale(Box::new(self.stands()))),
                Err(error) => Err(TurnRefused::Store(error)),
            },
            Err(error) => Err(TurnRefused::Store(error)),
        }
    }

    /// Looks at the record once. A failure is said once, and changes nothing.
    pub(crate) async fn follow(&self) -> Result<(), FlagsError> {
        let stored = match self.flags.flags().await {
            Ok(stored) => stored,
            Err(error) => {
                self.saw(false, Some(&error));
                return Err(error);
            }
        };
        self.saw(true, None);
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

    fn take_or_forget(&self, stored: Option<FlagState>) {
        match stored {
            Some(stored) => self.take(stored, "turned at another replica"),
            // Only where the record does not count: elsewhere a lost record is written back.
            None => self.known().standing.record = None,
        }
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
        let new = self.put_in_force(&known.standing);
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
        let settings = Settings { dial: new.clone(), ..Settings::of(config) };
        self.journeys.settings.store(Arc::new(settings));
        self.metrics.dial_stands(&new);
        if old != new {
            self.audit.rollout_changed("configuration", &old, &new);
        }
        if before != (known.standing.file.clone(), known.standing.source) {
            say_if_they_disagree(&known.standing);
        }
    }

    /// Swaps the dial of the sign-ins that begin from now on.
    fn put_in_force(&self, standing: &Standing) -> Dial {
        let dial = standing.dial();
        self.journeys.settings.rcu(|settings| Settings { dial: dial.clone(), ..Settings::clone(settings) });
        self.metrics.dial_stands(&dial);
        dial
    }

    /// Says once that the store stopped answering, and once that it answers again.
    fn saw(&self, answers: bool, error: Option<&FlagsError>) {
        let before = std::mem::replace(&mut self.known().store_answers, answers);
        match error {
            Some(error) if before => {
                warn!(error = %with_causes(error), "the flag state cannot be read; the last known one stays in force");
            }
            None if !before => info!("the flag state can be read again"),
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
