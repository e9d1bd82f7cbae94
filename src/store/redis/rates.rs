//! How often dependencies may be called, by all processes together.
//!
//! One script for each call, by the clock of Redis. While Redis cannot be asked, a process goes by its own share: the
//! configured rate by the number of processes that were last seen.

use std::{sync::LazyLock, time::Duration};

use super::{Failure, Redis, script::Script};
use crate::{
    clock::SharedClock,
    config::CallRate,
    net::{LEAST_CAPACITY, LEAST_RATE, LocalRates, RECOVERY, Rates, Urgency, per_second},
    telemetry::with_causes,
};
use async_trait::async_trait;

static RATES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("rates.lua")));

/// The rates of one process and those it shares.
pub(crate) struct SharedRates {
    local: LocalRates,
    redis: Redis,
}

impl SharedRates {
    pub(crate) fn new(redis: Redis, clock: SharedClock) -> Self {
        Self { local: LocalRates::new(clock), redis }
    }

    /// Runs the script; the milliseconds that it answers with.
    async fn ask(
        &self,
        dependency: &str,
        rate: Option<CallRate>,
        (what, how): (&'static str, String),
    ) -> Result<u64, Failure> {
        let key = self.redis.key(&format!("rate:{dependency}"));
        self.redis
            .run(|mut connection| async move {
                let mut script = RATES.key(key);
                script.arg(what).arg(rate.map_or(0.0, per_second)).arg(how);
                script.arg(LEAST_CAPACITY).arg(LEAST_RATE).arg(RECOVERY);
                Ok(script.invoke_async(&mut connection).await?)
            })
            .await
    }

    /// What one process may do while it knows nothing of the others.
    fn share(&self, rate: Option<CallRate>) -> Option<CallRate> {
        rate.map(|rate| CallRate { per: rate.per * self.redis.replicas.number(), ..rate })
    }
}

#[async_trait]
impl Rates for SharedRates {
    async fn take(&self, dependency: &str, rate: Option<CallRate>, urgency: Urgency) -> Result<(), Duration> {
        let how = match urgency {
            Urgency::SignIn => "sign_in",
            Urgency::Background => "background",
        };
        match self.ask(dependency, rate, ("take", how.to_owned())).await {
            Ok(0) => Ok(()),
            Ok(wait) => Err(Duration::from_millis(wait)),
            Err(failure) => {
                say_alone(&failure);
                self.local.take(dependency, self.share(rate), urgency).await
            }
        }
    }

    async fn refused(&self, dependency: &str, rate: Option<CallRate>, pause: Duration) {
        // Taken down here, too: the store may be away when it counts.
        self.local.refused(dependency, self.share(rate), pause).await;
        let pause = pause.as_millis().to_string();
        if let Err(failure) = self.ask(dependency, rate, ("refused", pause)).await {
            say_alone(&failure);
        }
    }
}

fn say_alone(failure: &Failure) {
    tracing::debug!(error = with_causes(failure), "calls are counted by this process alone");
}
