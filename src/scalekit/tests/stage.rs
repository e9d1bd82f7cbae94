//! A server on a raw socket, so that it can also do what a proper one cannot: cut, stall, and say half of a thing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use crate::net::Tracker;

/// One request as it came over the wire; nothing is decoded.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(super) fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(super) fn query_pairs(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }
}

/// What the server does with one request.
#[derive(Clone)]
pub(super) enum Reply {
    Answer {
        head: String,
        body: String,
    },
    /// The connection is closed without an answer.
    Close,
    /// The head promises more than comes.
    CutOff,
    /// Nothing ever comes.
    Hang,
}

impl Reply {
    pub(super) fn text(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        let body = body.into();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n"
        );
        Self::Answer { head, body }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub(super) fn header(self, name: &str, value: &str) -> Self {
        match self {
            Self::Answer { head, body } => Self::Answer { head: format!("{head}{name}: {value}\r\n"), body },
            other => other,
        }
    }
}

#[derive(Default)]
struct Script {
    replies: HashMap<(String, String), VecDeque<Reply>>,
    seen: Vec<Seen>,
}

/// The server and its script.
pub(super) struct Stage {
    port: u16,
    script: Arc<Mutex<Script>>,
}

impl Stage {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script::default()));
        let (tracker, played) = (Tracker::new(Handle::current()), script.clone());
        tracker.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(tracker.spawn(play(stream, played.clone())));
            }
        });
        Self { port, script }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets what a route does, in order; the last reply goes on for ever.
    pub(super) fn on(&self, method: &str, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.script.lock().unwrap().replies.insert((method.into(), path.into()), replies);
    }

    /// The requests of one route, so far.
    pub(super) fn seen(&self, method: &str, path: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        script.seen.iter().filter(|seen| seen.method == method && seen.path == path).cloned().collect()
    }

    /// All requests but those for a token.
    pub(super) fn calls(&self) -> Vec<String> {
        let script = self.script.lock().unwrap();
        let calls = script.seen.iter().filter(|seen| seen.path != "/oauth/token");
        calls.map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

async fn play(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    let Some(seen) = request(&mut stream).await else { return };
    let reply = {
        let mut script = script.lock().unwrap();
        let reply = match script.replies.get_mut(&(seen.method.clone(), seen.path.clone())) {
            Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
            Some(replies) => replies.front().unwrap().clone(),
            None => Reply::text(418, "text/plain", "not in the script"),
        };
        script.seen.push(seen);
        reply
    };
    match reply {
        Reply::Answer { head, body } => {
            let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
        }
        Reply::Close => {}
        Reply::CutOff => {
            let head =
                "HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"user\":";
            let _ = stream.write_all(head.as_bytes()).await;
        }
        Reply::Hang => std::future::pending().await,
    }
}

async fn request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Seen {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: header("authorization"),
        content_type: header("content-type"),
        body: String::from_utf8(bytes[head_end..].to_vec()).unwrap(),
    })
}
