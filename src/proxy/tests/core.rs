//! [`Core::forward`] as the gate uses it: with bodies that were read before, fields and cookies of its own.

use std::{future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use tokio::task::LocalSet;

use super::{
    super::{
        AnswerBody, Client, Core, Extra, Outgoing, OutgoingBody,
        headers::FieldRules,
        upstream::{Target, Upstream},
    },
    support::{self, Application, HOST, has},
};
use crate::{
    pages::{Pages, Problem},
    proxy::failure::ForwardError,
    telemetry::{AddressPolicy, Audit, Metrics},
};

pub(super) fn core(application: SocketAddr) -> Core {
    let public = support::public();
    let rules = FieldRules::new(&public, &support::identity(), &support::cookies(&public)).unwrap();
    let mut upstream = support::upstream(application);
    upstream.body_pause = std::time::Duration::from_millis(200);
    Core {
        upstream: Upstream::new(Target::new(&upstream).unwrap()),
        rules: Arc::new(rules),
        public: Arc::new(public),
        pages: Arc::new(Pages::new("/.crossfade/")),
        metrics: Metrics::new(),
        audit: Audit::new(AddressPolicy::Network),
    }
}

fn outgoing(body: OutgoingBody, extra: Extra, fields: &[(&'static str, &'static str)]) -> Outgoing {
    let mut request = Request::post("/login?next=/").header("host", HOST);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let address = "198.51.100.7".parse().unwrap();
    Outgoing {
        parts: request.body(()).unwrap().into_parts().0,
        body,
        client: Client { address, peer: address, https: true },
        id: support::id(),
        extra,
    }
}

/// Runs on one thread, as the data plane does.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

async fn text(body: AnswerBody) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn a_body_that_was_read_goes_up_with_its_own_length() {
    let application = Application::mirror();
    run(async {
        let core = core(application.address);
        let fields =
            [("expect", "100-continue"), ("content-length", "999"), ("transfer-encoding", "chunked")];
        let body = OutgoingBody::Bytes(Bytes::from_static(b"user=a&password=b"));
        let answer = core.forward(outgoing(body, Extra::default(), &fields)).await.unwrap();
        let seen = text(answer.into_body()).await;
        assert!(seen.starts_with("POST /login?next=/ HTTP/1.1\n"), "{seen}");
        assert!(seen.contains("content-length: 17\n") && seen.ends_with("\n\nuser=a&password=b"), "{seen}");
        assert!(!seen.contains("expect") && !seen.contains("transfer-encoding"), "{seen}");
        let empty = outgoing(OutgoingBody::Empty, Extra::default(), &[("content-length", "5")]);
        let seen = text(core.forward(empty).await.unwrap().into_body()).await;
        assert!(!seen.contains("content-length: 5"), "{seen}");
        let empty = outgoing(OutgoingBody::Bytes(Bytes::new()), Extra::default(), &[]);
        let seen = text(core.forward(empty).await.unwrap().into_body()).await;
        assert!(seen.contains("content-length: 0\n"), "{seen}");
    });
    assert_eq!(application.opened(), 1, "the connection was given back each time");
}

#[test]
fn a_decision_s_fields_replace_whatever_the_client_sent() {
    let application = Application::mirror();
    run(async {
        let core = core(application.address);
        let assertion = HeaderName::from_static("x-crossfade-assertion");
        let extra = Extra {
            set: vec![(assertion, HeaderValue::from_static("signed"))],
            strip_cookies: Some(["legacy_session".to_owned()].into()),
        };
        let fields = [
            ("connection", "x-crossfade-assertion"),
            ("x-crossfade-assertion", "forged"),
            ("cookie", "legacy_session=old; __Host-crossfade=ours; keep=1"),
        ];
        let answer = core.forward(outgoing(OutgoingBody::Empty, extra, &fields)).await.unwrap();
        let seen = text(answer.into_body()).await;
        assert!(seen.contains("x-crossfade-assertion: signed\n"), "{seen}");
        assert!(seen.contains("cookie: keep=1\n"), "{seen}");
        assert!(!seen.contains("forged") && !seen.contains("ours") && !seen.contains("old"), "{seen}");
        assert!(
            seen.contains("x-forwarded-proto: https\n") && seen.contains("x-forwarded-for: 198.51.100.7\n")
        );
    });
}

/// Answers with a chunked JSON body in two pieces.
fn two_pieces() -> Application {
    Application::run(|guest| {
        while guest.request().is_some() {
            guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n");
            std::thread::yield_now();
            guest.send("2\r\n1}\r\n0\r\n\r\n");
        }
    })
}

#[test]
fn a_look_at_a_streamed_answer_takes_nothing_away() {
    let application = two_pieces();
    run(async {
        let core = core(application.address);
        for (limit, seen) in [(7, Some("{\"a\":1}")), (1000, Some("{\"a\":1}")), (6, None), (0, None)] {
            let request = outgoing(OutgoingBody::Empty, Extra::default(), &[]);
            let body = core.forward(request).await.unwrap().into_body();
            let (read, rest) = body.look(limit).await.unwrap();
            assert_eq!(read.as_deref(), seen.map(str::as_bytes), "{limit}");
            assert_eq!(text(rest).await, "{\"a\":1}", "{limit}");
        }
    });
    assert_eq!(application.opened(), 1);
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_never_a_short_body() {
    let cut = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    });
    let stalled = Application::run(|guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
        guest.read_to_end();
    });
    run(async {
        for application in [&cut, &stalled] {
            let core = core(application.address);
            let request = outgoing(OutgoingBody::Empty, Extra::default(), &[]);
            let body = core.forward(request).await.unwrap().into_body();
            let error = ForwardError::Answer(body.look(1000).await.unwrap_err());
            assert_eq!(error.problem(), Problem::BadGateway);
        }
    });
    stalled.wait_for(|events| format!("{events:?}").contains("Closed"));
    assert!(has(&stalled.events(), "POST /login"));
}
