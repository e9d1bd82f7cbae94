//! Single people whom an operator pins to the new lane or holds in legacy, and the list of them.

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Asked, turn_about,
    words::{LaneName, Rollout},
};
use crate::{
    admin::api::{
        operation::{Call, Nothing, Operation, change, read},
        people::ledger_problem,
        problem::Problem,
    },
    config::AdminRole,
    identity::LoginName,
    login::{Row, Whom},
    rollout::{Change, DialSource, Lane, NamedPerson},
};

pub(super) fn operation() -> Operation {
    change(
        Method::POST,
        "/rollout/people",
        "name_person",
        "Pin one person to the new lane, hold them in legacy, or let them go",
        name,
    )
}

pub(super) fn list() -> Operation {
    let mut list = read(
        "/rollout/people",
        "list_named_people",
        "Everybody whom an operator pinned to the new lane or holds in legacy, by the name that was given",
        named,
    );
    list.role = AdminRole::Operator;
    list
}

/// People whom operators named.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedPeople {
    people: Vec<PersonNamed>,
    /// Whether they count now: they do unless the file or feature flags alone say how the dial stands.
    in_force: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PersonNamed {
    /// What the person types, in its canonical form; it counts for every name of theirs.
    name: String,
    /// `new` where they are pinned, `legacy` where they are held.
    lane: LaneName,
}

async fn named(call: Call<Nothing>) -> Result<NamedPeople, Problem> {
    let standing = call.control.dialing.stands().standing;
    let in_force = standing.in_force() == DialSource::Store;
    let people = standing.record.into_iter().flat_map(|record| record.people);
    let people = people.map(|named| PersonNamed { name: named.person, lane: named.lane.into() });
    Ok(NamedPeople { people: people.collect(), in_force })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamePerson")]
struct Named {
    /// The version that was looked at before; 0 before the first change.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    version: u64,
    /// What the person types into the sign-in form. What is said counts for the person, whichever of their names they
    /// sign in by, and takes the place of what was said by another of them.
    #[schemars(length(min = 1))]
    name: String,
    rule: Rule,
    /// Why, for whoever looks next.
    #[schemars(length(max = 200))]
    reason: Option<String>,
    /// Also over a record that cannot be read; see `Turn`.
    #[serde(default)]
    overwrite_unreadable: bool,
}

/// What is to hold for a person; read as a person rule of the file, a `hold` before every `pin`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PersonRule")]
enum Rule {
    /// The new lane.
    Pin,
    /// The legacy lane.
    Hold,
    /// Whatever the dial says.
    None,
}

async fn name(call: Call<Named>) -> Result<Rollout, Problem> {
    let Named { version, name, rule, reason, overwrite_unreadable } = call.input;
    let name = LoginName::parse(&name)
        .ok_or_else(|| Problem::not_found("that is no name anybody could sign in by"))?;
    let gate = &call.control.gate;
    let row =
        gate.journeys.row_of(&Whom::Name(name.clone())).await.map_err(|error| ledger_problem(&error))?;
    let subject = gate.recorder.subject_of_named(&name, row.as_ref());
    let person = name.canonical().to_owned();
    // Not the address of their record: nobody may have checked it, and it may be in an entry about its holder.
    let login = row.iter().filter_map(|row| LoginName::parse(&row.record.as_ref()?.login));
    let others = row.iter().flat_map(Row::names).chain(login);
    let others = others.map(|name| name.canonical().to_owned()).collect();
    let name = |lane, others| Change::Name { person: NamedPerson { person: person.clone(), lane }, others };
    let change = match rule {
        Rule::Pin => name(Lane::New, others),
        Rule::Hold => name(Lane::Legacy, others),
        Rule::None => Change::Unname { names: [others, vec![person]].concat() },
    };
    let input = Asked { version, reason, overwrite_unreadable };
    let call = Call { input, api: call.api, control: call.control, caller: call.caller };
    turn_about(call, change, Some(subject)).await
}
