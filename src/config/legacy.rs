//! Section `legacy`: the chain of sources that can prove a person.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::Url;

use super::{CallRate, HttpSource, Lockout, StormpathSource};
use crate::identity::{ExternalIdTemplate, Secret, SourceName};

/// Section `legacy`: sources in the order they are asked.
#[derive(Clone, Debug)]
pub(crate) struct Legacy {
    pub(crate) sources: Vec<Source>,
    /// Threads that hash, and how many verifications may wait for one (SEC-39).
    pub(crate) hash_threads: usize,
    pub(crate) hash_queue: usize,
    pub(crate) hash_ceilings: HashCeilings,
}

/// The most a stored hash may cost before it is refused unhashed (SEC-39).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HashCeilings {
    pub(crate) bcrypt_cost: u32,
    pub(crate) scrypt_memory_bytes: u64,
    pub(crate) argon2_memory_bytes: u64,
    pub(crate) argon2_passes: u32,
    pub(crate) pbkdf2_iterations: u32,
    pub(crate) sha_crypt_rounds: u32,
    /// log2 of the rounds of phpass and Drupal 7.
    pub(crate) phpass_count_log2: u32,
    pub(crate) yescrypt_memory_bytes: u64,
    /// Rounds of iterated plain digests (Symfony, Stormpath 2, `digest` with iterations).
    pub(crate) digest_iterations: u32,
}

impl Default for HashCeilings {
    fn default() -> Self {
        Self {
            bcrypt_cost: 14,
            scrypt_memory_bytes: 64 << 20,
            argon2_memory_bytes: 128 << 20,
            argon2_passes: 10,
            pbkdf2_iterations: 2_000_000,
            sha_crypt_rounds: 1_000_000,
            phpass_count_log2: 20,
            yescrypt_memory_bytes: 64 << 20,
            digest_iterations: 1_000_000,
        }
    }
}

/// One legacy source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: SourceName,
    pub(crate) kind: SourceKind,
    /// Canonical domains this source is asked for; empty: all, and names that are no e-mail.
    pub(crate) domains: Vec<String>,
    pub(crate) external_id: ExternalIdTemplate,
    /// The operator's word for a source that has no verified flag; `None` by default: nobody migrates then.
    pub(crate) assume_verified: Option<AssumeVerified>,
    /// The operator's word for a source that cannot be asked who has an address; `None` by default: whoever it may know
    /// and is not found is refused.
    pub(crate) assume_stranger: Option<AssumeStranger>,
    pub(crate) mfa: MfaDeclaration,
    pub(crate) roles: RoleMap,
    /// What it locks an account at; `None` where it locks nobody.
    pub(crate) lockout: Option<Lockout>,
    /// How often it may be called; `None`: as often as it lets itself be.
    pub(crate) rate: Option<CallRate>,
    /// All one check may take, SEC/REL-30: 5 s.
    pub(crate) timeout: Duration,
}

/// What a source is.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    Okta(OktaSource),
    Stormpath(StormpathSource),
    Http(Box<HttpSource>),
    HashFile(HashFileSource),
    Sql(SqlSource),
    /// An application without any API: the application itself judges the forwarded sign-in.
    Upstream,
}

impl SourceKind {
    /// Whether such a source can be asked who has an e-mail address.
    pub(crate) fn finds_addresses(&self) -> bool {
        match self {
            Self::Okta(_) | Self::Stormpath(_) | Self::HashFile(_) => true,
            Self::Http(http) => http.find_by_email.is_some(),
            Self::Sql(sql) => sql.twins_query.is_some(),
            Self::Upstream => false,
        }
    }

    /// Whether such a source sees passwords before it can say whether it has the name. Then a name that it does not
    /// have is a *no* like any other, and no source behind it is ever asked.
    pub(crate) fn tries_unknown_names(&self) -> bool {
        match self {
            Self::Http(http) => http.find.is_none(),
            Self::Okta(_) | Self::Stormpath(_) | Self::HashFile(_) | Self::Sql(_) | Self::Upstream => false,
        }
    }
}

/// An operator vouches for every address of a source, in writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssumeVerified {
    pub(crate) accepted_by: String,
}

/// An operator says of everybody who comes from Scalekit and cannot be looked up at a source that they are none of its
/// people, in writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssumeStranger {
    pub(crate) accepted_by: String,
}

/// Where a source says whether a person has a second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MfaDeclaration {
    /// The source has no second factors at all.
    None,
    /// The record carries it: a column, field or pointer; for Okta the transaction state and the factor list.
    Field(String),
    /// Not known: migrates nobody, unless somebody accepted that in writing.
    Unknown { accepted_by: Option<String> },
}

/// Legacy group or role names to Scalekit role names; unmapped ones give no role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoleMap(pub(crate) BTreeMap<String, String>);

/// Okta's primary authentication and users API (legacy-stores.md §1).
#[derive(Clone, Debug)]
pub(crate) struct OktaSource {
    pub(crate) url: Url,
    /// An API token (SSWS). Needed for e-mail, status, groups and factors.
    pub(crate) api_token: Secret,
    /// Our address is a trusted gateway there: the person's own address goes along as `X-Forwarded-For`.
    pub(crate) trusted_gateway: bool,
    /// How an `ACTIVE` user's e-mail counts: Okta has no flag, so this is always `None` unless a profile
    /// attribute (boolean) is named here.
    pub(crate) email_verified_attribute: Option<String>,
    /// A profile attribute that names the organisation.
    pub(crate) organization_attribute: Option<String>,
}

/// Password hashes in a file.
#[derive(Clone, Debug)]
pub(crate) struct HashFileSource {
    pub(crate) path: PathBuf,
    pub(crate) kind: HashFileKind,
    pub(crate) columns: Columns,
    /// The hash format and its settings, as room `hash` reads them; `"auto"` for self-describing hashes.
    pub(crate) hash_format: serde_json::Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashFileKind {
    JsonLines,
    Csv,
}

/// Password hashes in a table, found by the operator's own query.
#[derive(Clone, Debug)]
pub(crate) struct SqlSource {
    pub(crate) dialect: SqlDialect,
    /// The connection URL, with credentials.
    pub(crate) url: Secret,
    /// One bind parameter, the typed login: `$1` (PostgreSQL) or `?`. Must return at most two rows.
    pub(crate) query: String,
    /// One bind parameter, a canonical e-mail; returns one row per record that has it, with at least the id column
    /// (SEC-34). Without it twins inside this source are found only when `query` returns two rows, and a person who
    /// comes by the mailbox sign-in is recognised only where `query` finds addresses, too.
    pub(crate) twins_query: Option<String>,
    /// One bind parameter, a legacy id as text; returns the same columns as `query`. Needed wherever a record is read
    /// again: by who-am-I, the sweeper, a callback. Compare as text (`id::text = $1`) or cast the parameter.
    pub(crate) id_query: Option<String>,
    pub(crate) columns: Columns,
    pub(crate) hash_format: serde_json::Value,
    pub(crate) connections: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlDialect {
    Postgres,
    Mysql,
    Sqlite,
}

/// Which column (or dotted JSON path) holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) id: String,
    pub(crate) login: Option<String>,
    pub(crate) email: String,
    pub(crate) email_verified: Option<String>,
    pub(crate) password_hash: String,
    pub(crate) salt: Option<String>,
    pub(crate) given_name: Option<String>,
    pub(crate) family_name: Option<String>,
    pub(crate) full_name: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) roles: Option<String>,
    /// A boolean: false means disabled.
    pub(crate) active: Option<String>,
    /// A boolean: true means disabled.
    pub(crate) disabled: Option<String>,
    /// A boolean: true means locked.
    pub(crate) locked: Option<String>,
    /// A boolean: true means the password has to be changed first.
    pub(crate) must_change: Option<String>,
}
