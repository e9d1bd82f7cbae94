//! PostgreSQL: connections and values.

use std::str::FromStr as _;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, PgPool, Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgConnectOptions, PgRow, PgTypeInfo, PgTypeKind, PgValueFormat},
};

use super::Limits;
use crate::legacy::cells::{Cell, cell_of};

pub(super) fn prepare(url: &str, limits: Limits) -> Result<PgPool, sqlx::Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(sqlx::Error::InvalidArgument("scheme".to_owned()));
    }
    let options = PgConnectOptions::from_str(url)?.application_name("crossfade").disable_statement_logging();
    let settings = format!(
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET statement_timeout = {}",
        limits.statement.as_millis().max(1),
    );
    Ok(limits
        .pool::<sqlx::Postgres>()
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(settings))).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options))
}

/// One value; [`Cell::Other`] for a type nothing is read from.
pub(super) fn cell(row: &PgRow, at: usize) -> Cell {
    let Ok(value) = row.try_get_raw(at) else { return Cell::Other };
    if value.is_null() {
        return Cell::Null;
    }
    let kind = value.type_info().into_owned();
    match (value.as_bytes(), value.format()) {
        (Ok(bytes), PgValueFormat::Binary) => decoded(&kind, bytes).unwrap_or(Cell::Other),
        _ => Cell::Other,
    }
}

/// A value in the binary format (its layout: each type's `…send` function in PostgreSQL's source).
fn decoded(kind: &PgTypeInfo, bytes: &[u8]) -> Option<Cell> {
    match kind.kind() {
        PgTypeKind::Domain(inner) => return decoded(inner, bytes),
        PgTypeKind::Enum(_) => return text(bytes),
        PgTypeKind::Array(item) => return array(item, bytes),
        PgTypeKind::Simple => {}
        PgTypeKind::Pseudo | PgTypeKind::Composite(_) | PgTypeKind::Range(_) => return None,
    }
    match kind.name() {
        "BOOL" => Some(Cell::Bool(*bytes.first()? != 0)),
        "INT2" => Some(Cell::Int(i16::from_be_bytes(bytes.try_into().ok()?).into())),
        "INT4" => Some(Cell::Int(i32::from_be_bytes(bytes.try_into().ok()?).into())),
        "INT8" => Some(Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?))),
        "OID" => Some(Cell::Int(u32::from_be_bytes(bytes.try_into().ok()?).into())),
        "NUMERIC" => numeric(bytes).map(Cell::whole),
        "BYTEA" => Some(Cell::Bytes(bytes.to_vec())),
        "UUID" => Some(Cell::Text(uuid::Uuid::from_slice(bytes).ok()?.to_string())),
        "JSON" => json(bytes),
        // The first byte is the format's version.
        "JSONB" => json(bytes.strip_prefix(&[1])?),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "\"CHAR\"" => text(bytes),
        name if name.eq_ignore_ascii_case("citext") => text(bytes),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<Cell> {
    std::str::from_utf8(bytes).ok().map(|text| Cell::Text(text.to_owned()))
}

fn json(bytes: &[u8]) -> Option<Cell> {
    serde_json::from_slice(bytes).ok().map(|value| cell_of(&value))
}

/// A whole number of any scale: base-10,000 digits, of which `weight + 1` stand before the point.
fn numeric(bytes: &[u8]) -> Option<i128> {
    let mut words = bytes.chunks_exact(2).map(|pair| pair.try_into().map_or(0, u16::from_be_bytes));
    let (count, weight, sign, _scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let weight = i32::from(weight.cast_signed());
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) {
        return None;
    }
    let mut number: i128 = 0;
    for place in 0..=weight {
        let digit = digits.get(usize::try_from(place).ok()?).copied().unwrap_or(0);
        number = number.checked_mul(10_000)?.checked_add(digit.into())?;
    }
    let whole = usize::try_from(weight + 1).unwrap_or(0);
    if digits.iter().skip(whole).any(|digit| *digit != 0) {
        return None;
    }
    match sign {
        0x0000 => Some(number),
        0x4000 => Some(-number),
        // NaN and the infinities.
        _ => None,
    }
}

/// A one-dimensional array: header, then each item with its length.
fn array(item: &PgTypeInfo, bytes: &[u8]) -> Option<Cell> {
    let mut rest = bytes;
    let dimensions = take_i32(&mut rest)?;
    let (_has_null, _item_type) = (take_i32(&mut rest)?, take_i32(&mut rest)?);
    match dimensions {
        0 => return Some(Cell::List(Vec::new())),
        1 => {}
        _ => return None,
    }
    let (count, _lower_bound) = (take_i32(&mut rest)?, take_i32(&mut rest)?);
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(match usize::try_from(take_i32(&mut rest)?) {
            Ok(length) => {
                let (item_bytes, after) = rest.split_at_checked(length)?;
                rest = after;
                decoded(item, item_bytes).unwrap_or(Cell::Other)
            }
            // A length of -1 is NULL.
            Err(_) => Cell::Null,
        });
    }
    Some(Cell::List(items))
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric_bytes(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let count = u16::try_from(digits.len()).unwrap();
        let head = [count, weight.cast_unsigned(), sign, 0];
        head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_numeric_is_read_where_it_is_whole() {
        for (weight, sign, digits, number) in [
            (0, 0, &[][..], Some(0)),
            (0, 0, &[42][..], Some(42)),
            (1, 0, &[1, 2345][..], Some(12345)),
            (2, 0, &[7][..], Some(700_000_000)),
            (0, 0x4000, &[5][..], Some(-5)),
            (0, 0, &[5, 5000][..], None),
            (-1, 0, &[5000][..], None),
            (0, 0xC000, &[][..], None),
            (i16::MAX, 0, &[9][..], None),
        ] {
            assert_eq!(numeric(&numeric_bytes(weight, sign, digits)), number, "{weight} {digits:?}");
        }
        assert_eq!(numeric(&[0, 1]), None);
    }
}
