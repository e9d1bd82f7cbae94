//! Sessions in numbers: everybody's end, and the look at those with open connections.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::{
    super::{NOW, a_session, all_removed, import},
    PATIENCE, Server, answers,
};
use crate::{
    config::RedisStore,
    session::{Digest, Session, SessionStore as _},
    store::Redis,
};

/// With twice the time of production: the machine may be busy.
async fn store(server: &Server) -> Redis {
    let settings = RedisStore { timeout: Duration::from_millis(500), ..server.settings() };
    let store = Redis::new(&settings, "one").unwrap();
    answers(&store).await;
    store
}

async fn opened(store: &Redis, number: usize, session: &Session) -> Vec<Digest> {
    let ids: Vec<Digest> = (0..number).map(|number| Digest::of(&format!("session {number}"))).collect();
    let put = |id: Digest| {
        let (store, session) = (store.clone(), session.clone());
        async move { store.put(&id, &session).await.unwrap() }
    };
    stream::iter(ids.clone()).for_each_concurrent(20, put).await;
    ids
}

async fn sent(server: &Server) -> u64 {
    let said: String = server.ask(&["info", "stats"]).await;
    said.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")?.parse().ok()).unwrap()
}

#[tokio::test]
async fn redis_takes_over_what_another_store_held() {
    let server = Server::start();
    let other = RedisStore { prefix: "other:".into(), ..server.settings() };
    let other = Redis::new(&other, "copy").unwrap();
    import::import(&server.store("one").await, &other).await;
}

#[tokio::test]
async fn all_sessions_of_everybody_are_ended_however_many_there_are() {
    let server = Server::start();
    let store = store(&server).await;
    let ids = opened(&store, 1000, &a_session("usr_1", 3600)).await;
    for page in 0..100 {
        let mut words = vec!["zadd".to_owned(), "test:sessions".to_owned()];
        for number in 0..1000 {
            words.extend([
                (page * number).to_string(),
                Digest::of(&format!("{page} {number}")).as_str().to_owned(),
            ]);
        }
        let _: i64 = server.ask(&words).await;
    }
    let mut ended = all_removed(&store).await;
    assert_eq!(ended.len(), ids.len());
    let by_name = |one: &Digest, other: &Digest| one.as_str().cmp(other.as_str());
    let mut ids = ids;
    ids.sort_unstable_by(by_name);
    ended.sort_unstable_by(by_name);
    assert_eq!(ended, ids);
    assert_eq!(store.get(&ids[0]).await.unwrap(), None);
}

#[tokio::test]
async fn sessions_that_ended_before_a_failure_are_told() {
    let mut server = Server::start();
    let store = store(&server).await;
    opened(&store, 1000, &a_session("usr_1", 3600)).await;
    let (mut ended, mut pages) = (0, 0);
    let result = store
        .remove_all(&mut |ids| {
            (ended, pages) = (ended + ids.len(), pages + 1);
            if pages == 3 {
                server.kill();
            }
        })
        .await;
    assert!(result.is_err());
    assert!(pages == 3 && ended >= 3 * 50, "{ended} in {pages}");
}

#[tokio::test]
async fn a_look_at_many_sessions_reads_none_that_lives() {
    const MANY: usize = 10_000;
    let server = Server::start();
    let store = Redis::new(&RedisStore { timeout: PATIENCE, ..server.settings() }, "one").unwrap();
    answers(&store).await;
    // As large as one with tokens.
    let session = Session { tokens: "t".repeat(4000), ..a_session("usr_1", 3600) };
    let ids = opened(&store, MANY, &session).await;
    let before = sent(&server).await;
    assert!(store.ended(ids.clone(), NOW).await.unwrap().is_empty());
    let bytes = sent(&server).await - before;
    println!("figure: a look at {MANY} sessions: {} bytes each", bytes / MANY as u64);
    assert!(bytes < 64 * MANY as u64, "{bytes}");

    // The index is behind, knows nothing, or names one that is gone.
    let [late, unlisted, gone, over] = [&ids[0], &ids[1], &ids[2], &ids[3]];
    let _: i64 = server.ask(&["zadd", "test:sessions", "1", late.as_str()]).await;
    let _: i64 = server.ask(&["zrem", "test:sessions", unlisted.as_str()]).await;
    let _: i64 = server.ask(&["del", &format!("test:session:{{{}}}", gone.as_str())]).await;
    store.put(over, &a_session("usr_2", 1)).await.unwrap();
    let later = NOW.after(Duration::from_secs(1));
    let mut ended = store.ended(ids[..300].to_vec(), later).await.unwrap();
    ended.sort_unstable_by_key(|id| id != gone);
    assert_eq!(ended, [gone.clone(), over.clone()]);
}
