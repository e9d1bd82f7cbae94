//! Bodies: the answer's on its way down, the request's on its way up, and small ones read whole.
//!
//! Data flows piece by piece with backpressure in both directions; nothing is collected except where a sign-in form
//! must be read. Trailers are read by hyper within its bounds and dropped here (SEC-06).

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::{switch::Tunnel, upstream::Lease};
use crate::{
    clock::Deadline,
    pages::{Page, Problem},
};

/// REL-30: after this long a request body must have come at `SLOWEST_BYTES_PER_SECOND` or more.
const PATIENCE: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: u64 = 200;

/// The body of any answer: the application's as it comes, or one of ours.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    Upstream(UpstreamBody),
    Whole(Full<Bytes>),
    /// No body: the connection goes on as something else.
    Switched(Option<Box<Tunnel>>),
    /// The beginning was read for a look; it comes first, the rest follows.
    Looked {
        read: Option<Bytes>,
        rest: UpstreamBody,
    },
}

/// A body streamed from the application; gives the connection back when it was read to its end.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    lease: Option<Lease>,
    pause: Pause,
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("the body came too slowly")]
    Slow,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// Why a small body could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the request body could not be read")]
pub(crate) struct ReadError(#[from] BodyError);

impl ReadError {
    /// What the client is told.
    pub(crate) fn problem(&self) -> Problem {
        self.0.problem()
    }
}

impl BodyError {
    /// What the client is told when its own body is at fault.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::TooLarge => Problem::ContentTooLarge,
            Self::Slow => Problem::RequestTimeout,
            Self::Broken(_) => Problem::BadRequest,
        }
    }
}

/// Reads a request body whole: at most `limit` bytes, at most `pause` between two pieces.
pub(crate) async fn read_small(body: Incoming, limit: usize, pause: Duration) -> Result<Bytes, ReadError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(ReadError(BodyError::TooLarge));
    }
    let mut inflow = Inflow::new(body, u64::try_from(limit).unwrap_or(u64::MAX), pause);
    let mut first = None;
    let mut all = BytesMut::new();
    while let Some(piece) = std::future::poll_fn(|cx| inflow.poll_data(cx)).await {
        let piece = piece?;
        // Nearly every form comes in one piece, which then need not be copied.
        match first.take() {
            None if all.is_empty() => first = Some(piece),
            None => all.extend_from_slice(&piece),
            Some(earlier) => {
                all.reserve(announced);
                all.extend_from_slice(&earlier);
                all.extend_from_slice(&piece);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

impl AnswerBody {
    pub(super) fn upstream(incoming: Incoming, lease: Lease, pause: Duration) -> Self {
        if incoming.is_end_stream() {
            lease.finish();
            return Self::empty();
        }
        Self::Upstream(UpstreamBody { incoming, lease: Some(lease), pause: Pause::of(pause) })
    }

    /// No body.
    pub(crate) fn empty() -> Self {
        Self::Whole(Full::default())
    }

    /// Both ends of a switched connection, for the one who joins them.
    pub(super) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        match self {
            Self::Switched(tunnel) => tunnel.take(),
            Self::Upstream(_) | Self::Whole(_) | Self::Looked { .. } => None,
        }
    }

    /// A page of ours as an answer.
    pub(crate) fn page(page: Page) -> Response<Self> {
        page.map(Self::from)
    }

    /// Reads the body whole when it has at most `limit` bytes. `None` when it is larger; the body given back still
    /// delivers everything.
    pub(crate) async fn look(self, limit: usize) -> Result<(Option<Bytes>, Self), BodyError> {
        let mut rest = match self {
            Self::Upstream(body) => body,
            Self::Whole(whole) => {
                let Ok(all) = whole.clone().collect().await;
                let all = all.to_bytes();
                return Ok(((all.len() <= limit).then_some(all), Self::Whole(whole)));
            }
            other @ (Self::Looked { .. } | Self::Switched(_)) => return Ok((None, other)),
        };
        let mut read = BytesMut::new();
        loop {
            match std::future::poll_fn(|cx| rest.poll_data(cx)).await {
                Some(Ok(piece)) => read.extend_from_slice(&piece),
                Some(Err(error)) => return Err(error),
                None => {
                    let all = read.freeze();
                    let body = Self::Whole(Full::new(all.clone()));
                    return Ok(((all.len() <= limit).then_some(all), body));
                }
            }
            if read.len() > limit {
                return Ok((None, Self::Looked { read: Some(read.freeze()), rest }));
            }
        }
    }
}

impl From<Full<Bytes>> for AnswerBody {
    fn from(whole: Full<Bytes>) -> Self {
        Self::Whole(whole)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = match self.get_mut() {
            Self::Upstream(body) => body.poll_data(cx),
            Self::Whole(whole) => {
                return Pin::new(whole).poll_frame(cx).map_err(|never| match never {});
            }
            Self::Switched(_) => return Poll::Ready(None),
            Self::Looked { read, rest } => match read.take() {
                Some(read) => Poll::Ready(Some(Ok(read))),
                None => rest.poll_data(cx),
            },
        };
        data.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body) => body.incoming.is_end_stream(),
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Switched(_) => true,
            Self::Looked { read, rest } => read.is_none() && rest.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body) => body.incoming.size_hint(),
            Self::Whole(whole) => whole.size_hint(),
            Self::Switched(_) => SizeHint::with_exact(0),
            Self::Looked { .. } => SizeHint::default(),
        }
    }
}

impl UpstreamBody {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.pause.over();
                    let Ok(data) = frame.into_data() else { continue };
                    // hyper asks no further once the announced length is there, so the end is seen here.
                    if self.incoming.is_end_stream() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.lease = None;
                    return Poll::Ready(Some(Err(BodyError::Broken(error))));
                }
                Poll::Ready(None) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Poll::Pending if self.pause.too_long(cx) => {
                    self.lease = None;
                    return Poll::Ready(Some(Err(BodyError::Slow)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }
}

/// What is sent to the application.
#[derive(Debug)]
pub(super) enum UploadBody {
    Client { inflow: Box<Inflow>, progress: Rc<Progress> },
    Bytes(Option<Bytes>),
    Empty,
}

/// How far an upload is, seen from the one who waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) pieces: Cell<u64>,
    pub(super) ended: Cell<bool>,
}

impl UploadBody {
    pub(super) fn client(body: Incoming, limit: u64, pause: Duration) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let inflow = Box::new(Inflow::new(body, limit, pause));
        (Self::Client { inflow, progress: Rc::clone(&progress) }, progress)
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Client { inflow, progress } => {
                let data = inflow.poll_data(cx);
                match &data {
                    Poll::Ready(Some(Ok(_))) => progress.pieces.set(progress.pieces.get() + 1),
                    Poll::Ready(_) => progress.ended.set(true),
                    Poll::Pending => {}
                }
                data.map(|data| data.map(|data| data.map(Frame::data)))
            }
            Self::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client { inflow, .. } => inflow.incoming.is_end_stream(),
            Self::Bytes(bytes) => bytes.is_none(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client { inflow, .. } => inflow.incoming.size_hint(),
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

/// A request body with its limits: size, pause, and a lowest rate.
#[derive(Debug)]
pub(super) struct Inflow {
    incoming: Incoming,
    left: u64,
    received: u64,
    pause: Pause,
    /// Time spent waiting for the client; time in which we do not read is not the client's fault.
    waited: Duration,
    waiting_until: Option<Deadline>,
}

impl Inflow {
    fn new(incoming: Incoming, limit: u64, pause: Duration) -> Self {
        Self {
            incoming,
            left: limit,
            received: 0,
            pause: Pause::of(pause),
            waited: Duration::ZERO,
            waiting_until: None,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    return Poll::Ready(Some(self.admit(data)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.pause.too_long(cx) => {
                    return Poll::Ready(Some(Err(BodyError::Slow)));
                }
                Poll::Pending => {
                    self.waiting_until.get_or_insert_with(|| Deadline::within(self.pause.limit));
                    return Poll::Pending;
                }
            }
        }
    }

    fn admit(&mut self, data: Bytes) -> Result<Bytes, BodyError> {
        let size = data.len() as u64;
        self.left = self.left.checked_sub(size).ok_or(BodyError::TooLarge)?;
        self.received += size;
        self.pause.over();
        if let Some(until) = self.waiting_until.take() {
            self.waited += self.pause.limit.saturating_sub(until.remaining());
            if is_too_slow(self.received, self.waited) {
                return Err(BodyError::Slow);
            }
        }
        Ok(data)
    }
}

fn is_too_slow(received: u64, waited: Duration) -> bool {
    waited > PATIENCE && received < SLOWEST_BYTES_PER_SECOND * waited.as_secs()
}

/// The longest time between two pieces. The timer is made only when there is something to wait for.
#[derive(Debug)]
struct Pause {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Pause {
    fn of(limit: Duration) -> Self {
        Self { limit, timer: None, running: false }
    }

    /// A piece came.
    fn over(&mut self) {
        self.running = false;
    }

    /// Waits on; whether it has been too long.
    fn too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| {
            self.running = true;
            Box::pin(tokio::time::sleep(limit))
        });
        if !self.running {
            timer.set(tokio::time::sleep(limit));
            self.running = true;
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Request;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What [`read_small`] makes of a request that arrives in these pieces; the connection stays open.
    async fn read(limit: usize, head: &str, pieces: &[&str]) -> String {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let service = service_fn(move |request: Request<Incoming>| async move {
            let read = read_small(request.into_body(), limit, Duration::from_millis(100)).await;
            let told = match read {
                Ok(bytes) => format!("{bytes:?}"),
                Err(error) => error.problem().as_str().to_owned(),
            };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(told))))
        });
        let server =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let exchange = async move {
            client
                .write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            for piece in pieces {
                tokio::task::yield_now().await;
                client.write_all(piece.as_bytes()).await.unwrap();
            }
            let mut answer = [0; 4096];
            let mut read = 0;
            while !answer[..read].windows(4).any(|window| window == b"\r\n\r\n") {
                read += client.read(&mut answer[read..]).await.unwrap();
            }
            let text = String::from_utf8_lossy(&answer[..read]).into_owned();
            text.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        // The client leaves when it has its answer, and that ends the server.
        let (answer, _ended) = tokio::join!(exchange, server);
        answer
    }

    #[tokio::test]
    async fn a_small_body_is_read_whole_within_its_limit() {
        assert_eq!(read(5, "Content-Length: 5", &["hello"]).await, "b\"hello\"");
        assert_eq!(read(5, "Content-Length: 5", &["h", "el", "lo"]).await, "b\"hello\"");
        assert_eq!(read(5, "Content-Length: 0", &[]).await, "b\"\"");
        let chunked = "Transfer-Encoding: chunked";
        assert_eq!(
            read(5, chunked, &["2\r\nhe\r\n", "3\r\nllo\r\n", "0\r\nX: 1\r\n\r\n"]).await,
            "b\"hello\""
        );
        assert_eq!(read(4, "Content-Length: 5", &[]).await, "content_too_large");
        assert_eq!(read(4, chunked, &["2\r\nhe\r\n", "3\r\nllo\r\n"]).await, "content_too_large");
        assert_eq!(read(5, "Content-Length: 5", &["hell"]).await, "request_timeout");
    }

    #[test]
    fn a_trickle_is_too_slow_after_ten_seconds() {
        for (received, waited, expected) in
            [(1, 10, false), (2199, 11, true), (2200, 11, false), (3000, 20, true)]
        {
            assert_eq!(
                is_too_slow(received, Duration::from_secs(waited)),
                expected,
                "{received} in {waited} s"
            );
        }
    }

    #[tokio::test]
    async fn a_look_takes_nothing_away() {
        let body = || AnswerBody::from(Full::new(Bytes::from_static(b"hello")));
        let (read, rest) = body().look(5).await.unwrap();
        assert_eq!(read.unwrap(), "hello");
        assert_eq!(rest.collect().await.unwrap().to_bytes(), "hello");
        let (read, rest) = body().look(4).await.unwrap();
        assert_eq!(read, None);
        assert_eq!(rest.collect().await.unwrap().to_bytes(), "hello");
    }
}
