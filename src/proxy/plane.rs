//! The threads of the data plane: start, accept, drain.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Core, Handler,
    connection::{self, Desk},
    crowd::Crowd,
    headers::{FieldRules, RulesError},
    request::RequestIds,
    tls::{Certificates, Terminal},
    upstream::{Target, TargetError, Upstream},
};
use crate::{
    config, net,
    pages::Pages,
    session::Cookies,
    telemetry::{Audit, Metrics},
};

/// How often unused upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// The pause after a failed accept: out of file descriptors, trying again at once would only burn the core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a thread may take to end once its connections were cut.
const CUT_GRACE: Duration = Duration::from_secs(5);

/// What the plane is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) public: Arc<config::Public>,
    pub(crate) upstream: config::Upstream,
    pub(crate) identity: config::IdentityHeaders,
    /// Ours: never sent up, never taken from the application (SEC-23).
    pub(crate) cookies: Cookies,
    pub(crate) gate: Arc<dyn Handler>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Audit,
}

/// The plane cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("cannot start a data-plane thread")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("`public.tls` cannot be used")]
    Tls(#[source] rustls::Error),
    #[error(transparent)]
    Rules(#[from] RulesError),
}

/// The running data plane.
#[derive(Debug)]
pub(crate) struct Plane {
    address: SocketAddr,
    closing: CancellationToken,
    cut: CancellationToken,
    threads: Vec<Thread>,
    metrics: Metrics,
    certificates: Option<Arc<Certificates>>,
}

#[derive(Debug)]
struct Thread {
    handle: thread::JoinHandle<()>,
    /// Resolves when the thread has ended, also by a panic.
    ended: oneshot::Receiver<()>,
}

/// What one thread takes along.
struct Luggage {
    setup: Setup,
    target: Target,
    rules: Arc<FieldRules>,
    crowd: Arc<Crowd>,
    tls: Option<Terminal>,
    closing: CancellationToken,
    cut: CancellationToken,
}

impl Plane {
    /// Binds all listeners and starts all threads.
    pub(crate) fn start(setup: &Setup) -> Result<Self, StartError> {
        let public = &setup.public;
        let limits = &public.limits;
        let target = Target::new(&setup.upstream)?;
        let rules = Arc::new(FieldRules::new(public, &setup.identity, &setup.cookies)?);
        let crowd =
            Crowd::new(limits.connections, limits.connections_per_address, public.trusted_proxies.clone());
        let tls = public.tls.as_ref().map(|tls| Terminal::new(tls, public.http2, &setup.metrics));
        let (tls, certificates) = tls.transpose().map_err(StartError::Tls)?.unzip();
        let no_listener = |cause| StartError::Listen { address: public.listen, cause };
        let listeners = net::listen(public.listen, public.threads.max(1)).map_err(no_listener)?;
        let first = listeners.first().ok_or_else(|| no_listener(io::ErrorKind::AddrNotAvailable.into()))?;
        let mut plane = Self {
            address: first.local_addr().map_err(no_listener)?,
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
            threads: Vec::new(),
            metrics: setup.metrics.clone(),
            certificates,
        };
        for (number, listener) in listeners.into_iter().enumerate() {
            let luggage = Luggage {
                setup: setup.clone(),
                target: target.clone(),
                rules: Arc::clone(&rules),
                crowd: Arc::clone(&crowd),
                tls: tls.clone(),
                closing: plane.closing.clone(),
                cut: plane.cut.clone(),
            };
            plane.threads.push(Thread::start(number, listener, luggage)?);
        }
        Ok(plane)
    }

    /// Where the plane listens; with port 0 in the configuration, the port it was given.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows other certificates from now on; connections that are open keep theirs.
    pub(crate) fn renew(&self, tls: &config::Tls) {
        if let Some(certificates) = &self.certificates {
            certificates.renew(tls.certificates.clone(), &self.metrics);
        }
    }

    /// Whether all threads run. One that is gone takes its share of the connections with it.
    pub(crate) fn is_whole(&self) -> bool {
        self.threads.iter().all(|thread| !thread.handle.is_finished())
    }

    /// Ends (REL-32): goes on accepting for `wait`, because others learn late that we leave; then closes each
    /// connection after its answer; after `grace` cuts what is left and says how many connections that were.
    pub(crate) async fn drain(mut self, wait: Duration, grace: Duration) -> u64 {
        sleep(wait).await;
        self.closing.cancel();
        if timeout(grace, self.ended()).await.is_ok() {
            return 0;
        }
        let cut = self.metrics.open_connections();
        tracing::warn!(connections = cut, "connections were cut at the end of the drain");
        self.cut.cancel();
        if timeout(CUT_GRACE, self.ended()).await.is_err() {
            tracing::error!("a data-plane thread did not end");
        }
        cut
    }

    async fn ended(&mut self) {
        for thread in &mut self.threads {
            // An error means that the thread is gone already.
            let _gone = (&mut thread.ended).await;
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.closing.cancel();
        self.cut.cancel();
    }
}

impl Thread {
    fn start(number: usize, listener: std::net::TcpListener, luggage: Luggage) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Only name look-ups use them.
            .max_blocking_threads(4)
            .build()
            .map_err(StartError::Thread)?;
        let (end, ended) = oneshot::channel();
        let handle = thread::Builder::new()
            .name(format!("plane-{number}"))
            .spawn(move || {
                run(&runtime, listener, luggage);
                // The receiver may be gone when nobody drains.
                let _unheard = end.send(());
            })
            .map_err(StartError::Thread)?;
        Ok(Self { handle, ended })
    }
}

fn run(runtime: &Runtime, listener: std::net::TcpListener, luggage: Luggage) {
    let local = LocalSet::new();
    let result = local.block_on(runtime, async {
        let listener = TcpListener::from_std(listener)?;
        accept(listener, luggage).await;
        io::Result::Ok(())
    });
    if let Err(error) = result {
        tracing::error!(%error, "a data-plane thread cannot accept connections");
    }
}

async fn accept(listener: TcpListener, luggage: Luggage) {
    let Luggage { setup, target, rules, crowd, tls, closing, cut } = luggage;
    let Setup { public, gate, pages, metrics, audit, .. } = setup;
    let upstream = Upstream::new(target);
    spawn_local({
        let upstream = Rc::clone(&upstream);
        async move {
            loop {
                sleep(SWEEP).await;
                upstream.sweep();
            }
        }
    });
    let http = connection::http(&public.limits);
    let core = Core { upstream, rules, public, pages, metrics: metrics.clone(), audit };
    let desk = Rc::new(Desk {
        core,
        gate,
        ids: RequestIds::new(),
        http,
        closing: closing.clone(),
        leaving: Cell::new(false),
    });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            // What has reached the queue is still taken: the first arm is tried first, and only an empty queue
            // lets the second one see that we close.
            biased;
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = crowd.admit(peer.ip()) else {
            metrics.connection_turned_away();
            continue;
        };
        if net::prepare(&stream).is_err() {
            // Gone already.
            continue;
        }
        let desk = Rc::clone(&desk);
        match tls.clone() {
            Some(tls) => connections.spawn_local(tls.serve(desk, stream, peer.ip(), place)),
            None => connections.spawn_local(connection::serve(desk, stream, peer.ip(), false, place)),
        };
    }
    drop(listener);
    desk.leaving.set(true);
    connections.close();
    tokio::select! {
        // Connections that are still open when the runtime goes are cut.
        () = cut.cancelled() => {}
        () = connections.wait() => {}
    }
}
