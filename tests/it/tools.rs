//! The commands that look and never change anything: hash verify, preflight, check, schema.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Map, Value, json};

use crate::support::{
    crossfade::{crossfade, crossfade_with},
    scratch::Scratch,
};

const VECTORS: &str = include_str!("../fixtures/password-hash-vectors.jsonl");

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a vector expects: the verdict and, for a refusal, its kind.
fn expectation(vector: &mut Map<String, Value>) -> Value {
    let mut take = |key: &str| vector.remove(key).unwrap_or(Value::Null);
    let (matches, malformed, kind, refused) =
        (take("matches"), take("malformed"), take("error_kind"), take("refuse"));
    let kind = if refused.is_null() { kind } else { refused };
    let verdict = match (malformed == true || !kind.is_null(), matches == true) {
        (true, _) => "error",
        (false, true) => "match",
        (false, false) => "no_match",
    };
    json!({ "verdict": verdict, "error_kind": kind })
}

#[test]
fn every_hash_of_the_vectors_is_judged_as_its_own_tool_judged_it() {
    let mut wanted = BTreeMap::new();
    let mut stripped = String::new();
    for line in VECTORS.lines() {
        let mut vector: Map<String, Value> = serde_json::from_str(line).unwrap();
        let expected = expectation(&mut vector);
        wanted.insert(vector["id"].as_str().unwrap().to_owned(), expected);
        stripped += &format!("{}\n", Value::Object(vector));
    }
    let scratch = Scratch::new();
    let file = scratch.write("vectors.jsonl", &stripped);
    let (code, out, err) = crossfade(&["hash", "verify", "--jsonl", file.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let judged: BTreeMap<String, Value> = json_lines(&out)
        .into_iter()
        .map(|line| {
            let found = json!({ "verdict": line["verdict"], "error_kind": line["error_kind"] });
            (line["id"].as_str().unwrap().to_owned(), found)
        })
        .collect();
    assert_eq!(judged.len(), 245);
    let wrong: Vec<_> = wanted.iter().filter(|(id, expected)| judged.get(*id) != Some(expected)).collect();
    assert!(wrong.is_empty(), "{} wrong: {wrong:?}", wrong.len());
}

/// Each reason an address is refused for, with an address for it.
fn refusals() -> Vec<(&'static str, Value)> {
    vec![
        ("empty", json!(" \t ")),
        ("longer than 254 bytes", json!(format!("a@{}com", "bcdefghi.".repeat(30)))),
        ("contains a blank, control or format character", json!("ann\u{200b}@example.com")),
        ("no @", json!("ann.example.com")),
        ("more than one @", json!("ann@home@example.com")),
        ("nothing before the @", json!("@example.com")),
        ("local part longer than 64 bytes", json!(format!("{}@example.com", "a".repeat(65)))),
        ("local part is not ASCII", json!("änn@example.com")),
        (
            "local part is not a dot-atom (quoted, a comment, or a misplaced dot)",
            json!("\"ann\"@example.com"),
        ),
        ("nothing after the @", json!("ann@")),
        ("domain is an address literal or an IP address", json!("ann@[127.0.0.1]")),
        ("domain has a trailing dot", json!("ann@example.com.")),
        ("domain has fewer than two labels", json!("ann@localhost")),
        ("domain has an empty label", json!("ann@example..com")),
        ("domain label longer than 63 bytes", json!(format!("ann@{}.com", "b".repeat(64)))),
        (
            "non-ASCII text in the domain that stands for plain ASCII (look-alike)",
            json!("ann@\u{ff45}xample.com"),
        ),
        ("domain is not a valid internationalised domain name", json!("ann@xn--a.com")),
        ("not text", json!(7)),
    ]
}

/// Spellings that name one mailbox, each pair for another reason.
const TWINS: [(&str, &str); 4] = [
    ("ann@example.com", "ANN@example.com"),
    ("ben@example.com", "ben@EXAMPLE.COM"),
    ("cat@b\u{fc}cher.example", "cat@xn--bcher-kva.example"),
    ("dan@example.com", "\tdan@example.com "),
];

/// Spellings that look related and are two mailboxes.
const STRANGERS: [&str; 4] =
    ["eve@example.com", "eve+x@example.com", "e.ve@example.com", "eve@mail.example.com"];

#[test]
fn preflight_finds_every_kind_of_twin_and_every_refusal() {
    let mut rows = Vec::new();
    for (one, other) in TWINS {
        rows.extend([json!({ "email": one }), json!({ "email": other })]);
    }
    rows.extend(STRANGERS.map(|email| json!({ "email": email })));
    rows.extend(refusals().into_iter().map(|(_, email)| json!({ "email": email })));
    rows.push(json!({ "name": "nobody" }));
    for (number, row) in rows.iter_mut().enumerate() {
        row["external_id"] = json!(format!("id-{number}"));
        row["password_hash"] = json!("$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW");
        row["email_verified"] = json!(number % 2 == 0);
    }
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect::<String>() + "{not json\n[1]\n";
    let scratch = Scratch::new();
    let file = scratch.write("export.jsonl", &text);
    let (code, out, err) = crossfade(&["preflight", file.to_str().unwrap(), "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));

    let mut lines = json_lines(&out);
    let summary = lines.pop().unwrap()["summary"].clone();
    assert_eq!(lines.len(), rows.len() + 2, "one line a row, then the summary");
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line["row"], at + 1);
        assert_eq!(line["canonical"].is_null(), !line["refused"].is_null(), "either, never both: {line}");
    }
    for (pair, (one, _)) in TWINS.iter().enumerate() {
        let (first, second) = (&lines[2 * pair], &lines[2 * pair + 1]);
        assert_eq!(first["canonical"], second["canonical"], "{one}");
        assert_eq!(first["twins"], json!([2 * pair + 2]), "{one}");
        assert_eq!(second["twins"], json!([2 * pair + 1]), "{one}");
    }
    let strangers = &lines[8..12];
    for line in strangers {
        assert_eq!(line["twins"], json!([]), "{line}");
        assert_eq!(line["hash_format"], "bcrypt");
    }
    for ((reason, _), line) in refusals().iter().zip(&lines[12..]) {
        assert_eq!(line["refused"], *reason);
    }
    assert_eq!(lines[rows.len() - 1]["refused"], "no e-mail");
    for broken in &lines[rows.len()..] {
        assert!(broken["refused"].as_str().unwrap().starts_with("unreadable row: "), "{broken}");
    }
    assert_eq!(summary["rows"], rows.len() + 2);
    assert_eq!(summary["complete"], true);
    assert_eq!(summary["unreadable"], 2);
    assert_eq!(summary["twins"], json!({ "groups": 4, "rows": 8, "largest_group": 2 }));
    assert_eq!(summary["canonical"], 12);
    assert_eq!(summary["hash_formats"], json!({ "bcrypt": rows.len() }));
}

fn examples() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    found.sort();
    assert!(found.len() >= 7, "the example files are there");
    found
}

/// A value for each variable that a file refers to.
fn variables_of(text: &str) -> Vec<(String, String)> {
    let settings = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let names =
        settings.flat_map(|line| line.split("{env: ").skip(1).filter_map(|rest| rest.split('}').next()));
    let dialect = text.lines().find_map(|line| line.trim().strip_prefix("dialect: ")).unwrap_or("postgres");
    names
        .map(|name| {
            let value = match (name, dialect) {
                ("DATABASE_URL", "sqlite") => "sqlite:/var/lib/canary.sqlite?mode=ro".to_owned(),
                ("DATABASE_URL", dialect) => format!("{dialect}://reader:canary@db.example.com/app"),
                (name, _) => format!("canary-{name}-canary-canary-canary-canary"),
            };
            (name.to_owned(), value)
        })
        .collect()
}

#[test]
fn check_passes_on_every_example_and_prints_what_it_can_check_again() {
    let scratch = Scratch::new();
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let variables = variables_of(&text);
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let check = |file: &str, more: &[&str]| {
            crossfade_with(&[&["check", "--config", file], more].concat(), &variables)
        };
        let (code, out, err) = check(path.to_str().unwrap(), &[]);
        assert_eq!(code, Some(0), "{}:\n{err}", path.display());
        assert!(!format!("{out}{err}").contains("canary"), "{}", path.display());
        let (code, json, _) = check(path.to_str().unwrap(), &["--json"]);
        let told: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &told["ok"]), (Some(0), &json!(true)));
        // What is printed is itself a configuration, and means the same. Its files are named from its own folder.
        let printed = scratch.write("printed.yaml", &out);
        fs::copy(path.with_file_name("people.jsonl"), scratch.path().join("people.jsonl")).unwrap();
        let (code, again, err) = check(printed.to_str().unwrap(), &[]);
        assert_eq!(code, Some(0), "{}:\n{err}", path.display());
        let folder = path.parent().unwrap().to_str().unwrap();
        let place = |text: &str| text.replace(folder, "").replace(scratch.path().to_str().unwrap(), "");
        assert_eq!(place(&again), place(&out), "{}", path.display());
        // Without its secrets it names each variable that is missing.
        let (code, _, err) = crossfade_with(&["check", "--config", path.to_str().unwrap()], &[]);
        assert_eq!(code, Some(2));
        for (name, _) in &variables {
            assert!(err.contains(name), "{} is not named for {}:\n{err}", name, path.display());
        }
    }
}

#[test]
fn the_schema_is_one_and_every_example_fits_it() {
    let (code, out, err) = crossfade(&["schema"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let schema: Value = serde_json::from_str(&out).unwrap();
    jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("not a JSON schema: {error}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{}", path.display());
        assert!(!validator.is_valid(&json!({ "colour": "red" })));
    }
}
