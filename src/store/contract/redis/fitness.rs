//! A Redis that answers and cannot be used: it is named, and told from one that is away.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use super::{PATIENCE, Server};
use crate::{
    config::{RedisAddress, RedisShape, RedisStore},
    store::{Redis, Unreached},
};

async fn connect(settings: &RedisStore) -> Result<(), Unreached> {
    Redis::new(settings, "one").unwrap().connect(PATIENCE).await
}

/// A line to a server on which it says to be of another version.
fn of_another_version(port: u16, real: String, told: String) -> RedisShape {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = RedisAddress { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut answers, mut questions) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut questions, &mut server));
            let (real, told) = (real.clone(), told.clone());
            thread::spawn(move || {
                let mut piece = vec![0; 64 * 1024];
                // An answer to HELLO is short and comes in one piece.
                while let Ok(size @ 1..) = answers.read(&mut piece) {
                    let said = String::from_utf8_lossy(&piece[..size]).replace(&real, &told);
                    if client.write_all(said.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    RedisShape::Single(address)
}

#[tokio::test]
async fn a_version_that_is_too_old_is_named() {
    let server = Server::start();
    drop(server.store("first").await);
    let info: String = server.ask(&["info", "server"]).await;
    let real = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap();
    let (_, rest) = real.split_once('.').unwrap();
    for (major, expected) in [("6", false), ("7", true), ("8", true)] {
        let told = format!("{major}.{rest}");
        let shape = of_another_version(server.port, real.to_owned(), told.clone());
        let connected = connect(&RedisStore { shape, ..server.settings() }).await;
        let Err(unreached) = connected else {
            assert!(expected, "{told}");
            continue;
        };
        assert!(!expected && unreached.is_final, "{told}: {unreached}");
        let said = unreached.to_string();
        assert!(
            said.contains(&format!("Redis {told} runs there")) && said.contains("7.0 or later"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let server = Server::start();
    drop(server.store("first").await);
    let user = |rights: &str| {
        let words = ["acl", "setuser", "default", "reset", "on", "nopass"].map(str::to_owned);
        words.into_iter().chain(rights.split(' ').map(str::to_owned)).collect::<Vec<_>>()
    };
    let operator = ["acl", "setuser", "operator", "on", ">secret", "~*", "+@all"];
    let _: String = server.ask(&operator).await;
    let client = redis::Client::open(format!("redis://operator:secret@127.0.0.1:{}", server.port)).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let all = "~test:* +@read +@write +@connection +@scripting +time -@dangerous";
    for (without, named) in [
        ("+@read ", "+@read"),
        ("+@write ", "+@write"),
        ("+@scripting ", "+@scripting"),
        ("+time ", "+time"),
        ("~test:* ", "~test:*"),
        ("", ""),
    ] {
        let rights = if without.is_empty() { all.to_owned() } else { all.replace(without, "") };
        let () = redis::cmd("ACL").arg(&user(&rights)[1..]).query_async(&mut operator).await.unwrap();
        let connected = connect(&server.settings()).await;
        let Err(unreached) = connected else {
            assert_eq!(named, "", "{rights}");
            continue;
        };
        let said = unreached.to_string();
        assert!(unreached.is_final && said.contains(&format!("lacks {named} (")), "{rights}: {said}");
        assert!(unreached.fix.contains(all.split(" -").next().unwrap()), "{}", unreached.fix);
    }
}

/// Another one may take its place at any moment, so it is waited for.
#[tokio::test]
async fn a_redis_that_takes_no_writes_is_waited_for() {
    let server = Server::start();
    drop(server.store("first").await);
    let replica = [["replicaof", "127.0.0.1", "1"], ["replicaof", "no", "one"]];
    let lonely = [["config", "set", "min-replicas-to-write"]; 2];
    for (what, fix, [on, off], numbers) in [
        ("READONLY", "name the primary", replica, [None, None]),
        ("NOREPLICAS", "keeps Redis from writing", lonely, [Some("1"), Some("0")]),
    ] {
        let words =
            |command: [&'static str; 3], number| command.into_iter().chain(number).collect::<Vec<_>>();
        let _: String = server.ask(&words(on, numbers[0])).await;
        let store = Redis::new(&server.settings(), "one").unwrap();
        let unreached = store.connect(PATIENCE).await.unwrap_err();
        let said = unreached.to_string().to_uppercase();
        assert!(!unreached.is_final && unreached.fix.contains(fix), "{what}: {unreached}, {}", unreached.fix);
        assert!(said.contains(what) || said.contains("READ ONLY"), "{what}: {said}");
        let _: String = server.ask(&words(off, numbers[1])).await;
        store.connect(PATIENCE).await.unwrap();
    }
    assert_eq!(server.ask::<i64>(&["dbsize"]).await, 0, "nothing is left behind");
}
