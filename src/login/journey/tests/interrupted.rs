//! Runs that are killed, lose an answer, or meet somebody else at work on the same person.

use super::*;

#[tokio::test]
async fn a_lost_create_answer_is_found_again_and_never_sent_blindly() {
    for on_duplicate in [OnDuplicate::Refuse, OnDuplicate::AnswerExisting] {
        for fault in [CreateFault::LostAfterCommit, CreateFault::LostBeforeCommit, CreateFault::NotDone] {
            let world = world(10_000, 0, HandOff::Hosted, on_duplicate);
            world.directory.faults.lock().unwrap().push(fault);
            let first = world.sign_in("ann@example.com", "right").await;
            assert_eq!(is_hand_over(&first), fault == CreateFault::LostAfterCommit, "{fault:?}");
            let second = world.sign_in("ann@example.com", "right").await;
            assert!(is_hand_over(&second), "{fault:?}: {second:?}");
            assert_eq!(world.users(), 1);
            assert_eq!(*world.directory.accepted.lock().unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn killed_at_any_step_the_next_sign_in_finishes_without_a_duplicate() {
    for on_duplicate in [OnDuplicate::Refuse, OnDuplicate::AnswerExisting] {
        for lost in [None, Some(CreateFault::LostAfterCommit)] {
            let mut at = 1;
            loop {
                let world = world(10_000, 0, HandOff::Hosted, on_duplicate);
                world.directory.faults.lock().unwrap().extend(lost);
                world.killer.at.store(at, Ordering::SeqCst);
                let journeys = world.journeys.clone();
                let killed = {
                    let world = &world;
                    let run = std::panic::AssertUnwindSafe(world.sign_in("ann@example.com", "right"));
                    futures_catch(run).await.is_err()
                };
                world.killer.at.store(usize::MAX, Ordering::SeqCst);
                world.ledger.restarted();
                drop(journeys);
                let outcome = world.sign_in("ann@example.com", "right").await;
                assert!(is_hand_over(&outcome), "killed at moment {at}: {outcome:?}");
                assert_eq!(world.users(), 1, "killed at moment {at}");
                assert_eq!(world.row("ann").state, RowState::Done);
                if !killed {
                    assert!(at > 8, "the run has more moments than {at}");
                    break;
                }
                at += 1;
            }
        }
    }
}

/// Runs a future to its end or its panic.
async fn futures_catch<F: Future>(future: std::panic::AssertUnwindSafe<F>) -> Result<F::Output, ()> {
    let mut future = Box::pin(future.0);
    std::future::poll_fn(move |context| {
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Ok(std::task::Poll::Ready(output)) => std::task::Poll::Ready(Ok(output)),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}

#[tokio::test]
async fn simultaneous_first_sign_ins_create_one_user() {
    let world = cutover();
    let runs = (0..20).map(|_| world.sign_in("ann@example.com", "right"));
    let mut set = Vec::new();
    for run in runs {
        set.push(Box::pin(run));
    }
    let outcomes = join_all(set).await;
    assert!(outcomes.iter().all(is_hand_over), "{outcomes:?}");
    assert_eq!(world.users(), 1);
    assert_eq!(*world.directory.accepted.lock().unwrap(), 1);
}

/// Polls all futures in turn on this task.
async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_crossing_survives_somebody_elses_write() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let stale = world.row("ann");
    world.ledger.write(&stale).await.unwrap();
    let crossed = world.journeys.cross(stale.clone()).await.unwrap();
    assert!(crossed.crossed_at.is_some());
    assert!(world.row("ann").crossed_at.is_some());
}

#[tokio::test]
async fn a_person_removed_meanwhile_does_not_cross() {
    let world = cutover();
    let _ = world.sign_in("ann@example.com", "right").await;
    let stale = world.row("ann");
    let removed = Row { state: RowState::Tombstone, ..stale.clone() };
    world.ledger.write(&removed).await.unwrap();
    assert_eq!(world.journeys.cross(stale).await.unwrap().state, RowState::Tombstone);
    assert_eq!(world.row("ann").crossed_at, None);
}

/// Removes a person just before their row is claimed.
struct Remover(Arc<MemoryLedger>);

impl Witness for Remover {
    fn step(&self, moment: Moment, step: &'static str, row: &Row) {
        if (moment, step) == (Moment::Before, "claim") {
            self.0.rows.lock().unwrap().get_mut(&row.key).unwrap().state = RowState::Tombstone;
        }
    }

    fn moved(&self, _: &RowState, _: &Row) {}

    fn notice(&self, _: &Row, _: Notice) {}

    fn failed(&self, _: &'static str, _: &(dyn std::error::Error + 'static), _: &Row) {}

    fn doubted(&self, _: Option<crate::login::Doubt>) {}

    fn removed_again(&self, _: usize) {}

    fn unreadable(&self, _: &PersonKey) {}

    fn unavailable(&self, _: &'static str, _: &(dyn std::error::Error + 'static)) {}
}

#[tokio::test]
async fn a_tombstone_set_before_the_claim_is_not_written_over() {
    let mut world = world(10_000, 10_000, HandOff::Hosted, OnDuplicate::Refuse);
    world.store.records.lock().unwrap()[0].email.verified = Some(false);
    let _ = world.sign_in("ann@example.com", "right").await;
    world.journeys.witness = Arc::new(Remover(Arc::clone(&world.ledger)));
    let _ = world.sign_in("ann@example.com", "right").await;
    assert_eq!(world.row("ann").state, RowState::Tombstone);
}
