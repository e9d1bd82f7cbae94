//! What went wrong with a statement, and what can be done about it.

use sqlx::{Error, error::DatabaseError};

use crate::{
    identity::SourceName,
    legacy::failure::{TRANSIENT, failure},
    login::{ErrorClass, LegacyError},
};

/// SQLSTATEs of a prepared statement that cannot be used any more.
const STALE_STATEMENT: [&str; 3] = ["0A000", "26000", "42P05"];

/// A statement without a usable answer.
pub(super) enum Fault {
    Database(Error),
    Column { name: String, problem: &'static str },
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl Fault {
    /// Whether it is about what a connection has prepared, and not about what was asked: PostgreSQL refuses a statement
    /// whose columns have other types by now (0A000), and behind a pooler the next server may know another one by the
    /// name, or none (42P05, 26000).
    pub(super) fn is_of_a_stale_statement(&self) -> bool {
        let Self::Database(Error::Database(error)) = self else { return false };
        error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some()
            && error.code().is_some_and(|code| STALE_STATEMENT.contains(&&*code))
    }

    pub(super) fn into_error(self, source: &SourceName) -> LegacyError {
        let error = match self {
            Self::Column { name, problem } => {
                return failure(source, ErrorClass::Misconfigured, format!("column {name} {problem}"));
            }
            Self::Database(error) => error,
        };
        match error {
            Error::Database(error) => of_database(source, error.as_ref()),
            Error::Io(error) => LegacyError {
                cause: Some(Box::new(error)),
                ..failure(source, TRANSIENT, "the connection to the database broke")
            },
            Error::Tls(_) => {
                failure(source, ErrorClass::Misconfigured, "no TLS connection to the database can be made")
            }
            Error::PoolTimedOut => failure(source, TRANSIENT, "no connection to the database in time"),
            Error::PoolClosed | Error::WorkerCrashed => {
                failure(source, TRANSIENT, "the connections to the database are closed")
            }
            Error::Configuration(_) => {
                failure(source, ErrorClass::Misconfigured, "the database address cannot be used")
            }
            // What the drivers say of a statement with more or fewer than one.
            Error::Protocol(text) if text.contains(" parameters") => {
                failure(source, ErrorClass::Misconfigured, "a query must have exactly one parameter")
            }
            // Protocol and decoding errors may quote what the database sent.
            _ => failure(source, TRANSIENT, "the database's answer cannot be understood"),
        }
    }
}

/// Errors the database itself reports. Its message is repeated only where it is about the statement or the
/// account: messages about data quote the data.
fn of_database(source: &SourceName, error: &dyn DatabaseError) -> LegacyError {
    let code = error.code().unwrap_or_default().into_owned();
    let class = if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        sqlite_class(&code)
    } else {
        match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            Some(mysql) => mysql_class(mysql.number(), &code),
            None => sqlstate_class(&code),
        }
    };
    let problem = match class {
        ErrorClass::Misconfigured => format!("the database answered {code}: {}", error.message()),
        ErrorClass::Transient { .. } | ErrorClass::Permanent => format!("the database answered {code}"),
    };
    failure(source, class, problem)
}

/// By SQLSTATE class (PostgreSQL appendix A; MySQL uses the same classes).
fn sqlstate_class(code: &str) -> ErrorClass {
    match code.get(..2) {
        _ if STALE_STATEMENT.contains(&code) => TRANSIENT,
        // Log-in refused, no such database or schema, syntax or permission, a write in a read-only transaction.
        Some("28" | "3D" | "3F" | "42" | "25") => ErrorClass::Misconfigured,
        // Data exceptions: this name cannot be compared so (`$1::bigint` and a name with letters).
        Some("22") => ErrorClass::Permanent,
        // Wrong number of parameters.
        Some("07" | "08") if code == "08P01" || code.starts_with("07") => ErrorClass::Misconfigured,
        _ => TRANSIENT,
    }
}

fn mysql_class(number: u16, code: &str) -> ErrorClass {
    match number {
        // Host not allowed, wrong parameter count, read-only transaction.
        1130 | 1210 | 1792 => ErrorClass::Misconfigured,
        // Too many connections, or too much of another resource, of this account: 42000 as syntax errors are.
        1203 | 1226 => TRANSIENT,
        _ => sqlstate_class(code),
    }
}

/// By SQLite's primary result code, the lowest byte of the extended one.
fn sqlite_class(code: &str) -> ErrorClass {
    match code.parse::<i64>().map(|code| code & 0xff) {
        // SQL error, permission, read-only, cannot open, not authorised, range of parameters, not a database.
        Ok(1 | 3 | 8 | 14 | 23 | 25 | 26) => ErrorClass::Misconfigured,
        _ => TRANSIENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_with_other_parameters_than_one_is_the_operators_to_mend() {
        let source = SourceName::parse("crm").unwrap();
        let text = "prepared statement expected 2 parameters but 1 parameters were provided";
        let of = |text: &str| Fault::Database(Error::Protocol(text.into())).into_error(&source);
        assert_eq!(of(text).class, ErrorClass::Misconfigured);
        let other = of("unexpected packet: canary");
        assert_eq!(other.class, TRANSIENT);
        assert!(!format!("{other:?}").contains("canary"));
    }

    #[test]
    fn sqlstates_say_who_can_help() {
        for (code, class) in [
            ("28P01", ErrorClass::Misconfigured),
            ("42703", ErrorClass::Misconfigured),
            ("42601", ErrorClass::Misconfigured),
            ("3D000", ErrorClass::Misconfigured),
            ("25006", ErrorClass::Misconfigured),
            ("08P01", ErrorClass::Misconfigured),
            ("22P02", ErrorClass::Permanent),
            // Of a statement that was prepared on another connection of a pooler's.
            ("42P05", TRANSIENT),
            ("26000", TRANSIENT),
            ("08006", TRANSIENT),
            ("57014", TRANSIENT),
            ("57P03", TRANSIENT),
            ("53300", TRANSIENT),
            ("", TRANSIENT),
        ] {
            assert_eq!(sqlstate_class(code), class, "{code}");
        }
        assert_eq!(mysql_class(1045, "28000"), ErrorClass::Misconfigured);
        assert_eq!(mysql_class(1054, "42S22"), ErrorClass::Misconfigured);
        assert_eq!(mysql_class(1130, "HY000"), ErrorClass::Misconfigured);
        assert_eq!(mysql_class(1040, "08004"), TRANSIENT);
        // Too many connections of this account.
        assert_eq!(mysql_class(1203, "42000"), TRANSIENT);
        assert_eq!(mysql_class(1226, "42000"), TRANSIENT);
        assert_eq!(mysql_class(1969, "70100"), TRANSIENT);
        assert_eq!(sqlite_class("14"), ErrorClass::Misconfigured);
        assert_eq!(sqlite_class("1"), ErrorClass::Misconfigured);
        assert_eq!(sqlite_class("261"), TRANSIENT);
    }
}
