//! The refresh of tokens: what is sent, what is believed, and what each failure means for the session.

use super::{
    sign_in::{NONCE, Play, Signer, TOKEN, sign},
    *,
};
use crate::{
    login::UserId,
    session::{ClaimsProblem, IdentityProvider as _, NewClaims, RefreshError, RefreshWith, Refreshed},
};

type Change = fn(&mut Play);

async fn refreshed(change: impl FnOnce(&mut Play)) -> (Theatre, Result<Refreshed, RefreshError>) {
    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    // The token in hand has the nonce of its sign-in.
    let in_hand = play.id_token();
    play.claims.as_object_mut().unwrap().remove("nonce");
    change(&mut play);
    play.put_on(&theatre.stage);
    let result = refresh(&theatre, &in_hand).await;
    (theatre, result)
}

async fn refresh(theatre: &Theatre, in_hand: &str) -> Result<Refreshed, RefreshError> {
    let user = UserId("usr_1".into());
    let with = RefreshWith { refresh_token: "canary-refresh", id_token: in_hand, user: &user };
    theatre.scalekit.refresh(with, soon()).await
}

fn access_token(play: &Play, subject: &str, roles: &[&str]) -> String {
    let claims =
        json!({"iss": play.origin, "sub": subject, "aud": ["skc_1"], "exp": NOW + 300, "roles": roles});
    sign(Signer::Rsa, &play.header.to_string(), &claims.to_string())
}

#[tokio::test]
async fn new_tokens_come_with_new_claims() {
    let (theatre, result) = refreshed(|play| {
        play.granted["refresh_token"] = json!("canary-rotated");
        play.granted["access_token"] = json!(access_token(play, "usr_1", &["admin"]));
        play.claims["email"] = json!("New@Example.com");
        play.claims["oid"] = json!("org_2");
    })
    .await;
    let refreshed = result.unwrap();
    assert_eq!(refreshed.access_lifetime, Some(Duration::from_secs(299)));
    assert_eq!(refreshed.tokens.refresh_token.as_deref(), Some("canary-rotated"));
    let claims = NewClaims {
        email: CanonicalEmail::parse("new@example.com").ok(),
        organization: Some("org_2".into()),
        roles: Some(vec!["admin".into()]),
    };
    assert_eq!(refreshed.claims, Ok(claims));
    let [sent] = theatre.stage.seen("POST", TOKEN).try_into().unwrap();
    let form = sent.form();
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("refresh_token", "canary-refresh"),
        ("client_id", "skc_1"),
        ("client_secret", SECRET),
    ] {
        assert_eq!(form[name], value);
    }
    assert_eq!(form.len(), 4);
    assert!(!format!("{refreshed:?}").contains("canary"));
}

#[tokio::test]
async fn what_the_answer_leaves_out_stays_as_it_is() {
    // Not every provider rotates, repeats the ID token, or its nonce (`OpenID` Connect Core §12.2).
    let cases: [(&str, Change); 3] = [
        ("neither token", |play| play.granted["id_token"] = json!(null)),
        ("the nonce again", |play| play.claims["nonce"] = json!(NONCE)),
        ("an address nobody verified", |play| {
            play.granted["id_token"] = json!(null);
            play.claims["email_verified"] = json!(false);
        }),
    ];
    for (name, change) in cases {
        let (_, result) = refreshed(change).await;
        let refreshed = result.unwrap();
        assert_eq!(refreshed.tokens.refresh_token.as_deref(), Some("canary-refresh"), "{name}");
        assert!(refreshed.tokens.id_token.contains('.'), "{name}: one for the sign-out");
        let claims = refreshed.claims.unwrap();
        assert_eq!(claims.roles, None, "{name}");
    }
    let (_, result) = refreshed(|play| play.claims["email_verified"] = json!(false)).await;
    assert_eq!(result.unwrap().claims.unwrap().email, None);
}

#[tokio::test]
async fn another_person_or_issuer_is_told_from_a_token_that_is_not_believed() {
    let another: [(&str, Change); 3] = [
        ("subject", |play| play.claims["sub"] = json!("usr_2")),
        ("issuer", |play| play.claims["iss"] = json!("https://evil.test")),
        ("access token alone", |play| {
            play.granted["id_token"] = json!(null);
            play.granted["access_token"] = json!(access_token(play, "usr_2", &[]));
        }),
    ];
    for (name, change) in another {
        assert_eq!(refreshed(change).await.1.unwrap().claims, Err(ClaimsProblem::AnotherPerson), "{name}");
    }
    let unbelievable: [(&str, Change, &str); 8] = [
        ("signature", |play| play.signer = Signer::OtherRsa, "signature"),
        (
            "another person, badly signed",
            |play| (play.signer, play.claims["sub"]) = (Signer::OtherRsa, json!("usr_2")),
            "signature",
        ),
        ("algorithm", |play| play.header["alg"] = json!("none"), "algorithm"),
        ("audience", |play| play.claims["aud"] = json!("other"), "audience"),
        ("party", |play| play.claims["azp"] = json!("other"), "azp"),
        ("expired", |play| play.claims["exp"] = json!(NOW - 61), "expired"),
        ("nonce of another sign-in", |play| play.claims["nonce"] = json!("other"), "nonce"),
        ("keys", |play| play.keys_reply = Some(status(503)), "keys: answered 503"),
    ];
    for (name, change, reason) in unbelievable {
        let (_, result) = refreshed(|play| {
            play.granted["refresh_token"] = json!("canary-rotated");
            change(play);
        })
        .await;
        let refreshed = result.unwrap();
        let Err(ClaimsProblem::Unjudged(problem)) = &refreshed.claims else { panic!("{name}") };
        assert!(problem.contains(reason), "{name}: {problem}");
        // The old one may be used up: what came must not be lost.
        assert_eq!(refreshed.tokens.refresh_token.as_deref(), Some("canary-rotated"), "{name}");
        assert!(!refreshed.tokens.id_token.is_empty() && !problem.contains("canary"), "{name}");
    }
}

#[tokio::test]
async fn only_invalid_grant_is_about_the_token() {
    let rfc =
        |status, code: &str| Reply::json(status, &json!({"error": code, "error_description": "canary"}));
    let grpc = |status, code: &str| {
        Reply::json(status, &json!({"code": 3, "message": "canary", "details": [{"error_code": code}]}))
    };
    for (name, reply, expected) in [
        ("invalid_grant", rfc(400, "invalid_grant"), None),
        ("as Scalekit's other errors", grpc(400, "INVALID_GRANT"), None),
        ("with 401", rfc(401, "invalid_grant"), None),
        // The second: whether the token may have been used.
        ("in a 500", rfc(500, "invalid_grant"), Some(true)),
        ("in a 429", rfc(429, "invalid_grant"), Some(false)),
        ("in a 302", rfc(302, "invalid_grant"), Some(false)),
        ("in a 200", rfc(200, "invalid_grant"), Some(true)),
        ("another 400", rfc(400, "invalid_request"), Some(false)),
        ("a bare 400", Reply::text(400, "text/html", "<html>canary"), Some(false)),
        ("invalid_client", rfc(401, "invalid_client"), Some(false)),
        ("403", Reply::text(403, "text/html", "<html>"), Some(false)),
        ("404", Reply::text(404, "text/html", "<html>"), Some(false)),
        ("503", Reply::text(503, "text/html", "<html>"), Some(true)),
        ("html", Reply::text(200, "text/html", "<html>canary"), Some(true)),
        ("too large", Reply::text(200, "application/json", "x".repeat(1024 * 1024 + 1)), Some(true)),
        ("no access token", Reply::json(200, &json!({"refresh_token": "canary"})), Some(true)),
        ("empty access token", Reply::json(200, &json!({"access_token": ""})), Some(true)),
        ("cut off", Reply::CutOff, Some(true)),
        ("hung up", Reply::Close, Some(true)),
    ] {
        let (theatre, result) = refreshed(|play| play.token_reply = Some(reply)).await;
        match (result, expected) {
            (Err(RefreshError::TokenInvalid), None) => {}
            (Err(RefreshError::Later { problem, may_be_used, .. }), Some(expected)) => {
                assert_eq!(may_be_used, expected, "{name}: {problem}");
                assert!(!problem.contains("canary"), "{name}: {problem}");
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
        assert_eq!(theatre.stage.seen("POST", TOKEN).len(), 1, "{name}: sent once");
    }
}

#[tokio::test]
async fn a_named_wait_is_passed_on_and_a_hang_has_an_end() {
    let (_, result) = refreshed(|play| {
        play.token_reply = Some(status(429).header("retry-after", "33"));
    })
    .await;
    let Err(RefreshError::Later { retry_after, .. }) = result else { panic!("{result:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(33)));

    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    play.token_reply = Some(Reply::Hang);
    play.put_on(&theatre.stage);
    let user = UserId("usr_1".into());
    let with = RefreshWith { refresh_token: "canary", id_token: "", user: &user };
    let result = theatre.scalekit.refresh(with, Deadline::within(Duration::from_millis(300))).await;
    let Err(RefreshError::Later { may_be_used: true, .. }) = result else { panic!("{result:?}") };
    // No address, no sending: the token is as good as before.
    let theatre = Theatre::open().await;
    let mut play = Play::at(&theatre.stage.origin());
    play.discovery_reply = Some(status(503));
    play.put_on(&theatre.stage);
    let result = refresh(&theatre, "").await;
    let Err(RefreshError::Later { may_be_used: false, .. }) = result else { panic!("{result:?}") };
    assert!(theatre.stage.seen("POST", TOKEN).is_empty());
}

/// REL-11: after a change both secrets are tried, each once, and the one that is accepted goes first from then on.
#[tokio::test]
async fn a_rotated_client_secret_fails_no_call() {
    let unknown = || Reply::json(401, &json!({"error": "invalid_client"}));
    let theatre = Theatre::open().await;
    let play = Play::at(&theatre.stage.origin());
    let good = || {
        let mut granted = play.granted.clone();
        granted["id_token"] = json!(null);
        Reply::json(200, &granted)
    };
    play.put_on(&theatre.stage);
    let secrets = || -> Vec<String> {
        theatre.stage.seen("POST", TOKEN).iter().map(|seen| seen.form()["client_secret"].clone()).collect()
    };
    // One secret, refused: nothing else to try.
    theatre.stage.on("POST", TOKEN, [unknown()]);
    assert!(refresh(&theatre, "").await.is_err());
    assert_eq!(secrets(), [SECRET]);

    // The new one counts here already and there not yet.
    theatre.scalekit.set_client_secret(&Secret::new("new".into()));
    theatre.stage.on("POST", TOKEN, [unknown(), good()]);
    assert!(refresh(&theatre, "").await.is_ok());
    assert!(refresh(&theatre, "").await.is_ok());
    assert_eq!(secrets()[1..], ["new", SECRET, SECRET]);

    // Now the old one is withdrawn.
    theatre.stage.on("POST", TOKEN, [unknown(), good()]);
    assert!(refresh(&theatre, "").await.is_ok());
    assert!(refresh(&theatre, "").await.is_ok());
    assert_eq!(secrets()[4..], [SECRET, "new", "new"]);

    // Neither: the operator's, and asked no third time.
    theatre.stage.on("POST", TOKEN, [unknown()]);
    assert!(refresh(&theatre, "").await.is_err());
    assert_eq!(secrets()[7..], ["new", SECRET]);
    // What is refused for another reason is sent once.
    theatre.stage.on("POST", TOKEN, [Reply::json(401, &json!({"error": "invalid_grant"}))]);
    assert_eq!(refresh(&theatre, "").await, Err(RefreshError::TokenInvalid));
    assert_eq!(secrets().len(), 10);

    // Our own token, too.
    theatre.stage.on("POST", "/oauth/token", [unknown(), token("t1")]);
    theatre.stage.on("GET", "/api/v1/users/usr_1", [one(&user("usr_1", "", EMAIL))]);
    let user = UserId("usr_1".into());
    let read = crate::login::Directory::read_user(&theatre.scalekit, &user, soon()).await;
    assert!(read.unwrap().is_some());
}
