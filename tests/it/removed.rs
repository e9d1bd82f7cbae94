//! People whom an operator removed, under a Redis that is lost, put back, replaced or cut off (truths 5 and 8): no old
//! password, no old session and no sign-in under way brings them back at any replica, by any of their names.

mod stage;

use std::time::Duration;

use self::stage::{Data, Site};
use crate::support::{
    relay::{Manner, Relay},
    shapes,
    shapes::servers::{self, Cluster, Watched},
    wait,
};

#[test]
fn an_emptied_redis_brings_nobody_back() {
    let redis = servers::single(shapes::program());
    let site = Site::start(&shapes::single(&redis));
    let mut data = Data::of(vec![redis]);
    site.rides_out("emptied", &mut data, Data::empty);
}

#[test]
fn an_old_copy_of_redis_brings_nobody_back() {
    let redis = servers::single(shapes::program());
    let site = Site::start(&shapes::single(&redis));
    let mut data = Data::of(vec![redis]);
    site.rides_out("put back to an old copy", &mut data, Data::put_back);
}

#[test]
fn an_emptied_redis_behind_sentinels_brings_nobody_back() {
    let Watched { servers, sentinels } = Watched::start(shapes::program());
    let (mut data, watching) = (Data::of(servers), sentinels);
    let site = Site::start(&shapes::watched_by(&watching));
    site.rides_out("behind Sentinels, emptied", &mut data, Data::empty);
}

#[test]
fn an_old_copy_of_redis_behind_sentinels_brings_nobody_back() {
    let Watched { servers, sentinels } = Watched::start(shapes::program());
    let (mut data, watching) = (Data::of(servers), sentinels);
    let site = Site::start(&shapes::watched_by(&watching));
    site.rides_out("behind Sentinels, put back to an old copy", &mut data, Data::put_back);
}

/// The replica never heard of the removal, and what it lost is less than a store is doubted for.
#[test]
fn a_replica_that_knows_less_and_is_promoted_brings_nobody_back() {
    let Watched { servers, sentinels } = Watched::start(shapes::program());
    let (mut data, watching) = (Data::of(servers), sentinels);
    let site = Site::start(&shapes::watched_by(&watching));
    site.rides_out_after(
        "killed, and a replica promoted that knows less",
        &mut data,
        |data| {
            let _: String = data.nodes[1].ask(&["replicaof", "127.0.0.1", "1"]);
        },
        |data| data.nodes[0].kill(),
    );
    assert_eq!(data.nodes[1].info("replication", "role").as_deref(), Some("master"));
}

#[test]
fn an_emptied_cluster_brings_nobody_back() {
    let cluster = Cluster::start(shapes::program(), false);
    let site = Site::start(&shapes::cluster(&cluster));
    let mut data = Data::of(cluster.nodes);
    site.rides_out("a cluster, emptied", &mut data, Data::empty);
}

#[test]
fn an_old_copy_of_a_cluster_brings_nobody_back() {
    let cluster = Cluster::start(shapes::program(), false);
    let site = Site::start(&shapes::cluster(&cluster));
    let mut data = Data::of(cluster.nodes);
    site.rides_out("a cluster, put back to an old copy", &mut data, Data::put_back);
}

#[test]
fn a_node_of_a_cluster_that_knows_less_and_is_promoted_brings_nobody_back() {
    let cluster = Cluster::start(shapes::program(), true);
    let ledger = cluster.primary_of(&format!("{}{{ledger}}", servers::PREFIX));
    let site = Site::start(&shapes::cluster(&cluster));
    let mut data = Data::of(cluster.nodes);
    site.rides_out_after(
        "a cluster, its node killed, and a replica promoted that knows less",
        &mut data,
        |data| {
            // It may not sign in any more, and its line is cut.
            let _: String = data.nodes[ledger + 3].ask(&["config", "set", "masterauth", "nobody's"]);
            let _: i64 = data.nodes[ledger].ask(&["client", "kill", "type", "replica"]);
        },
        |data| data.nodes[ledger].kill(),
    );
    assert_eq!(data.nodes[ledger + 3].info("replication", "role").as_deref(), Some("master"));
}

/// One replica of ours alone is cut off, and the person is removed at the other one meanwhile.
fn one_replica_cut_off(manner: &Manner) {
    let redis = servers::single(shapes::program());
    let relay = Relay::before(stage::local(redis.port));
    let site = Site::start_each(&[&shapes::single(&redis), &shapes::at(relay.address)]);
    let mut data = Data::of(vec![redis]);
    site.rides_out_after(
        &format!("{manner:?} for one replica"),
        &mut data,
        |_| relay.behave(manner.clone()),
        |_| {
            let _ = wait::within(Duration::from_secs(2), || {
                site.tries_again();
                None::<()>
            });
            relay.behave(Manner::Passes);
        },
    );
}

#[test]
fn a_replica_that_hears_nothing_of_redis_brings_nobody_back() {
    one_replica_cut_off(&Manner::Silent);
}

#[test]
fn a_replica_that_redis_turns_away_brings_nobody_back() {
    one_replica_cut_off(&Manner::Refuses);
}

/// The callback has read the row and not written the session when the person is removed, at another replica or here.
#[test]
fn a_sign_in_under_way_does_not_outrun_a_removal() {
    let redis = servers::single(shapes::program());
    let section = shapes::single(&redis);
    let stands_still = [("CROSSFADE_FAILPOINT", "before:open_session:2000")];
    let site = Site::with([&section, &section], [&[], &stands_still]);
    site.removes_while_under_way(1);
    // One process, and the store is a file.
    let site = Site::with_file(&stands_still);
    site.removes_while_under_way(0);
}

/// What the operator's call could not end itself ends all the same, at every replica.
#[test]
fn a_session_ends_with_its_person_everywhere() {
    let redis = servers::single(shapes::program());
    Site::start(&shapes::single(&redis)).ends_sessions();
}
