//! Who may be created in Scalekit at all (SEC-30 … SEC-38): pure.

use super::{Ineligible, SourceRules};
use crate::{
    config::MfaDeclaration,
    identity::{AccountState, ExternalId, LegacyRecord, LoginName, MfaState, VerifiedEmail},
};

/// The longest external id Scalekit takes, in bytes (scalekit.md §6.1).
const EXTERNAL_ID_MAX_BYTES: usize = 510;

/// Judges a proven person's record. `typed` is what they signed in with, where they typed anything.
pub(crate) fn judge(
    record: &LegacyRecord,
    typed: Option<&LoginName>,
    external_id: &ExternalId,
    rules: &SourceRules,
    mfa_accepted_organizations: &[String],
) -> Result<VerifiedEmail, Ineligible> {
    account(record.state)?;
    second_factor(record, rules, mfa_accepted_organizations)?;
    let signed_by = rules.assume_verified.as_ref().map(|assumed| assumed.accepted_by.as_str());
    let email = VerifiedEmail::assert(&record.source, &record.email, signed_by)?;
    // SEC-35: a typed address that is not the record's means that the store matched somebody else.
    if typed.and_then(LoginName::email).is_some_and(|typed| typed != email.email()) {
        return Err(Ineligible::TypedEmailDiffers);
    }
    if external_id.as_str().len() > EXTERNAL_ID_MAX_BYTES {
        return Err(Ineligible::ExternalIdTooLong);
    }
    Ok(email)
}

fn account(state: AccountState) -> Result<(), Ineligible> {
    match state {
        AccountState::Active => Ok(()),
        AccountState::Locked => Err(Ineligible::AccountLocked),
        AccountState::Disabled => Err(Ineligible::AccountDisabled),
        AccountState::Unknown => Err(Ineligible::AccountStateUnknown),
    }
}

/// Truth 6: a second factor is never lost by migrating.
fn second_factor(record: &LegacyRecord, rules: &SourceRules, accepted: &[String]) -> Result<(), Ineligible> {
    let organization_accepted = record.organization.as_ref().is_some_and(|id| accepted.contains(id));
    let accepted_in_writing = matches!(rules.mfa, MfaDeclaration::Unknown { accepted_by: Some(_) });
    match record.mfa {
        MfaState::None => Ok(()),
        MfaState::Enrolled if organization_accepted => Ok(()),
        MfaState::Enrolled => Err(Ineligible::Mfa),
        MfaState::Unknown if accepted_in_writing => Ok(()),
        MfaState::Unknown => Err(Ineligible::MfaUnknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::AssumeVerified,
        identity::{EmailClaim, ExternalIdTemplate},
        login::tests::{record, rules},
    };

    fn verdict(record: &LegacyRecord, typed: &str, rules: &SourceRules) -> Result<VerifiedEmail, Ineligible> {
        let external_id = ExternalIdTemplate::default_for(1).render(&record.key());
        let typed = LoginName::parse(typed);
        judge(record, typed.as_ref(), &external_id, rules, &["trusted".to_owned()])
    }

    #[test]
    fn each_reason_not_to_create_has_a_name() {
        let with = |change: &dyn Fn(&mut LegacyRecord)| {
            let mut record = record("ann");
            change(&mut record);
            record
        };
        let claim =
            |address: Option<&str>, verified| EmailClaim { address: address.map(Into::into), verified };
        let good = Some("ann@example.com");
        for (record, why) in [
            (with(&|r| r.state = AccountState::Locked), Ineligible::AccountLocked),
            (with(&|r| r.state = AccountState::Disabled), Ineligible::AccountDisabled),
            (with(&|r| r.state = AccountState::Unknown), Ineligible::AccountStateUnknown),
            (with(&|r| r.mfa = MfaState::Enrolled), Ineligible::Mfa),
            (with(&|r| r.mfa = MfaState::Unknown), Ineligible::MfaUnknown),
            (with(&|r| r.email = claim(None, Some(true))), Ineligible::NoEmail),
            (with(&|r| r.email = claim(Some("ann"), Some(true))), Ineligible::EmailRefused),
            (with(&|r| r.email = claim(good, Some(false))), Ineligible::EmailUnverified),
            (with(&|r| r.email = claim(good, None)), Ineligible::EmailVerificationUnknown),
            (
                with(&|r| r.email = claim(Some("joann@example.com"), Some(true))),
                Ineligible::TypedEmailDiffers,
            ),
        ] {
            assert_eq!(verdict(&record, "ann@example.com", &rules()), Err(why));
        }
        assert!(verdict(&record("ann"), "Ann@Example.com", &rules()).is_ok());
        assert!(verdict(&record("ann"), "ann-login", &rules()).is_ok());
    }

    #[test]
    fn only_written_acceptance_lifts_a_doubt() {
        let mut unknown = record("ann");
        unknown.mfa = MfaState::Unknown;
        unknown.email.verified = None;
        let mut accepted = rules();
        accepted.mfa = MfaDeclaration::Unknown { accepted_by: Some("ops".into()) };
        assert_eq!(verdict(&unknown, "ann", &accepted), Err(Ineligible::EmailVerificationUnknown));
        accepted.assume_verified = Some(AssumeVerified { accepted_by: "ops".into() });
        assert!(verdict(&unknown, "ann", &accepted).is_ok());
        let mut enrolled = record("ann");
        enrolled.mfa = MfaState::Enrolled;
        assert_eq!(verdict(&enrolled, "ann", &accepted), Err(Ineligible::Mfa));
        enrolled.organization = Some("trusted".into());
        assert!(verdict(&enrolled, "ann", &rules()).is_ok());
    }
}
