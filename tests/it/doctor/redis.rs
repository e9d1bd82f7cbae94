//! A Redis that answers and would lock out whoever crosses: its version, a right that its user lacks, a replica.

use super::{Said, doctor, scene};
use crate::support::{
    crossfade::Crossfade,
    draft::in_place_of_the_file,
    scene::SECRETS,
    shapes::{
        self,
        servers::{self, Node, USER},
    },
};

/// A busy machine takes long to shake hands.
const PATIENCE: [(&str, &str); 2] =
    [("CROSSFADE_STORE__REDIS__CONNECT_TIMEOUT", "10s"), ("CROSSFADE_STORE__REDIS__TIMEOUT", "5s")];

fn look(configuration: &str) -> Said {
    let said = doctor(configuration, &[shapes::SECRETS, PATIENCE].concat());
    assert!(!said.out.contains(servers::PASSWORD), "{}", said.out);
    said
}

fn seen(said: &Said) -> (&str, &str) {
    let finding = said.finding("store");
    (finding["seen"].as_str().unwrap(), finding["fix"].as_str().unwrap_or_default())
}

#[test]
fn a_redis_that_cannot_be_used_is_said_before_anybody_crosses() {
    const FAULT: &[&str] = &["store/store fail store.redis.url"];
    let (scene, redis) = (scene(), servers::single(shapes::program()));
    let configuration = in_place_of_the_file(&shapes::single(&redis), scene.configuration());
    let healthy = |redis: &Node| {
        look(&configuration).assert(&[], 0);
        assert_eq!(redis.ask::<i64>(&["dbsize"]), 0, "nothing is left behind");
    };
    healthy(&redis);
    let environment: Vec<(&str, &str)> = SECRETS.into_iter().chain(shapes::SECRETS).chain(PATIENCE).collect();
    for (right, without) in [("+@write", "-@write"), ("+time", "-time")] {
        let _: String = redis.ask(&["acl", "setuser", USER, without]);
        let said = look(&configuration);
        said.assert(FAULT, 1);
        let (seen, fix) = seen(&said);
        assert!(
            seen.contains(&format!("lacks {right} (")) && fix.contains("+@write +@connection"),
            "{}",
            said.out
        );
        // A start does not wait for what does not come by itself.
        let refusal = Crossfade::refusal(&configuration, &environment);
        assert!(refusal.contains(&format!("lacks {right} (")), "{refusal}");
        let _: String = redis.ask(&["acl", "setuser", USER, right]);
        let _: String = redis.ask(&["acl", "setuser", USER, "-@dangerous"]);
        healthy(&redis);
    }

    let _: String = redis.ask(&["replicaof", "127.0.0.1", "1"]);
    let said = look(&configuration);
    said.assert(FAULT, 1);
    assert!(seen(&said).1.contains("name the primary"), "{}", said.out);
    let _: String = redis.ask(&["replicaof", "no", "one"]);
    let _: String = redis.ask(&["config", "set", "min-replicas-to-write", "1"]);
    let said = look(&configuration);
    said.assert(FAULT, 1);
    assert!(seen(&said).0.contains("NOREPLICAS"), "{}", said.out);
}
