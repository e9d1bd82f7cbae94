//! MySQL and MariaDB: connections and values.

use std::str::FromStr as _;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, MySql, MySqlPool, Row as _, Type, TypeInfo as _,
    ValueRef as _,
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow},
};

use super::Limits;
use crate::legacy::cells::Cell;

/// Unknown system variable: MariaDB and MySQL limit statements by different ones.
const UNKNOWN_VARIABLE: u16 = 1193;

pub(super) fn prepare(url: &str, limits: Limits) -> Result<MySqlPool, sqlx::Error> {
    if !url.starts_with("mysql://") && !url.starts_with("mariadb://") {
        return Err(sqlx::Error::InvalidArgument("scheme".to_owned()));
    }
    // The operator's statement is to mean what it means in their own client, so the driver's own additions to the
    // session go.
    let options = MySqlConnectOptions::from_str(url)?
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging();
    Ok(limits
        .pool::<MySql>()
        .after_connect(move |connection, _| Box::pin(confine(connection, limits)))
        .connect_lazy_with(options))
}

async fn confine(connection: &mut MySqlConnection, limits: Limits) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql("SET SESSION TRANSACTION READ ONLY")).await?;
    let (seconds, millis) = (limits.statement.as_secs_f64(), limits.statement.as_millis().max(1));
    let ways = [
        format!("SET SESSION max_statement_time = {seconds}"),
        format!("SET SESSION max_execution_time = {millis}"),
    ];
    for way in ways {
        match connection.execute(sqlx::raw_sql(AssertSqlSafe(way))).await {
            Err(sqlx::Error::Database(error)) if is_unknown_variable(error.as_ref()) => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
    }
    // A server that knows neither; our own deadline still ends the wait.
    Ok(())
}

fn is_unknown_variable(error: &dyn sqlx::error::DatabaseError) -> bool {
    let error = error.try_downcast_ref::<MySqlDatabaseError>();
    error.is_some_and(|error| error.number() == UNKNOWN_VARIABLE)
}

/// One value; [`Cell::Other`] for a type nothing is read from.
pub(super) fn cell(row: &MySqlRow, at: usize) -> Cell {
    let Ok(value) = row.try_get_raw(at) else { return Cell::Other };
    if value.is_null() {
        return Cell::Null;
    }
    let kind = value.type_info();
    let cell = match kind.name() {
        // TINYINT(1) holds numbers from -128 to 127, whatever its name.
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            row.try_get_unchecked::<i64, _>(at).map(Cell::Int)
        }
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
        | "BIGINT UNSIGNED" | "BIT" => {
            row.try_get_unchecked::<u64, _>(at).map(|number| Cell::whole(number.into()))
        }
        // A decimal comes as text; one with a fraction is no number to us.
        "DECIMAL" => row
            .try_get_unchecked::<&str, _>(at)
            .map(|text| text.parse::<i128>().map_or(Cell::Other, Cell::whole)),
        // The driver says so of a text with a collation that compares byte by byte (`ascii_bin`), too; bytes have the
        // character set of bytes.
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB"
            if !<str as Type<MySql>>::compatible(&kind) =>
        {
            row.try_get_unchecked::<&[u8], _>(at).map(|bytes| Cell::Bytes(bytes.to_vec()))
        }
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "CHAR" | "VARCHAR"
        | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "JSON" => {
            row.try_get_unchecked::<&str, _>(at).map(|text| Cell::Text(text.to_owned()))
        }
        _ => return Cell::Other,
    };
    cell.unwrap_or(Cell::Other)
}
