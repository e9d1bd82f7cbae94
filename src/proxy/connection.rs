//! One client connection: its requests one by one, its time limits, its end.
//!
//! hyper parses; `watch` says how long each phase may take. One timer per connection, moved only when it fires or
//! a nearer limit appears, because moving a timer for every request costs more than the check.

use std::{
    cell::Cell,
    convert::Infallible,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    AnswerBody, BodyError, Core, Handler,
    admit::admit,
    crowd::Place,
    request::{Asking, RequestIds},
    watch::{Watch, Watched},
};
use crate::{config::Limits, pages::Problem, telemetry::Counted};

/// What all connections of one thread share.
pub(super) struct Desk {
    pub(super) core: Core,
    pub(super) gate: Arc<dyn Handler>,
    pub(super) ids: RequestIds,
    pub(super) http: http1::Builder,
    /// Tells every connection that the thread is leaving.
    pub(super) closing: CancellationToken,
    /// Answers now say `Connection: close`. (The token knows, too, but behind a lock.)
    pub(super) leaving: Cell<bool>,
}

/// hyper's settings.
pub(super) fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_header_size(limits.head_bytes);
    // Bounds an unfinished head; what waits to be written is bounded by the watch.
    http.max_buf_size(limits.head_bytes.max(64 * 1024));
    // hyper keeps up to 100 fields without an allocation, and this is its own limit as well.
    if limits.head_fields != 100 {
        http.max_headers(limits.head_fields);
    }
    http
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(desk: Rc<Desk>, stream: S, peer: IpAddr, secure: bool, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Watch::new(&desk.core.public.limits);
    let open = desk.core.metrics.connection_opened();
    converse(&desk, Watched::new(stream, Arc::clone(&watch)), &watch, peer, secure).await;
    drop(open);
    drop(place);
}

async fn converse<S>(desk: &Rc<Desk>, mut stream: Watched<S>, watch: &Arc<Watch>, peer: IpAddr, secure: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tunnel = Rc::new(Cell::new(None));
    loop {
        let Ended::Itself(true) = timed(pin!(stream.wake()), watch, &desk.closing).await else { return };
        let service = service_fn(|request| {
            let (desk, watch, tunnel) = (Rc::clone(desk), Arc::clone(watch), Rc::clone(&tunnel));
            async move {
                let inlet = Inlet { peer, secure, crowded: false };
                let mut answer = respond(&desk, &watch, request, inlet).await;
                tunnel.set(answer.body_mut().body.take_tunnel());
                Ok::<_, Infallible>(answer)
            }
        });
        let mut connection = desk.http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        match timed(Pin::new(&mut connection), watch, &desk.closing).await {
            Ended::Idle => {}
            Ended::TooLate => return,
            Ended::Itself(Err(error)) => return note_refusal(&desk.core, &error, peer),
            Ended::Itself(Ok(())) => {
                if let Some(tunnel) = tunnel.take() {
                    watch.switched();
                    Box::pin(tunnel.run(&desk.closing)).await;
                }
                return;
            }
        }
        let Some(parts) = connection.into_parts() else { return };
        stream = parts.io.into_inner();
        stream.put_back(parts.read_buf);
        watch.parked();
    }
}

/// Where a request came in.
#[derive(Clone, Copy)]
pub(super) struct Inlet {
    pub(super) peer: IpAddr,
    pub(super) secure: bool,
    /// Whether this client has too much under way already.
    pub(super) crowded: bool,
}

/// How a wait ended.
pub(super) enum Ended<T> {
    Itself(T),
    /// A limit was passed.
    TooLate,
    /// Nothing has happened for a while.
    Idle,
}

/// Drives a connection within its limits.
pub(super) async fn timed<T>(
    mut connection: Pin<&mut impl Future<Output = T>>,
    watch: &Watch,
    closing: &CancellationToken,
) -> Ended<T> {
    let mut closing = pin!(closing.cancelled());
    let mut told = false;
    let mut armed = watch.due();
    let mut timer = pin!(sleep(armed.remaining()));
    std::future::poll_fn(|cx| {
        if !told && closing.as_mut().poll(cx).is_ready() {
            told = true;
            watch.leave();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Ended::Itself(ended));
        }
        let due = watch.due();
        if due < armed {
            armed = due;
            timer.set(sleep(armed.remaining()));
        }
        while timer.as_mut().poll(cx).is_ready() {
            armed = watch.due();
            if watch.may_park() {
                return Poll::Ready(Ended::Idle);
            }
            if armed.has_passed() {
                return Poll::Ready(Ended::TooLate);
            }
            timer.set(sleep(armed.remaining()));
        }
        Poll::Pending
    })
    .await
}

/// hyper answers what it cannot parse by itself; it is counted and logged like our own refusals.
fn note_refusal(core: &Core, error: &hyper::Error, peer: IpAddr) {
    if !error.is_parse() {
        return;
    }
    let problem = if error.is_parse_too_large() { Problem::HeadTooLarge } else { Problem::BadRequest };
    core.metrics.request_refused(problem.as_str());
    core.audit.request_refused(problem.as_str(), None, peer);
}

/// One request to its answer. A panic harms no other request (REL-33).
pub(super) async fn respond(
    desk: &Desk,
    watch: &Arc<Watch>,
    request: Request<Incoming>,
    inlet: Inlet,
) -> Response<ServedBody> {
    let Inlet { peer, secure, crowded } = inlet;
    let core = &desk.core;
    let id = desk.ids.next();
    let asking = Asking::of(request.headers(), id, peer);
    watch.busy(request.body());
    let (counted, many) = core.metrics.request_begun();
    let under_way = UnderWay { watch: Arc::clone(watch), _counted: counted };
    // hyper keeps the room of one `respond` for as long as a connection lives, and most connections are idle: what is
    // large is in the handler's own box.
    let answer = caught(pin!(async {
        let public = &core.public;
        if crowded || many > public.limits.in_flight {
            return core.refuse(Problem::Overloaded, &asking);
        }
        match admit(request, peer, secure, id, public, &core.rules) {
            Ok(accepted) => Arc::clone(&desk.gate).handle(core, accepted).await,
            Err(problem) => core.refuse(problem, &asking),
        }
    }))
    .await;
    let mut answer = answer.unwrap_or_else(|| {
        core.metrics.request_panicked();
        tracing::error!(request.id = id.as_str(), "the handling of a request panicked");
        core.refuse(Problem::Internal, &asking)
    });
    core.metrics.request_answered(answer.status().as_u16());
    if desk.leaving.get() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|body| ServedBody { body, under_way })
}

/// Runs to the end or to a panic (`None`). What the future owned is dropped; what it shares are metrics and a pool
/// that only ever holds whole connections.
async fn caught<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A request counts as under way until its answer was read or given up.
#[derive(Debug)]
struct UnderWay {
    watch: Arc<Watch>,
    _counted: Counted,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.watch.idle();
    }
}

/// An answer's body on its way to the client.
pub(super) struct ServedBody {
    body: AnswerBody,
    under_way: UnderWay,
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.under_way.watch.holds_back(cx) {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.under_way.watch.handed_over(frame.data_ref().map_or(0, Bytes::len));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_future_only() {
        assert_eq!(caught(pin!(async { 1 })).await, Some(1));
        let mut broken = pin!(async {
            tokio::task::yield_now().await;
            let empty: [u8; 0] = [];
            empty.first().copied().unwrap()
        });
        assert_eq!(caught(broken.as_mut()).await, None);
    }
}
