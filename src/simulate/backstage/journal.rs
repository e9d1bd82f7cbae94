//! The journal: which requests came, without any secret that came with them.

use std::collections::{BTreeMap, VecDeque};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Uri},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Fault, Wire};
use crate::clock::Timestamp;

/// Older entries are forgotten, so that a long load test does not fill the memory.
const MOST_ENTRIES: usize = 10_000;

/// Counted logins are bounded for the same reason; further ones share one line.
const MOST_LOGINS: usize = 10_000;

/// Header fields whose values stay out of the journal.
const SECRET_FIELDS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-crossfade-assertion"];

/// One request as the journal remembers it.
#[derive(Clone, Debug, Serialize)]
pub(in crate::simulate) struct Entry {
    number: u64,
    at: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    peer: Option<String>,
    fault: Option<Fault>,
    /// The answer's status; null while the request is still open.
    pub(in crate::simulate) status: Option<u16>,
    /// The login that was typed.
    pub(in crate::simulate) login: Option<String>,
    /// Present when a password came with the request.
    pub(in crate::simulate) password: Option<PasswordSeen>,
    /// Where the stand-in believes the person sits, after its own rules about forwarding headers.
    pub(in crate::simulate) client_ip: Option<String>,
    /// Whatever else the stand-in wants to show.
    pub(in crate::simulate) remarks: BTreeMap<&'static str, Value>,
}

/// A password was there, and this is how long it was.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::simulate) struct PasswordSeen {
    pub(in crate::simulate) length_bytes: usize,
}

impl Entry {
    pub(super) fn of(request: &Request, wire: Option<&Wire>, fault: Option<&Fault>, now: Timestamp) -> Self {
        Self {
            number: 0,
            at: now.to_string(),
            method: request.method().to_string(),
            target: without_secrets(request.uri()),
            headers: fields(request.headers()),
            peer: wire.map(|wire| wire.peer().to_string()),
            fault: fault.cloned(),
            status: None,
            login: None,
            password: None,
            client_ip: None,
            remarks: BTreeMap::new(),
        }
    }
}

/// What came, oldest first, and what was counted.
#[derive(Default)]
pub(in crate::simulate) struct Journal {
    next: u64,
    entries: VecDeque<Entry>,
    checks: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
    tallies: BTreeMap<&'static str, u64>,
}

impl Journal {
    pub(super) fn push(&mut self, mut entry: Entry) -> u64 {
        if self.entries.len() >= MOST_ENTRIES {
            self.entries.pop_front();
        }
        entry.number = self.next;
        self.next += 1;
        let path = entry.target.split('?').next().unwrap_or_default();
        bounded_count(&mut self.requests, format!("{} {path}", entry.method));
        self.entries.push_back(entry);
        self.next - 1
    }

    pub(super) fn with(&mut self, number: u64, write: impl FnOnce(&mut Entry)) {
        // Numbers rise along the queue, and most notes concern the newest entries.
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.number == number) {
            write(entry);
        }
    }

    pub(super) fn count_check(&mut self, login: &str) {
        bounded_count(&mut self.checks, login.to_lowercase());
    }

    pub(super) fn tally(&mut self, name: &'static str, more: u64) {
        *self.tallies.entry(name).or_default() += more;
    }

    pub(super) fn entries(&self) -> Value {
        json!({ "requests": self.entries, "forgotten": self.entries.front().map_or(0, |entry| entry.number) })
    }

    pub(super) fn counts(&self) -> Value {
        let mut counts = json!({ "password_checks": self.checks, "requests": self.requests });
        for (name, number) in &self.tallies {
            counts[*name] = Value::from(*number);
        }
        counts
    }

    /// Forgets what came. Numbers go on rising, so that a note of an open request cannot meet a new entry.
    pub(super) fn clear(&mut self) {
        let tallies = self.tallies.keys().map(|name| (*name, 0)).collect();
        *self = Self { next: self.next, tallies, ..Self::default() };
    }
}

fn bounded_count(counts: &mut BTreeMap<String, u64>, key: String) {
    let key = if counts.len() < MOST_LOGINS || counts.contains_key(&key) { key } else { "(more)".to_owned() };
    *counts.entry(key).or_default() += 1;
}

/// Names and values in the order of the message; repeated names stand together.
fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |name: &HeaderName, value: &[u8]| match name.as_str() {
        "cookie" => cookie_names(&String::from_utf8_lossy(value)),
        secret if SECRET_FIELDS.contains(&secret) => scheme_only(&String::from_utf8_lossy(value)),
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    headers.iter().map(|(name, value)| (name.to_string(), shown(name, value.as_bytes()))).collect()
}

fn scheme_only(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme, rest)) => format!("{scheme} ({} characters)", rest.chars().count()),
        None => format!("({} characters)", value.chars().count()),
    }
}

fn cookie_names(value: &str) -> String {
    let hidden = |pair: &str| {
        let (name, value) = pair.trim().split_once('=').unwrap_or(("", pair));
        format!("{name}=({} characters)", value.chars().count())
    };
    value.split(';').map(hidden).collect::<Vec<_>>().join("; ")
}

/// The target with the values of telling query fields replaced.
fn without_secrets(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.to_string() };
    let telling = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["pass", "token", "secret", "code"].iter().any(|word| name.contains(word))
    };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if telling(name) => format!("{name}=({}_characters)", value.len()),
        _ => pair.to_owned(),
    };
    let query = query.split('&').map(hidden).collect::<Vec<_>>().join("&");
    format!("{}?{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn the_journal_holds_no_secret() {
        let request = Request::builder()
            .uri("/x?next=/a&password=hunter2")
            .header("authorization", "SSWS 00verysecret")
            .header("cookie", "app_session=abcdefgh; b=hunter2")
            .body(Body::empty())
            .unwrap();
        let mut journal = Journal::default();
        journal.push(Entry::of(&request, None, None, Timestamp::from_millis(0)));
        let text = journal.entries().to_string();
        assert!(!text.contains("hunter2") && !text.contains("verysecret") && !text.contains("abcdefgh"));
        assert!(text.contains("SSWS (12 characters)") && text.contains("app_session=(8 characters)"));
    }

    #[test]
    fn the_journal_forgets_its_oldest_entries() {
        let request = Request::new(Body::empty());
        let mut journal = Journal::default();
        for _ in 0..=MOST_ENTRIES {
            journal.push(Entry::of(&request, None, None, Timestamp::from_millis(0)));
        }
        assert_eq!(journal.entries.len(), MOST_ENTRIES);
        assert_eq!(journal.entries()["forgotten"], 1);
    }
}
