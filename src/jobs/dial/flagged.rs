//! The dial by feature flags: looked at twice a second, and never further than their last good values.
//!
//! A flag that cannot be asked for, is gone, or has a value that makes no dial leaves what it said before. Before it
//! ever said anything, the file's value counts.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tracing::{info, warn};

use super::{
    Dialing, PAUSE,
    ofrep::{Flagd, Said},
};
use crate::{
    net::Tracker,
    rollout::{DialFlag, DialSource},
};

/// How long a start waits until a flag says something: without that the file's values count, which may be older.
const START_WAIT: Duration = Duration::from_secs(5);

/// How a look at one flag ended, for the metrics.
const TAKEN: &str = "taken";
const ABSENT: &str = "absent";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

impl Dialing {
    /// Goes by these flags from now on, once [`Dialing::reload`] or the start made them the source; looks at them
    /// before, so that the dial does not stand at the file's values for a moment.
    pub(crate) async fn heed(&self, flagd: Option<Flagd>) {
        let flagd = flagd.map(Arc::new);
        self.flagd.store(flagd.clone());
        let Some(flagd) = flagd else { return };
        let looks = tokio::time::timeout(START_WAIT, async {
            while !self.look_at(&flagd).await {
                self.clock.sleep(PAUSE).await;
            }
        });
        if looks.await.is_err() && self.known().standing.in_force() == DialSource::File {
            warn!("no feature flag has said anything yet; the file's values count until one does");
        }
    }

    /// Looks at the flags again and again until the process stops.
    pub(super) fn watch_flags(self: Arc<Self>, tracker: &Tracker) {
        let stopping = tracker.stopping();
        tracker.spawn(async move {
            loop {
                // Only the wait is dropped when the process stops.
                tokio::select! {
                    () = stopping.cancelled() => break,
                    () = self.clock.sleep(PAUSE) => {}
                }
                if let Some(flagd) = self.flagd.load_full() {
                    self.look_at(&flagd).await;
                }
            }
        });
    }

    /// Looks at all flags once, and says whether they can be gone by: flagd answers, and one of them has or had a good
    /// value. A flagd that has not read its flags yet answers that there are none.
    async fn look_at(&self, flagd: &Arc<Flagd>) -> bool {
        let said = join_all(DialFlag::ALL.map(|flag| flagd.ask(flag))).await;
        let answers = said.iter().any(|said| !matches!(said, Said::Unusable(_)));
        let mut known = self.known();
        // A reload may have chosen another server meanwhile.
        if !self.flagd.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, flagd)) {
            return true;
        }
        let mut flagged = known.standing.flagged;
        let mut troubles = Vec::new();
        for (flag, said) in DialFlag::ALL.into_iter().zip(said) {
            let before = flagged;
            let (outcome, trouble) = match said {
                Said::Value(value) => match flagged.take(flag, &value) {
                    Ok(()) => (TAKEN, None),
                    Err(wanted) => (REFUSED, Some(wanted)),
                },
                // A server that has not read its flags yet knows none of them.
                Said::Nothing if before.says(flag) => (ABSENT, Some("is gone or disabled")),
                Said::Nothing => (ABSENT, None),
                Said::Unusable(why) => (FAILED, Some(why)),
            };
            self.metrics.flag_looked_at(flag.as_str(), outcome);
            troubles.extend(trouble.map(|trouble| (flag.as_str(), trouble)));
        }
        tell(&known.flag_troubles, &troubles);
        known.flag_troubles = troubles;
        let old = known.standing.dial();
        known.standing.flagged = flagged;
        let new = known.standing.dial();
        known.tell(&self.metrics);
        if known.standing.source == DialSource::Flagd && old != new {
            self.put_in_force(&known);
            self.audit.rollout_changed("flagd", &old, &new);
        }
        answers && flagged.says_something()
    }
}

/// Says each trouble once, and once that it is over.
fn tell(before: &[(&'static str, &'static str)], now: &[(&'static str, &'static str)]) {
    for (flag, trouble) in now.iter().filter(|trouble| !before.contains(trouble)) {
        warn!(
            rollout.flag = flag,
            rollout.flag.trouble = trouble,
            "the feature flag for rollout.{flag} is not followed, what counted before stays in force: {trouble}"
        );
    }
    for (flag, _) in before.iter().filter(|(flag, _)| now.iter().all(|(other, _)| other != flag)) {
        info!(rollout.flag = flag, "the feature flag for rollout.{flag} is followed again");
    }
}
