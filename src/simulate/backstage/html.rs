//! What the pages of all stand-ins share: safe text, and the fields that go with a page.

use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};

/// A page for people. No `form-action` in the policy: browsers apply it to redirects too, and a sign-in may be sent
/// on to another site.
pub(in crate::simulate) fn page(status: StatusCode, html: String) -> Response {
    let fields = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    (status, fields, Html(html)).into_response()
}

/// Text as HTML text or a quoted attribute.
pub(in crate::simulate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
