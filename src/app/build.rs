//! From a validated configuration to running objects: a list, in the order of need.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use uuid::Uuid;

use super::{
    belongings::{Belongings, Own},
    copy,
    observed::{ObservedDirectory, ObservedStore, Observer, Watched},
    pledge,
    witness::Recording,
};
use crate::{
    clock::{Clock as _, SharedClock},
    config::{self, AssertionKey, Config, RedisStore},
    hash::HashPool,
    identity::{SourceName, SubjectKey},
    jobs::Dialing,
    legacy,
    login::{
        Chain, CountKeys, FlagsError, Journeys, Remembering, Settings, Trust, TrustSettings, TryCounter,
    },
    net::{Dependencies, Told, Tracker},
    pages::Pages,
    proxy::{Evenly, Gate, Recorder, Rules, Visitors},
    scalekit::Scalekit,
    session::{AssertionSigner, Cookies, Flows, IdentityProvider, KeyRing, Purpose, Sessions, SigningKey},
    store::{Embedded, LocalCounts, Meta, Redis, SharedCounts, SharedRates, Store, StoreClock, Unreached},
    telemetry::{AddressPolicy, Audit, Metrics},
};

/// Where the store keeps the key that signs assertions.
pub(super) const STORED_KEY: &str = "assertion_key";

/// The pause between two attempts to reach the store at the start.
const AGAIN: Duration = Duration::from_millis(500);

/// What the rest of the program is made of; shared by start and reload.
pub(super) struct Parts {
    pub(super) gate: Arc<Gate>,
    pub(super) dialing: Arc<Dialing>,
    pub(super) pages: Arc<Pages>,
    pub(super) store: Store,
    pub(super) belongings: Arc<Belongings>,
    pub(super) scalekit: Arc<Scalekit>,
    pub(super) hashes: HashPool,
    pub(super) observer: Observer,
    pub(super) metrics: Metrics,
    pub(super) dependencies: Dependencies,
}

/// Builds everything that has no listener.
pub(super) async fn parts(
    config: &Config,
    tracker: &Tracker,
    clock: &SharedClock,
    metrics: Metrics,
    failpoint: Option<&str>,
) -> anyhow::Result<Parts> {
    let audit = Audit::new(AddressPolicy::from_full_addresses(config.telemetry.full_addresses));
    let subjects = SubjectKey::new(config.telemetry.subject_key.expose().as_bytes());
    let recorder = Recorder { audit, metrics: metrics.clone(), subjects };
    let watched = Watched::default();
    let observer = Observer { audit, metrics: metrics.clone(), clock: clock.clone(), watched };

    let told = Told { metrics: metrics.clone(), audit };
    let dependencies = Dependencies::watched(clock.clone(), told);

    let (store, counts, store_clock) = open_store(config, clock, &dependencies, tracker).await?;
    let pledge = pledge::keep(&store, config).await?;
    // A copy may have begun before the pledge was written; after it, the copy sees the pledge.
    copy::refuse_unfinished(&*store.meta).await?;
    let keys = Arc::new(KeyRing::new(&config.session.keys).context("session.keys")?);
    let (key, sealed) = signing_key(&config.identity.assertion_key, &*store.meta, &keys).await?;
    let origin = config.public.url.origin().ascii_serialization();
    let signer = AssertionSigner::new(key, origin, config.identity.assertion_lifetime);

    let hashes = HashPool::start(
        config.legacy.hash_threads,
        config.legacy.hash_queue,
        config.legacy.hash_ceilings.clone(),
        metrics.clone(),
    );
    let chain = chain(&config.legacy, &hashes, &observer, &dependencies).await?;
    let redirect = config.public.url.join(&format!("{}callback", config.public.prefix))?;
    let scalekit = Arc::new(Scalekit::new(&config.scalekit, &redirect, clock.clone(), &dependencies)?);
    let (directory, provider) = (Arc::clone(&scalekit), Arc::clone(&scalekit) as Arc<dyn IdentityProvider>);

    let trust = trust(config, &store, clock).await;
    let journeys = Journeys {
        settings: Arc::new(ArcSwap::from_pointee(Settings::of(config))),
        chain: Arc::new(ArcSwap::from_pointee(chain)),
        directory: ObservedDirectory::shared(directory, observer.clone()),
        ledger: Arc::new(Remembering::new(Arc::clone(&store.ledger))),
        trust: Arc::new(trust),
        clock: store_clock.clone(),
        witness: Arc::new(witness(&recorder, failpoint)?),
    };
    let dialing = Dialing::new(config, Arc::clone(&store.flags), journeys.clone(), audit, metrics.clone());
    // Before the first sign-in: a new replica that went by its file for a moment would send people back.
    match dialing.follow().await {
        Ok(()) => {}
        Err(FlagsError::Unreadable(damaged)) => tracing::error!(
            rollout.version.stored = damaged.version,
            rollout.cutover = %config.rollout.dial.cutover,
            "the store's flag state {}; the configuration file's dial is in force until an operator has it written \
             over (crossfade rollout set PERCENT --overwrite-unreadable)",
            damaged.why
        ),
        Err(error) => return Err(anyhow!(error).context("the dial cannot be read from the store")),
    }
    #[cfg(feature = "openfeature")]
    dialing.heed(crate::jobs::Flagd::of(&config.rollout, &dependencies)?).await;
    let pages = Pages::new(&config.public.prefix).worded(&config.pages);
    let gate = Gate {
        rules: ArcSwap::from_pointee(Rules::of(config)),
        journeys,
        sessions: Sessions {
            store: Arc::clone(&store.sessions),
            keys: Arc::clone(&keys),
            clock: store_clock.clone(),
            idle: config.session.idle,
            absolute: config.session.absolute,
        },
        flows: Flows { store: Arc::clone(&store.flows), keys: Arc::clone(&keys), clock: store_clock.clone() },
        provider,
        cookies: Cookies::new(&config.session, &config.public),
        keys,
        signer,
        pages: pages.clone(),
        recorder,
        tracker: tracker.clone(),
        clock: store_clock,
        visitors: Visitors::default(),
        evenly: Evenly::default(),
        counts,
        count_keys: CountKeys::new(&config.telemetry.subject_key),
    };
    let (gate, dialing, pages) = (Arc::new(gate), Arc::new(dialing), Arc::new(pages));
    let belongings = Belongings::new(Arc::clone(&store.meta), Arc::clone(&gate), Own::new(pledge, sealed));
    let belongings = Arc::new(belongings);
    Ok(Parts { gate, dialing, pages, store, belongings, scalekit, hashes, observer, metrics, dependencies })
}

/// How often a store is looked at: a file that one process has changes only with the process.
const LOOK_AT_REDIS: Duration = Duration::from_secs(1);
const LOOK_AT_FILE: Duration = Duration::from_secs(5);

/// How long every replica takes at most to write back whom it knows to be removed, once Redis is there again: a look,
/// and what reaching Redis anew and a slow machine may add.
const SETTLES: Duration = Duration::from_secs(3);

/// What a file may lose: the looks between which a process may be killed.
const FILE_TOLERANCE: Duration = Duration::from_secs(10);

/// The watch over the store's epoch.
async fn trust(config: &Config, store: &Store, clock: &SharedClock) -> Trust {
    let settings = match &config.store {
        config::Store::Embedded { .. } => {
            TrustSettings { tolerance: FILE_TOLERANCE, every: LOOK_AT_FILE, settles: Duration::ZERO }
        }
        config::Store::Redis(redis) => {
            TrustSettings { tolerance: redis.epoch_tolerance, every: LOOK_AT_REDIS, settles: SETTLES }
        }
    };
    let seen = store.epoch.remembered().await;
    Trust::new(Arc::clone(&store.epoch), settings, Uuid::now_v7().to_string(), clock.clone(), seen)
}

/// The store, the counts beside it, and the clock by which what it holds goes.
async fn open_store(
    config: &Config,
    clock: &SharedClock,
    dependencies: &Dependencies,
    tracker: &Tracker,
) -> anyhow::Result<(Store, Arc<dyn TryCounter>, SharedClock)> {
    // A new name for each process: in a file, which one process has at a time, the claims of an earlier one are void.
    let holder = Uuid::now_v7().to_string();
    match &config.store {
        config::Store::Embedded { path } => {
            let store = Embedded::open(path, &holder).context("store.embedded.path")?;
            Ok((Store::of(store), Arc::new(LocalCounts::new(clock.clone())), clock.clone()))
        }
        config::Store::Redis(settings) => {
            let redis = Redis::new(settings, &holder).context("store.redis")?;
            let place = || format!("store.{}: {} cannot be used", settings.key(), settings.urls().join(", "));
            let store_clock = StoreClock::new(clock.clone());
            reached(&redis, settings, &store_clock).await.with_context(place)?;
            // Before this process counts as one that uses the store, which no copy goes into.
            copy::refuse_unfinished(&redis).await?;
            let redis = redis.watched(dependencies, tracker).await;
            dependencies.share_rates(Arc::new(SharedRates::new(redis.clone(), clock.clone())));
            redis.tend(Arc::clone(&store_clock), tracker);
            let counts = SharedCounts::new(redis.clone(), clock.clone());
            Ok((Store::of(redis), Arc::new(counts), store_clock))
        }
    }
}

/// Waits until Redis is there, however long that takes: the process is not ready, and does not listen. Without the
/// store nobody knows whether this configuration's salt is the ledger's, who has crossed, and which key signs: a sign-in
/// that passes through now could undo what another replica did. The orchestrator sends people to those that know.
async fn reached(redis: &Redis, settings: &RedisStore, clock: &StoreClock) -> anyhow::Result<()> {
    let mut told: Option<String> = None;
    loop {
        let tried = match redis.connect(settings.connect_timeout).await {
            Ok(()) => redis.set_clock(clock).await,
            // Waiting does not make a password right, nor a server younger.
            Err(Unreached { error, is_final: true, fix }) => return Err(anyhow!("{error}; {fix}")),
            Err(Unreached { error, is_final: false, .. }) => Err(error),
        };
        let Err(error) = tried else { return Ok(()) };
        let error = error.to_string();
        if told.as_ref() != Some(&error) {
            let place = format!("store.{}: {}", settings.key(), settings.urls().join(", "));
            tracing::warn!(
                config.place = place,
                error,
                "the store cannot be reached; not ready until it can"
            );
            told = Some(error);
        }
        clock.sleep(AGAIN).await;
    }
}

/// The chain of legacy stores, each one watched. Rows of files that cannot be read are said, and the rest counts.
pub(super) async fn chain(
    legacy: &config::Legacy,
    hashes: &HashPool,
    observer: &Observer,
    dependencies: &Dependencies,
) -> anyhow::Result<Chain> {
    let built = legacy::build(legacy, hashes, dependencies).await.map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    for (source, rows) in &built.left_out {
        say_left_out(source, rows.len());
    }
    let watched = built.stores.into_iter().map(|store| ObservedStore::shared(store, observer.clone()));
    Ok(Chain::new(watched.collect()))
}

fn say_left_out(source: &SourceName, rows: usize) {
    tracing::warn!(legacy.store = %source, rows, "rows of a file cannot be read and were left out");
}

fn witness(recorder: &Recorder, failpoint: Option<&str>) -> anyhow::Result<Recording> {
    #[cfg(not(feature = "failpoints"))]
    if failpoint.is_some() {
        return Err(anyhow!("CROSSFADE_FAILPOINT is set, but this build has no fail points"));
    }
    Ok(Recording {
        recorder: recorder.clone(),
        #[cfg(feature = "failpoints")]
        failpoint: match failpoint {
            Some(text) => Some(
                super::witness::Failpoint::parse(text)
                    .ok_or_else(|| anyhow!("CROSSFADE_FAILPOINT must be before:STEP or after:STEP"))?,
            ),
            None => None,
        },
    })
}

/// The key that signs assertions: a configured file's, or one that was made at the first start and is kept sealed, as it
/// is kept.
pub(super) async fn signing_key(
    wanted: &AssertionKey,
    store: &dyn Meta,
    keys: &KeyRing,
) -> anyhow::Result<(SigningKey, Option<Vec<u8>>)> {
    match wanted {
        AssertionKey::File(path) => {
            let pem = std::fs::read(path)
                .with_context(|| format!("identity.assertion_key.file: cannot read {}", path.display()))?;
            Ok((SigningKey::from_pem(&pem).context("identity.assertion_key.file")?, None))
        }
        AssertionKey::Stored => {
            let fresh = keys.seal(Purpose::SigningKey, &SigningKey::generate()?)?;
            let kept = store.meta_or_insert(STORED_KEY, fresh.into_bytes()).await?;
            let mut sealed = String::from_utf8(kept).context("the store's assertion key cannot be read")?;
            let der = keys.open(Purpose::SigningKey, &sealed).context(
                "the store's assertion key was sealed with a key that is not in session.keys any more; bring the \
                 old key back as a further entry",
            )?;
            // Sealed anew with the first key, or the old one could never be removed.
            if !keys.is_current(&sealed) {
                sealed = keys.seal(Purpose::SigningKey, &der)?;
                store.set_meta(STORED_KEY, sealed.clone().into_bytes()).await?;
            }
            let key = SigningKey::from_der(&der).context("the store's assertion key cannot be used")?;
            Ok((key, Some(sealed.into_bytes())))
        }
    }
}
