//! One line of a file of vectors: a hash, its settings and a password; and the verdict on it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    config::HashCeilings,
    hash::{HashError, HashFormat, Judgement, StoredHash, takes_settings, verify},
    identity::Password,
};

/// More than the hash room takes, so that a longer password is refused as too long and yet never built.
const LONGEST_BUILT: usize = 2 << 20;

/// What is read of a line. What the line expects (`matches`, `malformed`, `error_kind`, `refuse`) and every other
/// member is ignored: the verdict comes from the hash alone.
#[derive(Deserialize)]
pub(super) struct Line {
    id: Value,
    format: String,
    hash: String,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    password_rule: Option<PasswordRule>,
    #[serde(default)]
    params: Map<String, Value>,
}

/// A password too long to be written out.
#[derive(Deserialize)]
struct PasswordRule {
    repeat: String,
    count: usize,
}

/// What is printed for a line.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names of the printed members")]
pub(super) struct Verdict {
    id: Value,
    format: String,
    verdict: &'static str,
    error_kind: Option<&'static str>,
}

/// Reads and judges one line; the error says what is wrong with the line, never what is in it.
pub(super) fn judge(line: &[u8]) -> Result<Verdict, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| {
        // The message of a wrong type may quote the value.
        format!("not a JSON object with `id`, `format`, `hash` and `password` (column {})", error.column())
    })?;
    let password = password(&line)?;
    let judged = judge_hash(&line, &password);
    let (verdict, error_kind) = words(judged);
    Ok(Verdict { id: line.id, format: line.format, verdict, error_kind })
}

/// The words for a judgement.
pub(super) fn words(judged: Result<Judgement, HashError>) -> (&'static str, Option<&'static str>) {
    match judged {
        Ok(Judgement::Match) => ("match", None),
        Ok(Judgement::NoMatch) => ("no_match", None),
        Err(error) => ("error", Some(error.kind())),
    }
}

fn password(line: &Line) -> Result<Password, String> {
    match (&line.password, &line.password_rule) {
        (Some(text), None) => Ok(Password::unchecked(text.clone().into_bytes())),
        (None, Some(rule)) => {
            let bytes = rule.repeat.bytes().cycle();
            let length = rule.repeat.len().saturating_mul(rule.count).min(LONGEST_BUILT);
            Ok(Password::unchecked(bytes.take(length).collect()))
        }
        _ => Err("needs either `password` or `password_rule`".to_owned()),
    }
}

fn judge_hash(line: &Line, password: &Password) -> Result<Judgement, HashError> {
    let format = HashFormat::read(&settings(line)).map_err(|refusal| refusal.kind)?;
    verify(&format, &StoredHash::new(&line.hash, None), password, &HashCeilings::default())
}

/// The format's settings. For formats whose text says everything `params` is only commentary.
fn settings(line: &Line) -> Value {
    if !takes_settings(&line.format) {
        return Value::String(line.format.clone());
    }
    let mut settings = line.params.clone();
    match line.format.as_str() {
        // Their text says nearly everything, so most of their `params` is commentary as well.
        "phc-scrypt" => settings.retain(|key, _| key == "ln_is"),
        "spring-delegating" => settings.retain(|key, _| key == "secret"),
        _ => {}
    }
    settings.insert("format".to_owned(), Value::String(line.format.clone()));
    Value::Object(settings)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::clock::Deadline;

    const VECTORS: &str = include_str!("../../../tests/fixtures/password-hash-vectors.jsonl");

    /// Takes the expectation out of a vector, so that the code under test cannot see it.
    fn taken_apart(line: &str) -> (String, (String, Option<String>), Value) {
        let mut vector: Map<String, Value> = serde_json::from_str(line).unwrap();
        let mut take = |key: &str| vector.remove(key).unwrap_or(Value::Null);
        let (matches, malformed) = (take("matches"), take("malformed"));
        let (error_kind, refuse) = (take("error_kind"), take("refuse"));
        let error = refuse.as_str().or(error_kind.as_str()).map(str::to_owned);
        let verdict = match (error.is_some() || malformed == Value::Bool(true), matches) {
            (true, _) => "error",
            (false, Value::Bool(true)) => "match",
            (false, Value::Bool(false)) => "no_match",
            (false, other) => panic!("no expectation: {other}"),
        };
        let id = vector["id"].clone();
        (serde_json::to_string(&vector).unwrap(), (verdict.to_owned(), error), id)
    }

    #[test]
    fn every_vector_is_judged_right() {
        let mut wrong = Vec::new();
        let mut formats = BTreeSet::new();
        let mut count = 0;
        for line in VECTORS.lines() {
            let (stripped, expected, id) = taken_apart(line);
            let verdict = judge(stripped.as_bytes()).unwrap();
            let found = (verdict.verdict.to_owned(), verdict.error_kind.map(str::to_owned));
            if found != expected {
                wrong.push(format!("{id}: expected {expected:?}, found {found:?}"));
            }
            formats.insert(verdict.format);
            count += 1;
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!((count, formats.len()), (245, 38));
    }

    #[test]
    fn what_is_malformed_takes_no_time() {
        let malformed: Vec<String> = VECTORS
            .lines()
            .map(taken_apart)
            .filter(|(_, (verdict, _), _)| verdict == "error")
            .map(|v| v.0)
            .collect();
        let deadline = Deadline::within(Duration::from_secs(2));
        for line in &malformed {
            judge(line.as_bytes()).unwrap();
        }
        assert!(!deadline.has_passed() && malformed.len() > 60);
    }

    #[test]
    fn a_line_that_cannot_be_read_says_why_and_nothing_more() {
        for line in [
            "{",
            r#"{"id":1,"format":"bcrypt","hash":"canary"}"#,
            r#"{"id":1,"format":"bcrypt","hash":5,"password":"canary"}"#,
            r#"{"id":1,"format":"bcrypt","password":"canary"}"#,
            r#""canary""#,
        ] {
            let error = judge(line.as_bytes()).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn an_unknown_format_is_an_answer() {
        let verdict = judge(br#"{"id":"a","format":"rot13","hash":"x","password":"k"}"#).unwrap();
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(text, r#"{"id":"a","format":"rot13","verdict":"error","error_kind":"unsupported"}"#);
    }
}
