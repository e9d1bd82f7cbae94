//! What happens to a request that passed the edge checks.

use http::Response;

use super::{Accepted, AnswerBody, Core};

/// Decides for each request; one for all data-plane threads.
#[derive(Debug)]
pub(crate) struct Gate {}

impl Gate {
    /// A gate that sends everything on.
    pub(crate) fn open() -> Self {
        Self {}
    }

    /// Answers one request.
    pub(crate) async fn handle(&self, core: &Core, request: Accepted) -> Response<AnswerBody> {
        let asking = request.asking();
        match core.forward(request.onward()).await {
            Ok(answer) => answer,
            Err(error) => core.failed(&error, &asking),
        }
    }
}
