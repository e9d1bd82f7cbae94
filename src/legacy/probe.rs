//! A look at every legacy source for `crossfade doctor`, by look-ups alone: never with a guess, because a wrong
//! password counts against a real person and may lock them out.
//!
//! Each kind of source implements [`Probe`] in a file of its own.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    endpoint::Endpoint,
    hash_file::HashFileProbe,
    okta::Okta,
    passwords::{Hashing, Passwords},
    sql::Sql,
    stormpath::Stormpath,
};
use crate::{
    clock::{Clock, Deadline, SystemClock},
    config::{HashCeilings, Legacy, Source, SourceKind},
    findings::Notes,
    hash::{HashError, HashFormat, Judgement, PoolError, StoredHash},
    identity::Password,
    login::{ErrorClass, LegacyError},
    net::Dependencies,
    telemetry::with_causes,
};

/// A source that can be looked at.
#[async_trait]
pub(super) trait Probe: Send + Sync {
    /// Tells what there is of everything that a sign-in will need. Places are relative to the source's own; changes
    /// nothing, tries no password, names nobody.
    async fn probe(&self, notes: &Notes, clock: &dyn Clock, deadline: Deadline);
}

/// Looks at the source with this number in the chain.
pub(crate) async fn probe(
    legacy: &Legacy,
    source: &Source,
    notes: &Notes,
    clock: &dyn Clock,
    deadline: Deadline,
) {
    // Of its own: what somebody looks at from outside has no history.
    let dependencies = Dependencies::unwatched(SystemClock::shared());
    match of(source, &legacy.hash_ceilings, &dependencies) {
        Ok(probe) => probe.probe(notes, clock, deadline).await,
        Err(problem) => {
            let (key, problem) = problem.split_once(": ").unwrap_or(("", &problem));
            let kind = kind_of(source);
            let key = if key.is_empty() { kind.to_owned() } else { format!("{kind}.{key}") };
            notes.fail("settings", &key, problem, "set it as the example for this kind of source shows");
        }
    }
}

fn kind_of(source: &Source) -> &'static str {
    match source.kind {
        SourceKind::Okta(_) => "okta",
        SourceKind::Stormpath(_) => "stormpath",
        SourceKind::Http(_) => "http",
        SourceKind::Sql(_) => "sql",
        SourceKind::HashFile(_) => "hash_file",
        SourceKind::Upstream => "upstream",
    }
}

fn of(
    source: &Source,
    ceilings: &HashCeilings,
    dependencies: &Dependencies,
) -> Result<Box<dyn Probe>, String> {
    let passwords = |columns, hash_format| {
        let nobody: Arc<dyn Hashing> = Arc::new(NoHashing);
        super::passwords(source, columns, hash_format, &nobody)
    };
    Ok(match &source.kind {
        SourceKind::Okta(settings) => Box::new(Okta::new(source, settings, dependencies)?),
        SourceKind::Stormpath(settings) => Box::new(Stormpath::new(source, settings, dependencies)?),
        SourceKind::Http(settings) => Box::new(Endpoint::new(source, settings, dependencies)?),
        SourceKind::Sql(settings) => {
            let passwords = passwords(&settings.columns, &settings.hash_format)?;
            Box::new(Sql::new(source, settings, passwords, dependencies)?)
        }
        SourceKind::HashFile(settings) => {
            let Passwords { reader, format, .. } = passwords(&settings.columns, &settings.hash_format)?;
            let (settings, ceilings) = (settings.clone(), ceilings.clone());
            Box::new(HashFileProbe { settings, reader, format, ceilings })
        }
        SourceKind::Upstream => Box::new(OfTheApplication),
    })
}

/// An application without any API: room `proxy` looks at it.
struct OfTheApplication;

#[async_trait]
impl Probe for OfTheApplication {
    async fn probe(&self, notes: &Notes, _clock: &dyn Clock, _deadline: Deadline) {
        notes.skipped("source", "upstream", "the application itself judges; see upstream");
    }
}

/// No guess, no hash.
struct NoHashing;

#[async_trait]
impl Hashing for NoHashing {
    async fn judge(
        &self,
        _format: &HashFormat,
        _stored: Option<StoredHash>,
        _password: Arc<Password>,
        _deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        Err(PoolError::Stopped)
    }
}

/// A failed call as a finding: what could not be asked is no fault of the setting.
pub(super) fn tell(error: &LegacyError, check: &'static str, key: &str, fix: &str, notes: &Notes) {
    let seen = match &error.cause {
        Some(cause) => format!("{}: {}", error.problem, with_causes(cause.as_ref())),
        None => error.problem.clone(),
    };
    match error.class {
        ErrorClass::Transient { .. } => {
            let fix = "check that it runs, and the network between this machine and it; then try again";
            notes.unreachable(check, key, seen, fix);
        }
        ErrorClass::Permanent | ErrorClass::Misconfigured => notes.fail(check, key, seen, fix),
    }
}
