//! Sections `session` and `identity`.

use std::time::Duration;

use http::HeaderName;

use super::Check;
use crate::{
    config::{
        AssertionKey, IdentityHeaders, LegacyCookie, Public, SecretFile, SessionSettings, UserValue,
        problem::At, raw,
    },
    identity::Secret,
};

/// What may come after the base name of our cookie (room `session` makes the names).
const OUR_ENDINGS: [&str; 5] = ["", "-browser", "-device", "-known", "-force"];

/// Fields without which no request could be forwarded; nobody may reserve or replace them.
const NEEDED: [&str; 10] = [
    "host",
    "cookie",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "authorization",
    "accept",
    "via",
    "upgrade",
];

impl Check<'_> {
    pub(super) fn session(
        &mut self,
        raw: Option<raw::Session>,
        public: Option<&Public>,
    ) -> Option<SessionSettings> {
        let at = At::section("session");
        let raw = raw.unwrap_or_default();
        let keys = self.keys(&at.key("keys"), raw.keys);
        let idle = self.span(&at.key("idle"), raw.idle, Duration::from_mins(30));
        let absolute = self.span(&at.key("absolute"), raw.absolute, Duration::from_hours(12));
        if idle > absolute {
            self.problem(&at.key("idle"), "is longer than absolute: it would never end a session");
        }
        let refresh_after = raw
            .refresh_after
            .map(|span| self.span(&at.key("refresh_after"), Some(span), Duration::from_mins(5)));
        if refresh_after.is_some_and(|after| after > absolute) {
            self.problem(
                &at.key("refresh_after"),
                "is longer than absolute: it would never refresh a session",
            );
        }
        let cookie = raw.cookie.unwrap_or_else(|| "crossfade".into());
        let cookie = self.word(&at.key("cookie"), &cookie);
        if cookie.as_ref().is_some_and(|name| name.starts_with("__")) {
            self.problem(&at.key("cookie"), "must not begin with __: the prefix is added");
        }
        let device_lifetime =
            self.span(&at.key("device_lifetime"), raw.device_lifetime, Duration::from_hours(180 * 24));
        let legacy_cookies = self.legacy_cookies(
            &at.key("legacy_cookies"),
            raw.legacy_cookies.unwrap_or_default(),
            cookie.as_deref(),
            public.and_then(|public| public.url.host_str()),
        );
        let after_sign_out = raw.after_sign_out.unwrap_or_else(|| "/".into());
        let after_sign_out = self.local_path(&at.key("after_sign_out"), &after_sign_out);
        Some(SessionSettings {
            keys: keys?,
            idle,
            absolute,
            refresh_after,
            cookie: cookie?,
            device_lifetime,
            legacy_cookies,
            after_sign_out: after_sign_out?,
        })
    }

    fn keys(&mut self, at: &At, raw: Option<Vec<raw::SecretRef>>) -> Option<Vec<Secret>> {
        let raw = self.required(at, raw)?;
        if raw.is_empty() {
            self.problem(at, "is empty: it needs at least one key");
            return None;
        }
        let count = raw.len();
        let mut keys: Vec<Secret> = Vec::new();
        for (n, key) in raw.into_iter().enumerate() {
            if let Some(key) = self.key(&at.index(n), Some(key)) {
                if keys.contains(&key) {
                    self.problem(&at.index(n), "is the same key as one before it: remove it");
                }
                keys.push(key);
            }
        }
        (keys.len() == count).then_some(keys)
    }

    /// Ours would be removed from every request if they were listed as the application's.
    fn legacy_cookies(
        &mut self,
        at: &At,
        raw: Vec<raw::LegacyCookie>,
        ours: Option<&str>,
        host: Option<&str>,
    ) -> Vec<LegacyCookie> {
        let mut cookies = Vec::new();
        for (n, cookie) in raw.into_iter().enumerate() {
            let at = at.index(n);
            let (name_at, kept) = match cookie {
                raw::LegacyCookie::Name(name) => {
                    (at.clone(), raw::KeptCookie { name: Some(name), ..raw::KeptCookie::default() })
                }
                raw::LegacyCookie::Kept(kept) => (at.key("name"), kept),
            };
            let Some(name) = self.required(&name_at, kept.name) else { continue };
            let Some(name) = self.cookie_name(&name_at, &name) else { continue };
            let bare = name.strip_prefix("__Host-").unwrap_or(&name);
            let ending = ours.and_then(|ours| bare.strip_prefix(ours));
            if ending.is_some_and(|ending| OUR_ENDINGS.contains(&ending)) {
                self.problem(&name_at, "is a cookie of Crossfade's own: rename session.cookie or remove it");
            }
            let domain = kept.domain.and_then(|domain| self.cookie_domain(&at.key("domain"), &domain, host));
            let path = kept.path.unwrap_or_else(|| "/".into());
            if !path.starts_with('/') || path.contains(';') || !path.bytes().all(|b| b.is_ascii_graphic()) {
                self.problem(&at.key("path"), "must be the cookie's Path as it is set, such as /app");
            }
            if name.starts_with("__Host-") && (domain.is_some() || path != "/") {
                self.problem(&at, "begins with __Host-: such a cookie has no domain, and its path is /");
            }
            let cookie = LegacyCookie { name, domain, path };
            if cookies.contains(&cookie) {
                self.problem(&at, "is there twice: remove one");
            }
            cookies.push(cookie);
        }
        cookies
    }

    /// A domain for which the public host may set and remove cookies.
    fn cookie_domain(&mut self, at: &At, text: &str, host: Option<&str>) -> Option<String> {
        let domain = text.trim_start_matches('.').to_ascii_lowercase();
        let host = host?;
        let is_above = host.strip_suffix(&*domain).is_some_and(|rest| rest.ends_with('.'));
        if host == domain || (is_above && domain.contains('.')) {
            return Some(domain);
        }
        self.problem(at, "must be the host of public.url or a domain above it: browsers take no other one");
        None
    }

    pub(super) fn identity(&mut self, raw: raw::Identity) -> Option<IdentityHeaders> {
        let at = At::section("identity");
        let born_new_prefix = raw.born_new_prefix.unwrap_or_else(|| "born-new:".into());
        let plain = born_new_prefix.bytes().all(|b| b.is_ascii_graphic());
        if born_new_prefix.is_empty() || born_new_prefix.len() > 32 || !plain {
            self.problem(
                &at.key("born_new_prefix"),
                "must be 1 to 32 plain characters: it keeps new people's names apart from legacy names",
            );
        }
        let assertion = raw.assertion.unwrap_or_else(|| "x-crossfade-assertion".into());
        let assertion = self.header(&at.key("assertion"), &assertion);
        let reserved_at = at.key("reserved");
        let reserved = raw.reserved.unwrap_or_default().into_iter().enumerate();
        let reserved =
            reserved.filter_map(|(n, text)| self.header(&reserved_at.index(n), &text)).collect::<Vec<_>>();
        let assertion_key = match raw.assertion_key {
            Some(raw::AssertionKey::Stored) | None => Some(AssertionKey::Stored),
            Some(raw::AssertionKey::File(path)) => {
                let at = at.key("assertion_key").key("file");
                let path = self.file(&at, Some(path));
                let kept = path.clone().map(|path| SecretFile { place: at.to_string(), path });
                self.secret_files.extend(kept);
                path.map(AssertionKey::File)
            }
        };
        let assertion_lifetime =
            self.span(&at.key("assertion_lifetime"), raw.assertion_lifetime, Duration::from_mins(1));
        if assertion_lifetime > Duration::from_hours(1) {
            self.problem(
                &at.key("assertion_lifetime"),
                "must be 1h at most: an assertion cannot be taken back, and each request gets a new one",
            );
        }
        Some(IdentityHeaders {
            user: match raw.user {
                Some(raw::UserValue::LegacyLogin) | None => UserValue::LegacyLogin,
                Some(raw::UserValue::LegacyId) => UserValue::LegacyId,
                Some(raw::UserValue::Email) => UserValue::Email,
                Some(raw::UserValue::Sub) => UserValue::Sub,
            },
            born_new_prefix,
            assertion: assertion?,
            plain_headers: raw.plain_headers.unwrap_or(false),
            reserved,
            drop_underscores: raw.drop_underscores.unwrap_or(true),
            assertion_key: assertion_key?,
            assertion_lifetime,
        })
    }

    fn header(&mut self, at: &At, text: &str) -> Option<HeaderName> {
        let Ok(name) = text.parse::<HeaderName>() else {
            self.problem(at, "must be a header's name, such as x-user");
            return None;
        };
        if NEEDED.contains(&name.as_str()) {
            self.problem(at, "is a header every request needs: choose another");
            return None;
        }
        Some(name)
    }
}
