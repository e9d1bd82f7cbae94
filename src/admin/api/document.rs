//! The OpenAPI document, written from the list of operations and the types they read and answer.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    PREFIX,
    operation::{Call, Nothing, Operation, read},
    problem,
};
use crate::config::AdminRole;

/// An OpenAPI document; its own specification says what is in it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
struct OpenApi(Map<String, Value>);

pub(super) fn operations() -> Vec<Operation> {
    vec![read("/openapi.json", "openapi", "This document", |call: Call<Nothing>| async move {
        Ok(OpenApi(call.api.document().clone()))
    })]
}

/// What every operation may answer beside its success.
const ALWAYS: [(&str, &str); 6] = [
    ("400", "The request cannot be read, or a parameter cannot be meant"),
    ("401", "No token, or a wrong one"),
    ("403", "The token's role may not do this"),
    ("429", "Too many wrong tokens came from this address"),
    ("500", "A fault of Crossfade's own"),
    ("503", "Starting, or a dependency cannot be asked"),
];

/// What an operation with a body may answer, too.
const WITH_BODY: [(&str, &str); 4] = [
    ("408", "The body did not come in time"),
    ("413", "The body is larger than 64 KiB"),
    ("415", "The body is not JSON"),
    ("422", "The body is JSON and not what is meant here"),
];

/// The whole document (OpenAPI 3.1, whose schemas are JSON Schema 2020-12).
pub(super) fn write(operations: &[Operation]) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let error = schemas.subschema_for::<problem::Body>();
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(format!("{PREFIX}{}", operation.path)).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_ascii_lowercase();
        if let Some(path) = path.as_object_mut() {
            path.insert(method, described(operation, &error, &mut schemas));
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Crossfade admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Reads and changes a running Crossfade. Viewers read; operators also change, and see \
                people's addresses. Points in time are RFC 3339 in UTC.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "A token of admin.tokens." },
            },
        },
    });
    match document {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

fn described(operation: &Operation, error: &Schema, schemas: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let success = (operation.answer)(schemas);
    responses.insert(
        "200".into(),
        json!({ "description": "Done", "content": { "application/json": { "schema": success } } }),
    );
    let failure = |meaning: &str| json!({ "description": meaning, "content": { "application/json": { "schema": error } } });
    let with_body: &[(&str, &str)] = if operation.has_body() { &WITH_BODY } else { &[] };
    for (status, meaning) in ALWAYS.iter().chain(with_body) {
        responses.insert((*status).to_owned(), failure(meaning));
    }
    for (status, meaning) in &operation.refusals {
        responses.insert(status.as_str().to_owned(), failure(meaning));
    }
    let needs = match operation.role {
        AdminRole::Viewer => "Needs the role viewer.",
        AdminRole::Operator => "Needs the role operator.",
    };
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": needs,
        "responses": responses,
    });
    let input = (operation.input)(schemas);
    if operation.has_body() {
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": input } } });
    } else {
        described["parameters"] = parameters(&input);
    }
    described
}

/// The fields of a query. What may be left out is never `null` there: absent is the only way to say nothing.
fn parameters(input: &Schema) -> Value {
    let fields = input.get("properties").and_then(Value::as_object);
    let required = input.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({
            "name": name,
            "in": "query",
            "required": is_required(name),
            "description": description.unwrap_or_else(|| "".into()),
            "schema": without_null(schema),
        })
    };
    fields.into_iter().flatten().map(parameter).collect()
}

fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let kinds: Vec<&Value> = kinds.iter().filter(|kind| *kind != "null").collect();
        if let [kind] = kinds[..] {
            let kind = kind.clone();
            schema["type"] = kind;
        }
    }
    let others = schema.get("anyOf").and_then(Value::as_array).map(|choices| {
        choices
            .iter()
            .filter(|choice| choice.get("type").is_none_or(|kind| kind != "null"))
            .collect::<Vec<_>>()
    });
    match others.as_deref() {
        Some([only]) => (*only).clone(),
        _ => schema,
    }
}
