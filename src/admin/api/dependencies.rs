//! What Crossfade depends on, and whether it answers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    DependencySeen,
    operation::{Call, Nothing, Operation, read},
    problem::Problem,
    words::Time,
};

/// The store is asked for the answer; whoever asks waits no longer than this for it.
const STORE_TIME: Duration = Duration::from_secs(2);

pub(super) fn operations() -> Vec<Operation> {
    vec![read(
        "/dependencies",
        "list_dependencies",
        "Store, Scalekit and legacy stores, and how they answer",
        list,
    )]
}

/// All dependencies, as this replica sees them.
#[derive(Serialize, JsonSchema)]
struct Dependencies {
    /// Each replica asks by itself, and sees only its own calls.
    this_replica_only: bool,
    dependencies: Vec<Dependency>,
}

/// One dependency.
#[derive(Serialize, JsonSchema)]
struct Dependency {
    /// `store`, `scalekit`, `legacy NAME`.
    name: String,
    answers: Answers,
    /// The class of the last failure: `transient`, `permanent`, `misconfigured`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Time>,
}

/// Whether it answered when it was last asked.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Answers {
    Yes,
    No,
    /// Nobody needed it yet.
    NotAsked,
}

async fn list(call: Call<Nothing>) -> Result<Dependencies, Problem> {
    let gate = &call.control.gate;
    let asked = tokio::time::timeout(STORE_TIME, gate.journeys.ledger.is_empty()).await;
    let answers = matches!(asked, Ok(Ok(_)));
    let now: Time = gate.clock.now().into();
    let store = Dependency {
        name: "store".to_owned(),
        answers: if answers { Answers::Yes } else { Answers::No },
        last_error: (!answers).then(|| "transient".to_owned()),
        last_error_at: (!answers).then(|| now.clone()),
        last_success_at: answers.then_some(now),
    };
    let others = (call.control.dependencies)().into_iter().map(shown);
    Ok(Dependencies { this_replica_only: true, dependencies: std::iter::once(store).chain(others).collect() })
}

fn shown(seen: DependencySeen) -> Dependency {
    Dependency {
        name: seen.name,
        answers: match (seen.failing, seen.last_success) {
            (true, _) => Answers::No,
            (false, Some(_)) => Answers::Yes,
            (false, None) => Answers::NotAsked,
        },
        last_error: seen.last_failure.map(|(_, class)| class.to_owned()),
        last_error_at: seen.last_failure.map(|(at, _)| at.into()),
        last_success_at: seen.last_success.map(Time::from),
    }
}
