//! Sign-in: pages clicked through by hand, tokens checked with the published keys.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use url::Url;

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://app.localhost/callback";

fn authorize(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", BACK),
        ("scope", "openid profile email offline_access"),
        ("state", "s t&ate"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(other, _)| other != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("/oauth/authorize?{query}")
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// A field of the address the browser was sent to.
fn field(address: &str, name: &str) -> Option<String> {
    let url = Url::parse("http://x.test").unwrap().join(address).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A browser: one cookie, no redirects followed on its own.
struct Browser<'a> {
    stage: &'a Stage,
    cookie: Option<String>,
}

impl<'a> Browser<'a> {
    fn new(stage: &'a Stage) -> Self {
        Self { stage, cookie: None }
    }

    async fn go(&mut self, call: RequestBuilder) -> Response {
        let call = match &self.cookie {
            Some(cookie) => call.header("cookie", cookie),
            None => call,
        };
        let answer = call.send().await.unwrap();
        if let Some(line) = answer.headers().get("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(line.contains("HttpOnly"));
            self.cookie = Some(line.split(';').next().unwrap().to_owned());
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Response {
        self.go(self.stage.rig.get(path)).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Response {
        self.go(self.stage.rig.post(path).form(form)).await
    }

    /// From the authorize address to the page that wants the code; gives the login request's id.
    async fn ask_for_code(&mut self, authorize: &str, email: &str) -> String {
        let answer = self.get(authorize).await;
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
        let page = location(&answer);
        let id = field(&page, "request").unwrap_or_else(|| panic!("no login page: {page}"));
        let answer = self.get(&page).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().contains("<label for=\"email\">"));
        let answer = self.post("/hosted/login", &[("request", &id), ("email", email)]).await;
        assert_eq!(answer.status(), 303);
        let page = self.get(&location(&answer)).await.text().await.unwrap();
        assert!(page.contains("<label for=\"code\">"));
        id
    }

    /// The whole way; gives the address of the application with code and state.
    async fn sign_in(&mut self, authorize: &str, email: &str) -> String {
        let id = self.ask_for_code(authorize, email).await;
        let code = self.stage.last_code().await;
        let answer = self.post("/hosted/code", &[("request", &id), ("code", &code)]).await;
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
        location(&answer)
    }
}

impl Stage {
    async fn last_code(&self) -> String {
        self.mails().await.last().unwrap()["code"].as_str().unwrap().to_owned()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut form = vec![("client_id", CLIENT), ("client_secret", SECRET)];
        form.retain(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        form.extend(fields.iter().filter(|(_, value)| !value.is_empty()));
        outcome(self.rig.post("/oauth/token").form(&form).send().await.unwrap()).await
    }

    async fn exchange(&self, code: &str) -> (u16, Value) {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn refresh(&self, token: &Value) -> (u16, Value) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())]).await
    }

    /// The claims of a token that the published keys have signed for the client.
    async fn checked(&self, token: &Value) -> Result<Value, jsonwebtoken::errors::Error> {
        let token = token.as_str().unwrap();
        let keys: JwkSet = serde_json::from_value(self.rig.json("/keys").await).unwrap();
        let kid = decode_header(token)?.kid.unwrap_or_default();
        let key = keys.find(&kid).ok_or(jsonwebtoken::errors::ErrorKind::InvalidToken)?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[CLIENT]);
        rules.set_issuer(&[self.rig.url("")]);
        decode::<Value>(token, &DecodingKey::from_jwk(key)?, &rules).map(|token| token.claims)
    }

    /// A user of the harbour, signed in with a new browser; gives the tokens.
    async fn signed_in(&self, browser: &mut Browser<'_>) -> Value {
        let back = browser.sign_in(&authorize(&[]), "ann@x.test").await;
        let (status, tokens) = self.exchange(&field(&back, "code").unwrap()).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    async fn with_ann(settings: Value) -> Self {
        let stage = Self::with(settings).await;
        let body = json!({
            "email": "ann@x.test", "external_id": "legacy-1", "membership": { "roles": [{ "name": "clerk" }] },
            "user_profile": { "given_name": "Ann" },
        });
        assert_eq!(stage.create(body).await.0, 201);
        stage
    }
}

#[tokio::test]
async fn discovery_leads_to_every_endpoint() {
    let stage = Stage::with(json!({})).await;
    let found = stage.rig.json("/.well-known/openid-configuration").await;
    assert_eq!(found["issuer"], stage.rig.url(""));
    for (name, path) in [
        ("authorization_endpoint", "/oauth/authorize"),
        ("token_endpoint", "/oauth/token"),
        ("jwks_uri", "/keys"),
        ("end_session_endpoint", "/oidc/logout"),
    ] {
        assert_eq!(found[name], stage.rig.url(path));
    }
    let keys = stage.rig.json("/keys").await;
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][0]["kty"]), (&json!("RS256"), &json!("RSA")));
    assert!(keys["keys"][0]["kid"].as_str().unwrap().starts_with("snk_"));
}

#[tokio::test]
async fn a_migrated_user_signs_in_by_mail_and_keeps_identity() {
    let stage = Stage::with_ann(json!({})).await;
    let mut browser = Browser::new(&stage);
    let start = authorize(&[("login_hint", "Ann@x.test")]);
    let page = location(&browser.get(&start).await);
    assert!(browser.get(&page).await.text().await.unwrap().contains("value=\"Ann@x.test\""), "prefilled");
    let back = browser.sign_in(&start, "Ann@x.test").await;
    assert!(back.starts_with("http://app.localhost/callback?code="));
    assert_eq!(field(&back, "state").unwrap(), "s t&ate");
    let (status, tokens) = stage.exchange(&field(&back, "code").unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!((&tokens["expires_in"], &tokens["token_type"]), (&json!(299), &json!("Bearer")));

    let truth = stage.truth().await;
    assert_eq!(truth.len(), 1, "no second user");
    let id = stage.checked(&tokens["id_token"]).await.unwrap();
    assert_eq!(id["sub"], truth[0]["id"]);
    assert_eq!((&id["oid"], &id["xoid"]), (&json!(HARBOUR), &json!("harbour-1")));
    assert_eq!((&id["email"], &id["email_verified"]), (&json!("ann@x.test"), &json!(true)));
    assert_eq!((&id["nonce"], &id["given_name"], &id["azp"]), (&json!("n-1"), &json!("Ann"), &json!(CLIENT)));
    assert!(
        id["sid"].as_str().unwrap().starts_with("ses_")
            && id["amr"][0].as_str().unwrap().starts_with("conn_")
    );
    let access = stage.checked(&tokens["access_token"]).await.unwrap();
    assert_eq!((&access["xuid"], &access["roles"]), (&json!("legacy-1"), &json!(["clerk"])));
    assert_eq!(access["permissions"], json!(["bills:read"]));
    assert_eq!(access["exp"].as_u64().unwrap() - access["iat"].as_u64().unwrap(), 300);

    let sessions = format!("/users/{}/sessions", truth[0]["id"].as_str().unwrap());
    let listed = stage.get(&format!("{sessions}?filter.status=active")).await.1;
    assert_eq!(listed["sessions"][0]["session_id"], id["sid"]);
    assert_eq!(stage.get(&format!("{sessions}?filter.status=revoked")).await.1["total_size"], 0);
    stage.judge().await;
}

#[tokio::test]
async fn an_unknown_address_becomes_a_new_user_with_an_own_organization() {
    let stage = Stage::with(json!({})).await;
    let mut browser = Browser::new(&stage);
    let back = browser.sign_in(&authorize(&[]), "new@x.test").await;
    assert!(field(&back, "code").is_some());
    let truth = stage.rig.json("/__simulator/users").await;
    let user = &truth["users"][0];
    assert_eq!(
        (&truth["created"], &user["origin"], &user["email_verified"]),
        (&json!(1), &json!("sign_up"), &json!(true))
    );
    assert_eq!(user["memberships"][0]["roles"], json!(["admin"]));
    assert_eq!(user["external_id"], Value::Null);

    stage.set(json!({ "sign_up": false })).await;
    let mut stranger = Browser::new(&stage);
    let page = location(&stranger.get(&authorize(&[])).await);
    let id = field(&page, "request").unwrap();
    let answer = stranger.post("/hosted/login", &[("request", &id), ("email", "other@x.test")]).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(stage.truth().await.len(), 1);
}

#[tokio::test]
async fn a_hint_is_shown_as_text_and_never_as_markup() {
    let stage = Stage::with(json!({})).await;
    let mut browser = Browser::new(&stage);
    let page = location(&browser.get(&authorize(&[("login_hint", "\"><script>alert(1)</script>")])).await);
    let html = browser.get(&page).await.text().await.unwrap();
    assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(html.contains("<html lang=\"en\">") && html.contains("<h1>") && !html.contains("src="));
}

#[tokio::test]
async fn five_wrong_codes_end_a_sign_in() {
    let stage = Stage::with_ann(json!({})).await;
    let mut browser = Browser::new(&stage);
    let id = browser.ask_for_code(&authorize(&[]), "ann@x.test").await;
    for expected in [400, 400, 400, 400, 429] {
        assert_eq!(
            browser.post("/hosted/code", &[("request", &id), ("code", "none")]).await.status(),
            expected
        );
    }
    let code = stage.last_code().await;
    assert_eq!(
        browser.post("/hosted/code", &[("request", &id), ("code", &code)]).await.status(),
        400,
        "over"
    );
}

#[tokio::test]
async fn the_link_of_the_mail_signs_in_too() {
    let stage = Stage::with_ann(json!({})).await;
    let mut browser = Browser::new(&stage);
    browser.ask_for_code(&authorize(&[]), "ann@x.test").await;
    let link = stage.mails().await.last().unwrap()["link"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&stage.rig.url("")).unwrap();
    let back = location(&browser.get(path).await);
    assert_eq!(stage.exchange(&field(&back, "code").unwrap()).await.0, 200);
}

#[tokio::test]
async fn mails_can_be_limited_per_minute() {
    let stage = Stage::with_ann(json!({ "codes_per_minute": 2 })).await;
    let mut browser = Browser::new(&stage);
    let id = browser.ask_for_code(&authorize(&[]), "ann@x.test").await;
    let form = [("request", id.as_str()), ("email", "ann@x.test")];
    assert_eq!(browser.post("/hosted/login", &form).await.status(), 303);
    assert_eq!(browser.post("/hosted/login", &form).await.status(), 429);
}

#[tokio::test]
async fn a_bad_exchange_is_invalid_grant() {
    let stage = Stage::with_ann(json!({})).await;
    let good = [
        ("code_verifier", VERIFIER),
        ("redirect_uri", BACK),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
    ];
    let table = [
        ("code_verifier", "wrong"),
        ("code_verifier", ""),
        ("redirect_uri", "http://app.localhost/callback/"),
        ("client_id", "skc_100000000000000002"),
    ];
    for (name, value) in table {
        let back = Browser::new(&stage).sign_in(&authorize(&[]), "ann@x.test").await;
        let code = field(&back, "code").unwrap();
        let mut fields = good.to_vec();
        fields.iter_mut().filter(|(other, _)| *other == name).for_each(|field| field.1 = value);
        fields.extend([("grant_type", "authorization_code"), ("code", &code)]);
        let (status, body) = stage.token(&fields).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "{name}={value}");
        assert!(body.get("access_token").is_none());
    }
    for (name, value, status, error) in [
        ("client_secret", "wrong", 401, "invalid_client"),
        ("client_id", "skc_1", 401, "invalid_client"),
        ("grant_type", "password", 400, "unsupported_grant_type"),
        ("code", "", 400, "invalid_request"),
    ] {
        let mut fields = vec![("grant_type", "authorization_code"), ("code", "x"), ("redirect_uri", BACK)];
        fields.retain(|(other, _)| *other != name);
        fields.push((name, value));
        let (answered, body) = stage.token(&fields).await;
        assert_eq!((answered, &body["error"]), (status, &json!(error)), "{name}");
    }
}

#[tokio::test]
async fn a_code_works_once_and_not_for_long() {
    let clock = TestClock::at(Timestamp::from_seconds(1_780_000_000));
    let stage = Stage::on(json!({}), clock.clone()).await;
    stage.create(json!({ "email": "ann@x.test" })).await;
    let back = Browser::new(&stage).sign_in(&authorize(&[]), "ann@x.test").await;
    let code = field(&back, "code").unwrap();
    assert_eq!(stage.exchange(&code).await.0, 200);
    let (status, body) = stage.exchange(&code).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));

    let back = Browser::new(&stage).sign_in(&authorize(&[]), "ann@x.test").await;
    clock.advance(std::time::Duration::from_mins(10));
    assert_eq!(stage.exchange(&field(&back, "code").unwrap()).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_replay_ends_the_session() {
    let stage = Stage::with_ann(json!({})).await;
    let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
    let first = tokens["refresh_token"].clone();
    let (status, second) = stage.refresh(&first).await;
    assert_eq!(status, 200);
    assert_ne!(second["refresh_token"], first);
    assert_ne!(second["access_token"], tokens["access_token"]);
    let id = stage.checked(&second["id_token"]).await.unwrap();
    assert!(id.get("nonce").is_none() && id["sub"] == stage.truth().await[0]["id"]);

    let (status, body) = stage.refresh(&first).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    assert_eq!(stage.refresh(&second["refresh_token"]).await.0, 400, "the whole session is over");

    stage.set(json!({ "refresh_replay": "refused" })).await;
    let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
    let (_, second) = stage.refresh(&tokens["refresh_token"]).await;
    assert_eq!(stage.refresh(&tokens["refresh_token"]).await.0, 400);
    assert_eq!(stage.refresh(&second["refresh_token"]).await.0, 200);
}

#[tokio::test]
async fn a_refresh_treats_its_token_as_it_is_told_and_is_counted() {
    for (manner, status, again) in [
        ("rotate", 200, Some(false)),
        ("same", 200, Some(true)),
        ("omitted", 200, None),
        ("refused", 400, None),
    ] {
        let stage = Stage::with_ann(json!({})).await;
        let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
        stage.set(json!({ "refresh_tokens": manner, "refresh_replay": "refused" })).await;
        let token = &tokens["refresh_token"];
        let (answered, body) = stage.refresh(token).await;
        assert_eq!(answered, status, "{manner}");
        assert_eq!(body.get("refresh_token").map(|new| new == token), again, "{manner}");
        let second = stage.refresh(token).await.0;
        assert_eq!(second == 200, manner == "same" || manner == "omitted", "{manner}");
        let counts = stage.rig.json("/__simulator/refreshes").await;
        assert_eq!((&counts["received"], &counts["most_of_one_token"]), (&json!(2), &json!(2)), "{manner}");
        assert!(!counts.to_string().contains(token.as_str().unwrap()));
    }
}

#[tokio::test]
async fn without_offline_access_there_is_no_refresh_token() {
    let stage = Stage::with_ann(json!({})).await;
    let back = Browser::new(&stage).sign_in(&authorize(&[("scope", "openid")]), "ann@x.test").await;
    let (_, tokens) = stage.exchange(&field(&back, "code").unwrap()).await;
    assert!(tokens.get("refresh_token").is_none() && tokens["id_token"].is_string());
}

#[tokio::test]
async fn what_ends_a_session_ends_its_refresh_tokens() {
    for how in ["revoke", "revoke_all", "delete_user", "remove_membership"] {
        let stage = Stage::with_ann(json!({})).await;
        let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
        let id = stage.checked(&tokens["id_token"]).await.unwrap();
        let (user, session) = (id["sub"].as_str().unwrap(), id["sid"].as_str().unwrap());
        let (method, path) = match how {
            "revoke" => (Method::POST, format!("/sessions/{session}/revoke")),
            "revoke_all" => (Method::POST, format!("/users/{user}/sessions/revoke")),
            "delete_user" => (Method::DELETE, format!("/users/{user}")),
            _ => (Method::DELETE, format!("/memberships/organizations/{HARBOUR}/users/{user}")),
        };
        assert_eq!(stage.bare(method, &path).await.0, 200, "{how}");
        assert_eq!(stage.refresh(&tokens["refresh_token"]).await.1["error"], "invalid_grant", "{how}");
        let shown = stage.get(&format!("/sessions/{session}")).await;
        assert_eq!((shown.0, &shown.1["status"]), (200, &json!("revoked")), "{how}");
        stage.judge().await;
    }
    let stage = Stage::with(json!({})).await;
    assert_eq!(stage.get("/sessions/ses_1").await.0, 404);
    assert_eq!(stage.get("/sessions/nonsense").await.0, 400);
    stage.judge().await;
}

#[tokio::test]
async fn a_live_session_answers_silently_unless_a_login_is_forced() {
    let stage = Stage::with_ann(json!({})).await;
    let mut browser = Browser::new(&stage);
    let none = authorize(&[("prompt", "none")]);
    let refused = location(&browser.get(&none).await);
    assert_eq!(field(&refused, "error").as_deref(), Some("login_required"));
    browser.sign_in(&authorize(&[]), "ann@x.test").await;
    for silent in [authorize(&[]), none, authorize(&[("login_hint", "bea@x.test")])] {
        let back = location(&browser.get(&silent).await);
        let (status, tokens) = stage.exchange(&field(&back, "code").unwrap()).await;
        assert_eq!(status, 200);
        assert_eq!(stage.checked(&tokens["id_token"]).await.unwrap()["email"], "ann@x.test");
    }
    let forced = location(&browser.get(&authorize(&[("prompt", "login")])).await);
    assert!(forced.starts_with("/hosted/login?"), "{forced}");
    stage.set(json!({ "foreign_hint": "asks" })).await;
    let foreign = location(&browser.get(&authorize(&[("login_hint", "bea@x.test")])).await);
    assert!(foreign.starts_with("/hosted/login?"), "{foreign}");
}

#[tokio::test]
async fn a_logout_ends_the_session_and_returns_only_to_registered_addresses() {
    let stage = Stage::with_ann(json!({})).await;
    let mut browser = Browser::new(&stage);
    let tokens = stage.signed_in(&mut browser).await;
    let hint = tokens["id_token"].as_str().unwrap();
    let path =
        |back: &str| format!("/oidc/logout?id_token_hint={hint}&post_logout_redirect_uri={back}&state=z");
    let answer = browser.get(&path("http://app.localhost/bye")).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer)),
        (303, "http://app.localhost/bye?state=z".to_owned())
    );
    assert_eq!(stage.refresh(&tokens["refresh_token"]).await.0, 400);
    assert!(location(&browser.get(&authorize(&[])).await).starts_with("/hosted/login?"));
    let session = stage.checked(&tokens["id_token"]).await.unwrap()["sid"].clone();
    assert_eq!(stage.get(&format!("/sessions/{}", session.as_str().unwrap())).await.1["status"], "logout");
    let answer = browser.get(&path("http://evil.localhost/")).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.headers().get("location").is_none());
    stage.judge().await;
}

#[tokio::test]
async fn a_bad_authorize_request_is_told_to_the_right_place() {
    let stage = Stage::with(json!({})).await;
    let mut browser = Browser::new(&stage);
    for change in [
        ("client_id", "skc_9"),
        ("client_id", ""),
        ("redirect_uri", "http://app.localhost/callback?x=1"),
        ("redirect_uri", ""),
    ] {
        let answer = browser.get(&authorize(&[change])).await;
        assert_eq!(answer.status(), 400, "{change:?}");
        assert!(answer.headers().get("location").is_none(), "{change:?}");
    }
    for (change, error) in [
        (("response_type", "token"), "invalid_request"),
        (("scope", "email"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("prompt", "perhaps"), "invalid_request"),
        (("connection_id", "conn_1"), "invalid_connection_id"),
        (("organization_id", "org_9"), "invalid_organization_id"),
    ] {
        let back = location(&browser.get(&authorize(&[change])).await);
        assert!(back.starts_with(BACK), "{back}");
        assert_eq!(field(&back, "error").as_deref(), Some(error), "{change:?}");
        assert_eq!(field(&back, "state").as_deref(), Some("s t&ate"), "{change:?}");
    }
    let twice = location(&browser.get(&(authorize(&[]) + "&nonce=other")).await);
    assert_eq!(field(&twice, "error").as_deref(), Some("invalid_request"));
    let public = [
        ("client_id", "skc_100000000000000002"),
        ("redirect_uri", "http://spa.localhost/cb"),
        ("code_challenge", ""),
    ];
    let back = location(&browser.get(&authorize(&public)).await);
    assert_eq!(field(&back, "error_description").as_deref(), Some("code_challenge is required"));
}

#[tokio::test]
async fn organization_and_connection_of_the_request_are_those_of_the_session() {
    let stage = Stage::with_ann(json!({})).await;
    let user = stage.truth().await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/memberships/organizations/{QUAY}/users/{user}?send_invitation_email=false");
    stage.send(Method::POST, &path, json!({})).await;
    let start = authorize(&[("organization_id", QUAY), ("connection_id", "conn_100000000000000009")]);
    let back = Browser::new(&stage).sign_in(&start, "ann@x.test").await;
    let (_, tokens) = stage.exchange(&field(&back, "code").unwrap()).await;
    let id = stage.checked(&tokens["id_token"]).await.unwrap();
    assert_eq!((&id["oid"], &id["amr"]), (&json!(QUAY), &json!(["conn_100000000000000009"])));

    let mut browser = Browser::new(&stage);
    let request = browser.ask_for_code(&authorize(&[]), "ann@x.test").await;
    let code = stage.last_code().await;
    let chooser = browser.post("/hosted/code", &[("request", &request), ("code", &code)]).await;
    assert_eq!(chooser.status(), 200);
    assert!(chooser.text().await.unwrap().contains("Choose an organization"));
    let foreign = [("request", request.as_str()), ("organization_id", HARBOUR)];
    let back = location(&browser.post("/hosted/organization", &foreign).await);
    let (_, tokens) = stage.exchange(&field(&back, "code").unwrap()).await;
    assert_eq!(stage.checked(&tokens["id_token"]).await.unwrap()["oid"], HARBOUR);
    stage.judge().await;
}

#[tokio::test]
async fn every_fault_of_an_id_token_can_be_had() {
    for (fault, fails) in [
        ("none", false),
        ("wrong_nonce", false),
        ("no_nonce", false),
        ("email_unverified", false),
        ("wrong_aud", true),
        ("wrong_iss", true),
        ("alg_none", true),
        ("expired", true),
        ("foreign_key", true),
    ] {
        let stage = Stage::with_ann(json!({ "id_token": fault })).await;
        let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
        let checked = stage.checked(&tokens["id_token"]).await;
        assert_eq!(checked.is_err(), fails, "{fault}: {checked:?}");
        if let Ok(claims) = checked {
            assert_eq!(claims["nonce"] == "n-1", matches!(fault, "none" | "email_unverified"), "{fault}");
            assert_eq!(claims["email_verified"], fault != "email_unverified", "{fault}");
        }
        assert!(
            stage.checked(&tokens["access_token"]).await.is_ok(),
            "{fault}: only the ID token is spoiled"
        );
    }
}

#[tokio::test]
async fn keys_rotate_and_retire() {
    let stage = Stage::with_ann(json!({})).await;
    let tokens = stage.signed_in(&mut Browser::new(&stage)).await;
    let rotated: Value =
        stage.rig.post("/__simulator/keys/rotate").send().await.unwrap().json().await.unwrap();
    let keys = stage.rig.json("/keys").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(keys["keys"][0]["kid"], rotated["kid"]);
    assert!(stage.checked(&tokens["id_token"]).await.is_ok(), "the old key is still published");
    assert!(stage.checked(&stage.signed_in(&mut Browser::new(&stage)).await["id_token"]).await.is_ok());
    let hint = tokens["id_token"].as_str().unwrap();
    stage.rig.get(&format!("/oidc/logout?id_token_hint={hint}")).send().await.unwrap();
    assert_eq!(
        stage.refresh(&tokens["refresh_token"]).await.0,
        400,
        "an older key's hint still names its session"
    );
    stage.rig.post("/__simulator/keys/rotate?retire=true").send().await.unwrap();
    assert!(stage.checked(&tokens["id_token"]).await.is_err());
}

#[tokio::test]
async fn a_public_client_needs_no_secret_and_opens_no_api() {
    let stage = Stage::with_ann(json!({})).await;
    let spa = [("client_id", "skc_100000000000000002"), ("redirect_uri", "http://spa.localhost/cb")];
    let back = Browser::new(&stage).sign_in(&authorize(&spa), "ann@x.test").await;
    let code = field(&back, "code").unwrap();
    let mut fields = spa.to_vec();
    fields.extend([
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("client_secret", ""),
    ]);
    let (status, tokens) = stage.token(&fields).await;
    assert_eq!(status, 200);
    let with_user_token =
        stage.rig.get("/api/v1/users").bearer_auth(tokens["access_token"].as_str().unwrap());
    assert_eq!(with_user_token.send().await.unwrap().status(), 401, "a user's token is none of the API's");
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "skc_100000000000000002"),
        ("client_secret", ""),
    ];
    assert_eq!(stage.token(&fields).await.1["error"], "unauthorized_client");
}

#[tokio::test]
async fn clients_can_be_registered_while_it_runs_and_secrets_are_not_shown() {
    let stage = Stage::with(json!({})).await;
    let clients = json!([{ "secret": "new-secret", "redirect_uris": ["http://late.localhost/cb"] }]);
    let put = stage.rig.request(Method::PUT, "/__simulator/clients").json(&clients).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let shown = stage.rig.json("/__simulator/clients").await.to_string();
    assert!(shown.contains("late.localhost") && !shown.contains("new-secret"));
    let page = location(
        &Browser::new(&stage).get(&authorize(&[("redirect_uri", "http://late.localhost/cb")])).await,
    );
    assert!(page.starts_with("/hosted/login?"), "{page}");
}
