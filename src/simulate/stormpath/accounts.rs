//! Accounts: one, a search, custom data, groups page by page.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::{Account, Failure, Stormpath};
use crate::simulate::backstage::locked;

type Fields = Query<BTreeMap<String, String>>;

/// `GET /v1/accounts/{id}`
pub(super) async fn one(
    State(stormpath): State<Arc<Stormpath>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    found(&stormpath, &id).map(|account| Json(account.to_json(&stormpath.root(&headers))))
}

/// `GET /v1/accounts/{id}/customData`
pub(super) async fn custom_data(
    State(stormpath): State<Arc<Stormpath>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    found(&stormpath, &id).map(|account| Json(account.custom_data_json(&stormpath.root(&headers))))
}

/// `GET /v1/accounts/{id}/groups`
pub(super) async fn groups(
    State(stormpath): State<Arc<Stormpath>>,
    Path(id): Path<String>,
    Query(fields): Fields,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let (account, root) = (found(&stormpath, &id)?, stormpath.root(&headers));
    let groups =
        account.groups.iter().enumerate().map(|(number, group)| group.to_json(&root, number)).collect();
    page(&stormpath, &format!("{root}/accounts/{id}/groups"), &fields, groups)
}

/// `GET /v1/applications/{id}/accounts`: by attribute, where `*` stands for anything, or by `q` over all of them.
pub(super) async fn search(
    State(stormpath): State<Arc<Stormpath>>,
    Path(application): Path<String>,
    Query(fields): Fields,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    stormpath.is_application(&application)?;
    let root = stormpath.root(&headers);
    for name in fields.keys() {
        if !matches!(name.as_str(), "q" | "offset" | "limit" | "expand") && attribute(name).is_none() {
            return Err(Failure::Invalid("this attribute cannot be searched for"));
        }
    }
    let loose = stormpath.options.loose_search;
    let wants = |account: &&Account| {
        fields.iter().all(|(name, wanted)| match attribute(name) {
            Some(value) => value(account).is_some_and(|value| matches(value, wanted, loose)),
            None if name == "q" => ATTRIBUTES
                .iter()
                .any(|(_, value)| value(account).is_some_and(|value| matches(value, wanted, true))),
            None => true,
        })
    };
    let items = locked(&stormpath.people).all().filter(wants).map(|account| account.to_json(&root)).collect();
    page(&stormpath, &format!("{root}/applications/{application}/accounts"), &fields, items)
}

type Attribute = fn(&Account) -> Option<&str>;

const ATTRIBUTES: [(&str, Attribute); 6] = [
    ("username", |account| Some(account.username())),
    ("email", |account| Some(&account.email)),
    ("givenName", |account| account.given_name.as_deref()),
    ("middleName", |account| account.middle_name.as_deref()),
    ("surname", |account| account.surname.as_deref()),
    ("status", |account| Some(&account.status)),
];

fn attribute(name: &str) -> Option<Attribute> {
    ATTRIBUTES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// In any case; `*` at either end, and `loose`, take what only contains the text.
fn matches(value: &str, wanted: &str, loose: bool) -> bool {
    let (value, wanted) = (value.to_lowercase(), wanted.to_lowercase());
    let text = wanted.trim_matches('*');
    match (loose || wanted.starts_with('*'), loose || wanted.ends_with('*')) {
        (true, true) => value.contains(text),
        (true, false) => value.ends_with(text),
        (false, true) => value.starts_with(text),
        (false, false) => value == text,
    }
}

fn found(stormpath: &Stormpath, id: &str) -> Result<Account, Failure> {
    locked(&stormpath.people).with_id(id).cloned().ok_or(Failure::NotFound)
}

/// One page of a list, `limit` items from `offset`.
fn page(
    stormpath: &Stormpath,
    href: &str,
    fields: &BTreeMap<String, String>,
    items: Vec<Value>,
) -> Result<Json<Value>, Failure> {
    let number = |name: &str, default: usize| {
        fields
            .get(name)
            .map_or(Ok(default), |text| text.parse().map_err(|_| Failure::Invalid("offset or limit")))
    };
    let (offset, limit) =
        (number("offset", 0)?, number("limit", 25)?.min(stormpath.options.page_size).max(1));
    let size = items.len();
    let shown: Vec<Value> = items.into_iter().skip(offset).take(limit).collect();
    Ok(Json(json!({ "href": href, "offset": offset, "limit": limit, "size": size, "items": shown })))
}
