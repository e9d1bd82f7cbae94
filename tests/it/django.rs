//! People of a real Django site, from its own user table, cross through Crossfade.

mod other_databases;
pub(crate) mod stage;
mod untouched;

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
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
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
    // The one thing that is new: the browser is known, so that nobody else's guesses keep maya out of it.
    assert_eq!(stage.cookies(&mut browser), ["crossfade-known", "csrftoken", "sessionid"]);
    assert_eq!(stage.asks(&mut browser, "/accounts/whoami/"), who_am_i("Maya@example.com"));
    assert_eq!(stage.asks(&mut browser, "/identity/")["x_forwarded_user"], Value::Null);
    assert_eq!(stage.users(), Vec::<Value>::new());
    let journal = stage.scalekit.journal();
    let targets =
        journal["requests"].as_array().unwrap().iter().map(|asked| asked["target"].as_str().unwrap());
    let asked: Vec<&str> = targets.filter(|target| target.contains("/api/v1")).collect();
    // Once, at the start: whether a store that is new should be.
    assert_eq!(asked, ["/api/v1/users?page_size=100"], "Scalekit was asked at 0 %");

    browser.click("button");
    browser.wait_text("User name");
    assert_eq!(browser.url(), stage.url("/accounts/login/"), "Django's own sign-out, untouched");
    assert_eq!(stage.cookies(&mut browser), ["crossfade-known", "csrftoken"]);

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
        assert_eq!(stage.cookies(&mut browser), ["crossfade-known", "csrftoken", "sessionid"]);
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
    // Known, too: by a user name she was asked for her password once more before she crossed.
    assert_eq!(
        cookies,
        ["crossfade", "crossfade-browser", "crossfade-device", "crossfade-known", "csrftoken"]
    );
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

    // Django's own button ends every session: nobody is signed in again unasked.
    browser.click("button");
    browser.wait_text("E-mail address");
    assert!(browser.url().starts_with("http://scalekit.localhost:"), "{}", browser.url());
    let left = ["crossfade-browser", "crossfade-device", "crossfade-known", "csrftoken"];
    assert_eq!(stage.cookies(&mut browser), left);
    // This browser is known: it goes straight to Scalekit, which asks again; the form is there for others.
    assert_eq!(browser.goto(&stage.url("/berths/7/")), 200);
    assert!(browser.url().starts_with("http://scalekit.localhost:"), "{}", browser.url());
    assert_eq!(browser.value("#email"), "maya@example.com");
    browser.goto(&stage.url("/accounts/login/?crossfade=form&next=/berths/7/"));
    send_form(&mut browser, "noor", PASSWORD);
    stage.confirm_mailbox(&mut browser, "noor@example.com");
    browser.wait_text("Berth 7");
    assert_eq!(browser.text("#who"), "noor");
    assert_eq!(stage.users().len(), 2);

    // The dial goes back: who crossed stays, and Django's own sign-in is as before for everybody else.
    stage.turn(OFF);
    browser.fresh();
    stage.sign_in(&mut browser, "maya", "not looked at");
    browser.wait_url("http://scalekit.localhost:");
    stage.crossfade.assert_never_said(&[PASSWORD, "maya@example.com", "noor@example.com"]);
}

#[test]
fn refusals_look_as_configured_and_create_nobody() {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
    stage.site.seed(&json!([
        person("maya", "maya@example.com"),
        { "username": "gone", "email": "gone@example.com", "password": PASSWORD, "is_active": false },
    ]));
    let wrong = [("maya", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("maya@example.com", "wrong")];
    let mut browser = Browser::open();
    for (name, password) in wrong {
        stage.sign_in(&mut browser, name, password);
        assert_eq!(browser.text("[role=alert]"), REFUSED, "Django's own words for {name}");
        assert_eq!(browser.value("input[name=next]"), "/berths/7/");
    }
    stage.turn_by_signal(CUT_OVER);
    let mut answers = Vec::new();
    for (name, password) in wrong {
        browser.fresh();
        stage.sign_in(&mut browser, name, password);
        assert_eq!(browser.wait_url("error=1"), stage.url("/accounts/login/?error=1"), "for {name}");
        let answer = stage.visitor().sign_in(name, password);
        let differing = ["date", "x-request-id"];
        let headers: Vec<_> =
            answer.headers.into_iter().filter(|(name, _)| !differing.contains(&name.as_str())).collect();
        answers.push((answer.status, headers, answer.body));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "they differ: {answers:#?}");
    assert_eq!(stage.users(), Vec::<Value>::new());
}

/// Connections keep the statement prepared, which PostgreSQL refuses once one of its columns has another type.
#[test]
fn a_table_that_is_altered_is_read_on() {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
    stage.site.seed(&json!([person("maya", "maya@example.com")]));
    stage.turn(CUT_OVER);
    let is_judged = |when: &str| {
        let answer = stage.visitor().sign_in("maya", "wrong");
        assert_eq!((answer.status, answer.location()), (303, "/accounts/login/?error=1"), "{when}");
    };
    is_judged("before");
    for change in ["username type varchar(160)", "email type text"] {
        database.sql(&format!("alter table auth_user alter column {change}"));
        is_judged(change);
    }
    let answer = stage.visitor().sign_in("maya", PASSWORD);
    assert!(answer.location().starts_with("http://scalekit.localhost:"), "{}", answer.location());
}

#[test]
fn names_that_mean_two_people_stay_with_django() {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
    stage.site.seed(&json!([
        person("tess", "tess@example.com"),
        person("tess2", "TESS@example.com"),
        person("noor", "noor@example.com"),
        // Somebody's login is somebody else's address.
        person("noor@example.com", "other@example.com"),
    ]));
    stage.turn(CUT_OVER);
    for name in ["tess", "tess2", "noor@example.com"] {
        let visitor = stage.visitor();
        let answer = visitor.sign_in(name, PASSWORD);
        assert_eq!((answer.status, answer.location()), (302, "/berths/7/"), "{name}");
        assert_eq!(visitor.get("/accounts/whoami/").json()["username"], name);
        assert_eq!(visitor.visitor.cookie("crossfade"), None);
    }
    assert_eq!(stage.users(), Vec::<Value>::new());
}

#[test]
fn without_the_user_table_nobody_is_told_wrong_password() {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
    stage.site.seed(&json!([person("maya", "maya@example.com")]));
    stage.lose_the_database(CUT_OVER);
    let mut browser = Browser::open();
    for (name, password) in [("maya", PASSWORD), ("maya", "wrong"), ("nobody", "wrong")] {
        stage.sign_in(&mut browser, name, password);
        browser.wait_text("Sign-in is not available right now");
        browser.wait_text("Your password was not checked.");
    }
    browser.screenshot(&picture("legacy-store-down"));
    let answer = stage.visitor().sign_in("maya", PASSWORD);
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    browser.click("a.act");
    browser.wait_url("http://scalekit.localhost:");
    assert_eq!(stage.users(), Vec::<Value>::new());
    // It is back: the same person crosses.
    stage.turn(CUT_OVER);
    stage.sign_in(&mut browser, "maya", PASSWORD);
    stage.confirm_mailbox(&mut browser, "maya@example.com");
    browser.wait_text("Berth 7");
    assert_eq!(stage.users().len(), 1);
}
