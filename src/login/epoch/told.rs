//! A doubt that an operator tells the store, where no process is left that could notice by itself.

use std::time::Duration;

use super::{Doubt, EpochStore, Put, TRIES};
use crate::{clock::Timestamp, login::LedgerError};

/// Puts a store in doubt, also one without an epoch, which then gets `own_name`. Gives the doubt that stands, and
/// whether it stood before.
pub(crate) async fn put_in_doubt(
    store: &dyn EpochStore,
    own_name: String,
    now: Timestamp,
) -> Result<(Doubt, bool), LedgerError> {
    for turn in 0..TRIES {
        // To look at it is no use of it; the least that counts is a millisecond.
        let there = store.beat(Duration::ZERO, now).await?;
        match there.as_ref().and_then(|there| there.doubt) {
            // This one ends without an operator, as soon as Scalekit says that it has nobody.
            None | Some(Doubt::NotAskedYet) => {}
            Some(doubt) => return Ok((doubt, turn == 0)),
        }
        let (id, beat) = match &there {
            Some(there) => (there.id.clone(), there.beat),
            None => (own_name.clone(), 0),
        };
        let put = Put { id, beat, doubt: Some(Doubt::ByOperator), confirms: false };
        store.put_epoch(there.as_ref(), put, now).await?;
    }
    Err(LedgerError::Overtaken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::{
        Epoch,
        tests::{MemoryEpoch, trust},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn epoch(doubt: Option<Doubt>) -> Epoch {
        Epoch { id: "a".into(), beat: 7000, at: NOW, doubt, confirmed_at: Some(NOW) }
    }

    #[tokio::test]
    async fn an_operators_doubt_stands_until_it_is_confirmed_and_is_told_once() {
        use Doubt::{ByOperator, NotAskedYet, RolledBack};
        for (there, doubt, was_so) in [
            (Some(epoch(None)), ByOperator, false),
            (Some(epoch(Some(NotAskedYet))), ByOperator, false),
            (Some(epoch(Some(RolledBack))), RolledBack, true),
            (Some(epoch(Some(ByOperator))), ByOperator, true),
            (None, ByOperator, false),
        ] {
            let store = MemoryEpoch::used();
            *store.0.lock().unwrap() = there.clone();
            let clock = crate::clock::TestClock::at(NOW);
            let running = trust(std::sync::Arc::clone(&store), clock);
            if there.is_some() {
                running.look().await.unwrap();
            }
            let told = put_in_doubt(&*store, "new".into(), NOW).await.unwrap();
            assert_eq!(told, (doubt, was_so), "{there:?}");
            assert_eq!(put_in_doubt(&*store, "new".into(), NOW).await.unwrap(), (doubt, true));
            let id = store.0.lock().unwrap().as_ref().unwrap().id.clone();
            assert_eq!(id, if there.is_some() { "a" } else { "new" });
            // Whoever runs sees it, and so does whoever begins.
            assert_eq!(running.look().await.unwrap(), Some(doubt));
            let begun = trust(std::sync::Arc::clone(&store), crate::clock::TestClock::at(NOW));
            assert_eq!(begun.look().await.unwrap(), Some(doubt));
            assert_eq!(begun.confirm().await.unwrap().doubt, None);
            assert_eq!(running.look().await.unwrap(), None);
        }
    }
}
