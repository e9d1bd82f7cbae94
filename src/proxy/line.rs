//! The stream to the application: what was heard on it, when it may be read, and how it outlives a broken upload.
//!
//! An application may answer before it has read a body, and close (RFC 9112 §9.5). Writing on then fails while the answer
//! waits to be read. hyper would give up at the failed write; so what can no longer be written is dropped here, and the
//! reading side decides: an answer, or the end.
//!
//! hyper reads the next piece of an answer while the last one waits for the client. One such piece for each client that
//! reads slowly would fill the memory (REL-31), so a stream is read on only when somebody asks for more.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of a connection from its bytes alone, and whether more of them may be read.
#[derive(Debug, Default)]
pub(super) struct Signs {
    heard: AtomicBool,
    broken: AtomicBool,
    held: AtomicBool,
    reader: AtomicWaker,
}

impl Signs {
    /// A request is handed over.
    pub(super) fn begin(&self) {
        self.heard.store(false, Relaxed);
    }

    /// Whether anything came from the other side since then.
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Relaxed)
    }

    /// Whether the other side takes nothing any more: such a connection carries no further request.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// Nothing more is read for now: what was read waits for its client.
    pub(super) fn hold(&self) {
        self.held.store(true, Relaxed);
    }

    /// Somebody asks for more, or the answer is over.
    pub(super) fn read_on(&self) {
        if self.held.swap(false, Relaxed) {
            self.reader.wake();
        }
    }

    fn holds(&self, cx: &Context<'_>) -> bool {
        let holds = self.held.load(Relaxed);
        if holds {
            self.reader.register(cx.waker());
        }
        holds
    }
}

/// One connection's stream.
pub(super) struct Line<S> {
    stream: S,
    signs: Arc<Signs>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Signs>) {
        let signs = Arc::new(Signs::default());
        (Self { stream, signs: Arc::clone(&signs) }, signs)
    }

    /// Takes a write that failed because the other side closed for one that went through.
    fn outlive(&self, written: Poll<io::Result<usize>>, size: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if is_closed(&error) => {
                self.signs.broken.store(true, Relaxed);
                Poll::Ready(Ok(size))
            }
            other => other,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.signs.holds(cx) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.signs.heard.store(true, Relaxed);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.signs.is_broken() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.outlive(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size = || pieces.iter().map(|piece| piece.len()).sum();
        if self.signs.is_broken() {
            return Poll::Ready(Ok(size()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        match written {
            Poll::Ready(Err(_)) => self.outlive(written, size()),
            other => other,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.signs.is_broken() {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) if is_closed(&error) => {
                self.signs.broken.store(true, Relaxed);
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
