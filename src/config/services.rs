//! Section `legacy`: sources that are services one asks, Okta apart.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::{Pointer, UrlTemplate};
use crate::identity::Secret;

/// Stormpath's REST API, or a service that speaks it (legacy-stores.md §2).
#[derive(Clone, Debug)]
pub(crate) struct StormpathSource {
    /// The application's href, without a slash at its end.
    pub(crate) url: Url,
    pub(crate) api_key_id: Secret,
    pub(crate) api_key_secret: Secret,
    /// `None`: every store mapped to the application.
    pub(crate) account_store: Option<AccountStore>,
    /// Into an account's custom data.
    pub(crate) organization_field: Option<Pointer>,
}

/// So many calls to a service within a span; never more than a second's worth of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallRate {
    pub(crate) calls: u32,
    pub(crate) per: Duration,
}

/// The one store of accounts that sign-ins are tried in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AccountStore {
    Href(String),
    NameKey(String),
}

/// An HTTP endpoint of the operator's own (legacy-stores.md §5).
#[derive(Clone, Debug)]
pub(crate) struct HttpSource {
    /// What every address begins with.
    pub(crate) url: Url,
    pub(crate) auth: Option<HttpAuth>,
    /// By `{name}`; answers with one person.
    pub(crate) find: Option<UrlTemplate>,
    /// By `{id}`; answers with one person.
    pub(crate) find_by_id: Option<UrlTemplate>,
    /// By `{email}`; answers with a list.
    pub(crate) find_by_email: Option<UrlTemplate>,
    /// Where that list is; `None`: the whole answer.
    pub(crate) list: Option<Pointer>,
    /// Statuses that mean: no such person.
    pub(crate) nobody: Vec<u16>,
    pub(crate) check: HttpCheck,
    pub(crate) fields: HttpFields,
}

/// How Crossfade says who it is.
#[derive(Clone, Debug)]
pub(crate) enum HttpAuth {
    Bearer(Secret),
    Basic {
        user: String,
        password: Secret,
    },
    /// The value is a valid and sensitive header value already.
    Header {
        name: HeaderName,
        value: HeaderValue,
    },
}

/// The password check: a POST with a JSON object.
#[derive(Clone, Debug)]
pub(crate) struct HttpCheck {
    /// With `{name}`, `{id}` or neither.
    pub(crate) path: UrlTemplate,
    /// Members of the object.
    pub(crate) password: String,
    pub(crate) name: Option<String>,
    /// The answer to a right password is the person.
    pub(crate) names_person: bool,
    /// The first that fits counts. Never about 429 or 5xx.
    pub(crate) answers: Vec<HttpAnswer>,
}

/// One answer to a password check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpAnswer {
    pub(crate) status: Vec<u16>,
    /// And this value stands in the body.
    pub(crate) json: Option<(Pointer, serde_json::Value)>,
    pub(crate) means: HttpMeaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpMeaning {
    Right,
    Wrong,
    Unknown,
    Locked,
    Disabled,
    PasswordExpired,
    MustChange,
    Mfa,
    Pending,
}

/// Pointers into a person's JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpFields {
    pub(crate) id: Pointer,
    pub(crate) login: Option<Pointer>,
    pub(crate) email: Pointer,
    pub(crate) email_verified: Option<Pointer>,
    pub(crate) given_name: Option<Pointer>,
    pub(crate) family_name: Option<Pointer>,
    pub(crate) full_name: Option<Pointer>,
    pub(crate) locale: Option<Pointer>,
    pub(crate) organization: Option<Pointer>,
    pub(crate) roles: Option<Pointer>,
    pub(crate) active: Option<Pointer>,
    pub(crate) disabled: Option<Pointer>,
    pub(crate) locked: Option<Pointer>,
    /// A boolean, or a list of things to do.
    pub(crate) must_change: Option<Pointer>,
}
