//! From the file's words to values that are safe to use as they stand, telling every problem together.
//!
//! Each section's function looks at all of its values before it gives up, so that nothing hides behind something
//! else. Looking at files is part of it: a secret that cannot be read is a problem at its path.

mod admin;
mod guessing;
mod legacy;
mod network;
mod pages;
mod rollout;
mod scalekit;
mod services;
mod session;
mod sign_in;
mod source;
mod store;
mod text;
mod tls;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use url::{Host, Url};

use super::{
    Config, Environment, SecretFile,
    load::Sight,
    problem::{At, Problem, Warning},
    raw::{Raw, SecretRef, Span},
};
use crate::identity::Secret;

/// Keys of ours are at least this long (REL-36): shorter ones can be guessed.
const KEY_BYTES: usize = 32;

/// A secret file larger than this is the wrong file.
const LARGEST_SECRET_BYTES: u64 = 64 * 1024;

/// What a validation works with and what it found.
pub(super) struct Check<'a> {
    environment: &'a Environment,
    base: &'a Path,
    /// `public.development`: rules for a developer's own machine apply.
    development: bool,
    /// Whether this build can ask flagd; a field, so that the tests of one build see the other.
    pub(super) flagd_is_built_in: bool,
    /// All names under `legacy.sources`, also of sources that are not in order.
    source_names: Vec<String>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// Files whose content became, or will become, part of the configuration.
    pub(super) files: Vec<PathBuf>,
    /// Those of them that hold a secret, with the settings that name them.
    pub(super) secret_files: Vec<SecretFile>,
    /// Stands for all that was read.
    pub(super) seen: Sight,
}

impl<'a> Check<'a> {
    pub(super) fn new(environment: &'a Environment, base: &'a Path) -> Self {
        Self {
            environment,
            base,
            development: false,
            flagd_is_built_in: cfg!(feature = "openfeature"),
            source_names: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            secret_files: Vec::new(),
            seen: Sight::new(),
        }
    }

    /// Turns the whole file into a configuration; `None` when there were problems.
    pub(super) fn config(&mut self, raw: Raw) -> Option<Config> {
        self.development = raw.public.as_ref().and_then(|public| public.development) == Some(true);
        let public = self.public(raw.public);
        let admin = self.admin(raw.admin, public.as_ref());
        let upstream = self.upstream(raw.upstream);
        let legacy = self.legacy(raw.legacy.unwrap_or_default(), raw.sign_in.as_ref());
        let sign_in = self.sign_in(raw.sign_in.unwrap_or_default(), public.as_ref());
        let guessing = self.guessing(raw.guessing.unwrap_or_default());
        let scalekit = self.scalekit(raw.scalekit);
        let migration = self.migration(raw.migration.unwrap_or_default());
        let rollout = self.rollout(raw.rollout);
        let session = self.session(raw.session, public.as_ref());
        let identity = self.identity(raw.identity.unwrap_or_default());
        let store = self.store(raw.store);
        let telemetry = self.telemetry(raw.telemetry);
        let pages = self.pages(raw.pages.unwrap_or_default());
        if !self.problems.is_empty() {
            return None;
        }
        Some(Config {
            public: public?,
            admin,
            upstream: upstream?,
            sign_in,
            guessing,
            legacy: legacy?,
            scalekit: scalekit?,
            migration,
            rollout: rollout?,
            session: session?,
            identity: identity?,
            store: store?,
            telemetry: telemetry?,
            pages,
        })
    }

    fn problem(&mut self, at: &At, text: impl Into<String>) {
        self.problems.push(Problem::new(at, text));
    }

    fn warn(&mut self, at: &At, text: impl Into<String>) {
        self.warnings.push(Warning(Problem::new(at, text)));
    }

    /// A value that must be there.
    fn required<T>(&mut self, at: &At, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problem(at, "is missing: add it");
        }
        value
    }

    /// A text that must be there and not be blank.
    fn text(&mut self, at: &At, value: Option<String>) -> Option<String> {
        let text = self.required(at, value)?;
        if text.trim().is_empty() {
            self.problem(at, "is empty: give it a value");
            return None;
        }
        Some(text)
    }

    /// A text that may be absent, but not blank.
    fn optional_text(&mut self, at: &At, value: Option<String>) -> Option<String> {
        value.and_then(|text| self.text(at, Some(text)))
    }

    /// A duration above zero: a limit of nothing would refuse everything.
    fn span(&mut self, at: &At, value: Option<Span>, default: Duration) -> Duration {
        if value == Some(Span(Duration::ZERO)) {
            self.problem(at, "must be longer than 0s");
        }
        value.map_or(default, |span| span.0)
    }

    /// A count within bounds.
    fn count(&mut self, at: &At, value: Option<u32>, default: usize, most: usize) -> usize {
        let count = value.map_or(default, |count| usize::try_from(count).unwrap_or(usize::MAX));
        if count == 0 || count > most {
            self.problem(at, format!("must be between 1 and {most}"));
        }
        count
    }

    /// A path relative to the configuration's folder, made whole.
    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// A file that is read later by the room that needs it; here it only has to be there.
    fn file(&mut self, at: &At, text: Option<String>) -> Option<PathBuf> {
        let text = self.text(at, text)?;
        let path = self.path(&text);
        self.files.push(path.clone());
        match fs::metadata(&path) {
            Ok(found) if found.is_file() => {
                // It may be large: length and time stand for its content.
                self.seen.add(format!("{} {:?}", found.len(), found.modified().ok()).as_bytes());
                Some(path)
            }
            Ok(_) => {
                self.problem(at, format!("{} is not a file", path.display()));
                None
            }
            Err(error) => {
                self.problem(at, format!("cannot read {}: {}", path.display(), reason(&error)));
                None
            }
        }
    }

    fn secret(&mut self, at: &At, value: Option<SecretRef>) -> Option<Secret> {
        let found = match self.required(at, value)? {
            SecretRef::Env(name) => match self.environment.get(&name) {
                Some(text) if !text.is_empty() => Ok(text.to_owned()),
                Some(_) => Err(format!("the variable {name} is empty: set it")),
                None => Err(format!("the variable {name} is not set: set it, or use {{file: PATH}}")),
            },
            SecretRef::File(name) => {
                let path = self.path(&name);
                self.files.push(path.clone());
                self.secret_files.push(SecretFile { place: at.to_string(), path: path.clone() });
                read_secret(&path)
            }
        };
        self.seen.add(found.as_ref().unwrap_or_else(|text| text).as_bytes());
        found.map_err(|text| self.problem(at, text)).ok().map(Secret::new)
    }

    /// A key of ours.
    fn key(&mut self, at: &At, value: Option<SecretRef>) -> Option<Secret> {
        let key = self.secret(at, value)?;
        if key.expose().len() < KEY_BYTES {
            self.problem(
                at,
                format!("is shorter than {KEY_BYTES} bytes: make one with `openssl rand -base64 48`"),
            );
            return None;
        }
        Some(key)
    }

    /// An address of scheme, host and port, and nothing else.
    fn origin(&mut self, at: &At, value: Option<String>) -> Option<Url> {
        let text = self.text(at, value)?;
        let Ok(url) = Url::parse(&text) else {
            self.problem(at, "must be an address such as https://app.example.com");
            return None;
        };
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            self.problem(at, "must begin with https:// (or http://) and name a host");
            return None;
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            self.problem(at, "must be scheme, host and port only: remove path, query and user name");
            return None;
        }
        Some(url)
    }

    /// An origin that gets a secret and may well be a neighbour: https, except on this machine.
    fn https_or_own_machine(&mut self, at: &At, value: String) -> Option<Url> {
        let url = self.origin(at, Some(value))?;
        if url.scheme() == "https" || is_loopback(&url) {
            return Some(url);
        }
        self.problem(at, "must be https: a token travels there");
        None
    }

    /// An origin of somebody else that gets secrets: https, except on a developer's own machine.
    fn https_origin(&mut self, at: &At, value: Option<String>) -> Option<Url> {
        let url = self.origin(at, value)?;
        if url.scheme() == "https" || (self.development && is_loopback(&url)) {
            return Some(url);
        }
        let but = if is_loopback(&url) { " (or set public.development on your own machine)" } else { "" };
        self.problem(at, format!("must be https: secrets travel there{but}"));
        None
    }
}

/// Whether an address names this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The content of a secret file without its last line break.
fn read_secret(path: &Path) -> Result<String, String> {
    let refuse = |text: &str| Err(format!("{} {text}", path.display()));
    let size = match fs::metadata(path) {
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return refuse("is not a file"),
        Err(error) => return Err(format!("cannot read {}: {}", path.display(), reason(&error))),
    };
    if size > LARGEST_SECRET_BYTES {
        return refuse("is larger than 64 KiB: this is no secret");
    }
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {}", path.display(), reason(&error)))?;
    let Ok(mut text) = String::from_utf8(bytes) else {
        return refuse("is not UTF-8 text: encode the secret, for example with base64");
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() { refuse("is empty: write the secret into it") } else { Ok(text) }
}

/// An I/O error in words that do not change from system to system.
pub(super) fn reason(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file",
        std::io::ErrorKind::PermissionDenied => "permission denied",
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text",
        _ => "the system refuses",
    }
}
