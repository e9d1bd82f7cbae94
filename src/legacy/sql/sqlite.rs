//! SQLite: connections and values. Every value carries its own type there, whatever the column was declared as.

use std::str::FromStr as _;

use sqlx::{
    ConnectOptions as _, Row as _, SqlitePool, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteConnectOptions, SqliteRow},
};

use super::Limits;
use crate::legacy::cells::Cell;

/// SQLite has no statement time limit; the caller's deadline ends the wait, and the pool bounds what still runs.
pub(super) fn prepare(url: &str, limits: Limits) -> Result<SqlitePool, sqlx::Error> {
    if !url.starts_with("sqlite:") {
        return Err(sqlx::Error::InvalidArgument("scheme".to_owned()));
    }
    let options = SqliteConnectOptions::from_str(url)?
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(limits.wait)
        .disable_statement_logging();
    Ok(limits.pool().connect_lazy_with(options))
}

/// One value; [`Cell::Other`] for a type nothing is read from.
pub(super) fn cell(row: &SqliteRow, at: usize) -> Cell {
    let Ok(value) = row.try_get_raw(at) else { return Cell::Other };
    if value.is_null() {
        return Cell::Null;
    }
    let cell = match value.type_info().name() {
        "INTEGER" | "BOOLEAN" => row.try_get_unchecked::<i64, _>(at).map(Cell::Int),
        "TEXT" => row.try_get_unchecked::<&str, _>(at).map(|text| Cell::Text(text.to_owned())),
        "BLOB" => row.try_get_unchecked::<&[u8], _>(at).map(|bytes| Cell::Bytes(bytes.to_vec())),
        _ => return Cell::Other,
    };
    cell.unwrap_or(Cell::Other)
}
