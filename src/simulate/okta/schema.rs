//! The schema of users' profiles: Okta's own attributes, and those that somebody of the seed has beside them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
};
use serde_json::{Map, Value, json};

use super::{Call, Okta, Scope, errors::Failure};
use crate::simulate::backstage::locked;

/// `GET /api/v1/meta/schemas/user/default`
pub(super) async fn user(State(okta): State<Arc<Okta>>, request: Request) -> Result<Json<Value>, Failure> {
    okta.permit(&Call::of(&request), Scope::Users)?;
    let own = ["login", "email", "firstName", "lastName", "secondEmail", "mobilePhone", "locale"];
    let base: Map<String, Value> =
        own.into_iter().map(|name| (name.to_owned(), json!({ "type": "string" }))).collect();
    let mut custom = Map::new();
    for person in locked(&okta.people).all() {
        for (name, value) in &person.profile {
            if !own.contains(&name.as_str()) {
                custom.insert(name.clone(), json!({ "title": name, "type": kind(value) }));
            }
        }
    }
    Ok(Json(json!({
        "name": "user",
        "type": "object",
        "definitions": {
            "base": { "id": "#base", "type": "object", "properties": base, "required": ["login", "email"] },
            "custom": { "id": "#custom", "type": "object", "properties": custom, "required": [] },
        },
    })))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Null | Value::String(_) | Value::Object(_) => "string",
    }
}
