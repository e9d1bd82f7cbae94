//! Calling other people's APIs: one client per dependency, with its own pool, limits and breaker (REL-21).

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Method, RequestBuilder, redirect::Policy};
use url::Url;

use super::{
    Barred, Dependencies, End, Terms, Turnstile, dependencies::CALLS_AT_A_TIME, resolver::Resolver,
    retry_after, waits::LEAST_WAIT,
};
use crate::{clock::Deadline, config::CallRate};

/// The largest answer that is read (REL-30): above it an answer is garbage.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// The longest a connection is kept for the next call; shorter than what load balancers commonly allow (60 s), so
/// that a call is rarely written to a connection that is being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// After a 429 that names no wait: as long as it takes for the answers to other calls under way to come in.
const UNNAMED_PAUSE: Duration = Duration::from_millis(250);

/// How a dependency is called.
#[derive(Clone, Debug)]
pub(crate) struct ApiSettings {
    /// A fixed name for errors: `okta`, `scalekit`.
    pub(crate) name: &'static str,
    /// Which of the dependencies it is, by a fixed or configured name: `legacy crm`, `scalekit`. Clients of one name
    /// share a breaker and a rate.
    pub(crate) dependency: String,
    /// How often it may be called, where that is known.
    pub(crate) rate: Option<CallRate>,
    /// All one call may take, within the caller's deadline.
    pub(crate) timeout: Duration,
    /// REL-30: 1 s.
    pub(crate) connect_timeout: Duration,
}

/// A client for one dependency.
#[derive(Debug)]
pub(crate) struct ApiClient {
    name: &'static str,
    timeout: Duration,
    client: reqwest::Client,
    turnstile: Turnstile,
}

/// An answer, read whole.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Bodies and headers hold tokens and personal data: `Debug` tells the status and the size.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.body.len();
        f.debug_struct("Answer").field("status", &self.status).field("size", &size).finish_non_exhaustive()
    }
}

/// The client cannot be built: no usable trust roots.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare connections to {name}")]
pub(crate) struct ClientError {
    name: &'static str,
    #[source]
    cause: reqwest::Error,
}

/// No usable answer came. Whether the request may have been carried out is the first question of every caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Surely not carried out: no connection, an open breaker, a request that could not be written, no time left.
    #[error("{name}: not sent: {problem}")]
    NotSent {
        name: &'static str,
        problem: &'static str,
        #[source]
        cause: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// Surely not carried out: its rate is used up, or it asked for a pause.
    #[error("{name}: not sent: its rate limit was reached a moment ago")]
    HeldBack { name: &'static str, wait: Duration },
    /// Perhaps carried out: the answer is missing or late.
    #[error("{name}: {problem}")]
    NoAnswer {
        name: &'static str,
        problem: &'static str,
        #[source]
        cause: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// Perhaps carried out: what came as an answer was cut off or is too large.
    #[error("{name}: {problem}")]
    Unreadable {
        name: &'static str,
        problem: &'static str,
        #[source]
        cause: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl CallError {
    /// Whether the other side may have carried the request out.
    pub(crate) fn may_have_happened(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Unreadable { .. })
    }

    /// Whether it was sent, and nothing at all is known of what became of it.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }

    /// What went wrong, as a fixed text.
    pub(crate) fn problem(&self) -> &'static str {
        match self {
            Self::NotSent { problem, .. }
            | Self::NoAnswer { problem, .. }
            | Self::Unreadable { problem, .. } => problem,
            Self::HeldBack { wait, .. } => Barred::HeldBack(*wait).problem(),
        }
    }

    /// When it makes sense to try again, where that is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HeldBack { wait, .. } => Some((*wait).max(LEAST_WAIT)),
            Self::NotSent { .. } | Self::NoAnswer { .. } | Self::Unreadable { .. } => None,
        }
    }
}

impl ApiClient {
    /// A client with connections of its own.
    #[expect(clippy::disallowed_methods, reason = "this is the place that builds outbound clients")]
    pub(crate) fn new(settings: &ApiSettings, dependencies: &Dependencies) -> Result<Self, ClientError> {
        // reqwest takes the process's TLS provider and panics without one; an earlier one stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            // A redirect would carry credentials to an address nobody configured.
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Resolver)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .user_agent(concat!("crossfade/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| ClientError { name: settings.name, cause })?;
        let terms = Terms {
            name: settings.dependency.clone(),
            rate: settings.rate,
            timeout: settings.timeout,
            at_a_time: CALLS_AT_A_TIME,
        };
        let turnstile = Turnstile::new(terms, dependencies);
        Ok(Self { name: settings.name, timeout: settings.timeout, client, turnstile })
    }

    /// Begins a request; nothing is sent before [`ApiClient::send`].
    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends a request once and reads the whole answer, within the lesser of the client's limit and `deadline`.
    ///
    /// Any status is an answer. Never retries what the other side may have seen. A 429 holds back everybody.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        deadline: Deadline,
    ) -> Result<Answer, CallError> {
        let result = self.send_once(request, deadline).await;
        if let Ok(answer) = &result
            && answer.status == StatusCode::TOO_MANY_REQUESTS
        {
            self.turnstile.refused(retry_after(&answer.headers).unwrap_or(UNNAMED_PAUSE)).await;
        }
        result
    }

    /// As [`ApiClient::send`], for a guess at somebody's password. Services limit guesses by account as well as in all
    /// and answer 429 to both: whoever guesses at one account must not be able to hold back everybody else, so here a
    /// 429 is this caller's alone. A 504 is no answer: somebody in between waited for one in vain (RFC 9110 §15.6.5), and
    /// the guess may have been judged.
    pub(crate) async fn send_guess(
        &self,
        request: RequestBuilder,
        deadline: Deadline,
    ) -> Result<Answer, CallError> {
        let answer = self.send_once(request, deadline).await?;
        if answer.status == StatusCode::GATEWAY_TIMEOUT {
            return Err(self.no_answer("a gateway had no answer in time", None));
        }
        Ok(answer)
    }

    async fn send_once(&self, request: RequestBuilder, deadline: Deadline) -> Result<Answer, CallError> {
        // Written first: a request that cannot be written says nothing about the dependency.
        let request = request.build().map_err(|error| self.unwritable(error))?;
        let deadline = deadline.at_most(self.timeout);
        let entry = self.turnstile.enter(deadline).await.map_err(|barred| self.barred(barred))?;
        let result = tokio::time::timeout(deadline.remaining(), self.exchange(request)).await;
        entry.settle(match &result {
            Ok(Ok(answer)) if !answer.status.is_server_error() => End::Answered,
            Ok(_) => End::Failed,
            Err(_) => End::Late,
        });
        result.unwrap_or_else(|_| Err(self.no_answer("no answer in time", None)))
    }

    fn barred(&self, barred: Barred) -> CallError {
        match barred {
            Barred::HeldBack(wait) => CallError::HeldBack { name: self.name, wait },
            Barred::Crowded | Barred::Broken => self.not_sent(barred.problem(), None),
        }
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Answer, CallError> {
        let response = self.client.execute(request).await.map_err(|error| self.classed(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read(response).await?;
        Ok(Answer { status, headers, body })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Bytes, CallError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.unreadable("the answer was cut off", Some(Box::new(error.without_url()))))?
        {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(self.unreadable("the answer is larger than 1 MiB", None));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The URL may hold personal data, so it is dropped.
    fn classed(&self, error: reqwest::Error) -> CallError {
        let error = error.without_url();
        if error.is_connect() {
            self.not_sent("no connection", Some(Box::new(error)))
        } else if error.is_builder() {
            self.unwritable(error)
        } else {
            self.no_answer("the connection broke before an answer", Some(Box::new(error)))
        }
    }

    fn unwritable(&self, error: reqwest::Error) -> CallError {
        self.not_sent("the request cannot be written", Some(Box::new(error.without_url())))
    }

    fn not_sent(&self, problem: &'static str, cause: Option<Box<dyn StdError + Send + Sync>>) -> CallError {
        CallError::NotSent { name: self.name, problem, cause }
    }

    fn no_answer(&self, problem: &'static str, cause: Option<Box<dyn StdError + Send + Sync>>) -> CallError {
        CallError::NoAnswer { name: self.name, problem, cause }
    }

    fn unreadable(&self, problem: &'static str, cause: Option<Box<dyn StdError + Send + Sync>>) -> CallError {
        CallError::Unreadable { name: self.name, problem, cause }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, runtime::Handle};

    use super::*;
    use crate::{clock::SystemClock, net::Tracker};

    fn client(timeout: Duration) -> ApiClient {
        let settings = ApiSettings {
            name: "test",
            dependency: "test".into(),
            rate: None,
            timeout,
            connect_timeout: Duration::from_secs(1),
        };
        ApiClient::new(&settings, &Dependencies::unwatched(SystemClock::shared())).unwrap()
    }

    /// A server that takes connections and never says anything.
    async fn silent() -> (TcpListener, Url) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        (listener, Url::parse(&url).unwrap())
    }

    #[tokio::test]
    async fn calls_under_way_are_bounded_and_the_next_one_is_surely_not_sent() {
        let client = std::sync::Arc::new(client(Duration::from_secs(30)));
        let (_listener, url) = silent().await;
        let tracker = Tracker::new(Handle::current());
        for _ in 0..CALLS_AT_A_TIME {
            let (client, url) = (client.clone(), url.clone());
            drop(tracker.spawn(async move {
                let request = client.request(Method::GET, url);
                client.send(request, Deadline::within(Duration::from_secs(30))).await.is_ok()
            }));
        }
        while client.turnstile.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let request = client.request(Method::GET, url);
        let error = client.send(request, Deadline::within(Duration::from_millis(50))).await.unwrap_err();
        assert!(!error.may_have_happened(), "{error}");
        assert_eq!(error.problem(), "no time left, or too many calls under way");
    }

    #[tokio::test]
    async fn a_silent_server_may_have_done_it_and_an_absent_one_has_not() {
        let client = client(Duration::from_millis(500));
        let (listener, url) = silent().await;
        let deadline = Deadline::within(Duration::from_secs(5));
        let request = client.request(Method::POST, url.clone());
        assert!(client.send(request, deadline).await.unwrap_err().may_have_happened());
        drop(listener);
        let error = client.send(client.request(Method::POST, url), deadline).await.unwrap_err();
        assert!(!error.may_have_happened());
        assert!(!format!("{error} {error:?}").contains("http://"));
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_nothing_about_the_dependency() {
        let client = client(Duration::from_secs(1));
        let (_listener, url) = silent().await;
        for _ in 0..30 {
            let request = client.request(Method::GET, url.clone()).header("bad\nname", "x");
            let error = client.send(request, Deadline::within(Duration::from_secs(1))).await.unwrap_err();
            assert_eq!(error.problem(), "the request cannot be written");
        }
        assert!(client.turnstile.breaker.admit().is_ok());
    }

    #[tokio::test]
    async fn callers_in_a_hurry_say_nothing_about_the_dependency() {
        let (_listener, url) = silent().await;
        let late = async |client: &ApiClient, within: u64| {
            let calls = (0..20).map(|_| {
                let request = client.request(Method::GET, url.clone());
                client.send(request, Deadline::within(Duration::from_millis(within)))
            });
            for result in futures_util::future::join_all(calls).await {
                assert_eq!(result.unwrap_err().problem(), "no answer in time");
            }
        };
        let patient = client(Duration::from_secs(5));
        late(&patient, 200).await;
        assert!(patient.turnstile.breaker.admit().is_ok(), "they had no time to be answered in");
        // Its own limit is what it is judged by, even where the callers had a little less.
        let quick = client(Duration::from_millis(210));
        late(&quick, 200).await;
        assert!(quick.turnstile.breaker.admit().is_err());
    }

    #[tokio::test]
    async fn a_service_that_limits_one_account_holds_back_nobody_else() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (listener, url) = silent().await;
        let tracker = Tracker::new(Handle::current());
        drop(tracker.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _request = stream.read(&mut [0; 4096]).await.unwrap();
                let head =
                    "HTTP/1.1 429 No\r\nConnection: close\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(head.as_bytes()).await);
            }
        }));
        let (client, soon) = (client(Duration::from_secs(5)), || Deadline::within(Duration::from_secs(5)));
        for _ in 0..3 {
            let guess = client.send_guess(client.request(Method::POST, url.clone()), soon()).await;
            assert_eq!(guess.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
        }
        let look_up = client.send(client.request(Method::GET, url.clone()), soon()).await;
        assert_eq!(look_up.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
        let held = client.send(client.request(Method::GET, url), soon()).await;
        assert!(matches!(held, Err(CallError::HeldBack { .. })), "what limits us all is kept");
    }

    /// REL-30, row "dependency answer size": garbage, and nobody knows whether it was done.
    #[tokio::test]
    async fn an_answer_has_at_most_a_mebibyte() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (listener, url) = silent().await;
        let tracker = Tracker::new(Handle::current());
        drop(tracker.spawn(async move {
            for length in [ANSWER_MAX_BYTES, ANSWER_MAX_BYTES + 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _request = stream.read(&mut [0; 4096]).await.unwrap();
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                // The reader may have had enough.
                drop(stream.write_all(&vec![b'x'; length]).await);
            }
        }));
        let client = client(Duration::from_secs(10));
        let ask = || {
            client.send(client.request(Method::GET, url.clone()), Deadline::within(Duration::from_secs(10)))
        };
        assert_eq!(ask().await.unwrap().body.len(), ANSWER_MAX_BYTES);
        let error = ask().await.unwrap_err();
        assert!(error.may_have_happened());
        assert_eq!(error.problem(), "the answer is larger than 1 MiB");
    }
}
