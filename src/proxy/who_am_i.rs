//! The application's own word on who just signed in: its who-am-I route, read by the configured pointers.

use http::{HeaderMap, header::SET_COOKIE};
use serde_json::Value;

use super::signals::is_alive;
use crate::{
    clock::Timestamp,
    config::{MfaDeclaration, Pointer, WhoAmI},
    identity::{AccountState, EmailClaim, LegacyId, LegacyRecord, LoginName, MfaState, PersonName},
    session::cookie_pairs,
};

/// The largest answer that is read, in bytes.
pub(super) const BODY_MAX_BYTES: usize = 64 * 1024;

/// The `Cookie` a browser would send next: what it sent, changed by what the answer sets (RFC 6265 §5.3, paths
/// apart: a sign-in's cookies are for the whole application).
pub(super) fn cookies_after(sent: &HeaderMap, answered: &HeaderMap, now: Timestamp) -> String {
    // A cookie that is no text is left out alone, not the whole line with the session in it.
    let mut jar: Vec<(String, String)> =
        cookie_pairs(sent).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let lines = answered.get_all(SET_COOKIE).iter();
    let lines = lines.filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
    for cookie in lines.filter_map(|line| cookie::Cookie::parse(line).ok()) {
        jar.retain(|(name, _)| name != cookie.name());
        if is_alive(&cookie, now) {
            jar.push((cookie.name().to_owned(), cookie.value().to_owned()));
        }
    }
    let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// The person a who-am-I answer names; `None` when it names nobody we could hold them by.
pub(super) fn record(rules: &WhoAmI, mfa: &MfaDeclaration, body: &[u8]) -> Option<LegacyRecord> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let at = |pointer: &Pointer| document.pointer(&pointer.0);
    let maybe = |pointer: &Option<Pointer>| pointer.as_ref().and_then(at);
    let text = |pointer: &Option<Pointer>| maybe(pointer).and_then(Value::as_str).map(str::to_owned);
    let id = match at(&rules.id)? {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        _ => return None,
    };
    let email = at(&rules.email).and_then(Value::as_str).map(str::to_owned);
    let login = text(&rules.login).or_else(|| email.clone()).unwrap_or_else(|| id.clone());
    Some(LegacyRecord {
        source: rules.source.clone(),
        id: LegacyId::parse(&id)?,
        login,
        // Only an explicit boolean is somebody's word (SEC-36).
        email: EmailClaim { address: email, verified: maybe(&rules.email_verified).and_then(Value::as_bool) },
        state: state(rules, &document),
        mfa: second_factor(rules, mfa, &document),
        name: PersonName {
            given: text(&rules.given_name),
            family: text(&rules.family_name),
            full: None,
            locale: None,
        },
        organization: maybe(&rules.organization).and_then(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }),
        roles: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    })
}

/// Whether a typed name is one that the record bears.
pub(super) fn is_called(record: &LegacyRecord, typed: &LoginName) -> bool {
    let names = [Some(record.login.as_str()), Some(record.id.as_str()), record.email.address.as_deref()];
    let mut names = names.into_iter().flatten().filter_map(LoginName::parse);
    names.any(|name| name.canonical() == typed.canonical())
}

/// The application let the person in, so they are active unless the configured member says something else.
fn state(rules: &WhoAmI, document: &Value) -> AccountState {
    match rules.active.as_ref().map(|pointer| document.pointer(&pointer.0)) {
        None | Some(Some(Value::Bool(true))) => AccountState::Active,
        Some(Some(Value::Bool(false))) => AccountState::Disabled,
        Some(_) => AccountState::Unknown,
    }
}

fn second_factor(rules: &WhoAmI, declared: &MfaDeclaration, document: &Value) -> MfaState {
    let member = rules.mfa.as_ref().and_then(|pointer| document.pointer(&pointer.0));
    match (declared, member) {
        (_, Some(Value::Bool(true))) => MfaState::Enrolled,
        (MfaDeclaration::None, _) | (MfaDeclaration::Field(_), Some(Value::Bool(false))) => MfaState::None,
        (MfaDeclaration::Field(_) | MfaDeclaration::Unknown { .. }, _) => MfaState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, header::COOKIE};

    use super::*;
    use crate::identity::SourceName;

    fn rules() -> WhoAmI {
        let pointer = |text: &str| Pointer(text.into());
        WhoAmI {
            path: "/api/me".into(),
            source: SourceName::parse("app").unwrap(),
            id: pointer("/id"),
            login: Some(pointer("/login")),
            email: pointer("/email"),
            email_verified: Some(pointer("/email_verified")),
            given_name: None,
            family_name: None,
            mfa: Some(pointer("/mfa")),
            active: Some(pointer("/active")),
            organization: None,
            timeout: Duration::from_secs(1),
        }
    }

    fn read(json: &str) -> Option<LegacyRecord> {
        record(&rules(), &MfaDeclaration::Field("mfa".into()), json.as_bytes())
    }

    #[test]
    fn only_explicit_words_count() {
        let person =
            read(r#"{"id":7,"email":"a@x.org","email_verified":true,"mfa":false,"active":true}"#).unwrap();
        assert_eq!((person.id.as_str(), person.login.as_str()), ("7", "a@x.org"));
        assert_eq!(person.email.verified, Some(true));
        assert_eq!((person.state, person.mfa), (AccountState::Active, MfaState::None));
        let vague =
            read(r#"{"id":"7","email":"a@x.org","email_verified":"true","mfa":"no","active":1}"#).unwrap();
        assert_eq!(vague.email.verified, None);
        assert_eq!((vague.state, vague.mfa), (AccountState::Unknown, MfaState::Unknown));
        let guarded = read(r#"{"id":"7","mfa":true,"active":false}"#).unwrap();
        assert_eq!((guarded.state, guarded.mfa), (AccountState::Disabled, MfaState::Enrolled));
        for nobody in [r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":1.5}"#, "{}", "<html>", ""] {
            assert!(read(nobody).is_none(), "{nobody}");
        }
    }

    #[test]
    fn the_next_cookies_are_the_sent_ones_changed_by_the_answer() {
        let mut sent = HeaderMap::new();
        sent.append(COOKIE, HeaderValue::from_static("csrf=1; sid=old; x=y"));
        let mut answered = HeaderMap::new();
        for line in ["sid=new; Path=/; HttpOnly", "x=; Max-Age=0", "z=1"] {
            answered.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        let next = cookies_after(&sent, &answered, Timestamp::from_seconds(1));
        assert_eq!(next, "csrf=1; sid=new; z=1");
    }

    #[test]
    fn a_cookie_in_another_script_hides_no_session() {
        let mut sent = HeaderMap::new();
        sent.append(COOKIE, HeaderValue::from_bytes("name=Jürgen; csrf=1".as_bytes()).unwrap());
        sent.append(COOKIE, HeaderValue::from_bytes(b"latin=\xfc; x=y").unwrap());
        let next = cookies_after(&sent, &HeaderMap::new(), Timestamp::from_seconds(1));
        assert_eq!(next, "name=Jürgen; csrf=1; x=y");
    }

    #[test]
    fn a_name_behind_a_blank_of_another_kind_does_not_become_the_sessions() {
        let mut sent = HeaderMap::new();
        sent.append(COOKIE, HeaderValue::from_bytes("\u{2000}sid=evil; a=1".as_bytes()).unwrap());
        let next = cookies_after(&sent, &HeaderMap::new(), Timestamp::from_seconds(1));
        assert_eq!(next, "\u{2000}sid=evil; a=1");
    }
}
