//! The CSRF field of every form: a keyed hash of a cookie that only this application's pages have set.

use std::io;

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::session::{cookie, set_cookie};
use crate::simulate::backstage::random_text;

/// The cookie the field is bound to.
const COOKIE: &str = "app_csrf";

/// The key of this run.
pub(super) struct Csrf(hmac::Key);

/// The pair a form needs.
pub(super) struct Ticket {
    /// The value of the hidden field.
    pub(super) field: String,
    /// The `Set-Cookie` line, when the browser has no cookie yet.
    pub(super) set_cookie: Option<String>,
}

impl Csrf {
    pub(super) fn new() -> io::Result<Self> {
        let key = random_text(32)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))
    }

    /// A ticket for the browser of this request; one it already holds stays good, for forms in other tabs.
    pub(super) fn ticket(&self, headers: &HeaderMap) -> io::Result<Ticket> {
        let (value, fresh) = match cookie(headers, COOKIE) {
            Some(held) => (held, false),
            None => (random_text(24)?, true),
        };
        let field = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, value.as_bytes()));
        Ok(Ticket { field, set_cookie: fresh.then(|| set_cookie(COOKIE, &value)) })
    }

    /// Whether the field belongs to the cookie of this request.
    pub(super) fn holds(&self, headers: &HeaderMap, field: &str) -> bool {
        let Some(value) = cookie(headers, COOKIE) else { return false };
        let tag = URL_SAFE_NO_PAD.decode(field).unwrap_or_default();
        hmac::verify(&self.0, value.as_bytes(), &tag).is_ok()
    }
}
