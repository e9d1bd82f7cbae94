//! The fields of one row, by their names.

use std::{collections::HashMap, fmt, sync::Arc};

use serde_json::{Map, Value};

/// The fields of one row.
pub(crate) struct Fields(Shape);

enum Shape {
    Object(Map<String, Value>),
    /// One cell a column; an empty cell is absent.
    Cells {
        columns: Arc<HashMap<String, usize>>,
        cells: Vec<Option<Value>>,
    },
}

impl Fields {
    pub(super) fn object(object: Map<String, Value>) -> Self {
        Self(Shape::Object(object))
    }

    pub(super) fn cells(columns: Arc<HashMap<String, usize>>, cells: Vec<Option<Value>>) -> Self {
        Self(Shape::Cells { columns, cells })
    }

    /// The value of this exact name, else of this dotted path into nested objects. A JSON `null` is absent.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        match &self.0 {
            Shape::Object(object) => within(object, path),
            Shape::Cells { columns, cells } => cells.get(*columns.get(path)?)?.as_ref(),
        }
    }
}

fn within<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value).filter(|value| !value.is_null());
    }
    // Every cut is tried: a name may itself hold a dot ("address.home" inside "profile").
    path.match_indices('.').find_map(|(dot, _)| {
        let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        within(object.get(name)?.as_object()?, rest)
    })
}

/// Rows hold hashes and addresses (SEC-50).
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Fields {
        Fields::object(value.as_object().unwrap().clone())
    }

    #[test]
    fn an_exact_name_comes_before_a_path() {
        let fields = fields(&json!({
            "a.b": "exact", "a": {"b": "path", "c": {"d": 7}, "e.f": {"g": true}}, "n": null, "l": [1],
        }));
        assert_eq!(fields.get("a.b"), Some(&json!("exact")));
        assert_eq!(fields.get("a.c.d"), Some(&json!(7)));
        assert_eq!(fields.get("a.e.f.g"), Some(&json!(true)));
        for absent in ["n", "a.x", "a.b.c", "l.0", "", ".", "a."] {
            assert!(fields.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn debug_does_not_show_the_row() {
        assert_eq!(format!("{:?}", fields(&json!({"password_hash": "canary"}))), "[redacted]");
    }
}
