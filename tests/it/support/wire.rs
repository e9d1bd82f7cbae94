//! Clients at the level of sockets: one connection, kept open, any number of requests; from any loopback address.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::wait::PATIENCE;

/// A connection that speaks HTTP/1.1.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// An answer's status, its head in lower case, its body.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Told {
    /// The value of the line `name: …` in what the application was asked.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close")
    }
}

/// Connects from a loopback address; `receive` is the size of the receive buffer where it matters.
pub(crate) fn connect_from(from: Ipv4Addr, to: SocketAddr, receive: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    if let Some(size) = receive {
        socket.set_recv_buffer_size(size)?;
    }
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// One request and its answer; an error when the connection ends before it.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Told> {
        self.send(request)?;
        self.told()
    }

    pub(crate) fn send(&mut self, request: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(request.as_ref())
    }

    /// The next final answer; its length must be announced.
    pub(crate) fn told(&mut self) -> io::Result<Told> {
        loop {
            let end = loop {
                if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                self.more()?;
            };
            let head: Vec<u8> = self.read.drain(..end).collect();
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
            if status < 200 {
                continue;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.ok_or(io::ErrorKind::InvalidData)?;
            while self.read.len() < length {
                self.more()?;
            }
            let body: Vec<u8> = self.read.drain(..length).collect();
            return Ok(Told { status, head, body: String::from_utf8_lossy(&body).into_owned() });
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

/// The 50th and 99th percentile of a request's time, over `clients` connections with `each` requests.
pub(crate) fn percentiles(address: SocketAddr, request: &str, clients: usize, each: usize) -> [Duration; 2] {
    let run = || {
        let mut wire = Wire::to(address);
        let mut times = Vec::with_capacity(each);
        for _ in 0..each {
            let begun = now();
            let told = wire.ask(request).expect("a good client is answered");
            times.push(now().duration_since(begun));
            assert_eq!(told.status, 200);
            std::thread::park_timeout(Duration::from_millis(2));
        }
        times
    };
    let mut all: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    [all[all.len() / 2], all[all.len() * 99 / 100]]
}

#[expect(clippy::disallowed_methods, reason = "the tests' own stopwatch")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
