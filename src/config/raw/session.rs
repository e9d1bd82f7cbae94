//! Sections `session` and `identity`.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{SecretRef, Span};

/// The session of people on the new side.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Session {
    /// Keys that seal what is kept, at least 32 bytes each. The first seals, all open: to rotate, put a new one in
    /// front and remove the old one after the longest session.
    #[schemars(required, with = "Vec<SecretRef>")]
    pub(in crate::config) keys: Option<Vec<SecretRef>>,
    /// Ends after this long without a request. What flows over an open `WebSocket` is no request. Default `30m`.
    pub(in crate::config) idle: Option<Span>,
    /// Ends after this long in any case. Default `12h`.
    pub(in crate::config) absolute: Option<Span>,
    /// Tokens are refreshed with the first request after this long. Default: when the access token expires.
    pub(in crate::config) refresh_after: Option<Span>,
    /// Base name of the cookie; `__Host-` goes before it. Default `crossfade`.
    pub(in crate::config) cookie: Option<String>,
    /// How long a browser is known as the device of a person who crossed. Default `180d`.
    pub(in crate::config) device_lifetime: Option<Span>,
    /// The application's own session cookies: expired at the hand-off, removed while ours lives. Default none.
    pub(in crate::config) legacy_cookies: Option<Vec<LegacyCookie>>,
    /// A path of the public origin to go to after sign-out. Default `/`.
    pub(in crate::config) after_sign_out: Option<String>,
}

/// A session cookie of the application's own: its name, or more where the application sets it with `Domain` or for
/// another path than `/`. Without these a browser keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum LegacyCookie {
    /// The cookie's name.
    Name(String),
    /// The cookie's name, and where a browser keeps it.
    Kept(KeptCookie),
}

/// A cookie as the application sets it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KeptCookie {
    /// The cookie's name.
    #[schemars(required, with = "String")]
    pub(in crate::config) name: Option<String>,
    /// Its `Domain`: the public host, or a domain above it. Default: none is set.
    pub(in crate::config) domain: Option<String>,
    /// Its `Path`. Default `/`.
    pub(in crate::config) path: Option<String>,
}

/// By hand: of two forms that both do not fit nobody could say which one was meant, and where the fault is.
impl<'de> Deserialize<'de> for LegacyCookie {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = LegacyCookie;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cookie's name, or {name: NAME, domain: DOMAIN, path: PATH}")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<LegacyCookie, E> {
        Ok(LegacyCookie::Name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LegacyCookie, A::Error> {
        KeptCookie::deserialize(MapAccessDeserializer::new(map)).map(LegacyCookie::Kept)
    }
}

/// How the application learns who is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Identity {
    /// Which value is the user. Default `legacy_login`.
    pub(in crate::config) user: Option<UserValue>,
    /// Put before the id of people no legacy store knows, so that it never equals a legacy name. Default `born-new:`.
    pub(in crate::config) born_new_prefix: Option<String>,
    /// The header of the signed assertion. Default `x-crossfade-assertion`.
    pub(in crate::config) assertion: Option<String>,
    /// Sends `X-Forwarded-User` and its kin, too. Default false.
    pub(in crate::config) plain_headers: Option<bool>,
    /// Further headers that carry identity and are removed from every request. Default none.
    pub(in crate::config) reserved: Option<Vec<String>>,
    /// Drops every header with `_` in its name: many frameworks read it as `-`. Default true.
    pub(in crate::config) drop_underscores: Option<bool>,
    /// The key that signs assertions. Default `stored`.
    pub(in crate::config) assertion_key: Option<AssertionKey>,
    /// Default `60s`.
    pub(in crate::config) assertion_lifetime: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum UserValue {
    /// The name the person signed in with at the legacy system.
    LegacyLogin,
    /// The legacy system's immutable id.
    LegacyId,
    /// The e-mail.
    Email,
    /// Scalekit's own id.
    Sub,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AssertionKey {
    /// Made at the first start and kept, sealed, in the store.
    Stored,
    /// A PKCS#8 PEM file (P-256), relative to the folder of this configuration.
    File(String),
}
