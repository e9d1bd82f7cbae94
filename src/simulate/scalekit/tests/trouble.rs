//! Faults around a create: what the caller sees, and what really happened.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_lost_answer_leaves_the_user_made() {
    let stage = Stage::with(json!({})).await;
    stage
        .rig
        .set_faults(json!({ "kind": "lost", "path": "/api/v1/organizations", "method": "POST", "times": 1 }))
        .await;
    let path = format!("/organizations/{HARBOUR}/users?send_invitation_email=false");
    let body = json!({ "email": "ann@x.test", "external_id": "legacy-1" });
    let error = stage.call(Method::POST, &path).json(&body).send().await.unwrap_err();
    assert!(!error.is_connect() && !error.is_builder(), "the request was sent: {error:?}");
    assert_eq!(stage.truth().await.len(), 1);
    assert_eq!(stage.create(body.clone()).await.0, 409, "a blind second try meets the first");
    assert_eq!(stage.get("/users:external/legacy-1").await.0, 200);

    stage.set(json!({ "on_duplicate": "second_user" })).await;
    assert_eq!(stage.create(body).await.0, 201);
    assert_eq!(stage.truth().await.len(), 2, "and in the nightmare makes a second");
    assert_eq!(stage.rig.json("/__simulator/counts").await["duplicates_made"], 1);
    stage.judge().await;
}

#[tokio::test]
async fn a_connection_that_was_down_made_nobody() {
    let stage = Stage::with(json!({})).await;
    stage.rig.set_faults(json!({ "kind": "down", "path": "/api/v1/organizations", "times": 1 })).await;
    let path = format!("/organizations/{HARBOUR}/users?send_invitation_email=false");
    let body = json!({ "email": "ann@x.test" });
    assert!(stage.call(Method::POST, &path).json(&body).send().await.is_err());
    assert!(stage.truth().await.is_empty());
}

#[tokio::test]
async fn late_works_first_and_slow_waits_first() {
    for (kind, users) in [("late", 1), ("slow", 0)] {
        let stage = Stage::with(json!({})).await;
        stage
            .rig
            .set_faults(json!({ "kind": kind, "path": "/api/v1/organizations", "delay_ms": 30_000 }))
            .await;
        let path = format!("/organizations/{HARBOUR}/users?send_invitation_email=false");
        let call = stage.call(Method::POST, &path).json(&json!({ "email": "ann@x.test" }));
        let error = call.timeout(Duration::from_millis(300)).send().await.unwrap_err();
        assert!(error.is_timeout(), "{kind}");
        assert_eq!(stage.truth().await.len(), users, "{kind}");
    }
}

#[tokio::test]
async fn error_faults_speak_like_the_api_and_name_a_wait_only_when_told() {
    let stage = Stage::with(json!({})).await;
    for (fault, status, wait) in [
        (json!({ "kind": "status", "status": 503 }), 503, None),
        (json!({ "kind": "rate_limited" }), 429, None),
        (json!({ "kind": "rate_limited", "reset_after_secs": 7 }), 429, Some("7")),
    ] {
        stage.rig.set_faults(fault).await;
        let answer = stage.call(Method::GET, "/users").send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers().get("retry-after").map(|value| value.to_str().unwrap()), wait);
        let body: Value = answer.json().await.unwrap();
        assert!(body["code"].is_u64() && body["details"][0]["error_code"].is_string(), "{body}");
    }
}
