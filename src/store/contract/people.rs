//! The contract of lists and counts.

use std::time::Duration;

use super::{LEASE, NOW, claimed, file, fresh};
use crate::{
    identity::{ExternalId, LegacyId, PersonKey, SourceName},
    login::{Counts, Ledger, Origin, PeopleFilter, Row, RowState, SetAside, Stage},
    rollout::{BasisPoints, Bucket},
    store::Embedded,
};

/// Row `n` of many: every stage, two sources, some pinned, each with a bucket of its own.
fn row(n: u16) -> Row {
    let source = SourceName::parse(if n.is_multiple_of(3) { "crm" } else { "crm2" }).unwrap();
    let key = PersonKey { source, id: LegacyId::parse(&format!("{n:04}")).unwrap() };
    let at = NOW.after(Duration::from_secs(u64::from(n)));
    let fresh = Row::fresh(key, Bucket::test(n * 10), ExternalId::received(n.to_string()), at);
    match n % 5 {
        0 => Row { state: RowState::Done, crossed_at: Some(at), ..fresh },
        1 => Row { state: RowState::Done, origin: Origin::BornNew, ..fresh },
        2 => Row { state: RowState::Conflict { why: SetAside::Twins }, ..fresh },
        3 => Row { state: RowState::Tombstone, crossed_at: Some(at), ..fresh },
        _ => Row { state: RowState::Done, ..fresh },
    }
}

/// All parts of a list, and how many there were.
async fn all(ledger: &dyn Ledger, filter: &PeopleFilter, limit: usize) -> (Vec<Row>, usize) {
    let (mut rows, mut parts, mut after) = (Vec::new(), 0, None);
    loop {
        let part = ledger.list(filter, after.as_ref(), limit).await.unwrap();
        assert!(part.rows.len() <= limit);
        rows.extend(part.rows);
        parts += 1;
        let Some(next) = part.next else { return (rows, parts) };
        assert!(after.is_none_or(|after: PersonKey| next.to_string() > after.to_string()), "it goes on");
        after = Some(next);
    }
}

/// The contract of [`Ledger::list`] and [`Ledger::counts`].
pub(super) async fn people(ledger: &dyn Ledger) {
    assert_eq!(ledger.counts().await.unwrap(), Counts::default());
    let mut written = Vec::new();
    for n in 0..600 {
        written.push(ledger.write(&row(n)).await.unwrap());
    }
    written.sort_by_key(|row| row.key.to_string());
    same_counts(ledger, &written).await;
    let counts = ledger.counts().await.unwrap();
    assert_eq!((counts.all(), counts.pinned(), counts.unpinned()), (600, 240, 240));
    assert_eq!((counts.born_new(), counts.set_aside(), counts.in_reach()), (120, 120, 120));
    // Below bucket 1000: n of 4 mod 5, below 100.
    assert_eq!(counts.in_reach_within(BasisPoints::new(1000).unwrap()), 20);

    // Everybody once, in order, however the list is cut.
    for limit in [1000, 600, 77] {
        let (rows, parts) = all(ledger, &PeopleFilter::default(), limit).await;
        assert_eq!(rows, written, "{limit}");
        assert!(parts >= 600_usize.div_ceil(limit), "{limit}");
    }
    let filters = [
        PeopleFilter { stages: vec![Stage::Conflict], ..PeopleFilter::default() },
        PeopleFilter { stages: vec![Stage::Conflict, Stage::Tombstone], ..PeopleFilter::default() },
        PeopleFilter { stages: vec![Stage::Claimed], ..PeopleFilter::default() },
        PeopleFilter { source: SourceName::parse("crm"), ..PeopleFilter::default() },
        PeopleFilter { source: SourceName::parse("crm2"), is_pinned: Some(true), ..PeopleFilter::default() },
        PeopleFilter { is_pinned: Some(false), stages: vec![Stage::Done], ..PeopleFilter::default() },
        PeopleFilter {
            updated_since: Some(NOW.after(Duration::from_secs(100))),
            updated_before: Some(NOW.after(Duration::from_secs(200))),
            ..PeopleFilter::default()
        },
    ];
    for filter in filters {
        let expected: Vec<Row> = written.iter().filter(|row| filter.takes(row)).cloned().collect();
        assert_eq!(all(ledger, &filter, 50).await.0, expected, "{filter:?}");
    }

    // A claim brings a person in; what is written moves them on, and a refused write nobody.
    let claimed = claimed(ledger, "new").await;
    written.push(claimed.clone());
    same_counts(ledger, &written).await;
    let moved = Row { state: RowState::Done, crossed_at: Some(NOW), ..claimed.clone() };
    let moved = ledger.write(&moved).await.unwrap();
    assert!(ledger.write(&Row { state: RowState::Tombstone, ..claimed }).await.is_err());
    ledger.claim(&fresh("new"), LEASE, NOW.after(LEASE * 2)).await.unwrap();
    written.pop();
    written.push(moved);
    same_counts(ledger, &written).await;
    assert_eq!(ledger.index().await.unwrap().people, 0, "nothing is left to index");
}

async fn same_counts(ledger: &dyn Ledger, rows: &[Row]) {
    let mut counts = Counts::default();
    for row in rows {
        counts.add(row.counted_as());
    }
    assert_eq!(ledger.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract_of_lists() {
    let path = file("people");
    people(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_file_from_before_there_were_counts_is_counted_when_it_is_opened() {
    let path = file("uncounted");
    let store = Embedded::open(&path, "one").unwrap();
    let mut written = Vec::new();
    for n in 0..20 {
        written.push(store.write(&row(n)).await.unwrap());
    }
    store.forget_counts();
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    drop(store);
    let store = Embedded::open(&path, "two").unwrap();
    same_counts(&store, &written).await;
    assert_eq!(all(&store, &PeopleFilter::default(), 7).await.0.len(), 20);
    drop(store);
    std::fs::remove_file(&path).unwrap();
}

/// Rows that lost their counts, as if an earlier version had written them.
pub(super) async fn uncounted(ledger: &dyn Ledger, forget: impl AsyncFnOnce()) {
    let mut written = Vec::new();
    for n in 0..20 {
        written.push(ledger.write(&row(n)).await.unwrap());
    }
    forget().await;
    assert_eq!(ledger.counts().await.unwrap(), Counts::default());
    // One is written before it is reached, and counts once.
    let first = written.first_mut().unwrap();
    *first = ledger.write(&Row { state: RowState::Tombstone, ..first.clone() }).await.unwrap();
    assert_eq!(ledger.index().await.unwrap().people, 19);
    same_counts(ledger, &written).await;
    assert_eq!(all(ledger, &PeopleFilter::default(), 7).await.0.len(), 20);
}
