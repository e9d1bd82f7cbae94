//! Judges exchanges with the Scalekit management API by Scalekit's own `OpenAPI` document.
//!
//! Stricter than the document where it forgot to be: a key that a schema does not list is a problem, because a
//! wrong key in a body would pass otherwise. What the document is known to have wrong is the list [`SLIPS`];
//! anything else that does not fit is a finding.

use std::{collections::HashMap, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../fixtures/scalekit-openapi.json");
    let mut document: Value = serde_json::from_str(text).unwrap();
    for slip in &SLIPS {
        slip.mend(&mut document);
    }
    // Only the schemas: closed, so that what they do not list does not pass.
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.values_mut().for_each(close);
    }
    document
});

/// A place where the document is wrong or silent.
enum Slip {
    /// A route that exists and is not in the document; its answer has this schema.
    Missing {
        path: &'static str,
        method: &'static str,
        query: &'static [(&'static str, &'static str)],
        answer: &'static str,
    },
    /// A body that is said to require a member it has not: it goes unwrapped.
    Unwrapped { path: &'static str, method: &'static str },
}

const SEARCH_QUERY: &[(&str, &str)] =
    &[("query", "string"), ("page_size", "integer"), ("page_token", "string")];

/// Every known slip. A third kind needs no entry: error answers have no schema or the bare detail, so every
/// answer from 400 on is judged as a `google.rpc.Status` ([`error_problems`]).
const SLIPS: [Slip; 3] = [
    Slip::Missing {
        path: "/api/v1/organizations:search",
        method: "get",
        query: SEARCH_QUERY,
        answer: "organizationsListOrganizationsResponse",
    },
    Slip::Unwrapped {
        path: "/api/v1/memberships/organizations/{organization_id}/users/{id}",
        method: "post",
    },
    Slip::Unwrapped {
        path: "/api/v1/memberships/organizations/{organization_id}/users:external/{external_id}",
        method: "post",
    },
];

impl Slip {
    fn mend(&self, document: &mut Value) {
        match self {
            Self::Missing { path, method, query, answer } => {
                assert!(document["paths"].get(path).is_none(), "{path} is in the document now: not a slip");
                let parameters: Vec<Value> = query
                    .iter()
                    .map(|(name, kind)| json!({ "name": name, "in": "query", "schema": { "type": kind } }))
                    .collect();
                let schema = json!({ "$ref": format!("#/components/schemas/{answer}") });
                let answers = json!({ "200": { "content": { "application/json": { "schema": schema } } } });
                document["paths"][*path] =
                    json!({ *method: { "parameters": parameters, "responses": answers } });
            }
            Self::Unwrapped { path, method } => {
                let schema = &mut document["paths"][*path][*method]["requestBody"]["content"]["application/json"]
                    ["schema"];
                let removed = schema.as_object_mut().and_then(|schema| schema.remove("required"));
                assert_eq!(removed, Some(json!(["membership"])), "{path} has changed: not a slip");
            }
        }
    }
}

/// Lets no object pass with members its schema does not list.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) && !members.contains_key("allOf") {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Every problem in what the stand-in's `/__simulator/transcript` shows. Empty means: no exchange broke the contract.
///
/// A problem of a request begins with `request`, one of an answer with `answer`, after the exchange's number,
/// method, path and status.
pub(crate) fn validate(transcript: &Value) -> Vec<String> {
    let mut judge = Judge::default();
    let Some(exchanges) = transcript["exchanges"].as_array() else {
        return vec!["this is no transcript: it has no list of exchanges".to_owned()];
    };
    exchanges.iter().flat_map(|exchange| judge.problems(exchange)).collect()
}

/// Compiled schemas by their place in the document.
#[derive(Default)]
struct Judge(HashMap<String, Validator>);

impl Judge {
    fn problems(&mut self, exchange: &Value) -> Vec<String> {
        let text = |name: &str| exchange[name].as_str().unwrap_or_default().to_owned();
        let (method, path, status) = (text("method"), text("path"), exchange["status"].to_string());
        let mut found = Vec::new();
        match operation(&method, &path) {
            None => found.push("request: no such operation in the document".to_owned()),
            Some((place, operation)) => {
                found.extend(
                    query_problems(operation, &exchange["query"])
                        .into_iter()
                        .map(|what| format!("request: {what}")),
                );
                found.extend(self.request_problems(&place, operation, &exchange["request"]));
                if exchange["status"].as_u64().is_some_and(|status| status < 400) {
                    found.extend(self.answer_problems(&place, operation, &status, &exchange["response"]));
                }
            }
        }
        if exchange["status"].as_u64().is_none_or(|status| status >= 400) {
            let problems = self.error_problems(&exchange["response"]["json"]);
            found.extend(problems.into_iter().map(|what| format!("answer: {what}")));
        }
        found
            .into_iter()
            .map(|what| format!("{} {method} {path} ({status}): {what}", exchange["number"]))
            .collect()
    }

    fn request_problems(&mut self, place: &str, operation: &Value, payload: &Value) -> Vec<String> {
        let wanted = operation["requestBody"].is_object();
        match (payload.get("json"), wanted) {
            (None, false) if payload == "none" => Vec::new(),
            (None, true) if payload == "none" && operation["requestBody"]["required"] != true => Vec::new(),
            (None, true) if payload == "none" => vec!["request: the body is missing".to_owned()],
            (None, _) => vec!["request: the body is not JSON".to_owned()],
            (Some(_), false) => vec!["request: a body where none is taken".to_owned()],
            (Some(body), true) => {
                let schema = format!("{place}/requestBody/content/application~1json/schema");
                self.schema_problems(&schema, body)
                    .into_iter()
                    .map(|what| format!("request: {what}"))
                    .collect()
            }
        }
    }

    fn answer_problems(
        &mut self,
        place: &str,
        operation: &Value,
        status: &str,
        payload: &Value,
    ) -> Vec<String> {
        if operation["responses"].get(status).is_none() {
            return vec![format!("answer: status {status} is not one of this operation's")];
        }
        let Some(body) = payload.get("json") else { return vec!["answer: not JSON".to_owned()] };
        let schema = format!("{place}/responses/{status}/content/application~1json/schema");
        self.schema_problems(&schema, body).into_iter().map(|what| format!("answer: {what}")).collect()
    }

    /// A `google.rpc.Status` whose details are Scalekit's `ErrorInfo`.
    fn error_problems(&mut self, body: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if !body["code"].is_u64() || !body["message"].is_string() {
            found.push("an error answer needs a code number and a message".to_owned());
        }
        let Some(details) = body["details"].as_array().filter(|details| !details.is_empty()) else {
            found.push("an error answer needs details".to_owned());
            return found;
        };
        for detail in details {
            let mut info = detail.as_object().cloned().unwrap_or_default();
            let kind = info.remove("@type");
            if kind != Some(json!("type.googleapis.com/scalekit.v1.errdetails.ErrorInfo")) {
                found.push(format!("a detail of type {kind:?}"));
            }
            if !info.get("error_code").is_some_and(Value::is_string) {
                found.push("a detail without error_code".to_owned());
            }
            found.extend(
                self.schema_problems("/components/schemas/errdetailsErrorInfo", &Value::Object(info)),
            );
        }
        found
    }

    fn schema_problems(&mut self, place: &str, body: &Value) -> Vec<String> {
        let validator = self.0.entry(place.to_owned()).or_insert_with(|| {
            let schema = DOCUMENT.pointer(place).unwrap_or_else(|| panic!("no schema at {place}"));
            compiled(schema)
        });
        validator.iter_errors(body).map(|error| format!("at `{}`: {error}", error.instance_path())).collect()
    }
}

/// The schema with the schemas it leads to.
fn compiled(schema: &Value) -> Validator {
    let mut reached = Map::new();
    reach(schema, &mut reached);
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    schema.insert("components".to_owned(), json!({ "schemas": reached }));
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    jsonschema::options().should_validate_formats(true).build(&Value::Object(schema)).unwrap()
}

fn reach(schema: &Value, reached: &mut Map<String, Value>) {
    match schema {
        Value::Object(members) => {
            let named = members.get("$ref").and_then(Value::as_str);
            if let Some(name) = named.and_then(|place| place.strip_prefix("#/components/schemas/"))
                && !reached.contains_key(name)
            {
                let found = &DOCUMENT["components"]["schemas"][name];
                assert!(found.is_object(), "no schema {name}");
                reached.insert(name.to_owned(), found.clone());
                reach(found, reached);
            }
            members.values().for_each(|member| reach(member, reached));
        }
        Value::Array(items) => items.iter().for_each(|item| reach(item, reached)),
        _ => {}
    }
}

/// The operation of a request: the template with the most literal text wins, as `users:search` over `{id}`.
fn operation(method: &str, path: &str) -> Option<(String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object()?;
    let fitting = paths.iter().filter(|(template, _)| fits(template, path));
    let (template, item) = fitting.max_by_key(|(template, _)| template.split('{').next().map(str::len))?;
    let method = method.to_ascii_lowercase();
    let place = format!("/paths/{}/{method}", template.replace('~', "~0").replace('/', "~1"));
    item.get(&method).map(|operation| (place, operation))
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(wanted, given)| match wanted.strip_prefix('{') {
            None => *wanted == given,
            // `{id}` or `{id}:enable`; a verb of the template is no part of the parameter.
            Some(rest) => match rest.split_once('}') {
                Some((_, "")) => !given.is_empty(),
                Some((_, verb)) => given.len() > verb.len() && given.ends_with(verb),
                None => false,
            },
        })
}

fn query_problems(operation: &Value, query: &Value) -> Vec<String> {
    let known: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query").collect();
    let given: Vec<(&str, &str)> = query
        .as_array()
        .into_iter()
        .flatten()
        .map(|pair| (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()))
        .collect();
    let mut found = Vec::new();
    for (name, value) in &given {
        let Some(parameter) = known.iter().find(|parameter| parameter["name"] == **name) else {
            found.push(format!("the query has an unknown `{name}`"));
            continue;
        };
        let mut schema = &parameter["schema"];
        let many = schema["type"] == "array";
        if many {
            schema = &schema["items"];
        } else if given.iter().filter(|(other, _)| other == name).count() > 1 {
            found.push(format!("the query has `{name}` more than once"));
        }
        let typed = match schema["type"].as_str() {
            Some("integer") => value.parse::<i64>().map(Value::from).ok(),
            Some("boolean") => value.parse::<bool>().map(Value::from).ok(),
            _ => Some(Value::from(*value)),
        };
        let fits = typed.is_some_and(|value| compiled(schema).is_valid(&value));
        if !fits {
            found.push(format!("the query's `{name}` is not as the document has it"));
        }
    }
    for parameter in known.iter().filter(|parameter| parameter["required"] == true) {
        let name = parameter["name"].as_str().unwrap_or_default();
        if !given.iter().any(|(other, _)| *other == name) {
            found.push(format!("the query lacks `{name}`"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(changes: &Value) -> Value {
        let mut exchange = json!({
            "number": 0, "method": "GET", "path": "/api/v1/users:search", "query": [["query", "abc"]],
            "request": "none", "status": 200,
            "response": { "json": { "users": [], "total_size": 0, "next_page_token": "", "prev_page_token": "" } },
        });
        exchange.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({ "exchanges": [exchange] })
    }

    #[test]
    fn a_faithful_exchange_has_no_problem() {
        assert_eq!(validate(&exchange(&json!({}))), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_breach_is_found() {
        let create = json!({
            "method": "POST", "path": "/api/v1/organizations/org_1/users", "query": [], "status": 201,
            "response": { "json": { "user": { "id": "usr_1" } } },
        });
        let body = |body: Value| {
            let mut create = create.clone();
            create["request"] = json!({ "json": body });
            create
        };
        let table = [
            (json!({ "path": "/api/v1/nothing" }), "no such operation"),
            (json!({ "method": "PUT" }), "no such operation"),
            (json!({ "query": [] }), "lacks `query`"),
            (json!({ "query": [["query", "ab"]] }), "`query` is not as"),
            (json!({ "query": [["query", "abc"], ["page_size", "many"]] }), "`page_size` is not as"),
            (json!({ "query": [["query", "abc"], ["page_size", "31"]] }), "`page_size` is not as"),
            (json!({ "query": [["query", "abc"], ["query", "abd"]] }), "more than once"),
            (json!({ "query": [["query", "abc"], ["email", "x"]] }), "unknown `email`"),
            (json!({ "request": { "json": {} } }), "none is taken"),
            (json!({ "status": 201 }), "status 201 is not one"),
            (json!({ "response": { "json": { "users": "none" } } }), "at `/users`"),
            (json!({ "response": { "json": { "people": [] } } }), "people"),
            (json!({ "response": { "json": { "users": [{ "create_time": "today" }] } } }), "create_time"),
            (json!({ "response": "not_json" }), "not JSON"),
            (json!({ "status": 404, "response": { "json": { "error": "x" } } }), "a code number"),
            (body(json!({ "email": "a@b.test", "send_invitation_email": false })), "send_invitation_email"),
            (
                body(json!({ "email": "a@b.test", "membership": { "roles": ["member"] } })),
                "/membership/roles/0",
            ),
            (create.clone(), "the body is missing"),
        ];
        for (changes, expected) in table {
            let mut changes = changes;
            if changes["path"] == "/api/v1/organizations/org_1/users" && changes.get("request").is_none() {
                changes["request"] = json!("none");
            }
            let problems = validate(&exchange(&changes));
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{changes}: {problems:?}");
        }
    }

    #[test]
    fn something_that_is_no_transcript_does_not_pass() {
        assert_eq!(validate(&json!({})).len(), 1);
    }
}
