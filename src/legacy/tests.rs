//! What the tests of this room share, and the building of a chain.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    build,
    passwords::{Hashing, Passwords},
    record::Reader,
};
use crate::{
    clock::{Deadline, SystemClock},
    config::{
        Columns, HashCeilings, HashFileKind, HashFileSource, Legacy, MfaDeclaration, RoleMap, Source,
        SourceKind, SqlDialect, SqlSource,
    },
    hash::{HashError, HashFormat, HashPool, Judgement, PoolError, StoredHash},
    identity::{ExternalIdTemplate, LoginName, Password, Secret, SourceName},
    login::{Attempt, ClientFacts, Counted},
    net::{ApiClient, ApiSettings, Dependencies},
};

/// What a stand-in's fault leaves open: a guess whose answer never came, or came in words of no meaning, may have been a
/// no. Everything else says that it was not judged, or befell a call that was none.
pub(super) fn counted_after(fault: &Value, is_guess: bool) -> Counted {
    let is_unheard = matches!(fault["kind"].as_str(), Some("down" | "lost" | "slow"));
    let is_strange = matches!(fault["status"].as_u64(), Some(418 | 504));
    if is_guess && (is_unheard || is_strange) { Counted::Perhaps } else { Counted::No }
}

/// Hashes that are `right:` and the password, so that a test sees what was asked and how often.
#[derive(Default)]
pub(super) struct PlainHashes {
    pub(super) calls: AtomicUsize,
    /// Whether there was a hash to check, call by call.
    pub(super) stored: Mutex<Vec<bool>>,
    pub(super) fails: Option<PoolError>,
}

impl PlainHashes {
    pub(super) fn taken(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Hashing for PlainHashes {
    async fn judge(
        &self,
        _format: &HashFormat,
        stored: Option<StoredHash>,
        password: Arc<Password>,
        _deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.stored.lock().unwrap().push(stored.is_some());
        if let Some(error) = self.fails {
            return Err(error);
        }
        let Some(stored) = stored else { return Ok(Ok(Judgement::NoMatch)) };
        let salted = format!("{}{}", stored.salt.unwrap_or_default(), password.expose_text().unwrap());
        Ok(match stored.text.split_once(':') {
            Some(("right", text)) if text == salted => Ok(Judgement::Match),
            Some(("right", _)) => Ok(Judgement::NoMatch),
            Some(("locked", _)) => Err(HashError::Unusable),
            _ => Err(HashError::Syntax),
        })
    }
}

pub(super) fn source(kind: SourceKind) -> Source {
    Source {
        name: SourceName::parse("crm").unwrap(),
        kind,
        domains: Vec::new(),
        external_id: ExternalIdTemplate::default_for(1),
        assume_verified: None,
        assume_stranger: None,
        mfa: MfaDeclaration::Field("mfa".into()),
        roles: RoleMap(BTreeMap::from([("staff".into(), "member".into()), ("root".into(), "admin".into())])),
        lockout: None,
        rate: None,
        timeout: Duration::from_secs(5),
    }
}

/// Every column there is.
pub(super) fn columns() -> Columns {
    let named = |name: &str| Some(name.to_owned());
    Columns {
        id: "id".into(),
        login: named("login"),
        email: "email".into(),
        email_verified: named("email_verified"),
        password_hash: "password_hash".into(),
        salt: named("salt"),
        given_name: named("given_name"),
        family_name: named("family_name"),
        full_name: named("full_name"),
        locale: named("locale"),
        organization: named("organization"),
        roles: named("roles"),
        active: named("active"),
        disabled: named("disabled"),
        locked: named("locked"),
        must_change: named("must_change"),
    }
}

pub(super) fn passwords(hashing: Arc<dyn Hashing>) -> Passwords {
    let source = source(SourceKind::Upstream);
    let format = HashFormat::from_settings(&json!("auto")).unwrap();
    Passwords {
        reader: Reader::new(&source, &columns(), &json!("auto")),
        source: source.name,
        format,
        hashing,
    }
}

pub(super) fn name(typed: &str) -> LoginName {
    LoginName::parse(typed).unwrap()
}

pub(super) fn attempt(typed: &str, password: &str) -> Attempt {
    Attempt {
        name: name(typed),
        password: Arc::new(Password::unchecked(password.as_bytes().to_vec())),
        client: ClientFacts {
            address: "192.0.2.7".parse().unwrap(),
            user_agent: Some("Mozilla/5.0 (test)".into()),
        },
    }
}

pub(super) fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(5))
}

pub(super) fn unwatched() -> Dependencies {
    Dependencies::unwatched(SystemClock::shared())
}

/// What a stand-in's side door shows.
pub(super) async fn side_door(address: std::net::SocketAddr, door: &str) -> serde_json::Value {
    let settings = ApiSettings {
        name: "test",
        dependency: "test".into(),
        rate: None,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(1),
    };
    let client = ApiClient::new(&settings, &unwatched()).unwrap();
    let url = format!("http://{address}/__simulator/{door}").parse().unwrap();
    let answer = client.send(client.request(reqwest::Method::GET, url), soon()).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn legacy(sources: Vec<Source>) -> Legacy {
    Legacy { sources, hash_threads: 1, hash_queue: 4, hash_ceilings: HashCeilings::default() }
}

fn named(name: &str, kind: SourceKind) -> Source {
    Source { name: SourceName::parse(name).unwrap(), ..source(kind) }
}

fn sql(url: &str) -> SourceKind {
    SourceKind::Sql(SqlSource {
        dialect: SqlDialect::Postgres,
        url: Secret::new(url.into()),
        query: "select $1".into(),
        twins_query: None,
        id_query: None,
        columns: columns(),
        hash_format: json!("auto"),
        connections: 2,
    })
}

#[tokio::test]
async fn a_chain_is_built_in_its_order_and_asks_nobody() {
    let pool = HashPool::start(1, 4, HashCeilings::default(), crate::telemetry::Metrics::new());
    // Nobody listens there: a database that is down must not stop the start.
    let sources = vec![
        named("table", sql("postgres://app:canary@127.0.0.1:9/app")),
        named("app", SourceKind::Upstream),
    ];
    let built = build(&legacy(sources), &pool, &unwatched()).await.ok().unwrap();
    let names: Vec<&str> = built.stores.iter().map(|store| store.source().as_str()).collect();
    assert_eq!(names, ["table", "app"]);
    assert!(!built.stores[1].verifies_passwords() && !built.stores[1].holds_records());
    assert!(built.stores[1].verify(&attempt("ann", "x"), soon()).await.is_err());
    assert!(built.left_out.is_empty());
}

#[tokio::test]
async fn every_problem_is_told_and_no_secret_in_it() {
    let pool = HashPool::start(1, 4, HashCeilings::default(), crate::telemetry::Metrics::new());
    let sources = vec![
        named("table", sql("mysql://app:canary@127.0.0.1/app")),
        named(
            "file",
            SourceKind::HashFile(HashFileSource {
                path: "/nowhere/people.jsonl".into(),
                kind: HashFileKind::JsonLines,
                columns: columns(),
                hash_format: json!("auto"),
            }),
        ),
    ];
    let mut unknown = named("digests", sql("postgres://127.0.0.1/app"));
    if let SourceKind::Sql(settings) = &mut unknown.kind {
        settings.hash_format = json!({ "format": "rot13" });
    }
    let mut parameterless = named("fixed", sql("postgres://127.0.0.1/app"));
    if let SourceKind::Sql(settings) = &mut parameterless.kind {
        settings.twins_query = Some("select id from people".into());
    }
    let sources = [sources, vec![parameterless, unknown]].concat();
    let problems = build(&legacy(sources), &pool, &unwatched()).await.err().unwrap();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "legacy.table.url: is not a connection address of this dialect");
    assert_eq!(told[2], "legacy.fixed.twins_query: has no parameter $1");
    assert!(told[3].starts_with("legacy.digests.hash_format: "), "{}", told[3]);
    assert!(told[1].starts_with("legacy.file.path: /nowhere/people.jsonl cannot be opened"), "{}", told[1]);
}
