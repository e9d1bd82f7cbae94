//! A line between two programs that can be cut, go silent or become slow.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Every byte is passed on.
    Whole,
    /// Connections stand, new ones are taken, and no byte arrives: a partition that nobody is told of.
    Silent,
    /// Connections are reset and new ones end at once.
    Cut,
    /// Each piece waits so long before it is passed on.
    Slow(Duration),
}

/// Where it listens. Its threads end with the connections and with the test process.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    line: Arc<Mutex<Line>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub(crate) fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (line, open) = (Arc::new(Mutex::new(Line::Whole)), Arc::new(Mutex::new(Vec::new())));
        let relay = Self { address, line: Arc::clone(&line), open: Arc::clone(&open) };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if *line.lock().unwrap() == Line::Cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(behind) else { continue };
                let ends = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                open.lock().unwrap().extend(ends);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let line = Arc::clone(&line);
                    thread::spawn(move || pass_on(from, to, &line));
                }
            }
        });
        relay
    }

    pub(crate) fn becomes(&self, line: Line) {
        *self.line.lock().unwrap() = line;
        if line == Line::Cut {
            for end in self.open.lock().unwrap().drain(..) {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, line: &Mutex<Line>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let mut waited = Duration::ZERO;
        loop {
            let turn = Duration::from_millis(5);
            let now = *line.lock().unwrap();
            match now {
                Line::Whole | Line::Cut => break,
                Line::Slow(by) if waited >= by => break,
                Line::Slow(_) | Line::Silent => thread::park_timeout(turn),
            }
            waited += turn;
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
