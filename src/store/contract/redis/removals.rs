//! Who was removed, in the order of time.

use super::{super::removals, Server};
use crate::{identity::PersonKey, store::Redis};

#[tokio::test]
async fn redis_keeps_the_contract_of_removals() {
    let server = Server::start();
    removals::removals(&server.store("one").await).await;
}

#[tokio::test]
async fn removals_of_a_version_that_knew_no_order_get_one() {
    let server = Server::start();
    let forget = async |store: Redis| {
        let _: i64 = server.ask(&["del", "test:{ledger}:removed:at"]).await;
        store
    };
    let garble = async |_: &Redis, key: &PersonKey| {
        let _: i64 = server.ask(&["hset", &format!("test:{{ledger}}:row:{key}"), "row", "{garbage"]).await;
    };
    removals::from_before(server.store("one").await, forget, garble).await;
}
