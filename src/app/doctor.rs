//! `crossfade doctor`: every dependency tried for real, side by side, and nothing changed anywhere: what is written to
//! a Redis, to see whether it may be, is gone with the same script.
//!
//! The rooms that speak to a dependency look at it themselves and tell their findings; this file only knows which
//! there are, and the files on this machine. A [`Group`] is one dependency with its findings as they come.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver};

use super::{copy, pledge};
use crate::{
    clock::{Deadline, SharedClock, SystemClock},
    config::{self, Config, HandOff, Loaded, SecretFile},
    findings::{Finding, Notes},
    legacy,
    net::{Dependencies, Tracker},
    proxy,
    scalekit::{Expected, Scalekit},
    store::{self, Glance, Meta as _, Redis, Unreached},
};

/// What a dependency may take beyond its own time before it is given up; its own limits end it earlier.
const GRACE: Duration = Duration::from_millis(500);

/// Who may read a secret beside its owner and group: anybody on the machine.
const OTHERS: u32 = 0o007;

/// One dependency, and its findings as they come; no more come when it is done.
pub(crate) struct Group {
    /// `scalekit`, or `legacy.` and a source's name.
    pub(crate) name: String,
    pub(crate) findings: UnboundedReceiver<Finding>,
}

/// Asked for a group that there is not.
#[derive(Debug, thiserror::Error)]
#[error("there is no {asked:?} here; there are {}", .known.join(", "))]
pub(crate) struct UnknownGroup {
    asked: String,
    known: Vec<String>,
}

/// A check of one group, still to be begun.
struct Case {
    name: String,
    notes: Notes,
    findings: UnboundedReceiver<Finding>,
    subject: Subject,
}

#[derive(Clone, Copy)]
enum Subject {
    Configuration,
    Public,
    Store,
    Upstream,
    Scalekit,
    /// The source with this number in the chain.
    Source(usize),
}

/// Begins to look at everything, or at the groups of `only`: a group's name, a source's name, or `legacy` for all
/// sources. Needs the shared runtime. Every group ends within `budget`.
pub(crate) fn examine(
    loaded: Loaded,
    secret_files: Vec<SecretFile>,
    only: &[String],
    budget: Duration,
) -> Result<Vec<Group>, UnknownGroup> {
    let cases = wanted(cases(&loaded.config), only)?;
    let tracker = Tracker::new(Handle::current());
    let patient = Arc::new(Patient { loaded, secret_files, clock: SystemClock::shared() });
    let deadline = Deadline::within(budget);
    let groups = cases.into_iter().map(|Case { name, notes, findings, subject }| {
        let patient = Arc::clone(&patient);
        drop(tracker.spawn(async move {
            let late = notes.clone();
            // Each is a long chain of calls: kept off the stack of the task.
            let looking = Box::pin(patient.look_at(subject, notes, deadline));
            if tokio::time::timeout(deadline.remaining() + GRACE, looking).await.is_err() {
                let seen = format!("not finished after {} s", budget.as_secs());
                late.unreachable(
                    "time",
                    "",
                    seen,
                    "give more --timeout, or see which of its answers is slow",
                );
            }
        }));
        Group { name, findings }
    });
    Ok(groups.collect())
}

fn cases(config: &Config) -> Vec<Case> {
    let case = |name: String, base: String, subject| {
        let (notes, findings) = Notes::about(base);
        Case { name, notes, findings, subject }
    };
    let fixed = [
        ("configuration", "", Subject::Configuration),
        ("store", "store", Subject::Store),
        ("upstream", "", Subject::Upstream),
        ("scalekit", "scalekit", Subject::Scalekit),
    ];
    let fixed = fixed.map(|(name, base, subject)| case(name.to_owned(), base.to_owned(), subject));
    let sources = config.legacy.sources.iter().enumerate().map(|(n, source)| {
        case(format!("legacy.{}", source.name), format!("legacy.sources[{n}]"), Subject::Source(n))
    });
    let public = case("public".to_owned(), "public".to_owned(), Subject::Public);
    fixed.into_iter().chain(sources).chain([public]).collect()
}

fn wanted(mut cases: Vec<Case>, only: &[String]) -> Result<Vec<Case>, UnknownGroup> {
    if only.is_empty() {
        return Ok(cases);
    }
    let is_called = |case: &Case, name: &String| {
        case.name == *name
            || case.name.strip_prefix("legacy.").is_some_and(|own| own == name || name == "legacy")
    };
    if let Some(asked) = only.iter().find(|name| !cases.iter().any(|case| is_called(case, name))) {
        let known = cases.into_iter().map(|case| case.name).collect();
        return Err(UnknownGroup { asked: asked.clone(), known });
    }
    cases.retain(|case| only.iter().any(|name| is_called(case, name)));
    Ok(cases)
}

/// What is looked at.
struct Patient {
    loaded: Loaded,
    secret_files: Vec<SecretFile>,
    clock: SharedClock,
}

impl Patient {
    async fn look_at(&self, subject: Subject, notes: Notes, deadline: Deadline) {
        let (config, clock) = (&self.loaded.config, self.clock.as_ref());
        match subject {
            Subject::Configuration => self.configuration(&notes),
            Subject::Public => proxy::probe_public(config, &notes, clock, deadline).await,
            Subject::Store => self.store(&notes).await,
            Subject::Upstream => proxy::probe_upstream(config, &notes, clock, deadline).await,
            Subject::Scalekit => Box::pin(self.scalekit(&notes, deadline)).await,
            Subject::Source(n) => {
                if let Some(source) = config.legacy.sources.get(n) {
                    legacy::probe(&config.legacy, source, &notes, clock, deadline).await;
                }
            }
        }
    }

    fn configuration(&self, notes: &Notes) {
        notes.ok("loads", "", "the configuration can be used");
        for warning in &self.loaded.warnings {
            let problem = &warning.0;
            let seen = format!("{} {}", problem.path, problem.text);
            notes.warn("warning", &problem.path, seen, "change it, or keep it if that is meant");
        }
        for file in &self.secret_files {
            tell_permissions(&file.place, &file.path, notes);
        }
    }

    async fn store(&self, notes: &Notes) {
        const KEY: &str = "embedded.path";
        let path = match &self.loaded.config.store {
            config::Store::Embedded { path } => path,
            config::Store::Redis(settings) => return self.redis(settings, notes).await,
        };
        let looked = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || store::glance(&path, pledge::META)).await
        };
        match looked {
            Ok(Ok(Glance::Absent)) => tell_folder(path, notes),
            Ok(Ok(Glance::InUse)) => {
                notes.ok("store", KEY, "in use by a running Crossfade");
                notes.skipped(
                    "salt",
                    KEY,
                    "could not be seen while it runs; it was compared when that started",
                );
            }
            Ok(Ok(Glance::Unclean)) => {
                notes.ok(
                    "store",
                    KEY,
                    "the last process did not end in order; the next start repairs the file",
                );
                notes.skipped("salt", KEY, "could not be seen before the file is repaired");
            }
            Ok(Ok(Glance::Closed { rows, meta })) => {
                notes.ok("store", KEY, format!("it opens; {rows} people in the ledger"));
                self.tell_pledge(meta.as_deref().filter(|_| rows > 0), KEY, notes);
            }
            Ok(Err(error)) => notes.fail("store", KEY, error.to_string(), STORE_FIX),
            Err(_) => notes.fail("store", KEY, "reading it broke off", STORE_FIX),
        }
    }

    async fn redis(&self, settings: &config::RedisStore, notes: &Notes) {
        let key = settings.key();
        let looked = async {
            let redis = Redis::new(settings, "doctor")?;
            redis.connect(settings.connect_timeout).await?;
            let unfinished = copy::unfinished(&redis).await?;
            anyhow::Ok((redis.people().await?, redis.meta(pledge::META).await?, unfinished))
        };
        match looked.await {
            Ok((_, _, Some(from))) => {
                let seen = format!("a copy of {from} into it is not finished");
                notes.fail("store", key, seen, copy::fix(&from));
            }
            Ok((rows, meta, None)) => {
                notes.ok("store", key, format!("it answers; {rows} people in the ledger"));
                self.tell_pledge(meta.as_deref(), key, notes);
            }
            Err(error) => {
                let fix = error.downcast_ref::<Unreached>().map(|unreached| unreached.fix.clone());
                notes.fail(
                    "store",
                    key,
                    format!("{} cannot be used: {error:#}", settings.urls().join(", ")),
                    fix.unwrap_or_else(|| "see what Redis says in its log, and ca_file".into()),
                );
            }
        }
    }

    /// `kept` is what binds this configuration; `place` is the setting that says where the store is.
    fn tell_pledge(&self, kept: Option<&[u8]>, place: &str, notes: &Notes) {
        const CHECK: &str = "salt";
        let notes = notes.at("");
        let Some(kept) = kept else {
            return notes.ok(CHECK, "rollout.salt", "nobody has moved yet, so it may still change");
        };
        match pledge::breach(kept, &self.loaded.config) {
            Ok(None) => notes.ok(CHECK, "rollout.salt", "the one that the ledger's people were counted with"),
            Ok(Some(breach)) => notes.fail(CHECK, &breach.place, breach.seen, breach.fix),
            Err(_) => notes.fail(
                CHECK,
                &format!("store.{place}"),
                "what the store says of its salt cannot be read",
                "restore the file from a backup, or start with an empty store",
            ),
        }
    }

    async fn scalekit(&self, notes: &Notes, deadline: Deadline) {
        let config = &self.loaded.config;
        let redirect = config.public.url.join(&format!("{}callback", config.public.prefix));
        let after = config.public.url.join(&config.session.after_sign_out);
        let (Ok(redirect), Ok(after)) = (redirect, after) else {
            return notes.at("").fail(
                "settings",
                "public",
                "our own addresses cannot be made",
                "correct public.url",
            );
        };
        let dependencies = Dependencies::unwatched(self.clock.clone());
        match Scalekit::new(&config.scalekit, &redirect, self.clock.clone(), &dependencies) {
            Ok(scalekit) => {
                let roles = roles(config);
                let domains = domains(config);
                let expected = Expected { roles: &roles, after_sign_out: &after, domains: &domains };
                scalekit.probe(&expected, notes, deadline).await;
            }
            Err(error) => {
                notes.fail(
                    "settings",
                    "environment_url",
                    error.to_string(),
                    "give the environment's plain address",
                );
            }
        }
    }
}

const STORE_FIX: &str = "check the path and that Crossfade's account may write there; a file that is no store of \
                         Crossfade's has to go elsewhere";

/// Nothing is there yet: can it be made?
fn tell_folder(path: &Path, notes: &Notes) {
    const KEY: &str = "embedded.path";
    let mut folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The first start makes missing folders, too.
    while let Some(missing) = folder.filter(|folder| !folder.exists()) {
        folder = missing.parent();
    }
    let found = match folder.map(fs::metadata) {
        Some(Ok(found)) if found.is_dir() => found,
        Some(Err(error)) => return notes.fail("store", KEY, format!("its folder: {error}"), STORE_FIX),
        _ => return notes.fail("store", KEY, "what should be its folder is none", STORE_FIX),
    };
    // Whose process this is; where that cannot be seen, nothing is claimed.
    let account = fs::metadata("/proc/self").map(|process| process.uid()).ok();
    match account.and_then(|account| may_write(account, found.uid(), found.permissions().mode())) {
        Some(true) => notes.ok("store", KEY, "not there yet; the first start makes it"),
        Some(false) => {
            return notes.fail("store", KEY, "this account may not write to its folder", STORE_FIX);
        }
        None => {
            notes.ok("store", KEY, "not there yet; the first start makes it, if its group may write there");
        }
    }
    notes.ok("salt", KEY, "nobody has moved yet");
}

/// Whether an account may write to what somebody owns; `None` where it depends on its groups.
fn may_write(account: u32, owner: u32, mode: u32) -> Option<bool> {
    const ROOT: u32 = 0;
    match (account, mode) {
        (ROOT, _) => Some(true),
        _ if account == owner => Some(mode & 0o200 != 0),
        (_, mode) if mode & 0o002 != 0 => Some(true),
        (_, mode) if mode & 0o020 != 0 => None,
        _ => Some(false),
    }
}

/// Every role that a create may name, with the setting that names it.
fn roles(config: &Config) -> Vec<(String, String)> {
    let default = config.scalekit.default_roles.iter().enumerate();
    let default = default.map(|(n, role)| (format!("scalekit.default_roles[{n}]"), role.clone()));
    let mapped = config.legacy.sources.iter().enumerate().flat_map(|(n, source)| {
        let of_group = move |(group, role): (&String, &String)| {
            (format!("legacy.sources[{n}].roles.{group}"), role.clone())
        };
        source.roles.0.iter().map(of_group)
    });
    default.chain(mapped).collect()
}

/// Domains whose people the sources name, where people are handed over to the hosted sign-in.
fn domains(config: &Config) -> Vec<(String, String)> {
    if config.scalekit.hand_offs.default != HandOff::Hosted {
        return Vec::new();
    }
    let sources = config.legacy.sources.iter().enumerate();
    let domains = sources.flat_map(|(n, source)| {
        let place = move |(m, domain): (usize, &String)| {
            (format!("legacy.sources[{n}].domains[{m}]"), domain.clone())
        };
        source.domains.iter().enumerate().map(place)
    });
    domains.collect()
}

fn tell_permissions(place: &str, path: &Path, notes: &Notes) {
    const CHECK: &str = "secret_file";
    match mode(path) {
        Ok(mode) if mode & OTHERS != 0 => notes.warn(
            CHECK,
            place,
            format!(
                "{} can be read by everybody on this machine (mode {:03o})",
                path.display(),
                mode & 0o777
            ),
            format!("chmod 640 {}, owned by Crossfade's account or group", path.display()),
        ),
        Ok(_) => notes.ok(CHECK, place, format!("{} is not readable by everybody", path.display())),
        Err(error) => {
            notes.fail(CHECK, place, error.to_string(), "make the file readable for Crossfade's account");
        }
    }
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_writable_as_its_mode_says() {
        for (account, owner, mode, expected) in [
            (0, 7, 0o500, Some(true)),
            (7, 7, 0o700, Some(true)),
            (7, 7, 0o577, Some(false)),
            (7, 0, 0o755, Some(false)),
            (7, 0, 0o775, None),
            (7, 0, 0o1777, Some(true)),
        ] {
            assert_eq!(may_write(account, owner, mode), expected, "{account} {owner} {mode:o}");
        }
    }

    #[test]
    fn a_group_is_asked_for_by_its_own_or_its_sources_name() {
        let named = |names: &[&str]| {
            let case = |name: &str| {
                let (notes, findings) = Notes::about("");
                Case { name: name.to_owned(), notes, findings, subject: Subject::Store }
            };
            let cases = ["store", "legacy.okta", "legacy.crm", "public"].map(case).into_iter().collect();
            let only: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            wanted(cases, &only).map(|cases| cases.into_iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(named(&[]).unwrap().len(), 4);
        assert_eq!(named(&["crm", "store"]).unwrap(), ["store", "legacy.crm"]);
        assert_eq!(named(&["legacy"]).unwrap(), ["legacy.okta", "legacy.crm"]);
        let unknown = named(&["stoer"]).unwrap_err().to_string();
        assert_eq!(unknown, "there is no \"stoer\" here; there are store, legacy.okta, legacy.crm, public");
    }
}
