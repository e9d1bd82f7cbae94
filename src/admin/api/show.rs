//! How a row is shown: to viewers without any name of the person, and without what an explanation by name tells, too; with
//! their names to operators who asked for them.

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{Key, State, Time};
use crate::{
    clock::Timestamp,
    config::AdminRole,
    identity::{ProofKind, Subject},
    login::{Alias, Origin, Row, RowState},
};

/// One person in a list.
#[derive(Serialize, JsonSchema)]
pub(super) struct PersonSummary {
    key: Key,
    /// The keyed hash that stands for them in logs and audit events.
    subject: String,
    state: State,
    /// Why, where they are set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// `legacy`, or `born_new` where no legacy store knows them.
    origin: String,
    /// Crossed or born new: the percentage does not move them. Nothing that an operator said: that is `/rollout/people`.
    pinned: bool,
    /// From 0 to 9999; a cutover percent of more than a hundredth of it reaches them. For operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
    /// For operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    crossed_at: Option<Time>,
    updated_at: Time,
}

impl PersonSummary {
    pub(super) fn of(row: &Row, subject: &Subject, role: AdminRole) -> Self {
        let is_operator = role >= AdminRole::Operator;
        let why = match &row.state {
            RowState::Conflict { why } => Some(why.as_str().to_owned()),
            RowState::Ineligible { why } => Some(why.as_str().to_owned()),
            RowState::None | RowState::Claimed | RowState::Created | RowState::Done | RowState::Tombstone => {
                None
            }
        };
        let origin = match row.origin {
            Origin::Legacy => "legacy",
            Origin::BornNew => "born_new",
        };
        Self {
            key: Key::from(&row.key),
            subject: subject.to_string(),
            state: row.state.stage().into(),
            why,
            origin: origin.to_owned(),
            pinned: row.is_pinned(),
            bucket: is_operator.then(|| row.bucket.get()),
            crossed_at: row.crossed_at.filter(|_| is_operator).map(Time::from),
            updated_at: row.updated_at.into(),
        }
    }
}

/// One person's whole row.
#[derive(Serialize, JsonSchema)]
pub(super) struct PersonRow {
    #[serde(flatten)]
    summary: PersonSummary,
    /// What they are found by in Scalekit, and what the application knows them by.
    external_id: String,
    /// Their id in Scalekit.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Their organisation's id in Scalekit.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    /// Whose claim is on the row, until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_until: Option<Time>,
    /// What is known to have happened to them, in order; when they crossed, for operators only.
    moments: Vec<Happened>,
    /// Their names; for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<PersonNames>,
}

/// One moment of a row.
#[derive(Serialize, JsonSchema)]
struct Happened {
    at: Time,
    /// `proved`, `create_sent`, `crossed`, `updated`.
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What a person signs in with, and their address.
#[derive(Serialize, JsonSchema)]
struct PersonNames {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    typed: Vec<String>,
    emails: Vec<String>,
}

impl PersonRow {
    pub(super) fn of(row: &Row, subject: &Subject, role: AdminRole) -> Self {
        let is_operator = role >= AdminRole::Operator;
        Self {
            summary: PersonSummary::of(row, subject, role),
            external_id: row.external_id.as_str().to_owned(),
            user: row.user.as_ref().map(|user| user.0.clone()),
            organization: row.organization.as_ref().map(|organization| organization.0.clone()),
            claimed_until: row.claim.as_ref().map(|claim| claim.until.into()),
            moments: moments(row, row.crossed_at.filter(|_| is_operator)),
            names: is_operator.then(|| names(row)),
        }
    }
}

fn moments(row: &Row, crossed_at: Option<Timestamp>) -> Vec<Happened> {
    let proof = row.proof.as_ref().map(|proof| (proof.at, "proved", Some(proof_word(proof.kind).to_owned())));
    let sent = row.create_sent_at.map(|at| (at, "create_sent", None));
    let crossed = crossed_at.map(|at| (at, "crossed", None));
    let updated = (row.updated_at, "updated", Some(row.state.as_str().to_owned()));
    let mut moments: Vec<_> = [proof, sent, crossed, Some(updated)].into_iter().flatten().collect();
    moments.sort_by_key(|(at, ..)| *at);
    let shown = |(at, what, detail): (Timestamp, &str, Option<String>)| Happened {
        at: at.into(),
        what: what.to_owned(),
        detail,
    };
    moments.into_iter().map(shown).collect()
}

const fn proof_word(kind: ProofKind) -> &'static str {
    match kind {
        ProofKind::Password => "password",
        ProofKind::Upstream => "upstream",
        ProofKind::UpstreamWeak => "upstream_weak",
        ProofKind::LegacySession => "legacy_session",
        ProofKind::Inbox => "inbox",
    }
}

fn names(row: &Row) -> PersonNames {
    let mut names = PersonNames {
        email: row.email.as_ref().map(|email| email.email().as_str().to_owned()),
        typed: Vec::new(),
        emails: Vec::new(),
    };
    for alias in &row.aliases {
        match alias {
            Alias::Typed(name) => names.typed.push(name.clone()),
            Alias::Email(email) => names.emails.push(email.as_str().to_owned()),
            Alias::User(_) => {}
        }
    }
    names
}
