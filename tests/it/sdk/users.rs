//! Users and memberships: made, found, listed, changed and deleted by an SDK.

use serde_json::{Value, json};

use super::{HARBOUR, QUAY, all_pages, as_stored, environment, ids, sdk, stored};
use crate::support::{sdk::Language, sdk::Sdk, simulator::Simulator};

const EXTERNAL: &str = "app:41/é";

fn id_of(answer: &Value) -> String {
    answer["user"]["id"].as_str().unwrap().to_owned()
}

/// Fails unless the SDK and the side door tell the same of everybody.
fn everybody_is_the_same(sdk: &mut Sdk, scalekit: &Simulator) {
    let told = all_pages(sdk, "list_users", &json!({}), 2, "users");
    assert_eq!(told.iter().map(as_stored).collect::<Vec<_>>(), stored(scalekit));
}

fn ann() -> Value {
    json!({
        "email": "ann@example.test", "externalId": EXTERNAL, "metadata": { "plan": "gold" },
        "userProfile": { "firstName": "Ann", "lastName": "Alder" },
    })
}

fn judge_creates(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);

    let made = sdk.ask("create_user", json!({ "organization": HARBOUR, "invite": false, "user": ann() }));
    let expected = json!({
        "id": made["user"]["id"], "email": "ann@example.test", "email_verified": true, "external_id": EXTERNAL,
        "metadata": { "plan": "gold" }, "profile": { "given_name": "Ann", "family_name": "Alder" },
        "memberships": [{ "organization_id": HARBOUR, "status": "ACTIVE", "roles": ["member"], "metadata": {} }],
    });
    assert_eq!((as_stored(&made["user"]), stored(&scalekit)), (expected.clone(), vec![expected]));
    assert_eq!(made["user"]["memberships"][0]["provisioningMethod"], "direct_provision");
    assert_eq!(scalekit.mails()["mails"], json!([]), "nobody was invited");
    for (call, by) in [("get_user", id_of(&made)), ("get_user_by_external_id", EXTERNAL.to_owned())] {
        assert_eq!(sdk.ask(call, json!({ "id": by })), made, "{call}");
    }

    // Said or not said: an invitation is the default.
    for (invite, email) in [(json!(true), "ben@example.test"), (Value::Null, "cleo@example.test")] {
        let new = json!({ "organization": HARBOUR, "invite": invite, "user": { "email": email } });
        let invited = as_stored(&sdk.ask("create_user", new)["user"]);
        assert_eq!(
            (&invited["email_verified"], &invited["memberships"][0]["status"]),
            (&json!(false), &json!("PENDING_INVITE"))
        );
        let mails = scalekit.mails();
        let mail = mails["mails"].as_array().unwrap().last().unwrap();
        assert_eq!((&mail["to"], &mail["kind"]), (&json!(email), &json!("invitation")));
    }

    // The SDK for Node drops memberships and most of a profile.
    if language == Language::Python {
        let full = json!({
            "email": "dora@example.test",
            "membership": { "roles": [{ "name": "clerk" }], "metadata": { "desk": "4" }, "inviterEmail": "ann@example.test" },
            "userProfile": {
                "givenName": "Dora", "familyName": "Dune", "name": "Dora Dune", "locale": "en-GB",
                "phoneNumber": "+14155550100", "preferredUsername": "dora", "picture": "https://people.test/dora.png",
                "gender": "female", "groups": ["night", "quay"], "metadata": { "shoe": "38" },
                "customAttributes": { "badge": "17" },
            },
        });
        let made =
            sdk.ask("create_user", json!({ "organization": HARBOUR, "invite": false, "user": full.clone() }));
        for (name, value) in full["userProfile"].as_object().unwrap() {
            assert_eq!(&made["user"]["userProfile"][name], value, "{name}");
        }
        let membership = &made["user"]["memberships"][0];
        assert_eq!(
            (&membership["permissions"], &membership["inviterEmail"]),
            (&json!(["bills:read"]), &json!("ann@example.test"))
        );
        assert_eq!(membership["metadata"], json!({ "desk": "4" }));
    }
    everybody_is_the_same(&mut sdk, &scalekit);
}

fn judge_duplicates(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);
    let create = |user: Value| json!({ "organization": HARBOUR, "invite": false, "user": user });
    let first = sdk.ask("create_user", create(ann()));
    let twins = [
        json!({ "email": "ANN@example.test" }),
        json!({ "email": "other@example.test", "externalId": EXTERNAL }),
    ];
    for (setting, class, http, code) in [
        ("conflict", "ScalekitConflictException", 409, "ALREADY_EXISTS"),
        ("bad_request", "ScalekitBadRequestException", 400, "INVALID_ARGUMENT"),
        ("internal", "ScalekitInternalServerException", 500, "INTERNAL"),
    ] {
        scalekit.change_settings(&json!({ "on_duplicate": setting }));
        for twin in &twins {
            sdk.refused("create_user", create(twin.clone())).is(class, http, code);
        }
    }
    scalekit.change_settings(&json!({ "on_duplicate": "existing" }));
    for twin in twins {
        assert_eq!(sdk.ask("create_user", create(twin)), first, "the user who was there");
    }
    assert_eq!(scalekit.counts()["creates_accepted"], 1);
    let nowhere = json!({ "organization": "org_199999999999999999", "invite": false, "user": { "email": "eve@example.test" } });
    sdk.refused("create_user", nowhere).is("ScalekitNotFoundException", 404, "NOT_FOUND");
    assert_eq!(stored(&scalekit).len(), 1);
}

fn judge_changes(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);
    let made: Vec<String> = ["ann", "ben", "cleo", "dora", "eve"]
        .iter()
        .map(|name| {
            let user =
                json!({ "email": format!("{name}@example.test"), "externalId": format!("app:{name}") });
            id_of(&sdk.ask("create_user", json!({ "organization": HARBOUR, "invite": false, "user": user })))
        })
        .collect();
    let ann = made[0].as_str();

    // Lists and searches.
    assert_eq!(ids(&all_pages(&mut sdk, "list_users", &json!({}), 2, "users")), made);
    let of_harbour = json!({ "organization": HARBOUR });
    assert_eq!(ids(&all_pages(&mut sdk, "list_organization_users", &of_harbour, 3, "users")), made);
    let of_quay = json!({ "organization": QUAY });
    assert_eq!(all_pages(&mut sdk, "list_organization_users", &of_quay, 3, "users"), Vec::<Value>::new());
    if language == Language::Node {
        assert_eq!(ids(&all_pages(&mut sdk, "search_users", &json!({ "query": "APP:" }), 2, "users")), made);
        let search = |organization: &str| json!({ "organization": organization, "query": "eve@" });
        let found = sdk.ask("search_organization_users", search(HARBOUR));
        assert_eq!(
            (ids(found["users"].as_array().unwrap()), &found["totalSize"]),
            (vec![made[4].as_str()], &json!(1))
        );
        assert!(sdk.ask("search_organization_users", search(QUAY))["users"].is_null());
    }

    // Changes of the user.
    let changes = json!({ "metadata": { "plan": "gold" }, "userProfile": { "firstName": "Anna" } });
    sdk.ask("update_user", json!({ "id": ann, "changes": changes }));
    let changes = json!({ "metadata": { "seat": "12" }, "userProfile": { "lastName": "Alder" } });
    let answer = sdk.ask("update_user_by_external_id", json!({ "id": "app:ann", "changes": changes }));
    let updated = as_stored(&answer["user"]);
    assert_eq!(updated["metadata"], json!({ "plan": "gold", "seat": "12" }));
    assert_eq!(updated["profile"], json!({ "given_name": "Anna", "family_name": "Alder" }));
    let taken = json!({ "id": ann, "changes": { "externalId": "app:ben" } });
    sdk.refused("update_user", taken).is("ScalekitConflictException", 409, "ALREADY_EXISTS");
    sdk.ask("update_user", json!({ "id": ann, "changes": { "externalId": "app:anna" } }));
    sdk.refused("get_user_by_external_id", json!({ "id": "app:ann" })).is(
        "ScalekitNotFoundException",
        404,
        "NOT_FOUND",
    );

    // Memberships.
    let at_quay = json!({ "organization": QUAY, "id": ann });
    let with = |more: Value| {
        let mut all = at_quay.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let unknown = with(json!({ "invite": false, "roles": ["captain"] }));
    sdk.refused("create_membership", unknown).is("ScalekitBadRequestException", 400, "INVALID_ARGUMENT");
    let joined = sdk.ask(
        "create_membership",
        with(json!({ "invite": false, "roles": ["clerk"], "metadata": { "desk": "4" } })),
    );
    assert_eq!(
        as_stored(&joined["user"])["memberships"][1],
        json!({ "organization_id": QUAY, "status": "ACTIVE", "roles": ["clerk"], "metadata": { "desk": "4" } })
    );
    let roles = sdk.ask("list_user_roles", at_quay.clone());
    assert_eq!((&roles["roles"][0]["name"], roles["roles"].as_array().unwrap().len()), (&json!("clerk"), 1));
    sdk.ask("update_membership", with(json!({ "roles": ["admin"], "metadata": { "floor": "2" } })));
    assert_eq!(stored(&scalekit)[0]["memberships"][1]["roles"], json!(["admin"]));
    sdk.refused("resend_invite", at_quay.clone()).is("ScalekitBadRequestException", 400, "INVALID_ARGUMENT");
    sdk.ask("delete_membership", at_quay.clone());
    assert_eq!(stored(&scalekit)[0]["memberships"].as_array().unwrap().len(), 1);
    sdk.ask("create_membership", with(json!({ "invite": true, "roles": [] })));
    let invite = sdk.ask("resend_invite", at_quay)["invite"].take();
    assert_eq!(
        (&invite["status"], &invite["resentCount"], &invite["userId"]),
        (&json!("PENDING_INVITE"), &json!(1), &json!(ann))
    );
    assert_eq!(scalekit.mails()["mails"].as_array().unwrap().len(), 2);
    everybody_is_the_same(&mut sdk, &scalekit);

    // The end.
    sdk.ask("delete_user", json!({ "id": ann }));
    sdk.ask("delete_user_by_external_id", json!({ "id": "app:ben" }));
    for (call, id) in [("get_user", ann), ("get_user_by_external_id", "app:ben"), ("delete_user", ann)] {
        sdk.refused(call, json!({ "id": id })).is("ScalekitNotFoundException", 404, "NOT_FOUND");
    }
    everybody_is_the_same(&mut sdk, &scalekit);
    assert_eq!(ids(&stored(&scalekit)), made[2..]);
}

#[test]
fn the_sdk_for_node_creates_users() {
    judge_creates(Language::Node);
}

#[test]
fn the_sdk_for_python_creates_users() {
    judge_creates(Language::Python);
}

#[test]
fn the_sdk_for_node_hears_of_duplicates() {
    judge_duplicates(Language::Node);
}

#[test]
fn the_sdk_for_python_hears_of_duplicates() {
    judge_duplicates(Language::Python);
}

#[test]
fn the_sdk_for_node_lists_changes_and_deletes_users() {
    judge_changes(Language::Node);
}

#[test]
fn the_sdk_for_python_lists_changes_and_deletes_users() {
    judge_changes(Language::Python);
}
