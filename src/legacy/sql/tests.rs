//! Against SQLite: a real file, all types it can hold.

use std::str::FromStr as _;

use serde_json::json;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::{
    config::SourceKind,
    identity::{AccountState, MfaState, Secret},
    legacy::tests::{PlainHashes, attempt, columns, name, passwords, soon, source, unwatched},
    login::Rejection,
};

const QUERY: &str =
    "select * from people where login = ?1 collate nocase or email = ?1 collate nocase limit 2";

const TABLE: &str = "
    create table people (
        id, login, email, email_verified, password_hash, salt, given_name, family_name, full_name, locale,
        organization, roles, active, disabled, locked, must_change, mfa
    );
    insert into people (id, login, email, email_verified, password_hash, active, disabled, locked, must_change, mfa,
                        roles)
    values
        (1, 'ann', 'Ann@example.com', 1, 'right:horse   ', 1, 0, 0, 0, 0, 'staff,guests'),
        (x'00ff', 'bob', 'bob@example.com', 'f', cast('right:horse' as blob), 't', 'no', '0', 0, 1, '[\"root\"]'),
        ('c-3', 'cleo', 'cleo@example.com', null, 'right:horse', 1, 0, 1, 0, null, null),
        ('d-4', 'dan', 'dan@example.com', 1, 'right:horse', 0, 0, 0, 0, 0, null),
        ('e-5', 'eve', 'eve@example.com', 1, 'right:horse', 1, 0, 0, 1, 0, null),
        ('f-6', 'fay', 'fay@example.com', 1, null, 1, 0, 0, 0, 0, null),
        ('g-7', 'gus', 'gus@example.com', 'maybe', 'right:horse', 1, 0, 0, 0, 0, null),
        ('h-8', 'hal', 'hal@example.com', 1.5, 'right:horse', 1, 0, 0, 0, 0, null),
        ('t-1', 'twin', 'twin@example.com', 1, 'right:horse', 1, 0, 0, 0, 0, null),
        ('t-2', 'TWIN', 'TWIN@example.com', 1, 'right:horse', 1, 0, 0, 0, 0, null),
        ('v-1', 'víctim', 'vi@example.com', 1, 'right:horse', 1, 0, 0, 0, 0, null),
        ('i-1', 'ida', 'Ida@bücher.example', 1, 'right:horse', 1, 0, 0, 0, 0, null),
        ('i-2', 'ivo', 'ivo@bücher.example', 1, 'right:horse', 1, 0, 0, 0, 0, null),
        ('i-3', 'ivo2', 'ivo@xn--bcher-kva.example', 1, 'right:horse', 1, 0, 0, 0, 0, null);
";

struct Table {
    store: Sql,
    hashes: Arc<PlainHashes>,
    path: std::path::PathBuf,
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn settings(path: &std::path::Path) -> SqlSource {
    SqlSource {
        dialect: SqlDialect::Sqlite,
        url: Secret::new(format!("sqlite://{}", path.display())),
        query: QUERY.into(),
        twins_query: Some("select id, email from people where email = ?1 collate nocase".into()),
        id_query: Some("select * from people where cast(id as text) = ?1".into()),
        columns: columns(),
        hash_format: json!("auto"),
        connections: 2,
    }
}

async fn table_with(change: impl FnOnce(&mut SqlSource)) -> Table {
    let path = std::env::temp_dir().join(format!("crossfade-sql-{}.db", uuid::Uuid::now_v7()));
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display())).unwrap();
    let mut made = SqliteConnection::connect_with(&options.create_if_missing(true)).await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut made).await.unwrap();
    made.close().await.unwrap();
    let mut settings = settings(&path);
    change(&mut settings);
    let hashes = Arc::new(PlainHashes::default());
    let source = source(SourceKind::Sql(settings.clone()));
    let store = Sql::new(&source, &settings, passwords(hashes.clone()), &unwatched()).unwrap();
    Table { store, hashes, path }
}

async fn table() -> Table {
    table_with(|_| ()).await
}

async fn verdict(table: &Table, typed: &str, password: &str) -> Verdict {
    table.store.verify(&attempt(typed, password), soon()).await.unwrap()
}

async fn record(table: &Table, typed: &str) -> LegacyRecord {
    table.store.look_up(&name(typed), soon()).await.unwrap().unwrap()
}

#[tokio::test]
async fn values_are_read_whatever_type_they_have() {
    let table = table().await;
    let ann = record(&table, "ann").await;
    assert_eq!((ann.id.as_str(), ann.email.verified, ann.mfa), ("1", Some(true), MfaState::None));
    assert_eq!((ann.state, ann.roles), (AccountState::Active, vec!["member".to_owned()]));
    let bob = record(&table, "bob@EXAMPLE.com").await;
    assert_eq!((bob.id.as_str(), bob.email.verified, bob.mfa), ("00ff", Some(false), MfaState::Enrolled));
    assert_eq!(bob.roles, ["admin"]);
    let cleo = record(&table, "cleo").await;
    assert_eq!((cleo.email.verified, cleo.mfa, cleo.state), (None, MfaState::Unknown, AccountState::Locked));
    for (typed, column) in [("gus", "email_verified"), ("hal", "email_verified")] {
        let error = table.store.look_up(&name(typed), soon()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("legacy store crm: column {column}: is not a boolean"));
    }
}

#[tokio::test]
async fn every_guess_costs_one_hash() {
    let table = table().await;
    let rejected = Verdict::Rejected;
    for (typed, password, expected) in [
        ("nobody", "horse", rejected(Rejection::Unknown)),
        ("ann", "wrong", rejected(Rejection::WrongPassword)),
        ("cleo", "horse", rejected(Rejection::Locked)),
        ("dan", "horse", rejected(Rejection::Disabled)),
        ("eve", "horse", Verdict::StayOnLegacy(crate::login::StayReason::MustChangePassword)),
        ("fay", "horse", rejected(Rejection::NoUsablePassword)),
        ("twin", "horse", Verdict::StayOnLegacy(crate::login::StayReason::Ambiguous)),
    ] {
        assert_eq!(verdict(&table, typed, password).await, expected, "{typed}");
        assert_eq!(table.hashes.taken(), 1, "{typed}");
    }
    for typed in ["ann", "Ann@Example.com", "bob"] {
        assert!(matches!(verdict(&table, typed, "horse").await, Verdict::Verified(_)), "{typed}");
    }
}

#[tokio::test]
async fn what_a_query_takes_for_equal_is_compared_again() {
    // As a collation does that takes í for i.
    let table = table_with(|settings| {
        settings.query = "select * from people where replace(login, 'í', 'i') = replace(?1, 'í', 'i')".into();
    })
    .await;
    assert_eq!(verdict(&table, "victim", "horse").await, Verdict::Rejected(Rejection::Unknown));
    assert_eq!(table.hashes.taken(), 1);
    assert!(table.store.look_up(&name("victim"), soon()).await.unwrap().is_none());
    assert!(matches!(verdict(&table, "víctim", "horse").await, Verdict::Verified(_)));
}

#[tokio::test]
async fn a_typed_name_is_only_ever_a_value() {
    let table = table().await;
    for typed in ["' or 1=1 --", "ann' --", "%", "ann\\", "ann;drop table people"] {
        assert_eq!(verdict(&table, typed, "horse").await, Verdict::Rejected(Rejection::Unknown), "{typed}");
    }
}

#[tokio::test]
async fn a_record_is_read_again_by_its_own_query() {
    let table = table().await;
    let id = |text: &str| LegacyId::parse(text).unwrap();
    assert_eq!(table.store.read(&id("c-3"), soon()).await.unwrap().unwrap().login, "cleo");
    assert!(table.store.read(&id("c-4"), soon()).await.unwrap().is_none());
    let without = table_with(|settings| settings.id_query = None).await;
    let error = without.store.read(&id("c-3"), soon()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Misconfigured);
}

#[tokio::test]
async fn twins_are_different_people_with_one_address() {
    let table = table().await;
    let email = |text: &str| CanonicalEmail::parse(text).unwrap();
    let holders = async |table: &Table, text| table.store.holders(&email(text), soon()).await.unwrap();
    let one = |id: &str| Holders::One(LegacyId::parse(id).unwrap());
    assert_eq!(holders(&table, "twin@example.com").await, Holders::Several);
    assert_eq!(holders(&table, "ann@example.com").await, one("1"));
    assert_eq!(holders(&table, "nobody@example.com").await, Holders::Nobody);
    // However the domain is written, here or there.
    assert_eq!(holders(&table, "ida@xn--bcher-kva.example").await, one("i-1"));
    assert_eq!(holders(&table, "ivo@bücher.example").await, Holders::Several);
    // One person in two rows of a join, and a neighbour that a loose comparison brings along.
    let joined = table_with(|settings| {
        settings.twins_query = Some(
            "select id, email from people, (values (1), (2)) where email = ?1 collate nocase or login = 'bob'"
                .into(),
        );
    })
    .await;
    assert_eq!(holders(&joined, "ann@example.com").await, one("1"));
    assert_eq!(holders(&joined, "twin@example.com").await, Holders::Several);
    let counted = table_with(|settings| {
        settings.twins_query = Some("select count(*) as n from people where email = ?1".into());
    })
    .await;
    let error = counted.store.holders(&email("twin@example.com"), soon()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Misconfigured);
    let without = table_with(|settings| settings.twins_query = None).await;
    assert_eq!(holders(&without, "twin@example.com").await, Holders::CannotTell);
}

#[tokio::test]
async fn a_wrong_statement_is_the_operators_to_mend() {
    for (query, part) in [
        ("select id from people where login = ?1", "column active is not in the answer"),
        ("select *, id from people where login = ?1", "column id is there twice"),
        ("select * from persons where login = ?1", "no such table: persons"),
        ("selectt ?1", "syntax error"),
        ("delete from people where login = ?1 returning *", "readonly"),
    ] {
        let table = table_with(|settings| settings.query = query.into()).await;
        let error = table.store.verify(&attempt("ann", "horse"), soon()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Misconfigured, "{query}: {error}");
        assert!(error.problem.contains(part), "{query}: {error}");
        assert_eq!(table.hashes.taken(), 0);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_no_wrong_password() {
    let table = table().await;
    std::fs::remove_file(&table.path).unwrap();
    let error = table.store.verify(&attempt("ann", "horse"), soon()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Misconfigured);

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (dialect, scheme) in [(SqlDialect::Postgres, "postgres"), (SqlDialect::Mysql, "mysql")] {
        let mut settings = settings(&table.path);
        settings.dialect = dialect;
        // Read by both.
        settings.query = "select $1 -- ?".into();
        (settings.twins_query, settings.id_query) = (None, None);
        let address = silent.local_addr().unwrap();
        settings.url = Secret::new(format!("{scheme}://app:canary@{address}/app"));
        let source = source(SourceKind::Sql(settings.clone()));
        let store = Sql::new(&source, &settings, passwords(table.hashes.clone()), &unwatched()).unwrap();
        let deadline = Deadline::within(Duration::from_millis(300));
        let error = store.verify(&attempt("ann", "horse"), deadline).await.unwrap_err();
        assert_eq!(error.class, TRANSIENT, "{error:?}");
        assert!(!format!("{error:?}").contains("canary"));
        // A refused connection is waited for no longer than a connection may take.
        settings.url = Secret::new(format!("{scheme}://app:canary@127.0.0.1:9/app"));
        let store = Sql::new(&source, &settings, passwords(table.hashes.clone()), &unwatched()).unwrap();
        let error = store.verify(&attempt("ann", "horse"), soon()).await.unwrap_err();
        assert_eq!(error.class, TRANSIENT, "{error:?}");
    }
}

#[test]
fn columns_are_found_by_name_in_any_case() {
    let wanted = ["id".to_owned(), "Email".to_owned()];
    assert_eq!(places(&wanted, &["EMAIL", "ID"], Wanted::All).ok().unwrap(), [Some(1), Some(0)]);
    // The exact spelling decides between two.
    assert_eq!(places(&wanted, &["ID", "id", "email"], Wanted::All).ok().unwrap(), [Some(1), Some(2)]);
    assert!(places(&wanted, &["ID", "Id", "email"], Wanted::All).is_err());
    assert_eq!(places(&wanted, &["id"], Wanted::Some).ok().unwrap(), [Some(0), None]);
    assert!(places(&wanted, &["id"], Wanted::All).is_err());
}

/// Callers of ours who wait for each other.
#[tokio::test]
async fn a_crowd_before_few_connections_is_no_outage_of_the_database() {
    let slow = table_with(|settings| {
        settings.connections = 1;
        settings.query =
            "with recursive steps(n) as (select 1 union all select n + 1 from steps where n < 300000)
            select * from people where login = ?1 and (select max(n) from steps) > 0"
                .into();
    })
    .await;
    let ann = name("ann");
    let asked = (0..60).map(|_| slow.store.look_up(&ann, soon()));
    let answers = futures_util::future::join_all(asked).await;
    let found = answers.iter().filter(|answer| matches!(answer, Ok(Some(_)))).count();
    assert!(found > 0 && found < 40, "{found} of 60");
    assert!(slow.store.look_up(&ann, soon()).await.is_ok(), "it answered whoever it was asked by");
}
