//! Scalekit's official SDKs as judges of the stand-in: what they send is understood, what they read is what is
//! stored, and what Crossfade made is there for them.

mod crossing;
mod organizations;
mod sign_in;
mod trouble;
mod users;

use serde_json::{Map, Value, json};

use crate::support::{
    sdk::{Language, Sdk},
    simulator::Simulator,
};

const CLIENT: &str = "skc_100000000000000001";
const SECRET: &str = "simulated-scalekit-secret";
const HARBOUR: &str = "org_100000000000000001";
const QUAY: &str = "org_100000000000000002";
const CALLBACK: &str = "http://app.localhost/callback";
const GOODBYE: &str = "http://app.localhost/bye";

fn environment() -> Simulator {
    Simulator::start(
        "scalekit",
        &json!({
            "clients": [{
                "id": CLIENT, "secret": SECRET, "redirect_uris": [CALLBACK], "post_logout_redirect_uris": [GOODBYE],
            }],
            "organizations": [
                { "id": HARBOUR, "display_name": "Harbour", "external_id": "harbour-1" },
                { "id": QUAY, "display_name": "Quay" },
            ],
            "roles": [{ "name": "clerk", "permissions": ["bills:read"] }],
        }),
    )
}

fn sdk(language: Language, scalekit: &Simulator) -> Sdk {
    Sdk::of(language, scalekit, CLIENT, SECRET)
}

/// All pages of a list, `size` items each.
fn all_pages(sdk: &mut Sdk, call: &str, with: &Value, size: usize, name: &str) -> Vec<Value> {
    let mut with = with.clone();
    with["pageSize"] = size.into();
    let mut found = Vec::new();
    loop {
        let page = sdk.ask(call, with.clone());
        assert_eq!(page["prevPageToken"].is_null(), found.is_empty(), "{page}");
        found.extend(page[name].as_array().cloned().unwrap_or_default());
        let Some(token) = page["nextPageToken"].as_str() else {
            // ProtoJSON leaves zero out.
            assert_eq!(page["totalSize"].as_u64().unwrap_or(0), found.len() as u64, "{page}");
            return found;
        };
        with["pageToken"] = token.into();
        assert_eq!(found.len() % size, 0, "only the last page is short");
    }
}

/// A user as an SDK reports it, in the words of the stand-in's side door.
fn as_stored(user: &Value) -> Value {
    let or_empty = |value: &Value| if value.is_null() { json!({}) } else { value.clone() };
    let membership = |membership: &Value| {
        let roles = membership["roles"].as_array().cloned().unwrap_or_default();
        json!({
            "organization_id": membership["organizationId"],
            "status": membership["membershipStatus"],
            "roles": roles.iter().map(|role| role["name"].clone()).collect::<Vec<_>>(),
            "metadata": or_empty(&membership["metadata"]),
        })
    };
    let names = [
        ("givenName", "given_name"),
        ("familyName", "family_name"),
        ("name", "name"),
        ("locale", "locale"),
        ("phoneNumber", "phone_number"),
        ("preferredUsername", "preferred_username"),
        ("picture", "picture"),
        ("gender", "gender"),
    ];
    let profile: Map<String, Value> = names
        .iter()
        .filter_map(|(theirs, ours)| Some(((*ours).to_owned(), user["userProfile"].get(theirs)?.clone())))
        .collect();
    let memberships = user["memberships"].as_array().cloned().unwrap_or_default();
    json!({
        "id": user["id"],
        "email": user["email"],
        "email_verified": user["userProfile"]["emailVerified"] == true,
        "external_id": user["externalId"],
        "metadata": or_empty(&user["metadata"]),
        "profile": profile,
        "memberships": memberships.iter().map(membership).collect::<Vec<_>>(),
    })
}

/// The stand-in's users as they really are, without what no SDK shows.
fn stored(scalekit: &Simulator) -> Vec<Value> {
    let mut users = scalekit.users()["users"].as_array().unwrap().clone();
    for user in &mut users {
        for name in ["origin", "created_at", "last_login_at"] {
            user.as_object_mut().unwrap().remove(name);
        }
    }
    users
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}
