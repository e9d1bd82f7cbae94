//! The dial: how it stands, who turns it, and why somebody takes the lane they take.

mod explain;
mod people;
mod reach;
mod rules;
mod words;

use axum::http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use self::words::{Mode, Percent, Rollout};
use super::{
    operation::{Call, Nothing, Operation, change, read},
    problem::Problem,
};
use crate::{
    config::AdminRole,
    identity::Subject,
    jobs::{Over, Stands, Turn, TurnRefused},
    login::Why,
    rollout::{Change, ChangeRefused, RollbackMode},
    telemetry::with_causes,
};

pub(super) fn operations() -> Vec<Operation> {
    let stale = |operation: Operation| {
        operation.may_answer(
            StatusCode::CONFLICT,
            "Turned since that version (`stale_version`), or the store's record cannot be read (`unreadable_record`: \
             send `overwrite_unreadable` to lose it); both come with how it stands. Or the file or feature flags rule. \
             Or it went back to legacy, and going forward has to say `rollback` (`went_back`)",
        )
        .may_answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "Starting, or the store cannot be asked (`unavailable`: nothing was changed), or its answer was lost \
             (`outcome_unknown`: look before you turn again)",
        )
    };
    let nameless = |operation: Operation| {
        operation.may_answer(StatusCode::NOT_FOUND, "Nobody could sign in by that name")
    };
    vec![
        read("/rollout", "get_rollout", "How the dial stands", |call: Call<Nothing>| async move {
            Ok(Rollout::seen(&call.control, call.caller.role).await)
        }),
        stale(change(Method::PUT, "/rollout", "set_rollout", "Turn the dial", set)),
        stale(change(
            Method::POST,
            "/rollout/pause",
            "pause_rollout",
            "Let nobody cross or be created for now; whoever crossed stays",
            |call: Call<Asked>| turn(call, Change::Pause),
        )),
        stale(change(
            Method::POST,
            "/rollout/resume",
            "resume_rollout",
            "End a pause",
            |call: Call<Asked>| turn(call, Change::Resume),
        )),
        stale(change(
            Method::POST,
            "/rollout/rollback",
            "rollback_rollout",
            "Go back to 0%, and say what becomes of those who crossed",
            roll_back,
        )),
        stale(nameless(people::operation())),
        people::list(),
        nameless(explain::operation()),
    ]
}

/// A turn that needs no more than the version it was made from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Turn")]
struct Asked {
    /// The version that was looked at before; 0 before the first change.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    version: u64,
    /// Why, for whoever looks next.
    #[schemars(length(max = 200))]
    reason: Option<String>,
    /// Also over a record that cannot be read. The change is made from what is in force; what only that record had,
    /// such as pins and holds, is lost.
    #[serde(default)]
    overwrite_unreadable: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SetRollout")]
struct Set {
    /// The version that was looked at before; 0 before the first change.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    version: u64,
    /// Share of people whose sign-ins take the new lane.
    cutover: Percent,
    /// Share of people who are created in Scalekit when they sign in; left out, it stays as it is.
    migrate: Option<Percent>,
    /// What becomes of people who crossed; left out, it stays as it is. After a rollback to legacy a percentage above 0
    /// has to say it.
    rollback: Option<Mode>,
    /// Why, for whoever looks next.
    #[schemars(length(max = 200))]
    reason: Option<String>,
    /// Also over a record that cannot be read; see `Turn`.
    #[serde(default)]
    overwrite_unreadable: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RollBack")]
struct RollBack {
    /// The version that was looked at before; 0 before the first change.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    version: u64,
    /// `keep`: who crossed stays in the new lane; `legacy`: they go back, too. Born-new people always stay, and so does
    /// whoever an allow rule or a pin names and is in Scalekit already: `still_new` in the answer.
    mode: Mode,
    /// Why, for whoever looks next.
    #[schemars(length(max = 200))]
    reason: Option<String>,
    /// Also over a record that cannot be read; see `Turn`.
    #[serde(default)]
    overwrite_unreadable: bool,
}

async fn set(call: Call<Set>) -> Result<Rollout, Problem> {
    let Set { version, cutover, migrate, rollback, reason, overwrite_unreadable } = call.input;
    let change = Change::Set {
        cutover: cutover.0,
        migrate: migrate.map(|migrate| migrate.0),
        rollback: rollback.map(RollbackMode::from),
    };
    let input = Asked { version, reason, overwrite_unreadable };
    turn(Call { input, api: call.api, control: call.control, caller: call.caller }, change).await
}

async fn roll_back(call: Call<RollBack>) -> Result<Rollout, Problem> {
    let RollBack { version, mode, reason, overwrite_unreadable } = call.input;
    let input = Asked { version, reason, overwrite_unreadable };
    let call = Call { input, api: call.api, control: call.control, caller: call.caller };
    turn(call, Change::Rollback(mode.into())).await
}

async fn turn(call: Call<Asked>, change: Change) -> Result<Rollout, Problem> {
    turn_about(call, change, None).await
}

/// As [`turn`], about one person.
async fn turn_about(call: Call<Asked>, change: Change, about: Option<Subject>) -> Result<Rollout, Problem> {
    let Asked { version, reason, overwrite_unreadable } = call.input;
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > 200) {
        return Err(Problem::invalid("reason: is longer than 200 characters"));
    }
    let dialing = &call.control.dialing;
    let over = if overwrite_unreadable { Over::Unreadable } else { Over::Readable };
    match dialing.turn(change, Turn { version, over, by: &call.caller.name, reason, about }).await {
        Ok(_) => Ok(Rollout::seen(&call.control, call.caller.role).await),
        Err(refused) => Err(told(refused, version)),
    }
}

/// A refusal in the words of the API, to the operator who asked.
fn told(refused: TurnRefused, named: u64) -> Problem {
    let current = |stands: &Stands| Rollout::of(stands, AdminRole::Operator);
    match refused {
        TurnRefused::FileRules => Problem::conflict("file_rules", refused.to_string())
            .fix("change rollout in the configuration file, or set rollout.source: store"),
        TurnRefused::FlagsRule => Problem::conflict("flags_rule", refused.to_string())
            .fix("change the flags at flagd, or set rollout.source: store"),
        TurnRefused::Stale(stands) => {
            let problem = Problem::conflict("stale_version", stale(&stands, named));
            problem.fix("look at how it stands now and name that version").with_current(&current(&stands))
        }
        TurnRefused::Change(refused) => match refused {
            ChangeRefused::TooManyPeople => Problem::conflict("too_many_people", refused.to_string())
                .fix("let some of them go, or write rules by domain or organization into the file"),
            ChangeRefused::WentBack => Problem::conflict("went_back", refused.to_string()).fix(
                "send \"rollback\": \"keep\", and they take the new lane again, or \"legacy\" (crossfade rollout set … \
                 --rollback keep)",
            ),
        },
        TurnRefused::Unreadable(stands) => {
            let fix = "upgrade this replica, or turn the dial at one that runs the newer release";
            let lose = format!(
                "send \"overwrite_unreadable\": true and version {} (crossfade rollout … --overwrite-unreadable): \
                 the change is made from what is in force, and pins and holds that only the record has are lost",
                stands.version()
            );
            let is_newer = stands.unreadable.is_some_and(|record| matches!(record.why, Why::Newer { .. }));
            let fix = if is_newer { format!("{fix}; to lose its record, {lose}") } else { lose };
            Problem::conflict("unreadable_record", unreadable(&stands))
                .fix(fix)
                .with_current(&current(&stands))
        }
        TurnRefused::NotAsked(error) => {
            tracing::warn!(error = %with_causes(&error), "the dial was not turned");
            Problem::unavailable("the store")
        }
        TurnRefused::Unknown(error) => {
            tracing::warn!(error = %with_causes(&error), "it is not known whether the dial was turned");
            Problem::outcome_unknown(
                "look at how the dial stands once the store answers (crossfade rollout status), then decide",
            )
        }
    }
}

/// Why nobody can read the record, and what is in force meanwhile.
fn unreadable(stands: &Stands) -> String {
    let standing = &stands.standing;
    let why = stands.unreadable.map_or_else(String::new, |record| {
        let version = if record.version == 0 { "not known".into() } else { record.version.to_string() };
        format!("the store's record of the dial (version {version}) {}; ", record.why)
    });
    let in_force = match &standing.record {
        Some(record) => format!("the last one that could be read, version {}", record.version),
        None => "the start value of the configuration file".into(),
    };
    format!("{why}in force here is {in_force}: cutover {}", standing.dial().cutover)
}

fn stale(stands: &Stands, named: u64) -> String {
    if let Some(record) = stands.unreadable {
        return format!(
            "version {named} was named, and the record that cannot be read is version {}",
            record.version
        );
    }
    let Some(record) = &stands.standing.record else {
        return format!("version {named} was named, and nobody has turned the dial yet (version 0)");
    };
    format!(
        "version {named} was named, and {} turned the dial to {} at {} (version {})",
        record.changed_by, record.cutover, record.changed_at, record.version
    )
}
