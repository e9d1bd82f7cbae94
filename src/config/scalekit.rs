//! Section `scalekit`: the target, its organisations, and how a proven person is handed over.

use std::{collections::BTreeMap, time::Duration};

use url::Url;

use super::CallRate;
use crate::identity::Secret;

/// Section `scalekit`.
#[derive(Clone, Debug)]
pub(crate) struct Scalekit {
    /// `https://{sub}.scalekit.com`; no trailing slash in the issuer derived from it.
    pub(crate) environment_url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    /// Where people without a known organisation go.
    pub(crate) default_organization: Organization,
    /// Whether a legacy organisation unknown to Scalekit is created there; else its people stay on legacy.
    pub(crate) create_organizations: bool,
    /// Role names given to everybody, besides those a source maps.
    pub(crate) default_roles: Vec<String>,
    pub(crate) on_existing: OnExisting,
    /// One call (REL-30: 3 s).
    pub(crate) timeout: Duration,
    /// How often the management API may be called; `None`: as often as it lets itself be.
    pub(crate) rate: Option<CallRate>,
    /// OAuth scopes asked for at sign-in.
    pub(crate) scopes: Vec<String>,
    /// `users:external/{id}` may be missing on older servers (scalekit.md §6.2): search then.
    pub(crate) lookup_by_external_id: bool,
    pub(crate) hand_offs: HandOffs,
}

/// An organisation by its external id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Organization {
    pub(crate) external_id: String,
    pub(crate) display_name: String,
}

/// What becomes of a user who already exists in Scalekit with the same e-mail (truth 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnExisting {
    LinkVerified,
    Conflict,
}

/// Which hand-off a person takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandOffs {
    pub(crate) default: HandOff,
    /// By the organisation's external id.
    pub(crate) organizations: BTreeMap<String, HandOff>,
}

impl HandOffs {
    /// The hand-off for a person of this organisation.
    pub(crate) fn of(&self, organization: Option<&str>) -> &HandOff {
        organization.and_then(|id| self.organizations.get(id)).unwrap_or(&self.default)
    }
}

/// How a proven person gets from the sign-in form to a Scalekit session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandOff {
    /// The person is merely created; the original request goes on to the application.
    Shadow,
    /// 303 to Scalekit's hosted login with `login_hint`.
    Hosted,
    /// 303 to a route of the application that starts its own Scalekit login. `{login_hint}` and `{return_to}` in
    /// the URL are filled in, percent-encoded.
    App { url: String },
}
