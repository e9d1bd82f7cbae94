//! Organizations: made, found, listed, changed and deleted by an SDK.

use serde_json::{Value, json};

use super::{HARBOUR, QUAY, all_pages, environment, ids, sdk};
use crate::support::{sdk::Language, simulator::Simulator};

/// What the side door says of one organization.
fn stored(scalekit: &Simulator, id: &str) -> Value {
    let all = scalekit.look("organizations");
    let found = all["organizations"].as_array().unwrap().iter().find(|organization| organization["id"] == id);
    found.unwrap_or_else(|| panic!("no organization {id}")).clone()
}

fn judge(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);
    let external = "pier/1: é%";
    let mut wanted = json!({ "name": "Pier", "externalId": external, "slug": "pier-1", "logoUrl": "https://pier.test/logo.png" });
    let metadata = json!({ "kind": "pier" });
    // The SDK for Node drops metadata on a create.
    if language == Language::Python {
        wanted["metadata"] = metadata.clone();
    }
    let pier = sdk.ask("create_organization", wanted)["organization"].take();
    let id = pier["id"].as_str().unwrap().to_owned();
    let there = stored(&scalekit, &id);
    let shown = ["displayName", "externalId", "slug", "logoUrl", "regionCode", "createTime", "updateTime"];
    let kept =
        ["display_name", "external_id", "slug", "logo_url", "region_code", "create_time", "update_time"];
    for (shown, kept) in shown.into_iter().zip(kept) {
        assert_eq!(pier[shown], there[kept], "{shown}");
    }
    assert_eq!((&there["external_id"], &there["slug"]), (&json!(external), &json!("pier-1")));
    let expected = if language == Language::Python { &metadata } else { &json!({}) };
    assert_eq!(&there["metadata"], expected);

    for (call, by) in [("get_organization", id.as_str()), ("get_organization_by_external_id", external)] {
        assert_eq!(sdk.ask(call, json!({ "id": by }))["organization"], pier, "{call}");
    }
    for twin in
        [json!({ "name": "Twin", "externalId": external }), json!({ "name": "Twin", "slug": "pier-1" })]
    {
        sdk.refused("create_organization", twin).is("ScalekitConflictException", 409, "ALREADY_EXISTS");
    }
    for (call, id) in
        [("get_organization", "org_199999999999999999"), ("get_organization_by_external_id", "none")]
    {
        sdk.refused(call, json!({ "id": id })).is("ScalekitNotFoundException", 404, "NOT_FOUND");
    }

    let berths: Vec<String> = (1..=10)
        .map(|number| {
            let berth = sdk.ask("create_organization", json!({ "name": format!("Berth {number}") }));
            berth["organization"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let all = all_pages(&mut sdk, "list_organizations", &json!({}), 10, "organizations");
    let mut expected = vec![HARBOUR, QUAY, &id];
    expected.extend(berths.iter().map(String::as_str));
    assert_eq!(ids(&all), expected);
    // The SDK for Python has no searches.
    if language == Language::Node {
        let found =
            all_pages(&mut sdk, "search_organizations", &json!({ "query": "BERTH" }), 4, "organizations");
        assert_eq!(ids(&found), berths);
        assert_eq!(
            sdk.ask("search_organizations", json!({ "query": external }))["organizations"],
            json!([pier])
        );
    }

    let changes = json!({ "id": id, "changes": { "displayName": "Long Pier", "metadata": metadata } });
    sdk.ask("update_organization", changes);
    let changes = json!({ "id": external, "changes": { "externalId": "pier-2" } });
    let pier = sdk.ask("update_organization_by_external_id", changes)["organization"].take();
    assert_eq!((&pier["displayName"], &pier["metadata"]), (&json!("Long Pier"), &metadata));
    assert_eq!(sdk.ask("get_organization_by_external_id", json!({ "id": "pier-2" }))["organization"], pier);
    let there = stored(&scalekit, &id);
    assert_eq!((&there["external_id"], &there["slug"]), (&json!("pier-2"), &json!("pier-1")));

    sdk.ask("delete_organization", json!({ "id": id }));
    for call in ["get_organization", "delete_organization"] {
        sdk.refused(call, json!({ "id": id })).is("ScalekitNotFoundException", 404, "NOT_FOUND");
    }
    assert_eq!(scalekit.look("organizations")["organizations"].as_array().unwrap().len(), 12);
}

#[test]
fn the_sdk_for_node_keeps_organizations() {
    judge(Language::Node);
}

#[test]
fn the_sdk_for_python_keeps_organizations() {
    judge(Language::Python);
}
