//! A relay before a real part, which can be told to spoil what goes through it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use socket2::SockRef;

/// What the relay does with connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Every byte on, both ways.
    Passes,
    /// Every connection ends at once with a reset, the open ones, too.
    Refuses,
    /// Requests go on, answers are held until the manner changes; then their connections end.
    Stalls,
    /// Connections stand, new ones are taken, and no byte arrives until the manner changes: a partition that nobody is
    /// told of.
    Silent,
    /// Each piece waits so long before it goes on.
    Slow(Duration),
    /// Whoever connects is told this and nothing else; open connections end.
    Says(Vec<u8>),
    /// The first half of the next answer, then a reset.
    BreaksOff,
}

/// Where it listens. Its threads end with the connections and with the test process.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Mutex<Manner>,
    changed: Condvar,
    /// The callers' sides of the open connections.
    open: Mutex<Vec<TcpStream>>,
}

impl Relay {
    pub(crate) fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Passes),
            changed: Condvar::new(),
            open: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                all.welcome(near, behind);
            }
        });
        Self { address, shared }
    }

    /// What it does from now on, with connections that are open, too.
    pub(crate) fn behave(&self, manner: Manner) {
        let ends = matches!(manner, Manner::Refuses | Manner::Says(_));
        *self.shared.manner.lock().unwrap() = manner;
        self.shared.changed.notify_all();
        if ends {
            self.shared.open.lock().unwrap().drain(..).for_each(|near| reset(&near));
        }
    }
}

impl Shared {
    fn manner(&self) -> Manner {
        self.manner.lock().unwrap().clone()
    }

    fn welcome(self: &Arc<Self>, mut near: TcpStream, behind: SocketAddr) {
        match self.manner() {
            Manner::Refuses => return reset(&near),
            Manner::Says(words) => {
                let _ = near.write_all(&words);
                let _ = near.shutdown(Shutdown::Write);
                // The caller reads it before the connection is gone.
                let _ = near.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = near.read(&mut [0; 4096]);
                return;
            }
            Manner::Passes | Manner::Stalls | Manner::Silent | Manner::Slow(_) | Manner::BreaksOff => {}
        }
        let Ok(far) = TcpStream::connect(behind) else { return reset(&near) };
        self.open.lock().unwrap().push(near.try_clone().unwrap());
        let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let all = Arc::clone(self);
        thread::spawn(move || all.pass_on(from, to));
        let all = Arc::clone(self);
        thread::spawn(move || all.answer(far, near));
    }

    /// Answers go on as the manner has it.
    fn answer(&self, mut far: TcpStream, mut near: TcpStream) {
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = far.read(&mut piece) {
            self.hold();
            match self.manner() {
                Manner::Passes | Manner::Silent | Manner::Slow(_) => {}
                Manner::Stalls => {
                    let manner = self.manner.lock().unwrap();
                    drop(self.changed.wait_while(manner, |manner| *manner == Manner::Stalls).unwrap());
                    break;
                }
                Manner::BreaksOff => {
                    let _ = near.write_all(&piece[..length / 2]);
                    break;
                }
                Manner::Refuses | Manner::Says(_) => break,
            }
            if near.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        reset(&near);
        let _ = far.shutdown(Shutdown::Both);
    }

    /// Requests go on.
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            self.hold();
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits for as long as a piece is to wait.
    fn hold(&self) {
        if let Manner::Slow(by) = self.manner() {
            thread::park_timeout(by);
        }
        let manner = self.manner.lock().unwrap();
        drop(self.changed.wait_while(manner, |manner| *manner == Manner::Silent).unwrap());
    }
}

/// Ends a connection without an orderly goodbye.
fn reset(near: &TcpStream) {
    let _ = SockRef::from(near).set_linger(Some(Duration::ZERO));
    let _ = near.shutdown(Shutdown::Both);
}
