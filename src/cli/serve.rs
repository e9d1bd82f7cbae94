//! `crossfade serve`: the proxy.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, output};
use crate::{
    app::{Instance, NotTaken},
    config::{self, Config, Environment, Loaded, Problems, Watch},
    telemetry::{AddressPolicy, Audit, logs},
};

/// How often the process looks whether all of it still runs.
const LOOK: Duration = Duration::from_secs(1);

/// After so many of these looks a configuration that waits for the store is tried again.
const LOOKS_TO_TRY_AGAIN: u32 = 2;

/// Run the proxy in front of an application
///
/// Prints one JSON line with its addresses on standard output once it listens; logs go to standard error. SIGTERM
/// or SIGINT drains and ends, a second one ends at once. SIGHUP, or a change of the file, loads the configuration
/// anew; a bad one is refused with its reasons and the old one stays.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crossfade check --config crossfade.yaml && crossfade serve --config crossfade.yaml\n  CROSSFADE_ROLLOUT__CUTOVER=5% crossfade serve --config crossfade.yaml"
)]
pub(super) struct Args {
    /// The configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines are written: json for machines, readable for a terminal
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Json,
    Readable,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let environment = config::environment();
    let loaded = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            output::note(&format!("{}: the configuration cannot be used:", args.config.display()));
            output::note(&problems.to_string());
            return Ok(Exit::BadInput);
        }
    };
    let format = match args.log_format {
        LogFormat::Json => logs::Format::Json,
        LogFormat::Readable => logs::Format::Readable,
    };
    logs::init(&loaded.config.telemetry, format)?;
    super::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&args.config, environment, loaded))
}

async fn serve(path: &Path, environment: Environment, loaded: Loaded) -> anyhow::Result<Exit> {
    for warning in &loaded.warnings {
        tracing::warn!(config.warning = %warning, "the configuration has a weak point");
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut watch = Watch::new(path, environment.clone(), &loaded)?;
    // A start waits for a store that is away, and nothing has begun that would have to be finished.
    let instance = tokio::select! {
        started = Box::pin(Instance::start(loaded.config, environment.failpoint())) => started?,
        _ = terminate.recv() => return Ok(Exit::Done),
        _ = interrupt.recv() => return Ok(Exit::Done),
    };
    let audit = Audit::new(AddressPolicy::Network);
    output::line(&json!({"public": instance.public(), "admin": instance.admin()}).to_string());
    let mut look = tokio::time::interval(LOOK);
    let mut reloads = Reloads { instance: &instance, audit, waiting: None };
    let mut looks: u32 = 0;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Dropped and begun again without loss when another arm wins.
            changed = watch.next() => Box::pin(reloads.take(changed)).await,
            _ = look.tick() => {
                anyhow::ensure!(instance.is_whole(), "a thread of the data plane died");
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(LOOKS_TO_TRY_AGAIN) {
                    Box::pin(reloads.try_again()).await;
                }
            }
        }
    }
    tracing::info!("stopping: unready, then drained");
    tokio::select! {
        clean = instance.stop() => Ok(if clean { Exit::Done } else { Exit::Failed }),
        _ = terminate.recv() => Ok(Exit::Failed),
        _ = interrupt.recv() => Ok(Exit::Failed),
    }
}

/// Takes changed configurations into force, and those that have to wait for the store as soon as it is there.
struct Reloads<'a> {
    instance: &'a Instance,
    audit: Audit,
    /// The last valid one, where a part of it is not in force yet.
    waiting: Option<Arc<Config>>,
}

impl Reloads<'_> {
    async fn take(&mut self, changed: Result<Loaded, Problems>) {
        let loaded = match changed {
            Ok(loaded) => loaded,
            // One that waits goes on to wait: had the store been there, it would be in force.
            Err(problems) => {
                for problem in &problems.0 {
                    tracing::error!(config.problem = %problem, "the changed configuration is refused");
                }
                return self.refused(problems.0.len());
            }
        };
        for warning in &loaded.warnings {
            tracing::warn!(config.warning = %warning, "the configuration has a weak point");
        }
        self.waiting = None;
        self.reload(Arc::new(loaded.config)).await;
    }

    async fn try_again(&mut self) {
        if let Some(waiting) = self.waiting.clone() {
            self.reload(waiting).await;
        }
    }

    async fn reload(&mut self, new: Arc<Config>) {
        let waited = self.waiting.take().is_some();
        match self.instance.reload(&new).await {
            Ok(()) => {
                self.audit.config_reloaded();
                self.instance.metrics().config_reloaded();
            }
            Err(NotTaken::NotYet(why)) => {
                self.waiting = Some(new);
                // Said once, not with every try.
                if !waited {
                    tracing::warn!(
                        error = %format!("{why:#}"),
                        "the store cannot be asked: of the changed configuration certificates, admin tokens and the \
                         file's dial are in force, and the rest is tried again until it can"
                    );
                    self.instance.metrics().config_waits();
                }
            }
            Err(NotTaken::Refused(why)) => {
                tracing::error!(
                    error = %format!("the changed configuration is refused: {why:#}"),
                    "the old configuration stays"
                );
                self.refused(1);
            }
        }
    }

    fn refused(&self, problems: usize) {
        self.audit.config_refused(problems);
        self.instance.metrics().config_refused();
    }
}
