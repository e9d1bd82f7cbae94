//! The one door to background tasks: what is started here is waited for at the end.

use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::rates::in_background;

/// Starts tasks on the shared runtime and waits for them when the process stops.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    runtime: Handle,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Tracker {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime, tasks: TaskTracker::new(), stopping: CancellationToken::new() }
    }

    /// Starts a task on the shared runtime, from any thread. It runs to its end whether or not somebody awaits the
    /// handle: a client that goes away must not cut a create from its record.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn_on(task, &self.runtime)
    }

    /// Starts a task that no request waits for; what it asks others for leaves sign-ins their share of every rate.
    pub(crate) fn spawn_job<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(in_background(task))
    }

    /// Told when the process begins to stop; loops end on it.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Tells every loop to end and waits for all tasks, at most `grace`; `false` when some were still running.
    pub(crate) async fn finish(&self, grace: Duration) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }

    /// How many tasks run.
    pub(crate) fn running(&self) -> usize {
        self.tasks.len()
    }
}
