//! The application's answer to a forwarded sign-in: was that a yes?

use cookie::{Cookie, Expiration};
use http::{
    HeaderMap, StatusCode,
    header::{LOCATION, SET_COOKIE},
};
use serde_json::Value;

use crate::{
    clock::Timestamp,
    config::{SignInRoute, Signal},
};

/// The largest answer body that is looked into, in bytes; a larger one has no JSON signal.
pub(super) const BODY_MAX_BYTES: usize = 64 * 1024;

/// Whether a route's signals need the answer's body.
pub(super) fn need_body(route: &SignInRoute) -> bool {
    route.success.iter().chain(&route.failure).any(|signal| matches!(signal, Signal::Json { .. }))
}

/// An answer as far as signals look at it.
pub(super) struct Seen<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    /// The whole body, where it was asked for and is small enough.
    pub(super) body: Option<&'a [u8]>,
    pub(super) now: Timestamp,
}

/// Whether every success signal holds and no failure signal does. Without a success signal nothing is a yes.
pub(super) fn is_success(route: &SignInRoute, seen: &Seen<'_>) -> bool {
    !route.success.is_empty()
        && route.success.iter().all(|signal| holds(signal, seen))
        && !route.failure.iter().any(|signal| holds(signal, seen))
}

fn holds(signal: &Signal, seen: &Seen<'_>) -> bool {
    match signal {
        Signal::Status(statuses) => statuses.contains(&seen.status.as_u16()),
        Signal::SetsCookie(name) => {
            set_cookies(seen.headers).any(|cookie| cookie.name() == name && is_alive(&cookie, seen.now))
        }
        Signal::Location(pattern) => {
            let location = seen.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            location.is_some_and(|location| pattern.is_match(location))
        }
        Signal::Json { pointer, equals } => {
            let document = seen.body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
            document.is_some_and(|document| document.pointer(&pointer.0) == Some(equals))
        }
    }
}

/// The cookies an answer sets, in its order.
pub(super) fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let lines = headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.filter_map(|line| Cookie::parse(line).ok())
}

/// Whether the browser keeps the cookie: a value, and an end that has not come.
pub(super) fn is_alive(cookie: &Cookie<'_>, now: Timestamp) -> bool {
    // RFC 6265 §5.3: Max-Age goes before Expires.
    let ended = match (cookie.max_age(), cookie.expires()) {
        (Some(age), _) => !age.is_positive(),
        (None, Some(Expiration::DateTime(end))) => {
            u64::try_from(end.unix_timestamp()).unwrap_or(0) <= now.seconds()
        }
        (None, _) => false,
    };
    !ended && !cookie.value_trimmed().is_empty()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::{Answer, ClientKind, FieldNames, Pointer, RoutePath};

    fn route(success: Vec<Signal>, failure: Vec<Signal>) -> SignInRoute {
        SignInRoute {
            name: "form".into(),
            path: RoutePath("/login".into()),
            page: None,
            fields: FieldNames::Form { login: "l".into(), password: "p".into(), return_to: None },
            client: ClientKind::Browser,
            rejected: Answer::Redirect { location: "/login".into() },
            success,
            failure,
        }
    }

    fn judged(route: &SignInRoute, status: u16, headers: &[(&'static str, &str)], body: &str) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let seen = Seen {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &map,
            body: Some(body.as_bytes()),
            now: Timestamp::from_seconds(1_800_000_000),
        };
        is_success(route, &seen)
    }

    #[test]
    fn all_success_signals_must_hold_and_no_failure_signal() {
        let sets = || Signal::SetsCookie("sid".into());
        let found = || Signal::Status(vec![302]);
        let error = Signal::Location(regex::Regex::new("error=").unwrap());
        let route = route(vec![found(), sets()], vec![error]);
        let sid = ("set-cookie", "sid=abc; Path=/; HttpOnly");
        assert!(judged(&route, 302, &[sid, ("location", "/home")], ""));
        assert!(!judged(&route, 200, &[sid], ""));
        assert!(!judged(&route, 302, &[("location", "/home")], ""));
        assert!(!judged(&route, 302, &[sid, ("location", "/login?error=1")], ""));
        for dead in [
            "sid=; Path=/",
            "sid=x; Max-Age=0",
            "sid=x; Max-Age=-5",
            "sid=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "sid=\"\"; Path=/",
            "other=x",
        ] {
            assert!(!judged(&route, 302, &[("set-cookie", dead)], ""), "{dead}");
        }
        assert!(judged(&route, 302, &[("set-cookie", "sid=x; Expires=Tue, 01 Jan 2030 00:00:00 GMT")], ""));
    }

    #[test]
    fn without_a_success_signal_nothing_is_a_yes() {
        assert!(!judged(&route(vec![], vec![]), 200, &[("set-cookie", "sid=x")], "{}"));
    }

    #[test]
    fn a_json_answer_counts_by_its_value() {
        let signal = Signal::Json { pointer: Pointer("/ok".into()), equals: true.into() };
        let route = route(vec![signal], vec![]);
        assert!(judged(&route, 200, &[], r#"{"ok":true}"#));
        for no in [r#"{"ok":"true"}"#, r#"{"ok":false}"#, "{}", "<html>", ""] {
            assert!(!judged(&route, 200, &[], no), "{no}");
        }
    }
}
