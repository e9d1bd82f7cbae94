//! The JSON schema of the file, for editors and for other people's checks.

use super::raw::Raw;

/// The schema (draft 2020-12); its descriptions are the doc comments of `raw`.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(Raw).to_value()
}
