//! The same site on MariaDB and on SQLite, with a visitor that is no browser.

use reqwest::Method;
use serde_json::json;

use super::{
    PASSWORD, person,
    stage::{CUT_OVER, Caller, EXAMPLE, MIGRATING, Stage},
};
use crate::support::{
    django::Django,
    draft::Draft,
    http::{Answer, Visitor},
    mariadb::MariaDb,
    scratch::Scratch,
};

/// Signs in, goes through Scalekit's pages, where `hint` is filled in, and comes back.
fn cross(stage: &Stage, visitor: &Caller<'_>, name: &str, email: &str, hint: &str) {
    let away = visitor.sign_in(name, PASSWORD);
    assert_eq!(away.status, 303, "{}", away.text());
    let scalekit = Visitor::of(stage.scalekit.address);
    let inside = |location: &str| match location.strip_prefix("http://scalekit.localhost:") {
        Some(rest) => rest[rest.find('/').unwrap()..].to_owned(),
        None => location.to_owned(),
    };
    let form = scalekit.get(&inside(scalekit.get(&inside(away.location())).location()));
    let request = form.form_value("request");
    assert_eq!(form.form_value("email"), hint);
    scalekit.post_form("/hosted/login", &[("request", &request), ("email", email)]);
    let code = stage.mailed_code(email);
    let back = scalekit.post_form("/hosted/code", &[("request", &request), ("code", &code)]);
    let back = back.location().strip_prefix(&stage.origin).expect("Scalekit leads back").to_owned();
    let landed = visitor.get(&back);
    assert_eq!((landed.status, landed.location()), (303, "/berths/7/"), "{}", landed.text());
    let identity = visitor.get("/identity/").json();
    assert_eq!((&identity["x_forwarded_user"], &identity["signed_in_as"]), (&json!(name), &json!(name)));
    assert_eq!(visitor.visitor.cookie("sessionid"), None);
}

/// Signs in to Django while people are created, and once more.
fn migrate(stage: &Stage, name: &str, id: &str, email: &str) {
    for _ in 0..2 {
        let visitor = stage.visitor();
        assert_eq!(visitor.sign_in(name, PASSWORD).location(), "/berths/7/");
        assert_eq!(visitor.get("/accounts/whoami/").json()["username"], name);
        let user = stage.user_soon(id);
        assert_eq!((&user["email"], &user["email_verified"]), (&json!(email), &json!(true)));
    }
}

#[test]
fn people_of_a_mariadb_table_cross_and_its_collation_mixes_nobody_up() {
    let database = MariaDb::fresh();
    let example = Draft::of(EXAMPLE)
        .put("dialect: postgres\n", "dialect: mysql\n")
        .put_everywhere("id::text AS id", "CAST(id AS CHAR) AS id")
        .put("username = $1 OR lower(email) = lower($1)", "? IN (username, email)")
        .put("lower(email) = $1", "lower(email) = ?")
        .put("id::text = $1", "id = CAST(? AS UNSIGNED)");
    let django = Django::on(&database.url()).pbkdf2_iterations(20_000);
    let stage = Stage::of(django, example, &database.url());
    let ids = stage.site.seed(&json!([
        person("victim", "victim@example.com"),
        // To this collation the same address; to a mail server another mailbox.
        person("mallory", "víctim@example.com"),
        person("noor", "noor@example.com"),
    ]));
    let same = database.sql("select count(*) from auth_user where email = 'victim@example.com'");
    assert_eq!(same, "2", "the trap is set");

    stage.turn(MIGRATING);
    migrate(&stage, "noor", &ids["noor"].to_string(), "noor@example.com");
    migrate(&stage, "victim", &ids["victim"].to_string(), "victim@example.com");
    stage.turn(CUT_OVER);
    cross(&stage, &stage.visitor(), "noor", "noor@example.com", "noor@example.com");
    // Names that only the collation takes for somebody's: never that person's session, never a second user.
    for name in ["víctim", "nöor", "víctim@example.com"] {
        let visitor = stage.visitor();
        let answer = visitor.sign_in(name, PASSWORD);
        let away = answer.header("location").unwrap_or_default();
        assert!(!away.contains("scalekit"), "{name} is handed over: {away}");
        assert_eq!(visitor.visitor.cookie("crossfade"), None);
    }
    cross(&stage, &stage.visitor(), "victim", "victim@example.com", "victim@example.com");
    assert_eq!(stage.users().len(), 2);
}

/// A collation that compares byte by byte makes no bytes of a text: its ids stay as they are. Bytes are written in hex.
#[test]
fn an_id_is_text_by_its_character_set_whatever_its_collation() {
    for (kind, by_id, id_of_noor) in [
        ("char(36) character set ascii collate ascii_bin", "member_key = ?", "Key-noor"),
        ("varchar(36) character set utf8mb4 collate utf8mb4_bin", "member_key = ?", "Key-noor"),
        ("varbinary(36)", "lower(hex(member_key)) = ?", "4b65792d6e6f6f72"),
    ] {
        let database = MariaDb::fresh();
        let example = Draft::of(EXAMPLE)
            .put("dialect: postgres\n", "dialect: mysql\n")
            .put_everywhere("id::text AS id", "member_key AS id")
            .put("username = $1 OR lower(email) = lower($1)", "? IN (username, email)")
            .put("lower(email) = $1", "lower(email) = ?")
            .put("id::text = $1", by_id);
        let django = Django::on(&database.url()).pbkdf2_iterations(20_000);
        let stage = Stage::of(django, example, &database.url());
        stage.site.seed(&json!([person("noor", "noor@example.com")]));
        database.sql(&format!(
            "alter table auth_user add column member_key {kind} not null default '';
             update auth_user set member_key = concat('Key-', username)"
        ));
        // Who the application says they are is another id here, so they cross by their password.
        stage.turn(CUT_OVER);
        let answer = stage.visitor().sign_in("noor", PASSWORD);
        assert!(answer.location().starts_with("http://scalekit.localhost:"), "{kind}: {}", answer.location());
        stage.user_soon(id_of_noor);
        assert_eq!(stage.users().len(), 1, "{kind}");
    }
}

#[test]
fn people_of_a_sqlite_table_cross() {
    let scratch = Scratch::new();
    let file = scratch.path().join("site.db");
    let example = Draft::of(EXAMPLE)
        .put("dialect: postgres\n", "dialect: sqlite\n")
        .put_everywhere("id::text", "CAST(id AS TEXT)")
        .put("username = $1 OR lower(email) = lower($1)", "? IN (username, email)")
        .put("lower(email) = $1", "lower(email) = ?")
        .put("CAST(id AS TEXT) = $1", "CAST(id AS TEXT) = ?");
    let django = Django::on(&format!("sqlite://{}", file.display())).pbkdf2_iterations(20_000);
    let stage = Stage::of(django, example, &format!("sqlite:{}?mode=ro", file.display()));
    let ids = stage.site.seed(&json!([person("maya", "maya@example.com")]));
    stage.turn(MIGRATING);
    migrate(&stage, "maya", &ids["maya"].to_string(), "maya@example.com");
    stage.turn(CUT_OVER);
    let visitor = stage.visitor();
    cross(&stage, &visitor, "maya", "maya@example.com", "maya@example.com");
    assert_eq!(stage.users().len(), 1);
    assert_eq!(visitor.get("/.crossfade/session").json()["user"], "maya");

    // A script that signs out sees Django's own answer: it could not follow one to another site.
    let answer = sign_out(&visitor, "cors");
    assert_eq!((answer.status, answer.location()), (302, "/accounts/login/"));
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], false);
    // A browser that is led on anyway goes by Scalekit, whose session would sign in again unasked.
    let visitor = stage.visitor();
    // Anybody may have typed the name of somebody who crossed: it is not turned into their address.
    cross(&stage, &visitor, "maya", "maya@example.com", "");
    let answer = sign_out(&visitor, "navigate");
    assert_eq!(answer.status, 303);
    let farewell = format!("http://scalekit.localhost:{}/oidc/logout?", stage.scalekit.address.port());
    assert!(answer.location().starts_with(&farewell), "{}", answer.location());
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], false);
}

fn sign_out(visitor: &Caller<'_>, mode: &str) -> Answer {
    let token = visitor.get("/").form_value("csrfmiddlewaretoken");
    let request = visitor.request(Method::POST, "/accounts/logout/").header("sec-fetch-mode", mode);
    visitor.visitor.send(request.form(&[("csrfmiddlewaretoken", token)]))
}
