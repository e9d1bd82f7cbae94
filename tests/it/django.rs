//! People of a real Django site, from its own user table, cross through Crossfade.

mod stage;

use serde_json::{Value, json};

use self::stage::{Addresses, CUT_OVER, Dial, MIGRATING, OFF, Stage, picture, send_form};
use crate::support::{browser::Browser, postgres::Postgres};

const PASSWORD: &str = "correct horse battery";
/// What Django's page says to a wrong name or password.
const REFUSED: &str = "That name and password do not go together.";

fn person(username: &str, email: &str) -> Value {
    json!({ "username": username, "email": email, "password": PASSWORD })
}

#[test]
fn people_of_djangos_table_cross_in_a_browser() {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django);
    let ids = stage.site.seed(&json!([
        { "username": "maya", "email": "Maya@example.com", "password": PASSWORD, "first_name": "Maya",
          "last_name": "Marsh" },
        person("noor", "noor@example.com"),
    ]));
    let id = |name: &str| ids[name].to_string();
    let mut browser = Browser::open();
    let who_am_i =
        |email: &str| json!({ "id": ids["maya"], "username": "maya", "email": email, "is_active": true });

    // 0 %: nothing changes.
    assert_eq!(browser.goto(&stage.url("/berths/7/")), 200);
    assert_eq!(browser.url(), stage.url("/accounts/login/?next=/berths/7/"));
    assert_eq!(browser.value("input[name=next]"), "/berths/7/");
    assert_eq!(browser.value("input[name=csrfmiddlewaretoken]").len(), 64);
    browser.screenshot(&picture("django-sign-in"));
    send_form(&mut browser, "maya", "wrong");
    assert_eq!(browser.text("[role=alert]"), REFUSED);
    send_form(&mut browser, "maya", PASSWORD);
    browser.wait_url("/berths/7/");
    browser.wait_text("Berth 7");
    assert_eq!(browser.text("#who"), "maya");
    assert_eq!(stage.cookies(&mut browser), ["csrftoken", "sessionid"]);
    assert_eq!(stage.asks(&mut browser, "/accounts/whoami/"), who_am_i("Maya@example.com"));
    assert_eq!(stage.asks(&mut browser, "/identity/")["x_forwarded_user"], Value::Null);
    assert_eq!(stage.users(), Vec::<Value>::new());
    let asked = stage.scalekit.journal().to_string();
    assert!(!asked.contains("/api/v1"), "Scalekit was asked at 0 %: {asked}");

    // Nobody answers for the addresses: nobody is created.
    stage.turn(Dial { addresses: Addresses::Unsigned, ..MIGRATING });
    browser.fresh();
    stage.sign_in(&mut browser, "maya", PASSWORD);
    browser.wait_text("Berth 7");
    stage.sign_ins_ended("ineligible", 1);
    assert_eq!(stage.users(), Vec::<Value>::new());

    // Everybody who signs in is created, and nobody notices.
    stage.turn(MIGRATING);
    for (name, email) in
        [("maya", "maya@example.com"), ("noor", "noor@example.com"), ("maya", "maya@example.com")]
    {
        browser.fresh();
        stage.sign_in(&mut browser, name, PASSWORD);
        browser.wait_text("Berth 7");
        assert_eq!(browser.text("#who"), name);
        assert_eq!(stage.cookies(&mut browser), ["csrftoken", "sessionid"]);
        let user = stage.user_soon(&id(name));
        assert_eq!((&user["email"], &user["email_verified"]), (&json!(email), &json!(true)), "{user}");
        assert_eq!(user["memberships"][0]["organization_id"], "org_1", "{user}");
        assert_eq!(user["memberships"][0]["status"], "ACTIVE", "{user}");
    }
    let user = stage.user_soon(&id("maya"));
    assert_eq!(user["profile"], json!({ "given_name": "Maya", "family_name": "Marsh" }));
    assert_eq!(stage.users().len(), 2);
    assert_eq!(stage.scalekit.mails()["mails"], json!([]), "nobody was invited");

    // Cutover: the browser ends in a session of the new flow, and Django sees the identity.
    stage.turn(CUT_OVER);
    browser.fresh();
    stage.sign_in(&mut browser, "maya", PASSWORD);
    browser.wait_url("scalekit.localhost");
    browser.screenshot(&picture("hosted-page"));
    stage.confirm_mailbox(&mut browser, "maya@example.com");
    browser.wait_text("Berth 7");
    assert_eq!(browser.url(), stage.url("/berths/7/"));
    assert_eq!(browser.text("#who"), "maya");
    browser.screenshot(&picture("django-home-new-session"));
    let cookies = stage.cookies(&mut browser);
    assert_eq!(cookies, ["crossfade", "crossfade-browser", "crossfade-device", "csrftoken"]);
    for cookie in browser.cookies(&stage.origin) {
        let ours = cookie["name"].as_str().unwrap().starts_with("crossfade");
        assert!(!ours || cookie["httpOnly"] == true, "{cookie}");
    }
    assert_eq!(stage.asks(&mut browser, "/accounts/whoami/"), who_am_i("Maya@example.com"));
    let identity = stage.asks(&mut browser, "/identity/");
    let expected = json!({
        "x_forwarded_user": "maya", "x_forwarded_email": "maya@example.com", "x_forwarded_groups": "member",
        "x_crossfade_assertion": true, "signed_in_as": "maya",
    });
    assert_eq!(identity, expected);
    assert_eq!(stage.users().len(), 2);
    assert_eq!(database.sql("select count(*) from auth_user"), "2", "Django made nobody up");

    // Django's own button ends both sessions.
    browser.click("button");
    browser.wait_text("Sign");
    browser.screenshot(&picture("after-django-sign-out"));
    println!("after sign-out: {} {:?}", browser.url(), stage.cookies(&mut browser));
    println!("{}", stage.crossfade.process.said());
    stage.crossfade.assert_never_said(&[PASSWORD, "maya@example.com"]);
}
