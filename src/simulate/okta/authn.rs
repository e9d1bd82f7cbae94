//! Primary authentication: one password check and the state it leads to.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq as _;

use super::{Call, Caller, LockOut, Okta, Person, errors::Failure};
use crate::{
    clock::Timestamp,
    simulate::backstage::{self, PasswordSeen, locked},
};

/// What a caller may send. Members Okta does not know are ignored, as there.
#[derive(Deserialize)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
    /// Identity Engine rejects it.
    audience: Option<Value>,
    #[serde(default)]
    options: Choices,
    #[serde(default)]
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Choices {
    warn_before_password_expired: bool,
    multi_optional_factor_enroll: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    device_token: Option<String>,
}

/// What the check came to.
enum Judgement {
    Refused(Failure),
    /// Locked, and the policy shows it: no word on the password.
    LockedOut,
    /// A transaction about a person, in this state.
    State(String, Box<Person>),
}

/// `POST /api/v1/authn`
pub(super) async fn authenticate(State(okta): State<Arc<Okta>>, request: Request) -> Response {
    let call = Call::of(&request);
    match attempt(&okta, &call, request).await {
        Ok(Judgement::State(state, person)) => transaction(&okta, &call.headers, &state, Some(&person)),
        Ok(Judgement::LockedOut) => transaction(&okta, &call.headers, "LOCKED_OUT", None),
        Ok(Judgement::Refused(failure)) | Err(failure) => failure.into_response(),
    }
}

async fn attempt(okta: &Okta, call: &Call, request: Request) -> Result<Judgement, Failure> {
    let caller = okta.caller(call)?;
    if !speaks_json(&call.headers) {
        return Err(Failure::E0000021);
    }
    let body = to_bytes(request.into_body(), 64 * 1024).await.map_err(|_| Failure::E0000003)?;
    let sent: Credentials = serde_json::from_slice(&body).map_err(|_| Failure::E0000003)?;
    let client = okta.client_ip(call, caller);
    record(okta, call, caller, client, &sent);
    let (login, password) = checked(okta, &sent)?;
    okta.backstage.count_check(login);
    Ok(judge(okta, client, login, password, &sent.options))
}

/// Both ways JSON: what is sent and what is wanted back.
fn speaks_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("").to_ascii_lowercase());
    let sent =
        text(header::CONTENT_TYPE).is_some_and(|kind| kind.trim_start().starts_with("application/json"));
    let wanted = text(header::ACCEPT).is_none_or(|kinds| {
        ["application/json", "application/*", "*/*"].iter().any(|kind| kinds.contains(kind))
    });
    sent && wanted
}

fn record(okta: &Okta, call: &Call, caller: Caller, client: IpAddr, sent: &Credentials) {
    let Some(number) = call.number else { return };
    let text = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    okta.backstage.note(number, |entry| {
        entry.login.clone_from(&sent.username);
        entry.password = sent.password.as_ref().map(|typed| PasswordSeen { length_bytes: typed.len() });
        entry.client_ip = Some(client.to_string());
        entry
            .remarks
            .insert("caller", Value::from(if caller == Caller::Trusted { "trusted" } else { "public" }));
        entry.remarks.insert("user_agent", Value::from(text("user-agent")));
        entry.remarks.insert("device_fingerprint", Value::from(text("x-device-fingerprint").is_some()));
        entry.remarks.insert("device_token", Value::from(sent.context.device_token.is_some()));
        entry.remarks.insert(
            "options",
            json!({
                "warnBeforePasswordExpired": sent.options.warn_before_password_expired,
                "multiOptionalFactorEnroll": sent.options.multi_optional_factor_enroll,
            }),
        );
    });
}

/// Login and password of a request that keeps the API's rules.
fn checked<'sent>(okta: &Okta, sent: &'sent Credentials) -> Result<(&'sent str, &'sent str), Failure> {
    if sent.audience.is_some() {
        return Err(Failure::Invalid("audience"));
    }
    if sent.context.device_token.as_ref().is_some_and(|token| token.chars().count() > 32) {
        return Err(Failure::Invalid("deviceToken"));
    }
    match (sent.username.as_deref(), sent.password.as_deref()) {
        (None | Some(""), _) => Err(Failure::Invalid("username")),
        (_, None | Some("")) => Err(Failure::Invalid("password")),
        (_, Some(typed)) if okta.options.longest_password_bytes.is_some_and(|most| typed.len() > most) => {
            Err(Failure::Invalid("password"))
        }
        (Some(login), Some(password)) => Ok((login, password)),
    }
}

/// The order of the questions: policy, existence, lock, status, password; then what stands after the password.
fn judge(okta: &Okta, client: IpAddr, login: &str, password: &str, choices: &Choices) -> Judgement {
    let wrong = Judgement::Refused(Failure::E0000004);
    let mut people = locked(&okta.people);
    if okta.options.blocked_ips.contains(&client) {
        return wrong;
    }
    let Some(person) = people.by_login(login).cloned() else { return wrong };
    if let Some(code) = &person.authn_error {
        return Judgement::Refused(Failure::from_code(code));
    }
    if person.status == "LOCKED_OUT" {
        return locked_out(okta);
    }
    if !matches!(person.status.as_str(), "ACTIVE" | "PASSWORD_EXPIRED") && person.transaction.is_none() {
        return wrong;
    }
    let right = person
        .password
        .as_ref()
        .is_some_and(|stored| bool::from(stored.as_bytes().ct_eq(password.as_bytes())));
    people.tried(&person.id, right, okta.options.lock_out_after);
    if right {
        return Judgement::State(state_after(&person, choices), Box::new(person));
    }
    match people.by_login(login) {
        Some(now) if now.status == "LOCKED_OUT" => locked_out(okta),
        _ => wrong,
    }
}

fn locked_out(okta: &Okta) -> Judgement {
    match okta.options.lock_out {
        LockOut::Hidden => Judgement::Refused(Failure::E0000004),
        LockOut::Shown => Judgement::LockedOut,
    }
}

/// What follows a right password. An enrolled factor is asked for before an expired password is mentioned.
fn state_after(person: &Person, choices: &Choices) -> String {
    if let Some(forced) = &person.transaction {
        return forced.clone();
    }
    let state = if person.has_factor() {
        "MFA_REQUIRED"
    } else if person.status == "PASSWORD_EXPIRED" {
        "PASSWORD_EXPIRED"
    } else if person.must_enroll {
        "MFA_ENROLL"
    } else if person.expires_soon && choices.warn_before_password_expired {
        "PASSWORD_WARN"
    } else {
        "SUCCESS"
    };
    state.to_owned()
}

/// The transaction object: a session token at the end of the road, a state token before it.
fn transaction(okta: &Okta, headers: &HeaderMap, state: &str, person: Option<&Person>) -> Response {
    let (Ok(session), Ok(pending)) = (backstage::random_text(24), backstage::random_text(24)) else {
        return Failure::E0000009.into_response();
    };
    let now = okta.backstage.clock().now();
    let expires = Timestamp::from_millis(now.millis() + 5 * 60 * 1000).to_string();
    let base = okta.base_url(headers);
    let mut answer = Map::new();
    if state != "-" {
        answer.insert("status".into(), state.into());
    }
    answer.insert("expiresAt".into(), expires.into());
    if state == "SUCCESS" {
        answer.insert("sessionToken".into(), format!("20111{session}").into());
    } else if state != "LOCKED_OUT" {
        answer.insert("stateToken".into(), format!("00{pending}").into());
    }
    answer.insert("_embedded".into(), embedded(state, person));
    answer.insert("_links".into(), links(state, &base));
    Json(Value::Object(answer)).into_response()
}

fn embedded(state: &str, person: Option<&Person>) -> Value {
    let mut embedded = Map::new();
    // Before a password was proven nothing is told about the person.
    if let Some(person) = person.filter(|_| !matches!(state, "LOCKED_OUT" | "UNAUTHENTICATED")) {
        embedded.insert("user".into(), person.to_embedded_json());
        if state.starts_with("MFA_") {
            let factors: Vec<Value> = person.factors.iter().map(super::people::Factor::to_json).collect();
            let one = state == "MFA_CHALLENGE";
            let shown = if one { factors.first().cloned().unwrap_or(json!({})) } else { factors.into() };
            embedded.insert(if one { "factor" } else { "factors" }.into(), shown);
        }
    }
    if matches!(state, "PASSWORD_WARN" | "PASSWORD_EXPIRED" | "PASSWORD_RESET") {
        let rules = json!({ "minLength": 8, "minLowerCase": 1, "minUpperCase": 1, "minNumber": 1 });
        embedded.insert("policy".into(), json!({ "complexity": rules }));
    }
    Value::Object(embedded)
}

fn links(state: &str, base: &str) -> Value {
    let link =
        |path: &str| json!({ "href": format!("{base}/api/v1/authn/{path}"), "hints": { "allow": ["POST"] } });
    let named = |name: &str, path: &str| {
        let mut link = link(path);
        link["name"] = name.into();
        link
    };
    let cancel = link("cancel");
    match state {
        "SUCCESS" | "-" => json!({}),
        "PASSWORD_WARN" => json!({
            "next": named("changePassword", "credentials/change_password"),
            "skip": named("skip", "skip"),
            "cancel": cancel,
        }),
        "PASSWORD_EXPIRED" => {
            json!({ "next": named("changePassword", "credentials/change_password"), "cancel": cancel })
        }
        "PASSWORD_RESET" => {
            json!({ "next": named("resetPassword", "credentials/reset_password"), "cancel": cancel })
        }
        "LOCKED_OUT" => json!({ "next": named("unlock", "recovery/unlock") }),
        "RECOVERY" => json!({ "next": named("answer", "recovery/answer"), "cancel": cancel }),
        "MFA_CHALLENGE" => json!({ "next": named("verify", "factors/verify"), "cancel": cancel }),
        _ => json!({ "cancel": cancel }),
    }
}
