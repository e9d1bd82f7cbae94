//! How a service is told who asks: a field whose value rotates while we run (REL-11).

use std::{future::Future, sync::Arc};

use http::{HeaderName, HeaderValue};
use reqwest::RequestBuilder;
use url::Url;

use super::dependency;
use crate::{
    config::Source,
    net::{Answer, CallError, Dependencies, Rotating, Taken},
};

/// The field, and its value now and before the last change.
#[derive(Debug)]
pub(super) struct Credential {
    name: HeaderName,
    value: Arc<Rotating<HeaderValue>>,
}

impl Credential {
    /// The value that a reload replaces is kept, unless the service is at another address now.
    pub(super) fn new(
        source: &Source,
        address: &Url,
        (name, value): (HeaderName, HeaderValue),
        dependencies: &Dependencies,
    ) -> Self {
        let place = format!("{name} at {address}");
        let value = dependencies.credential(&dependency(source), place, value);
        Self { name, value }
    }

    /// Sends a request with it, and once more with the other value where the answer says that this one is not known and
    /// that nothing was done. So that is no second guess (SEC-42).
    pub(super) async fn send<Sending>(
        &self,
        request: impl Fn() -> RequestBuilder,
        send: impl Fn(RequestBuilder) -> Sending,
        is_unknown: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, CallError>
    where
        Sending: Future<Output = Result<Answer, CallError>>,
    {
        let call = |value: HeaderValue| send(request().header(&self.name, value));
        let taken = |result: &Result<Answer, CallError>| match result {
            Ok(answer) if is_unknown(answer) => Taken::No,
            Ok(_) => Taken::Yes,
            Err(_) => Taken::Unknown,
        };
        self.value.send(call, taken).await
    }
}
