//! Section `scalekit`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CallRate, SecretRef, Span};

/// The target.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Scalekit {
    /// Such as `https://example.scalekit.com`.
    #[schemars(required, with = "String")]
    pub(in crate::config) environment_url: Option<String>,
    #[schemars(required, with = "String")]
    pub(in crate::config) client_id: Option<String>,
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) client_secret: Option<SecretRef>,
    /// Where people without a known organisation go.
    #[schemars(required, with = "Organization")]
    pub(in crate::config) default_organization: Option<Organization>,
    /// Creates a legacy organisation that Scalekit does not know; else its people stay on legacy. Default false.
    pub(in crate::config) create_organizations: Option<bool>,
    /// Roles given to everybody. Default none.
    pub(in crate::config) default_roles: Option<Vec<String>>,
    /// What becomes of a user with the same e-mail who is in Scalekit already. Default `link_verified`.
    pub(in crate::config) on_existing: Option<OnExisting>,
    /// One call. Default `3s`.
    pub(in crate::config) timeout: Option<Span>,
    /// How often the management API may be called. Default: as often as it lets itself be; a 429 holds all replicas
    /// back and halves what they send for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) rate: Option<CallRate>,
    /// OAuth scopes asked for at sign-in. Default `openid`, `profile`, `email`, `offline_access`.
    pub(in crate::config) scopes: Option<Vec<String>>,
    /// Scalekit can find users by external id; else they are searched for. Default true.
    pub(in crate::config) lookup_by_external_id: Option<bool>,
    /// How a proven person gets to a Scalekit session.
    pub(in crate::config) hand_offs: Option<HandOffs>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Organization {
    /// The organisation's external id in Scalekit.
    #[schemars(required, with = "String")]
    pub(in crate::config) external_id: Option<String>,
    /// Its name, should it have to be created.
    #[schemars(required, with = "String")]
    pub(in crate::config) display_name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnExisting {
    /// Linked when both sides verified the same address.
    LinkVerified,
    /// Never linked; the person stays on legacy.
    Conflict,
}

/// How a proven person gets to a Scalekit session.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HandOffs {
    /// For everybody not named below. Default `hosted`.
    pub(in crate::config) default: Option<HandOff>,
    /// By the organisation's external id. Default none.
    pub(in crate::config) organizations: Option<BTreeMap<String, HandOff>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum HandOff {
    /// The person is merely created; the request goes on to the application.
    Shadow,
    /// To Scalekit's own sign-in page, with the address filled in.
    Hosted,
    /// To a route of the application that starts its own Scalekit sign-in.
    App(AppHandOff),
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AppHandOff {
    /// A path of the public origin; `{login_hint}` and `{return_to}` in it are filled in.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
}
