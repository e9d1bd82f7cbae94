//! The path that rules match (SEC-18).
//!
//! What is forwarded is the path as it came, byte by byte: an application may tell `/a%20b` from `/a b`. Rules match
//! the path percent-decoded once with its dot segments resolved. Where the two could name different things to
//! different readers (dot segments, encoded separators, NUL, `..;`), the path is *unmatchable*: it is forwarded as
//! received and no public or sign-in rule ever holds for it, so that nobody reaches a rule's target by a second
//! spelling, and nobody escapes one that the application would see.

use http::uri::PathAndQuery;

use crate::config::RoutePath;

/// A request's path for matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NormalPath(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Already normal (the usual case): shares the request's own bytes.
    AsReceived(PathAndQuery),
    Decoded(Box<str>),
    Unmatchable,
}

impl NormalPath {
    /// Normalises the path of a request; the query plays no part.
    pub(crate) fn of(target: &PathAndQuery) -> Self {
        let raw = target.path();
        let plain = !raw.bytes().any(|byte| matches!(byte, b'%' | b'\\'));
        if !raw.starts_with('/') {
            return Self(Form::Unmatchable);
        }
        if plain {
            return Self(if is_ambiguous(raw) {
                Form::Unmatchable
            } else {
                Form::AsReceived(target.clone())
            });
        }
        match decode(raw) {
            Some(decoded) if !is_ambiguous(&decoded) => Self(Form::Decoded(decoded.into())),
            _ => Self(Form::Unmatchable),
        }
    }

    /// Whether a configured path is this one.
    pub(crate) fn matches(&self, route: &RoutePath) -> bool {
        self.as_str() == Some(route.0.as_str())
    }

    /// What follows a prefix that ends with `/`.
    pub(crate) fn below(&self, prefix: &str) -> Option<&str> {
        self.as_str()?.strip_prefix(prefix)
    }

    /// The normalised text, where there is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Form::AsReceived(target) => Some(target.path()),
            Form::Decoded(path) => Some(path),
            Form::Unmatchable => None,
        }
    }
}

/// What the most lenient reader would make of an unmatchable path: decoded to the end, every separator a slash, path
/// parameters dropped, dot segments resolved. Only for recognising a rule's target in disguise.
pub(super) fn most_lenient(raw: &str) -> String {
    let mut text = raw.to_owned();
    // Twice encoded is the deepest that is met in practice; four rounds are beyond it.
    for _ in 0..4 {
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        if decoded == text {
            break;
        }
        text = decoded;
    }
    let plain = text.replace('\\', "/").replace(|c: char| c.is_control(), "");
    let mut segments: Vec<&str> = Vec::new();
    for segment in plain.split('/') {
        match segment.split_once(';').map_or(segment, |(name, _)| name) {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Whether readers may resolve the path to different things: dot segments, also with path parameters (`..;`).
fn is_ambiguous(path: &str) -> bool {
    path.contains("/.")
        && path.split('/').any(|segment| {
            let name = segment.split_once(';').map_or(segment, |(name, _)| name);
            matches!(name, "." | "..")
        })
}

/// Percent-decodes once; `None` for what must never match: broken escapes, separators or control bytes in disguise.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = raw.bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            return None;
        }
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let (high, low) = (bytes.next()?, bytes.next()?);
        let value = (hex(high)? << 4) | hex(low)?;
        if value < 0x20 || matches!(value, b'/' | b'\\' | 0x7f) {
            return None;
        }
        decoded.push(value);
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &str) -> Option<String> {
        NormalPath::of(&raw.parse().unwrap()).as_str().map(ToOwned::to_owned)
    }

    #[test]
    fn a_path_is_decoded_once_and_loses_its_query() {
        for (raw, expected) in [
            ("/", "/"),
            ("/login", "/login"),
            ("/login?next=/x", "/login"),
            ("/log%69n", "/login"),
            ("/a%20b", "/a b"),
            ("/caf%C3%A9", "/café"),
            ("/%2569", "/%69"),
            ("//login", "//login"),
            ("/login/", "/login/"),
            ("/LOGIN", "/LOGIN"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/c", "/a..b/c"),
            ("/a;v=1/b", "/a;v=1/b"),
        ] {
            assert_eq!(normal(raw).as_deref(), Some(expected), "{raw}");
        }
    }

    #[test]
    fn a_path_with_two_readings_matches_nothing() {
        for raw in [
            "/a/../login",
            "/./login",
            "/login/.",
            "/login/..",
            "/a/%2e%2e/login",
            "/%2E/login",
            "/a%2flogin",
            "/a%2Flogin",
            "/a%5clogin",
            "/a\\login",
            "/login%00",
            "/a/..;/login",
            "/a/..;x=1/login",
            "/a/%2e%2e;/login",
            "/.;/login",
            "/login%0a",
            "/login%7f",
            "/login%",
            "/login%6",
            "/login%zz",
            "/caf%E9",
        ] {
            let Ok(target) = raw.parse() else { continue };
            let path = NormalPath::of(&target);
            assert_eq!(path.as_str(), None, "{raw}");
            assert!(!path.matches(&RoutePath("/login".to_owned())), "{raw}");
        }
        assert_eq!(NormalPath::of(&"*".parse().unwrap()).as_str(), None);
    }

    #[test]
    fn the_most_lenient_reader_sees_through_every_disguise() {
        for raw in [
            "/a/../login",
            "/./login",
            "/login/.",
            "/a/%2e%2e/login",
            "/%2flogin",
            "/a/..%5clogin",
            "/login%00",
            "/a/..;x=1/login",
            "/a/%252e%252e/login",
        ] {
            assert_eq!(most_lenient(raw), "/login", "{raw}");
        }
        assert_eq!(most_lenient("/a/../.."), "/");
    }

    #[test]
    fn a_prefix_is_taken_off_the_normal_form() {
        let path = NormalPath::of(&"/.crossfade/%63allback?code=x".parse().unwrap());
        assert_eq!(path.below("/.crossfade/"), Some("callback"));
        assert_eq!(NormalPath::of(&"/.crossfade/../x".parse().unwrap()).below("/.crossfade/"), None);
    }
}
