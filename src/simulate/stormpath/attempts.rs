//! Login attempts: one password check.

use std::sync::Arc;

use axum::{
    Json,
    body::to_bytes,
    extract::{Path, Query, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{Account, Failure, Stormpath};
use crate::simulate::backstage::{Number, PasswordSeen, locked};

#[derive(Deserialize)]
pub(super) struct Wanted {
    expand: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attempt {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    account_store: Option<AccountStore>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AccountStore {
    href: Option<String>,
    name_key: Option<String>,
}

/// `POST /v1/applications/{id}/loginAttempts`
pub(super) async fn attempt(
    State(stormpath): State<Arc<Stormpath>>,
    Path(application): Path<String>,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<Response, Failure> {
    stormpath.is_application(&application)?;
    let (headers, number) = (request.headers().clone(), request.extensions().get::<Number>().copied());
    let body = to_bytes(request.into_body(), 64 * 1024).await.map_err(|_| Failure::Invalid("body"))?;
    let sent: Attempt = serde_json::from_slice(&body).map_err(|_| Failure::Invalid("body"))?;
    let (login, password) = credentials(&sent)?;
    if let Some(number) = number {
        stormpath.backstage.note(number, |entry| {
            entry.login = Some(login.clone());
            entry.password = Some(PasswordSeen { length_bytes: password.len() });
            entry.remarks.insert("account_store", Value::from(sent.account_store.is_some()));
        });
    }
    stormpath.backstage.count_check(&login);
    let account = judge(&stormpath, &login, &password, sent.account_store.as_ref(), &headers)?;
    Ok(Json(json!({ "account": named(&stormpath, &account, &wanted, &headers) })).into_response())
}

/// Login and password, told apart by the first colon.
fn credentials(sent: &Attempt) -> Result<(String, String), Failure> {
    if sent.kind != "basic" {
        return Err(Failure::Invalid("type must be basic"));
    }
    let pair = STANDARD.decode(&sent.value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or(Failure::Invalid("value must be base64 of UTF-8"))?;
    match pair.split_once(':') {
        Some((login, password)) if !login.is_empty() && !password.is_empty() => {
            Ok((login.to_owned(), password.to_owned()))
        }
        _ => Err(Failure::Invalid("value must be login:password")),
    }
}

/// The order of the questions: existence, what it belongs to, lock, state, password.
fn judge(
    stormpath: &Stormpath,
    login: &str,
    password: &str,
    store: Option<&AccountStore>,
    headers: &HeaderMap,
) -> Result<Account, Failure> {
    let root = stormpath.root(headers);
    let mut people = locked(&stormpath.people);
    let is_it = |account: &&Account| {
        let named =
            account.username().eq_ignore_ascii_case(login) || account.email.eq_ignore_ascii_case(login);
        named && store.is_none_or(|store| is_in(stormpath, account, store, &root))
    };
    let account = people.all().find(is_it).cloned().ok_or(Failure::Login(7104))?;
    if let Some(code) = account.login_error {
        return Err(Failure::Login(code));
    }
    let mut directories = stormpath.options.directories.iter();
    if directories.any(|directory| directory.id == account.directory && directory.status != "ENABLED") {
        return Err(Failure::Login(7106));
    }
    if people.is_locked(&account.id) {
        return Err(Failure::Login(7103));
    }
    match account.status.as_str() {
        "DISABLED" => return Err(Failure::Login(7101)),
        "UNVERIFIED" => return Err(Failure::Login(7102)),
        _ => {}
    }
    let stored = account.password.as_deref().unwrap_or_default();
    let right = !stored.is_empty() && bool::from(stored.as_bytes().ct_eq(password.as_bytes()));
    people.tried(&account.id, right, stormpath.options.lock_out_after);
    if right { Ok(account) } else { Err(Failure::Login(7100)) }
}

fn is_in(stormpath: &Stormpath, account: &Account, store: &AccountStore, root: &str) -> bool {
    let by_href =
        store.href.as_ref().map(|href| *href == format!("{root}/directories/{}", account.directory));
    let by_key = store.name_key.as_ref().map(|key| {
        let mut directories = stormpath.options.directories.iter();
        directories.any(|one| one.id == account.directory && one.name_key.as_ref() == Some(key))
    });
    by_href.or(by_key).unwrap_or(false)
}

/// The account as the answer names it: its address, or all of it where that was asked for.
fn named(stormpath: &Stormpath, account: &Account, wanted: &Wanted, headers: &HeaderMap) -> Value {
    let root = stormpath.root(headers);
    let expands =
        wanted.expand.as_deref().is_some_and(|names| names.split(',').any(|name| name == "account"));
    let mut named = account.to_json(&root);
    if !expands {
        named = json!({ "href": named["href"] });
    }
    if let Some(href) = &account.attempt_href {
        named["href"] = href.as_str().into();
    }
    named
}
