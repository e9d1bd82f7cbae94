//! A running Crossfade: start, reload, drain, stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{net::TcpListener, runtime::Handle, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    build::{self, Parts},
    reload::Began,
};
use crate::{
    admin::{self, AdminState, Api, Awaits, Control, Readiness},
    clock::{SharedClock, SystemClock},
    config::Config,
    jobs,
    net::{self, Tracker},
    proxy::{Plane, Setup},
    telemetry::{AddressPolicy, Audit, Metrics, with_causes},
};

/// How long tasks on the shared runtime may take to finish once nothing new arrives: a create that was sent is
/// recorded before the process ends.
const TASKS_GRACE: Duration = Duration::from_secs(15);

/// Files of our own: the store, listeners, runtimes, calls to others.
const FILES_BESIDE_CONNECTIONS: usize = 512;

/// How many files may be open at the same time with this configuration.
fn open_files(config: &Config) -> u64 {
    let limits = &config.public.limits;
    let pools = config.public.threads * config.upstream.idle_connections;
    let files = limits.connections + limits.in_flight + pools + FILES_BESIDE_CONNECTIONS;
    u64::try_from(files).unwrap_or(u64::MAX)
}

#[cfg(not(feature = "failpoints"))]
fn clock(failpoint: Option<&str>) -> (SharedClock, Option<&str>) {
    (SystemClock::shared(), failpoint)
}

/// The machine's clock, wrong where a test wants that, and what else it wants.
#[cfg(feature = "failpoints")]
fn clock(failpoint: Option<&str>) -> (SharedClock, Option<&str>) {
    match failpoint.and_then(|text| text.strip_prefix("clock:")?.parse().ok()) {
        Some(seconds) => (SystemClock::wrong_by(seconds), None),
        None => (SystemClock::shared(), failpoint),
    }
}

/// One running instance.
pub(crate) struct Instance {
    pub(super) config: ArcSwap<Config>,
    pub(super) began: Began,
    pub(super) parts: Parts,
    pub(super) plane: Plane,
    tracker: Tracker,
    ready: watch::Sender<Readiness>,
    admin: SocketAddr,
    pub(super) api: Arc<Api>,
    admin_task: JoinHandle<()>,
    admin_stop: CancellationToken,
}

impl Instance {
    /// Builds everything and begins to listen; needs the shared runtime. `failpoint` only counts in builds for it:
    /// a step at which to stop, or `clock:SECONDS` by which the machine's clock is taken to be wrong.
    pub(crate) async fn start(config: Config, failpoint: Option<&str>) -> anyhow::Result<Self> {
        let (clock, failpoint) = clock(failpoint);
        let began = Began::with(&config);
        let tracker = Tracker::new(Handle::current());
        let metrics = Metrics::new();
        net::allow_open_files(open_files(&config));
        let listener = TcpListener::bind(config.admin.listen)
            .await
            .with_context(|| format!("admin.listen: cannot listen on {}", config.admin.listen))?;
        let admin = listener.local_addr()?;
        let (ready, readiness) = watch::channel(Readiness::Starting(Awaits::Store));
        let admin_stop = CancellationToken::new();
        let audit = Audit::new(AddressPolicy::from_full_addresses(config.telemetry.full_addresses));
        let api = Arc::new(Api::new(&config.admin, audit, clock.clone()));
        let state = AdminState { ready: readiness, metrics: metrics.clone(), api: Arc::clone(&api) };
        let admin_task = tracker.spawn(admin::serve(listener, state, admin_stop.clone()));

        // Health is answered while the rest begins: a store that opens slowly is not a process that died.
        let parts = build::parts(&config, &tracker, &clock, metrics, failpoint).await?;
        // A store that cannot be looked at now is looked at again, and until then nobody is created.
        if let Err(error) = parts.gate.journeys.look_at_store().await {
            tracing::warn!(error = %with_causes(&error), "the store cannot be looked at yet");
        }
        let watched = parts.observer.watched.clone();
        api.open(Control {
            gate: Arc::clone(&parts.gate),
            dialing: Arc::clone(&parts.dialing),
            dependencies: Box::new(move || watched.seen()),
            breakers: parts.dependencies.clone(),
        });
        ready.send_replace(Readiness::Starting(Awaits::Listeners));
        let plane = Plane::start(&Setup {
            public: Arc::new(config.public.clone()),
            upstream: config.upstream.clone(),
            identity: config.identity.clone(),
            cookies: parts.gate.cookies.clone(),
            gate: parts.gate.clone(),
            pages: Arc::clone(&parts.pages),
            metrics: parts.metrics.clone(),
            audit: parts.observer.audit,
        })
        .context("public.listen")?;
        let (journeys, store_clock) = (&parts.gate.journeys, &parts.gate.clock);
        jobs::index_people(journeys.clone(), &tracker);
        jobs::sweep_sessions(Arc::clone(&parts.store.sessions), store_clock.clone(), &tracker);
        Arc::clone(&parts.dialing).watch(&tracker);
        let sessions = Arc::clone(&parts.store.sessions);
        let belongings = Arc::clone(&parts.belongings) as _;
        jobs::watch_store(journeys.clone(), sessions, belongings, clock.clone(), &tracker);
        jobs::finish_people(journeys.clone(), parts.metrics.clone(), clock, &tracker);
        parts.gate.watch_tunnels();
        ready.send_replace(Readiness::Ready);
        let config = ArcSwap::from_pointee(config);
        Ok(Self { config, began, parts, plane, tracker, ready, admin, api, admin_task, admin_stop })
    }

    /// Where people's browsers connect.
    pub(crate) fn public(&self) -> SocketAddr {
        self.plane.address()
    }

    /// Where health and metrics are.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The metrics of this instance.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.parts.metrics
    }

    /// Whether every thread of the data plane and the admin listener still run; one that died early is a failure.
    pub(crate) fn is_whole(&self) -> bool {
        self.plane.is_whole() && !self.admin_task.is_finished()
    }

    /// Ends in order (REL-32): unready, drained, tasks finished. `false` when something had to be cut.
    pub(crate) async fn stop(self) -> bool {
        self.ready.send_replace(Readiness::Draining);
        let limits = self.config.load().public.limits.clone();
        let cut = self.plane.drain(limits.drain_wait, limits.drain_timeout).await;
        // The admin listener is one of the tasks that are waited for.
        self.admin_stop.cancel();
        let finished = self.tracker.finish(TASKS_GRACE).await;
        if !finished {
            tracing::error!(tasks = self.tracker.running(), "tasks were still running at the end");
        }
        cut == 0 && finished
    }
}
