//! The service over real sockets.

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::*;
use crate::{clock::SystemClock, simulate::backstage::rig::Rig};

const APPLICATION: &str = "/v1/applications/1simulatedApplication";

async fn service(mut options: Value, accounts: Value) -> Rig {
    options["accounts"] = accounts;
    let options: Options = serde_json::from_value(options).unwrap();
    let state = Stormpath::new(options, SystemClock::shared());
    Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await
}

/// Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({ "id": "a1", "username": "ann", "email": "ann@example.org", "password": "right: horse",
        "given_name": "Ann", "surname": "Archer" });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([ann])
}

fn with_key(request: RequestBuilder) -> RequestBuilder {
    request.basic_auth("2SIMULATEDKEYID", Some("simulated-stormpath-secret"))
}

async fn get(rig: &Rig, path: &str) -> (u16, Value) {
    outcome(with_key(rig.get(path)).send().await.unwrap()).await
}

async fn sign_in(rig: &Rig, login: &str, password: &str) -> (u16, Value) {
    let value = STANDARD.encode(format!("{login}:{password}"));
    attempt(rig, &json!({ "type": "basic", "value": value }), "").await
}

async fn attempt(rig: &Rig, body: &Value, query: &str) -> (u16, Value) {
    let request = rig.post(&format!("{APPLICATION}/loginAttempts{query}"));
    outcome(with_key(request).json(body).send().await.unwrap()).await
}

async fn outcome(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_right_password_names_the_account_by_its_address() {
    let rig = service(json!({}), ann(&json!({}))).await;
    for login in ["ann", "ANN@example.org"] {
        let (status, body) = sign_in(&rig, login, "right: horse").await;
        assert_eq!((status, body), (200, json!({ "account": { "href": rig.url("/v1/accounts/a1") } })));
    }
    let value = STANDARD.encode("ann:right: horse");
    let (_, body) = attempt(&rig, &json!({ "type": "basic", "value": value }), "?expand=account").await;
    assert_eq!(body["account"]["emailVerificationStatus"], "UNKNOWN");
    assert!(!body.to_string().contains("right"), "no password leaves");
    assert_eq!(rig.json("/__simulator/counts").await["password_checks"]["ann"], 2);
}

#[tokio::test]
async fn every_code_of_a_login_can_be_reached() {
    let wrong = service(json!({ "lock_out_after": 2 }), ann(&json!({}))).await;
    for (login, password, code) in [
        ("ann", "wrong", 7100),
        ("nobody", "wrong", 7104),
        ("ann", "wrong", 7100),
        ("ann", "right: horse", 7103),
    ] {
        let (status, body) = sign_in(&wrong, login, password).await;
        assert_eq!((status, &body["status"], &body["code"]), (400, &json!(400), &json!(code)));
    }
    for (more, code) in [
        (json!({ "status": "DISABLED" }), 7101),
        (json!({ "status": "UNVERIFIED" }), 7102),
        (json!({ "directory": "closed" }), 7106),
        (json!({ "login_error": 7105 }), 7105),
        (json!({ "login_error": 7201 }), 7201),
        (json!({ "password": null }), 7100),
    ] {
        let options = json!({ "directories": [{ "id": "closed", "status": "DISABLED" }] });
        let rig = service(options, ann(&more)).await;
        assert_eq!(sign_in(&rig, "ann", "right: horse").await.1["code"], code, "{more}");
    }
}

#[tokio::test]
async fn a_sign_in_can_be_held_to_one_store() {
    let options = json!({ "directories": [{ "id": "main", "name_key": "harbour" }] });
    let rig = service(options, ann(&json!({}))).await;
    let value = STANDARD.encode("ann:right: horse");
    for (store, status) in [
        (json!({ "nameKey": "harbour" }), 200),
        (json!({ "nameKey": "other" }), 400),
        (json!({ "href": rig.url("/v1/directories/main") }), 200),
        (json!({ "href": rig.url("/v1/directories/other") }), 400),
    ] {
        let body = json!({ "type": "basic", "value": value, "accountStore": store });
        assert_eq!(attempt(&rig, &body, "").await.0, status, "{store}");
    }
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused() {
    let rig = service(json!({}), ann(&json!({}))).await;
    for body in [
        json!({}),
        json!({ "type": "digest", "value": STANDARD.encode("a:b") }),
        json!({ "type": "basic", "value": "%%%" }),
        json!({ "type": "basic", "value": STANDARD.encode("no colon") }),
    ] {
        let (status, answer) = attempt(&rig, &body, "").await;
        assert_eq!((status, &answer["code"]), (400, &json!(2000)), "{body}");
    }
    assert_eq!(rig.get("/v1/accounts/a1").send().await.unwrap().status(), 401);
    let digest = rig.get("/v1/accounts/a1").header("authorization", "SAuthc1 sauthc1Id=x");
    assert_eq!(digest.send().await.unwrap().status(), 401);
    assert_eq!(get(&rig, "/v1/accounts/other").await.0, 404);
    assert_eq!(get(&rig, "/v1/applications/other/accounts").await.0, 404);
}

#[tokio::test]
async fn a_search_matches_and_is_no_look_up() {
    let people = json!([
        { "id": "1", "email": "ann@example.org" }, { "id": "2", "email": "joann@example.org" },
    ]);
    let found = async |options: Value, query: &str| -> Vec<String> {
        let rig = service(options, people.clone()).await;
        let (_, body) = get(&rig, &format!("{APPLICATION}/accounts?{query}")).await;
        let items = body["items"].as_array().unwrap().iter();
        items.map(|item| item["email"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(json!({}), "email=ANN@example.org").await, ["ann@example.org"]);
    assert_eq!(found(json!({}), "email=*ann@example.org").await.len(), 2);
    assert_eq!(found(json!({}), "q=ann").await.len(), 2);
    assert_eq!(found(json!({ "loose_search": true }), "email=ann@example.org").await.len(), 2);
    assert_eq!(found(json!({}), "email=nobody@example.org").await.len(), 0);
}

#[tokio::test]
async fn groups_and_custom_data_stand_beside_the_account() {
    let more = json!({ "groups": [{ "name": "staff" }, { "name": "old", "status": "DISABLED" }],
        "custom_data": { "company": { "id": "acme" } } });
    let rig = service(json!({ "page_size": 1 }), ann(&more)).await;
    let (_, page) = get(&rig, "/v1/accounts/a1/groups?limit=100&offset=1").await;
    assert_eq!(
        (&page["limit"], &page["size"], &page["items"][0]["name"]),
        (&json!(1), &json!(2), &json!("old"))
    );
    let (_, data) = get(&rig, "/v1/accounts/a1/customData").await;
    assert_eq!(data["company"]["id"], "acme");
    assert!(data["href"].as_str().unwrap().ends_with("/v1/accounts/a1/customData"));
}

#[tokio::test]
async fn a_wait_is_named_only_where_it_is_asked_for() {
    for (fault, wait) in [
        (json!([{ "kind": "rate_limited" }]), None),
        (json!([{ "kind": "rate_limited", "reset_after_secs": 7 }]), Some("7")),
    ] {
        let rig = service(json!({}), ann(&json!({}))).await;
        rig.set_faults(fault).await;
        let answer = with_key(rig.get("/v1/accounts/a1")).send().await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers().get("retry-after").map(|value| value.to_str().unwrap()), wait);
    }
}
