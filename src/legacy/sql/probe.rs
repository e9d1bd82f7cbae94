//! A look at a table of accounts: the way to the database, what the account may do, and whether the operator's
//! statements say what the configuration says of them. Statements are asked for a name that nobody has.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{
    AssertSqlSafe, Column as _, Executor as _, Row as _, SqlSafeStr as _, Statement as _, TypeInfo as _,
};

use super::{Database, ROWS_FOR_ONE, Sql, Wanted, fault::Fault, places};
use crate::{
    clock::{Clock, Deadline},
    findings::Notes,
    legacy::{
        failure::{TRANSIENT, failure},
        probe::{Probe, tell},
    },
    login::{ErrorClass, LegacyError},
};

/// Nobody has this name: `.invalid` belongs to nobody (RFC 6761 §6.4).
const NOBODY: &str = "nobody@crossfade-doctor.invalid";

const URL: &str = "sql.url";

/// What there is to know of a connection.
struct Connection {
    /// Whether it is encrypted; none where there is no wire.
    tls: Option<bool>,
    /// What the account may change, if anything; none where that cannot be seen.
    may_write: Option<Vec<String>>,
}

/// A column of an answer and its type, as the database calls them.
type Described = Vec<(String, String)>;

#[async_trait]
impl Probe for Sql {
    async fn probe(&self, notes: &Notes, _clock: &dyn Clock, deadline: Deadline) {
        let deadline = deadline.at_most(self.timeout * 4);
        match self.within(self.connection(), deadline).await {
            Ok(connection) => self.tell_connection(&connection, notes),
            Err(error) => {
                let fix = "check user, password, database name and host of the address; the account needs SELECT on \
                           what the queries read";
                tell(&error, "connection", URL, fix, notes);
                for check in ["query", "twins_query", "id_query"] {
                    notes.skipped(check, URL, "not asked: there is no connection");
                }
                return;
            }
        }
        self.probe_query("query", "sql.query", &self.query, Wanted::All, notes, deadline).await;
        match &self.twins_query {
            Some(query) => {
                self.probe_query("twins_query", "sql.twins_query", query, Wanted::Some, notes, deadline)
                    .await;
            }
            None => notes.skipped("twins_query", "sql.twins_query", "there is none"),
        }
        match &self.id_query {
            Some(query) => {
                self.probe_query("id_query", "sql.id_query", query, Wanted::All, notes, deadline).await;
            }
            None => notes.skipped("id_query", "sql.id_query", "there is none"),
        }
    }
}

impl Sql {
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
        deadline: Deadline,
    ) -> Result<T, LegacyError> {
        match tokio::time::timeout(deadline.remaining(), work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fault)) => Err(fault.into_error(&self.passwords.source)),
            Err(_) => Err(failure(&self.passwords.source, TRANSIENT, "the database did not answer in time")),
        }
    }

    async fn connection(&self) -> Result<Connection, Fault> {
        match &self.database {
            Database::Postgres(pool) => {
                let row = pool.fetch_one(sqlx::raw_sql(POSTGRES_CONNECTION)).await?;
                let tables = pool.fetch_all(sqlx::raw_sql(POSTGRES_WRITABLE)).await?;
                let tables = tables.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
                Ok(Connection { tls: Some(row.try_get(0)?), may_write: Some(tables) })
            }
            Database::Mysql(pool) => {
                let row = pool.fetch_one(sqlx::raw_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).await?;
                let cipher: String = row.try_get(1)?;
                let grants = pool.fetch_all(sqlx::raw_sql("SHOW GRANTS FOR CURRENT_USER")).await?;
                let grants: Vec<String> =
                    grants.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
                Ok(Connection { tls: Some(!cipher.is_empty()), may_write: Some(writing_grants(&grants)) })
            }
            Database::Sqlite(pool) => {
                pool.fetch_one(sqlx::raw_sql("SELECT 1 FROM sqlite_schema")).await.map(drop).or_else(
                    |error| {
                        if matches!(error, sqlx::Error::RowNotFound) { Ok(()) } else { Err(error) }
                    },
                )?;
                Ok(Connection { tls: None, may_write: None })
            }
        }
    }

    fn tell_connection(&self, connection: &Connection, notes: &Notes) {
        match connection.tls {
            None => notes.ok("connection", URL, "the file can be read"),
            Some(true) => notes.ok("connection", URL, "the account is let in, over TLS"),
            Some(false) if self.is_local => {
                notes.ok("connection", URL, "the account is let in, without TLS and on this machine");
            }
            Some(false) => notes.warn(
                "connection",
                URL,
                "the account is let in, but without TLS: hashes and addresses can be read on the way",
                "have the server speak TLS and add ?sslmode=verify-full (PostgreSQL) or \
                 ?ssl-mode=VERIFY_IDENTITY (MySQL, MariaDB) to the address",
            ),
        }
        match connection.may_write.as_deref() {
            None => notes.ok("rights", URL, "opened for reading only"),
            Some([]) => notes.ok("rights", URL, "the account may only read"),
            Some(named) => notes.warn(
                "rights",
                URL,
                format!("the account may change data: {}", shortened(named)),
                "give Crossfade an account with SELECT on the columns it reads and nothing else; its sessions are \
                 read-only, but whoever takes the address from it is not bound by that",
            ),
        }
    }

    async fn probe_query(
        &self,
        check: &'static str,
        key: &str,
        query: &Arc<str>,
        wanted: Wanted,
        notes: &Notes,
        deadline: Deadline,
    ) {
        let fix =
            "correct the query or the columns: each name under `columns` must be a column of the answer (AS)";
        let described = match self.within(self.describe(query), deadline).await {
            Ok(described) => described,
            Err(error) => return tell(&error, check, key, fix, notes),
        };
        if let Err(error) = self.within(async { self.placed(&described, wanted) }, deadline).await {
            return tell(&error, check, key, fix, notes);
        }
        let unusable = self.unusable(&described);
        if !unusable.is_empty() {
            return notes.fail(
                check,
                key,
                format!("nothing can be read from {}", unusable.join(", ")),
                "turn it into text, a number or a boolean in the query: `locked_until > now() AS locked`",
            );
        }
        match self.rows(query, NOBODY, ROWS_FOR_ONE, wanted, deadline).await {
            Ok(rows) if rows.is_empty() => {
                notes.ok(check, key, "it can be asked, has the columns, and finds nobody under a made-up name");
            }
            Ok(_) => notes.fail(
                check,
                key,
                "it finds somebody under a name that nobody has",
                "compare the bound value in WHERE: as it stands a sign-in may be checked against somebody else",
            ),
            // A number cannot be compared with a text that is none: true of every name with letters.
            Err(error) if error.class == ErrorClass::Permanent => {
                notes.ok(check, key, "it can be asked and has the columns; ids are compared as numbers");
            }
            Err(error) => tell(&error, check, key, fix, notes),
        }
    }

    async fn describe(&self, query: &Arc<str>) -> Result<Described, Fault> {
        let query = AssertSqlSafe(Arc::clone(query)).into_sql_str();
        macro_rules! described {
            ($pool:expr) => {{
                let statement = $pool.prepare(query).await?;
                let columns = statement.columns().iter();
                columns
                    .map(|column| (column.name().to_owned(), column.type_info().name().to_owned()))
                    .collect()
            }};
        }
        Ok(match &self.database {
            Database::Postgres(pool) => described!(pool),
            Database::Mysql(pool) => described!(pool),
            Database::Sqlite(pool) => described!(pool),
        })
    }

    fn placed(&self, described: &Described, wanted: Wanted) -> Result<(), Fault> {
        let names: Vec<&str> = described.iter().map(|(name, _)| name.as_str()).collect();
        places(self.passwords.reader.wanted(), &names, wanted).map(drop)
    }

    /// Wanted columns of a type that nothing is read from. SQLite's values carry their own types.
    fn unusable(&self, described: &Described) -> Vec<String> {
        if matches!(self.database, Database::Sqlite(_)) {
            return Vec::new();
        }
        let wanted = self.passwords.reader.wanted();
        let is_wanted = |name: &str| wanted.iter().any(|column| column.eq_ignore_ascii_case(name));
        let unusable = described.iter().filter(|(name, kind)| is_wanted(name) && is_unreadable(kind));
        unusable.map(|(name, kind)| format!("column {name} of type {kind}")).collect()
    }
}

/// Types of points in time and of broken numbers, in all dialects: `postgres::cell` and `mysql::cell` read nothing
/// from them.
fn is_unreadable(kind: &str) -> bool {
    matches!(
        kind,
        "TIMESTAMP"
            | "TIMESTAMPTZ"
            | "DATE"
            | "TIME"
            | "TIMETZ"
            | "INTERVAL"
            | "DATETIME"
            | "YEAR"
            | "FLOAT"
            | "FLOAT4"
            | "FLOAT8"
            | "DOUBLE"
            | "MONEY"
            | "GEOMETRY"
    )
}

const POSTGRES_CONNECTION: &str = "SELECT coalesce((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()), false)";

/// Tables of the application that this account may change.
const POSTGRES_WRITABLE: &str = "\
    SELECT c.oid::regclass::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    AND n.nspname NOT LIKE 'pg\\_%' \
    AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1 LIMIT 20";

/// What of `SHOW GRANTS` is more than reading: the words between GRANT and ON.
fn writing_grants(grants: &[String]) -> Vec<String> {
    const READING: [&str; 5] = ["SELECT", "USAGE", "SHOW VIEW", "SHOW DATABASES", "PROXY"];
    let rights = grants.iter().filter_map(|grant| grant.strip_prefix("GRANT ")?.split_once(" ON "));
    let rights = rights.flat_map(|(rights, _)| outside_brackets(rights)).map(|right| right.trim().to_owned());
    let mut more: Vec<String> =
        rights.filter(|right| !READING.iter().any(|reading| right.starts_with(reading))).collect();
    more.sort();
    more.dedup();
    more
}

/// Rights separated by commas; those inside of brackets separate columns.
fn outside_brackets(rights: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let at_top = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    rights.split(at_top).collect()
}

fn shortened(named: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = named.get(..SHOWN).unwrap_or(named).join(", ");
    if named.len() > SHOWN { format!("{shown}, …") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_beyond_reading_are_named() {
        let grants =
            |lines: &[&str]| writing_grants(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let reading =
            ["GRANT USAGE ON *.* TO `r`@`%`", "GRANT SELECT (`a`, `b`), SHOW VIEW ON `d`.`t` TO `r`@`%`"];
        assert!(grants(&reading).is_empty());
        assert_eq!(grants(&["GRANT SELECT, INSERT (`a`, `b`) ON `d`.* TO `r`@`%`"]), ["INSERT (`a`, `b`)"]);
        assert_eq!(grants(&["GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION"]), ["ALL PRIVILEGES"]);
    }
}
