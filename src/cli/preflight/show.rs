//! Findings as JSON lines for programs and as a table for people.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::json;

use super::examine::{Address, Report};

/// The most twins named with one row: half an export may share one placeholder address, and every row naming every
/// other would be larger than any disk. The summary says how large the largest group is.
const TWINS_NAMED: usize = 1000;

/// How many rows the table names as examples.
const EXAMPLES: usize = 5;

#[derive(Serialize)]
struct JsonRow<'a> {
    row: u64,
    canonical: Option<&'a str>,
    refused: Option<String>,
    twins: Vec<u64>,
    hash_format: Option<&'a str>,
}

/// One line a data row, then the summary.
pub(super) fn json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for found in &report.rows {
        let mut line = JsonRow {
            row: found.row,
            canonical: None,
            refused: None,
            twins: Vec::new(),
            hash_format: found.hash_format,
        };
        match &found.address {
            Address::Canonical(place) => {
                if let Some((email, rows)) = report.addresses.get(*place) {
                    line.canonical = Some(email.as_str());
                    let others = rows.iter().copied().filter(|row| *row != found.row);
                    line.twins = others.take(TWINS_NAMED).collect();
                }
            }
            Address::Refused(why) => line.refused = Some(why.clone()),
            Address::Unreadable(why) => line.refused = Some(format!("unreadable row: {why}")),
        }
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    writeln!(out, "{}", summary(report))
}

fn summary(report: &Report) -> serde_json::Value {
    let refused: BTreeMap<&str, usize> =
        refused(report).into_iter().map(|(why, rows)| (why, rows.len())).collect();
    let limits: BTreeMap<&str, usize> =
        report.over_limits.iter().map(|(limit, rows)| (limit.as_str(), rows.len())).collect();
    let left_out: BTreeMap<&str, usize> =
        report.left_out.iter().map(|(why, rows)| (why.as_str(), rows.len())).collect();
    let canonical: usize = report.addresses.iter().map(|(_, rows)| rows.len()).sum();
    json!({"summary": {
        "rows": report.rows.len(),
        "complete": report.broken_off.is_none(),
        "unreadable": unreadable(report).count(),
        "canonical": canonical,
        "refused": refused,
        "twins": {
            "groups": report.twin_groups().count(),
            "rows": report.twin_groups().map(<[u64]>::len).sum::<usize>(),
            "largest_group": report.twin_groups().map(<[u64]>::len).max().unwrap_or(0),
        },
        "external_id": {
            "missing": report.without_id,
            "unusable": report.unusable_id,
            "duplicates": report.same_id,
        },
        "email_verified": {
            "yes": report.verified.yes,
            "no": report.verified.no,
            "unknown": report.verified.unknown,
        },
        "hash_formats": report.hashes.formats,
        "hashes_refused": report.hashes.refused,
        "hashes_unidentified": report.hashes.unidentified,
        "hashes_missing": report.hashes.missing,
        "left_out": left_out,
        "over_limits": limits,
    }})
}

fn refused(report: &Report) -> BTreeMap<&str, Vec<u64>> {
    let mut refused: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for found in &report.rows {
        if let Address::Refused(why) = &found.address {
            refused.entry(why).or_default().push(found.row);
        }
    }
    refused
}

fn unreadable(report: &Report) -> impl Iterator<Item = (u64, &str)> {
    report.rows.iter().filter_map(|found| match &found.address {
        Address::Unreadable(why) => Some((found.row, why.as_str())),
        Address::Canonical(_) | Address::Refused(_) => None,
    })
}

/// What a person wants to know, with a few rows to look at.
pub(super) fn table(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let mut line = |indent: usize, what: &str, count: usize, hint: &str| {
        let width = 52 - indent;
        writeln!(out, "{:indent$}{what:<width$} {count:>9}{hint}", "")
    };
    line(0, "rows", report.rows.len(), "")?;
    let unreadable: Vec<_> = unreadable(report).collect();
    line(0, "unreadable", unreadable.len(), "")?;
    for (row, why) in unreadable.iter().take(EXAMPLES) {
        line(2, &format!("row {row}: {why}"), 1, "")?;
    }

    let refused = refused(report);
    line(0, "addresses refused", refused.values().map(Vec::len).sum(), "")?;
    for (why, rows) in &refused {
        line(2, why, rows.len(), &examples(rows))?;
    }

    let groups: Vec<_> = report.twin_groups().collect();
    line(0, "addresses that several rows share (twins)", groups.len(), "")?;
    for rows in groups.iter().take(EXAMPLES) {
        line(2, "one address", rows.len(), &examples(rows))?;
    }
    line(0, "ids that several rows share", report.same_id.len(), "")?;
    for rows in report.same_id.iter().take(EXAMPLES) {
        line(2, "one id", rows.len(), &examples(rows))?;
    }
    line(0, "rows without an id", count(report.without_id), "")?;
    line(0, "ids that cannot be a key (over 255 bytes, controls)", count(report.unusable_id), "")?;

    line(0, "verified by the export", count(report.verified.yes), "")?;
    line(0, "not verified", count(report.verified.no), "")?;
    line(0, "verified or not: not known", count(report.verified.unknown), "")?;

    let hashed: u64 = report.hashes.formats.values().sum();
    line(0, "password hashes of a known format", count(hashed), "")?;
    for (format, rows) in &report.hashes.formats {
        line(2, format, count(*rows), "")?;
    }
    line(0, "password hashes that would be refused", count(report.hashes.refused.values().sum()), "")?;
    for (why, rows) in &report.hashes.refused {
        line(2, why, count(*rows), "")?;
    }
    line(0, "password hashes that do not say their format", count(report.hashes.unidentified), "")?;
    line(0, "rows without a password hash", count(report.hashes.missing), "")?;

    line(0, "values for which a row is left out", report.left_out.values().map(Vec::len).sum(), "")?;
    for (why, rows) in &report.left_out {
        line(2, why, rows.len(), &examples(rows))?;
    }

    line(0, "limits broken", report.over_limits.values().map(Vec::len).sum(), "")?;
    for (limit, rows) in &report.over_limits {
        line(2, limit.as_str(), rows.len(), &examples(rows))?;
    }
    Ok(())
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn examples(rows: &[u64]) -> String {
    let named: Vec<String> = rows.iter().take(EXAMPLES).map(u64::to_string).collect();
    let more = if rows.len() > EXAMPLES { ", …" } else { "" };
    format!("  rows {}{more}", named.join(", "))
}
