//! Single people whom an operator pins to the new lane or holds in legacy.

use axum::http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Asked, turn, words::Rollout};
use crate::{
    admin::api::{
        operation::{Call, Operation, change},
        problem::Problem,
    },
    identity::LoginName,
    rollout::{Change, Lane, NamedPerson},
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamePerson")]
struct Named {
    /// The version that was looked at before; 0 before the first change.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    version: u64,
    /// What the person types into the sign-in form.
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
    let person = name.canonical().to_owned();
    let change = match rule {
        Rule::Pin => Change::Name(NamedPerson { person, lane: Lane::New }),
        Rule::Hold => Change::Name(NamedPerson { person, lane: Lane::Legacy }),
        Rule::None => Change::Unname { person },
    };
    let input = Asked { version, reason, overwrite_unreadable };
    turn(Call { input, api: call.api, control: call.control, caller: call.caller }, change).await
}
