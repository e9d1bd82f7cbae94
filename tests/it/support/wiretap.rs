//! A listener between two programs: passes every byte on and keeps it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

type Spoken = Arc<Mutex<Vec<u8>>>;

/// Where it listens, and what was said through it. Its threads end with the connections and with the test process.
pub(crate) struct Wiretap {
    pub(crate) address: SocketAddr,
    /// One entry for each direction of each connection.
    heard: Arc<Mutex<Vec<Spoken>>>,
}

impl Wiretap {
    pub(crate) fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let all: Arc<Mutex<Vec<Spoken>>> = Arc::clone(&heard);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // What cannot be reached looks to the caller as it would without us: a connection that ends.
                let Ok(far) = TcpStream::connect(behind) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let spoken = Spoken::default();
                    all.lock().unwrap().push(Arc::clone(&spoken));
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || pass_on(from, to, &spoken));
                }
            }
        });
        Self { address, heard }
    }

    /// Whether these bytes went by in one piece of one connection.
    pub(crate) fn heard(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let heard = self.heard.lock().unwrap();
        heard.iter().any(|spoken| spoken.lock().unwrap().windows(bytes.len()).any(|part| part == bytes))
    }

    /// Every text that went by between these two marks.
    pub(crate) fn between(&self, before: &str, after: &str) -> Vec<String> {
        let cut = |part: &str| part.split_once(after).map(|(found, _)| found.to_owned());
        self.parts(before, cut)
    }

    /// Every text of this length that went by after this mark.
    pub(crate) fn after(&self, before: &str, length_bytes: usize) -> Vec<String> {
        self.parts(before, |part| part.get(..length_bytes).map(str::to_owned))
    }

    fn parts(&self, before: &str, cut: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let mut found = Vec::new();
        for spoken in heard.iter() {
            let text = String::from_utf8_lossy(&spoken.lock().unwrap()).into_owned();
            found.extend(text.split(before).skip(1).filter_map(&cut));
        }
        found
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, spoken: &Spoken) {
    let mut piece = [0; 16 * 1024];
    // Either side may end or reset at any time: the other is told by an end.
    while let Ok(length @ 1..) = from.read(&mut piece) {
        spoken.lock().unwrap().extend_from_slice(&piece[..length]);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
