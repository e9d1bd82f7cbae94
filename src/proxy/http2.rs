//! One HTTP/2 connection: many requests at once, each of them as if it had come alone over HTTP/1.1.
//!
//! h2 parses and refuses what has no meaning in the protocol (RFC 9113 §8.1.1); [`take_shape`] turns the rest into
//! what the edge checks know. What is bounded here beyond HTTP/1.1: requests that a client takes back, answers that
//! it makes no room for, and requests of one address over all of its connections.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    error::Error,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request,
    header::{CONTENT_LENGTH, COOKIE, Entry, HOST},
    request::Parts,
};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    rt::Executor,
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::spawn_local,
};

use super::{
    BodyError,
    body::Pause,
    connection::{Desk, Ended, Inlet, ServedBody, respond, timed},
    crowd::{Place, StreamPlace},
    watch::{Watch, Watched},
};
use crate::{config::Limits, pages::Problem};

/// How much of one request body may come before it is read, and of all of a connection's together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// How much of one answer may wait for the socket.
const SEND_BUFFER: usize = 32 * 1024;

/// An answer is handed over in pieces of this size: as long as one of them takes, the client must have made room for
/// it. Also what a peer's frames hold without further agreement.
const PIECE: usize = 16 * 1024;

/// Requests that were taken back before anybody saw them, and errors of the client that we had to answer with a
/// reset: beyond these the connection ends (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
const ERROR_RESETS: usize = 100;

/// Requests that a client may take back beyond as many as it let us answer. Each one has cost us a connection to the
/// application; over HTTP/1.1 it would have cost the client one, too. Then we say that we leave, and what is under
/// way may end; who goes on regardless is cut off after as many again.
const TAKEN_BACK: u32 = 100;

/// How long the answer to a ping may take.
const PONG: Duration = Duration::from_secs(20);

/// Serves one connection to its end.
pub(super) async fn serve<S>(desk: Rc<Desk>, stream: S, peer: IpAddr, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Watch::of_many(&desk.core.public.limits);
    let open = desk.core.metrics.connection_opened();
    let stream = Watched::new(stream, Arc::clone(&watch));
    converse(&desk, stream, &watch, peer, &place).await;
    drop(open);
    drop(place);
}

async fn converse<S>(desk: &Rc<Desk>, stream: Watched<S>, watch: &Arc<Watch>, peer: IpAddr, place: &Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &desk.core.public.limits;
    let lanes = Lanes(Rc::new(Shared { pause: limits.idle_timeout, ..Shared::default() }));
    let service = service_fn(|request: Request<Incoming>| {
        let (desk, watch) = (Rc::clone(desk), Arc::clone(watch));
        let (pulse, place) = (lanes.next(), place.stream());
        async move {
            let inlet = Inlet { peer, secure: true, crowded: place.is_none() };
            let answer = respond(&desk, &watch, request, inlet).await;
            Ok::<_, Infallible>(answer.map(|body| PacedBody::new(body, pulse, place)))
        }
    });
    let mut connection = pin!(http(limits, lanes.clone()).serve_connection(TokioIo::new(stream), service));
    let mut told = false;
    let mut conversation = pin!(std::future::poll_fn(|cx| {
        if lanes.0.taken_back_beyond(2 * TAKEN_BACK) {
            return Poll::Ready(Err(None));
        }
        if !told && (watch.is_leaving() || lanes.0.taken_back_beyond(TAKEN_BACK)) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx).map_err(Some)
    }));
    let problem = loop {
        match timed(conversation.as_mut(), watch, &desk.closing).await {
            // The client is told before the connection ends, so that it knows what was not begun.
            Ended::TooLate if watch.take_leave() => {}
            Ended::Idle => {}
            Ended::Itself(Err(None)) => break "http2_resets",
            Ended::Itself(Err(Some(error))) if is_protocol(&error) => break "http2_protocol",
            Ended::TooLate | Ended::Itself(Ok(()) | Err(Some(_))) => return,
        }
    };
    desk.core.metrics.request_refused(problem);
    desk.core.audit.request_refused(problem, None, peer);
}

/// hyper's settings.
fn http(limits: &Limits, lanes: Lanes) -> Builder<Lanes> {
    let mut http = Builder::new(lanes);
    http.max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(PONG);
    http
}

/// Whether the protocol was broken; a connection that merely broke off is nobody's fault.
fn is_protocol(error: &hyper::Error) -> bool {
    !error.source().is_some_and(<dyn Error>::is::<io::Error>)
}

/// From what HTTP/2 says to what HTTP/1.1 would: one host, one line of cookies, a length only where a body is.
pub(super) fn take_shape(parts: &mut Parts, body: &Incoming) -> Result<(), Problem> {
    take_authority(parts)?;
    join_cookies(&mut parts.headers)?;
    // Without this the application would take the next request on its connection for the missing body.
    let is_empty = |length: &HeaderValue| length.as_bytes() == b"0";
    if body.is_end_stream() && !parts.headers.get_all(CONTENT_LENGTH).iter().all(is_empty) {
        return Err(Problem::BadRequest);
    }
    Ok(())
}

/// RFC 9113 §8.3.1: `:authority` is the host. A `Host` beside it must say the same.
fn take_authority(parts: &mut Parts) -> Result<(), Problem> {
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    match parts.headers.get(HOST) {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {}
        Some(_) => return Err(Problem::BadRequest),
        None => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Problem::BadRequest)?;
            parts.headers.insert(HOST, host);
        }
    }
    Ok(())
}

/// RFC 9113 §8.2.3.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Problem> {
    let Entry::Occupied(mut entry) = headers.entry(COOKIE) else { return Ok(()) };
    if entry.iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = entry.iter().map(HeaderValue::as_bytes).collect();
    let whole = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| Problem::BadRequest)?;
    entry.insert(whole);
    Ok(())
}

/// Runs the streams of one connection on its thread.
#[derive(Clone)]
struct Lanes(Rc<Shared>);

#[derive(Default)]
struct Shared {
    /// How long a client may take to make room for a piece of an answer.
    pause: Duration,
    /// Of the request that hyper is about to run.
    next: RefCell<Option<Rc<Pulse>>>,
    answered: Cell<u32>,
    taken_back: Cell<u32>,
}

/// What the task of a stream knows of the answer that it sends.
#[derive(Default)]
struct Pulse {
    pieces: Cell<u64>,
    /// The last piece is on its way to the client; without it nothing is due from the client.
    handed_over: Cell<bool>,
    complete: Cell<bool>,
}

impl Lanes {
    /// The pulse of a new request. hyper calls the service and then runs what it got, one request after the other.
    fn next(&self) -> Rc<Pulse> {
        let pulse = Rc::new(Pulse::default());
        self.0.next.replace(Some(Rc::clone(&pulse)));
        pulse
    }
}

impl Shared {
    fn ended(&self, pulse: &Pulse) {
        let count = if pulse.complete.get() { &self.answered } else { &self.taken_back };
        count.set(count.get().saturating_add(1));
    }

    fn taken_back_beyond(&self, allowed: u32) -> bool {
        self.taken_back.get() > self.answered.get().saturating_add(allowed)
    }
}

impl<F: Future + 'static> Executor<F> for Lanes {
    fn execute(&self, stream: F) {
        let pulse = self.0.next.take().unwrap_or_default();
        let shared = Rc::clone(&self.0);
        // Boxed, so that dropping it resets the stream before it is counted; and here, so that it is moved once.
        let mut stream = Box::pin(stream);
        spawn_local(async move {
            let mut pause = Pause::of(shared.pause);
            let mut pieces = 0;
            std::future::poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !pulse.handed_over.get() || pulse.pieces.get() != pieces {
                    pieces = pulse.pieces.get();
                    pause.over();
                }
                let stalled = pulse.handed_over.get() && pause.too_long(cx);
                if stalled { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            drop(stream);
            shared.ended(&pulse);
        });
    }
}

/// An answer's body in pieces, and how far it is.
struct PacedBody {
    body: ServedBody,
    rest: Bytes,
    pulse: Rc<Pulse>,
    _place: Option<StreamPlace>,
}

impl PacedBody {
    fn new(body: ServedBody, pulse: Rc<Pulse>, place: Option<StreamPlace>) -> Self {
        pulse.complete.set(body.is_end_stream());
        Self { body, rest: Bytes::new(), pulse, _place: place }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let pulse = &this.pulse;
        pulse.handed_over.set(false);
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Poll::Pending => return Poll::Pending,
                // The end, or one that is not the client's fault.
                ended @ Poll::Ready(_) => {
                    pulse.complete.set(true);
                    return ended;
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        pulse.handed_over.set(true);
        pulse.pieces.set(pulse.pieces.get() + 1);
        pulse.complete.set(this.rest.is_empty() && this.body.is_end_stream());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}
