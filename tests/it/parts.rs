//! The real parts themselves: each is seen to work before anything is proven with it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    browser::Browser,
    django::Django,
    http::Visitor,
    mariadb::MariaDb,
    oidc::{OidcProvider, OldKey},
    postgres::Postgres,
    process::{self, Process},
    scratch::Scratch,
    wait,
};

fn maya() -> Value {
    json!([{ "username": "maya", "email": "maya@example.com", "password": "correct horse battery" }])
}

#[test]
fn a_test_has_a_postgresql_database_of_its_own() {
    let (one, two) = (Postgres::fresh(), Postgres::fresh());
    one.sql("create table people (name text); insert into people values ('maya'), ('noor')");
    assert_eq!(one.sql("select count(*), max(name) from people"), "2|noor");
    assert_eq!(two.sql("select count(*) from pg_tables where tablename = 'people'"), "0");
}

#[test]
fn a_test_has_a_mariadb_database_of_its_own() {
    let (one, two) = (MariaDb::fresh(), MariaDb::fresh());
    one.sql("create table people (name text); insert into people values ('maya'), ('noor');");
    assert_eq!(one.sql("select count(*), max(name) from people"), "2\tnoor");
    assert_eq!(two.sql("show tables"), "");
}

#[test]
fn django_signs_in_with_its_own_form_and_table() {
    let database = Postgres::fresh();
    let site = Django::on(&database.url()).start();
    let ids = site.seed(&maya());
    let visitor = site.visitor();
    assert_eq!(visitor.get("/accounts/whoami/").status, 401);

    let page = visitor.get("/accounts/login/?next=/berths/7/");
    let (token, next) = (page.form_value("csrfmiddlewaretoken"), page.form_value("next"));
    let sign_in = |password: &str, token: &str| {
        let fields = [
            ("csrfmiddlewaretoken", token),
            ("username", "maya"),
            ("password", password),
            ("next", next.as_str()),
        ];
        visitor.post_form("/accounts/login/", &fields)
    };
    assert_eq!(sign_in("correct horse battery", "").status, 403, "the form's token is asked for");
    assert_eq!(sign_in("wrong", &token).status, 200);
    let answer = sign_in("correct horse battery", &token);
    assert_eq!((answer.status, answer.location()), (302, "/berths/7/"));
    let who = visitor.get("/accounts/whoami/").json();
    let expected =
        json!({ "id": ids["maya"], "username": "maya", "email": "maya@example.com", "is_active": true });
    assert_eq!(who, expected);

    let stored = database.sql("select password from auth_user where username = 'maya'");
    assert!(stored.starts_with("pbkdf2_sha256$1000000$"), "Django's own hash, with its own rounds");
}

#[test]
fn django_believes_a_forwarded_identity_only_when_told_to() {
    let database = MariaDb::fresh();
    let plain = Django::on(&database.url()).start();
    let trusting = Django::on(&database.url()).trusting_the_proxy().start();
    let who = |visitor: &Visitor| {
        visitor.send(visitor.request(Method::GET, "/accounts/whoami/").header("x-forwarded-user", "noor"))
    };
    assert_eq!(who(&plain.visitor()).status, 401);
    let visitor = trusting.visitor();
    assert_eq!(who(&visitor).json()["username"], "noor");
    assert_eq!(visitor.get("/accounts/whoami/").status, 401, "the identity ends with its request");
}

#[test]
fn a_browser_signs_in_at_django() {
    let scratch = Scratch::new();
    let database = format!("sqlite://{}", scratch.path().join("site.db").display());
    let site = Django::on(&database).pbkdf2_iterations(1000).start();
    site.seed(&maya());
    let origin = format!("http://app.localhost:{}", site.address.port());
    let mut browser = Browser::open();
    assert_eq!(browser.goto(&format!("{origin}/berths/7/")), 200);
    browser.fill("#id_username", "maya");
    browser.fill("#id_password", "wrong");
    browser.click("button");
    assert_eq!(browser.text("[role=alert]"), "That name and password do not go together.");
    browser.fill("#id_password", "correct horse battery");
    browser.click("button");
    assert!(browser.wait_url("/berths/7/").starts_with(&origin));
    assert_eq!(browser.text("#who"), "maya");
    let session = browser.cookies(&origin).into_iter().find(|cookie| cookie["name"] == "sessionid").unwrap();
    assert_eq!(session["httpOnly"], true);
    let picture = scratch.path().join("home.png");
    browser.screenshot(&picture);
    assert!(picture.metadata().unwrap().len() > 1000);
    browser.fresh();
    assert_eq!(browser.cookies(&origin).len(), 0);
}

#[test]
fn the_openid_provider_gives_tokens_for_a_code() {
    let callback = "http://127.0.0.1:9/callback";
    let provider = OidcProvider::start(&json!({
        "clients": [{ "client_id": "skc_1", "client_secret": "s", "redirect_uris": [callback] }],
        "people": { "maya@example.com": { "sub": "usr_17", "email": "maya@example.com", "xuid": "41" } },
    }));
    // The verifier and its challenge are those of RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let visitor = Visitor::of(provider.address);
    let authorize = format!(
        "/oauth/authorize?client_id=skc_1&response_type=code&redirect_uri={callback}&nonce=n&state=s\
         &scope=openid+email+offline_access&code_challenge={challenge}&code_challenge_method=S256\
         &login_hint=maya@example.com"
    );
    let redirect = visitor.get(&authorize);
    let form = visitor.follow(&redirect);
    assert_eq!(form.form_value("login"), "maya@example.com", "the hint fills the field");
    let fields = [("prompt", "login"), ("login", "maya@example.com"), ("password", "any")];
    let back = visitor.follow(&visitor.post_form(visitor.path_of(redirect.location()), &fields));
    assert!(back.location().starts_with(callback), "{}", back.location());
    let code = back.location().split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", callback),
        ("client_id", "skc_1"),
        ("client_secret", "s"),
        ("code_verifier", verifier),
    ];
    let tokens = visitor.post_form("/oauth/token", &fields).json();
    let claims = payload(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&claims["sub"], &claims["email"], &claims["nonce"]),
        (&"usr_17".into(), &"maya@example.com".into(), &"n".into())
    );
    assert_eq!(payload(tokens["access_token"].as_str().unwrap())["xuid"], "41");
    assert!(tokens["refresh_token"].is_string());
    assert_eq!(
        visitor.post_form("/oauth/token", &fields).json()["error"],
        "invalid_grant",
        "a code is good once"
    );
    let events: Vec<Value> =
        provider.journal().as_array().unwrap().iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!(events, ["authorize.asked", "authorize.success", "token.success", "token.error"]);
}

#[test]
fn the_openid_provider_changes_its_keys() {
    let provider = OidcProvider::start(&json!({
        "clients": [{ "client_id": "skc_1", "client_secret": "s", "redirect_uris": ["http://127.0.0.1:9/cb"] }],
    }));
    let keys = || Visitor::of(provider.address).get("/keys").json()["keys"].as_array().unwrap().len();
    assert_eq!(keys(), 1);
    provider.rotate_keys(OldKey::Kept);
    assert_eq!(keys(), 2);
    provider.rotate_keys(OldKey::Withdrawn);
    assert_eq!(keys(), 1);
}

#[test]
fn a_process_ends_with_the_value_that_stands_for_it() {
    let mut command = process::command("sh");
    command.args(["-c", "echo $$; exec sleep 600"]);
    let process = Process::start("sleeper", command);
    let entry = std::path::Path::new("/proc").join(process.line(0));
    assert!(entry.exists());
    drop(process);
    wait::until("the process is gone", || (!entry.exists()).then_some(()));
}

#[test]
fn a_process_outlives_the_thread_that_started_it() {
    let start = || {
        let mut command = process::command("sh");
        command.args(["-c", "read line; echo \"got $line\"; echo last >&2; exit 3"]);
        Process::start("listener", command)
    };
    let mut process = std::thread::spawn(start).join().unwrap();
    process.write("word\n");
    assert_eq!(process.line(0), "got word");
    assert_eq!(process.wait().code(), Some(3));
    wait::until("both streams are kept", || (process.said() == "got word\nlast\n").then_some(()));
}

/// The claims of a token, unchecked: a test's own reading.
fn payload(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
