//! `crossfade serve`: the proxy.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, output};
use crate::{
    app::Instance,
    config::{self, Environment, Loaded, Problems, Watch},
    telemetry::{AddressPolicy, Audit, logs},
};

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
    let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            // Dropped and begun again without loss when another arm wins.
            changed = watch.next() => Box::pin(reload(&instance, changed, audit)).await,
            _ = look.tick() => anyhow::ensure!(instance.is_whole(), "a thread of the data plane died"),
        }
    }
    tracing::info!("stopping: unready, then drained");
    tokio::select! {
        clean = instance.stop() => Ok(if clean { Exit::Done } else { Exit::Failed }),
        _ = terminate.recv() => Ok(Exit::Failed),
        _ = interrupt.recv() => Ok(Exit::Failed),
    }
}

async fn reload(instance: &Instance, changed: Result<Loaded, Problems>, audit: Audit) {
    let metrics = instance.metrics();
    let loaded = match changed {
        Ok(loaded) => loaded,
        Err(problems) => {
            for problem in &problems.0 {
                tracing::error!(config.problem = %problem, "the changed configuration is refused");
            }
            audit.config_refused(problems.0.len());
            return metrics.config_refused();
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!(config.warning = %warning, "the configuration has a weak point");
    }
    match instance.reload(loaded.config).await.context("the changed configuration is refused") {
        Ok(()) => {
            audit.config_reloaded();
            metrics.config_reloaded();
        }
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "the old configuration stays");
            audit.config_refused(1);
            metrics.config_refused();
        }
    }
}
