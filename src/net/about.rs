//! Whom a call is about, so that a breaker does not take one person's trouble for everybody's.

use std::future::Future;

tokio::task_local! {
    static WHOM: u128;
}

/// Runs work whose calls are all about one person: `whom` is a number that says nothing of them and is no other's.
/// Tasks that it starts are not about anybody.
pub(crate) async fn about<F: Future>(whom: u128, work: F) -> F::Output {
    WHOM.scope(whom, work).await
}

/// Whom the running task is about, where that is known.
pub(super) fn whom() -> Option<u128> {
    WHOM.try_with(|whom| *whom).ok()
}
