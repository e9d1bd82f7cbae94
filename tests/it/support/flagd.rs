//! A stand-in for flagd: evaluates flags by the remote evaluation protocol (OFREP), and misbehaves on demand.
//!
//! From the protocol's `service/openapi.yaml` (github.com/open-feature/protocol): path
//! `/ofrep/v1/evaluate/flags/{key}`, schemas `evaluationRequest`, `serverEvaluationSuccess`, `evaluationFailure`,
//! `flagNotFound`, security scheme `BearerAuth`. Error codes of disabled flags as flagd gives them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::ports;

/// The token that every request has to bear.
pub(crate) const TOKEN: &str = "canary-flagd-token-2Vb6Nm9Kx4Qs7Wd1";

/// How it answers.
#[derive(Clone)]
pub(crate) enum Manner {
    /// As the protocol says.
    ByTheProtocol,
    /// Always with this status and body.
    Always(u16, &'static str),
    /// Takes requests and says nothing.
    Silent,
}

#[derive(Clone)]
struct World {
    flags: BTreeMap<String, Value>,
    disabled: Vec<String>,
    manner: Manner,
    asked: usize,
    /// Requests that are none of the protocol.
    strange: Vec<String>,
}

/// A running stand-in.
pub(crate) struct Flagd {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Flagd {
    pub(crate) fn start(flags: &[(&str, Value)]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let manner = Manner::ByTheProtocol;
        let world = World { flags, disabled: Vec::new(), manner, asked: 0, strange: Vec::new() };
        let mut server = Self { address, world: Arc::new(Mutex::new(world)), running: None };
        server.come_back();
        server
    }

    pub(crate) fn set(&self, name: &str, value: Value) {
        self.world.lock().unwrap().flags.insert(name.to_owned(), value);
    }

    pub(crate) fn remove(&self, name: &str) {
        self.world.lock().unwrap().flags.remove(name);
    }

    pub(crate) fn disable(&self, name: &str) {
        self.world.lock().unwrap().disabled.push(name.to_owned());
    }

    /// How often a flag was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.world.lock().unwrap().asked
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.world.lock().unwrap().manner = manner;
    }

    /// Connections are refused from now on.
    pub(crate) fn go_away(&mut self) {
        let Some((gone, thread)) = self.running.take() else { return };
        gone.store(true, Ordering::SeqCst);
        // Wakes it; it may also be awake and gone already.
        drop(TcpStream::connect(self.address));
        thread.join().unwrap();
    }

    pub(crate) fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let (world, gone) = (Arc::clone(&self.world), Arc::new(AtomicBool::new(false)));
        let stops = Arc::clone(&gone);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stops.load(Ordering::SeqCst) {
                    break;
                }
                let world = Arc::clone(&world);
                thread::spawn(move || attend(&stream, &world));
            }
        });
        self.running = Some((gone, thread));
    }
}

impl Drop for Flagd {
    fn drop(&mut self) {
        self.go_away();
        if !thread::panicking() {
            let strange = &self.world.lock().unwrap().strange;
            assert!(strange.is_empty(), "not of the protocol: {strange:#?}");
        }
    }
}

/// Answers one request and closes.
fn attend(mut stream: &TcpStream, world: &Mutex<World>) {
    let Some((head, body)) = request(stream) else { return };
    let (status, answer) = {
        let mut world = world.lock().unwrap();
        world.asked += 1;
        match world.manner.clone() {
            Manner::Silent => {
                drop(world);
                // Longer than anybody waits.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = stream.read(&mut [0]);
                return;
            }
            Manner::Always(status, body) => (status, body.to_owned()),
            Manner::ByTheProtocol => match evaluated(&head, &body, &world) {
                Ok((status, answer)) => (status, answer.to_string()),
                Err(why) => {
                    world.strange.push(format!("{why}: {head}{body}"));
                    (500, json!({ "errorDetails": why }).to_string())
                }
            },
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{answer}",
        answer.len()
    );
    // Who asked may be gone.
    let _ = stream.write_all(answer.as_bytes());
}

fn evaluated(head: &str, body: &str, world: &World) -> Result<(u16, Value), &'static str> {
    let first = head.lines().next().unwrap_or_default();
    let key = first
        .strip_prefix("POST /ofrep/v1/evaluate/flags/")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
        .filter(|key| !key.is_empty() && !key.contains('/'))
        .ok_or("another request line")?;
    let field = |name: &str| {
        head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    if field("content-type").is_none_or(|(_, kind)| kind != "application/json") {
        return Err("no JSON");
    }
    if field("authorization").is_none_or(|(_, token)| token != format!("Bearer {TOKEN}")) {
        return Err("another token");
    }
    let request: Value = serde_json::from_str(body).map_err(|_| "no JSON")?;
    if !request["context"]["targetingKey"].is_string() {
        return Err("no context");
    }
    if world.disabled.iter().any(|name| name == key) {
        return Ok((400, json!({ "key": key, "errorCode": "FLAG_DISABLED", "errorDetails": "disabled" })));
    }
    let Some(value) = world.flags.get(key) else {
        return Ok((404, json!({ "key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": "no flag" })));
    };
    Ok((200, json!({ "key": key, "value": value, "reason": "STATIC", "variant": "only", "metadata": {} })))
}

/// The head and the body of a request.
fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head.push_str(line.trim_end());
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}
