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

use crate::{login::Ledger as _, net::Stand};

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
    /// `store`, `scalekit`, `scalekit_token`, `scalekit_sign_in`, `legacy NAME`.
    name: String,
    answers: Answers,
    /// Whether calls are made at all; without one where a dependency is a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<BreakerStand>,
    /// The class of the last failure: `transient`, `permanent`, `misconfigured`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Time>,
}

/// How a breaker stands.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BreakerStand {
    Closed,
    /// One call is made to find out.
    HalfOpen,
    /// No calls are made: it failed too often of late.
    Open,
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
        breaker: None,
    };
    let others = (call.control.dependencies)().into_iter().map(shown);
    let mut dependencies: Vec<_> = std::iter::once(store).chain(others).collect();
    for (name, stand) in call.control.breakers.stands() {
        let breaker = Some(match stand {
            Stand::Closed => BreakerStand::Closed,
            Stand::HalfOpen => BreakerStand::HalfOpen,
            Stand::Open => BreakerStand::Open,
        });
        match dependencies.iter_mut().find(|known| known.name == name) {
            Some(known) => known.breaker = breaker,
            None => dependencies.push(Dependency { breaker, ..unseen(name) }),
        }
    }
    Ok(Dependencies { this_replica_only: true, dependencies })
}

/// A part that only its breaker tells of.
fn unseen(name: String) -> Dependency {
    let (last_error, last_error_at, last_success_at) = (None, None, None);
    Dependency { name, answers: Answers::NotAsked, breaker: None, last_error, last_error_at, last_success_at }
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
        breaker: None,
    }
}
