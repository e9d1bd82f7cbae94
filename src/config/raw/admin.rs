//! Section `admin`.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rate, SecretRef};

/// Health, metrics and control.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Admin {
    /// Address and port to listen on; never reachable from outside. Default `127.0.0.1:9090`.
    #[schemars(with = "Option<String>")]
    pub(in crate::config) listen: Option<SocketAddr>,
    /// Who may use the admin API. Default nobody, and then there is none.
    pub(in crate::config) tokens: Option<Vec<AdminToken>>,
    /// How many wrong tokens one address (IPv6: one /64) may send before further wrong ones have to wait; a right one
    /// never does. Default 10 in `1m`.
    pub(in crate::config) wrong_tokens: Option<Rate>,
}

/// One caller of the admin API.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AdminToken {
    /// Stands in audit events for whoever holds the token.
    #[schemars(required, with = "String")]
    pub(in crate::config) name: Option<String>,
    #[schemars(required, with = "AdminRole")]
    pub(in crate::config) role: Option<AdminRole>,
    /// At least 32 bytes, without blanks.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) token: Option<SecretRef>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AdminRole {
    /// Reads what shows no one's address.
    Viewer,
    /// Reads everything and changes what can be changed.
    Operator,
}
