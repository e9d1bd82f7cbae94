//! The admin listener over real sockets.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    listener::{LIMITS, Limits, serve_within},
    *,
};

struct Running {
    address: SocketAddr,
    readiness: watch::Sender<Readiness>,
    metrics: Metrics,
    shutdown: CancellationToken,
    served: JoinSet<()>,
}

async fn start(readiness: Readiness) -> Running {
    start_within(LIMITS, readiness).await
}

async fn start_within(limits: Limits, readiness: Readiness) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, ready) = watch::channel(readiness);
    let (metrics, shutdown) = (Metrics::new(), CancellationToken::new());
    let mut served = JoinSet::new();
    let state = AdminState { ready, metrics: metrics.clone(), api: api::tests::without_tokens() };
    served.spawn(serve_within(limits, listener, state, shutdown.clone()));
    Running { address, readiness: sender, metrics, shutdown, served }
}

/// The whole answer to one request.
async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap()
}

#[tokio::test]
async fn readiness_is_what_we_are_and_liveness_is_that_we_are() {
    let admin = start(Readiness::Starting(Awaits::Store)).await;
    for (readiness, expected) in [
        (Readiness::Starting(Awaits::Store), Some("the store is not open or cannot be reached yet")),
        (Readiness::Starting(Awaits::Listeners), Some("not listening yet")),
        (Readiness::Ready, None),
        (Readiness::Draining, Some("draining")),
    ] {
        admin.readiness.send(readiness).unwrap();
        let answer = ask(admin.address, "GET", "/readyz").await;
        match expected {
            None => assert!(status(&answer) == "200" && answer.ends_with("\r\n\r\nready\n"), "{answer}"),
            Some(why) => {
                assert_eq!(status(&answer), "503", "{answer}");
                assert!(answer.ends_with(&format!("not ready: {why}\n")), "{answer}");
            }
        }
        assert_eq!(status(&ask(admin.address, "GET", "/livez").await), "200");
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let admin = start(Readiness::Ready).await;
    admin.metrics.request_answered(200);
    let answer = ask(admin.address, "GET", "/metrics").await;
    assert_eq!(status(&answer), "200");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(answer.contains("crossfade_proxy_requests_total{class=\"2xx\"} 1\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n"));
}

#[tokio::test]
async fn only_three_paths_and_two_methods_are_known() {
    let admin = start(Readiness::Ready).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let head = ask(admin.address, "HEAD", path).await;
        assert!(status(&head) == "200" && head.ends_with("\r\n\r\n"), "{head}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            assert_eq!(status(&ask(admin.address, method, path).await), "405", "{method} {path}");
        }
    }
    for path in ["/", "/api/v1/rollout", "/readyz/", "//readyz", "/LIVEZ"] {
        let answer = ask(admin.address, "GET", path).await;
        assert_eq!(status(&answer), "404", "{path}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn shutdown_ends_idle_connections_too() {
    let mut admin = start(Readiness::Ready).await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    assert_eq!(status(&ask(admin.address, "GET", "/livez").await), "200");
    admin.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), admin.served.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(())))));
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    assert!(TcpStream::connect(admin.address).await.is_err());
}

#[tokio::test]
async fn a_silent_connection_makes_room_for_the_next() {
    let limits = Limits {
        connections: 1,
        head_timeout: Duration::from_millis(200),
        connection_life: Duration::from_mins(5),
    };
    let admin = start_within(limits, Readiness::Ready).await;
    let mut silent = TcpStream::connect(admin.address).await.unwrap();
    silent.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_secs(5), ask(admin.address, "GET", "/livez"));
    assert_eq!(status(&waiting.await.unwrap()), "200");
}

#[tokio::test]
async fn no_connection_lives_for_ever() {
    let limits = Limits {
        connections: 2,
        head_timeout: Duration::from_mins(5),
        connection_life: Duration::from_millis(200),
    };
    let admin = start_within(limits, Readiness::Ready).await;
    let mut kept = TcpStream::connect(admin.address).await.unwrap();
    kept.write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), kept.read_to_string(&mut answer));
    assert!(read.await.is_ok());
    assert_eq!(status(&answer), "200");
}
