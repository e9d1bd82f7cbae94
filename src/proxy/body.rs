//! The answer's body on its way down.
//!
//! Data flows piece by piece with backpressure; nothing is collected except where a look was asked for. Trailers are
//! read by hyper within its bounds and dropped here (SEC-06).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::{switch::Tunnel, tunnels::Bound, upstream::Lease};
use crate::pages::{Page, Problem};

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

    /// Ends a switched connection with a session. Nothing for any other body.
    pub(super) fn bind(&mut self, session: impl FnOnce() -> Bound) {
        if let Self::Switched(Some(tunnel)) = self {
            tunnel.session = Some(session());
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
                    } else if let Some(lease) = &self.lease {
                        lease.hold();
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
                Poll::Pending => {
                    if let Some(lease) = &self.lease {
                        lease.read_on();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }
}

/// The longest time between two pieces. The timer is made only when there is something to wait for.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Pause {
    pub(super) fn of(limit: Duration) -> Self {
        Self { limit, timer: None, running: false }
    }

    /// A piece came.
    pub(super) fn over(&mut self) {
        self.running = false;
    }

    /// Waits on; whether it has been too long.
    pub(super) fn too_long(&mut self, cx: &mut Context<'_>) -> bool {
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
    use super::*;

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
