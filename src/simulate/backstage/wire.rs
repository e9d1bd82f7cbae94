//! The connection under a request, and bodies that follow a script.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use socket2::Socket;
use tokio::{net::TcpStream, time::Sleep};

/// One connection: who is at the other end, and a second handle on the socket for breaking it on purpose.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Wire {
    peer: SocketAddr,
    socket: Option<Arc<Socket>>,
}

impl Wire {
    /// `None` when the other end is gone already.
    pub(super) fn of(stream: &TcpStream) -> Option<Self> {
        let peer = stream.peer_addr().ok()?;
        let socket = stream.as_fd().try_clone_to_owned().ok().map(|fd| Arc::new(Socket::from(fd)));
        Some(Self { peer, socket })
    }

    pub(in crate::simulate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Ends the connection at once, before anything is answered.
    pub(super) fn hang_up(&self) {
        self.reset_when_closed();
        if let Some(socket) = &self.socket {
            // It may be gone already; that is what is wanted.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// A linger time of zero makes the close send RST instead of FIN.
    fn reset_when_closed(&self) {
        if let Some(socket) = &self.socket {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self { peer: (Ipv4Addr::LOCALHOST, 0).into(), socket: None }
    }
}

/// One step of a body.
#[derive(Debug)]
pub(in crate::simulate) enum Step {
    Chunk(Bytes),
    Wait(Duration),
    /// The connection is broken off here.
    Reset(Option<Wire>),
}

/// A body that is sent step by step.
pub(in crate::simulate) struct Scripted {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Scripted {
    pub(in crate::simulate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waiting: None }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(context));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Chunk(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(time)) => self.waiting = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Reset(wire)) => {
                    wire.inspect(Wire::reset_when_closed);
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
            }
        }
    }
}
