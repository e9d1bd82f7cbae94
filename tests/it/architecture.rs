//! Holds `src/` to its map: which room may name which, and which rooms stay free of I/O.
//!
//! The table is the one of `src/ARCHITECTURE.md`; change both together. Start reading at [`broken_rules`].

mod source;

use std::{
    fs,
    path::{Path as FilePath, PathBuf},
};

use source::{Path, Source};

/// A room names only rooms of a lower rank.
const RANKS: [(&str, u8); 24] = [
    ("clock", 0),
    ("identity", 0),
    ("findings", 1),
    ("rollout", 1),
    ("config", 2),
    ("login", 3),
    ("telemetry", 3),
    ("net", 4),
    ("hash", 4),
    ("session", 4),
    ("bulk", 4),
    ("legacy", 5),
    ("scalekit", 5),
    ("store", 5),
    ("pages", 5),
    ("proxy", 6),
    ("bridge", 6),
    ("jobs", 6),
    ("admin", 7),
    ("app", 8),
    ("simulate", 8),
    ("cli", 9),
    ("lib", 10),
    ("main", 10),
];

/// Where a lower rank is not enough: the rooms on the left name only the listed ones of that rank.
const EXCEPTIONS: [(&str, u8, &[&str], &str); 4] = [
    ("proxy", 5, &["pages"], "proxy speaks to the edges through ports"),
    ("bridge", 5, &["pages"], "bridge speaks to the edges through ports"),
    ("jobs", 5, &["pages"], "jobs speak to the edges through ports"),
    // A misreading of a foreign API must not be made twice in the same way.
    ("simulate", 5, &[], "a stand-in shares nothing with the clients that it judges"),
];

/// Edges between rooms of one rank, each with its reason.
const SIDEWAYS: [(&str, &str, &str); 1] =
    [("identity", "clock", "a proof is worth what its time says: the words may hold a Timestamp")];

/// Rooms that take facts and give facts.
const PURE: [&str; 3] = ["identity", "rollout", "login"];

/// What the pure rooms never name; a path that begins so is I/O, a clock or a task.
const IMPURE: [&str; 18] = [
    "axum",
    "hyper",
    "hyper_util",
    "reqwest",
    "redb",
    "redis",
    "sqlx",
    "prometheus_client",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::spawn",
    "tokio::task",
];

/// Addresses are words, not I/O.
const ADDRESSES: [&str; 4] =
    ["std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr", "std::net::SocketAddr"];

/// Names that say nothing about what is inside.
const NAMELESS: [&str; 7] = ["common", "helper", "helpers", "misc", "types", "util", "utils"];

#[test]
fn every_room_keeps_to_its_rank() {
    let root = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 20, "found only {} source files under {}", files.len(), root.display());
    let broken = broken_rules(&files);
    assert!(
        broken.is_empty(),
        "{} rules of the architecture are broken:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

/// A source file: its path below `src/`, with `/`, and its text.
type File = (String, String);

/// Every broken rule as one line: where, which edge, which rule.
fn broken_rules(files: &[File]) -> Vec<String> {
    let read: Vec<(&str, Source)> = files
        .iter()
        .filter(|(name, _)| FilePath::new(name).extension().is_some_and(|end| end == "rs"))
        .map(|(name, text)| (name.as_str(), source::read(text)))
        .collect();
    let test_only: Vec<String> = read
        .iter()
        .flat_map(|(name, source)| {
            let folder = name.trim_end_matches(".rs");
            source.test_modules.iter().map(move |module| format!("{folder}/{module}"))
        })
        .collect();
    let is_test = |name: &str| {
        test_only
            .iter()
            .any(|module| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")))
    };
    let mut broken: Vec<String> = files.iter().flat_map(|(name, _)| bad_names(name)).collect();
    for (name, source) in read.iter().filter(|(name, _)| !is_test(name)) {
        let room = room_of(name);
        if rank(room).is_none() {
            broken.push(format!("src/{name}: {room} is not a room of the table"));
            continue;
        }
        for path in &source.paths {
            broken.extend(bad_edge(name, room, path));
            broken.extend(impurity(name, room, path));
        }
    }
    // A group names the same room several times.
    broken.dedup();
    broken
}

/// `login/journey/migrate.rs` and `login.rs` belong to `login`.
fn room_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name).trim_end_matches(".rs")
}

fn rank(room: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

fn bad_edge(name: &str, room: &str, path: &Path) -> Option<String> {
    let target = target_room(name, path)?;
    if target == room {
        return None;
    }
    let mine = rank(room)?;
    let edge = format!("src/{name}:{}: {room} (rank {mine}) names {target}", path.line);
    let Some(theirs) = rank(target) else {
        // The crate's root has no types or functions of its own: its modules are the rooms.
        return Some(format!("{edge}, which is not a room of the table"));
    };
    if SIDEWAYS.iter().any(|(from, to, _)| (*from, *to) == (room, target)) {
        return None;
    }
    if theirs >= mine {
        return Some(format!("{edge} (rank {theirs}): a room names only rooms of a lower rank"));
    }
    let (_, _, _, why) = EXCEPTIONS
        .iter()
        .find(|(who, of, only, _)| *who == room && *of == theirs && !only.contains(&target))?;
    Some(format!("{edge} (rank {theirs}): {why}"))
}

/// The room that a path leads to, when it leads through the crate's root.
fn target_room<'a>(name: &str, path: &'a Path) -> Option<&'a str> {
    let depth = if name == "lib.rs" || name == "main.rs" { 0 } else { name.matches('/').count() + 1 };
    let ups = path.segments.iter().take_while(|segment| *segment == "super").count();
    let after = match path.segments.first()?.as_str() {
        "crate" => 1,
        // A `super` for each module down from the root.
        "super" if ups == depth => ups,
        _ => return None,
    };
    path.segments.get(after).map(String::as_str).filter(|segment| *segment != "self")
}

fn impurity(name: &str, room: &str, path: &Path) -> Option<String> {
    if !PURE.contains(&room) {
        return None;
    }
    let full = path.segments.join("::");
    let begins = |with: &&str| full == **with || full.starts_with(&format!("{with}::"));
    let named = if path.segments.iter().any(|segment| segment == "SystemTime") {
        "SystemTime"
    } else {
        IMPURE.iter().find(|word| begins(word))?
    };
    if ADDRESSES.iter().any(begins) {
        return None;
    }
    Some(format!("src/{name}:{}: {room} names {full}: {named} is not for a room that does no I/O", path.line))
}

fn bad_names(name: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if FilePath::new(name).file_name().is_some_and(|file| file == "mod.rs") {
        broken.push(format!("src/{name}: a room is foo.rs beside foo/, never mod.rs"));
    }
    for part in name.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if NAMELESS.contains(&stem) {
            broken.push(format!(
                "src/{name}: {stem:?} says nothing about what is inside; give the concept a name"
            ));
        }
    }
    broken
}

fn collect(root: &FilePath, folder: &FilePath, into: &mut Vec<File>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, into);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The rules' own test: one made-up file, and what must be said of it.
fn told_of(name: &str, text: &str) -> Vec<String> {
    broken_rules(&[(name.to_owned(), text.to_owned())])
}

#[test]
fn an_edge_upwards_is_told_with_file_line_and_rule() {
    let told = told_of("login/decide.rs", "//! Doc.\n\nuse crate::{clock::Timestamp, hash::Pool};\n");
    assert_eq!(
        told,
        [
            "src/login/decide.rs:3: login (rank 3) names hash (rank 4): a room names only rooms of a lower rank"
        ]
    );
}

#[test]
fn an_edge_is_found_however_it_is_written() {
    for text in [
        "use crate::telemetry;",
        "fn x() { crate::telemetry::count() }",
        "use super::super::telemetry::Metrics;",
        "use crate::{config, telemetry::{self, Metrics}};",
        "impl crate::telemetry::Count for X {}",
    ] {
        assert_eq!(told_of("login/decide.rs", text).len(), 1, "{text}");
    }
    assert!(told_of("login/decide.rs", "use super::outcome::Outcome; use crate::login::Row;").is_empty());
}

#[test]
fn the_written_exceptions_hold() {
    assert!(told_of("proxy/answer.rs", "use crate::{pages::respond, net::Tracker};").is_empty());
    assert_eq!(told_of("proxy/answer.rs", "use crate::store::Redis;").len(), 1);
    assert_eq!(told_of("jobs.rs", "use crate::scalekit::Client;").len(), 1);
    assert_eq!(told_of("simulate/okta.rs", "use crate::legacy::okta::Answer;").len(), 1);
    assert!(told_of("simulate/okta.rs", "use crate::clock::SharedClock;").is_empty());
    assert_eq!(told_of("rollout.rs", "use crate::wherever::X;").len(), 1);
}

#[test]
fn io_in_a_pure_room_is_told() {
    for text in [
        "use std::{collections::BTreeMap, fs};",
        "use std::net::TcpStream;",
        "fn x() { tokio::spawn(async {}); }",
        "use std::time::{Duration, SystemTime};",
        "fn x() { let _ = std::time::SystemTime::now(); }",
        "use reqwest::Client;",
    ] {
        assert_eq!(told_of("rollout/decide.rs", text).len(), 1, "{text}");
        assert!(told_of("net/client.rs", text).is_empty(), "{text}");
    }
    assert!(
        told_of("identity/person.rs", "use std::net::{IpAddr, Ipv6Addr}; use std::time::Duration;")
            .is_empty()
    );
}

#[test]
fn test_code_may_look_around() {
    let room = ("store.rs".to_owned(), "#[cfg(test)]\nmod contract;\nmod embedded;".to_owned());
    let contract = ("store/contract.rs".to_owned(), "use crate::proxy::Proxy;".to_owned());
    let embedded = ("store/embedded.rs".to_owned(), "use crate::proxy::Proxy;".to_owned());
    let told = broken_rules(&[room, contract, embedded]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("src/store/embedded.rs:1: "));
    assert!(told_of("login.rs", "#[cfg(test)]\nmod tests { use crate::cli; }").is_empty());
}

#[test]
fn names_that_say_nothing_are_told() {
    assert_eq!(told_of("proxy/mod.rs", "").len(), 1);
    assert_eq!(told_of("proxy/util.rs", "").len(), 1);
    assert_eq!(told_of("proxy/types/head.rs", "").len(), 1);
    assert!(told_of("proxy/utility_bill.rs", "").is_empty());
}
