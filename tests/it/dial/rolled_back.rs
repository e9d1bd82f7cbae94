//! What a rollback leaves in the new lane: whom allow rules and pins name, and nobody who is not there yet.

use serde_json::{Value, json};

use super::{AT_ZERO, TOKENS, VIEWER, explained, rollout, rollout_as, status, turned, with_api};
use crate::support::{
    crossfade::{self, Crossfade},
    scene::{Cast, PASSWORD, Person, Scene},
};

/// `crossfade users …` against a running process, which has to succeed.
fn users(at: &Crossfade, arguments: &[&str]) -> String {
    let admin = at.admin.to_string();
    let arguments = [&["users"], arguments, &["--admin", &admin]].concat();
    let (exit, out, said) =
        crossfade::crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", super::OPERATOR)]);
    assert_eq!(exit, Some(0), "{arguments:?}: {said}");
    out
}

#[test]
fn after_a_rollback_rules_and_pins_keep_who_crossed_and_create_nobody() {
    let people = ["ann", "bob", "cid"].map(Person::new);
    let [ann, bob, cid] = people.clone().map(|person| person.email);
    let scene = Scene::set(&Cast { people: people.to_vec(), ..Cast::default() });
    let rules = "cutover: 100%\n  rules: {allow: [{person: ann@example.com}, {organization: testers}]}";
    let configuration = with_api(scene.configuration()).replace("cutover: 100%", rules);
    let one = Scene::start_as(&configuration, &[&AT_ZERO[..], &TOKENS].concat());
    for email in [&bob, &cid] {
        users(&one, &["pin", email]);
    }
    // Bob crosses before the rollback.
    let visitor = one.visitor();
    let handed_over = scene.sign_in(&visitor, &bob, PASSWORD);
    assert_eq!(scene.confirm_mailbox(&visitor, &handed_over, &bob).status, 303);

    let kept = turned(&one, &["rollback", "--mode", "keep"]);
    assert!(kept.contains("rollback         keep") && !kept.contains("still new"), "{kept}");
    assert_eq!(explained(&one, &bob), ("new".into(), "allow_rule".into()));
    let told = turned(&one, &["rollback", "--mode", "legacy"]);
    for line in [
        "still new        person ann@example.com, of the file",
        "organization testers, of the file",
        "person bob@example.com, named by an operator",
        "person cid@example.com, named by an operator",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
    assert_eq!(turned(&one, &["status"]), told);
    let to_viewer = rollout_as(VIEWER, &one, &["status"]).1;
    assert!(to_viewer.contains("organization testers, of the file"), "{to_viewer}");
    assert!(to_viewer.contains("3 persons, whom an operator's token shows"), "{to_viewer}");
    assert!(!to_viewer.contains('@'), "{to_viewer}");

    assert_eq!(explained(&one, &bob), ("new".into(), "allow_rule".into()), "the design's order");
    for email in [&ann, &cid] {
        assert_eq!(explained(&one, email), ("legacy".into(), "rollback_mode".into()));
        let answer = scene.sign_in(&one.visitor(), email, PASSWORD);
        assert!(Scene::is_in_the_application(&answer), "{}", answer.text());
        assert_eq!(scene.users_with(email).len(), 0, "{email} is created after a rollback");
    }
    let why: Value =
        serde_json::from_str(&turned(&one, &["explain", &ann, "--json"])).expect("JSON by --json");
    assert_eq!((&why["lane"], &why["creates"]), (&json!("legacy"), &json!(false)));
    assert_eq!(why["rule"], json!({ "from": "file", "kind": "person", "value": ann }));

    // It does not end by the way.
    let (exit, _, said) = rollout(&one, &["set", "0%"]);
    assert!(exit == Some(0) && said.contains("it was cutover 0%, migrate 0%, rollback legacy"), "{said}");
    assert_eq!(status(&one)["in_force"]["rollback"], "legacy");
    let (exit, _, said) = rollout(&one, &["set", "5%"]);
    assert_eq!(exit, Some(1), "{said}");
    assert!(said.contains("went_back") && said.contains("--rollback keep"), "{said}");

    // Forward again: they are taken over as before.
    turned(&one, &["set", "0%", "--rollback", "keep"]);
    assert!(status(&one)["still_new"].as_array().unwrap().is_empty());
    assert!(scene.is_handed_over(&scene.sign_in(&one.visitor(), &cid, PASSWORD)));
}

/// The two lines of the README.
#[test]
fn going_back_by_the_file_creates_nobody_either() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let configuration = with_api(scene.configuration());
    let one = Scene::start_as(&configuration, &TOKENS);
    assert_eq!(status(&one)["in_force"]["migrate"], "100%");
    one.take(&configuration.replace("cutover: 100%", "cutover: 0%\n  rollback_mode: legacy"));
    let in_force = &status(&one)["in_force"];
    assert_eq!((&in_force["migrate"], &in_force["rollback"]), (&json!("0%"), &json!("legacy")));
    let answer = scene.sign_in(&one.visitor(), &ann.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{}", answer.text());
    assert_eq!(scene.users_with(&ann.email).len(), 0, "created after a rollback");
}
