//! How the store stands, and the operator's word that it may be used as it is (truth 8).

use axum::http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    operation::{Call, Nothing, Operation, change, read},
    problem::Problem,
};
use crate::login::{Doubt, StoreStanding};

/// What this process thinks of the store.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Store {
    /// While it is in doubt, people are linked but not created.
    in_doubt: bool,
    /// Why: `emptied`, `replaced`, `rolled_back`, `people_at_scalekit`, `not_asked_yet`, `by_operator`.
    doubt: Option<&'static str>,
    /// The name of its epoch; nothing before it has one.
    epoch: Option<String>,
    /// For how long it was in use.
    used_seconds: Option<u64>,
    /// When an operator last confirmed it, by the store's clock (RFC 3339).
    confirmed_at: Option<String>,
}

impl From<StoreStanding> for Store {
    fn from(standing: StoreStanding) -> Self {
        let epoch = standing.epoch;
        Self {
            in_doubt: standing.doubt.is_some(),
            doubt: standing.doubt.map(Doubt::as_str),
            used_seconds: epoch.as_ref().map(|epoch| epoch.beat / 1000),
            confirmed_at: epoch.as_ref().and_then(|epoch| epoch.confirmed_at).map(|at| at.to_string()),
            epoch: epoch.map(|epoch| epoch.id),
        }
    }
}

/// An operator's word.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Confirm {
    /// Why, for the audit event in the log; at most 200 characters.
    #[serde(default)]
    #[schemars(length(max = 200))]
    reason: Option<String>,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        read("/store", "store", "Whether the store is believed to have everybody", standing),
        change(
            Method::POST,
            "/store/confirm",
            "confirmStore",
            "Take the store as it is, so that people are created again",
            confirm,
        ),
    ]
}

async fn standing(call: Call<Nothing>) -> Result<Store, Problem> {
    Ok(call.control.gate.journeys.store_standing().into())
}

async fn confirm(call: Call<Confirm>) -> Result<Store, Problem> {
    let reason = call.input.reason;
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > 200) {
        return Err(Problem::invalid("reason: is longer than 200 characters"));
    }
    let confirmed = call.control.gate.journeys.confirm_store().await;
    let standing = confirmed.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::with_causes(&error), "the store cannot be confirmed");
        Problem::unavailable("the store")
    })?;
    call.api.audit.store_confirmed(&call.caller.name, reason.as_deref());
    Ok(standing.into())
}
