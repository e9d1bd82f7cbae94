//! What a look at a dependency found, and how it is mended: the words of `crossfade doctor`.
//!
//! Every room that speaks to a dependency looks at it in its own way and tells what it found through [`Notes`], one
//! finding at a time; whoever asked reads them as they come. A text here never holds a secret or personal data: it is
//! printed. Nothing in this room asks anybody anything.

use std::fmt;

use serde::Serialize;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Ok,
    /// Not tried, or nothing that can be seen from here; no failure.
    Skipped,
    Warn,
    /// The dependency could not be asked at all.
    Unreachable,
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A fixed name: `token`, `redirect_uri`.
    pub(crate) check: &'static str,
    /// The setting that it is about, as problems of the configuration name it: `scalekit.client_secret`.
    pub(crate) place: String,
    pub(crate) level: Level,
    /// What was seen, in a few words.
    pub(crate) seen: String,
    /// What to do about it; there for every level but `Ok` and `Skipped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// Where findings are told. Whoever listens may have gone away; nothing is lost then that anybody wanted.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    sender: UnboundedSender<Finding>,
    /// Goes before every place: `legacy.sources[1]`.
    base: String,
}

impl Notes {
    /// Notes about one part of the configuration, and where they are read.
    pub(crate) fn about(base: impl Into<String>) -> (Self, UnboundedReceiver<Finding>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, base: base.into() }, receiver)
    }

    /// The same notes for another part of the configuration.
    pub(crate) fn at(&self, base: impl Into<String>) -> Self {
        Self { sender: self.sender.clone(), base: base.into() }
    }

    pub(crate) fn ok(&self, check: &'static str, key: &str, seen: impl Into<String>) {
        self.tell(check, key, Level::Ok, &seen.into(), None);
    }

    pub(crate) fn skipped(&self, check: &'static str, key: &str, seen: impl Into<String>) {
        self.tell(check, key, Level::Skipped, &seen.into(), None);
    }

    pub(crate) fn warn(
        &self,
        check: &'static str,
        key: &str,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.tell(check, key, Level::Warn, &seen.into(), Some(&fix.into()));
    }

    pub(crate) fn fail(
        &self,
        check: &'static str,
        key: &str,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.tell(check, key, Level::Fail, &seen.into(), Some(&fix.into()));
    }

    pub(crate) fn unreachable(
        &self,
        check: &'static str,
        key: &str,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.tell(check, key, Level::Unreachable, &seen.into(), Some(&fix.into()));
    }

    fn tell(&self, check: &'static str, key: &str, level: Level, seen: &str, fix: Option<&str>) {
        let place = match (self.base.as_str(), key) {
            ("", key) => key.to_owned(),
            (base, "") => base.to_owned(),
            (base, key) => format!("{base}.{key}"),
        };
        let finding = Finding { check, place, level, seen: one_line(seen), fix: fix.map(one_line) };
        let _ = self.sender.send(finding);
    }
}

/// What somebody else said may try to look like lines of ours, or to paint on a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Unreachable => "unreachable",
            Self::Fail => "fail",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_its_place_and_stays_on_one_line() {
        let (notes, mut told) = Notes::about("legacy.sources[1]");
        notes.fail("token", "okta.api_token", "answered\n\u{1b}[2J", "make\ra new one");
        notes.at("store").ok("salt", "", "fits");
        let finding = told.try_recv().unwrap();
        assert_eq!(finding.place, "legacy.sources[1].okta.api_token");
        assert_eq!(
            (finding.seen.as_str(), finding.fix.as_deref()),
            ("answered  [2J", Some("make a new one"))
        );
        assert_eq!(told.try_recv().unwrap().place, "store");
    }
}
