//! The organisation over real sockets.

use reqwest::Response;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{SystemClock, TestClock, Timestamp},
    simulate::backstage::rig::Rig,
};

const TOKEN: &str = "SSWS 00simulated-okta-token";

async fn org(mut options: Value, users: Value) -> Rig {
    options["users"] = users;
    let options: Options = serde_json::from_value(options).unwrap();
    let state = Okta::new(options, SystemClock::shared());
    Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await
}

/// Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({
        "id": "00u1", "login": "ann@example.org", "email": "ann.mail@example.org", "password": "right horse",
        "first_name": "Ann", "last_name": "Archer",
    });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([ann])
}

async fn sign_in(rig: &Rig, login: &str, password: &str) -> Response {
    let body = json!({ "username": login, "password": password });
    rig.post("/api/v1/authn").json(&body).send().await.unwrap()
}

async fn outcome(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_right_password_succeeds_and_tells_no_email() {
    let rig = org(json!({}), ann(&json!({}))).await;
    for login in ["ann@example.org", "ANN@example.org", "ann"] {
        let (status, body) = outcome(sign_in(&rig, login, "right horse").await).await;
        assert_eq!((status, &body["status"]), (200, &json!("SUCCESS")));
        assert!(body["sessionToken"].as_str().unwrap().len() > 20);
        assert_eq!(body["_embedded"]["user"]["profile"]["login"], "ann@example.org");
        assert!(!body.to_string().contains("ann.mail@"), "no e-mail in the transaction");
        assert!(body.get("stateToken").is_none());
    }
}

#[tokio::test]
async fn wrong_unknown_and_locked_look_alike_while_lock_out_is_hidden() {
    let rig = org(json!({ "lock_out_after": 2 }), ann(&json!({}))).await;
    let mut seen = Vec::new();
    for (login, password) in
        [("ann", "wrong"), ("nobody", "x"), ("ann", "wrong"), ("ann", "right horse"), ("ann", "wrong")]
    {
        let (status, mut body) = outcome(sign_in(&rig, login, password).await).await;
        assert!(body["errorId"].as_str().unwrap().starts_with("oae"));
        body["errorId"] = Value::Null;
        seen.push((status, body));
    }
    assert_eq!(seen[0].0, 401);
    assert_eq!(seen[0].1["errorCode"], "E0000004");
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    let counts = rig.json("/__simulator/counts").await;
    assert_eq!(counts["password_checks"], json!({ "ann": 4, "nobody": 1 }));

    let reset = rig.post("/__simulator/reset").send().await.unwrap();
    assert_eq!(reset.status(), 204);
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200, "a reset unlocks");
}

#[tokio::test]
async fn a_shown_lock_out_is_200_without_a_user() {
    let rig = org(json!({ "lock_out_after": 1, "lock_out": "shown" }), ann(&json!({}))).await;
    for password in ["wrong", "right horse"] {
        let (status, body) = outcome(sign_in(&rig, "ann", password).await).await;
        assert_eq!((status, &body["status"]), (200, &json!("LOCKED_OUT")));
        assert_eq!(body["_embedded"], json!({}));
    }
}

#[tokio::test]
async fn a_right_password_between_wrong_ones_resets_the_count() {
    let rig = org(json!({ "lock_out_after": 2 }), ann(&json!({}))).await;
    for (password, status) in [("wrong", 401), ("right horse", 200), ("wrong", 401), ("right horse", 200)] {
        assert_eq!(sign_in(&rig, "ann", password).await.status(), status);
    }
}

#[tokio::test]
async fn every_transaction_state_can_be_reached() {
    let totp = json!([{ "id": "uft1", "factor_type": "token:software:totp", "provider": "GOOGLE" }]);
    let table = [
        (json!({ "status": "PASSWORD_EXPIRED" }), "PASSWORD_EXPIRED"),
        (json!({ "factors": totp }), "MFA_REQUIRED"),
        (json!({ "factors": totp, "status": "PASSWORD_EXPIRED" }), "MFA_REQUIRED"),
        (json!({ "must_enroll": true }), "MFA_ENROLL"),
        (json!({ "expires_soon": true }), "SUCCESS"),
        (json!({ "transaction": "MFA_ENROLL_ACTIVATE" }), "MFA_ENROLL_ACTIVATE"),
        (json!({ "transaction": "MFA_CHALLENGE", "factors": totp }), "MFA_CHALLENGE"),
        (json!({ "transaction": "RECOVERY" }), "RECOVERY"),
        (json!({ "transaction": "RECOVERY_CHALLENGE" }), "RECOVERY_CHALLENGE"),
        (json!({ "transaction": "PASSWORD_RESET" }), "PASSWORD_RESET"),
        (json!({ "transaction": "UNAUTHENTICATED" }), "UNAUTHENTICATED"),
        (json!({ "transaction": "PASSKEY_ORBIT" }), "PASSKEY_ORBIT"),
    ];
    for (more, state) in table {
        let rig = org(json!({}), ann(&more)).await;
        assert_eq!(sign_in(&rig, "ann", "wrong").await.status(), 401, "{state}");
        let (status, body) = outcome(sign_in(&rig, "ann", "right horse").await).await;
        assert_eq!((status, &body["status"]), (200, &json!(state)));
        assert_eq!(body.get("sessionToken").is_some(), state == "SUCCESS", "{state}");
        assert_eq!(body["_embedded"].get("user").is_some(), state != "UNAUTHENTICATED", "{state}");
    }
}

#[tokio::test]
async fn a_password_about_to_expire_warns_only_when_asked() {
    let rig = org(json!({}), ann(&json!({ "expires_soon": true }))).await;
    let body = json!({
        "username": "ann", "password": "right horse", "options": { "warnBeforePasswordExpired": true },
    });
    let (_, body) = outcome(rig.post("/api/v1/authn").json(&body).send().await.unwrap()).await;
    assert_eq!(body["status"], "PASSWORD_WARN");
    assert!(body["_links"]["skip"]["href"].as_str().unwrap().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn an_answer_can_lack_its_status() {
    let rig = org(json!({}), ann(&json!({ "transaction": "-" }))).await;
    let (status, body) = outcome(sign_in(&rig, "ann", "right horse").await).await;
    assert_eq!(status, 200);
    assert!(body.get("status").is_none() && body["_embedded"]["user"]["id"] == "00u1");
}

#[tokio::test]
async fn only_usable_accounts_prove_a_password() {
    for status in ["STAGED", "PROVISIONED", "RECOVERY", "SUSPENDED", "DEPROVISIONED", "HIBERNATING"] {
        let rig = org(json!({}), ann(&json!({ "status": status }))).await;
        assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 401, "{status}");
        let user = rig.get("/api/v1/users/00u1").header("authorization", TOKEN).send().await.unwrap();
        assert_eq!(user.json::<Value>().await.unwrap()["status"], status);
    }
}

#[tokio::test]
async fn a_seed_can_name_the_error_of_a_person() {
    let table = [
        ("E0000001", 400),
        ("E0000004", 401),
        ("E0000006", 403),
        ("E0000009", 500),
        ("E0000010", 503),
        ("E0000011", 401),
        ("E0000015", 401),
        ("E0000038", 403),
        ("E0000047", 429),
        ("E0000064", 401),
        ("E0000069", 403),
        ("E0000079", 403),
        ("E0000119", 403),
    ];
    for (code, status) in table {
        let rig = org(json!({}), ann(&json!({ "authn_error": code }))).await;
        let (got, body) = outcome(sign_in(&rig, "ann", "right horse").await).await;
        assert_eq!((got, &body["errorCode"], &body["errorLink"]), (status, &json!(code), &json!(code)));
        assert!(body["errorCauses"].is_array());
    }
}

#[tokio::test]
async fn a_malformed_sign_in_is_told_apart() {
    let rig = org(json!({ "longest_password_bytes": 72 }), ann(&json!({}))).await;
    let plain = rig.post("/api/v1/authn").body("username=ann").send().await.unwrap();
    assert_eq!(outcome(plain).await.1["errorCode"], "E0000021");
    let broken = rig.post("/api/v1/authn").header("content-type", "application/json").body("{");
    assert_eq!(outcome(broken.send().await.unwrap()).await.1["errorCode"], "E0000003");
    for body in [
        json!({ "password": "x" }),
        json!({ "username": "ann" }),
        json!({ "username": "ann", "password": "" }),
        json!({ "username": "ann", "password": "x".repeat(73) }),
        json!({ "username": "ann", "password": "x", "audience": "a" }),
        json!({ "username": "ann", "password": "x", "context": { "deviceToken": "d".repeat(33) } }),
    ] {
        let (status, answer) = outcome(rig.post("/api/v1/authn").json(&body).send().await.unwrap()).await;
        assert_eq!((status, &answer["errorCode"]), (400, &json!("E0000001")), "{body}");
    }
    assert_eq!(rig.json("/__simulator/counts").await["password_checks"], json!({}));
    assert_eq!(outcome(rig.get("/api/v1/authn").send().await.unwrap()).await.0, 405);
    assert_eq!(outcome(rig.get("/nowhere").send().await.unwrap()).await.1["errorCode"], "E0000007");
}

#[tokio::test]
async fn a_wrong_token_is_no_wrong_password() {
    let rig = org(json!({}), ann(&json!({}))).await;
    let body = json!({ "username": "ann", "password": "right horse" });
    for (header, status) in [("SSWS nonsense", 401), ("Bearer 00simulated-okta-token", 401), (TOKEN, 200)] {
        let call = rig.post("/api/v1/authn").header("authorization", header).json(&body);
        assert_eq!(call.send().await.unwrap().status(), status, "{header}");
    }
    let anonymous = outcome(rig.get("/api/v1/users/ann").send().await.unwrap()).await;
    assert_eq!((anonymous.0, &anonymous.1["errorCode"]), (401, &json!("E0000005")));
    let rig = org(json!({ "token_scopes": ["users"] }), ann(&json!({}))).await;
    let groups = rig.get("/api/v1/users/ann/groups").header("authorization", TOKEN).send().await.unwrap();
    assert_eq!(outcome(groups).await.1["errorCode"], "E0000006");
}

#[tokio::test]
async fn a_user_is_found_by_id_by_login_and_by_unique_short_name() {
    let mut people = ann(&json!({ "login": "a/n?n#+%@example.org", "id": "00u/1" }));
    let bob = |domain: &str| json!({ "id": domain, "login": format!("bob@{domain}"), "password": "x" });
    people.as_array_mut().unwrap().extend([bob("one.example"), bob("two.example")]);
    let rig = org(json!({}), people).await;
    for (key, status) in [
        ("a%2Fn%3Fn%23%2B%25%40example.org", 200),
        ("a%2Fn%3Fn%23%2B%25", 200),
        ("00u%2F1", 200),
        ("bob@two.example", 200),
        ("bob", 404),
        ("ann.mail@example.org", 404),
    ] {
        let path = format!("/api/v1/users/{key}");
        let answer = outcome(rig.get(&path).header("authorization", TOKEN).send().await.unwrap()).await;
        assert_eq!(answer.0, status, "{key}: {}", answer.1);
        let text = answer.1.to_string();
        assert!(!text.contains("right horse"), "no password leaves");
    }
}

#[tokio::test]
async fn groups_come_page_by_page() {
    let groups: Vec<Value> =
        (0..5).map(|n| json!({ "id": format!("g{n}"), "name": format!("Group {n}") })).collect();
    let rig = org(json!({ "page_size": 2 }), ann(&json!({ "groups": groups }))).await;
    let (mut next, mut names, mut pages) = (Some(rig.url("/api/v1/users/ann/groups")), Vec::new(), 0);
    while let Some(url) = next {
        let path = url.strip_prefix(&rig.url("")).unwrap().to_owned();
        let answer = rig.get(&path).header("authorization", TOKEN).send().await.unwrap();
        next = answer.headers().get_all("link").iter().find_map(|link| {
            let (url, rel) = link.to_str().unwrap().split_once("; ").unwrap();
            (rel == "rel=\"next\"").then(|| url.trim_matches(['<', '>']).to_owned())
        });
        let items: Value = answer.json().await.unwrap();
        names.extend(items.as_array().unwrap().iter().map(|group| group["profile"]["name"].to_string()));
        pages += 1;
    }
    assert_eq!((names.len(), pages), (5, 3));
}

#[tokio::test]
async fn people_are_searched_exactly() {
    let users = json!([
        { "id": "1", "login": "ann@x.org", "first_name": "Ann" },
        { "id": "2", "login": "joann@x.org", "first_name": "Joann" },
        { "id": "3", "login": "old@x.org", "email": "ANN@x.org", "status": "DEPROVISIONED" },
    ]);
    let rig = org(json!({}), users).await;
    for (query, ids) in [
        ("search=profile.email+eq+%22ann@X.org%22", vec!["1", "3"]),
        ("filter=profile.login+eq+%22ann@x.org%22", vec!["1"]),
        ("search=profile.login+sw+%22jo%22+or+id+eq+%223%22", vec!["2", "3"]),
        ("search=profile.email+eq+%22ann@x.org%22+and+status+eq+%22ACTIVE%22", vec!["1"]),
        ("q=jo", vec!["2"]),
        ("limit=200", vec!["1", "2"]),
    ] {
        let path = format!("/api/v1/users?{query}");
        let found: Value =
            rig.get(&path).header("authorization", TOKEN).send().await.unwrap().json().await.unwrap();
        let found: Vec<_> =
            found.as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    }
    for wrong in
        ["profile.email", "profile.email+co+%22a%22", "profile.shoe+eq+%22a%22", "id+eq+%22a%22+xor+x"]
    {
        let path = format!("/api/v1/users?search={wrong}");
        let answer = outcome(rig.get(&path).header("authorization", TOKEN).send().await.unwrap()).await;
        assert_eq!((answer.0, &answer.1["errorCode"]), (400, &json!("E0000031")), "{wrong}");
    }
}

#[tokio::test]
async fn enrolled_factors_are_listed() {
    let factors = json!([{ "id": "uft1", "factor_type": "push", "status": "PENDING_ACTIVATION" }]);
    let rig = org(json!({}), ann(&json!({ "factors": factors }))).await;
    let answer = rig.get("/api/v1/users/00u1/factors").header("authorization", TOKEN).send().await.unwrap();
    let listed: Value = answer.json().await.unwrap();
    assert_eq!(listed[0]["factorType"], "push");
    assert_eq!(listed[0]["status"], "PENDING_ACTIVATION");
    let (_, body) = outcome(sign_in(&rig, "ann", "right horse").await).await;
    assert_eq!(body["status"], "SUCCESS", "a pending factor is not enrolled");
}

#[tokio::test]
async fn the_rate_limit_is_told_and_kept() {
    let options: Options =
        serde_json::from_value(json!({ "requests_per_window": 2, "users": ann(&json!({})) })).unwrap();
    let clock = TestClock::at(Timestamp::from_seconds(1_000));
    let state = Okta::new(options, clock.clone());
    let rig = Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await;
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = sign_in(&rig, "ann", "right horse").await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["x-rate-limit-limit"], "2");
        assert_eq!(answer.headers()["x-rate-limit-remaining"], remaining);
        assert_eq!(answer.headers()["x-rate-limit-reset"], "1060");
    }
    clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200);
}

#[tokio::test]
async fn forwarded_for_counts_only_from_a_trusted_gateway_with_the_token() {
    let body = json!({ "username": "ann", "password": "right horse" });
    for (gateways, token, status) in
        [(json!(["127.0.0.1"]), true, 401), (json!(["127.0.0.1"]), false, 200), (json!([]), true, 200)]
    {
        let options = json!({ "trusted_proxies": gateways, "blocked_ips": ["203.0.113.7"] });
        let rig = org(options, ann(&json!({}))).await;
        let mut call = rig
            .post("/api/v1/authn")
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.7")
            .header("user-agent", "Crumhorn/7")
            .json(&body);
        if token {
            call = call.header("authorization", TOKEN);
        }
        assert_eq!(call.send().await.unwrap().status(), status, "{gateways} {token}");
        let journal = rig.json("/__simulator/journal").await;
        let entry = &journal["requests"][0];
        assert_eq!(entry["client_ip"], if status == 401 { "203.0.113.7" } else { "127.0.0.1" });
        assert_eq!(entry["remarks"]["user_agent"], "Crumhorn/7");
        assert_eq!(entry["password"], json!({ "length_bytes": 11 }));
        assert_eq!(entry["status"], status);
        let text = journal.to_string();
        assert!(!text.contains("right horse") && !text.contains("00simulated-okta-token"));
    }
}

#[tokio::test]
async fn faults_come_and_go_at_run_time() {
    let rig =
        org(json!({ "faults": [{ "kind": "status", "status": 503, "times": 1 }] }), ann(&json!({}))).await;
    let at_start = outcome(sign_in(&rig, "ann", "right horse").await).await;
    assert_eq!((at_start.0, &at_start.1["errorCode"]), (503, &json!("E0000010")));
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200, "one time means one time");

    rig.set_faults(json!({ "kind": "status", "path": "/api/v1/users" })).await;
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200, "another path is left alone");
    assert_eq!(rig.get("/api/v1/users/ann").send().await.unwrap().status(), 500);

    rig.set_faults(json!({ "kind": "rate_limited", "reset_after_secs": 9 })).await;
    let limited = sign_in(&rig, "ann", "right horse").await;
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["x-rate-limit-limit"]),
        (429, &"0".parse().unwrap())
    );

    rig.set_faults(json!([{ "kind": "html" }])).await;
    let page = sign_in(&rig, "ann", "right horse").await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().starts_with("<!doctype"));

    rig.request(reqwest::Method::DELETE, "/__simulator/faults").send().await.unwrap();
    assert_eq!(rig.json("/__simulator/faults").await, json!([]));
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200);
}

#[tokio::test]
async fn a_spoiled_answer_comes_after_the_check() {
    let rig = org(json!({}), ann(&json!({}))).await;
    rig.set_faults(json!({ "kind": "truncated" })).await;
    let text = sign_in(&rig, "ann", "right horse").await.text().await.unwrap();
    assert!(text.starts_with('{') && serde_json::from_str::<Value>(&text).is_err());

    rig.set_faults(json!({ "kind": "huge" })).await;
    let text = sign_in(&rig, "ann", "right horse").await.text().await.unwrap();
    assert!(text.len() > 1 << 20);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["status"], "SUCCESS");

    rig.set_faults(json!({ "kind": "wrong_types" })).await;
    assert_eq!(outcome(sign_in(&rig, "ann", "right horse").await).await.1["status"], 7);

    rig.set_faults(json!({ "kind": "reset" })).await;
    let answer = sign_in(&rig, "ann", "right horse").await;
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap_err();

    rig.set_faults(json!({ "kind": "down" })).await;
    let body = json!({ "username": "ann", "password": "right horse" });
    let down = rig.post("/api/v1/authn").json(&body).send().await;
    assert!(down.is_err(), "no answer at all");
    let checks = &rig.json("/__simulator/counts").await["password_checks"];
    assert_eq!(checks["ann"], 4, "the lost answers were checks, the refused connection was none");
}

#[tokio::test]
async fn a_slow_answer_is_right_but_late() {
    let options: Options = serde_json::from_value(json!({ "users": ann(&json!({})) })).unwrap();
    let clock = TestClock::at(Timestamp::from_seconds(1_000));
    let state = Okta::new(options, clock.clone());
    let rig = Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await;
    rig.set_faults(json!({ "kind": "slow", "delay_ms": 90_000 })).await;
    assert_eq!(sign_in(&rig, "ann", "right horse").await.status(), 200);
    assert_eq!(crate::clock::Clock::now(&*clock), Timestamp::from_seconds(1_090));
}

#[tokio::test]
async fn it_stops_when_asked() {
    let rig = org(json!({}), json!([])).await;
    let address = rig.address();
    rig.stop().await.unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap_err();
}

#[tokio::test]
async fn a_reset_is_a_reset_and_down_is_silence() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = org(json!({}), json!([])).await;
    let call = async || {
        let mut stream = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
        stream.write_all(b"GET /api/v1/users/x HTTP/1.1\r\nhost: okta.localhost\r\n\r\n").await.unwrap();
        let mut received = Vec::new();
        let ended = stream.read_to_end(&mut received).await;
        (String::from_utf8(received).unwrap(), ended.map_err(|error| error.kind()))
    };
    rig.set_faults(json!({ "kind": "reset" })).await;
    let (received, ended) = call().await;
    assert!(received.starts_with("HTTP/1.1 401") && received.contains("{\"errorC"), "{received}");
    assert_eq!(ended, Err(io::ErrorKind::ConnectionReset));
    rig.set_faults(json!({ "kind": "down" })).await;
    assert_eq!(call().await.0, "");
}
