//! Our cookies: their names, how they are set, how they are read (SEC-20, SEC-21, SEC-23).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::COOKIE};

use crate::config::{LegacyCookie, Public, SessionSettings};

/// The names of our cookies, and whether this is a developer's own machine.
#[derive(Clone, Debug)]
pub(crate) struct Cookies {
    /// The session's id.
    pub(crate) session: String,
    /// Binds sign-ins under way to the browser (SEC-26).
    pub(crate) browser: String,
    /// Which crossed person this device belongs to.
    pub(crate) device: String,
    /// Which accounts somebody has signed in to in this browser.
    pub(crate) known: String,
    /// A verified force token.
    pub(crate) force: String,
    secure: bool,
}

impl Cookies {
    pub(crate) fn new(settings: &SessionSettings, public: &Public) -> Self {
        let secure = Self::are_secure(public);
        let prefix = if secure { "__Host-" } else { "" };
        let name = |suffix: &str| format!("{prefix}{}{suffix}", settings.cookie);
        Self {
            session: name(""),
            browser: name("-browser"),
            device: name("-device"),
            known: name("-known"),
            force: name("-force"),
            secure,
        }
    }

    /// Whether cookies are for encrypted connections alone. A developer's machine that speaks TLS has no need of weaker
    /// ones.
    pub(crate) fn are_secure(public: &Public) -> bool {
        !public.development || public.tls.is_some()
    }

    /// All names, for stripping them from what the upstream gets and sets.
    pub(crate) fn names(&self) -> [&str; 5] {
        [&self.session, &self.browser, &self.device, &self.known, &self.force]
    }

    /// A `Set-Cookie` value; without `max_age` the cookie ends with the browser.
    pub(crate) fn set(&self, name: &str, value: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        let text = format!("{name}={value}; Path=/{secure}; HttpOnly; SameSite=Lax{age}");
        // SEC-21: never above what every browser keeps.
        let fits = name.len() + value.len() <= 4096;
        HeaderValue::from_str(&text).ok().filter(|_| fits)
    }

    /// A `Set-Cookie` value that removes one of ours.
    pub(crate) fn clear(&self, name: &str) -> Option<HeaderValue> {
        self.set(name, "", Some(Duration::ZERO))
    }

    /// A `Set-Cookie` value that removes one of the application's. Names with `__Secure-` or `__Host-` browsers take
    /// with `Secure` only, also for that.
    pub(crate) fn expire_foreign(cookie: &LegacyCookie, secure: bool) -> Option<HeaderValue> {
        let LegacyCookie { name, domain, path } = cookie;
        let domain = domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let secure = if secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{name}=; Path={path}{domain}{secure}; Max-Age=0")).ok()
    }
}

/// The cookies of one request.
#[derive(Debug)]
pub(crate) struct CookieJar<'a> {
    headers: &'a HeaderMap,
}

impl<'a> CookieJar<'a> {
    pub(crate) fn new(headers: &'a HeaderMap) -> Self {
        Self { headers }
    }

    /// The value of a cookie that is there exactly once. Two of one name mean that somebody else set one of them:
    /// none is believed (SEC-21).
    pub(crate) fn only(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// Whether the cookie is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        cookie_pairs(self.headers).filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }
}

/// The cookies of a request as they came, name and value. Only what a browser takes for a blank is one: it compares the
/// prefix of a name without it, so a name with a blank of any other kind before it is one that no prefix protects, and
/// another site of this domain may have set it (SEC-21).
pub(crate) fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    // By bytes: a cookie of the application's in any other script must not hide ours on the same line.
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let texts = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
    texts.filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_believed_only_when_it_is_there_once() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; sid=x; b=2"));
        assert_eq!(CookieJar::new(&headers).only("sid"), Some("x"));
        headers.append(COOKIE, HeaderValue::from_static("sid=y"));
        assert_eq!(CookieJar::new(&headers).only("sid"), None);
        assert!(CookieJar::new(&headers).has("sid"));
        assert_eq!(CookieJar::new(&headers).only("si"), None);
    }

    #[test]
    fn a_name_behind_a_blank_that_no_browser_knows_is_another_name() {
        for blank in ["\u{a0}", "\u{85}", "\u{2000}", "\u{3000}", "\u{feff}"] {
            let mut headers = HeaderMap::new();
            let line = format!("a=1; {blank}__Host-sid=evil;\t__Host-sid=x");
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            assert_eq!(CookieJar::new(&headers).only("__Host-sid"), Some("x"), "{blank:?}");
        }
    }

    #[test]
    fn a_foreign_cookie_in_any_script_hides_none_of_ours() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes("name=Jürgen; sid=x".as_bytes()).unwrap());
        headers.append(COOKIE, HeaderValue::from_bytes(b"latin=\xfc; other=y").unwrap());
        let jar = CookieJar::new(&headers);
        assert_eq!((jar.only("sid"), jar.only("other")), (Some("x"), Some("y")));
    }

    #[test]
    fn our_cookies_are_host_bound_and_closed_to_scripts() {
        let cookies = Cookies {
            session: "__Host-cf".into(),
            browser: String::new(),
            device: String::new(),
            known: String::new(),
            force: String::new(),
            secure: true,
        };
        let set = cookies.set(&cookies.session, "v", None).unwrap();
        assert_eq!(set, "__Host-cf=v; Path=/; Secure; HttpOnly; SameSite=Lax");
        assert_eq!(cookies.set("n", &"x".repeat(4096), None), None);
    }
}
