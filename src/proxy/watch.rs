//! How long each phase of a client connection may take, and the stream that tells.
//!
//! hyper knows one limit for a head, counted from the end of the last answer; people keep idle connections longer
//! than a head may take. So the stream itself notes when a head begins and when nobody reads what is written.
//!
//! hyper also keeps some 16 KiB of buffers per connection. A connection that stays idle is therefore *parked*: hyper is
//! taken off it, and put on again when the client speaks.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{clock::Deadline, config::Limits};

/// After the last answer, how much more is read and how long, so that the client gets to see it: closing a socket
/// with unread bytes throws the answer away with them (RFC 9112 §9.6). A client that learns only afterwards that its
/// body was too large has often sent all of it, so this is more than a body may have by default. The narrower bound
/// of SEC-13 (64 KiB, 1 s) is for connections that go on to another request; here nothing is used any more.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How long an idle connection stays when we leave: a request may already be on its way, and closing at once would
/// throw it away (REL-32).
const LAST_CALL: Duration = Duration::from_secs(1);

/// REL-30 for answers: once a client has been waited for this long, it must have taken them at
/// `SLOWEST_BYTES_PER_SECOND` or more. Who reads faster holds a connection for as long as its answer is large.
const PATIENCE: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: u64 = 200;

/// After this long without a request a connection gives its buffers back.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// What a connection is waiting for, and until when. Shared by the stream, the requests and the timer of one
/// connection, all on one thread; the lock is there because hyper hands streams on after an upgrade.
#[derive(Debug)]
pub(super) struct Watch {
    head_timeout: Duration,
    idle_timeout: Duration,
    /// HTTP/2: bytes that come between requests need not be the beginning of one.
    many: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Requests under way.
    open: u32,
    leaving: bool,
    until: Deadline,
    /// When an idle connection may be parked; never while hyper may still be reading a body, because what follows
    /// would be taken for a request.
    park_at: Option<Deadline>,
    bodyless: bool,
    /// The client does not read what we write.
    stalled_until: Option<Deadline>,
    /// Who waits for it to read on.
    held_back: Option<Waker>,
    /// How long this answer has waited for its client, and what the client took after it first did.
    waited: Duration,
    taken_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun.
    Head,
    /// A request is handled; its own limits apply.
    Busy,
    /// The last answer was given; what still comes is thrown away.
    Ending,
    /// No longer HTTP.
    Switched,
}

impl Watch {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Self::with(limits, false)
    }

    /// Of a connection that carries many requests at once. It is idle while it carries none, and never parked.
    pub(super) fn of_many(limits: &Limits) -> Arc<Self> {
        Self::with(limits, true)
    }

    fn with(limits: &Limits, many: bool) -> Arc<Self> {
        // Whoever connects is about to ask.
        let until = Deadline::within(limits.head_timeout);
        Arc::new(Self {
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            many,
            state: Mutex::new(State {
                phase: Phase::Idle,
                open: 0,
                leaving: false,
                until,
                park_at: None,
                bodyless: true,
                stalled_until: None,
                held_back: None,
                waited: Duration::ZERO,
                taken_bytes: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is handled.
    pub(super) fn busy(&self, body: &Incoming) {
        let mut state = self.state();
        state.phase = Phase::Busy;
        state.open += 1;
        state.bodyless = body.is_end_stream();
        (state.waited, state.taken_bytes) = (Duration::ZERO, 0);
        state.park_at = None;
    }

    /// Its answer was read or given up.
    pub(super) fn idle(&self) {
        let mut state = self.state();
        state.open -= 1;
        if state.open == 0 && !matches!(state.phase, Phase::Ending | Phase::Switched) {
            state.phase = Phase::Idle;
            state.until = Deadline::within(if state.leaving { LAST_CALL } else { self.idle_timeout });
            state.park_at = (state.bodyless && !self.many).then(|| Deadline::within(PARK_AFTER));
        }
    }

    /// Whether the connection has been idle for long and nothing waits to be read or written.
    pub(super) fn may_park(&self) -> bool {
        let state = self.state();
        state.phase == Phase::Idle
            && state.stalled_until.is_none()
            && state.park_at.is_some_and(Deadline::has_passed)
    }

    /// It is parked now; it cannot be parked again before its next request.
    pub(super) fn parked(&self) {
        self.state().park_at = None;
    }

    /// From here on the bytes belong to somebody else.
    pub(super) fn switched(&self) {
        self.state().phase = Phase::Switched;
    }

    /// Our side ends. From here on the connection may not be parked: what was taken for a request when it woke would
    /// come after the last answer (SEC-15).
    fn ending(&self) -> Deadline {
        let mut state = self.state();
        state.phase = Phase::Ending;
        state.park_at = None;
        state.until = Deadline::within(LINGER);
        state.until
    }

    /// The thread is leaving: who is silent has little time left.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.leaving = true;
        if state.phase == Phase::Idle {
            state.until = state.until.at_most(LAST_CALL);
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Gives an idle connection that has become too old its last call; `false` when there is no time for one.
    pub(super) fn take_leave(&self) -> bool {
        let mut state = self.state();
        let takes = !state.leaving && state.phase == Phase::Idle && state.stalled_until.is_none();
        if takes {
            state.leaving = true;
            state.until = Deadline::within(LAST_CALL);
        }
        takes
    }

    fn heard(&self) {
        if self.many {
            return;
        }
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.phase = Phase::Head;
            state.until = Deadline::within(self.head_timeout);
        }
    }

    /// Whether the answer should wait, because the client has not taken what it was given. hyper asks for more of it
    /// until its own queue is full; held for each client that reads slowly, that would fill the memory (REL-31).
    pub(super) fn holds_back(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let holds = !self.many && state.stalled_until.is_some();
        if holds {
            state.held_back = Some(cx.waker().clone());
        }
        holds
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match result {
            Poll::Ready(result) => {
                let stalled = state.stalled_until.take();
                if let Some(held_back) = state.held_back.take() {
                    held_back.wake();
                }
                if let Some(until) = stalled {
                    state.waited += self.idle_timeout.saturating_sub(until.remaining());
                }
                if state.waited > Duration::ZERO {
                    state.taken_bytes += result.as_ref().map_or(0, |count| *count as u64);
                }
                if stalled.is_some() && is_too_slow(state.taken_bytes, state.waited) {
                    // The timer finds it at once.
                    state.stalled_until = Some(Deadline::within(Duration::ZERO));
                }
            }
            Poll::Pending => {
                state.stalled_until.get_or_insert_with(|| Deadline::within(self.idle_timeout));
            }
        }
    }

    /// When to look again; the connection is over when that moment has passed.
    pub(super) fn due(&self) -> Deadline {
        let state = self.state();
        let phase = match state.phase {
            Phase::Idle => state.park_at.map_or(state.until, |park| park.min(state.until)),
            Phase::Head | Phase::Ending => state.until,
            Phase::Busy | Phase::Switched => Deadline::within(self.idle_timeout),
        };
        state.stalled_until.map_or(phase, |stalled| stalled.min(phase))
    }

    fn is_switched(&self) -> bool {
        self.state().phase == Phase::Switched
    }
}

fn is_too_slow(taken_bytes: u64, waited: Duration) -> bool {
    waited > PATIENCE && taken_bytes < SLOWEST_BYTES_PER_SECOND * waited.as_secs()
}

/// A client's stream as hyper sees it.
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
    /// Read already, not yet given to hyper.
    ahead: Bytes,
    ending: Option<Ending>,
}

/// Our side has ended; what the client still sends is read and thrown away. The timer that keeps the watch ends the
/// wait for a silent client.
struct Ending {
    until: Deadline,
    left: usize,
    /// Whether the client has been told that nothing follows.
    told: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch, ahead: Bytes::new(), ending: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Takes back what hyper had read but not used.
    pub(super) fn put_back(&mut self, unused: Bytes) {
        self.ahead = unused;
    }

    /// Waits until the client speaks; `false` when it went away instead.
    pub(super) async fn wake(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            // An encrypted stream may hold back the end of the last answer.
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.stream).poll_flush(cx) {
                return Poll::Ready(false);
            }
            if !self.ahead.is_empty() {
                return Poll::Ready(true);
            }
            let mut bytes = [0; 256];
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer));
            self.ahead = Bytes::copy_from_slice(buffer.filled());
            Poll::Ready(read.is_ok() && !self.ahead.is_empty())
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.heard();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.is_switched() {
            return Pin::new(&mut this.stream).poll_shutdown(cx);
        }
        let watch = &this.watch;
        let ending = this.ending.get_or_insert_with(|| Ending {
            until: watch.ending(),
            left: LINGER_BYTES,
            told: false,
        });
        if !ending.told {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            ending.told = true;
        }
        let mut bytes = [0; 16 * 1024];
        // Who never pauses would keep the timer from being looked at.
        while !ending.until.has_passed() {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            // The end, an error, too much: whatever it is, the connection is over.
            if read.is_err() || count == 0 || count > ending.left {
                break;
            }
            ending.left -= count;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_an_answer_in_drops_is_too_slow_after_ten_seconds() {
        for (taken, waited, expected) in [(0, 10, false), (2199, 11, true), (2200, 11, false), (0, 60, true)]
        {
            assert_eq!(is_too_slow(taken, Duration::from_secs(waited)), expected, "{taken} in {waited} s");
        }
        let watch = Watch::new(&Limits { idle_timeout: Duration::from_mins(1), ..Limits::default() });
        let due = |watch: &Watch| watch.due().has_passed();
        watch.wrote(&Poll::Pending);
        watch.state().stalled_until = Some(Deadline::within(Duration::from_secs(40)));
        watch.wrote(&Poll::Ready(Ok(100_000)));
        assert!(!due(&watch), "twenty seconds, and much at once");
        watch.state().stalled_until = Some(Deadline::within(Duration::from_secs(1)));
        watch.state().taken_bytes = 0;
        watch.wrote(&Poll::Ready(Ok(100)));
        assert!(due(&watch), "over a minute, and nearly nothing");
    }
}
