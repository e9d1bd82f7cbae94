//! Who uses the site while its replicas are restarted: anonymous pages, live sessions, sign-ins, slow uploads, and a
//! `WebSocket`.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::Value;

use crate::{
    replicas::load::{Got, Load},
    support::{
        scene::{PASSWORD, Person, Scene},
        wait::PATIENCE,
        wire::{Wire, now},
    },
};

/// Requests that come at a rate, whether or not those before are answered.
pub(super) struct Guests<'a> {
    pub(super) site: SocketAddr,
    pub(super) rate: u32,
    /// Who is signed in, with their cookies.
    pub(super) living: &'a [Person],
    pub(super) sessions: Vec<String>,
    /// Who signs in for the first time, one after the other.
    pub(super) forms: &'a [Person],
}

/// What came of them.
pub(super) struct Crowd {
    pub(super) sent: usize,
    pub(super) failed: Vec<String>,
    /// How many of the forms were sent.
    pub(super) signed_in: usize,
}

impl Guests<'_> {
    pub(super) async fn come(&self, load: &Load, over: &AtomicBool) -> Crowd {
        let (failed, forms) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        let (mut under_way, mut sent) = (FuturesUnordered::new(), 0);
        let begun = now();
        while !over.load(Ordering::Relaxed) {
            let due = Duration::from_secs(1) * u32::try_from(sent).unwrap() / self.rate;
            let wait = due.saturating_sub(begun.elapsed());
            if wait.is_zero() {
                under_way.push(self.one(sent, load, &forms, &failed));
                sent += 1;
                continue;
            }
            // Who is under way goes on meanwhile.
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
        while under_way.next().await.is_some() {}
        drop(under_way);
        Crowd { sent, failed: failed.into_inner().unwrap(), signed_in: forms.into_inner() }
    }

    async fn one(&self, number: usize, load: &Load, forms: &AtomicUsize, failed: &Mutex<Vec<String>>) {
        let failure = match number % 25 {
            0 => {
                let person = &self.forms[forms.fetch_add(1, Ordering::Relaxed)];
                match load.sign_in(self.site, &person.email).await {
                    Got::HandedOver => None,
                    got => Some(format!("a sign-in: {got:?}")),
                }
            }
            1..8 => self.session(number, load).await,
            _ => self.page(number, load).await,
        };
        if let Some(failure) = failure {
            failed.lock().unwrap().push(failure);
        }
    }

    async fn page(&self, number: usize, load: &Load) -> Option<String> {
        let begun = now();
        let path = format!("/echo?{number}");
        let answer = match load.get(self.site, &path).send().await {
            Ok(answer) if answer.status() == 200 => answer.json::<Value>().await,
            Ok(answer) => return Some(format!("a page: {}", answer.status())),
            Err(error) => Err(error),
        };
        load.counts.add("page", begun.elapsed());
        match answer {
            Ok(echo) if echo["target"] == path.as_str() => None,
            Ok(echo) => Some(format!("another page: {}", echo["target"])),
            Err(error) => Some(format!("a page: {error:?}")),
        }
    }

    async fn session(&self, number: usize, load: &Load) -> Option<String> {
        let begun = now();
        let at = number % self.living.len();
        let request =
            load.get(self.site, "/api/me").header("cookie", format!("crossfade={}", self.sessions[at]));
        let answer = match request.send().await {
            Ok(answer) if answer.status() == 200 => answer.json::<Value>().await,
            Ok(answer) => return Some(format!("a live session: {}", answer.status())),
            Err(error) => Err(error),
        };
        load.counts.add("live session", begun.elapsed());
        match answer {
            Ok(me) if me["email"] == self.living[at].email.as_str() => None,
            Ok(me) => Some(format!("somebody else's session: {}", me["email"])),
            Err(error) => Some(format!("a live session: {error:?}")),
        }
    }
}

/// From the form to the session, step by step; how many.
pub(super) fn whole_sign_ins(scene: &Scene, people: &[Person], over: &AtomicBool) -> usize {
    let mut done = 0;
    for person in people {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let visitor = scene.visitor();
        let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
        assert!(scene.is_handed_over(&handed_over), "{}: {}", handed_over.status, handed_over.text());
        // A person at Scalekit's page: the replica that began this may be gone when they come back.
        thread::park_timeout(Duration::from_millis(150));
        let back = scene.confirm_mailbox(&visitor, &handed_over, &person.email);
        assert_eq!(back.status, 303, "{}", back.text());
        let home = visitor.get("/");
        assert!(home.text().contains(&person.email), "{}: {}", home.status, home.text());
        done += 1;
    }
    done
}

/// Bodies that take two seconds; how many arrived whole.
pub(super) fn slow_uploads(site: SocketAddr, over: &AtomicBool) -> usize {
    const PIECES: usize = 40;
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        let mut wire = Wire::to(site);
        let length = PIECES * 1000;
        wire.send(format!("POST /upload HTTP/1.1\r\nHost: {site}\r\nContent-Length: {length}\r\n\r\n"))
            .unwrap();
        for _ in 0..PIECES {
            wire.send("u".repeat(1000)).unwrap();
            thread::park_timeout(Duration::from_millis(50));
        }
        let told = wire.told().expect("a slow upload is answered");
        assert_eq!(told.status, 200, "{}", told.body);
        let echo: Value = serde_json::from_str(&told.body).unwrap();
        assert_eq!(echo["body"]["length_bytes"], length);
        done += 1;
    }
    done
}

/// What became of `WebSockets`.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) echoes: usize,
    /// Ended by a Close frame that says "going away".
    pub(super) told: usize,
    pub(super) cut: usize,
}

/// Keeps one `WebSocket` open and in use; one that ends is opened anew.
pub(super) fn web_sockets(site: SocketAddr, over: &AtomicBool) -> Sockets {
    let mut sockets = Sockets::default();
    while !over.load(Ordering::Relaxed) {
        let mut socket = open(site);
        while !over.load(Ordering::Relaxed) {
            match echo(&mut socket, sockets.echoes) {
                Ok(Frame::Echo) => sockets.echoes += 1,
                Ok(Frame::GoingAway) => {
                    sockets.told += 1;
                    break;
                }
                Err(_) => {
                    sockets.cut += 1;
                    break;
                }
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    }
    sockets
}

enum Frame {
    Echo,
    GoingAway,
}

fn open(site: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(site).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = format!(
        "GET /live HTTP/1.1\r\nHost: {site}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: \
         13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // RFC 6455 §1.3 has the key and its answer as an example.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

/// One message and its echo, or the other side's farewell, which is answered.
fn echo(stream: &mut TcpStream, number: usize) -> io::Result<Frame> {
    let text = format!("message {number:06}");
    // A mask of zeros leaves the bytes as they are.
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    stream.write_all(&frame)?;
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload)?;
    match head[0] {
        0x81 if payload == text.as_bytes() => Ok(Frame::Echo),
        0x88 if payload.starts_with(&[0x03, 0xe9]) => {
            stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])?;
            // Whoever closes first is the other side (RFC 6455 §7.1.1).
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            assert!(rest.is_empty(), "something came after the farewell: {rest:?}");
            Ok(Frame::GoingAway)
        }
        opcode => panic!("neither the echo of {text} nor a farewell: {opcode:#x} {payload:?}"),
    }
}
