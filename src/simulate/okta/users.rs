//! The users API: one user, lists with search, groups page by page, factors.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{Call, Okta, Person, Scope, errors::Failure, people::Factor};
use crate::simulate::backstage::locked;

/// Query of the lists.
#[derive(Deserialize)]
pub(super) struct Wanted {
    search: Option<String>,
    filter: Option<String>,
    q: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// `GET /api/v1/users/{idOrLogin}`
pub(super) async fn one(
    State(okta): State<Arc<Okta>>,
    Path(key): Path<String>,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let call = Call::of(&request);
    okta.permit(&call, Scope::Users)?;
    let base = okta.base_url(&call.headers);
    found(&okta, &key).map(|person| Json(person.to_json(&base)))
}

/// `GET /api/v1/users/{id}/factors`
pub(super) async fn factors(
    State(okta): State<Arc<Okta>>,
    Path(key): Path<String>,
    request: Request,
) -> Result<Json<Value>, Failure> {
    okta.permit(&Call::of(&request), Scope::Factors)?;
    found(&okta, &key).map(|person| Json(person.factors.iter().map(Factor::to_json).collect()))
}

/// `GET /api/v1/users/{id}/groups`
pub(super) async fn groups(
    State(okta): State<Arc<Okta>>,
    Path(key): Path<String>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Failure> {
    let call = Call::of(&request);
    okta.permit(&call, Scope::Groups)?;
    let person = found(&okta, &key)?;
    let items: Vec<_> = person.groups.iter().map(|group| (group.id().to_owned(), group.to_json())).collect();
    let url = format!("{}/api/v1/users/{}/groups", okta.base_url(&call.headers), person.id);
    Ok(page(&url, &wanted, okta.options.page_size, &items))
}

/// `GET /api/v1/users`
pub(super) async fn list(
    State(okta): State<Arc<Okta>>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Failure> {
    let call = Call::of(&request);
    okta.permit(&call, Scope::Users)?;
    let base = okta.base_url(&call.headers);
    let condition =
        wanted.search.as_deref().or(wanted.filter.as_deref()).map(Condition::parse).transpose()?;
    let wants = |person: &&Person| match (&condition, &wanted.q) {
        (Some(condition), _) => condition.holds(person),
        (None, Some(start)) => begins(person, start),
        // A plain listing leaves deactivated people out.
        (None, None) => person.status != "DEPROVISIONED",
    };
    let items: Vec<_> = locked(&okta.people)
        .all()
        .filter(wants)
        .map(|person| (person.id.clone(), person.to_json(&base)))
        .collect();
    Ok(page(&format!("{base}/api/v1/users"), &wanted, okta.options.page_size, &items))
}

fn found(okta: &Okta, key: &str) -> Result<Person, Failure> {
    let person = locked(&okta.people).by_id_or_login(key).cloned();
    person.ok_or_else(|| Failure::NotFound(format!("{key} (User)")))
}

/// `q` looks at the beginnings of names and address.
fn begins(person: &Person, start: &str) -> bool {
    let start = start.to_lowercase();
    [person.first_name.as_deref(), person.last_name.as_deref(), Some(person.email())]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().starts_with(&start))
}

/// One page after the `after` cursor, with `Link` to itself and to the next.
fn page(url: &str, wanted: &Wanted, page_size: usize, items: &[(String, Value)]) -> Response {
    let size = wanted.limit.unwrap_or(page_size).min(page_size).max(1);
    let behind = wanted.after.as_ref().and_then(|after| items.iter().position(|(id, _)| id == after));
    let rest = items.get(behind.map_or(0, |at| at + 1)..).unwrap_or_default();
    let shown = rest.get(..size).unwrap_or(rest);
    let mut response = Json(shown.iter().map(|(_, item)| item).collect::<Vec<_>>()).into_response();
    let next = shown.last().filter(|_| rest.len() > size).map(|(id, _)| id.as_str());
    let links = [("self", Some(wanted.after.as_deref())), ("next", next.map(Some))].into_iter().filter_map(
        |(rel, after)| after.map(|after| format!("<{}>; rel=\"{rel}\"", address(url, wanted, size, after))),
    );
    for link in links {
        // Okta sends one field per link.
        if let Ok(value) = HeaderValue::try_from(link) {
            response.headers_mut().append(header::LINK, value);
        }
    }
    response
}

fn address(url: &str, wanted: &Wanted, size: usize, after: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("search", &wanted.search), ("filter", &wanted.filter), ("q", &wanted.q)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if let Some(after) = after {
        query.append_pair("after", after);
    }
    query.append_pair("limit", &size.to_string());
    let mut address = url.to_owned();
    let _ = write!(address, "?{}", query.finish());
    address
}

/// A search: comparisons joined by `and` and `or`, where `and` binds tighter.
struct Condition(Vec<Vec<Comparison>>);

struct Comparison {
    attribute: String,
    starts_with: bool,
    value: String,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut alternatives = vec![Vec::new()];
        let mut rest = text.trim();
        loop {
            let (comparison, after) = Comparison::parse(rest).ok_or(Failure::E0000031)?;
            if let Some(all) = alternatives.last_mut() {
                all.push(comparison);
            }
            rest = after.trim_start();
            if rest.is_empty() {
                return Ok(Self(alternatives));
            }
            let (joint, after) = rest.split_once(' ').ok_or(Failure::E0000031)?;
            match joint.to_ascii_lowercase().as_str() {
                "and" => {}
                "or" => alternatives.push(Vec::new()),
                _ => return Err(Failure::E0000031),
            }
            rest = after.trim_start();
        }
    }

    fn holds(&self, person: &Person) -> bool {
        self.0.iter().any(|all| all.iter().all(|comparison| comparison.holds(person)))
    }
}

impl Comparison {
    /// `attribute eq "value"`, and what stands behind it.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let (attribute, rest) = text.split_once(' ')?;
        let (operator, rest) = rest.trim_start().split_once(' ')?;
        let starts_with = match operator.to_ascii_lowercase().as_str() {
            "eq" => false,
            "sw" => true,
            _ => return None,
        };
        let known =
            ["id", "status", "profile.email", "profile.login", "profile.firstName", "profile.lastName"];
        let attribute = known.iter().find(|name| name.eq_ignore_ascii_case(attribute))?;
        let mut values = serde_json::Deserializer::from_str(rest.trim_start()).into_iter::<String>();
        // The value is a quoted text with JSON's escapes.
        let value = values.next()?.ok()?;
        let after = rest.trim_start().get(values.byte_offset()..)?;
        Some((Self { attribute: (*attribute).to_owned(), starts_with, value }, after))
    }

    fn holds(&self, person: &Person) -> bool {
        let actual = match self.attribute.as_str() {
            "id" => Some(person.id.as_str()),
            "status" => Some(person.status.as_str()),
            "profile.email" => Some(person.email()),
            "profile.login" => Some(person.login.as_str()),
            "profile.firstName" => person.first_name.as_deref(),
            _ => person.last_name.as_deref(),
        };
        let (actual, value) = (actual.unwrap_or_default().to_lowercase(), self.value.to_lowercase());
        if self.starts_with { actual.starts_with(&value) } else { actual == value }
    }
}
