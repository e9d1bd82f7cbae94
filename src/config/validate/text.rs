//! Small grammars that several sections share: paths, pointers, names.

use crate::{
    config::{
        problem::At,
        sign_in::{Pointer, RoutePath},
    },
    identity::CanonicalEmail,
};

use super::Check;

impl Check<'_> {
    /// A path of the public origin to send a browser to; it may have a query. Never another site (SEC-25).
    pub(super) fn local_path(&mut self, at: &At, text: &str) -> Option<String> {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let inside = text.starts_with('/') && !text.starts_with("//") && !path.contains("//");
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let dots = path.split('/').any(|segment| segment == "." || segment == "..");
        if inside && plain && !dots && text.len() <= 2048 {
            return Some(text.to_owned());
        }
        self.problem(
            at,
            "must be a path of the public origin, such as /login?error=1: one / first, no host, no blanks, \
             no backslash, no dot segments",
        );
        None
    }

    /// A path as requests are compared with it (SEC-18).
    pub(super) fn route_path(&mut self, at: &At, text: &str) -> Option<RoutePath> {
        let odd = |c: char| matches!(c, '?' | '#' | '%' | '\\' | ';') || c.is_control() || c.is_whitespace();
        let dots = text.split('/').any(|segment| segment == "." || segment == "..");
        if text.starts_with('/') && !text.contains("//") && !text.contains(odd) && !dots {
            return Some(RoutePath(text.to_owned()));
        }
        self.problem(
            at,
            "must be a decoded path such as /login: one / first, no query, no % escapes, no dot segments, no ;",
        );
        None
    }

    /// An RFC 6901 pointer that leads into a document.
    pub(super) fn pointer(&mut self, at: &At, text: &str) -> Option<Pointer> {
        let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && escapes {
            return Some(Pointer(text.to_owned()));
        }
        self.problem(
            at,
            "must be an RFC 6901 pointer such as /user/email: it begins with /, and ~ only stands in ~0 and ~1",
        );
        None
    }

    /// A domain in its canonical form.
    pub(super) fn domain(&mut self, at: &At, text: &str) -> Option<String> {
        let domain = CanonicalEmail::parse(&format!("x@{text}")).map(|email| email.domain().to_owned());
        if domain.is_err() {
            self.problem(at, "must be an e-mail domain such as example.com, without @");
        }
        domain.ok()
    }

    /// A cookie's name (RFC 6265: a token).
    pub(super) fn cookie_name(&mut self, at: &At, text: &str) -> Option<String> {
        if !text.is_empty() && text.bytes().all(is_token_byte) {
            return Some(text.to_owned());
        }
        self.problem(at, "must be a cookie's name: letters, digits, - and _");
        None
    }

    /// The name of something of ours, for logs, metrics and headers.
    pub(super) fn word(&mut self, at: &At, text: &str) -> Option<String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(fits) {
            return Some(text.to_owned());
        }
        self.problem(at, "must be 1 to 64 letters, digits, - or _");
        None
    }
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
