//! The first crossing of somebody who exists, long after they were created; and who lost their user at Scalekit since.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    admin_tokens::{OPERATOR, with_tokens},
    crossfade::{Crossfade, crossfade_with},
    http::{Answer, Visitor},
    scene::{Cast, PASSWORD, Person, Scene, secret},
    wait,
};

/// By the offer of our pages, and back.
fn by_mailbox(scene: &Scene, email: &str) -> Answer {
    let visitor = scene.visitor();
    let begun = visitor.get("/.crossfade/initiate");
    assert!(scene.is_handed_over(&begun), "{}", begun.text());
    scene.confirm_mailbox(&visitor, &begun, email)
}

fn users(crossfade: &Crossfade, arguments: &[&str]) -> (Option<i32>, String, String) {
    let admin = crossfade.admin.to_string();
    let arguments: Vec<&str> = ["users"].into_iter().chain(arguments.iter().copied()).collect();
    let environment = [("CROSSFADE_ADMIN_URL", admin.as_str()), ("CROSSFADE_ADMIN_TOKEN", OPERATOR)];
    crossfade_with(&arguments, &environment)
}

fn person_shown(crossfade: &Crossfade, email: &str) -> Value {
    let (code, shown, note) = users(crossfade, &["show", email, "--json"]);
    assert_eq!(code, Some(0), "{note}");
    serde_json::from_str::<Value>(&shown).unwrap()["person"].take()
}

/// The application's export, in which everybody has a second factor, or nobody.
fn second_factors(scene: &Scene, are_there: bool) {
    let export = scene.export();
    let lines = export.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line["mfa"] = json!(are_there);
        format!("{line}\n")
    });
    scene.write_export(&lines.collect::<String>());
}

#[test]
fn who_has_a_second_factor_since_they_were_created_does_not_cross() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let nobody_crosses = [("CROSSFADE_ROLLOUT__CUTOVER", "0%")];
    let signs_in = || {
        let answer = scene.sign_in(&scene.visitor(), &ann.email, PASSWORD);
        assert!(Scene::is_in_the_application(&answer), "{}", answer.text());
    };
    let becomes = |crossfade: &Crossfade, state: &str| {
        wait::until("they stand there", || {
            (person_shown(crossfade, &ann.email)["state"] == state).then_some(())
        });
    };
    let crossfade = with_tokens(&scene, &nobody_crosses);
    signs_in();
    becomes(&crossfade, "done");
    drop(crossfade);

    second_factors(&scene, true);
    let crossfade = with_tokens(&scene, &[]);
    let refused = by_mailbox(&scene, &ann.email);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("Please sign in the way you did before"), "{}", refused.text());
    let shown = person_shown(&crossfade, &ann.email);
    assert_eq!((&shown["state"], &shown["why"]), (&json!("ineligible"), &json!("mfa")));
    assert!(shown["crossed_at"].is_null(), "{shown}");
    // The old way is open, as the page says, though the percentage has reached everybody.
    signs_in();
    drop(crossfade);

    second_factors(&scene, false);
    let crossfade = with_tokens(&scene, &[]);
    signs_in();
    becomes(&crossfade, "done");
    assert_eq!(by_mailbox(&scene, &ann.email).status, 303);
    assert_eq!(scene.users_with(&ann.email).len(), 1);
}

/// Somebody at Scalekit's dashboard deletes a user.
fn delete_at_scalekit(scene: &Scene, user: &Value) {
    let scalekit = Visitor::of(scene.scalekit.address);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "skc_100000000000000001"),
        ("client_secret", secret("SCALEKIT_CLIENT_SECRET")),
    ];
    let token = scalekit.post_form("/oauth/token", &fields).json()["access_token"].take();
    let path = format!("/api/v1/users/{}", user["id"].as_str().unwrap());
    let deleted = scalekit.send(scalekit.request(Method::DELETE, &path).bearer_auth(token.as_str().unwrap()));
    assert!((200..300).contains(&deleted.status), "{}", deleted.text());
}

#[test]
fn who_lost_their_user_at_scalekit_is_let_in_again_once_an_operator_says_so() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let crossfade = with_tokens(&scene, &[]);
    assert_eq!(by_mailbox(&scene, &ann.email).status, 303);
    let crossed_at = person_shown(&crossfade, &ann.email)["crossed_at"].take();
    let (code, _, said) = users(&crossfade, &["retry", &ann.email]);
    assert_eq!(code, Some(1));
    assert!(said.contains("user_is_there"), "{said}");

    let first = scene.users_with(&ann.email).remove(0);
    delete_at_scalekit(&scene, &first);
    assert_eq!(by_mailbox(&scene, &ann.email).status, 403);
    assert!(crossfade.process.stderr().contains("`crossfade users retry` mends it"), "the log says how");

    let (code, said, note) = users(&crossfade, &["retry", &ann.email]);
    assert_eq!((code, said.trim_end()), (Some(0), "app:ann is judged anew at their next sign-in"), "{note}");
    // The form leads to Scalekit as before, with whatever password.
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, "any password at all");
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    assert_eq!(scene.confirm_mailbox(&visitor, &handed_over, &ann.email).status, 303);
    let shown = person_shown(&crossfade, &ann.email);
    assert_eq!((&shown["state"], &shown["crossed_at"]), (&json!("done"), &crossed_at));
    let second = scene.users_with(&ann.email);
    assert_eq!((second.len(), &second[0]["external_id"]), (1, &json!(ann.external_id())));
    assert_ne!(second[0]["id"], first["id"]);
}
