//! The hosted login as an application with an SDK goes through it: address, code, tokens, refresh, session, logout.

use serde_json::{Value, json};

use super::{CALLBACK, CLIENT, GOODBYE, HARBOUR, environment, sdk};
use crate::support::{
    http::Visitor,
    sdk::{Language, Sdk},
    simulator::Simulator,
};

const EMAIL: &str = "ann@example.test";
/// A verifier and its challenge, from RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// One browser at the environment.
struct Guest<'a> {
    scalekit: &'a Simulator,
    browser: Visitor,
}

impl Guest<'_> {
    /// Opens the SDK's address and goes through the pages with the mailed code; the code that the application gets.
    fn sign_in(&self, sdk: &mut Sdk, state: &str) -> String {
        let mut options = json!({
            "redirectUri": CALLBACK, "state": state, "nonce": "nonce-1", "loginHint": EMAIL,
            "scopes": ["openid", "profile", "email", "offline_access"],
        });
        // The address that the SDK for Python builds has no place for a challenge.
        if sdk.language == Language::Node {
            options["codeChallenge"] = CHALLENGE.into();
            options["codeChallengeMethod"] = "S256".into();
        }
        let address = sdk.ask("authorization_url", options);
        let path =
            address.as_str().unwrap().strip_prefix(&sdk.url).expect("the environment's address").to_owned();
        let mut answer = self.browser.get(&path);
        while answer.status == 303 && !answer.location().starts_with(CALLBACK) {
            answer = self.browser.follow(&answer);
        }
        let request = answer.form_value("request");
        assert_eq!(answer.form_value("email"), EMAIL, "the hint fills the field");
        self.browser.post_form("/hosted/login", &[("request", &request), ("email", EMAIL)]);
        let mails = self.scalekit.mails();
        let mail = mails["mails"].as_array().unwrap().last().expect("a code is mailed").clone();
        let code = mail["code"].as_str().unwrap();
        let back = self.browser.post_form("/hosted/code", &[("request", &request), ("code", code)]);
        let query =
            back.location().strip_prefix(CALLBACK).expect("the way back").trim_start_matches('?').to_owned();
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap()
        };
        assert_eq!(value("state"), state);
        value("code")
    }
}

/// What goes with a code of [`Guest::sign_in`].
fn exchange(sdk: &Sdk, code: &str) -> Value {
    let mut with = json!({ "code": code, "redirectUri": CALLBACK });
    if sdk.language == Language::Node {
        with["codeVerifier"] = VERIFIER.into();
    }
    with
}

fn judge(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);
    let user = json!({ "email": EMAIL, "externalId": "app:41", "userProfile": { "firstName": "Ann" } });
    let made = sdk.ask("create_user", json!({ "organization": HARBOUR, "invite": false, "user": user }));
    let id = made["user"]["id"].clone();
    let guest = Guest { scalekit: &scalekit, browser: Visitor::of(scalekit.address) };

    let code = guest.sign_in(&mut sdk, "state-1");
    let with = exchange(&sdk, &code);
    let tokens = sdk.ask("exchange", with.clone());
    let expected = json!({ "id": id, "email": EMAIL, "emailVerified": true, "givenName": "Ann" });
    assert_eq!(tokens["user"], expected);
    if language == Language::Python {
        assert_eq!(tokens["organization_id"], HARBOUR);
        assert!(tokens["connection_id"].as_str().unwrap().starts_with("conn_"));
    }

    let claims = |sdk: &mut Sdk, token: &Value| {
        let with = json!({ "token": token, "issuer": sdk.url, "audience": [CLIENT] });
        sdk.ask("claims", with)
    };
    let of_id = claims(&mut sdk, &tokens["idToken"]);
    assert_eq!((&of_id["sub"], &of_id["oid"], &of_id["xoid"]), (&id, &json!(HARBOUR), &json!("harbour-1")));
    assert_eq!((&of_id["nonce"], &of_id["azp"]), (&json!("nonce-1"), &json!(CLIENT)));
    let of_access = claims(&mut sdk, &tokens["accessToken"]);
    assert_eq!((&of_access["sub"], &of_access["xuid"]), (&id, &json!("app:41")));
    assert_eq!((&of_access["roles"], &of_access["sid"]), (&json!(["member"]), &of_id["sid"]));
    for (issuer, audience) in [("https://another.test", CLIENT), (sdk.url.clone().as_str(), "skc_9")] {
        let with = json!({ "token": tokens["idToken"], "issuer": issuer, "audience": [audience] });
        sdk.refused("claims", with);
    }

    // A code is good once; the SDK for Node leaves this error to its HTTP client.
    let again = sdk.refused("exchange", with);
    let class = match language {
        Language::Node => "AxiosError",
        Language::Python => "ScalekitBadRequestException",
    };
    assert_eq!(again.class, class, "{again:?}");

    let fresh = sdk.ask("refresh", json!({ "token": tokens["refreshToken"] }));
    assert_ne!(fresh["refreshToken"], tokens["refreshToken"]);
    assert_eq!(claims(&mut sdk, &fresh["accessToken"])["sid"], of_id["sid"]);

    // The session as the management API tells of it, and its end.
    let active = json!({ "user": id, "status": ["active"] });
    let sessions = sdk.ask("list_sessions", active.clone());
    let session = sessions["sessions"][0].clone();
    assert_eq!((&sessions["totalSize"], &session["sessionId"]), (&json!(1), &of_id["sid"]));
    assert_eq!((&session["userId"], &session["organizationId"]), (&id, &json!(HARBOUR)));
    assert_eq!(session["authenticatedClients"], json!([{ "clientId": CLIENT, "organizationId": HARBOUR }]));
    assert_eq!(sdk.ask("get_session", json!({ "id": of_id["sid"] })), session);
    let revoked = sdk.ask("revoke_session", json!({ "id": of_id["sid"] }))["revokedSession"].take();
    assert_eq!((&revoked["sessionId"], &revoked["status"]), (&of_id["sid"], &json!("revoked")));
    assert!(revoked["expiredAt"].is_string() && revoked["lastActiveAt"].is_string(), "{revoked}");
    assert!(sdk.ask("list_sessions", active.clone())["sessions"].is_null());
    sdk.refused("refresh", json!({ "token": fresh["refreshToken"] }));

    // A replayed refresh token ends the session.
    let code = guest.sign_in(&mut sdk, "state-2");
    let with = exchange(&sdk, &code);
    let tokens = sdk.ask("exchange", with);
    let fresh = sdk.ask("refresh", json!({ "token": tokens["refreshToken"] }));
    for token in [&tokens["refreshToken"], &fresh["refreshToken"]] {
        sdk.refused("refresh", json!({ "token": token }));
    }

    // Logout, by the browser.
    let code = guest.sign_in(&mut sdk, "state-3");
    let with = exchange(&sdk, &code);
    let tokens = sdk.ask("exchange", with);
    let options =
        json!({ "idTokenHint": tokens["idToken"], "postLogoutRedirectUri": GOODBYE, "state": "bye-1" });
    let address = sdk.ask("logout_url", options);
    let out = guest.browser.get(address.as_str().unwrap().strip_prefix(&sdk.url).unwrap());
    assert_eq!(out.location(), format!("{GOODBYE}?state=bye-1"));
    assert!(sdk.ask("list_sessions", active)["sessions"].is_null());
    sdk.refused("refresh", json!({ "token": tokens["refreshToken"] }));
    assert_eq!(sdk.ask("revoke_all_sessions", json!({ "user": id }))["totalRevoked"], Value::Null);
}

#[test]
fn an_application_with_the_sdk_for_node_signs_somebody_in() {
    judge(Language::Node);
}

#[test]
fn an_application_with_the_sdk_for_python_signs_somebody_in() {
    judge(Language::Python);
}
