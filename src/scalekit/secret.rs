//! Our client secret at Scalekit, which rotates while we run (REL-11).

use std::{future::Future, sync::Arc};

use super::error::Trouble;
use crate::{
    identity::Secret,
    net::{Rotating, Taken},
};

/// The secret in use, and the one before it.
#[derive(Debug)]
pub(super) struct ClientSecret(Rotating<Secret>);

impl ClientSecret {
    pub(super) fn new(secret: Secret) -> Arc<Self> {
        Arc::new(Self(Rotating::new(secret)))
    }

    /// Takes a new secret; the one in use stays as the second try.
    pub(super) fn replace(&self, secret: &Secret) {
        self.0.replace(secret.clone());
    }

    /// Runs a call with the secret, and once more with the other one when Scalekit does not know the client. A
    /// refused client had nothing carried out (RFC 6749 §3.2.1), so that is no second use of a code or token.
    pub(super) async fn send<T, Fut>(&self, call: impl Fn(Secret) -> Fut) -> Result<T, Trouble>
    where
        Fut: Future<Output = Result<T, Trouble>>,
    {
        let taken = |result: &Result<T, Trouble>| match result {
            Ok(_) => Taken::Yes,
            Err(trouble) if is_unknown_client(trouble) => Taken::No,
            Err(_) => Taken::Unknown,
        };
        self.0.send(call, taken).await
    }
}

fn is_unknown_client(trouble: &Trouble) -> bool {
    let code = trouble.code.as_deref().unwrap_or_default();
    trouble.status().is_some_and(|status| (400..500).contains(&status))
        && (code.eq_ignore_ascii_case("invalid_client") || (trouble.status() == Some(401) && code.is_empty()))
}
