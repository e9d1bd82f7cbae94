//! The contract of [`Flags`].

use super::NOW;
use crate::{
    login::{Flags, Replaced},
    rollout::{BasisPoints, FlagState, Lane, NamedPerson, RollbackMode},
};

fn state(version: u64) -> FlagState {
    FlagState {
        version,
        cutover: BasisPoints::new(1250).unwrap(),
        migrate: BasisPoints::ALL,
        rollback: RollbackMode::Legacy,
        paused: true,
        people: vec![NamedPerson { person: "ann@example.com".into(), lane: Lane::New }],
        changed_at: NOW,
        changed_by: "ops".into(),
        reason: Some("ünusual".into()),
    }
}

/// A record is kept as it was given, replaced only over the version it has, and by one of many at once.
pub(in crate::store) async fn flags(store: &dyn Flags) {
    assert_eq!(store.flags().await.unwrap(), None);
    assert_eq!(store.replace_flags(3, &state(4)).await.unwrap(), Replaced::Stale);
    assert_eq!(store.flags().await.unwrap(), None);

    assert_eq!(store.replace_flags(0, &state(1)).await.unwrap(), Replaced::Done);
    assert_eq!(store.flags().await.unwrap(), Some(state(1)));
    for stale in [0, 2] {
        assert_eq!(store.replace_flags(stale, &state(9)).await.unwrap(), Replaced::Stale);
    }
    assert_eq!(store.flags().await.unwrap(), Some(state(1)));

    // A version may be skipped: a record that was set back gets its newer one again.
    assert_eq!(store.replace_flags(1, &state(7)).await.unwrap(), Replaced::Done);

    let racers: Vec<FlagState> =
        (0..20).map(|n| FlagState { changed_by: n.to_string(), ..state(8) }).collect();
    let races = racers.iter().map(|next| store.replace_flags(7, next));
    let won: Vec<bool> = futures_util::future::join_all(races)
        .await
        .into_iter()
        .map(|ended| ended.unwrap() == Replaced::Done)
        .collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(store.flags().await.unwrap().as_ref(), racers.get(winner));
}
