//! The sweep of an embedded store, and who writes meanwhile.

use std::time::Duration;

use super::{LEASE, NOW, a_session, file, fresh};
use crate::{
    clock::SystemClock,
    login::{Ledger as _, UserId},
    session::{Digest, Session, SessionStore as _, Whose},
    store::Embedded,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_many_sessions_keeps_nobody_from_writing() {
    const MANY: usize = 100_000;
    const OVER: usize = 10_000;
    let path = file("sweep");
    let store = Embedded::open(&path, "one").unwrap();
    let session = |number: usize| {
        let ends_in = if number < OVER { 10 } else { 3600 };
        let user = UserId(format!("usr_{number}"));
        (Digest::of(&format!("{number}")), Session { user, ..a_session("usr", ends_in) })
    };
    store.put_all((0..MANY).map(session).collect()).await;
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    #[expect(clippy::disallowed_methods, reason = "a test's own task, which is waited for")]
    let sweeping = tokio::spawn({
        let store = store.clone();
        async move { store.sweep(NOW.after(Duration::from_mins(1))).await.unwrap() }
    });
    let (mut longest, mut claims) = (Duration::ZERO, 0);
    while !sweeping.is_finished() {
        let asked = clock.monotonic();
        store.claim(&fresh(&format!("p{claims}")), LEASE, NOW).await.unwrap();
        longest = longest.max(clock.monotonic().saturating_sub(asked));
        claims += 1;
    }
    let took = clock.monotonic().saturating_sub(begun);
    println!(
        "figure: {OVER} of {MANY} sessions swept in {took:?}; {claims} claims meanwhile, the longest {longest:?}"
    );
    assert_eq!(sweeping.await.unwrap(), OVER);
    assert!(claims > 10 && longest < took / 4, "{claims} claims, the longest {longest:?} of {took:?}");
    assert_eq!(store.get(&Digest::of("1")).await.unwrap(), None);
    assert!(store.get(&Digest::of(&OVER.to_string())).await.unwrap().is_some());
    let of = |number: usize| Whose::User(UserId(format!("usr_{number}")));
    assert!(store.remove_all_of(&of(1)).await.unwrap().is_empty());
    assert_eq!(store.remove_all_of(&of(OVER)).await.unwrap().len(), 1);
    drop(store);
    std::fs::remove_file(&path).unwrap();
}
