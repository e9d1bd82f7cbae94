//! A copy into a Redis that lets Crossfade do what README prescribes and no more, with a prefix before every key.

use serde_json::json;

use super::{copied, done, moves, serve, signed_in, state_of, with_operator};
use crate::support::{
    draft::in_place_of_the_file,
    scene::{Cast, Person, Scene},
    shapes::{
        self,
        servers::{self, Cluster},
    },
};

fn is_finished_and_served(section: &str) {
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let embedded = with_operator(scene.configuration());
    let mut crossfade = serve(&embedded);
    let ann_at = moves(&scene, &ann.email);
    crossfade.terminate();
    let shared = in_place_of_the_file(section, &embedded);
    let summary = copied(&scene.store_file(), &shared);
    assert_eq!((&summary["people"], &summary["sessions"]), (&json!(1), &json!(1)), "{summary}");

    let crossfade = serve(&shared);
    assert!(done(&crossfade, &["store", "status"]).starts_with("believed   yes\n"), "its epoch came along");
    assert_eq!(state_of(&crossfade, "ann"), "done");
    assert!(signed_in(&ann_at));
    moves(&scene, &ben.email);
}

#[test]
fn a_copy_needs_no_more_rights_than_serving() {
    let redis = servers::single(shapes::program());
    is_finished_and_served(&shapes::single(&redis));
}

#[test]
fn a_copy_into_a_cluster_needs_no_more_rights_than_serving() {
    let cluster = Cluster::start(shapes::program(), false);
    is_finished_and_served(&shapes::cluster(&cluster));
}

/// Nobody is in a bucket yet, so nobody is bound to the salt by which they would be.
#[test]
fn a_file_with_nobody_in_it_binds_the_copy_to_nothing() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let embedded = with_operator(scene.configuration());
    serve(&embedded).terminate();
    let redis = servers::single(shapes::program());
    let shared = in_place_of_the_file(&shapes::single(&redis), &embedded);
    let force = "force_key: {env: FORCE_KEY}";
    let salt = shared.replace("ROLLOUT_SALT", "FORCE_KEY");
    let salt = salt.replacen("force_key: {env: ROLLOUT_SALT}", force, 1);
    assert!(salt != shared && salt.contains(force), "{salt}");
    assert_eq!(copied(&scene.store_file(), &salt)["people"], 0);
    let _serving = serve(&salt);
    moves(&scene, &ann.email);
}
