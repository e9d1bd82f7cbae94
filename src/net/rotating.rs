//! A secret of ours at somebody else's, which rotates while we run (REL-11).
//!
//! After a change both secrets are tried, each once: the new one may not count there yet, or the old one not any
//! more. Whichever was accepted last goes first.

use std::{fmt, future::Future, sync::Arc};

use arc_swap::ArcSwap;

/// The secret in use, and the one before it.
pub(crate) struct Rotating<S>(ArcSwap<Pair<S>>);

struct Pair<S> {
    first: S,
    other: Option<S>,
}

/// What came of a call says of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// It is not known there, and nothing was done.
    No,
    Unknown,
}

impl<S: Clone + PartialEq> Rotating<S> {
    pub(crate) fn new(secret: S) -> Self {
        Self(ArcSwap::from_pointee(Pair { first: secret, other: None }))
    }

    /// Takes a new secret; the one in use stays as the second try.
    pub(crate) fn replace(&self, secret: S) {
        let old = self.0.load();
        if old.first != secret {
            self.0.store(Arc::new(Pair { first: secret, other: Some(old.first.clone()) }));
        }
    }

    /// Runs a call with the secret, and once more with the other one where it was not taken. If neither is, the first
    /// answer is the one to tell.
    pub(crate) async fn send<T, Calling>(&self, call: impl Fn(S) -> Calling, taken: impl Fn(&T) -> Taken) -> T
    where
        Calling: Future<Output = T>,
    {
        let pair = self.0.load_full();
        let refused = call(pair.first.clone()).await;
        let other = pair.other.as_ref().filter(|_| taken(&refused) == Taken::No);
        let Some(other) = other else { return refused };
        let result = call(other.clone()).await;
        match taken(&result) {
            Taken::No => return refused,
            Taken::Unknown => {}
            Taken::Yes => {
                let swapped = Arc::new(Pair { first: other.clone(), other: Some(pair.first.clone()) });
                // Unless a reload came in between.
                self.0.compare_and_swap(&pair, swapped);
            }
        }
        result
    }
}

impl<S> fmt::Debug for Rotating<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What came of a call, and with which secrets it was made, where these are known.
    async fn call(
        secret: &Rotating<&'static str>,
        known: &[&str],
    ) -> (Result<&'static str, ()>, Vec<&'static str>) {
        let tried = Mutex::new(Vec::new());
        let sent = secret.send(
            |secret| {
                tried.lock().unwrap().push(secret);
                std::future::ready(if known.contains(&secret) { Ok(secret) } else { Err(()) })
            },
            |result| if result.is_ok() { Taken::Yes } else { Taken::No },
        );
        let result = sent.await;
        (result, tried.into_inner().unwrap())
    }

    #[tokio::test]
    async fn both_are_tried_once_and_the_one_that_counts_goes_first() {
        let secret = Rotating::new("a");
        assert_eq!(call(&secret, &[]).await, (Err(()), vec!["a"]));
        secret.replace("b");
        assert_eq!(call(&secret, &["a"]).await, (Ok("a"), vec!["b", "a"]), "the new one does not count yet");
        assert_eq!(call(&secret, &["a", "b"]).await, (Ok("a"), vec!["a"]));
        assert_eq!(call(&secret, &["b"]).await, (Ok("b"), vec!["a", "b"]), "and now it does");
        assert_eq!(call(&secret, &["b"]).await, (Ok("b"), vec!["b"]));
        assert_eq!(call(&secret, &[]).await, (Err(()), vec!["b", "a"]));
        // A reload in which the secret is the same forgets nothing.
        secret.replace("b");
        assert_eq!(call(&secret, &["a"]).await, (Ok("a"), vec!["b", "a"]));
        secret.replace("c");
        assert_eq!(
            call(&secret, &["b"]).await,
            (Err(()), vec!["c", "a"]),
            "the one in use stays, not one before it"
        );
    }

    #[tokio::test]
    async fn what_says_nothing_of_the_secret_is_not_asked_twice() {
        let secret = Rotating::new("a");
        secret.replace("b");
        let calls = Mutex::new(0);
        let sent = secret.send(
            |_| {
                *calls.lock().unwrap() += 1;
                std::future::ready(())
            },
            |()| Taken::Unknown,
        );
        sent.await;
        assert_eq!(*calls.lock().unwrap(), 1);
    }
}
