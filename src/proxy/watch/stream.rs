//! A client's stream: gathers a beginning head, tells the watch what happens, and ends as a client can bear.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Watch;
use crate::clock::Deadline;

/// How much of a beginning head is kept here before hyper is put on.
const BEGINNING: usize = 1024;

/// After the last answer, how much more is read and how long, so that the client gets to see it: closing a socket
/// with unread bytes throws the answer away with them (RFC 9112 §9.6). A client that learns only afterwards that its
/// body was too large has often sent all of it, so this is more than a body may have by default. The narrower bound
/// of SEC-13 (64 KiB, 1 s) is for connections that go on to another request; here nothing is used any more.
pub(super) const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// A client's stream as hyper sees it.
pub(in crate::proxy) struct Watched<S> {
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
    pub(in crate::proxy) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch, ahead: Bytes::new(), ending: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    /// Takes back what hyper had read but not used.
    pub(in crate::proxy) fn put_back(&mut self, unused: Bytes) {
        self.ahead = unused;
    }

    /// Waits until the client has asked for something; `false` when it went away instead. A head that comes byte by byte
    /// is gathered here: hyper would keep its buffers meanwhile, and read it from its start each time (REL-31).
    pub(in crate::proxy) async fn wake(&mut self) -> bool {
        let mut begun = BytesMut::new();
        std::future::poll_fn(|cx| {
            // An encrypted stream may hold back the end of the last answer.
            if let Poll::Ready(Err(_)) = Pin::new(&mut self.stream).poll_flush(cx) {
                return Poll::Ready(false);
            }
            if !self.ahead.is_empty() {
                return Poll::Ready(true);
            }
            loop {
                let mut bytes = [0; 2 * BEGINNING];
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = ready!(Pin::new(&mut *self).poll_read(cx, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(false);
                }
                begun.extend_from_slice(buffer.filled());
                if !is_a_beginning(&begun) {
                    self.ahead = begun.split().freeze();
                    return Poll::Ready(true);
                }
            }
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

    /// hyper calls it when nothing is left in its own queue.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch.flushed(&result);
        result
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

/// Whether these bytes can only be the beginning of a head. What looks like anything else is for hyper to judge, at
/// once: its client may be waiting for the answer (SEC-07, SEC-08).
fn is_a_beginning(bytes: &[u8]) -> bool {
    let is_text = |byte: &u8| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\n' | b'\r');
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').map_while(|line| line.strip_suffix(b"\n"));
    bytes.len() < BEGINNING
        && bytes.first().is_some_and(u8::is_ascii_uppercase)
        && bytes.iter().all(is_text)
        && lines.next().is_none_or(is_request_line)
        && lines.all(is_field)
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Not the empty line that ends a head either.
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().position(|byte| *byte == b':').map(|at| &line[..at]);
    name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_become_a_head_is_gathered() {
        let long = format!("GET /{}", "x".repeat(BEGINNING));
        for (bytes, is) in [
            ("G", true),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nX: \t\u{e9}", true),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n\r", true),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", false),
            ("GET / HTTP/1.1\r\n\r\nPOST /", false),
            ("GET / HTTP/1.1\n\n", false),
            ("GET / HTTP/1.1\nHost: a.example\n\r\n", false),
            ("", false),
            ("\r\n", false),
            ("get /", false),
            ("\u{16}\u{3}\u{1}", false),
            ("GET /\0", false),
            ("GET / HTTP/1.0\nA: b", true),
            ("GET / HTTP/1.1\r\nA: b\r\n c", true),
            ("GET / HTTP/1.1\r\nA: b\r\n c: d\r\n", false),
            ("GET / HTTP/1.1\r\nA : b\r\n", false),
            ("GET / HTTP/1.1\r\n: b\r\n", false),
            ("GET / HTTP/1.1\r\nA\r\n", false),
            ("GET /\r\n", false),
            ("SSH-2.0-a\r\n", false),
            (&long, false),
        ] {
            assert_eq!(is_a_beginning(bytes.as_bytes()), is, "{bytes:?}");
        }
    }
}
