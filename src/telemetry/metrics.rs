//! The metric catalogue: every metric this process has, in one place.
//!
//! Names are `crossfade_<thing>_<unit>`, counters end in `_total`, units are seconds and ratios. Labels are fixed
//! words or configured names (routes, sources): never anything that arrived from outside, which would let a
//! stranger fill the memory of whoever scrapes us.

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

use super::lane_name;
use crate::{
    clock::Timestamp,
    rollout::{BasisPoints, Decision, Dial, RollbackMode},
};

/// What [`Metrics::encode`] writes.
pub(crate) const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Calls to other systems: from a cache's answer to the longest time limit.
const CALL_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// One hash: from a plain digest to the costliest that the ceilings allow.
const HASH_SECONDS: [f64; 10] = [0.001, 0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Counts what happens. Cloning is cheap and all clones count together.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Catalogue>);

struct Catalogue {
    registry: Registry,
    sign_ins: Family<SignInLabels, Counter>,
    limited_sign_ins: Family<LimitLabel, Counter>,
    guessing_storm: Gauge,
    store_in_doubt: Gauge,
    swept_people: Family<ResultLabel, Counter>,
    open_people: Gauge,
    unreadable_rows: Counter,
    migrations: Family<MigrationLabels, Counter>,
    legacy_calls: Family<LegacyLabels, Counter>,
    legacy_call_duration: Family<SourceLabel, Histogram>,
    scalekit_calls: Family<ScalekitLabels, Counter>,
    scalekit_call_duration: Family<OperationLabel, Histogram>,
    breakers: Family<BreakerLabels, Gauge>,
    hash_jobs: Family<OutcomeLabel, Counter>,
    hash_queue: Gauge,
    hash_duration: Histogram,
    /// By the first digit of the status: looked up without a lock, the data plane counts every request.
    proxy_requests: [Counter; 6],
    refused_requests: Family<ProblemLabel, Counter>,
    upstream_failures: Family<KindLabel, Counter>,
    request_retries: Counter,
    request_panics: Counter,
    in_flight: Gauge,
    connections: Gauge,
    connections_turned_away: Counter,
    sessions_begun: Counter,
    sessions_ended: Family<ReasonLabel, Counter>,
    session_refreshes: Family<OutcomeLabel, Counter>,
    cutover: Gauge<f64, std::sync::atomic::AtomicU64>,
    migrate: Gauge<f64, std::sync::atomic::AtomicU64>,
    paused: Gauge,
    rollback_legacy: Gauge,
    dial_version: Gauge,
    dial_followed: Gauge,
    flag_looks: Family<FlagLabels, Counter>,
    config_reloads: Family<ResultLabel, Counter>,
    handshake_failures: Family<KindLabel, Counter>,
    certificate_not_after: Family<CertificateLabel, Gauge>,
}

/// Declares a set of labels: fixed words (`&'static str`) or configured names (`String`).
macro_rules! labels {
    ($($name:ident { $($label:ident: $type:ty),+ })+) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: $type),+ }
    )+};
}

labels! {
    SignInLabels { route: String, lane: &'static str, reason: &'static str, outcome: &'static str }
    MigrationLabels { source: String, result: &'static str }
    LegacyLabels { source: String, outcome: &'static str }
    SourceLabel { source: String }
    LimitLabel { limit: &'static str }
    ScalekitLabels { operation: &'static str, outcome: &'static str }
    OperationLabel { operation: &'static str }
    BreakerLabels { dependency: String, state: &'static str }
    OutcomeLabel { outcome: &'static str }
    ClassLabel { class: &'static str }
    ProblemLabel { problem: &'static str }
    KindLabel { kind: &'static str }
    ReasonLabel { reason: &'static str }
    FlagLabels { flag: &'static str, outcome: &'static str }
    ResultLabel { result: &'static str }
    CertificateLabel { certificate: String }
}

/// The states of a breaker.
const BREAKER_STATES: [&str; 3] = ["closed", "half_open", "open"];

const STATUS_CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("crossfade");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let list = &mut registry;
        let calls = || Histogram::new(CALL_SECONDS);
        let seconds = Unit::Seconds;
        let ratio = Unit::Other("ratio".to_owned());
        let proxied = Family::<ClassLabel, Counter>::default();
        list.register("proxy_requests", "Requests answered by the application or by us", proxied.clone());
        let proxy_requests = STATUS_CLASSES.map(|class| proxied.get_or_create(&ClassLabel { class }).clone());
        let catalogue = Catalogue {
            sign_ins: add(list, "sign_ins", "Sign-ins by lane, why, and how they ended", Family::default()),
            limited_sign_ins: add(
                list,
                "limited_sign_ins",
                "Sign-ins answered with 429, by the limit",
                Family::default(),
            ),
            guessing_storm: add(
                list,
                "guessing_storm_active",
                "1 while many sign-ins fail and few succeed",
                Gauge::default(),
            ),
            store_in_doubt: add(
                list,
                "store_in_doubt",
                "1 while the store may have lost people and nobody is created",
                Gauge::default(),
            ),
            swept_people: add(
                list,
                "swept_people",
                "Unfinished migrations that the sweeper looked after",
                Family::default(),
            ),
            open_people: add(
                list,
                "open_people",
                "Unfinished migrations at the end of the last sweep",
                Gauge::default(),
            ),
            unreadable_rows: add(
                list,
                "unreadable_rows",
                "Times that a person's row could not be read",
                Counter::default(),
            ),
            migrations: add(list, "migrations", "Attempts to move a person", Family::default()),
            legacy_calls: add(list, "legacy_calls", "Calls to legacy stores", Family::default()),
            legacy_call_duration: add_unit(
                list,
                ("legacy_call_duration", "Time a legacy store took", seconds.clone()),
                Family::new_with_constructor(calls),
            ),
            scalekit_calls: add(list, "scalekit_calls", "Calls to Scalekit", Family::default()),
            scalekit_call_duration: add_unit(
                list,
                ("scalekit_call_duration", "Time Scalekit took", seconds.clone()),
                Family::new_with_constructor(calls),
            ),
            breakers: add(
                list,
                "dependency_breaker",
                "1 for the state of each dependency's breaker: closed, half_open or open",
                Family::default(),
            ),
            hash_jobs: add(list, "hash_jobs", "Password checks against stored hashes", Family::default()),
            hash_queue: add(list, "hash_queue_jobs", "Password checks that wait", Gauge::default()),
            hash_duration: add_unit(
                list,
                ("hash_duration", "Time one password check took, without waiting", seconds.clone()),
                Histogram::new(HASH_SECONDS),
            ),
            proxy_requests,
            refused_requests: add(
                list,
                "refused_requests",
                "Requests refused before they reached anybody",
                Family::default(),
            ),
            upstream_failures: add(
                list,
                "upstream_failures",
                "Requests the application gave no answer to",
                Family::default(),
            ),
            request_retries: add(list, "request_retries", "Requests sent a second time", Counter::default()),
            request_panics: add(
                list,
                "request_panics",
                "Requests whose handling panicked",
                Counter::default(),
            ),
            in_flight: add(list, "in_flight_requests", "Requests being answered", Gauge::default()),
            connections: add(list, "open_connections", "Connections from clients", Gauge::default()),
            connections_turned_away: add(
                list,
                "connections_turned_away",
                "Connections closed at once for being one too many",
                Counter::default(),
            ),
            sessions_begun: add(list, "sessions_begun", "Sessions of the new side", Counter::default()),
            sessions_ended: add(list, "sessions_ended", "Sessions that are over", Family::default()),
            session_refreshes: add(
                list,
                "session_refreshes",
                "Refreshes of sessions' tokens that did not end them",
                Family::default(),
            ),
            cutover: add_unit(
                list,
                (
                    "rollout_cutover",
                    "The dial's cutover percent, which a pause leaves as it is",
                    ratio.clone(),
                ),
                Gauge::default(),
            ),
            migrate: add_unit(
                list,
                ("rollout_migrate", "The dial's migrate percent, which a pause leaves as it is", ratio),
                Gauge::default(),
            ),
            paused: add(
                list,
                "rollout_paused",
                "1 while nobody new crosses or is created, whatever the percents say",
                Gauge::default(),
            ),
            rollback_legacy: add(
                list,
                "rollout_rollback_legacy",
                "1 while those who crossed are sent back to legacy",
                Gauge::default(),
            ),
            dial_version: add(
                list,
                "rollout_version",
                "The version of the dial's record that this replica knows; 0 without one",
                Gauge::default(),
            ),
            dial_followed: add(
                list,
                "rollout_followed",
                "1 while what says how the dial stands can be read; else its last good values count",
                Gauge::default(),
            ),
            flag_looks: add(
                list,
                "rollout_flag_looks",
                "Looks at the feature flags of the dial: taken, absent, refused or failed",
                Family::default(),
            ),
            config_reloads: add(list, "config_reloads", "Changed configurations met", Family::default()),
            handshake_failures: add(
                list,
                "tls_handshake_failures",
                "TLS handshakes of clients that came to nothing",
                Family::default(),
            ),
            certificate_not_after: add_unit(
                list,
                ("tls_certificate_not_after", "When a certificate expires, in Unix time", seconds),
                Family::default(),
            ),
            registry,
        };
        Self(Arc::new(catalogue))
    }

    /// All metrics, as [`METRICS_CONTENT_TYPE`] says.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.0.registry)?;
        Ok(out)
    }

    /// A sign-in on a configured route ended.
    pub(crate) fn sign_in_ended(&self, route: &str, decision: Decision, outcome: &'static str) {
        let (lane, reason) = (lane_name(decision.lane), decision.reason.as_str());
        let labels = SignInLabels { route: route.to_owned(), lane, reason, outcome };
        self.0.sign_ins.get_or_create(&labels).inc();
    }

    /// A sign-in was refused for being one too many.
    pub(crate) fn sign_in_limited(&self, limit: &'static str) {
        self.0.limited_sign_ins.get_or_create(&LimitLabel { limit }).inc();
    }

    /// Many sign-ins fail and few succeed, or that is over.
    pub(crate) fn storm_changed(&self, is_storm: bool) {
        self.0.guessing_storm.set(i64::from(is_storm));
    }

    /// The store came into doubt, or is believed again.
    pub(crate) fn store_doubted(&self, is_in_doubt: bool) {
        self.0.store_in_doubt.set(i64::from(is_in_doubt));
    }

    /// The sweeper looked after somebody.
    pub(crate) fn person_swept(&self, result: &'static str) {
        self.0.swept_people.get_or_create(&ResultLabel { result }).inc();
    }

    /// A sweep ended, and so many migrations are still unfinished.
    pub(crate) fn sweep_ended(&self, open: usize) {
        self.0.open_people.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// A person's row could not be read.
    pub(crate) fn row_unreadable(&self) {
        self.0.unreadable_rows.inc();
    }

    /// An attempt to move a person of a configured source ended: a ledger state, `later` or `failed`.
    pub(crate) fn migration_ended(&self, source: &str, result: &'static str) {
        let labels = MigrationLabels { source: source.to_owned(), result };
        self.0.migrations.get_or_create(&labels).inc();
    }

    /// A configured legacy source was asked.
    pub(crate) fn legacy_called(&self, source: &str, outcome: &'static str, took: Duration) {
        let label = SourceLabel { source: source.to_owned() };
        self.0.legacy_call_duration.get_or_create(&label).observe(took.as_secs_f64());
        let labels = LegacyLabels { source: label.source, outcome };
        self.0.legacy_calls.get_or_create(&labels).inc();
    }

    /// Scalekit was asked; `operation` is the name that errors have, too: `create_user`, `find_by_email`, …
    pub(crate) fn scalekit_called(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let label = OperationLabel { operation };
        self.0.scalekit_call_duration.get_or_create(&label).observe(took.as_secs_f64());
        self.0.scalekit_calls.get_or_create(&ScalekitLabels { operation, outcome }).inc();
    }

    /// A dependency's breaker stands so now.
    pub(crate) fn breaker_stands(&self, dependency: &str, stand: &'static str) {
        for state in BREAKER_STATES {
            let labels = BreakerLabels { dependency: dependency.to_owned(), state };
            self.0.breakers.get_or_create(&labels).set(i64::from(state == stand));
        }
    }

    /// A dependency is not used any more.
    pub(crate) fn breaker_is_gone(&self, dependency: &str) {
        for state in BREAKER_STATES {
            self.0.breakers.remove(&BreakerLabels { dependency: dependency.to_owned(), state });
        }
    }

    /// A password check joined the queue; it has left when the guard is dropped.
    pub(crate) fn hash_waits(&self) -> Counted {
        Counted::one(&self.0.hash_queue)
    }

    /// A password check was carried out.
    pub(crate) fn hash_done(&self, took: Duration) {
        self.0.hash_duration.observe(took.as_secs_f64());
        self.0.hash_jobs.get_or_create(&OutcomeLabel { outcome: "done" }).inc();
    }

    /// A password check was turned away because the queue was full.
    pub(crate) fn hash_shed(&self) {
        self.0.hash_jobs.get_or_create(&OutcomeLabel { outcome: "shed" }).inc();
    }

    /// A password check was not finished in time.
    pub(crate) fn hash_late(&self) {
        self.0.hash_jobs.get_or_create(&OutcomeLabel { outcome: "late" }).inc();
    }

    /// A request was answered with this status.
    pub(crate) fn request_answered(&self, status: u16) {
        let [other, classes @ ..] = &self.0.proxy_requests;
        let class = usize::from(status / 100).checked_sub(1).and_then(|index| classes.get(index));
        class.unwrap_or(other).inc();
    }

    /// A request was refused before it reached anybody.
    pub(crate) fn request_refused(&self, problem: &'static str) {
        self.0.refused_requests.get_or_create(&ProblemLabel { problem }).inc();
    }

    /// The application gave no answer: `connect`, `timeout`, `reset`, …
    pub(crate) fn upstream_failed(&self, kind: &'static str) {
        self.0.upstream_failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// A request was sent to the application a second time (REL-34).
    pub(crate) fn request_retried(&self) {
        self.0.request_retries.inc();
    }

    /// The handling of a request panicked (REL-33).
    pub(crate) fn request_panicked(&self) {
        self.0.request_panics.inc();
    }

    /// A request is being answered until the guard is dropped; and how many are, this one among them.
    pub(crate) fn request_begun(&self) -> (Counted, usize) {
        let counted = Counted::one(&self.0.in_flight);
        (counted, usize::try_from(self.0.in_flight.get()).unwrap_or(0))
    }

    /// A client's connection is open until the guard is dropped.
    pub(crate) fn connection_opened(&self) -> Counted {
        Counted::one(&self.0.connections)
    }

    /// How many connections of clients are open.
    pub(crate) fn open_connections(&self) -> u64 {
        u64::try_from(self.0.connections.get()).unwrap_or(0)
    }

    /// A client's connection was closed at once for being one too many.
    pub(crate) fn connection_turned_away(&self) {
        self.0.connections_turned_away.inc();
    }

    pub(crate) fn session_begun(&self) {
        self.0.sessions_begun.inc();
    }

    /// A session ended: `idle`, `absolute`, `signed_out`, `revoked`, …
    pub(crate) fn session_ended(&self, reason: &'static str) {
        self.0.sessions_ended.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Several sessions ended at once.
    pub(crate) fn sessions_ended(&self, reason: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.sessions_ended.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// A session's tokens were due: `renewed`, or `kept` as they are for now.
    pub(crate) fn session_refreshed(&self, outcome: &'static str) {
        self.0.session_refreshes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// The dial stands here now, by a record of this version where there is one.
    pub(crate) fn dial_stands(&self, dial: &Dial, version: u64, is_followed: bool) {
        let share = |points: BasisPoints| f64::from(points.get()) / f64::from(BasisPoints::ALL.get());
        self.0.cutover.set(share(dial.cutover));
        self.0.migrate.set(share(dial.migrate()));
        self.0.paused.set(i64::from(dial.paused));
        self.0.rollback_legacy.set(i64::from(dial.rollback == RollbackMode::Legacy));
        self.0.dial_version.set(i64::try_from(version).unwrap_or(i64::MAX));
        self.0.dial_followed.set(i64::from(is_followed));
    }

    /// A feature flag of the dial was looked at: its value was `taken` or `refused`, it is `absent`, or the look `failed`.
    #[cfg_attr(
        not(any(test, feature = "openfeature")),
        expect(dead_code, reason = "only flagd is looked at")
    )]
    pub(crate) fn flag_looked_at(&self, flag: &'static str, outcome: &'static str) {
        self.0.flag_looks.get_or_create(&FlagLabels { flag, outcome }).inc();
    }

    /// A handshake came to nothing: `timeout`, `gone`, `incompatible`, …
    pub(crate) fn handshake_failed(&self, kind: &'static str) {
        self.0.handshake_failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// These are the certificates in force, by their configured files, and when they expire.
    pub(crate) fn certificates_end(&self, certificates: impl IntoIterator<Item = (String, Timestamp)>) {
        let ends = &self.0.certificate_not_after;
        ends.clear();
        for (certificate, end) in certificates {
            let end = i64::try_from(end.seconds()).unwrap_or(i64::MAX);
            ends.get_or_create(&CertificateLabel { certificate }).set(end);
        }
    }

    /// A changed configuration is in force.
    pub(crate) fn config_reloaded(&self) {
        self.0.config_reloads.get_or_create(&ResultLabel { result: "ok" }).inc();
    }

    /// A part of a changed configuration waits for the store.
    pub(crate) fn config_waits(&self) {
        self.0.config_reloads.get_or_create(&ResultLabel { result: "waits" }).inc();
    }

    /// A changed configuration was refused.
    pub(crate) fn config_refused(&self) {
        self.0.config_reloads.get_or_create(&ResultLabel { result: "refused" }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// One of something that is there as long as this is.
#[derive(Debug)]
#[must_use = "what is counted is gone as soon as this is dropped"]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn one(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn add_unit<M: Metric + Clone>(
    registry: &mut Registry,
    (name, help, unit): (&str, &str, Unit),
    metric: M,
) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}
