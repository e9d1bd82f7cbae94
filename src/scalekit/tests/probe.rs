//! A look at an environment whose answers are documented nowhere: what cannot be told is said to be so.

use super::*;
use crate::{
    findings::{Finding, Level, Notes},
    scalekit::Expected,
};

const CALLBACK: &str = "https://app.example.com/.crossfade/callback";
const HOME: &str = "https://app.example.com/";

fn redirect(to: &str) -> Reply {
    Reply::text(302, "text/html", "").header("location", to)
}

/// An environment in which everything is well.
async fn well() -> Theatre {
    let theatre = Theatre::open().await;
    let stage = &theatre.stage;
    let origin = stage.origin();
    let metadata = json!({
        "issuer": origin, "authorization_endpoint": format!("{origin}/oauth/authorize"),
        "token_endpoint": format!("{origin}/oauth/token"), "jwks_uri": format!("{origin}/keys"),
        "end_session_endpoint": format!("{origin}/oidc/logout"),
    });
    stage.on("GET", "/.well-known/openid-configuration", [Reply::json(200, &metadata)]);
    let modulus = format!("4{}", "A".repeat(341));
    let key =
        json!({ "kty": "RSA", "kid": "snk_1", "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB" });
    stage.on("GET", "/keys", [Reply::json(200, &json!({ "keys": [key] }))]);
    stage.on("GET", "/oauth/authorize", [redirect(&format!("{CALLBACK}?error=login_required&state=s"))]);
    stage.on("GET", "/oidc/logout", [redirect(HOME)]);
    stage.on("GET", "/api/v1/users", [Reply::json(200, &json!({ "users": [] }))]);
    stage.on("GET", "/api/v1/organizations", [Reply::json(200, &json!({ "organizations": [] }))]);
    let default = json!({ "organization": { "id": "org_1", "external_id": "default" } });
    stage.on("GET", "/api/v1/organizations:external/default", [Reply::json(200, &default)]);
    stage.on("GET", "/api/v1/roles", [Reply::json(200, &json!({ "roles": [{ "name": "member" }] }))]);
    let own = json!({ "roles": [{ "name": "deckhand" }] });
    stage.on("GET", "/api/v1/organizations/org_1/roles", [Reply::json(200, &own)]);
    let connections = json!({ "connections": [{ "id": "conn_7", "type": "SAML" }] });
    stage.on("GET", "/api/v1/connections", [Reply::json(200, &connections)]);
    theatre
}

async fn findings(theatre: &Theatre) -> Vec<Finding> {
    let named = |name: &str| (format!("roles.{name}"), name.to_owned());
    let expected = Expected {
        roles: &[named("member"), named("deckhand")],
        after_sign_out: &Url::parse(HOME).unwrap(),
        domains: &[
            ("domains[0]".to_owned(), "example.com".to_owned()),
            ("domains[1]".to_owned(), "x".repeat(33)),
        ],
    };
    let (notes, mut told) = Notes::about("scalekit");
    theatre.scalekit.probe(&expected, &notes, soon()).await;
    let findings: Vec<Finding> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    assert!(findings.iter().all(|finding| !format!("{finding:?}").contains(SECRET)), "{findings:?}");
    findings
}

fn level(findings: &[Finding], check: &str) -> Level {
    let found = findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("nothing of {check} in {findings:#?}")).level
}

#[tokio::test]
async fn a_well_environment_is_well_and_is_only_read() {
    let theatre = well().await;
    let findings = findings(&theatre).await;
    let worth: Vec<&Finding> =
        findings.iter().filter(|finding| !matches!(finding.level, Level::Ok | Level::Skipped)).collect();
    assert!(worth.is_empty(), "{worth:#?}");
    let connection: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.check == "connection")
        .map(|finding| finding.seen.as_str())
        .collect();
    assert!(connection[0].contains("conn_7") && connection[1].contains("too long"), "{connection:?}");
    assert!(theatre.stage.calls().iter().all(|call| call.starts_with("GET ")));
    let asked = theatre.stage.seen("GET", "/oauth/authorize")[0].query_pairs();
    assert_eq!(asked["prompt"], "none", "nobody is asked to sign in");
    assert_eq!(asked["redirect_uri"], CALLBACK);
}

#[tokio::test]
async fn whether_an_address_is_registered_is_only_said_where_it_was_seen() {
    let page = |status: u16, text: &str| Reply::text(status, "text/html", text);
    for (answer, check, expected) in [
        (redirect(&format!("{CALLBACK}?error=login_required")), "redirect_uri", Level::Ok),
        (redirect(CALLBACK), "redirect_uri", Level::Ok),
        // The login page of somebody who did not look at the address yet.
        (redirect("/login?flow=1"), "redirect_uri", Level::Skipped),
        (redirect(&format!("{CALLBACK}x?error=login_required")), "redirect_uri", Level::Skipped),
        (redirect("https://env.example/error?error=invalid_redirect_uri"), "redirect_uri", Level::Fail),
        (page(400, "<p>invalid_redirect_uri"), "redirect_uri", Level::Fail),
        (page(400, "The redirect URI is not registered"), "redirect_uri", Level::Fail),
        (page(400, "{\"error\":\"invalid_client\"}"), "client", Level::Fail),
        (page(400, "Something is missing"), "redirect_uri", Level::Skipped),
        (page(200, "redirect_uri"), "redirect_uri", Level::Skipped),
        (page(429, "redirect_uri"), "redirect_uri", Level::Skipped),
        (page(502, "redirect_uri"), "redirect_uri", Level::Skipped),
    ] {
        let theatre = well().await;
        theatre.stage.on("GET", "/oauth/authorize", [answer.clone()]);
        let findings = findings(&theatre).await;
        let Reply::Answer { head, body } = answer else { panic!("an answer") };
        assert_eq!(level(&findings, check), expected, "{head}{body}\n{findings:#?}");
    }
}

#[tokio::test]
async fn a_key_set_without_a_usable_key_fails_and_unknown_lists_are_not_held_against_it() {
    let theatre = well().await;
    theatre.stage.on(
        "GET",
        "/keys",
        [Reply::json(200, &json!({ "keys": [{ "kty": "oct", "kid": "x", "k": "AA" }] }))],
    );
    theatre.stage.on("GET", "/api/v1/connections", [status(404)]);
    theatre.stage.on("GET", "/api/v1/organizations/org_1/roles", [status(404)]);
    let findings = findings(&theatre).await;
    assert_eq!(level(&findings, "keys"), Level::Fail);
    assert_eq!(level(&findings, "connection"), Level::Skipped);
    let missing = findings.iter().find(|finding| finding.check == "roles").unwrap();
    assert_eq!((missing.level, missing.place.as_str()), (Level::Fail, "roles.deckhand"));
}
