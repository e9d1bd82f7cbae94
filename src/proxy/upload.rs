//! The request's body on its way up, and small ones read whole.
//!
//! Size, pauses and rate are limited piece by piece (REL-30); nothing is collected except where a sign-in form must
//! be read. Trailers are dropped (SEC-06).

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::body::{BodyError, Pause};
use crate::{clock::Deadline, config::Limits, pages::Problem};

/// REL-30: after this long a request body must have come at `SLOWEST_BYTES_PER_SECOND` or more.
const PATIENCE: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: u64 = 200;

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

/// What is sent to the application.
#[derive(Debug)]
pub(super) enum UploadBody {
    Client { inflow: Box<Inflow>, progress: Rc<Progress> },
    Bytes(Option<Bytes>),
    Empty,
}

/// How far an upload is, seen from the one who waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    /// How long the application may take from the last piece on, which it may have waited for.
    patience: Duration,
    due: Cell<Option<Deadline>>,
}

impl Progress {
    /// When the answer is due; `None` before anything moved.
    pub(super) fn due(&self) -> Option<Deadline> {
        self.due.get()
    }

    fn moved(&self) {
        self.due.set(Some(Deadline::within(self.patience)));
    }
}

impl UploadBody {
    /// What a client sends, within `limits`; its answer is due `patience` after the end.
    pub(super) fn client(body: Incoming, limits: &Limits, patience: Duration) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress { patience, due: Cell::new(None) });
        let inflow = Box::new(Inflow::new(body, limits.body_bytes, limits.body_pause));
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
                if data.is_ready() {
                    progress.moved();
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Longer than any piece takes to come, also on a busy machine.
    const PATIENT: Duration = Duration::from_mins(1);

    /// What [`read_small`] makes of a request that arrives in these pieces; the client waits for the end.
    async fn read(limit: usize, pause: Duration, head: &str, pieces: &[&str]) -> String {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let service = service_fn(move |request: Request<Incoming>| async move {
            let read = read_small(request.into_body(), limit, pause).await;
            let told = match read {
                Ok(bytes) => format!("{bytes:?}"),
                Err(error) => error.problem().as_str().to_owned(),
            };
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(told))))
        });
        let server =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let exchange = async move {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            for piece in pieces {
                tokio::task::yield_now().await;
                // The answer may already be there, and then nobody reads any more.
                drop(client.write_all(piece.as_bytes()).await);
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        let (answer, _ended) = tokio::join!(exchange, server);
        answer
    }

    #[tokio::test]
    async fn a_small_body_is_read_whole_within_its_limit() {
        assert_eq!(read(5, PATIENT, "Content-Length: 5", &["hello"]).await, "b\"hello\"");
        assert_eq!(read(5, PATIENT, "Content-Length: 5", &["h", "el", "lo"]).await, "b\"hello\"");
        assert_eq!(read(5, PATIENT, "Content-Length: 0", &[]).await, "b\"\"");
        let chunked = "Transfer-Encoding: chunked";
        assert_eq!(
            read(5, PATIENT, chunked, &["2\r\nhe\r\n", "3\r\nllo\r\n", "0\r\nX: 1\r\n\r\n"]).await,
            "b\"hello\""
        );
        assert_eq!(read(4, PATIENT, "Content-Length: 5", &[]).await, "content_too_large");
        assert_eq!(read(4, PATIENT, chunked, &["2\r\nhe\r\n", "3\r\nllo\r\n"]).await, "content_too_large");
        assert_eq!(
            read(5, Duration::from_millis(50), "Content-Length: 5", &["hell"]).await,
            "request_timeout"
        );
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
}
