//! What nobody outside knows about the real service, and what tests want it to do wrong: all of it switchable
//! while the play runs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The switches; part of the seed and, at run time, `GET`/`PUT /__simulator/settings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// What a create does whose e-mail address or external id somebody has already.
    pub(crate) on_duplicate: OnDuplicate,
    pub(crate) email_case: EmailCase,
    pub(crate) search: SearchMode,
    /// How long a new user stays invisible to searches (never to a read by id or external id).
    pub(crate) search_delay_ms: u64,
    /// Whether `users:external/…` exists; older servers do not have it.
    pub(crate) external_id_routes: bool,
    pub(crate) metadata_patch: MetadataPatch,
    pub(crate) unknown_body_keys: UnknownKeys,
    /// The status of a create in an organization that is not there.
    pub(crate) unknown_organization: Missing,
    /// The status of a create with a role that is not there.
    pub(crate) unknown_role: Missing,
    /// Whether the first user the API puts into an organization becomes `admin` when no role is named.
    pub(crate) first_user_is_admin: bool,
    /// Whether an unknown address at the hosted login becomes a new user.
    pub(crate) sign_up: bool,
    /// What a live session does with a `login_hint` that names somebody else.
    pub(crate) foreign_hint: ForeignHint,
    /// What a refresh does with the token it came with.
    pub(crate) refresh_tokens: RefreshTokens,
    /// What a used refresh token that comes again leads to.
    pub(crate) refresh_replay: RefreshReplay,
    /// How many code mails one address gets in a minute; without it, as many as are asked for.
    pub(crate) codes_per_minute: Option<usize>,
    pub(crate) id_token: IdTokenFault,
    pub(crate) api_token_secs: u64,
    pub(crate) access_token_secs: u64,
    pub(crate) id_token_secs: u64,
    pub(crate) code_secs: u64,
    pub(crate) session_idle_secs: u64,
    pub(crate) session_absolute_secs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_duplicate: OnDuplicate::Conflict,
            email_case: EmailCase::Folded,
            search: SearchMode::Substring,
            search_delay_ms: 0,
            external_id_routes: true,
            metadata_patch: MetadataPatch::Merge,
            unknown_body_keys: UnknownKeys::Ignored,
            unknown_organization: Missing::NotFound,
            unknown_role: Missing::BadRequest,
            first_user_is_admin: false,
            sign_up: true,
            foreign_hint: ForeignHint::Ignored,
            refresh_tokens: RefreshTokens::Rotate,
            refresh_replay: RefreshReplay::EndsSession,
            codes_per_minute: None,
            id_token: IdTokenFault::None,
            api_token_secs: 86_400,
            access_token_secs: 300,
            id_token_secs: 1_800,
            code_secs: 600,
            session_idle_secs: 7 * 86_400,
            session_absolute_secs: 30 * 86_400,
        }
    }
}

impl Settings {
    /// These settings with the members of `changes` in place of their own.
    pub(super) fn changed(&self, changes: Value) -> serde_json::Result<Self> {
        let changes: Map<String, Value> = serde_json::from_value(changes)?;
        let mut all: Map<String, Value> = serde_json::from_value(serde_json::to_value(self)?)?;
        all.extend(changes);
        serde_json::from_value(Value::Object(all))
    }
}

/// What a duplicate create leads to. Which of these the real service does is not documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDuplicate {
    /// 409.
    Conflict,
    /// 400, as for duplicate roles and domains.
    BadRequest,
    /// 201 with the existing user, who gets the membership.
    Existing,
    /// 500.
    Internal,
    /// Nothing is unique: 201 with a second user. The nightmare.
    SecondUser,
}

/// How addresses are compared; they are stored as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmailCase {
    Folded,
    Exact,
}

/// Which part of a value a search text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SearchMode {
    Substring,
    Prefix,
    Exact,
}

/// What a PATCH does with metadata it does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetadataPatch {
    Merge,
    Replace,
}

/// What happens to keys of a body that the API does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnknownKeys {
    Ignored,
    /// 400.
    Refused,
}

/// How a named thing that is not there is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    NotFound,
    BadRequest,
}

/// What a live session does with a `login_hint` that names somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForeignHint {
    /// The session answers, for its own user.
    Ignored,
    /// The login page is shown.
    Asks,
}

/// What a refresh does with the token it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefreshTokens {
    /// It is used up, and a new one comes.
    Rotate,
    /// It stays good and comes again.
    Same,
    /// It stays good, and the answer does not name it.
    Omitted,
    /// It is refused, as if the session had ended.
    Refused,
}

/// What a used refresh token that comes again leads to, beside the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefreshReplay {
    /// The session is over, and with it every newer token.
    EndsSession,
    Refused,
}

/// What is wrong with every ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IdTokenFault {
    None,
    WrongNonce,
    NoNonce,
    WrongAud,
    WrongIss,
    AlgNone,
    Expired,
    EmailUnverified,
    /// Signed by a key that is not published, under the published key's id.
    ForeignKey,
    /// Of another person.
    WrongSub,
    /// Issued to another party, though for this audience.
    WrongAzp,
    /// Several audiences, and nobody named that it was issued to.
    NoAzp,
    /// Valid from an hour hence.
    NotYetValid,
    /// Issued an hour hence.
    FromTheFuture,
    /// Bound to another access token.
    WrongAtHash,
    /// Signed, and the header does not say by which key.
    NoKid,
    /// The header names a key that is not published.
    UnknownKid,
    /// Signed by HMAC with the published key as the secret.
    PublicKeyAsSecret,
    NoSubject,
    NoExpiry,
    /// No JWT at all.
    Garbage,
}
