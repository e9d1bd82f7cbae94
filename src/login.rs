//! The heart: what one sign-in means, and how a person moves.
//!
//! `eligibility` and `machine` are pure; `journey` drives them over the ports of `ports` and does nothing else. No
//! HTTP, no storage, no wall clock here: facts come in, [`Outcome`]s go out, and the edges record and answer.
//! Start reading at `journey`, then `machine`.

mod chain;
mod eligibility;
mod epoch;
mod flags;
mod guessing;
mod journey;
mod look_ups;
mod machine;
mod outcome;
mod people;
mod ports;
mod removed;
mod row;
mod settings;

pub(crate) use chain::{Chain, Search};
pub(crate) use epoch::{Doubt, Epoch, EpochStore, Put, StoreStanding, Trust, TrustSettings, put_in_doubt};
pub(crate) use flags::{Damaged, Flags, FlagsError, Replaced, StoredFlags, Why};
pub(crate) use guessing::{
    Allowance, Budget, Count, CountKey, CountKeys, Failures, Guess, Limit, Limited, NotForgotten, Settled,
    Spent, Tally, Ticket, Tried, TryCounter,
};
pub(crate) use journey::{Callback, Decided, Journeys, NotDone, Swept, Upstream, Whom};
pub(crate) use look_ups::Asker;
pub(crate) use machine::{Command, Event};
pub(crate) use outcome::{Basis, Closed, HandOver, Identified, Outcome, Refused, Rejected, WhyForward};
pub(crate) use people::{CountedAs, Counts, Indexed, People, PeopleFilter, Stage};
pub(crate) use ports::{
    Attempt, ClaimAnswer, ClientFacts, Counted, CreateError, Directory, DirectoryError, DirectoryUser,
    ErrorClass, Holders, Ledger, LedgerError, LegacyError, LegacyStore, Mark, Membership, MembershipStatus,
    Moment, NewUser, Notice, OrganizationId, Presence, Rejection, StayReason, UserId, Verdict, Witness,
};
pub(crate) use removed::Remembering;
pub(crate) use row::{Alias, Claim, Ineligible, Origin, Row, RowState, SetAside};
pub(crate) use settings::{Settings, SourceRules};

#[cfg(test)]
pub(crate) mod tests;
