//! Reading what a form sent, and where to go afterwards.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, StatusCode, header},
};
use url::form_urlencoded;

/// A form's fields.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body of the only content type the application's forms have.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, StatusCode> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        if !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let body = to_bytes(body, 64 * 1024).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }

    /// A field's value, empty when absent; the last one counts, as in most frameworks.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// `next` when it stays on this site, else the home page: an open redirect helps phishing.
pub(super) fn local(next: &str) -> &str {
    let inside = next.starts_with('/') && !next.starts_with("//");
    if inside && !next.contains('\\') && !next.chars().any(char::is_control) { next } else { "/" }
}

/// The value of a query field, decoded.
pub(super) fn query_field(query: Option<&str>, name: &str) -> Option<String> {
    let fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    fields.into_owned().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_site_is_a_next() {
        for inside in ["/", "/a?b=c#d", "/a//b"] {
            assert_eq!(local(inside), inside);
        }
        for outside in ["", "a", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil"] {
            assert_eq!(local(outside), "/", "{outside:?}");
        }
    }
}
