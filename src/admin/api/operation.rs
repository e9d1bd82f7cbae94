//! One thing that can be asked of the API: its place, who may ask, what it reads and answers, and who does it.
//!
//! [`read`] makes one that is asked with GET and reads its address's query; [`change`] one that reads a JSON body. Both
//! take a plain async function from a [`Call`] to an answer; its types are what is parsed and what is documented.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    body::Bytes,
    http::{Method, StatusCode},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Api, Caller, Control, problem::Problem};
use crate::config::AdminRole;

/// One request, understood.
pub(super) struct Call<Input> {
    pub(super) api: Arc<Api>,
    pub(super) control: Arc<Control>,
    pub(super) caller: Caller,
    pub(super) input: Input,
}

/// An operation that has no parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What a request brought, not understood yet.
pub(super) enum Given {
    Query(String),
    Body(Bytes),
}

/// An answer's body to be, or the reason why there is none.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, Problem>> + Send>>;
type Runner = Box<dyn Fn(Arc<Api>, Arc<Control>, Caller, Given) -> Answer + Send + Sync>;

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    /// Below the API's prefix.
    pub(super) path: &'static str,
    /// Unique, for generated clients.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) role: AdminRole,
    /// Statuses beyond those that every operation may answer with, and what they mean here.
    pub(super) refusals: Vec<(StatusCode, &'static str)>,
    pub(super) input: fn(&mut SchemaGenerator) -> Schema,
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
    run: Runner,
}

/// An operation that changes nothing, for viewers.
pub(super) fn read<Input, Output, Running>(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    run: impl Fn(Call<Input>) -> Running + Send + Sync + Clone + 'static,
) -> Operation
where
    Input: DeserializeOwned + JsonSchema + Send + 'static,
    Output: Serialize + JsonSchema + 'static,
    Running: Future<Output = Result<Output, Problem>> + Send + 'static,
{
    operation(Method::GET, path, id, summary, AdminRole::Viewer, run)
}

/// An operation that changes something, for operators.
pub(super) fn change<Input, Output, Running>(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    run: impl Fn(Call<Input>) -> Running + Send + Sync + Clone + 'static,
) -> Operation
where
    Input: DeserializeOwned + JsonSchema + Send + 'static,
    Output: Serialize + JsonSchema + 'static,
    Running: Future<Output = Result<Output, Problem>> + Send + 'static,
{
    operation(method, path, id, summary, AdminRole::Operator, run)
}

fn operation<Input, Output, Running>(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    role: AdminRole,
    run: impl Fn(Call<Input>) -> Running + Send + Sync + Clone + 'static,
) -> Operation
where
    Input: DeserializeOwned + JsonSchema + Send + 'static,
    Output: Serialize + JsonSchema + 'static,
    Running: Future<Output = Result<Output, Problem>> + Send + 'static,
{
    let run: Runner = Box::new(move |api, control, caller, given| {
        let run = run.clone();
        Box::pin(async move {
            let call = Call { api, control, caller, input: understand(&given)? };
            let answer = run(call).await?;
            serde_json::to_vec(&answer).map_err(|error| {
                tracing::error!(error = %error, "an answer of the admin API cannot be written");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "the answer cannot be written; the log says why",
                )
            })
        })
    });
    Operation {
        method,
        path,
        id,
        summary,
        role,
        refusals: Vec::new(),
        input: Input::json_schema,
        answer: SchemaGenerator::subschema_for::<Output>,
        run,
    }
}

impl Operation {
    /// A further status it may answer with, and what that means.
    pub(super) fn may_answer(mut self, status: StatusCode, meaning: &'static str) -> Self {
        self.refusals.push((status, meaning));
        self
    }

    pub(super) fn has_body(&self) -> bool {
        self.method != Method::GET
    }

    /// What it does; it does not need this value any more.
    pub(super) fn run(&self, api: Arc<Api>, control: Arc<Control>, caller: Caller, given: Given) -> Answer {
        (self.run)(api, control, caller, given)
    }
}

fn understand<Input: DeserializeOwned>(given: &Given) -> Result<Input, Problem> {
    match given {
        Given::Query(query) => {
            // The parser of forms knows no address, only what stands behind its question mark.
            let address =
                format!("/?{query}").parse().map_err(|_| Problem::invalid_query("it cannot be read"))?;
            let read = axum::extract::Query::<Input>::try_from_uri(&address);
            read.map(|read| read.0).map_err(|refusal| Problem::invalid_query(refusal.body_text()))
        }
        Given::Body(body) => serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::invalid(error.to_string()),
            _ => Problem::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string()),
        }),
    }
}
