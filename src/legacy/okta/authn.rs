//! What an answer to a password check means: an allow-list of states (legacy-stores.md §1, first table).

use serde::Deserialize;

use super::{
    api::Api,
    refusal::{Refusal, content},
};
use crate::{
    identity::SourceName,
    legacy::failure::{failure, garbage},
    login::{ErrorClass, LegacyError, Rejection, StayReason, Verdict},
    net::Answer,
};

/// A finished transaction, or what else was said.
pub(super) enum Checked {
    /// The password is right and the policy satisfied.
    Proven(Proven),
    Decided(Verdict),
}

/// The user the organisation returned for the verified credentials.
pub(super) struct Proven {
    pub(super) id: String,
    pub(super) login: String,
}

/// A transaction. Tokens in it (`sessionToken`, `stateToken`) are credentials and are not even read.
#[derive(Deserialize)]
struct Transaction {
    status: Option<String>,
    #[serde(rename = "_embedded")]
    embedded: Option<Embedded>,
}

#[derive(Deserialize)]
struct Embedded {
    user: Option<EmbeddedUser>,
}

#[derive(Deserialize)]
struct EmbeddedUser {
    id: String,
    profile: EmbeddedProfile,
}

#[derive(Deserialize)]
struct EmbeddedProfile {
    login: String,
}

/// Reads the answer to a password check.
pub(super) fn checked(api: &Api, answer: &Answer) -> Result<Checked, LegacyError> {
    match content::<Transaction>(answer) {
        Ok(transaction) => judge(&api.source, transaction),
        Err(Refusal::Rejected(why)) => Ok(Checked::Decided(Verdict::Rejected(why))),
        Err(Refusal::Stay(why)) => Ok(Checked::Decided(Verdict::StayOnLegacy(why))),
        Err(Refusal::NotFound) => Err(failure(
            &api.source,
            ErrorClass::Misconfigured,
            "has no primary authentication at this address (E0000007)",
        )),
        Err(failed @ Refusal::Failed { .. }) => Err(api.as_error(failed)),
    }
}

fn judge(source: &SourceName, transaction: Transaction) -> Result<Checked, LegacyError> {
    let decided = |verdict| Ok(Checked::Decided(verdict));
    match transaction.status.as_deref() {
        Some("SUCCESS" | "PASSWORD_WARN") => {
            let user = transaction.embedded.and_then(|embedded| embedded.user);
            let user = user.ok_or_else(|| garbage(source, "accepted a password without naming the user"))?;
            Ok(Checked::Proven(Proven { id: user.id, login: user.profile.login }))
        }
        Some("PASSWORD_EXPIRED") => decided(Verdict::StayOnLegacy(StayReason::PasswordExpired)),
        Some("MFA_REQUIRED" | "MFA_CHALLENGE" | "MFA_ENROLL" | "MFA_ENROLL_ACTIVATE") => {
            decided(Verdict::StayOnLegacy(StayReason::Mfa))
        }
        Some("LOCKED_OUT") => decided(Verdict::Rejected(Rejection::Locked)),
        // Recovery and step-up transactions never prove a password.
        Some("RECOVERY" | "RECOVERY_CHALLENGE" | "PASSWORD_RESET" | "UNAUTHENTICATED") => {
            decided(Verdict::Rejected(Rejection::WrongPassword))
        }
        other => {
            tracing::error!(
                legacy.store = %source,
                legacy.state = other.map(printable),
                "the store answered a password check with a state this version does not know; taken as a no",
            );
            decided(Verdict::Rejected(Rejection::WrongPassword))
        }
    }
}

/// A state as it may stand in a log: Okta's are words of capitals.
fn printable(state: &str) -> &str {
    let word = state.len() <= 40 && state.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if word { state } else { "[not a word]" }
}
