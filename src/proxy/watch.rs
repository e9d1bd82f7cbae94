//! How long each phase of a client connection may take, and the stream that tells.
//!
//! hyper knows one limit for a head, counted from the end of the last answer; people keep idle connections longer
//! than a head may take. So the stream itself notes when a head begins and when nobody reads what is written.
//!
//! hyper also keeps some 16 KiB of buffers per connection. A connection that stays idle is therefore *parked*: hyper is
//! taken off it, and put on again when the client has asked for something.

mod stream;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::body::{Body as _, Incoming};

use self::stream::LINGER;
pub(super) use self::stream::Watched;
use crate::{clock::Deadline, config::Limits};

/// How long an idle connection stays when we leave: a request may already be on its way, and closing at once would
/// throw it away (REL-32).
const LAST_CALL: Duration = Duration::from_secs(1);

/// REL-30 for answers: once a client has been waited for this long, it must have taken them at
/// `SLOWEST_BYTES_PER_SECOND` or more. Who reads faster holds a connection for as long as its answer is large.
const PATIENCE: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: u64 = 200;

/// So much of an answer may wait to be written when a further piece of it is asked for.
const MOST_UNWRITTEN: usize = 16 * 1024;

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
    /// Bytes of answers that were handed over to be written, since hyper's queue was empty.
    unwritten: usize,
    /// Who waits for that.
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
    /// A request is handled, its own limits apply; or the end of its answer is written.
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
                unwritten: 0,
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

    /// Its answer was handed over or given up. The connection is idle once the answer is written, too: until then
    /// what counts is how slowly the client takes it. HTTP/2 counts for itself.
    pub(super) fn idle(&self) {
        let mut state = self.state();
        state.open -= 1;
        if self.many && state.open == 0 && !matches!(state.phase, Phase::Ending | Phase::Switched) {
            self.settle(&mut state);
        }
    }

    fn settle(&self, state: &mut State) {
        state.phase = Phase::Idle;
        state.until = Deadline::within(if state.leaving { LAST_CALL } else { self.idle_timeout });
        state.park_at = (state.bodyless && !self.many).then(|| Deadline::within(PARK_AFTER));
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

    /// A piece of an answer is handed over to be written.
    pub(super) fn handed_over(&self, bytes: usize) {
        self.state().unwritten += bytes;
    }

    /// Whether the next piece has to wait until the client took the last one. hyper asks for more until its queue is
    /// full; so much for each client that reads slowly would fill the memory (REL-31). HTTP/2 counts for itself.
    pub(super) fn holds_back(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let holds = !self.many && state.unwritten >= MOST_UNWRITTEN;
        if holds {
            state.held_back = Some(cx.waker().clone());
        }
        holds
    }

    /// hyper's queue is empty, and the stream below is (`Ready`) or is not. An encrypted one may hold more than a piece:
    /// the next one does not wait for that, so that a client who takes nothing is noticed when the stream is full.
    fn flushed(&self, result: &Poll<io::Result<()>>) {
        let mut state = self.state();
        state.unwritten = 0;
        if let Some(held_back) = state.held_back.take() {
            held_back.wake();
        }
        if state.phase != Phase::Busy || state.open > 0 {
            return;
        }
        if result.is_pending() {
            state.stalled_until.get_or_insert_with(|| Deadline::within(self.idle_timeout));
        } else {
            state.stalled_until.take_if(|until| !until.has_passed());
            self.settle(&mut state);
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match result {
            Poll::Ready(result) => {
                let stalled = state.stalled_until.take();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_further_piece_waits_until_the_last_one_was_written() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let watch = Watch::new(&Limits::default());
        assert!(!watch.holds_back(&cx));
        watch.handed_over(MOST_UNWRITTEN - 1);
        assert!(!watch.holds_back(&cx), "little may be gathered, so that it is one write");
        watch.handed_over(1);
        assert!(watch.holds_back(&cx));
        watch.wrote(&Poll::Pending);
        assert!(watch.holds_back(&cx));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        watch.flushed(&Poll::Pending);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(!watch.holds_back(&cx));
        let many = Watch::of_many(&Limits::default());
        many.handed_over(10 * MOST_UNWRITTEN);
        assert!(!many.holds_back(&cx));
    }

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
