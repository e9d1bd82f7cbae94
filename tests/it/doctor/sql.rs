//! A table of accounts in real databases.

use std::net::SocketAddr;

use super::{Said, doctor, nowhere, scene};
use crate::support::{mariadb::MariaDb, postgres::Postgres, scene::Scene};

const TABLE: &str = "
create table people (id integer primary key, email varchar(254) not null, verified boolean not null,
    password varchar(128) not null, joined timestamp null, mfa boolean not null);
insert into people values
    (1, 'ann@example.com', true, '$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW', null, false);
";

const COLUMNS: &str = "SELECT id, email, verified, password, mfa FROM people WHERE";

/// A source of this dialect; `P` is its parameter.
fn source(dialect: &str, query: &str, parameter: &str) -> String {
    let query = query.replace('P', parameter);
    let (twins, id) = match dialect {
        "postgres" => ("lower(email) = $1", "id::text = $1"),
        _ => ("lower(email) = ?", "CAST(id AS CHAR) = ?"),
    };
    format!(
        "    - name: app
      sql:
        dialect: {dialect}
        url: {{env: DATABASE_URL}}
        query: {query}
        twins_query: {COLUMNS} {twins}
        id_query: {COLUMNS} {id}
        columns: {{id: id, email: email, email_verified: verified, password_hash: password}}
        hash_format: auto
      mfa: {{field: mfa}}
"
    )
}

/// The scene's configuration with this source in the place of its last one.
fn with_source(scene: &Scene, source: &str) -> String {
    let configuration = scene.configuration();
    let from = configuration.find("    - name: app\n").unwrap();
    let to = configuration.find("scalekit:\n").unwrap();
    format!("{}{source}{}", &configuration[..from], &configuration[to..])
}

fn look(scene: &Scene, source: &str, url: &str) -> Said {
    let said = doctor(&with_source(scene, source), &[("DATABASE_URL", url)]);
    assert!(!said.out.contains("canary-database-password"), "{}", said.out);
    said
}

#[test]
fn every_fault_of_postgres_gives_its_own_finding() {
    let database = Postgres::fresh();
    database.sql(TABLE);
    database.sql(
        "create role doctor_reader login password 'canary-database-password'; \
         grant select on people to doctor_reader;",
    );
    let reader = database.url_as("doctor_reader", "canary-database-password");
    let scene = scene();
    let good = format!("{COLUMNS} lower(email) = lower(P)");
    let ask = |query: &str, url: &str| look(&scene, &source("postgres", query, "$1"), url);
    ask(&good, &reader).assert(&[], 0);
    ask(&good, &database.url()).assert(&["legacy.app/rights warn legacy.sources[1].sql.url"], 0);

    let fail = ["legacy.app/query fail legacy.sources[1].sql.query"];
    ask("SELECT id, email, verified, mfa FROM people WHERE email = P", &reader).assert(&fail, 1);
    let missing = ask("SELECT id, email, verified, password, mfa_on FROM people WHERE email = P", &reader);
    missing.assert(&fail, 1);
    assert!(missing.finding("query")["seen"].as_str().unwrap().contains("mfa_on"), "{}", missing.out);
    let typed =
        ask("SELECT id, email, verified, password, joined AS mfa FROM people WHERE email = P", &reader);
    typed.assert(&fail, 1);
    assert!(typed.finding("query")["seen"].as_str().unwrap().contains("column mfa of type"), "{}", typed.out);
    let everybody = ask(&format!("{COLUMNS} P <> ''"), &reader);
    everybody.assert(&fail, 1);
    assert!(
        everybody.finding("query")["seen"].as_str().unwrap().contains("finds somebody"),
        "{}",
        everybody.out
    );

    let of_nobody = database.url_as("doctor_nobody", "canary-database-password");
    ask(&good, &of_nobody).assert(&["legacy.app/connection fail legacy.sources[1].sql.url"], 1);
    ask(&good, &elsewhere(&reader, nowhere()))
        .assert(&["legacy.app/connection unreachable legacy.sources[1].sql.url"], 3);
}

/// The same address at a place where nobody listens.
fn elsewhere(url: &str, place: SocketAddr) -> String {
    let (before, after) = url.split_once('@').unwrap();
    let (_, path) = after.split_once('/').unwrap();
    format!("{before}@{place}/{path}")
}

#[test]
fn mariadb_says_what_its_account_may_do() {
    let database = MariaDb::fresh();
    database.sql(TABLE);
    let scene = scene();
    let good = format!("{COLUMNS} lower(email) = lower(P)");
    let said = look(&scene, &source("mysql", &good, "?"), &database.url());
    said.assert(&["legacy.app/rights warn legacy.sources[1].sql.url"], 0);
    for check in ["query", "twins_query", "id_query"] {
        assert_eq!(said.finding(check)["level"], "ok", "{}", said.out);
    }
    let missing =
        look(&scene, &source("mysql", "SELECT id, mail FROM people WHERE email = P", "?"), &database.url());
    assert_eq!(missing.code, Some(1), "{}", missing.out);
    assert_eq!(missing.finding("query")["level"], "fail", "{}", missing.out);
}
