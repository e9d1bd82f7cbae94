//! A file with a row that nobody can read: the copy says whose it is, and what to do.

use super::{copied, copy, done, file, moves, serve, signed_in, state_of, with_operator};
use crate::support::{
    draft::in_place_of_the_file,
    redis::Redis,
    scene::{Cast, Person, Scene},
};

#[test]
fn one_unreadable_row_is_named_and_is_in_the_way_of_nobody_else() {
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let (embedded, file) = (with_operator(scene.configuration()), scene.store_file());
    let mut crossfade = serve(&embedded);
    let ann_at = moves(&scene, &ann.email);
    moves(&scene, &ben.email);
    crossfade.terminate();
    let of_ben = file::rows(&file).into_iter().map(|row| row["key"].clone()).find(|key| key["id"] == "ben");
    let key = format!("{}:ben", of_ben.unwrap()["source"].as_str().unwrap());
    file::garble(&file, &key);

    let redis = Redis::start();
    let shared = in_place_of_the_file(&redis.section(), &embedded);
    let (exit, out, said) = copy(&file, &shared);
    assert!(exit == Some(1) && out.is_empty(), "{exit:?}: {out}{said}");
    assert!(said.contains(&format!("the row of {key} cannot be read")), "{said}");
    assert!(said.contains(&format!("crossfade users tombstone --key {key}")), "{said}");

    // As it says.
    crossfade.start_again();
    done(&crossfade, &["users", "tombstone", "--key", &key, "--yes"]);
    crossfade.terminate();
    assert_eq!(copied(&file, &shared)["people"], 2);
    let crossfade = serve(&shared);
    assert_eq!(state_of(&crossfade, "ben"), "tombstone");
    assert_eq!(state_of(&crossfade, "ann"), "done");
    assert!(signed_in(&ann_at));
}
