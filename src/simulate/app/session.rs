//! Sessions of the application and the cookie that names one.

use std::{collections::HashMap, io, sync::Mutex};

use axum::http::{HeaderMap, header};

use crate::simulate::backstage::{locked, random_text};

/// The session cookie.
pub(super) const COOKIE: &str = "app_session";

/// Beyond this many everybody signs in again; a load test must not fill the memory.
const MOST_SESSIONS: usize = 100_000;

/// How far a sign-in has come. Only [`Stage::Open`] is a signed-in person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The password was right; the second factor is outstanding.
    WantsCode {
        next: String,
    },
    /// A new password has to be chosen first.
    MustChange {
        next: String,
    },
    Open,
}

/// One browser's sign-in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) person: String,
    pub(super) stage: Stage,
}

/// All sessions, by cookie value.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    /// Begins a session and gives its `Set-Cookie` line. Every step of a sign-in gets a new value, so that one
    /// planted before it is worth nothing after it.
    pub(super) fn begin(&self, headers: &HeaderMap, session: Session) -> io::Result<String> {
        let value = random_text(32)?;
        let mut sessions = locked(&self.0);
        if sessions.len() >= MOST_SESSIONS {
            sessions.clear();
        }
        if let Some(old) = cookie(headers, COOKIE) {
            sessions.remove(&old);
        }
        let line = set_cookie(COOKIE, &value);
        sessions.insert(value, session);
        Ok(line)
    }

    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        locked(&self.0).get(&cookie(headers, COOKIE)?).cloned()
    }

    /// Ends the session of this request, if there is one.
    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some(value) = cookie(headers, COOKIE) {
            locked(&self.0).remove(&value);
        }
    }

    pub(super) fn clear(&self) {
        locked(&self.0).clear();
    }
}

/// The value of a cookie of the request; the first when there are several.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(cookie::Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// A cookie for this browser session. No `Secure`: the stand-in speaks plain HTTP on loopback.
pub(super) fn set_cookie(name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax")
}

/// The line that makes the browser forget a cookie.
pub(super) fn expire_cookie(name: &str) -> String {
    format!("{name}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}
