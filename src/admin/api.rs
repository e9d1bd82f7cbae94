//! The admin API: what operators and their tools read and change while Crossfade runs.
//!
//! Every route is an [`Operation`] in one list, [`operations`]; requests are answered by that
//! list and the OpenAPI document is written from it, so neither knows a route that the other does not. A new part of
//! the API is a file beside these with its own `operations()`, and a line in the list. Callers show a bearer token,
//! never a cookie (SEC-24), so no browser can be made to call for somebody. Names of people travel in bodies, not in
//! addresses that others log. Start reading at `operation`.

mod access;
mod control;
mod dependencies;
mod dispatch;
mod document;
mod events;
mod operation;
mod people;
mod problem;
mod rollout;
mod sessions;
mod show;
mod store;
mod tries;
mod words;
mod wrong;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

pub(crate) use control::{Control, DependencySeen};
pub(super) use dispatch::answer;

use self::{access::Tokens, operation::Operation, wrong::WrongTokens};
use crate::{
    clock::SharedClock,
    config::{Admin, AdminRole},
    telemetry::Audit,
};

/// Below this everything is the API's, also what is not there.
pub(super) const PREFIX: &str = "/api/v1";

/// The API of one process. It answers from the first moment, and knows people once [`Api::open`] was called.
pub(crate) struct Api {
    tokens: ArcSwap<Tokens>,
    wrong: WrongTokens,
    audit: Audit,
    operations: Vec<Operation>,
    document: OnceLock<Map<String, Value>>,
    control: OnceLock<Arc<Control>>,
}

impl Api {
    pub(crate) fn new(admin: &Admin, audit: Audit, clock: SharedClock) -> Self {
        Self {
            tokens: ArcSwap::from_pointee(Tokens::of(&admin.tokens)),
            wrong: WrongTokens::new(admin.wrong_tokens, clock),
            audit,
            operations: operations(),
            document: OnceLock::new(),
            control: OnceLock::new(),
        }
    }

    /// What the API works on is there now; before, its operations answer 503.
    pub(crate) fn open(&self, control: Control) {
        let _ = self.control.set(Arc::new(control));
    }

    /// Takes the tokens of a changed configuration into force.
    pub(crate) fn take_tokens(&self, admin: &Admin) {
        self.tokens.store(Arc::new(Tokens::of(&admin.tokens)));
    }

    /// The OpenAPI document, written once.
    fn document(&self) -> &Map<String, Value> {
        self.document.get_or_init(|| document::write(&self.operations))
    }
}

/// There is nothing in it that should be printed.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// Who calls, by a token that was right.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The token's configured name.
    pub(super) name: Arc<str>,
    pub(super) role: AdminRole,
}

/// Every operation there is; a part of the API adds its own here.
fn operations() -> Vec<Operation> {
    let parts = [
        rollout::operations(),
        people::operations(),
        sessions::operations(),
        tries::operations(),
        dependencies::operations(),
        events::operations(),
        store::operations(),
        document::operations(),
    ];
    parts.into_iter().flatten().collect()
}

#[cfg(test)]
pub(super) mod tests;
