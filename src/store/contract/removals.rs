//! What every ledger has to keep of the order in which people were removed.

use std::time::Duration;

use super::{NOW, claimed, file, fresh};
use crate::{
    identity::PersonKey,
    login::{Ledger, Row, RowState},
    store::Embedded,
};

async fn remove(ledger: &dyn Ledger, id: &str, second: u64) -> Row {
    let row = claimed(ledger, id).await;
    let updated_at = NOW.after(Duration::from_secs(second));
    ledger.write(&Row { state: RowState::Tombstone, claim: None, updated_at, ..row }).await.unwrap()
}

async fn last(ledger: &dyn Ledger, skip: usize, limit: usize) -> Vec<String> {
    let keys = ledger.last_removed(skip, limit).await.unwrap();
    keys.into_iter().map(|key| key.id.as_str().to_owned()).collect()
}

/// The contract of [`Ledger::last_removed`].
pub(super) async fn removals(ledger: &dyn Ledger) {
    assert!(last(ledger, 0, 9).await.is_empty());
    for (id, second) in [("b", 3), ("d", 1), ("a", 2)] {
        remove(ledger, id, second).await;
    }
    claimed(ledger, "c").await;
    assert_eq!(last(ledger, 0, 9).await, ["b", "a", "d"]);
    assert_eq!(last(ledger, 0, 2).await, ["b", "a"]);
    assert_eq!(last(ledger, 2, 9).await, ["d"]);
    assert!(last(ledger, 3, 9).await.is_empty() && last(ledger, 0, 0).await.is_empty());
    // Written once more: in one place alone.
    remove(ledger, "d", 4).await;
    assert_eq!(last(ledger, 0, 9).await, ["d", "b", "a"]);
    let row = claimed(ledger, "b").await;
    ledger.write(&Row { state: RowState::Done, claim: None, ..row }).await.unwrap();
    assert_eq!(last(ledger, 0, 9).await, ["d", "a"]);
}

/// The same of a store in which an earlier version wrote a part. `forget` makes it one; `garble` makes a row unreadable.
pub(super) async fn from_before<L: Ledger>(
    ledger: L,
    forget: impl AsyncFn(L) -> L,
    garble: impl AsyncFn(&L, &PersonKey),
) {
    for (id, second) in [("b", 1), ("c", 2), ("a", 3)] {
        remove(&ledger, id, second).await;
    }
    garble(&ledger, &fresh("c").key).await;
    let ledger = forget(ledger).await;
    assert_eq!(last(&ledger, 0, 9).await, ["a", "b", "c"]);
    remove(&ledger, "d", 2).await;
    assert_eq!(last(&ledger, 0, 9).await, ["a", "d", "b", "c"]);
    let grave =
        Row { state: RowState::Tombstone, updated_at: NOW.after(Duration::from_secs(9)), ..fresh("c") };
    ledger.write_over(&grave).await.unwrap();
    assert_eq!(last(&ledger, 0, 9).await, ["c", "a", "d", "b"]);
}

#[tokio::test]
async fn the_embedded_store_keeps_the_contract_of_removals() {
    let path = file("removals");
    removals(&Embedded::open(&path, "one").unwrap()).await;
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_file_from_before_removals_had_an_order_gets_one() {
    let path = &file("removals-before");
    let forget = async |store: Embedded| {
        store.forget_order();
        drop(store);
        Embedded::open(path, "two").unwrap()
    };
    let garble = async |store: &Embedded, key: &PersonKey| store.garble(key);
    from_before(Embedded::open(path, "one").unwrap(), forget, garble).await;
    std::fs::remove_file(path).unwrap();
}
