//! Section `legacy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CallRate, HttpEndpoint, Lockout, SecretRef, Size, Span, Stormpath};

/// The legacy sources that can prove a person.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Legacy {
    /// In the order they are asked.
    pub(in crate::config) sources: Option<Vec<Source>>,
    /// Threads that check password hashes. Default: one a core.
    pub(in crate::config) hash_threads: Option<u32>,
    /// Checks that may wait for a thread; more are answered with 503. Default 64.
    pub(in crate::config) hash_queue: Option<u32>,
    /// The most a stored hash may cost; a costlier one is refused unhashed.
    pub(in crate::config) hash_ceilings: Option<HashCeilings>,
}

/// The most a stored hash may cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HashCeilings {
    /// Default 14.
    pub(in crate::config) bcrypt_cost: Option<u32>,
    /// Default `64MiB`.
    pub(in crate::config) scrypt_memory_bytes: Option<Size>,
    /// Default `128MiB`.
    pub(in crate::config) argon2_memory_bytes: Option<Size>,
    /// Default 10.
    pub(in crate::config) argon2_passes: Option<u32>,
    /// Default 2000000.
    pub(in crate::config) pbkdf2_iterations: Option<u32>,
    /// Default 1000000.
    pub(in crate::config) sha_crypt_rounds: Option<u32>,
    /// log2 of the rounds of phpass and Drupal 7. Default 20.
    pub(in crate::config) phpass_count_log2: Option<u32>,
    /// Default `64MiB`.
    pub(in crate::config) yescrypt_memory_bytes: Option<Size>,
    /// Rounds of iterated plain digests. Default 1000000.
    pub(in crate::config) digest_iterations: Option<u32>,
}

/// One legacy source. It has exactly one of `okta`, `stormpath`, `http`, `hash_file`, `sql`, `upstream`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["okta"]}, {"required": ["stormpath"]}, {"required": ["http"]}, {"required": ["hash_file"]},
    {"required": ["sql"]}, {"required": ["upstream"]}
]))]
pub(in crate::config) struct Source {
    /// Small letters, digits, `_` and `-`, at most 32. Never changed later: it is part of every person's key.
    #[schemars(required, with = "String")]
    pub(in crate::config) name: Option<String>,
    /// Okta's primary authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) okta: Option<Okta>,
    /// Stormpath's REST API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) stormpath: Option<Stormpath>,
    /// An HTTP endpoint of your own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) http: Option<HttpEndpoint>,
    /// Password hashes in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) hash_file: Option<HashFile>,
    /// Password hashes in a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) sql: Option<Sql>,
    /// An application without any API judges the forwarded sign-in itself; write `upstream: {}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) upstream: Option<UpstreamSource>,
    /// E-mail domains this source is asked for. Default: all, and names that are no e-mail.
    pub(in crate::config) domains: Option<Vec<String>>,
    /// How a person's external id in Scalekit is written, from `{id}` and `{source}`. Default `{id}` with one
    /// source, `{source}:{id}` with several. Fixed once somebody has moved.
    pub(in crate::config) external_id: Option<String>,
    /// Vouches for every address of a source that has no verified flag. Default off: nobody moves then.
    pub(in crate::config) assume_verified: Option<AssumeVerified>,
    /// For a source that cannot be asked who has an address (`upstream`; `sql` without `twins_query`; `http` without
    /// `find_by_email`): takes whoever comes by the mailbox sign-in, and is found at no other source, for somebody new.
    /// Default off: they are refused.
    pub(in crate::config) assume_stranger: Option<AssumeStranger>,
    /// Where the source says whether a person has a second factor. Default `unknown` (nobody moves), and for Okta
    /// `{field: factors}`.
    pub(in crate::config) mfa: Option<Mfa>,
    /// Legacy group or role names to Scalekit role names; others give no role. Default none.
    pub(in crate::config) roles: Option<BTreeMap<String, String>>,
    /// What the source, or the application before it, locks an account at.
    pub(in crate::config) lockout: Option<Lockout>,
    /// How often the source may be called. Default: as often as it lets itself be; a 429 holds all replicas back and
    /// halves what they send for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) rate: Option<CallRate>,
    /// All that one check may take. Default `5s`.
    pub(in crate::config) timeout: Option<Span>,
}

/// Who vouches. Signing means: every address in this source was verified, and the signer answers for it. Scalekit
/// will treat each as verified, so that whoever holds the legacy password gets an account with that address. An account
/// that is there already is linked only once its owner proves the mailbox.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AssumeVerified {
    /// A name, and where the decision is written down.
    #[schemars(required, with = "String")]
    pub(in crate::config) accepted_by: Option<String>,
}

/// Who says so. Signing means: nobody of this source takes the mailbox sign-in before they moved, or the signer accepts
/// that whoever does begins anew, without their legacy account, and stays so.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AssumeStranger {
    /// A name, and where the decision is written down.
    #[schemars(required, with = "String")]
    pub(in crate::config) accepted_by: Option<String>,
}

/// What is known of second factors.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Mfa {
    /// The source has none at all.
    None,
    /// Not known: nobody moves.
    Unknown,
    /// The record says it: a column, a pointer (`http`, and for Stormpath into the custom data), or for Okta
    /// `factors`.
    Field(String),
    /// Not known, and somebody accepted in writing that a second factor may be lost: who, and where it is written.
    UnknownAcceptedBy(String),
}

/// Okta's primary authentication and users API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Okta {
    /// The organisation's address, such as `https://example.okta.com`.
    #[schemars(required, with = "String")]
    pub(in crate::config) url: Option<String>,
    /// An API token (SSWS) that may read users, groups and factors.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) api_token: Option<SecretRef>,
    /// Crossfade's address is a trusted gateway in Okta: the person's own address goes along. Default false.
    pub(in crate::config) trusted_gateway: Option<bool>,
    /// A boolean profile attribute that says whether the e-mail is verified; Okta has no flag of its own.
    pub(in crate::config) email_verified_attribute: Option<String>,
    /// A profile attribute that names the person's organisation.
    pub(in crate::config) organization_attribute: Option<String>,
}

/// Password hashes in a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HashFile {
    /// Relative to the folder of this configuration.
    #[schemars(required, with = "String")]
    pub(in crate::config) path: Option<String>,
    /// Default: by the file's ending, `.csv` or else JSON lines.
    pub(in crate::config) kind: Option<HashFileKind>,
    #[schemars(required, with = "Columns")]
    pub(in crate::config) columns: Option<Columns>,
    /// `auto` for hashes that say themselves what they are, else a format's name with its settings. Default `auto`.
    pub(in crate::config) hash_format: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum HashFileKind {
    /// One JSON object a line.
    JsonLines,
    /// A header line, then one record a line.
    Csv,
}

/// Password hashes in a table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sql {
    #[schemars(required, with = "SqlDialect")]
    pub(in crate::config) dialect: Option<SqlDialect>,
    /// The connection URL, with the credentials of a user who may only read: `postgres://…`, `mysql://…`,
    /// `sqlite:…`.
    #[schemars(required, with = "SecretRef")]
    pub(in crate::config) url: Option<SecretRef>,
    /// Finds a person by the name they typed, the one parameter: `$1` (PostgreSQL) or `?`.
    #[schemars(required, with = "String")]
    pub(in crate::config) query: Option<String>,
    /// Finds every record with one e-mail (in lower case), the one parameter. Needed to notice twins, and to recognise
    /// people who come by the mailbox sign-in where they otherwise sign in by a user name.
    pub(in crate::config) twins_query: Option<String>,
    /// Finds the record of one legacy id (as text), the one parameter; the same columns as `query`. Needed wherever a
    /// record is read again: after who-am-I, and when somebody comes back from Scalekit.
    pub(in crate::config) id_query: Option<String>,
    #[schemars(required, with = "Columns")]
    pub(in crate::config) columns: Option<Columns>,
    /// `auto` for hashes that say themselves what they are, else a format's name with its settings. Default `auto`.
    pub(in crate::config) hash_format: Option<serde_json::Value>,
    /// Default 4.
    pub(in crate::config) connections: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SqlDialect {
    Postgres,
    /// Also for MariaDB.
    Mysql,
    Sqlite,
}

/// An application without any API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamSource {}

/// Which column, or dotted path in a JSON line, holds what.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Columns {
    /// The immutable id: never the e-mail.
    #[schemars(required, with = "String")]
    pub(in crate::config) id: Option<String>,
    /// The name people sign in with, where it is not the e-mail.
    pub(in crate::config) login: Option<String>,
    #[schemars(required, with = "String")]
    pub(in crate::config) email: Option<String>,
    /// A boolean: the legacy system verified the address.
    pub(in crate::config) email_verified: Option<String>,
    #[schemars(required, with = "String")]
    pub(in crate::config) password_hash: Option<String>,
    /// Where the salt is kept apart from the hash.
    pub(in crate::config) salt: Option<String>,
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
    /// A boolean: true means the password has to be changed first.
    pub(in crate::config) must_change: Option<String>,
}
