//! An address behind which nobody is any more: whoever stands before it (an ingress, a router, a framework) answers 404 to
//! everything, and must not be taken for the endpoint.

use http::StatusCode;

use super::*;
use crate::{
    findings::{Level, Notes},
    legacy::probe::Probe as _,
};

/// A server that says the same to everything.
#[expect(clippy::disallowed_methods, reason = "a test's own server")]
async fn saying(status: u16, body: &'static str) -> Service {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let status = StatusCode::from_u16(status).unwrap();
    let router = axum::Router::new().fallback(move || async move { (status, body) });
    tokio::spawn(
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                let _ = stopped.await;
            })
            .into_future(),
    );
    let mut source = source(SourceKind::Upstream);
    source.timeout = Duration::from_secs(2);
    let store = Endpoint::new(&source, &settings(address), &unwatched()).unwrap();
    Service { store, address, _stop: stop }
}

#[tokio::test]
async fn whoever_answers_in_its_place_says_nothing_of_anybody() {
    // ingress-nginx; Go and Traefik; Koa and Starlette; a firewall.
    for (status, body) in [
        (404, "default backend - 404"),
        (404, "404 page not found\n"),
        (404, "Not Found"),
        (410, "this service has moved"),
        (404, "<h1>Not Found</h1>"),
    ] {
        let gone = saying(status, body).await;
        let of_name = gone.store.presence(&name("ann"), soon()).await.unwrap_err();
        let of_id = gone.store.read(&LegacyId::parse("7").unwrap(), soon()).await.unwrap_err();
        let of_email = gone.holders("ann@example.org").await.unwrap_err();
        let of_guess = gone.right().await.unwrap_err();
        let mut only_checked = settings(gone.address);
        only_checked.find = None;
        let store = Endpoint::new(&source(SourceKind::Upstream), &only_checked, &unwatched()).unwrap();
        let of_check = store.verify(&attempt("ann", "wrong"), soon()).await;
        for error in [of_name, of_id, of_email, of_guess] {
            assert_eq!(error.class, TRANSIENT, "{status} {body:?}: {error:?}");
        }
        // 410 is no word about a password here.
        if status == 404 {
            assert_eq!(of_check.unwrap_err().class, TRANSIENT, "{body:?}");
        }
    }
}

/// A word that the endpoint has for it, or nothing at all.
#[tokio::test]
async fn an_endpoint_that_is_there_may_say_nobody_in_its_own_way() {
    for (status, body) in [(404, ""), (404, "{\"error\":\"no such user\"}"), (410, "Gone"), (404, "null")] {
        let there = saying(status, body).await;
        assert_eq!(there.store.presence(&name("ann"), soon()).await.unwrap(), Presence::Nobody, "{body:?}");
        // Nobody with an address is a list without anybody: 404 is what an address says that is not served.
        assert_eq!(there.holders("ann@example.org").await.unwrap_err().class, TRANSIENT, "{body:?}");
    }
}

/// What the doctor says of each look-up, without its last finding: the check is never tried.
async fn doctor(store: &Endpoint) -> Vec<(&'static str, Level)> {
    let (notes, mut told) = Notes::about("");
    store.probe(&notes, &*SystemClock::shared(), soon()).await;
    drop(notes);
    let mut found = Vec::new();
    while let Some(finding) = told.recv().await {
        if finding.place.starts_with("http.find") {
            found.push((finding.check, finding.level));
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_look_tells_an_endpoint_from_an_address_that_says_404_to_everything() {
    let (email, id) = ("find_by_email", "find_by_id");
    let text = saying(404, "default backend - 404").await;
    let unreachable = [("find", Level::Unreachable), (email, Level::Unreachable), (id, Level::Unreachable)];
    assert_eq!(doctor(&text.store).await, unreachable);
    // Nothing in such an answer is wrong, and nothing in it shows an endpoint.
    for body in ["", "{\"error\":\"not_found\",\"at\":1}"] {
        let silent = saying(404, body).await;
        let mut settings = settings(silent.address);
        settings.find_by_email = None;
        let store = Endpoint::new(&source(SourceKind::Upstream), &settings, &unwatched()).unwrap();
        let warned = [("find", Level::Warn), (email, Level::Skipped), (id, Level::Warn)];
        assert_eq!(doctor(&store).await, warned, "{body:?}");
    }
    let there = service(ann(&json!({}))).await;
    assert_eq!(doctor(&there.store).await, [("find", Level::Ok), (email, Level::Ok), (id, Level::Ok)]);
}
