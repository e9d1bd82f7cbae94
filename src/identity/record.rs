//! A person as a legacy system describes them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{CanonicalEmail, LegacyId, PersonKey, SourceName};

/// What a legacy system says of one person: facts only, nothing decided yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegacyRecord {
    pub(crate) source: SourceName,
    pub(crate) id: LegacyId,
    /// The name the person signs in with at the legacy system, as stored there.
    pub(crate) login: String,
    pub(crate) email: EmailClaim,
    pub(crate) state: AccountState,
    pub(crate) mfa: MfaState,
    pub(crate) name: PersonName,
    /// The legacy organisation's external id, where one is known.
    pub(crate) organization: Option<String>,
    /// Names of Scalekit roles, already mapped by the source's own table.
    pub(crate) roles: Vec<String>,
    /// Further facts for Scalekit's `metadata`: at most 20 pairs, keys of 3–25 and values of 1–256 characters.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl LegacyRecord {
    /// The key of this person's ledger row.
    pub(crate) fn key(&self) -> PersonKey {
        PersonKey { source: self.source.clone(), id: self.id.clone() }
    }
}

/// Records hold personal data: `Debug` names the row only.
impl fmt::Debug for LegacyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyRecord")
            .field("source", &self.source)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Names as Scalekit's user profile knows them; absent stays absent.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PersonName {
    pub(crate) given: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) full: Option<String>,
    /// A BCP 47 language tag.
    pub(crate) locale: Option<String>,
}

/// What the legacy system says of the e-mail: the address as stored, and whether it vouches for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EmailClaim {
    pub(crate) address: Option<String>,
    /// `Some` only for an explicit boolean; `None` where the source has no such flag.
    pub(crate) verified: Option<bool>,
}

/// Whether the account may be used at all, by the legacy system's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountState {
    Active,
    Locked,
    Disabled,
    /// A state this version does not know: never a yes.
    Unknown,
}

/// Whether a second factor guards the account (design: each source declares `mfa`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MfaState {
    /// The source has no second factor, or the field says there is none for this person.
    None,
    Enrolled,
    /// Not known: nobody migrates unless the operator accepted that in writing.
    Unknown,
}

/// Who vouches for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub(crate) enum Assertion {
    /// The legacy source holds an explicit "verified: true".
    Legacy { source: SourceName },
    /// The operator set `assume_verified` for the source and signed for it.
    Operator { source: SourceName, accepted_by: String },
}

/// Why an address cannot be passed off as verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unverified {
    #[error("the legacy record has no e-mail")]
    Missing,
    #[error("the address has no canonical form: {0}")]
    Refused(#[from] super::EmailRefusal),
    #[error("the legacy source says the address is not verified")]
    SaysNo,
    #[error("the legacy source does not say whether the address is verified")]
    DoesNotSay,
}

/// An address somebody vouches for. Creating a Scalekit user marks its e-mail as verified, so a user is created
/// with one of these or not at all (truth 1, SEC-36).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VerifiedEmail {
    email: CanonicalEmail,
    asserted: Assertion,
}

impl VerifiedEmail {
    /// The one way to a verified address: the record's own flag, or the operator's signature where the source has
    /// no flag. A flag that says *no* is never overruled.
    pub(crate) fn assert(
        source: &SourceName,
        claim: &EmailClaim,
        assume_verified_accepted_by: Option<&str>,
    ) -> Result<Self, Unverified> {
        let address = claim.address.as_deref().ok_or(Unverified::Missing)?;
        let email = CanonicalEmail::parse(address)?;
        let source = source.clone();
        let asserted = match (claim.verified, assume_verified_accepted_by) {
            (Some(true), _) => Assertion::Legacy { source },
            (Some(false), _) => return Err(Unverified::SaysNo),
            (None, Some(name)) => Assertion::Operator { source, accepted_by: name.to_owned() },
            (None, None) => return Err(Unverified::DoesNotSay),
        };
        Ok(Self { email, asserted })
    }

    pub(crate) fn email(&self) -> &CanonicalEmail {
        &self.email
    }

    pub(crate) fn asserted(&self) -> &Assertion {
        &self.asserted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_verified_only_by_somebodys_word() {
        let source = SourceName::parse("crm").unwrap();
        let claim = |verified| EmailClaim { address: Some("Ann@Example.com".into()), verified };
        let assert = |verified, signed| VerifiedEmail::assert(&source, &claim(verified), signed);
        assert_eq!(assert(Some(true), None).unwrap().email().as_str(), "ann@example.com");
        assert_eq!(assert(Some(false), Some("ops")), Err(Unverified::SaysNo));
        assert_eq!(assert(None, None), Err(Unverified::DoesNotSay));
        let vouched = assert(None, Some("ops")).unwrap();
        assert!(
            matches!(vouched.asserted(), Assertion::Operator { accepted_by, .. } if accepted_by == "ops")
        );
    }
}
