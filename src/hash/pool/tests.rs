use std::{sync::mpsc, time::Duration};

use serde_json::json;

use super::*;

const BCRYPT_4: &str = "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";

fn pool(threads: usize, queue: usize) -> HashPool {
    HashPool::start(threads, queue, HashCeilings::default(), Metrics::new())
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

fn auto() -> HashFormat {
    HashFormat::from_settings(&json!("auto")).unwrap()
}

fn password(text: &str) -> Arc<Password> {
    Arc::new(Password::unchecked(text.into()))
}

/// Occupies a thread until the returned sender is dropped; returns once the thread has begun.
async fn occupy(pool: &HashPool) -> (mpsc::Sender<()>, impl Future<Output = Result<(), PoolError>>) {
    let (release, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let running = pool.clone();
    let mut held = Box::pin(async move {
        let job = move |_: &mut Arena| {
            let _ = begun.send(());
            let _ = wait.recv();
        };
        running.run(job, soon()).await
    });
    tokio::select! {
        biased;
        done = &mut held => panic!("ended too early: {done:?}"),
        _ = has_begun => {}
    }
    (release, held)
}

#[tokio::test]
async fn a_password_is_judged() {
    let pool = pool(2, 4);
    let stored = StoredHash::new(BCRYPT_4, None);
    for (text, expected) in
        [("correct horse battery staple", Judgement::Match), ("wrong", Judgement::NoMatch)]
    {
        let found = pool.verify(&auto(), Some(stored.clone()), password(text), soon()).await;
        assert_eq!(found, Ok(Ok(expected)));
    }
    let damaged = StoredHash::new("$2b$04$short", None);
    let found = pool.verify(&auto(), Some(damaged), password("x"), soon()).await;
    assert_eq!(found, Ok(Err(HashError::Syntax)));
    assert_eq!(pool.busy(), 0);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let pool = pool(1, 1);
    let (release, held) = occupy(&pool).await;
    let waiting = pool.run(|_| (), soon());
    tokio::pin!(waiting);
    assert!(
        tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err(),
        "it waits for the thread"
    );
    assert_eq!(pool.run(|_| (), soon()).await, Err(PoolError::Full));
    drop(release);
    assert_eq!((held.await, waiting.await), (Ok(()), Ok(())));
    assert_eq!(pool.run(|_| (), soon()).await, Ok(()));
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_nothing_early() {
    let pool = pool(1, 0);
    let (release, held) = occupy(&pool).await;
    drop(held);
    assert_eq!(pool.run(|_| (), soon()).await, Err(PoolError::Full), "the thread still works");
    drop(release);
    while pool.busy() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.run(|_| 7, soon()).await, Ok(7));
}

#[tokio::test]
async fn a_panic_costs_one_job_and_not_the_thread() {
    let pool = pool(1, 0);
    for _ in 0..3 {
        assert_eq!(pool.run(|_| -> () { panic!("made up") }, soon()).await, Err(PoolError::Stopped));
    }
    assert_eq!(pool.run(|_| 7, soon()).await, Ok(7));
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_not_the_thread() {
    let pool = pool(1, 1);
    let (release, held) = occupy(&pool).await;
    let (tell, told) = mpsc::channel();
    let late = pool.run(move |_| tell.send(()).unwrap(), Deadline::within(Duration::from_millis(20)));
    assert_eq!(late.await, Err(PoolError::TooLate));
    drop(release);
    held.await.unwrap();
    assert_eq!(pool.run(|_| (), soon()).await, Ok(()));
    assert!(told.recv().is_err(), "a job that nobody waits for is not begun");
    assert_eq!(pool.run(|_| (), Deadline::within(Duration::ZERO)).await, Err(PoolError::TooLate));
}

#[tokio::test]
async fn without_threads_nothing_waits_for_ever() {
    assert_eq!(pool(0, 4).run(|_| (), soon()).await, Err(PoolError::Stopped));
}

#[test]
fn threads_end_with_the_last_handle() {
    let (jobs, queued) = channel();
    let worker = thread::spawn(move || work(&Mutex::new(queued)));
    drop(jobs);
    worker.join().unwrap();
}

#[tokio::test]
async fn the_span_goes_along() {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    /// Notes on which threads the span is entered.
    struct Entered(Mutex<mpsc::Sender<String>>);
    impl<S: tracing::Subscriber> Layer<S> for Entered {
        fn on_enter(&self, _: &tracing::span::Id, _: Context<'_, S>) {
            let name = thread::current().name().unwrap_or_default().to_owned();
            let _ = self.0.lock().unwrap().send(name);
        }
    }

    let (tell, told) = mpsc::channel();
    let subscriber = tracing_subscriber::registry().with(Entered(Mutex::new(tell)));
    let _guard = tracing::subscriber::set_default(subscriber);
    let span = tracing::info_span!("sign-in");
    let pool = pool(1, 1);
    tracing::Instrument::instrument(pool.run(|_| (), soon()), span).await.unwrap();
    assert!(told.try_iter().any(|thread| thread == "hash-0"));
}

/// Work that counts how often it is done, in place of measuring time.
struct Counted(Arc<AtomicUsize>);

impl super::super::recipe::Work for Counted {
    fn check(&self, _: &HashCeilings, _: usize) -> Result<(), HashError> {
        Ok(())
    }

    fn derive(&self, _: &[u8], length: usize, _: &mut Arena) -> Result<Vec<u8>, HashError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(vec![0; length])
    }

    fn costs(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

#[tokio::test]
async fn nobody_costs_what_every_kind_of_hash_costs_and_never_matches() {
    let (pool, format, done) = (pool(1, 1), auto(), Arc::new(AtomicUsize::new(0)));
    let recipe = super::super::recipe::Recipe::new(Counted(Arc::clone(&done)), vec![0; 16]);
    format.kinds.lock().unwrap().meet(&recipe);
    // The work's result equals the blank expectation, and still it is no match.
    assert_eq!(pool.verify(&format, None, password("x"), soon()).await, Ok(Ok(Judgement::NoMatch)));
    assert_eq!(done.load(Ordering::SeqCst), 1);
    // And somebody costs their own hash and that.
    let stored = StoredHash::new(BCRYPT_4, None);
    let found = pool.verify(&format, Some(stored), password("x"), soon()).await;
    assert_eq!(found, Ok(Ok(Judgement::NoMatch)));
    assert_eq!(done.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_hash_is_remembered_by_its_cost() {
    let (pool, format) = (pool(1, 1), auto());
    let costs = || format.kinds.lock().unwrap().all().first().map(super::super::recipe::Recipe::costs);
    assert_eq!(costs(), None);
    let stored = StoredHash::new(BCRYPT_4, None);
    pool.verify(&format, Some(stored), password("x"), soon()).await.unwrap().unwrap();
    assert_eq!(costs(), Some(vec![("cost", 4)]));
    let too_costly = StoredHash::new(&BCRYPT_4.replace("$04$", "$31$"), None);
    let found = pool.verify(&format, Some(too_costly), password("x"), soon()).await;
    assert_eq!(found, Ok(Err(HashError::CostLimit)));
    assert_eq!(costs(), Some(vec![("cost", 4)]), "a bomb is not remembered");
}

#[tokio::test]
async fn one_arena_serves_hashes_of_different_size() {
    let pool = pool(1, 1);
    let format = HashFormat::from_settings(&json!("phc-argon2")).unwrap();
    let small =
        "$argon2id$v=19$m=64,t=1,p=1$9N+5wFc46CLSDGM5HrEVOw$iYed4xTIUgw3R5JvTTierh/z28Fmw99BlknKAIsl/FU";
    let large =
        "$argon2id$v=19$m=19456,t=2,p=1$3Lbh/IR/vhKsIgj/O/2LWQ$aJLIvuQMdhwWtlH55kD2WS9vF/681nyo7zKHBozQNM4";
    let older = "$argon2i$m=64,t=2,p=1$bxeNN5AX7dEDaXz6mt9Oxw$xIrKtFODfkWa53rDCotbjED+UEJXkRLoDrHaTIdXKo4";
    for (hash, text) in
        [(small, "Make-It-S0"), (large, "quote'\"back\\slash"), (older, "lock🔐key"), (small, "Make-It-S0")]
    {
        let found = pool.verify(&format, Some(StoredHash::new(hash, None)), password(text), soon()).await;
        assert_eq!(found, Ok(Ok(Judgement::Match)), "{text}");
    }
}
