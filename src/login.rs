//! The heart: what one sign-in means, and how a person moves.
//!
//! `eligibility` and `machine` are pure; `journey` drives them over the ports of `ports` and does nothing else. No
//! HTTP, no storage, no wall clock here: facts come in, [`Outcome`]s go out, and the edges record and answer.
//! Start reading at `journey`, then `machine`.

mod ports;
mod row;

pub(crate) use ports::{
    Attempt, ClaimAnswer, ClientFacts, CreateError, Directory, DirectoryError, DirectoryUser, ErrorClass,
    Ledger, LedgerError, LegacyError, LegacyStore, Membership, MembershipStatus, NewUser, OrganizationId,
    Rejection, StayReason, Twins, UserId, Verdict,
};
pub(crate) use row::{Alias, Claim, Ineligible, Origin, Row, RowState, SetAside};
