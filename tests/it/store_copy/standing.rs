//! `crossfade store status|confirm` at a running instance.

use std::fs;

use serde_json::Value;

use super::{TOKEN, command, done, environment, moves, stays, with_operator};
use crate::support::{
    crossfade,
    scene::{Cast, Person, Scene},
};

#[test]
fn an_operator_sees_a_doubt_and_confirms_the_store_from_a_terminal() {
    let [ann, ben] = [Person::new("ann"), Person::new("ben")];
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let viewer = "canary-viewer-token-9Xk2Vb5Nm8Qa3Zs6";
    let both = "    - {name: on-call, role: operator, token: {env: OPERATOR_TOKEN}}
    - {name: dashboard, role: viewer, token: {env: VIEWER_TOKEN}}\n";
    let configuration = with_operator(scene.configuration());
    let at = configuration.lines().find(|line| line.starts_with("  tokens:")).unwrap();
    let configuration = configuration.replace(&format!("{at}\n"), &format!("  tokens:\n{both}"));
    let environment = [environment(), vec![("VIEWER_TOKEN", viewer)]].concat();
    let mut at = crossfade::Crossfade::serve_with(&configuration, &environment);
    moves(&scene, &ann.email);
    let status = done(&at, &["store", "status"]);
    assert!(status.starts_with("believed   yes\n"), "{status}");
    assert!(done(&at, &["store", "confirm"]).starts_with("believed   yes\n"), "there is nothing to confirm");

    at.kill();
    fs::remove_file(scene.store_file()).unwrap();
    at.start_again();
    let status: Value = serde_json::from_str(&done(&at, &["store", "status", "--json"])).unwrap();
    assert_eq!((&status["in_doubt"], &status["doubt"]), (&Value::from(true), &Value::from("emptied")));
    stays(&scene, &ben.email);

    let (exit, _, said) = command(&at, &["store", "confirm"]);
    assert!(exit == Some(2) && said.contains("--yes"), "nobody can be asked: {exit:?} {said}");
    let admin = at.admin.to_string();
    let arguments = ["store", "confirm", "--yes", "--admin", &admin];
    let (exit, _, said) = crossfade::crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", viewer)]);
    assert_eq!(exit, Some(1), "a viewer only looks: {said}");
    let (exit, _, said) = command(&at, &["store", "confirm", "--yes", "--reason", &"long ".repeat(50)]);
    assert!(exit == Some(2) && said.contains("reason"), "{exit:?} {said}");
    assert_eq!(
        serde_json::from_str::<Value>(&done(&at, &["store", "status", "--json"])).unwrap()["in_doubt"],
        true
    );

    let confirmed = done(&at, &["store", "confirm", "--yes", "--reason", "the disk is gone"]);
    assert!(confirmed.starts_with("believed   yes\n") && !confirmed.contains("doubt"), "{confirmed}");
    moves(&scene, &ben.email);
    assert_eq!(scene.users_with(&ann.email).len(), 1);
    let said = at.process.said();
    let event = said.lines().find(|line| line.contains("\"store_confirmed\"")).unwrap();
    assert!(event.contains("the disk is gone") && event.contains("on-call"), "{event}");
    at.assert_never_said(&[TOKEN, viewer]);
    drop(at);
    let (exit, _, said) = crossfade::crossfade_with(
        &["store", "status", "--admin", "127.0.0.1:9"],
        &[("CROSSFADE_ADMIN_TOKEN", TOKEN)],
    );
    assert_eq!(exit, Some(3), "{said}");
}
