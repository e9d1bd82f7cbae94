//! Everything a provider, or whoever sits in between, may answer and must not be believed for.

use super::{
    sign_in::{NONCE, Play, Signer, TOKEN, keys, redeem, rsa_jwk},
    *,
};
use crate::session::{IdentityProvider as _, SignInError};

type Change = fn(&mut Play);

fn without(play: &mut Play, claim: &str) {
    play.claims.as_object_mut().unwrap().remove(claim).unwrap();
}

/// What is changed, how, and a part of the reason that must be given.
const TOKENS: &[(&str, Change, &str)] = &[
    ("alg none", |p| (p.header["alg"], p.signer) = (json!("none"), Signer::Nobody), "algorithm"),
    ("alg None", |p| (p.header["alg"], p.signer) = (json!("None"), Signer::Nobody), "algorithm"),
    ("alg none, signed", |p| p.header["alg"] = json!("none"), "algorithm"),
    (
        "HS256 with the public key",
        |p| (p.header["alg"], p.signer) = (json!("HS256"), Signer::PublicKeyAsSecret),
        "algorithm",
    ),
    ("HMAC that says RS256", |p| p.signer = Signer::PublicKeyAsSecret, "signature"),
    ("RS512", |p| p.header["alg"] = json!("RS512"), "algorithm"),
    ("PS256", |p| p.header["alg"] = json!("PS256"), "algorithm"),
    ("alg in lower case", |p| p.header["alg"] = json!("rs256"), "algorithm"),
    ("alg a number", |p| p.header["alg"] = json!(256), "header"),
    ("no alg", |p| p.header = json!({"kid": "k1"}), "header"),
    (
        "alg given twice",
        |p| p.raw_header = Some(r#"{"alg":"none","alg":"RS256","kid":"k1"}"#.into()),
        "header",
    ),
    ("header is no object", |p| p.raw_header = Some("[]".into()), "header"),
    ("crit", |p| p.header["crit"] = json!(["exp"]), "extension"),
    ("no kid", |p| p.header = json!({"alg": "RS256"}), "names no key"),
    ("empty kid", |p| p.header["kid"] = json!(""), "names no key"),
    ("unknown kid", |p| p.header["kid"] = json!("k9"), "does not have"),
    ("kid of a key of another kind", |p| p.header["kid"] = json!("k2"), "does not have"),
    (
        "ES256 with an RSA kid",
        |p| (p.header["alg"], p.signer) = (json!("ES256"), Signer::Ec),
        "does not have",
    ),
    (
        "a key of its own in the header",
        |p| {
            p.header["jwk"] = rsa_jwk(&keys().other_rsa, "k1");
            p.signer = Signer::OtherRsa;
        },
        "signature",
    ),
    ("signature of another key", |p| p.signer = Signer::OtherRsa, "signature"),
    ("signature stripped", |p| p.mangle = |t| t[..=t.rfind('.').unwrap()].to_owned(), "no signature"),
    ("signature cut", |p| p.mangle = |t| t[..t.len() - 4].to_owned(), "signature"),
    ("signature padded", |p| p.mangle = |t| format!("{t}=="), "signature"),
    ("two parts", |p| p.mangle = |t| t[..t.rfind('.').unwrap()].to_owned(), "not a signed JWT"),
    ("four parts", |p| p.mangle = |t| format!("{t}.e30"), "not a signed JWT"),
    ("five parts", |p| p.mangle = |t| format!("{t}.e30.e30"), "not a signed JWT"),
    ("empty", |p| p.mangle = |_| String::new(), "not a signed JWT"),
    ("too long", |p| p.mangle = |t| format!("{t}{}", "A".repeat(20_000)), "16 KiB"),
    (
        "claims replaced",
        |p| {
            p.mangle = |t| {
                let parts: Vec<_> = t.split('.').collect();
                format!("{}.{}.{}", parts[0], super::sign_in::base64(r#"{"sub":"usr_2"}"#), parts[2])
            }
        },
        "signature",
    ),
    ("issuer with a slash", |p| p.claims["iss"] = json!(format!("{}/", p.origin)), "issuer"),
    ("issuer in capitals", |p| p.claims["iss"] = json!(p.origin.to_uppercase()), "issuer"),
    ("another issuer", |p| p.claims["iss"] = json!("https://evil.test"), "issuer"),
    ("no issuer", |p| without(p, "iss"), "claims"),
    ("another audience", |p| p.claims["aud"] = json!(["other"]), "audience"),
    ("no audience in the list", |p| p.claims["aud"] = json!([]), "audience"),
    ("audience a part of ours", |p| p.claims["aud"] = json!("skc_1x"), "audience"),
    ("no audience", |p| without(p, "aud"), "claims"),
    (
        "several audiences without azp",
        |p| {
            p.claims["aud"] = json!(["skc_1", "other"]);
            without(p, "azp");
        },
        "azp",
    ),
    ("another azp", |p| p.claims["azp"] = json!("other"), "azp"),
    (
        "azp other with one audience as text",
        |p| {
            (p.claims["aud"], p.claims["azp"]) = (json!("skc_1"), json!("other"));
        },
        "azp",
    ),
    ("expired", |p| p.claims["exp"] = json!(NOW - 60), "expired"),
    ("expired for ever", |p| p.claims["exp"] = json!(-1e300), "expired"),
    ("exp as text", |p| p.claims["exp"] = json!("9999999999"), "claims"),
    ("exp in milliseconds of the past", |p| p.claims["exp"] = json!(0), "expired"),
    ("no exp", |p| without(p, "exp"), "claims"),
    ("not valid yet", |p| p.claims["nbf"] = json!(NOW + 61), "nbf"),
    ("issued in the future", |p| p.claims["iat"] = json!(NOW + 61), "iat"),
    ("no iat", |p| without(p, "iat"), "claims"),
    ("no nonce", |p| without(p, "nonce"), "no nonce"),
    ("null nonce", |p| p.claims["nonce"] = json!(null), "no nonce"),
    ("another nonce", |p| p.claims["nonce"] = json!("nonce-of-another-sign-in"), "another sign-in"),
    ("nonce cut", |p| p.claims["nonce"] = json!(NONCE[..4]), "another sign-in"),
    ("nonce as a list", |p| p.claims["nonce"] = json!([NONCE]), "claims"),
    ("no subject", |p| without(p, "sub"), "claims"),
    ("empty subject", |p| p.claims["sub"] = json!(""), "subject"),
    ("blank subject", |p| p.claims["sub"] = json!("  "), "subject"),
    ("subject with a NUL", |p| p.claims["sub"] = json!("usr_1\u{0}"), "subject"),
    ("subject too long", |p| p.claims["sub"] = json!("x".repeat(256)), "subject"),
    ("subject a number", |p| p.claims["sub"] = json!(1), "claims"),
    (
        "subject given twice",
        |p| {
            p.raw_claims = Some(p.claims.to_string().replacen('{', r#"{"sub":"usr_2","#, 1));
        },
        "claims",
    ),
    (
        "verified given twice",
        |p| {
            p.raw_claims = Some(p.claims.to_string().replacen('{', r#"{"email_verified":false,"#, 1));
        },
        "claims",
    ),
    ("claims are a list", |p| p.raw_claims = Some("[]".into()), "claims"),
    ("claims are not JSON", |p| p.raw_claims = Some("sub=usr_1".into()), "claims"),
    ("at_hash of another token", |p| p.claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"),
    ("empty at_hash", |p| p.claims["at_hash"] = json!(""), "at_hash"),
];

const ANSWERS: &[(&str, Change, &str)] = &[
    (
        "keys: a symmetric key of that name",
        |p| {
            p.keys = json!({"keys": [{"kty": "oct", "kid": "k1", "alg": "RS256", "k": "c2VjcmV0"}]});
        },
        "does not have",
    ),
    ("keys: for encryption", |p| p.keys["keys"][0]["use"] = json!("enc"), "does not have"),
    ("keys: for signing only", |p| p.keys["keys"][0]["key_ops"] = json!(["sign"]), "does not have"),
    ("keys: for another algorithm", |p| p.keys["keys"][0]["alg"] = json!("RS512"), "does not have"),
    ("keys: a short modulus", |p| p.keys["keys"][0]["n"] = json!("AQAB"), "does not have"),
    ("keys: not base64", |p| p.keys["keys"][0]["n"] = json!("!".repeat(342)), "does not have"),
    (
        "keys: the key of another",
        |p| {
            p.keys = json!({"keys": [rsa_jwk(&keys().other_rsa, "k1")]});
        },
        "signature",
    ),
    ("keys: none", |p| p.keys = json!({"keys": []}), "does not have"),
    ("keys: not a set", |p| p.keys = json!([]), "keys: "),
    ("keys: html", |p| p.keys_reply = Some(Reply::text(200, "text/html", "<html>canary")), "keys: "),
    ("keys: redirect", |p| p.keys_reply = Some(Reply::json(302, &json!({}))), "keys: answered 302"),
    (
        "keys: too large",
        |p| {
            p.keys["x"] = json!("x".repeat(256 * 1024));
        },
        "256 KiB",
    ),
    ("keys: gone", |p| p.keys_reply = Some(Reply::Close), "keys: "),
    ("discovery: another issuer", |p| p.discovery["issuer"] = json!("https://evil.test"), "issuer"),
    ("discovery: issuer with a slash", |p| p.discovery["issuer"] = json!(format!("{}/", p.origin)), "issuer"),
    ("discovery: no issuer", |p| p.discovery["issuer"] = json!(null), "discovery: "),
    (
        "discovery: token endpoint by http elsewhere",
        |p| {
            p.discovery["token_endpoint"] = json!("http://evil.test/token");
        },
        "not https",
    ),
    ("discovery: keys by file", |p| p.discovery["jwks_uri"] = json!("file:///etc/passwd"), "not https"),
    (
        "discovery: authorisation by script",
        |p| {
            p.discovery["authorization_endpoint"] = json!("javascript:alert(1)");
        },
        "not https",
    ),
    ("discovery: relative endpoint", |p| p.discovery["token_endpoint"] = json!("/token"), "not a URL"),
    (
        "discovery: endpoint with a password",
        |p| {
            p.discovery["token_endpoint"] = json!("https://a:b@evil.test/");
        },
        "a password",
    ),
    (
        "discovery: end of session by http",
        |p| {
            p.discovery["end_session_endpoint"] = json!("http://evil.test/");
        },
        "not https",
    ),
    ("discovery: no S256", |p| p.discovery["code_challenge_methods_supported"] = json!(["plain"]), "S256"),
    (
        "discovery: no token endpoint",
        |p| {
            p.discovery.as_object_mut().unwrap().remove("token_endpoint");
        },
        "discovery: ",
    ),
    ("discovery: 404", |p| p.discovery_reply = Some(status(404)), "discovery: answered 404"),
    ("discovery: html", |p| p.discovery_reply = Some(Reply::text(200, "text/html", "<html>")), "discovery: "),
    ("discovery: too large", |p| p.discovery["x"] = json!("x".repeat(256 * 1024)), "256 KiB"),
    ("callback: another issuer", |p| p.callback_issuer = Some("https://evil.test".into()), "another issuer"),
    (
        "callback: issuer with a slash",
        |p| {
            p.callback_issuer = Some(format!("{}/", p.origin));
        },
        "another issuer",
    ),
    (
        "callback: no issuer where one is promised",
        |p| {
            p.discovery["authorization_response_iss_parameter_supported"] = json!(true);
        },
        "names no issuer",
    ),
    ("token: html", |p| p.token_reply = Some(Reply::text(200, "text/html", "<html>canary")), "not JSON"),
    (
        "token: redirect",
        |p| {
            p.token_reply = Some(Reply::json(302, &json!({})).header("location", "http://127.0.0.1:1/"));
        },
        "answered 302",
    ),
    (
        "token: too large",
        |p| {
            p.token_reply = Some(Reply::text(200, "application/json", "x".repeat(1024 * 1024 + 1)));
        },
        "1 MiB",
    ),
    ("token: cut off", |p| p.token_reply = Some(Reply::CutOff), "cut off"),
    ("token: hung up", |p| p.token_reply = Some(Reply::Close), "token endpoint"),
    ("token: 500", |p| p.token_reply = Some(status(500)), "answered 500"),
    ("token: 429", |p| p.token_reply = Some(status(429)), "answered 429"),
    (
        "token: error in a 200",
        |p| {
            p.token_reply = Some(Reply::json(200, &json!({"error": "server_error"})));
        },
        "token endpoint",
    ),
    ("token: of another type", |p| p.granted["token_type"] = json!("mac"), "other type"),
    ("token: no ID token", |p| p.granted["id_token"] = json!(null), "no ID token"),
    ("token: ID token a number", |p| p.granted["id_token"] = json!(5), "token endpoint"),
    ("token: no access token", |p| p.granted["access_token"] = json!(null), "token endpoint"),
    ("token: empty access token", |p| p.granted["access_token"] = json!(""), "empty or too long"),
    (
        "token: huge access token",
        |p| {
            p.granted["access_token"] = json!("x".repeat(70_000));
        },
        "empty or too long",
    ),
];

#[tokio::test]
async fn every_hostile_token_and_answer_is_refused_with_its_reason() {
    assert!(TOKENS.len() + ANSWERS.len() >= 40);
    for (at, (name, change, reason)) in TOKENS.iter().chain(ANSWERS).enumerate() {
        let theatre = Theatre::open().await;
        let mut play = Play::at(&theatre.stage.origin());
        change(&mut play);
        play.put_on(&theatre.stage);
        match redeem(&theatre, play.callback_issuer.as_deref()).await {
            Ok(_) => panic!("{name}: let in"),
            Err(error) => {
                assert!(error.to_string().contains(reason), "{name}: {error}");
                assert_silent(&error);
                // What fails a check is no outage: trying again would not help.
                assert!(at >= TOKENS.len() || matches!(error, SignInError::Refused(_)), "{name}: {error:?}");
            }
        }
        assert!(theatre.stage.seen("POST", TOKEN).len() <= 1, "{name}: a code is redeemed once");
    }
}

#[tokio::test]
async fn the_token_endpoints_own_errors_say_whose_fault_it_is() {
    let rfc =
        |status, code: &str| Reply::json(status, &json!({"error": code, "error_description": "canary"}));
    let grpc = |status, code: &str| {
        Reply::json(status, &json!({"code": 3, "message": "canary", "details": [{"error_code": code}]}))
    };
    for (name, reply, expected) in [
        ("invalid_grant", rfc(400, "invalid_grant"), "code"),
        ("invalid_grant as Scalekit's other errors", grpc(400, "INVALID_GRANT"), "code"),
        ("invalid_grant with 401", rfc(401, "invalid_grant"), "code"),
        ("invalid_client", rfc(401, "invalid_client"), "operator"),
        ("invalid_client with 400", rfc(400, "invalid_client"), "operator"),
        ("unauthorized_client", rfc(400, "unauthorized_client"), "operator"),
        ("403", Reply::text(403, "text/html", "<html>canary"), "operator"),
        ("invalid_request", rfc(400, "invalid_request"), "refused"),
        ("404", Reply::text(404, "text/html", "<html>canary"), "refused"),
        ("503", Reply::text(503, "text/html", "<html>canary"), "outage"),
        ("invalid_grant in a 500", rfc(500, "invalid_grant"), "outage"),
        ("429", rfc(429, "slow_down"), "outage"),
    ] {
        let theatre = Theatre::open().await;
        let mut play = Play::at(&theatre.stage.origin());
        play.token_reply = Some(reply);
        play.put_on(&theatre.stage);
        let error = redeem(&theatre, None).await.expect_err(name);
        let kind = match &error {
            SignInError::CodeInvalid => "code",
            SignInError::Misconfigured(_) => "operator",
            SignInError::Refused(_) => "refused",
            SignInError::Unavailable(..) => "outage",
        };
        assert_eq!(kind, expected, "{name}: {error}");
        assert_silent(&error);
    }
}

#[tokio::test]
async fn a_callback_of_another_issuer_never_reaches_a_token_endpoint() {
    let theatre = Theatre::open().await;
    Play::at(&theatre.stage.origin()).put_on(&theatre.stage);
    assert!(redeem(&theatre, Some("https://evil.test")).await.is_err());
    let empty = theatre.scalekit.redeem("", &super::sign_in::secrets(), None, soon()).await;
    assert!(matches!(empty, Err(SignInError::Refused(_))));
    assert!(theatre.stage.seen("POST", TOKEN).is_empty());
}
