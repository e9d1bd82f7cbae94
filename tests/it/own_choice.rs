//! People who take the mailbox sign-in by their own choice, while an operator holds the dial.

use crate::support::{
    admin_tokens::{OPERATOR, with_tokens},
    crossfade::{Crossfade, crossfade_with},
    http::{Answer, Visitor},
    scene::{Cast, PASSWORD, Person, Scene},
    wait,
};

fn turn(crossfade: &Crossfade, command: &str) {
    let admin = crossfade.admin.to_string();
    let arguments = ["rollout", command, "--admin", &admin];
    let (exit, _, said) = crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", OPERATOR)]);
    assert_eq!(exit, Some(0), "{said}");
}

/// By the offer of our pages, and back.
fn by_mailbox(scene: &Scene, visitor: &Visitor, email: &str) -> Answer {
    let begun = visitor.get("/.crossfade/initiate");
    assert!(scene.is_handed_over(&begun), "{}", begun.text());
    scene.confirm_mailbox(visitor, &begun, email)
}

#[test]
fn a_pause_holds_who_comes_by_mailbox_and_nobody_who_is_on_the_way() {
    let (ann, bob) = (Person::new("ann"), Person::new("bob"));
    let scene = Scene::set(&Cast { people: vec![ann.clone(), bob.clone()], ..Cast::default() });
    let crossfade = with_tokens(&scene, &[]);
    let on_her_way = scene.visitor();
    let handed_over = scene.sign_in(&on_her_way, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    turn(&crossfade, "pause");

    let visitor = scene.visitor();
    let refused = by_mailbox(&scene, &visitor, &bob.email);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("Please sign in the way you did before"), "{}", refused.text());
    assert_eq!(visitor.cookie("crossfade"), None);
    assert!(
        scene.users_with(&bob.email).iter().all(|user| user["external_id"].is_null()),
        "nobody was linked"
    );
    assert!(crossfade.process.stderr().contains("\"not_now\""), "on record");
    assert!(
        Scene::is_in_the_application(&scene.sign_in(&visitor, &bob.email, PASSWORD)),
        "the old way is open"
    );

    let back = scene.confirm_mailbox(&on_her_way, &handed_over, &ann.email);
    assert_eq!(back.status, 303, "it ends in the mode it began in: {}", back.text());
    let born_new = by_mailbox(&scene, &scene.visitor(), "nora@example.com");
    assert_eq!(born_new.status, 303, "no other door: {}", born_new.text());

    turn(&crossfade, "resume");
    wait::until("he is let in", || {
        (by_mailbox(&scene, &scene.visitor(), &bob.email).status == 303).then_some(())
    });
    assert_eq!(scene.users_with(&bob.email)[0]["external_id"], bob.external_id());
}
