//! Password hashes in a table of PostgreSQL, MySQL, MariaDB or SQLite, found by the operator's own query
//! (legacy-stores.md §6).
//!
//! The statement is the operator's, the typed name is only ever bound to it. What a collation took for equal is
//! compared again in code. Connections are read-only, limited in time, and made when first needed: a database that
//! is down at the start is one that cannot be asked yet.

mod fault;
mod mysql;
mod postgres;
mod probe;
mod sqlite;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{Column as _, Connection as _, Row as _};
use url::Url;

use self::fault::Fault;
use super::{
    cells::{Cell, Fields},
    dependency,
    failure::{TRANSIENT, failure, uncounted},
    names,
    passwords::{Found, Passwords},
};
use crate::{
    clock::Deadline,
    config::{Source, SqlDialect, SqlSource},
    identity::{CanonicalEmail, LegacyId, LegacyRecord, LoginName, SourceName},
    login::{Attempt, ErrorClass, Holders, LegacyError, LegacyStore, Presence, Verdict},
    net::{Barred, Dependencies, End, Terms, Turnstile},
};

/// How long a connection may take to be made. The driver retries a refused connection for as long as this.
const CONNECTION_WAIT: Duration = Duration::from_secs(2);
/// Two rows are ambiguous already; no answer is read further.
const ROWS_FOR_ONE: usize = 2;
/// Rows that share an e-mail: enough to find two ids among them.
const ROWS_FOR_TWINS: usize = 100;

/// A table of accounts.
pub(super) struct Sql {
    domains: Vec<String>,
    timeout: Duration,
    database: Database,
    /// On this machine, so that nobody listens on the way.
    is_local: bool,
    query: Arc<str>,
    id_query: Option<Arc<str>>,
    twins_query: Option<Arc<str>>,
    passwords: Passwords,
    turnstile: Turnstile,
}

enum Database {
    Postgres(sqlx::PgPool),
    Mysql(sqlx::MySqlPool),
    Sqlite(sqlx::SqlitePool),
}

/// Limits of a pool and of what runs on it.
#[derive(Clone, Copy)]
struct Limits {
    connections: u32,
    statement: Duration,
    wait: Duration,
}

impl Limits {
    /// Nothing is connected before it is needed.
    fn pool<DB: sqlx::Database>(self) -> sqlx::pool::PoolOptions<DB> {
        sqlx::pool::PoolOptions::new()
            .max_connections(self.connections.max(1))
            .min_connections(0)
            .acquire_timeout(self.wait)
    }
}

/// Which columns an answer must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that are there.
    Some,
}

/// The rows of one statement with one bound value. A macro, because what the three drivers have in common cannot
/// be said in bounds shorter than this.
///
/// Connections keep statements prepared. One that the database does not take any more, because its table was altered or
/// because a pooler put another connection behind ours, is forgotten and prepared anew, once: it has read nothing.
macro_rules! rows {
    ($pool:expr, $query:expr, $bind:expr, $most:expr, $wanted:expr, $columns:expr, $cell:path) => {{
        let mut connection = $pool.acquire().await?;
        let mut anew = false;
        loop {
            let asked: Result<Vec<Fields>, Fault> = async {
                let query = sqlx::query(sqlx::AssertSqlSafe(Arc::clone($query))).bind($bind.to_owned());
                let mut found = query.persistent(!anew).fetch(&mut *connection);
                let mut rows = Vec::new();
                while rows.len() < $most
                    && let Some(row) = found.try_next().await?
                {
                    let names: Vec<&str> = row.columns().iter().map(|column| column.name()).collect();
                    let places = places($columns, &names, $wanted)?;
                    let cells = places.into_iter().map(|at| at.map_or(Cell::Absent, |at| $cell(&row, at)));
                    rows.push(Fields::new($columns, cells.collect()));
                }
                Ok(rows)
            }
            .await;
            match asked {
                Err(fault) if !anew && fault.is_of_a_stale_statement() => {
                    connection.clear_cached_statements().await?;
                    anew = true;
                }
                asked => break asked,
            }
        }
    }};
}

impl Sql {
    /// Prepares connections and makes none. The problem names the setting and no secret.
    pub(super) fn new(
        source: &Source,
        settings: &SqlSource,
        passwords: Passwords,
        dependencies: &Dependencies,
    ) -> Result<Self, String> {
        let limits = Limits {
            connections: settings.connections,
            statement: source.timeout,
            wait: CONNECTION_WAIT.min(source.timeout),
        };
        with_parameter(settings)?;
        let url = settings.url.expose();
        // The driver's own message may repeat parts of the address.
        let database = match settings.dialect {
            SqlDialect::Postgres => postgres::prepare(url, limits).map(Database::Postgres),
            SqlDialect::Mysql => mysql::prepare(url, limits).map(Database::Mysql),
            SqlDialect::Sqlite => sqlite::prepare(url, limits).map(Database::Sqlite),
        }
        .map_err(|_| "url: is not a connection address of this dialect".to_owned())?;
        let terms = Terms {
            name: dependency(source),
            rate: source.rate,
            timeout: source.timeout,
            // Whoever waits for a connection of ours waits before the breaker, and not in the pool behind it.
            at_a_time: usize::try_from(settings.connections).unwrap_or(usize::MAX),
        };
        let shared = |query: &Option<String>| query.as_deref().map(Arc::from);
        Ok(Self {
            domains: source.domains.clone(),
            timeout: source.timeout,
            database,
            is_local: is_local(url),
            query: Arc::from(settings.query.as_str()),
            id_query: shared(&settings.id_query),
            twins_query: shared(&settings.twins_query),
            passwords,
            turnstile: Turnstile::new(terms, dependencies),
        })
    }

    async fn rows(
        &self,
        query: &Arc<str>,
        bind: &str,
        most: usize,
        wanted: Wanted,
        deadline: Deadline,
    ) -> Result<Vec<Fields>, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        let entry = self.turnstile.enter(deadline).await.map_err(|barred| {
            let retry_after = if let Barred::HeldBack(wait) = barred { Some(wait) } else { None };
            let class = ErrorClass::Transient { retry_after };
            failure(self.source(), class, barred.problem())
        })?;
        let asked = tokio::time::timeout(deadline.remaining(), self.ask(query, bind, most, wanted)).await;
        let (answer, end) = match asked {
            Ok(Ok(rows)) => (Ok(rows), End::Answered),
            Ok(Err(fault)) => {
                let error = fault.into_error(self.source());
                let is_down = matches!(error.class, ErrorClass::Transient { .. });
                // A statement that it refuses is an answer.
                (Err(error), if is_down { End::Failed } else { End::Answered })
            }
            Err(_) => {
                (Err(failure(self.source(), TRANSIENT, "the database did not answer in time")), End::Late)
            }
        };
        entry.settle(end);
        answer
    }

    async fn ask(
        &self,
        query: &Arc<str>,
        bind: &str,
        most: usize,
        wanted: Wanted,
    ) -> Result<Vec<Fields>, Fault> {
        let columns = self.passwords.reader.wanted();
        match &self.database {
            Database::Postgres(pool) => rows!(pool, query, bind, most, wanted, columns, postgres::cell),
            Database::Mysql(pool) => rows!(pool, query, bind, most, wanted, columns, mysql::cell),
            Database::Sqlite(pool) => rows!(pool, query, bind, most, wanted, columns, sqlite::cell),
        }
    }

    /// The one row of a typed name.
    async fn find(&self, name: &LoginName, deadline: Deadline) -> Result<Found, LegacyError> {
        let mut rows = self.rows(&self.query, name.as_typed(), ROWS_FOR_ONE, Wanted::All, deadline).await?;
        let (Some(fields), true) = (rows.pop(), rows.is_empty()) else {
            return Ok(if rows.is_empty() { Found::Nobody } else { Found::Several });
        };
        let reader = &self.passwords.reader;
        let login = reader.login(&fields).map_err(|why| self.passwords.unreadable(&why))?;
        let email = reader.email(&fields).map_err(|why| self.passwords.unreadable(&why))?;
        if names::is_asked_for(name, login.as_deref(), email.as_deref()) {
            return Ok(Found::One(fields));
        }
        tracing::warn!(
            legacy.store = %self.source(),
            "the query returned a row of another login name (a collation that takes them for equal, or no `login` \
             column configured); not used",
        );
        Ok(Found::Nobody)
    }
}

impl Sql {
    /// Who a row of the twins' query is, if it has this address: by id, since a join may return one person in several
    /// rows.
    fn holder(&self, fields: &Fields, email: &CanonicalEmail) -> Result<Option<LegacyId>, LegacyError> {
        let reader = &self.passwords.reader;
        let stored = reader.email(fields).map_err(|why| self.passwords.unreadable(&why))?;
        if stored.as_deref().is_some_and(|stored| CanonicalEmail::parse(stored).ok().as_ref() != Some(email))
        {
            return Ok(None);
        }
        if fields.get(reader.id_column()) == &Cell::Absent {
            // A count, say: its one row would always mean "no twins".
            let problem = "twins_query must return the id column, one row for each record";
            return Err(failure(self.source(), ErrorClass::Misconfigured, problem));
        }
        reader.id(fields).map(Some).map_err(|why| self.passwords.unreadable(&why))
    }
}

/// A file, a socket or a loopback address.
fn is_local(url: &str) -> bool {
    let url = Url::parse(url).ok();
    // The hosts of schemes that a browser does not know are text, addresses among them.
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = host.is_empty() || host == "localhost" || host.ends_with(".localhost");
    is_name || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A query without a parameter would find the same people for every name.
fn with_parameter(settings: &SqlSource) -> Result<(), String> {
    let parameter = match settings.dialect {
        SqlDialect::Postgres => "$1",
        SqlDialect::Mysql | SqlDialect::Sqlite => "?",
    };
    let optional = |name, query| Option::map(query, |query| (name, query));
    let queries = [
        Some(("query", &settings.query)),
        optional("twins_query", settings.twins_query.as_ref()),
        optional("id_query", settings.id_query.as_ref()),
    ];
    match queries.into_iter().flatten().find(|(_, query)| !query.contains(parameter)) {
        Some((name, _)) => Err(format!("{name}: has no parameter {parameter}")),
        None => Ok(()),
    }
}

/// Where each wanted column stands in a row; names as the database wrote them, else in any case.
fn places(columns: &[String], names: &[&str], wanted: Wanted) -> Result<Vec<Option<usize>>, Fault> {
    let place = |column: &String| {
        let mut exact = names.iter().enumerate().filter(|(_, name)| **name == column.as_str());
        let mut folded = names.iter().enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(column));
        let found = match exact.next() {
            Some(found) => (Some(found), exact.next()),
            None => (folded.next(), folded.next()),
        };
        match found {
            (Some((at, _)), None) => Ok(Some(at)),
            (Some(_), Some(_)) => Err(Fault::Column { name: column.clone(), problem: "is there twice" }),
            (None, _) if wanted == Wanted::Some => Ok(None),
            (None, _) => Err(Fault::Column { name: column.clone(), problem: "is not in the answer" }),
        }
    };
    columns.iter().map(place).collect()
}

#[async_trait]
impl LegacyStore for Sql {
    fn source(&self) -> &SourceName {
        &self.passwords.source
    }

    fn serves(&self, name: &LoginName) -> bool {
        names::is_served(&self.domains, name)
    }

    fn verifies_passwords(&self) -> bool {
        true
    }

    async fn verify(&self, attempt: &Attempt, deadline: Deadline) -> Result<Verdict, LegacyError> {
        let deadline = deadline.at_most(self.timeout);
        let found = self.find(&attempt.name, deadline).await.map_err(uncounted)?;
        self.passwords.verdict(found, attempt, deadline).await
    }

    async fn presence(&self, name: &LoginName, deadline: Deadline) -> Result<Presence, LegacyError> {
        Ok(self.find(name, deadline).await?.presence())
    }

    async fn look_up(
        &self,
        name: &LoginName,
        deadline: Deadline,
    ) -> Result<Option<LegacyRecord>, LegacyError> {
        match self.find(name, deadline).await? {
            Found::One(fields) => self.passwords.record(&fields).map(Some),
            Found::Nobody | Found::Several => Ok(None),
        }
    }

    /// A record read again needs its own query. Without one this is an error and not "nobody": somebody gone and
    /// somebody who cannot be asked about are treated very differently.
    async fn read(&self, id: &LegacyId, deadline: Deadline) -> Result<Option<LegacyRecord>, LegacyError> {
        let Some(query) = &self.id_query else {
            let problem = "has no `id_query`, so no record can be read again by its id";
            return Err(failure(self.source(), ErrorClass::Misconfigured, problem));
        };
        let mut rows = self.rows(query, id.as_str(), ROWS_FOR_ONE, Wanted::All, deadline).await?;
        let (Some(fields), true) = (rows.pop(), rows.is_empty()) else { return Ok(None) };
        let record = self.passwords.record(&fields)?;
        Ok(Some(record).filter(|record| record.id == *id))
    }

    fn holds_records(&self) -> bool {
        true
    }

    async fn holders(&self, email: &CanonicalEmail, deadline: Deadline) -> Result<Holders, LegacyError> {
        let Some(query) = &self.twins_query else { return Ok(Holders::CannotTell) };
        let deadline = deadline.at_most(self.timeout);
        let mut people = BTreeSet::new();
        for spelling in names::spellings(email) {
            let rows = self.rows(query, &spelling, ROWS_FOR_TWINS, Wanted::Some, deadline).await?;
            for fields in &rows {
                people.extend(self.holder(fields, email)?);
            }
            // An answer that was cut short may hide any number of them.
            if rows.len() == ROWS_FOR_TWINS || people.len() > 1 {
                return Ok(Holders::Several);
            }
        }
        Ok(people.pop_first().map_or(Holders::Nobody, Holders::One))
    }
}

#[cfg(test)]
mod tests;
