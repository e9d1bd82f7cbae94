//! Section `admin`: health, metrics and control, on their own listener.

use std::net::SocketAddr;

use super::Rate;
use crate::identity::Secret;

/// Section `admin`.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) listen: SocketAddr,
    /// Who may use the API; without any there is no API.
    pub(crate) tokens: Vec<AdminToken>,
    /// How many wrong tokens one address may send before further wrong ones are refused for a while.
    pub(crate) wrong_tokens: Rate,
}

/// One caller of the admin API.
#[derive(Clone, Debug)]
pub(crate) struct AdminToken {
    /// Stands in audit events for whoever holds the token.
    pub(crate) name: String,
    pub(crate) role: AdminRole,
    pub(crate) token: Secret,
}

/// What a caller of the admin API may do; the later includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AdminRole {
    /// Reads what shows no one's address.
    Viewer,
    /// Reads everything and changes what can be changed.
    Operator,
}

impl AdminRole {
    /// The role as it is configured.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
