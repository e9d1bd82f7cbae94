//! Crossfade and the SDKs at one environment: each finds what the other made.

use serde_json::json;

use super::{as_stored, stored};
use crate::support::{
    scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene, secret},
    sdk::{Language, Sdk},
};

const CLIENT: &str = "skc_100000000000000001";

#[test]
fn both_sdks_read_back_whom_crossfade_moved() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let _crossfade = scene.start(&[]);
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    let back = scene.confirm_mailbox(&visitor, &handed_over, &ann.email);
    assert_eq!(back.status, 303, "{}", back.text());

    let there = stored(&scene.scalekit);
    assert_eq!(there.len(), 1);
    let mut told = Vec::new();
    for language in [Language::Node, Language::Python] {
        let mut sdk = Sdk::of(language, &scene.scalekit, CLIENT, secret("SCALEKIT_CLIENT_SECRET"));
        let user = sdk.ask("get_user_by_external_id", json!({ "id": ann.external_id() }))["user"].take();
        assert_eq!(sdk.ask("get_user", json!({ "id": user["id"] }))["user"], user);
        let members = sdk.ask("list_organization_users", json!({ "organization": ORGANIZATION }));
        assert_eq!(members["users"], json!([user]));
        let sessions = sdk.ask("list_sessions", json!({ "user": user["id"], "status": ["active"] }));
        assert_eq!(sessions["sessions"][0]["userId"], user["id"], "{sessions}");
        assert_eq!(as_stored(&user), there[0], "{language:?}");
        told.push(user);
    }
    assert_eq!(told[0], told[1], "both SDKs tell the same");
    let user = as_stored(&told[0]);
    assert_eq!((&user["email"], &user["email_verified"]), (&json!(ann.email), &json!(true)));
    assert_eq!(user["external_id"], ann.external_id());
    assert_eq!(user["profile"]["given_name"], "Ann");
    assert_eq!(user["profile"]["family_name"], "ann");
    let membership = &user["memberships"][0];
    assert_eq!(
        (&membership["organization_id"], &membership["status"]),
        (&json!(ORGANIZATION), &json!("ACTIVE"))
    );
    assert_eq!(membership["roles"], json!(["member"]));
}

#[test]
fn crossfade_knows_again_whom_an_sdk_made() {
    let people = [Person::new("ben"), Person::new("cleo")];
    let scene = Scene::set(&Cast { people: people.to_vec(), ..Cast::default() });
    let _crossfade = scene.start(&[]);
    for (language, person) in [Language::Node, Language::Python].into_iter().zip(&people) {
        let mut sdk = Sdk::of(language, &scene.scalekit, CLIENT, secret("SCALEKIT_CLIENT_SECRET"));
        let user = json!({ "email": person.email, "externalId": person.external_id() });
        let made =
            sdk.ask("create_user", json!({ "organization": ORGANIZATION, "invite": false, "user": user }));
        let visitor = scene.visitor();
        let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
        let back = scene.confirm_mailbox(&visitor, &handed_over, &person.email);
        assert_eq!(back.status, 303, "{}", back.text());
        assert!(visitor.get("/").text().contains(&person.email), "signed in");
        let users = scene.users_with(&person.email);
        assert_eq!(
            (users.len(), &users[0]["id"]),
            (1, &made["user"]["id"]),
            "{language:?}: nobody was made twice"
        );
    }
}
