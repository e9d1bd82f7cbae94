//! What the application sends and gets is the same with and without Crossfade.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    PASSWORD, person,
    stage::{CUT_OVER, Caller, Stage},
};
use crate::support::{http::Answer, postgres::Postgres};

/// Fields that a proxy must or may change; Django's `expires` is the second of its answer.
const BY_THE_WAY: [&str; 5] = ["date", "expires", "via", "connection", "keep-alive"];

fn stage() -> Stage {
    let database = Postgres::fresh();
    let stage = Stage::on_postgres(&database, |django| django.pbkdf2_iterations(20_000));
    stage.site.seed(&json!([person("maya", "maya@example.com")]));
    stage
}

/// An answer without what differs between any two answers of Django: the form's token, the cookies' values and the
/// second it was made in; and without the cookie by which a browser is known after a sign-in.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let cookie = |value: &str| {
        let parts = value.split("; ").filter(|part| !part.starts_with("expires="));
        let parts = parts.map(|part| match part.split_once('=') {
            Some((name @ ("csrftoken" | "sessionid"), value)) => {
                format!("{name}={}", "x".repeat(value.len()))
            }
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("; ")
    };
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !BY_THE_WAY.contains(&name.as_str()))
        .filter(|(name, value)| name != "set-cookie" || !value.starts_with("crossfade-known="))
        .map(|(name, value)| (name.clone(), if name == "set-cookie" { cookie(value) } else { value.clone() }))
        .collect();
    // The order of different fields means nothing; that of one name's values stays.
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    let mut body = answer.text();
    if body.contains("csrfmiddlewaretoken") {
        let token = answer.form_value("csrfmiddlewaretoken");
        body = body.replace(&token, &"x".repeat(token.len()));
    }
    (answer.status, headers, body)
}

#[test]
fn pages_and_refusals_of_django_come_through_as_they_are() {
    let stage = stage();
    let (proxied, direct) = (stage.visitor(), stage.direct());
    for path in ["/accounts/login/?next=/berths/7/", "/berths/7/", "/accounts/whoami/", "/nowhere/"] {
        assert_eq!(comparable(&proxied.get(path)), comparable(&direct.get(path)), "{path}");
    }
    for (name, password) in [("maya", "wrong"), ("nobody", "<&\"'>"), ("", ""), ("maya", PASSWORD)] {
        let pair = (proxied.sign_in(name, password), direct.sign_in(name, password));
        assert_eq!(comparable(&pair.0), comparable(&pair.1), "a sign-in as {name:?}");
    }
    for path in ["/", "/berths/7/", "/accounts/whoami/"] {
        assert_eq!(comparable(&proxied.get(path)), comparable(&direct.get(path)), "{path}, signed in");
    }
}

#[test]
fn django_gets_every_request_as_it_was_sent() {
    let stage = stage();
    let multipart = "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n\u{0}\u{1}é\r\n--edge--\r\n";
    let send = |caller: &Caller<'_>, method: Method, path: &str, kind: &str, body: &str| {
        let request = caller.request(method, path).header("content-type", kind).header("x-own", "a, b");
        caller.visitor.send(request.body(body.to_owned())).json()
    };
    for (method, path, kind, body) in [
        (Method::POST, "/echo-headers/?a=1&a=%20b&c", "multipart/form-data; boundary=edge", multipart),
        (Method::PUT, "/echo-headers/", "application/json", "{\"a\": [1, 2]}"),
        (Method::DELETE, "/echo-headers/?q=%C3%A4%2F", "text/plain", ""),
    ] {
        let [mut proxied, mut direct] =
            [stage.visitor(), stage.direct()].map(|caller| send(&caller, method.clone(), path, kind, body));
        let added = forwarding(&mut proxied);
        forwarding(&mut direct);
        assert_eq!(proxied, direct, "{method} {path}");
        assert_eq!(
            added,
            ["Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"]
        );
    }
}

/// Takes the forwarding fields out of an echoed request and names them.
fn forwarding(echoed: &mut Value) -> Vec<String> {
    let headers = echoed["headers"].as_object_mut().unwrap();
    let is_forwarding =
        |name: &String| name.starts_with("X-Forwarded-") || ["Via", "X-Request-Id"].contains(&name.as_str());
    let mut names: Vec<String> = headers.keys().filter(|name| is_forwarding(name)).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
    names.sort();
    names
}

#[test]
fn a_form_of_another_content_type_signs_in_to_django_and_proves_nothing() {
    let stage = stage();
    stage.turn(CUT_OVER);
    let visitor = stage.visitor();
    let token = visitor.get("/accounts/login/").form_value("csrfmiddlewaretoken");
    let part = |(name, value): (&str, &str)| {
        format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields = [
        ("csrfmiddlewaretoken", token.as_str()),
        ("username", "maya"),
        ("password", PASSWORD),
        ("next", "/"),
    ];
    let body = fields.map(part).concat() + "--edge--\r\n";
    let request = visitor.request(Method::POST, "/accounts/login/");
    let request = request.header("content-type", "multipart/form-data; boundary=edge").body(body);
    let answer = visitor.visitor.send(request);
    assert_eq!((answer.status, answer.location()), (302, "/"));
    assert_eq!(visitor.get("/accounts/whoami/").json()["username"], "maya");
    assert_eq!(stage.users(), Vec::<Value>::new());
}

#[test]
fn a_sign_in_without_djangos_token_or_from_elsewhere_is_refused() {
    let stage = stage();
    let visitor = stage.visitor();
    visitor.get("/accounts/login/");
    let fields = [("username", "maya"), ("password", PASSWORD), ("csrfmiddlewaretoken", "made up")];
    let send = |request: reqwest::RequestBuilder| visitor.visitor.send(request.form(&fields));
    let answer = send(visitor.request(Method::POST, "/accounts/login/"));
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("CSRF verification failed"), "Django's own page: {}", answer.text());
    let host = stage.origin.trim_start_matches("http://");
    let elsewhere = visitor.visitor.request(Method::POST, "/accounts/login/").header("host", host);
    let answer = send(elsewhere.header("origin", "http://evil.example"));
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains("CSRF"), "refused before Django: {}", answer.text());
    assert_eq!(visitor.get("/accounts/whoami/").status, 401);
}
