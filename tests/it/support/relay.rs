//! A relay before a real part, which can be told to spoil what goes through it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
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
    order: Mutex<Order>,
    changed: Condvar,
    /// The callers' sides of the open connections.
    open: Mutex<Vec<TcpStream>>,
}

/// What is done, and to whom.
struct Order {
    manner: Manner,
    /// Callers from elsewhere notice nothing.
    only: Option<Ipv4Addr>,
}

impl Order {
    fn of(&self, caller: IpAddr) -> &Manner {
        match self.only {
            Some(only) if caller != only => &Manner::Passes,
            _ => &self.manner,
        }
    }
}

impl Relay {
    pub(crate) fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            order: Mutex::new(Order { manner: Manner::Passes, only: None }),
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
        self.obey(Order { manner, only: None });
    }

    /// The same, to whoever calls from this address.
    pub(crate) fn behave_to(&self, only: Ipv4Addr, manner: Manner) {
        self.obey(Order { manner, only: Some(only) });
    }

    fn obey(&self, order: Order) {
        *self.shared.order.lock().unwrap() = order;
        self.shared.changed.notify_all();
        let ended = |near: &TcpStream| {
            let caller = near.peer_addr().map(|address| self.shared.manner(address.ip()));
            caller.is_ok_and(|manner| matches!(manner, Manner::Refuses | Manner::Says(_)))
        };
        let mut open = self.shared.open.lock().unwrap();
        open.extract_if(.., |near| ended(near)).for_each(|near| reset(&near));
    }
}

impl Shared {
    fn manner(&self, caller: IpAddr) -> Manner {
        self.order.lock().unwrap().of(caller).clone()
    }

    /// Waits for as long as this is done to a caller.
    fn wait_while(&self, caller: IpAddr, manner: &Manner) {
        let order = self.order.lock().unwrap();
        drop(self.changed.wait_while(order, |order| order.of(caller) == manner).unwrap());
    }

    fn welcome(self: &Arc<Self>, mut near: TcpStream, behind: SocketAddr) {
        let Ok(caller) = near.peer_addr().map(|address| address.ip()) else { return };
        match self.manner(caller) {
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
        thread::spawn(move || all.pass_on(from, to, caller));
        let all = Arc::clone(self);
        thread::spawn(move || all.answer(far, near, caller));
    }

    /// Answers go on as the manner has it.
    fn answer(&self, mut far: TcpStream, mut near: TcpStream, caller: IpAddr) {
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = far.read(&mut piece) {
            self.hold(caller);
            match self.manner(caller) {
                Manner::Passes | Manner::Silent | Manner::Slow(_) => {}
                Manner::Stalls => {
                    self.wait_while(caller, &Manner::Stalls);
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
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, caller: IpAddr) {
        let mut piece = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            self.hold(caller);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits for as long as a piece is to wait.
    fn hold(&self, caller: IpAddr) {
        if let Manner::Slow(by) = self.manner(caller) {
            thread::park_timeout(by);
        }
        self.wait_while(caller, &Manner::Silent);
    }
}

/// Ends a connection without an orderly goodbye.
fn reset(near: &TcpStream) {
    let _ = SockRef::from(near).set_linger(Some(Duration::ZERO));
    let _ = near.shutdown(Shutdown::Both);
}
