//! Crossfade as a plain proxy before the real Django site: many at once, long and large, and on its way out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    django::stage::{Caller, Stage},
    support::{http::block_on, postgres::Postgres, wait},
};

/// The limit of the configuration's default.
const BODY_MAX_BYTES: usize = 10 * 1024 * 1024;
/// What the site's downloads are made of.
const PIECE_BYTES: usize = 64 * 1024;

fn stage() -> Stage {
    Stage::on_postgres(&Postgres::fresh(), |django| django.pbkdf2_iterations(1000))
}

fn sha256(body: &[u8]) -> String {
    digest(&SHA256, body).as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Sends all at once and gives every answer as status and body, in the order of sending.
fn all_at_once(requests: Vec<RequestBuilder>) -> Vec<(u16, Vec<u8>)> {
    block_on(async {
        let mut under_way = JoinSet::new();
        for (number, request) in requests.into_iter().enumerate() {
            under_way.spawn(async move {
                let answer = request.send().await.unwrap();
                (number, answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
            });
        }
        let mut answers = under_way.join_all().await;
        answers.sort();
        answers.into_iter().map(|(_, status, body)| (status, body)).collect()
    })
}

#[test]
fn two_hundred_requests_at_once_each_get_their_own_answer() {
    let stage = stage();
    let caller = stage.visitor();
    let bodies: Vec<Vec<u8>> =
        (0..200_usize).map(|number| number.to_string().repeat(number * 97).into_bytes()).collect();
    let request = |(number, body): (usize, &Vec<u8>)| {
        let path = format!("/echo-headers/?number={number}");
        match number % 2 {
            0 => caller.request(Method::GET, &path),
            _ => caller.request(Method::POST, &path).body(body.clone()),
        }
    };
    let answers = all_at_once(bodies.iter().enumerate().map(request).collect());
    for (number, ((status, answer), sent)) in answers.iter().zip(&bodies).enumerate() {
        let echoed: Value = serde_json::from_slice(answer).unwrap();
        let sent: &[u8] = if number % 2 == 0 { &[] } else { sent };
        assert_eq!(*status, 200);
        assert_eq!(echoed["target"], json!(format!("/echo-headers/?number={number}")));
        assert_eq!(
            (&echoed["body_bytes"], &echoed["body_sha256"]),
            (&json!(sent.len()), &json!(sha256(sent)))
        );
    }
}

#[test]
fn a_download_comes_piece_by_piece() {
    let stage = stage();
    let caller = stage.visitor();
    let whole = block_on(async {
        let mut answer = caller.request(Method::GET, "/download/slow/320/").send().await.unwrap();
        let mut whole = Vec::new();
        while whole.len() < PIECE_BYTES {
            whole.extend(
                answer.chunk().await.unwrap().expect("the first piece comes before the rest is made"),
            );
        }
        assert_eq!(whole.len(), PIECE_BYTES, "the rest waits for its release");
        let release = caller.request(Method::GET, "/release/slow/").send().await.unwrap();
        assert_eq!(release.status(), 200);
        while let Some(piece) = answer.chunk().await.unwrap() {
            whole.extend(piece);
        }
        whole
    });
    assert_eq!(whole.len(), 320 * PIECE_BYTES);
    let direct = stage.direct().get("/download/slow/320/");
    assert_eq!(sha256(&whole), sha256(&direct.body));
}

#[test]
fn an_upload_up_to_the_limit_arrives_whole_and_one_above_it_nowhere() {
    let stage = stage();
    let caller = stage.visitor();
    let send = |length: usize| {
        let body: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let hash = sha256(&body);
        (caller.visitor.send(caller.request(Method::POST, "/echo-headers/").body(body)), hash)
    };
    let (answer, hash) = send(BODY_MAX_BYTES);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["body_sha256"], json!(hash));
    // A client that asks first, as curl does, is told before it sends anything.
    let host = stage.origin.trim_start_matches("http://");
    let head = format!(
        "POST /echo-headers/ HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        BODY_MAX_BYTES + 1
    );
    let mut stream = TcpStream::connect(stage.crossfade.public).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 413 Payload Too Large\r\n");
    assert_eq!(caller.get("/accounts/whoami/").status, 401, "the next request is served");
}

/// RFC 9112 §9.6: whoever closes while the client still sends takes the answer away from it again.
#[test]
fn a_client_that_sends_too_much_at_once_still_reads_why() {
    let stage = stage();
    let caller = stage.visitor();
    for _ in 0..10 {
        let body = vec![b'x'; BODY_MAX_BYTES + 1];
        let answer = caller.visitor.send(caller.request(Method::POST, "/echo-headers/").body(body));
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
}

#[test]
fn a_drain_under_load_fails_no_request_that_had_begun() {
    let mut stage = stage();
    let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let ending = {
        let caller = stage.visitor();
        let mut loads = JoinSet::new();
        let mut downloads = JoinSet::new();
        block_on(async {
            for _ in 0..8 {
                let downloading = caller.request(Method::GET, "/download/drained/64/");
                downloads.spawn(async move {
                    let answer = downloading.send().await.unwrap();
                    answer.bytes().await.unwrap().len()
                });
            }
            for number in 0..6 {
                let request = move |caller: &Caller<'_>| match number % 2 {
                    0 => caller.request(Method::GET, "/accounts/whoami/"),
                    _ => caller.request(Method::POST, "/echo-headers/").body("x".repeat(20_000)),
                };
                let prepared = request(&caller);
                let (answered, failed, stop) =
                    (Arc::clone(&answered), Arc::clone(&failed), Arc::clone(&stop));
                loads.spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        match send_once(prepared.try_clone().unwrap()).await {
                            Sent::Answered => answered.fetch_add(1, Ordering::Relaxed),
                            Sent::NotBegun => return,
                            Sent::Failed => failed.fetch_add(1, Ordering::Relaxed),
                        };
                    }
                });
            }
        });
        wait::until("the load is under way", || (answered.load(Ordering::Relaxed) > 200).then_some(()));
        stage.crossfade.process.signal("TERM");
        wait::until("nothing new is accepted", || {
            TcpStream::connect(stage.crossfade.public).is_err().then_some(())
        });
        // What had begun is still under way: it ends only now.
        assert_eq!(stage.direct().get("/release/drained/").status, 200);
        let lengths = block_on(downloads.join_all());
        assert_eq!(lengths, [64 * PIECE_BYTES; 8]);
        let ending = stage.crossfade.process.wait();
        stop.store(true, Ordering::Relaxed);
        block_on(loads.join_all());
        ending
    };
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {} requests", answered.load(Ordering::Relaxed));
    assert_eq!(ending.code(), Some(0), "{}", stage.crossfade.process.said());
}

enum Sent {
    Answered,
    /// No connection: nothing had begun.
    NotBegun,
    Failed,
}

async fn send_once(request: RequestBuilder) -> Sent {
    match request.send().await {
        Ok(answer) => match answer.bytes().await {
            Ok(_) => Sent::Answered,
            Err(_) => Sent::Failed,
        },
        Err(error) if error.is_connect() => Sent::NotBegun,
        Err(_) => Sent::Failed,
    }
}
