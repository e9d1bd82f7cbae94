//! Starts a stand-in on a free port for a test and calls it as a stranger would.

use std::{future::Future, io, net::SocketAddr};

use reqwest::{Client, Method, RequestBuilder, redirect::Policy};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A stand-in that listens; it stops with this value.
pub(in crate::simulate) struct Rig {
    address: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Rig {
    #[expect(clippy::disallowed_methods, reason = "a test's own server and client, not the product's")]
    pub(in crate::simulate) async fn start<F>(
        serve: impl FnOnce(TcpListener, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> F,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        // Another test may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = Box::pin(async move {
            let _ = stopped.await;
        });
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { address, client, stop: Some(stop), task: tokio::spawn(serve(listener, shutdown)) }
    }

    pub(in crate::simulate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(in crate::simulate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::simulate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(in crate::simulate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(in crate::simulate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(in crate::simulate) async fn json(&self, path: &str) -> Value {
        self.get(path).send().await.unwrap().json().await.unwrap()
    }

    pub(in crate::simulate) async fn set_faults(&self, faults: Value) {
        let answer = self.request(Method::PUT, "/__simulator/faults").json(&faults).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Asks the stand-in to stop and gives what its server ended with.
    pub(in crate::simulate) async fn stop(mut self) -> io::Result<()> {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap()
    }
}
