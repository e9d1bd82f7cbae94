//! The machine's input and output in small: rows, users, events and commands as values that are cheap to compare, and
//! the real machine between them.

use std::{collections::HashMap, time::Duration};

use super::super::{Begin, Command, Creating, Event, Machine, Phase, Rules, Stop};
use crate::{
    clock::Timestamp,
    config::OnExisting,
    identity::{CanonicalEmail, ExternalId, Proof, ProofKind, VerifiedEmail},
    login::{
        Alias, Claim, DirectoryUser, Membership, MembershipStatus, OrganizationId, Row, RowState, SetAside,
        UserId,
        tests::{record, source},
    },
    rollout::Bucket,
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const LONG_AGO: Timestamp = Timestamp::from_seconds(1_700_000_000);
const BUDGET: Duration = Duration::from_secs(10);

/// How long ago something was: its time is running, or over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Age {
    Fresh,
    Over,
}

/// [`RowState`] without what one person's move never meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    None,
    Claimed,
    Created,
    Done,
    Conflict(SetAside),
    Tombstone,
}

/// A row: whatever the machine or the ledger compares or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) version: u8,
    pub(super) fence: u8,
    /// Whose it is, and whether the lease has run out.
    pub(super) claim: Option<(u8, Age)>,
    pub(super) has_proof: bool,
    /// Record, e-mail and organisation.
    pub(super) is_known: bool,
    pub(super) sent: Option<Age>,
    pub(super) user: Option<u8>,
    pub(super) has_email_alias: bool,
    pub(super) user_alias: Option<u8>,
}

/// The external id of a user at Scalekit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    Ours,
    Nobodys,
    Anothers,
}

/// A user as an answer shows them. All of them have the person's e-mail, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    pub(super) id: u8,
    pub(super) named: Named,
    pub(super) is_member: bool,
}

/// [`Event`] in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Happens {
    Begin,
    ByExternalId(Option<Shown>),
    ByEmail(Option<Shown>),
    Created(Shown),
    CreateRefused,
    CreateNotDone,
    CreateUnknown,
    InDoubt,
    OutcomeNotFound,
    Linked(Shown),
    ReadBack(Shown),
    MembershipRemoved,
    Failed,
}

/// [`Command`] in small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    FindByExternalId,
    FindByEmail,
    Create,
    AwaitOutcome,
    Link(u8),
    ReadBack(u8),
    RemoveMembership(u8),
    Stop(Stop),
}

/// Where a run of the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    pub(super) entry: Entry,
    pub(super) phase: Phase,
    pub(super) creating: Creating,
}

/// One step of the machine, or of a seeded mistake.
pub(super) type Step = fn(&mut Machine, Event) -> Command;

/// The real machine.
pub(super) fn real(machine: &mut Machine, event: Event) -> Command {
    machine.step(event, NOW)
}

/// The machine, asked once for each different question: it is pure.
pub(super) struct Asked {
    step: Step,
    answers: HashMap<(Standing, Happens), (Standing, Told)>,
}

impl Asked {
    pub(super) fn new(step: Step) -> Self {
        Self { step, answers: HashMap::new() }
    }

    /// How many different questions there were.
    pub(super) fn questions(&self) -> usize {
        self.answers.len()
    }

    pub(super) fn step(&mut self, standing: Standing, happens: Happens) -> (Standing, Told) {
        *self.answers.entry((standing, happens)).or_insert_with(|| {
            let rules = Rules {
                on_existing: OnExisting::LinkVerified,
                outcome_budget: BUDGET,
                creating: standing.creating,
            };
            let mut machine = Machine { row: row(standing.entry), phase: standing.phase, rules };
            assert_eq!(entry(machine.row()), standing.entry, "nothing is lost in making it small");
            let told = told(&(self.step)(&mut machine, event(happens)));
            (Standing { entry: entry(machine.row()), phase: machine.phase, ..standing }, told)
        })
    }
}

fn email() -> VerifiedEmail {
    VerifiedEmail::assert(&source(), &record("ann").email, None).unwrap()
}

fn organization() -> OrganizationId {
    OrganizationId("org_1".into())
}

fn user_id(id: u8) -> UserId {
    UserId(format!("usr_{id}"))
}

fn number(id: &UserId) -> u8 {
    id.0.trim_start_matches("usr_").parse().unwrap()
}

fn proof() -> Proof {
    Proof { kind: ProofKind::Password, source: source(), at: LONG_AGO }
}

fn time(age: Age) -> Timestamp {
    if age == Age::Fresh { NOW } else { LONG_AGO }
}

fn age(time: Timestamp) -> Age {
    if NOW.since(time) < BUDGET { Age::Fresh } else { Age::Over }
}

fn external_id(named: Named) -> Option<ExternalId> {
    match named {
        Named::Ours => Some(ExternalId::received("ann".into())),
        Named::Nobodys => None,
        Named::Anothers => Some(ExternalId::received("eve".into())),
    }
}

fn row(entry: Entry) -> Row {
    let fresh = Row::fresh(record("ann").key(), Bucket::test(1), external_id(Named::Ours).unwrap(), NOW);
    let email_alias = entry.has_email_alias.then(|| Alias::Email(email().email().clone()));
    Row {
        state: match entry.state {
            State::None => RowState::None,
            State::Claimed => RowState::Claimed,
            State::Created => RowState::Created,
            State::Done => RowState::Done,
            State::Conflict(why) => RowState::Conflict { why },
            State::Tombstone => RowState::Tombstone,
        },
        version: entry.version.into(),
        fence: entry.fence.into(),
        claim: entry.claim.map(|(holder, end)| Claim { holder: holder.to_string(), until: time(end) }),
        proof: entry.has_proof.then(proof),
        record: entry.is_known.then(|| record("ann")),
        email: entry.is_known.then(email),
        organization: entry.is_known.then(organization),
        create_sent_at: entry.sent.map(time),
        user: entry.user.map(user_id),
        aliases: email_alias.into_iter().chain(entry.user_alias.map(|id| Alias::User(user_id(id)))).collect(),
        ..fresh
    }
}

fn entry(row: &Row) -> Entry {
    let alias = |alias: &Alias| if let Alias::User(id) = alias { Some(number(id)) } else { None };
    assert_eq!(row.record.is_some(), row.email.is_some() && row.organization.is_some());
    Entry {
        state: match row.state {
            RowState::None => State::None,
            RowState::Claimed => State::Claimed,
            RowState::Created => State::Created,
            RowState::Done => State::Done,
            RowState::Conflict { why } => State::Conflict(why),
            RowState::Tombstone => State::Tombstone,
            RowState::Ineligible { why } => panic!("nobody is judged here: {why:?}"),
        },
        version: row.version.try_into().unwrap(),
        fence: row.fence.try_into().unwrap(),
        claim: row.claim.as_ref().map(|claim| (claim.holder.parse().unwrap(), age(claim.until))),
        has_proof: row.proof.is_some(),
        is_known: row.record.is_some(),
        sent: row.create_sent_at.map(age),
        user: row.user.as_ref().map(number),
        has_email_alias: row.aliases.iter().any(|alias| matches!(alias, Alias::Email(_))),
        user_alias: row.aliases.iter().find_map(alias),
    }
}

fn shown(user: Shown) -> DirectoryUser {
    let membership =
        || Membership { organization: organization(), status: MembershipStatus::Active, since: Some(NOW) };
    DirectoryUser {
        id: user_id(user.id),
        external_id: external_id(user.named),
        email: CanonicalEmail::parse("ann@example.com").ok(),
        email_verified: true,
        memberships: user.is_member.then(membership).into_iter().collect(),
    }
}

fn event(happens: Happens) -> Event {
    match happens {
        Happens::Begin => Event::Begin(Box::new(Begin {
            record: record("ann"),
            proof: proof(),
            email: email(),
            organization: organization(),
            has_twin: false,
        })),
        Happens::ByExternalId(user) => Event::ByExternalId(user.map(shown)),
        Happens::ByEmail(user) => Event::ByEmail(user.map(shown)),
        Happens::Created(user) => Event::Created(shown(user)),
        Happens::CreateRefused => Event::CreateRefused,
        Happens::CreateNotDone => Event::CreateNotDone,
        Happens::CreateUnknown => Event::CreateUnknown,
        Happens::InDoubt => Event::InDoubt,
        Happens::OutcomeNotFound => Event::OutcomeNotFound,
        Happens::Linked(user) => Event::Linked(shown(user)),
        Happens::ReadBack(user) => Event::ReadBack(Some(shown(user))),
        Happens::MembershipRemoved => Event::MembershipRemoved,
        Happens::Failed => Event::Failed,
    }
}

fn told(command: &Command) -> Told {
    match command {
        Command::FindByExternalId => Told::FindByExternalId,
        Command::FindByEmail => Told::FindByEmail,
        Command::Create(new) => {
            assert_eq!((new.email.as_str(), new.external_id.as_str()), ("ann@example.com", "ann"));
            Told::Create
        }
        Command::AwaitOutcome => Told::AwaitOutcome,
        Command::Link(id, _) => Told::Link(number(id)),
        Command::ReadBack(id) => Told::ReadBack(number(id)),
        Command::RemoveMembership(_, id) => Told::RemoveMembership(number(id)),
        Command::Stop(stop) => Told::Stop(*stop),
    }
}
