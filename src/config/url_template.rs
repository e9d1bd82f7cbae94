//! Addresses with places in them that are filled in with what strangers typed.
//!
//! What is filled in is percent-encoded down to letters, digits and `-_.~`, and a whole path segment of dots is refused:
//! so it can change neither host, path nor query, whatever it is (legacy-stores.md, ground rule 8).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// RFC 3986's unreserved characters go through as they are.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path, and perhaps a query, below a configured address, with at most one place to fill in: `/users/{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlTemplate {
    text: String,
    place: Option<&'static str>,
}

impl UrlTemplate {
    /// `places` are the words that may stand in braces. The error says what a template must be.
    pub(crate) fn parse(text: &str, places: &[&'static str]) -> Result<Self, String> {
        let words = places.iter().map(|place| format!("{{{place}}}")).collect::<Vec<_>>().join(" or ");
        let place = places.iter().find(|place| text.contains(&format!("{{{place}}}"))).copied();
        let fixed =
            place.map_or_else(|| text.to_owned(), |place| text.replacen(&format!("{{{place}}}"), "x", 1));
        if fixed.contains(['{', '}']) {
            return Err(format!("may hold {words} once, and no other braces"));
        }
        let (path, query) = fixed.split_once('?').unwrap_or((&fixed, ""));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/%".contains(&b);
        let segments = path.split('/').skip(1);
        let is_dots = |segment: &str| matches!(segment, "." | "..");
        let whole = path.starts_with('/')
            && path.bytes().chain(query.bytes()).all(plain)
            && !path.contains('%')
            && segments.clone().all(|segment| !segment.is_empty() && !is_dots(segment));
        if !whole {
            return Err(format!(
                "must be a path below `url`, such as /users/{{{}}}: one / first, no host, no blanks, no empty or dot \
                 segments, no % in the path",
                places.first().copied().unwrap_or("name"),
            ));
        }
        Ok(Self { text: text.to_owned(), place })
    }

    /// Which word is to be filled in.
    pub(crate) fn place(&self) -> Option<&'static str> {
        self.place
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The address below `base`, with `value` in the one place. `None` for a value that is no part of a path: empty,
    /// or such that its segment would be a step (`.`, `..`).
    pub(crate) fn fill(&self, base: &Url, value: &str) -> Option<Url> {
        if self.place.is_some() && value.is_empty() {
            return None;
        }
        let value = utf8_percent_encode(value, ENCODED).to_string();
        let filled = match self.place {
            Some(place) => self.text.replacen(&format!("{{{place}}}"), &value, 1),
            None => self.text.clone(),
        };
        let (path, query) =
            filled.split_once('?').map_or((filled.as_str(), None), |(path, query)| (path, Some(query)));
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return None;
        }
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        url.set_query(query);
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, value: &str) -> Option<String> {
        let base = Url::parse("https://users.example/legacy/").unwrap();
        let template = UrlTemplate::parse(template, &["name", "id"]).unwrap();
        template.fill(&base, value).map(Into::into)
    }

    #[test]
    fn whatever_is_filled_in_changes_nothing_else() {
        for (value, encoded) in [
            ("ann", "ann"),
            ("ann@example.org", "ann%40example.org"),
            ("a/b", "a%2Fb"),
            ("../admin", "..%2Fadmin"),
            ("a?b=c&d#e", "a%3Fb%3Dc%26d%23e"),
            ("a%2fb", "a%252fb"),
            ("%2e%2e", "%252e%252e"),
            ("a\\b", "a%5Cb"),
            ("a\tb\r\nc", "a%09b%0D%0Ac"),
            ("//evil.example/", "%2F%2Fevil.example%2F"),
            ("user:pass@evil.example", "user%3Apass%40evil.example"),
            ("ä+ö ", "%C3%A4%2B%C3%B6%20"),
            ("{id}", "%7Bid%7D"),
            ("...", "..."),
        ] {
            let path = format!("https://users.example/legacy/users/{encoded}/check");
            assert_eq!(filled("/users/{name}/check", value).as_deref(), Some(&*path), "{value}");
            let query = format!("https://users.example/legacy/find?x=1&n={encoded}&y=2");
            assert_eq!(filled("/find?x=1&n={name}&y=2", value).as_deref(), Some(&*query), "{value}");
        }
        for step in ["", ".", ".."] {
            assert_eq!(filled("/users/{name}", step), None, "{step}");
        }
        assert_eq!(filled("/users/.{id}", "."), None);
        assert_eq!(filled("/check", "ann").as_deref(), Some("https://users.example/legacy/check"));
    }

    #[test]
    fn a_template_is_a_path_with_one_place() {
        let place = |text: &str| UrlTemplate::parse(text, &["name", "id"]).map(|template| template.place());
        assert_eq!(place("/users/{id}"), Ok(Some("id")));
        assert_eq!(place("/check"), Ok(None));
        for bad in [
            "",
            "users/{name}",
            "//evil.example/{name}",
            "https://evil.example/{name}",
            "/a/../{name}",
            "/a/./{name}",
            "/a//{name}",
            "/users/",
            "/{name}/{id}",
            "/{name}/{name}",
            "/{email}",
            "/{name",
            "/%2e%2e/{name}",
            "/a b/{name}",
            "/a#{name}",
            "/a\\{name}",
            "/ä/{name}",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
