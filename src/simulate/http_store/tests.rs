//! The endpoint over real sockets.

use reqwest::RequestBuilder;

use super::*;
use crate::{clock::SystemClock, simulate::backstage::rig::Rig};

async fn store(mut options: Value, users: Value) -> Rig {
    options["users"] = users;
    let options: Options = serde_json::from_value(options).unwrap();
    let state = HttpStore::new(options, SystemClock::shared());
    Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await
}

/// Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({ "id": "7", "username": "ann", "email": "ann@example.org", "password": "right horse",
        "email_verified": true });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([ann])
}

async fn outcome(request: RequestBuilder) -> (u16, Value) {
    let response = request.bearer_auth("simulated-http-store-token").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn people_are_found_by_name_id_and_address() {
    let rig = store(json!({}), ann(&json!({ "more": { "plan": "gold", "groups": null } }))).await;
    for path in ["/legacy/users/ANN", "/legacy/users/ann%40example.org", "/legacy/by-id/7"] {
        let (status, person) = outcome(rig.get(path)).await;
        assert_eq!(
            (status, &person["id"], &person["emailVerified"]),
            (200, &json!("7"), &json!(true)),
            "{path}"
        );
        assert_eq!((person.get("groups"), &person["plan"]), (None, &json!("gold")));
        assert!(!person.to_string().contains("right horse"), "no password leaves");
    }
    assert_eq!(outcome(rig.get("/legacy/users/nobody")).await.0, 404);
    assert_eq!(outcome(rig.get("/legacy/users?email=ann@example.org")).await.1[0]["id"], "7");
    assert_eq!(outcome(rig.get("/legacy/users?email=x@example.org")).await.1, json!([]));
    let wordy = store(json!({ "booleans_as_text": true, "list_member": "users" }), ann(&json!({}))).await;
    assert_eq!(
        outcome(wordy.get("/legacy/users?email=ann@example.org")).await.1["users"][0]["enabled"],
        "true"
    );
}

#[tokio::test]
async fn each_dialect_says_yes_and_no_in_its_way() {
    let rig = store(json!({ "lock_out_after": 3 }), ann(&json!({}))).await;
    let check = async |path: &str, body: Value| outcome(rig.post(path).json(&body)).await;
    assert_eq!(check("/legacy/users/ann", json!({ "password": "right horse" })).await.0, 200);
    assert_eq!(check("/legacy/by-id/7", json!({ "password": "right horse" })).await.0, 200);
    assert_eq!(check("/legacy/by-id/7", json!({ "password": "wrong" })).await.0, 401);
    assert_eq!(check("/legacy/users/nobody", json!({ "password": "wrong" })).await.0, 404);
    let hook = |password: &str| json!({ "identifier": "ann", "password": password });
    let matched = json!({ "status": "password_match" });
    assert_eq!(check("/legacy/hooks/password", hook("right horse")).await, (200, matched));
    assert_eq!(check("/legacy/hooks/password", hook("wrong")).await.0, 403);
    let flag = |password: &str| json!({ "login": "ann", "password": password });
    let (status, yes) = check("/legacy/check", flag("right horse")).await;
    assert_eq!((status, &yes["valid"], &yes["id"]), (200, &json!(true), &json!("7")));
    assert_eq!(check("/legacy/check", flag("wrong")).await, (200, json!({ "valid": false })));
    assert_eq!(check("/legacy/users/ann", json!({ "password": "wrong", "x": 1 })).await.0, 400);
    for status in [401, 401, 423] {
        assert_eq!(check("/legacy/users/ann", json!({ "password": "wrong" })).await.0, status);
    }
    assert_eq!(check("/legacy/users/ann", json!({ "password": "right horse" })).await.0, 423);
    assert_eq!(rig.json("/__simulator/counts").await["password_checks"]["nobody"], 1);
}

#[tokio::test]
async fn callers_say_who_they_are() {
    for (auth, field) in [
        (json!({ "bearer": "t" }), ("authorization", "Bearer t")),
        (json!({ "basic": { "user": "u", "password": "p" } }), ("authorization", "Basic dTpw")),
        (json!({ "header": { "name": "x-api-key", "value": "k" } }), ("x-api-key", "k")),
    ] {
        let rig = store(json!({ "auth": auth }), ann(&json!({}))).await;
        assert_eq!(rig.get("/legacy/by-id/7").send().await.unwrap().status(), 401, "{auth}");
        let answer = rig.get("/legacy/by-id/7").header(field.0, field.1).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{auth}");
    }
}
