//! The contract of [`Flags`].

use super::NOW;
use crate::{
    login::{Damaged, Flags, FlagsError, Replaced, Why},
    rollout::{BasisPoints, FlagState, Lane, NamedPerson, RollbackMode},
};

fn state(version: u64) -> FlagState {
    FlagState {
        format: FlagState::FORMAT,
        version,
        cutover: BasisPoints::new(1250).unwrap(),
        migrate: BasisPoints::ALL,
        rollback: RollbackMode::Legacy,
        paused: true,
        people: vec![NamedPerson { person: "ann@example.com".into(), lane: Lane::New }],
        changed_at: NOW,
        changed_by: "ops".into(),
        reason: Some("ünusual".into()),
        others: serde_json::Map::new(),
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
    let attempts = racers.iter().map(|next| store.replace_flags(7, next));
    let won: Vec<bool> = futures_util::future::join_all(attempts)
        .await
        .into_iter()
        .map(|ended| ended.unwrap() == Replaced::Done)
        .collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(store.flags().await.unwrap().as_ref(), racers.get(winner));
}

async fn unreadable(store: &dyn Flags) -> Damaged {
    match store.flags().await {
        Err(FlagsError::Unreadable(damaged)) => *damaged,
        other => panic!("{other:?}"),
    }
}

/// A record that cannot be read says why and which version it is, and gives way to one that names the very bytes that
/// were seen. `spoil` puts a version and a record in place as they are; without a version the store's is taken away.
pub(in crate::store) async fn damaged_flags(
    store: &dyn Flags,
    spoil: impl AsyncFn(Option<u64>, Option<&[u8]>),
) {
    let of = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut text = serde_json::to_value(state(7)).unwrap();
        edit(&mut text);
        text.to_string().into_bytes()
    };
    let newer = of(&|text| {
        text["format"] = 2.into();
        text["cutover"] = "by the hour".into();
    });
    let wrong = of(&|text| text["people"] = serde_json::json!(["ann@example.com"]));
    let whole = of(&|_| ());
    for (version, record, expected, why) in [
        (Some(7), Some(&b"{\"version\":7,"[..]), 7, Why::NotJson { column: 13 }),
        (Some(7), Some(b""), 7, Why::NotJson { column: 0 }),
        (Some(7), Some(&newer), 7, Why::Newer { format: 2 }),
        (Some(7), Some(&wrong), 7, Why::NotARecord),
        (Some(7), None, 7, Why::Nothing),
        (Some(6), Some(&whole), 7, Why::OtherVersion),
        (Some(9), Some(&whole), 9, Why::OtherVersion),
        (None, Some(&whole), 7, Why::OtherVersion),
        (None, Some(&wrong), 7, Why::NotARecord),
        (None, Some(b"\xff\0"), 0, Why::NotJson { column: 1 }),
    ] {
        spoil(version, record).await;
        let damaged = unreadable(store).await;
        assert_eq!((damaged.version, damaged.why), (expected, why), "{version:?} {record:?}");
        assert!(!damaged.why.to_string().contains("example"));
        // What changed since it was seen is not written over, were it of the same version.
        spoil(version, Some(b"{")).await;
        assert_eq!(store.overwrite_flags(&damaged, &state(10)).await.unwrap(), Replaced::Stale);
        spoil(Some(8), record).await;
        assert_eq!(store.overwrite_flags(&damaged, &state(10)).await.unwrap(), Replaced::Stale);
        spoil(version, record).await;
        assert_eq!(store.overwrite_flags(&damaged, &state(10)).await.unwrap(), Replaced::Done);
        assert_eq!(store.flags().await.unwrap(), Some(state(10)));
        assert_eq!(store.overwrite_flags(&damaged, &state(11)).await.unwrap(), Replaced::Stale);
    }
    // What a newer release only added is no obstacle, and is not lost.
    spoil(Some(7), Some(&of(&|text| text["ramp"] = 5.into()))).await;
    let read = store.flags().await.unwrap().unwrap();
    assert_eq!(read.others["ramp"], 5);
    assert_eq!(store.replace_flags(7, &FlagState { version: 8, ..read }).await.unwrap(), Replaced::Done);
    assert_eq!(store.flags().await.unwrap().unwrap().others["ramp"], 5);
}
