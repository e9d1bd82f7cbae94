//! The fields of one row, and how they are read.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

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

    /// The value as text: a string as it stands, a whole number or a boolean in its one spelling.
    ///
    /// A number with a fraction, an exponent or more digits than 64 bits hold has no text: reading it has rounded
    /// it, and two people's ids must never become the same.
    pub(crate) fn text(&self, path: &str) -> Option<Cow<'_, str>> {
        match self.get(path)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The value as a yes or a no: a boolean, or the ways databases write one to a file (`true`, `t`, `1` and their
    /// opposites, in any case). Anything else is `None`, "not known", which nobody may take for a yes (SEC-36).
    pub(crate) fn flag(&self, path: &str) -> Option<bool> {
        match self.text(path)?.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
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
        assert_eq!(fields.text("a.c.d").as_deref(), Some("7"));
        assert_eq!(fields.text("a.e.f.g").as_deref(), Some("true"));
        for absent in ["n", "a.x", "a.b.c", "l.0", "", ".", "a."] {
            assert!(fields.get(absent).is_none(), "{absent}");
        }
        assert!(fields.text("l").is_none() && fields.text("a").is_none());
    }

    #[test]
    fn a_number_that_was_rounded_has_no_text() {
        let fields = fields(&serde_json::from_str(
            r#"{"small":42,"max":18446744073709551615,"above":18446744073709551616,"half":0.5,"exp":1e3}"#,
        ).unwrap());
        assert_eq!(fields.text("small").as_deref(), Some("42"));
        assert_eq!(fields.text("max").as_deref(), Some("18446744073709551615"));
        for rounded in ["above", "half", "exp"] {
            assert!(fields.text(rounded).is_none(), "{rounded}");
        }
    }

    #[test]
    fn only_a_plain_yes_is_a_yes() {
        let fields = fields(&json!({
            "a": true, "b": "TRUE", "c": "t", "d": 1, "e": false, "f": "0", "g": "yes", "h": "", "i": 2, "j": " true",
            "k": [true],
        }));
        for (name, flag) in [
            ("a", Some(true)),
            ("b", Some(true)),
            ("c", Some(true)),
            ("d", Some(true)),
            ("e", Some(false)),
            ("f", Some(false)),
            ("g", None),
            ("h", None),
            ("i", None),
            ("j", None),
            ("k", None),
            ("missing", None),
        ] {
            assert_eq!(fields.flag(name), flag, "{name}");
        }
    }

    #[test]
    fn debug_does_not_show_the_row() {
        assert_eq!(format!("{:?}", fields(&json!({"password_hash": "canary"}))), "[redacted]");
    }
}
