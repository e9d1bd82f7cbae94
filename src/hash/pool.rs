//! The threads that hash: few, with one memory arena each, behind a bounded queue (SEC-39).

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{HashError, HashFormat, Judgement, StoredHash, recipe::Arena};
use crate::{clock::Deadline, config::HashCeilings, identity::Password, telemetry::Metrics};

/// The hashing threads of this process; they end when the last handle is gone.
#[derive(Clone)]
pub(crate) struct HashPool {
    jobs: Sender<Job>,
    places: Arc<Places>,
    ceilings: Arc<HashCeilings>,
    metrics: Metrics,
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool").field("waiting_or_running", &self.busy()).finish_non_exhaustive()
    }
}

/// The pool could not take or finish the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    #[error("the hashing queue is full")]
    Full,
    #[error("hashing did not finish in time")]
    TooLate,
    /// Also the answer to a job whose verification panicked; the thread itself goes on.
    #[error("the hashing thread has stopped")]
    Stopped,
}

/// Longer than any hash below the ceilings takes: what is left of it tells how long one took.
const LONGEST: Duration = Duration::from_mins(10);

type Job = Box<dyn FnOnce(&mut Arena) + Send>;

/// How many jobs may wait or run, and how many do.
struct Places {
    all: usize,
    taken: AtomicUsize,
}

/// One job's place. It travels with the job, so a caller that goes away does not free what a thread still works on.
struct Place(Arc<Places>);

impl Places {
    fn take(self: &Arc<Self>) -> Result<Place, PoolError> {
        let one_more = |taken: usize| (taken < self.all).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(PoolError::Full),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl HashPool {
    /// Starts `threads` threads with room for `queue` waiting jobs.
    pub(crate) fn start(threads: usize, queue: usize, ceilings: HashCeilings, metrics: Metrics) -> Self {
        let (jobs, queued) = channel();
        let queued = Arc::new(Mutex::new(queued));
        for number in 0..threads {
            let queued = Arc::clone(&queued);
            let started = thread::Builder::new().name(format!("hash-{number}")).spawn(move || work(&queued));
            // With the rest of the threads sign-ins still work; with none every job is answered "stopped".
            if let Err(error) = started {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a hashing thread could not be started"
                );
            }
        }
        let places = Arc::new(Places { all: threads.saturating_add(queue), taken: AtomicUsize::new(0) });
        Self { jobs, places, ceilings: Arc::new(ceilings), metrics }
    }

    /// Judges a password on one of the threads. `None` for `stored` does the same work and answers "no match": an
    /// unknown name must cost what a known one does (SEC-40).
    pub(crate) async fn verify(
        &self,
        format: &HashFormat,
        stored: Option<StoredHash>,
        password: Arc<Password>,
        deadline: Deadline,
    ) -> Result<Result<Judgement, HashError>, PoolError> {
        let (format, ceilings) = (format.clone(), Arc::clone(&self.ceilings));
        let judge = move |arena: &mut Arena| match stored {
            // A locked account or a damaged hash must not show by a quick answer either.
            Some(stored) => format.judge(&stored, &password, &ceilings, arena).inspect_err(|_| {
                format.judge_nobody(&password, &ceilings, arena);
            }),
            None => Ok(format.judge_nobody(&password, &ceilings, arena)),
        };
        self.run(judge, deadline).await
    }

    /// How many jobs wait or run.
    pub(crate) fn busy(&self) -> usize {
        self.places.taken.load(Ordering::Acquire)
    }

    /// Runs one job on a thread of the pool, within the caller's tracing span.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Arena) -> T + Send + 'static,
        deadline: Deadline,
    ) -> Result<T, PoolError> {
        if deadline.has_passed() {
            return Err(PoolError::TooLate);
        }
        let place = self.places.take().inspect_err(|_| self.metrics.hash_shed())?;
        let (waits, metrics) = (self.metrics.hash_waits(), self.metrics.clone());
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let job = move |arena: &mut Arena| {
            // A job that nobody waits for any more is not begun; one that has begun is finished.
            drop(waits);
            if deadline.has_passed() || answer.is_closed() {
                metrics.hash_late();
                drop(place);
                let _ = answer.send(Err(PoolError::TooLate));
                return;
            }
            let begun = Deadline::within(LONGEST);
            let done = span.in_scope(|| {
                if let Ok(done) = catch_unwind(AssertUnwindSafe(|| job(arena))) {
                    Ok(done)
                } else {
                    // The panic's own message went to the panic hook; it may hold data, so it is not repeated.
                    tracing::error!("a password verification panicked");
                    *arena = Arena::default();
                    Err(PoolError::Stopped)
                }
            });
            metrics.hash_done(LONGEST.saturating_sub(begun.remaining()));
            // The place is free before the caller learns the answer, so that a next job of its own finds it.
            drop(place);
            // Nobody listens when the caller has gone away.
            let _ = answer.send(done);
        };
        self.jobs.send(Box::new(job)).map_err(|_| PoolError::Stopped)?;
        match tokio::time::timeout(deadline.remaining(), answered).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(PoolError::Stopped),
            Err(_) => Err(PoolError::TooLate),
        }
    }
}

/// A thread's life: one job after the other, until no more can come.
fn work(queued: &Mutex<Receiver<Job>>) {
    let mut arena = Arena::default();
    loop {
        // One idle thread waits in `recv` with the lock, the others wait for the lock: the effect is the same.
        let next = queued.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(job) => job(&mut arena),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
