//! The file of an embedded store, looked at and filled from outside while nobody serves it.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("rows");
const ALIASES: TableDefinition<&str, &str> = TableDefinition::new("aliases");
const STAGED: TableDefinition<(&str, &str), ()> = TableDefinition::new("people_by_stage");
const STAGES: TableDefinition<(&str, bool), u64> = TableDefinition::new("people_counts");
const REACH: TableDefinition<u16, u64> = TableDefinition::new("people_in_reach");

/// Everybody in it, in the order of their keys, without claims.
pub(super) fn rows(file: &Path) -> Vec<Value> {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(ROWS).unwrap();
    let mut rows: Vec<Value> = table
        .iter()
        .unwrap()
        .map(|entry| {
            let mut row: Value = serde_json::from_slice(entry.unwrap().1.value()).unwrap();
            row["claim"] = Value::Null;
            row
        })
        .collect();
    rows.sort_by_key(|row| row["key"].to_string());
    rows
}

/// Adds people like the first one in it until there are so many.
pub(super) fn multiply(file: &Path, people: usize) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(ROWS).unwrap();
        let mut aliases = transaction.open_table(ALIASES).unwrap();
        let (name, like) = {
            let (name, value) = rows.first().unwrap().unwrap();
            (name.value().to_owned(), String::from_utf8(value.value().to_vec()).unwrap())
        };
        let (source, id) = name.split_once(':').unwrap();
        let there = rows.iter().unwrap().count();
        for number in there..people {
            // Everything about them is made of their id.
            let own = format!("copy-{number:07}");
            let row = like.replace(id, &own);
            let mut row: Value = serde_json::from_str(&row).unwrap();
            let key = format!("{source}:{own}");
            let user = format!("usr_{number:018}");
            row["user"] = user.as_str().into();
            let mut named = Vec::new();
            for alias in row["aliases"].as_array_mut().unwrap() {
                let (kind, name) = alias.as_object().unwrap().iter().next().unwrap();
                let (kind, mut name) = (kind.clone(), name.as_str().unwrap().to_owned());
                if kind == "user" {
                    name.clone_from(&user);
                }
                named.push(format!("{kind}:{name}"));
                *alias = serde_json::json!({ kind: name });
            }
            rows.insert(key.as_str(), row.to_string().as_bytes()).unwrap();
            for alias in named {
                aliases.insert(alias.as_str(), key.as_str()).unwrap();
            }
        }
    }
    // Counted anew when it is opened next.
    transaction.delete_table(STAGED).unwrap();
    transaction.delete_table(STAGES).unwrap();
    transaction.delete_table(REACH).unwrap();
    transaction.commit().unwrap();
}

/// Makes the row of this key one that cannot be read.
pub(super) fn garble(file: &Path, key: &str) {
    let database = Database::open(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let before = transaction.open_table(ROWS).unwrap().insert(key, b"{garbage".as_slice()).unwrap().is_some();
    assert!(before, "{key} has a row");
    transaction.commit().unwrap();
}
