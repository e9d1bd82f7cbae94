//! Our client secret at Scalekit, which rotates while we run (REL-11).
//!
//! After a change both secrets are tried, each once: the new one may not count there yet, or the old one not any
//! more. Whichever was accepted last goes first.

use std::{future::Future, sync::Arc};

use arc_swap::ArcSwap;

use super::error::Trouble;
use crate::identity::Secret;

/// The secret in use, and the one before it.
pub(super) struct ClientSecret(ArcSwap<Pair>);

struct Pair {
    first: Secret,
    other: Option<Secret>,
}

impl ClientSecret {
    pub(super) fn new(secret: Secret) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(Pair { first: secret, other: None })))
    }

    /// Takes a new secret; the one in use stays as the second try.
    pub(super) fn replace(&self, secret: &Secret) {
        let old = self.0.load();
        if old.first != *secret {
            self.0.store(Arc::new(Pair { first: secret.clone(), other: Some(old.first.clone()) }));
        }
    }

    /// Runs a call with the secret, and once more with the other one when Scalekit does not know the client. A
    /// refused client had nothing carried out (RFC 6749 §3.2.1), so that is no second use of a code or token.
    pub(super) async fn send<T, Fut>(&self, call: impl Fn(Secret) -> Fut) -> Result<T, Trouble>
    where
        Fut: Future<Output = Result<T, Trouble>>,
    {
        let pair = self.0.load_full();
        let refusal = match call(pair.first.clone()).await {
            Err(trouble) if is_unknown_client(&trouble) => trouble,
            result => return result,
        };
        let Some(other) = &pair.other else { return Err(refusal) };
        let result = call(other.clone()).await;
        match &result {
            Err(trouble) if is_unknown_client(trouble) => return Err(refusal),
            Err(_) => {}
            Ok(_) => {
                let swapped = Arc::new(Pair { first: other.clone(), other: Some(pair.first.clone()) });
                // Unless a reload came in between.
                self.0.compare_and_swap(&pair, swapped);
            }
        }
        result
    }
}

fn is_unknown_client(trouble: &Trouble) -> bool {
    let code = trouble.code.as_deref().unwrap_or_default();
    trouble.status().is_some_and(|status| (400..500).contains(&status))
        && (code.eq_ignore_ascii_case("invalid_client") || (trouble.status() == Some(401) && code.is_empty()))
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
