//! An application that writes down what reaches it and answers each complete request with its first line.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::judge::{self, Seen};

/// What it does with a connection once it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Keeps,
    /// Says `Connection: close` and closes.
    SaysClose,
    /// Closes without a word.
    Closes,
}

pub(super) struct Recording {
    pub(super) address: SocketAddr,
    pub(super) manner: Manner,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    requests: Vec<Seen>,
    faults: Vec<String>,
    opened: usize,
    open: usize,
}

impl State {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard());
        self.changed.notify_all();
    }
}

impl Recording {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<State>::default());
        thread::spawn({
            let state = Arc::clone(&state);
            move || {
                for stream in listener.incoming().flatten() {
                    state.change(|heard| {
                        heard.opened += 1;
                        heard.open += 1;
                    });
                    let state = Arc::clone(&state);
                    thread::spawn(move || {
                        attend(&stream, manner, &state);
                        let _ = stream.shutdown(Shutdown::Both);
                        state.change(|heard| heard.open -= 1);
                    });
                }
            }
        });
        Self { address, manner, state }
    }

    /// The complete requests and the faults since the last call.
    pub(super) fn take(&self) -> (Vec<Seen>, Vec<String>) {
        let mut heard = self.state.heard();
        (std::mem::take(&mut heard.requests), std::mem::take(&mut heard.faults))
    }

    pub(super) fn opened(&self) -> usize {
        self.state.heard().opened
    }

    /// Waits until at most `most` connections are open: what else was sent has arrived by then.
    pub(super) fn wait_for_open(&self, most: usize) {
        let busy = |heard: &mut Heard| heard.open > most;
        let (_heard, late) = self
            .state
            .changed
            .wait_timeout_while(self.state.heard(), Duration::from_secs(20), busy)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!late.timed_out(), "upstream connections stay open");
    }
}

fn attend(mut stream: &TcpStream, manner: Manner, state: &State) {
    let mut buffer = [0; 16 * 1024];
    let mut rest = Vec::new();
    let _ = stream.set_nodelay(true);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        rest.extend_from_slice(&buffer[..count]);
        let carried = judge::read(&rest);
        rest.drain(..carried.consumed);
        let answers: String = carried.requests.iter().map(|request| answer(request, manner)).collect();
        let (some, wrong) = (!carried.requests.is_empty(), carried.fault.is_some());
        state.change(|heard| {
            heard.requests.extend(carried.requests);
            heard.faults.extend(carried.fault);
        });
        if stream.write_all(answers.as_bytes()).is_err() || wrong || (some && manner != Manner::Keeps) {
            return;
        }
    }
}

fn answer(request: &Seen, manner: Manner) -> String {
    let close = if manner == Manner::SaysClose { "Connection: close\r\n" } else { "" };
    let length = request.line.len();
    let body = if request.line.starts_with("HEAD ") { "" } else { &request.line };
    format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n{body}")
}
