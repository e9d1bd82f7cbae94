//! What a store has to keep that takes over what another one held.

use super::{NOW, a_flow, a_session, claimed};
use crate::{
    login::{Alias, Doubt, Epoch, EpochStore, Ledger as _, Mark, Row, RowState},
    session::{Digest, FlowStore as _, SessionStore as _},
    store::{Meta as _, Redis},
};

/// Everything that `from` holds comes to `to`, twice, as a copy that broke off is done again.
pub(super) async fn import(from: &Redis, to: &Redis) {
    let mut rows = Vec::new();
    for (id, state) in [("a", RowState::Done), ("b", RowState::Created), ("c", RowState::Tombstone)] {
        let row = claimed(from, id).await;
        let aliases = vec![Alias::Typed(format!("{id}-typed"))];
        rows.push(from.write(&Row { state, aliases, claim: None, ..row }).await.unwrap());
    }
    assert!(to.is_untouched(&["salt"]).await.unwrap());
    assert_eq!(to.differing(&rows).await.unwrap().len(), rows.len());
    let sessions =
        [("one", 10), ("two", 20)].map(|(id, ends_in)| (Digest::of(id), a_session("usr_1", ends_in)));
    let flow = a_flow();
    let flows = [(Digest::of("state"), flow.clone()), (Digest::of("gone"), flow.clone())];
    let epoch =
        Epoch { id: "e".into(), beat: 7, at: NOW, doubt: Some(Doubt::RolledBack), confirmed_at: None };
    for turn in 0..2 {
        to.put_rows(&rows).await.unwrap();
        to.put_sessions(&sessions).await.unwrap();
        to.put_flows(&flows[..=turn]).await.unwrap();
        to.put_value("salt", b"grain").await.unwrap();
        to.put_flag_record(Some((3, b"{}".to_vec()))).await.unwrap();
        to.put_epoch_record(Some(&epoch)).await.unwrap();
        assert!(!to.is_untouched(&["salt"]).await.unwrap());
        assert_eq!(to.sessions().await.unwrap(), 2);
        if turn == 0 {
            to.forget_sessions().await.unwrap();
            assert_eq!(to.sessions().await.unwrap(), 0);
            assert_eq!(to.get(&sessions[0].0).await.unwrap(), None);
            assert_eq!(to.take_flow(&flows[0].0).await.unwrap(), None);
        }
    }
    assert!(to.differing(&rows).await.unwrap().is_empty());
    for row in &rows {
        assert_eq!(to.find(&row.aliases[0]).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(to.marked(Mark::Open, None, 9).await.unwrap(), [rows[1].key.clone()]);
    assert_eq!(to.last_removed(0, 9).await.unwrap(), [rows[2].key.clone()]);
    assert_eq!((to.people().await.unwrap(), to.counts().await.unwrap()), (3, from.counts().await.unwrap()));
    assert_eq!(to.get(&sessions[1].0).await.unwrap().as_ref(), Some(&sessions[1].1));
    to.flows_are_theirs().await.unwrap();
    assert_eq!(to.take_flow(&flows[0].0).await.unwrap(), Some(flow));
    assert_eq!(to.meta("salt").await.unwrap().as_deref(), Some(b"grain".as_slice()));
    to.forget_value("salt").await.unwrap();
    assert_eq!(to.meta("salt").await.unwrap(), None);
    let there = EpochStore::beat(to, std::time::Duration::from_secs(1), NOW).await.unwrap().unwrap();
    assert_eq!((there.id.as_str(), there.doubt), ("e", Some(Doubt::RolledBack)));
    assert_eq!(to.in_use_by().await.unwrap(), 0, "a copy counts as nobody");
}
