//! The words everyone uses: e-mail, login name, password, proof, legacy record, keys of a person.
//!
//! Types here make wrong states unspeakable: a [`Password`] cannot be printed, a [`VerifiedEmail`] cannot exist
//! without somebody who asserted it, a [`CanonicalEmail`] has one spelling. No I/O, no clock, no randomness.
//! Start reading at [`LegacyRecord`] and [`Proof`].

mod email;
mod person;
mod proof;
mod record;
mod secret;

pub(crate) use email::{CanonicalEmail, EmailRefusal};
pub(crate) use person::{
    ExternalId, ExternalIdTemplate, LegacyId, LoginName, PersonKey, SourceName, Subject, SubjectKey, hex,
};
pub(crate) use proof::{Proof, ProofKind};
pub(crate) use record::{
    AccountState, Assertion, EmailClaim, LegacyRecord, MfaState, PersonName, Unverified, VerifiedEmail,
};
pub(crate) use secret::{Password, PasswordRefusal, Secret};
