//! Section `legacy`: sources that are services one asks, Okta apart.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{JsonSignal, SecretRef, Span};

/// Stormpath's REST API, or a service that speaks it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Stormpath {
    /// The application's address (its href), such as `https://api.example.com/v1/applications/1gk4Dxzi6o4Pbdl`.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
    /// The id of an API key that may read the application's accounts.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) api_key_id: Option<SecretRef>,
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) api_key_secret: Option<SecretRef>,
    /// The one store of accounts that sign-ins are tried in. Default: all that are mapped to the application.
    pub(in crate::config) account_store: Option<AccountStore>,
    /// Pointer into an account's custom data, to the external id of the person's organisation.
    pub(in crate::config) organization_field: Option<String>,
}

/// So many calls within a span, by all replicas together; never more than a second's worth of them at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct CallRate {
    #[schemars(required, with = "u32")]
    pub(in crate::config) calls: Option<u32>,
    #[schemars(required, with = "Span")]
    pub(in crate::config) per: Option<Span>,
}

/// A store of accounts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AccountStore {
    /// The address of a directory, group or organisation.
    Href(String),
    /// The key of an organisation.
    NameKey(String),
}

/// An HTTP endpoint of your own that finds people and checks passwords. Addresses below `url` are templates: `{name}`,
/// `{id}` and `{email}` are filled in percent-encoded and can change nothing else of the address.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpEndpoint {
    /// What all its addresses begin with, such as `https://users.internal.example.com/legacy`.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
    /// How Crossfade says who it is. Default: not at all.
    pub(in crate::config) auth: Option<HttpAuth>,
    /// Finds a person by the name they typed, with GET: `/users/{name}`. Without it a password is sent before it is
    /// known whether anybody here has the name.
    pub(in crate::config) find: Option<String>,
    /// Finds a person by their id, with GET: `/users/by-id/{id}`. Needed wherever a record is read again.
    pub(in crate::config) find_by_id: Option<String>,
    /// Finds everybody with one e-mail, with GET: `/users?email={email}`. Answers with a list. Needed to notice twins
    /// and to recognise people who come by the mailbox sign-in.
    pub(in crate::config) find_by_email: Option<String>,
    /// Pointer to that list. Default: the answer is the list.
    pub(in crate::config) list: Option<String>,
    /// Statuses that mean: no such person. Default `[404, 410]`.
    pub(in crate::config) nobody: Option<Vec<u16>>,
    #[schemars(required, with = "HttpCheck")]
    pub(in crate::config) check: Option<HttpCheck>,
    #[schemars(required, with = "HttpFields")]
    pub(in crate::config) fields: Option<HttpFields>,
}

/// How Crossfade says who it is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum HttpAuth {
    /// `Authorization: Bearer …`
    Bearer(SecretRef),
    /// `Authorization: Basic …`
    Basic(HttpBasic),
    /// A field of another name.
    Header(HttpHeader),
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpBasic {
    #[schemars(required, with = "String")]
    pub(in crate::config) user: Option<String>,
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) password: Option<SecretRef>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpHeader {
    #[schemars(required, with = "String")]
    pub(in crate::config) name: Option<String>,
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) value: Option<SecretRef>,
}

/// The password check: a POST with a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpCheck {
    /// Such as `/users/{name}`, `/users/{id}` (the id that `find` gave) or `/password-check`.
    #[schemars(required, with = "String")]
    pub(in crate::config) path: Option<String>,
    /// The member of the object that holds the password. Default `password`.
    pub(in crate::config) password: Option<String>,
    /// The member that holds the name as typed. Default: it is not sent.
    pub(in crate::config) name: Option<String>,
    /// Whether the answer to a right password is the person, in the same fields as everywhere. Default false: the
    /// person is what `find` gives.
    pub(in crate::config) names_person: Option<bool>,
    /// What answers mean; the first that fits counts, and one that none fits is neither a yes nor a no. Default: 200 is
    /// right; 400, 401, 403 and 404 are wrong. 429 and 5xx are never a word about a password, and neither is a page: where
    /// the status alone decides, a yes has an empty body or JSON.
    pub(in crate::config) answers: Option<Vec<HttpAnswer>>,
}

/// One answer to a password check.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpAnswer {
    #[schemars(required, with = "Vec<u16>")]
    pub(in crate::config) status: Option<Vec<u16>>,
    /// And this value stands in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) json: Option<JsonSignal>,
    #[schemars(required, with = "HttpMeaning")]
    pub(in crate::config) means: Option<HttpMeaning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum HttpMeaning {
    Right,
    Wrong,
    /// Nobody of that name is here.
    Unknown,
    Locked,
    Disabled,
    /// The password is right but expired: the application's own flow goes on.
    PasswordExpired,
    /// The password has to be changed first: the application's own flow goes on.
    MustChange,
    /// A second factor is due: the application's own flow goes on.
    Mfa,
    /// Registration or verification is unfinished: the application's own flow goes on.
    Pending,
}

/// Pointers (RFC 6901) into a person's JSON object, such as `/emailVerified`. A boolean may also be written `"true"` or
/// `"false"`; anything else is no word.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpFields {
    /// The immutable id: never the e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) id: Option<String>,
    /// The name people sign in with, where it is not the e-mail.
    pub(in crate::config) login: Option<String>,
    #[schemars(required, with = "String")]
    pub(in crate::config) email: Option<String>,
    /// A boolean: the legacy system verified the address.
    pub(in crate::config) email_verified: Option<String>,
    pub(in crate::config) given_name: Option<String>,
    pub(in crate::config) family_name: Option<String>,
    pub(in crate::config) full_name: Option<String>,
    pub(in crate::config) locale: Option<String>,
    /// The external id of the person's organisation.
    pub(in crate::config) organization: Option<String>,
    /// A list of groups or roles.
    pub(in crate::config) roles: Option<String>,
    /// A boolean: false means disabled.
    pub(in crate::config) active: Option<String>,
    /// A boolean: true means disabled.
    pub(in crate::config) disabled: Option<String>,
    /// A boolean: true means locked.
    pub(in crate::config) locked: Option<String>,
    /// A boolean, or a list of things to do: true, or anything in it, means that the password has to be changed first.
    pub(in crate::config) must_change: Option<String>,
}
