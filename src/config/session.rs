//! Sections `session` and `identity`: the new side's session and what the application is told.

use std::{path::PathBuf, time::Duration};

use http::HeaderName;

use crate::identity::Secret;

/// Section `session`.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// Sealing keys, at least 32 bytes each: the first seals, all open (SEC-29).
    pub(crate) keys: Vec<Secret>,
    /// Ends after this long without a request (30 min).
    pub(crate) idle: Duration,
    /// Ends after this long in any case (12 h).
    pub(crate) absolute: Duration,
    /// Tokens are refreshed with the first use after this long; `None`: when the access token expires.
    pub(crate) refresh_after: Option<Duration>,
    /// Base name of our cookie; `__Host-` goes before it unless `public.development` is on.
    pub(crate) cookie: String,
    /// How long a browser is known as a crossed person's device.
    pub(crate) device_lifetime: Duration,
    /// The application's own session cookies: expired at the hand-off, stripped while ours lives.
    pub(crate) legacy_cookies: Vec<LegacyCookie>,
    /// Where the browser goes after sign-out; a path of the public origin.
    pub(crate) after_sign_out: String,
}

/// A session cookie of the application's own. Browsers keep one cookie for each name, domain and path, and remove the
/// one that all three name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LegacyCookie {
    pub(crate) name: String,
    /// `None`: for the host that set it alone.
    pub(crate) domain: Option<String>,
    pub(crate) path: String,
}

impl LegacyCookie {
    /// One for the whole of the public host and nothing else, as most are.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), domain: None, path: "/".to_owned() }
    }
}

/// Section `identity`: how the application learns who is there.
#[derive(Clone, Debug)]
pub(crate) struct IdentityHeaders {
    pub(crate) user: UserValue,
    /// Put before the `sub` of a born-new person, so that it can never equal a legacy login.
    pub(crate) born_new_prefix: String,
    /// The signed assertion's header.
    pub(crate) assertion: HeaderName,
    /// Whether the plain headers known from oauth2-proxy are sent, too.
    pub(crate) plain_headers: bool,
    /// Further names that carry identity and are removed from every client request (SEC-16).
    pub(crate) reserved: Vec<HeaderName>,
    /// Whether other client header names with `_` are dropped, too.
    pub(crate) drop_underscores: bool,
    pub(crate) assertion_key: AssertionKey,
    /// Lifetime of one assertion.
    pub(crate) assertion_lifetime: Duration,
}

/// Which value is the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserValue {
    LegacyLogin,
    LegacyId,
    Email,
    Sub,
}

/// The key that signs assertions (ES256).
#[derive(Clone, Debug)]
pub(crate) enum AssertionKey {
    /// Made at first start and kept, sealed, in the store.
    Stored,
    /// A PKCS#8 PEM file.
    File(PathBuf),
}
