//! Token, retries, rate limit and breaker.

use super::*;
use crate::login::{CreateError, Directory as _, UserId};

const READ: &str = "/api/v1/users/usr_1";

fn found() -> Reply {
    one(&user("usr_1", "legacy:42", EMAIL))
}

async fn read(
    theatre: &Theatre,
) -> Result<Option<crate::login::DirectoryUser>, crate::login::DirectoryError> {
    theatre.scalekit.read_user(&UserId("usr_1".into()), soon()).await
}

#[tokio::test]
async fn many_callers_cause_one_token_call_with_the_secret_in_the_form() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [found()]);
    let reads = (0..50).map(|_| read(&theatre));
    for result in join_all(reads).await {
        assert!(result.unwrap().is_some());
    }
    let tokens = theatre.stage.seen("POST", "/oauth/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!(tokens[0].authorization, None);
    let form = tokens[0].form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("skc_1", SECRET));
    let calls = theatre.stage.seen("GET", READ);
    assert_eq!(calls.len(), 50);
    assert!(calls.iter().all(|call| call.authorization.as_deref() == Some("Bearer t1")));
}

#[tokio::test]
async fn many_callers_share_one_failure_of_the_token_call() {
    let theatre = Theatre::open().await;
    theatre.stage.on("POST", "/oauth/token", [status(401)]);
    for result in join_all((0..20).map(|_| read(&theatre))).await {
        let error = result.unwrap_err();
        assert_eq!(error.class, ErrorClass::Misconfigured);
        assert_silent(&error);
    }
    assert_eq!(theatre.stage.seen("POST", "/oauth/token").len(), 1);
    assert_eq!(theatre.stage.calls(), [""; 0]);
}

#[tokio::test]
async fn the_token_is_renewed_ahead_of_its_end_and_a_failing_renewal_is_no_error() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [found()]);
    theatre.stage.on("POST", "/oauth/token", [token("old"), status(503), token("new")]);
    let last = || theatre.stage.seen("GET", READ).pop().unwrap().authorization.unwrap();

    read(&theatre).await.unwrap();
    theatre.clock.advance(Duration::from_mins(24 * 60 - 5));
    read(&theatre).await.unwrap();
    assert_eq!(last(), "Bearer old");
    read(&theatre).await.unwrap();
    assert_eq!(theatre.stage.seen("POST", "/oauth/token").len(), 2, "a failed renewal rests");
    theatre.clock.advance(Duration::from_secs(16));
    read(&theatre).await.unwrap();
    assert_eq!(last(), "Bearer new");
}

#[tokio::test]
async fn without_a_living_token_nothing_is_sent() {
    let theatre = Theatre::open().await;
    theatre.stage.on("POST", "/oauth/token", [token("old"), status(503)]);
    theatre.stage.on("GET", READ, [found()]);
    read(&theatre).await.unwrap();
    theatre.clock.advance(Duration::from_hours(24));
    assert!(is_transient(read(&theatre).await.unwrap_err().class));
    assert!(matches!(
        theatre.scalekit.create_user(&new_user(), soon()).await,
        Err(CreateError::NotDone(error)) if is_transient(error.class)
    ));
    assert_eq!(theatre.stage.seen("GET", READ).len(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nobody_along() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [found()]);
    theatre.stage.on("POST", "/oauth/token", [Reply::Hang, token("t2")]);
    let impatient = tokio::time::timeout(Duration::from_millis(100), read(&theatre));
    let (impatient, patient) = tokio::join!(impatient, read(&theatre));
    assert!(impatient.is_err());
    assert!(patient.unwrap().is_some());
}

#[tokio::test]
async fn a_token_answer_that_is_none_is_refused() {
    for (name, reply) in [
        ("html", Reply::text(200, "text/html", "<html>")),
        ("no token", Reply::json(200, &json!({"token_type": "Bearer", "expires_in": 5}))),
        ("empty token", Reply::json(200, &json!({"access_token": "", "expires_in": 5}))),
        ("token with a line break", Reply::json(200, &json!({"access_token": "canary\r\nx: y"}))),
        ("other type", Reply::json(200, &json!({"access_token": "canary", "token_type": "mac"}))),
        ("ended", Reply::json(200, &json!({"access_token": "canary", "expires_in": 0}))),
        ("ended long ago", Reply::json(200, &json!({"access_token": "canary", "expires_in": -1e300}))),
        ("redirect", Reply::json(302, &json!({})).header("location", "http://127.0.0.1:1/")),
        ("hung up", Reply::Close),
    ] {
        let theatre = Theatre::open().await;
        theatre.stage.on("POST", "/oauth/token", [reply]);
        theatre.stage.on("GET", READ, [found()]);
        let error = read(&theatre).await.expect_err(name);
        assert!(error.problem.starts_with("no token"), "{name}: {error}");
        assert_silent(&error);
        assert_eq!(theatre.stage.calls(), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_401_is_answered_with_one_new_token() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(401), found()]);
    assert!(read(&theatre).await.unwrap().is_some());
    let tokens: Vec<_> =
        theatre.stage.seen("GET", READ).into_iter().map(|call| call.authorization.unwrap()).collect();
    assert_eq!(tokens, ["Bearer t1", "Bearer t2"]);

    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(401)]);
    assert_eq!(read(&theatre).await.unwrap_err().class, ErrorClass::Misconfigured);
    assert_eq!(theatre.stage.seen("GET", READ).len(), 2);
}

#[tokio::test]
async fn a_401_is_the_one_answer_after_which_a_create_is_sent_again() {
    let theatre = Theatre::open().await;
    let path = "/api/v1/organizations/org_1/users";
    theatre.stage.on("POST", path, [status(401), one(&user("usr_1", "legacy:42", EMAIL))]);
    assert_eq!(theatre.scalekit.create_user(&new_user(), soon()).await.unwrap().id.0, "usr_1");
    assert_eq!(theatre.stage.seen("POST", path).len(), 2);
}

#[tokio::test]
async fn a_read_is_repeated_once_after_a_passing_error() {
    for passing in [status(503), status(500), Reply::Close, Reply::CutOff] {
        let theatre = Theatre::open().await;
        theatre.stage.on("GET", READ, [passing, found()]);
        assert!(read(&theatre).await.unwrap().is_some());
    }
    for (reply, calls) in [(status(503), 2), (Reply::Close, 2), (status(400), 1), (status(403), 1)] {
        let theatre = Theatre::open().await;
        theatre.stage.on("GET", READ, [reply]);
        assert_silent(&read(&theatre).await.unwrap_err());
        assert_eq!(theatre.stage.seen("GET", READ).len(), calls);
    }
}

#[tokio::test]
async fn garbage_is_never_an_answer() {
    let deep = format!("{{\"user\":{}1{}}}", "[".repeat(80), "]".repeat(80));
    let big = format!("{{\"user\":\"{}\"}}", "x".repeat(1024 * 1024));
    let wrong_type = json!({"user": {"id": "usr_1", "user_profile": {"email_verified": "true"}}}).to_string();
    let bad_date = json!({"user": {"id": "usr_1", "memberships": [
        {"organization_id": "org_1", "membership_status": "ACTIVE", "join_time": "yesterday"}
    ]}})
    .to_string();
    for (name, reply) in [
        ("html", Reply::text(200, "text/html", "<html>canary</html>")),
        ("half json", Reply::text(200, "application/json", "{\"user\":")),
        ("no user", Reply::json(200, &json!({}))),
        ("null user", Reply::json(200, &json!({"user": null}))),
        ("no id", Reply::json(200, &json!({"user": {"email": EMAIL}}))),
        ("empty id", Reply::json(200, &json!({"user": {"id": ""}}))),
        ("id with a slash", Reply::json(200, &json!({"user": {"id": "usr_1/canary"}}))),
        ("another user", one(&user("usr_2", "", EMAIL))),
        ("wrong type", Reply::text(200, "application/json", wrong_type)),
        ("unreadable beginning of a membership", Reply::text(200, "application/json", bad_date)),
        ("given twice", Reply::text(200, "application/json", r#"{"user":{"id":"usr_1","id":"usr_1"}}"#)),
        ("too deep", Reply::text(200, "application/json", deep)),
        ("too big", Reply::text(200, "application/json", big)),
        ("cut off", Reply::CutOff),
        ("empty", Reply::text(200, "application/json", "")),
        ("no content", Reply::text(204, "application/json", "")),
    ] {
        let theatre = Theatre::open().await;
        theatre.stage.on("GET", READ, [reply]);
        let error = read(&theatre).await.expect_err(name);
        assert!(is_transient(error.class), "{name}: {error:?}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn a_429_with_retry_after_holds_every_call_back_until_then() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(429).header("retry-after", "7"), found()]);
    let limited = read(&theatre).await.unwrap_err();
    assert_eq!(limited.class, ErrorClass::Transient { retry_after: Some(Duration::from_secs(7)) });

    theatre.clock.advance(Duration::from_secs(6));
    let held_back = read(&theatre).await.unwrap_err();
    assert_eq!(held_back.class, ErrorClass::Transient { retry_after: Some(Duration::from_secs(1)) });
    assert!(matches!(
        theatre.scalekit.create_user(&new_user(), soon()).await,
        Err(CreateError::NotDone(error)) if is_transient(error.class)
    ));
    assert_eq!(theatre.stage.calls().len(), 1, "nothing is sent before the moment");

    theatre.clock.advance(Duration::from_secs(1));
    assert!(read(&theatre).await.unwrap().is_some());
}

#[tokio::test]
async fn a_429_without_a_hint_backs_off_for_longer_each_time() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(429)]);
    for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
        let error = read(&theatre).await.unwrap_err();
        let ErrorClass::Transient { retry_after: Some(wait) } = error.class else { panic!("{error}") };
        let whole = Duration::from_secs(whole);
        assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        theatre.clock.advance(wait + Duration::from_millis(1));
    }
    theatre.stage.on("GET", READ, [found()]);
    assert!(read(&theatre).await.unwrap().is_some());
    theatre.stage.on("GET", READ, [status(429)]);
    let error = read(&theatre).await.unwrap_err();
    assert!(
        matches!(error.class, ErrorClass::Transient { retry_after: Some(wait) } if wait <= Duration::from_secs(1))
    );
}

#[tokio::test]
async fn the_breaker_opens_and_recovers() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(503)]);
    for _ in 0..10 {
        assert!(read(&theatre).await.is_err());
    }
    let asked = theatre.stage.calls().len();
    assert!(is_transient(read(&theatre).await.unwrap_err().class));
    assert!(matches!(
        theatre.scalekit.create_user(&new_user(), soon()).await,
        Err(CreateError::NotDone(error)) if is_transient(error.class)
    ));
    assert_eq!(theatre.stage.calls().len(), asked, "an open breaker lets nothing through");

    theatre.stage.on("GET", READ, [found()]);
    theatre.clock.advance(Duration::from_secs(5));
    assert!(read(&theatre).await.unwrap().is_some());
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_keep_the_breaker_open() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(503)]);
    for _ in 0..11 {
        assert!(read(&theatre).await.is_err());
    }
    theatre.clock.advance(Duration::from_secs(6));
    theatre.stage.on("GET", READ, [Reply::Hang, found()]);
    let cancelled = tokio::time::timeout(Duration::from_millis(100), read(&theatre)).await;
    assert!(cancelled.is_err());
    assert!(read(&theatre).await.unwrap().is_some());
}

#[tokio::test]
async fn a_slow_scalekit_costs_what_the_caller_has_left_and_no_more() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [found(), Reply::Hang]);
    read(&theatre).await.unwrap();
    let long = Deadline::within(Duration::from_secs(4));
    let short = Deadline::within(Duration::from_millis(200));
    let error = theatre.scalekit.read_user(&UserId("usr_1".into()), short).await.unwrap_err();
    assert!(is_transient(error.class));
    assert!(short.has_passed() && !long.has_passed());
    assert_eq!(theatre.stage.calls().len(), 2, "no time left to repeat it");
}
