//! Where a browser may be sent after a sign-in: a place of the public origin, or the front page (SEC-25).

use url::Url;

/// The longest target that is looked at, in bytes.
const MAX_BYTES: usize = 2048;

/// Reads a target, already percent-decoded once by whoever took it from a query or form. Anything that is not
/// surely a place of `origin` becomes `/`. The answer is ASCII and starts with a single `/`.
pub(crate) fn return_to(asked: Option<&str>, origin: &Url) -> String {
    asked.and_then(|asked| accepted(asked, origin)).unwrap_or_else(|| "/".to_owned())
}

fn accepted(asked: &str, origin: &Url) -> Option<String> {
    if asked.len() > MAX_BYTES || asked.contains('\\') || asked.bytes().any(|b| b < 0x21 || b == 0x7f) {
        return None;
    }
    let url = if asked.starts_with('/') {
        // A browser reads `//host` and `/\host` as another site.
        if asked.as_bytes().get(1) == Some(&b'/') {
            return None;
        }
        origin.join(asked).ok()?
    } else {
        Url::parse(asked).ok()?
    };
    let ours = url.origin() == origin.origin() && url.username().is_empty() && url.password().is_none();
    // The path as it was typed is judged, since parsing resolves what must not be there.
    let typed = if asked.starts_with('/') { asked } else { path_onward(asked)? };
    let path = typed.split(['?', '#']).next().unwrap_or_default();
    if !ours || !is_plain(path) {
        return None;
    }
    let target = &url[url::Position::BeforePath..];
    (target.is_ascii() && target.starts_with('/') && !target.starts_with("//")).then(|| target.to_owned())
}

/// What follows the authority of an absolute address; `/` when nothing does.
fn path_onward(absolute: &str) -> Option<&str> {
    let rest = absolute.split_once("://")?.1;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let onward = rest.get(at..)?;
    Some(if onward.starts_with('/') { onward } else { "/" })
}

/// No empty segment, no dot segment (also when decoded once more), nothing encoded that changes the path.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%00", "%09", "%0a", "%0d", "%2f", "%5c"].iter().any(|code| lower.contains(code));
    let decoded = lower.replace("%2e", ".").replace("%252e", ".");
    let dots = decoded.split('/').any(|segment| segment == "." || segment == "..");
    !hidden && !dots && !path.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(asked: &str) -> String {
        return_to(Some(asked), &Url::parse("https://app.example.com").unwrap())
    }

    #[test]
    fn places_of_our_own_are_kept() {
        for (asked, kept) in [
            ("/", "/"),
            ("/a/b?c=//d#e", "/a/b?c=//d#e"),
            ("/ä", "/%C3%A4"),
            ("https://app.example.com/a", "/a"),
            ("https://APP.example.com:443/a?b", "/a?b"),
            ("https://app.example.com", "/"),
        ] {
            assert_eq!(to(asked), kept, "{asked}");
        }
        assert_eq!(return_to(None, &Url::parse("https://app.example.com").unwrap()), "/");
    }

    #[test]
    fn everything_else_is_the_front_page() {
        let long = format!("/{}", "x".repeat(2048));
        for asked in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "http://app.example.com/",
            "https://app.example.com:8443/",
            "https://app.example.com@evil.example/",
            "https://user@app.example.com/",
            "https://app.example.com.evil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "/a//b",
            "/../a",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/%252e%252E/b",
            "/a/.%2e/b",
            "/a%2fb",
            "/a%5Cb",
            "/a%00",
            "/a%0d%0aSet-Cookie:x",
            "/a\r\nb",
            "/a b",
            "/\tb",
            "https:/evil.example",
            "https:evil.example",
            "https://app.example.com//evil.example",
            "https://app.example.com/a/../..//x",
            long.as_str(),
        ] {
            assert_eq!(to(asked), "/", "{asked:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_asked_the_answer_stays_here(asked in "(/|https://|\\\\|%2f|%2e|[a-z@:.?#])*") {
            let origin = Url::parse("https://app.example.com").unwrap();
            let target = return_to(Some(&asked), &origin);
            proptest::prop_assert_eq!(origin.join(&target).unwrap().origin(), origin.origin());
            // Checked again when used, it stays the same.
            proptest::prop_assert_eq!(return_to(Some(&target), &origin), target);
        }
    }
}
