//! The application over real sockets.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use reqwest::{Response as Answer, header::HeaderMap};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::{clock::SystemClock, clock::TestClock, simulate::backstage::rig::Rig};

fn people() -> Value {
    json!([
        { "id": "1", "email": "ann@example.org", "email_verified": true, "name": "Ann Archer", "password": "right horse" },
        { "id": "2", "email": "mia@example.org", "login": "mia", "name": "Mia <b>", "password": "p&q=+ü", "mfa": true },
        { "id": "3", "email": "old@example.org", "name": "Old", "password": "old one", "must_change": true },
        { "id": "4", "email": "gone@example.org", "name": "Gone", "password": "gone", "disabled": true },
        { "id": "5", "email": "sso@example.org", "name": "No Password" },
        { "id": "6", "email": "both@example.org", "name": "Both", "password": "both", "mfa": true, "must_change": true },
    ])
}

fn options(mut options: Value) -> Options {
    options["users"] = people();
    serde_json::from_value(options).unwrap()
}

async fn app(more: Value) -> Rig {
    let state = App::new(options(more), SystemClock::shared()).unwrap();
    Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await
}

/// A browser: it keeps cookies and fills in forms.
struct Browser<'a> {
    rig: &'a Rig,
    jar: Vec<(String, String)>,
}

impl<'a> Browser<'a> {
    fn new(rig: &'a Rig) -> Self {
        Self { rig, jar: Vec::new() }
    }

    fn cookies(&self) -> String {
        self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.header("cookie", self.cookies()).send().await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(line.contains("; HttpOnly") && line.contains("; Path=/"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.jar.retain(|(held, _)| held != name);
            if !line.contains("Max-Age=0") {
                self.jar.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    async fn open(&mut self, path: &str) -> Answer {
        self.send(self.rig.get(path)).await
    }

    /// Opens the page and sends its form back with these fields and the hidden ones of the page.
    async fn submit(&mut self, page: &str, fields: &[(&str, &str)]) -> Answer {
        let html = self.open(page).await.text().await.unwrap();
        let action = between(&html, "action=\"", "\"").to_owned();
        let mut all: Vec<(&str, String)> = Vec::new();
        for hidden in html.split("<input type=\"hidden\" ").skip(1) {
            all.push((
                between(hidden, "name=\"", "\""),
                between(hidden, "value=\"", "\"").replace("&amp;", "&"),
            ));
        }
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.send(self.rig.post(&action).form(&all)).await
    }

    async fn sign_in(&mut self, email: &str, password: &str) -> Answer {
        self.submit("/login?next=/a?b=c%26d", &[("email", email), ("password", password)]).await
    }

    async fn me(&mut self) -> (u16, Value) {
        let answer = self.open("/api/me").await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status().as_u16(), answer.headers()["location"].to_str().unwrap())
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let rig = app(json!({})).await;
    for method in [reqwest::Method::GET, reqwest::Method::POST] {
        let mut browser = Browser::new(&rig);
        assert_eq!(browser.me().await.0, 401);
        assert_eq!(location(&browser.sign_in("ANN@example.org", "right horse").await), (302, "/a?b=c&d"));
        let (status, me) = browser.me().await;
        assert_eq!(status, 200);
        assert_eq!(
            me,
            json!({
                "id": "1", "email": "ann@example.org", "login": "ann@example.org", "email_verified": true,
                "name": "Ann Archer", "mfa": false, "status": "active",
                "door": "session", "own_session": "1", "handed_user": null,
            })
        );
        let page = browser.open("/").await.text().await.unwrap();
        assert!(page.contains("Signed in as <strong>ann@example.org") && page.contains("own session"));
        let stolen = browser.cookies();
        assert_eq!(location(&browser.send(rig.request(method, "/logout")).await), (302, "/login"));
        assert!(!browser.cookies().contains("app_session"));
        let replay = rig.get("/api/me").header("cookie", stolen).send().await.unwrap();
        assert_eq!(replay.status(), 401, "the session ended on the server too");
    }
}

#[tokio::test]
async fn every_refusal_looks_the_same() {
    let rig = app(json!({})).await;
    let mut texts = Vec::new();
    for (email, password) in [
        ("ann@example.org", "wrong"),
        ("nobody@example.org", "right horse"),
        ("gone@example.org", "gone"),
        ("sso@example.org", ""),
    ] {
        let mut browser = Browser::new(&rig);
        let answer = browser.sign_in(email, password).await;
        assert_eq!(answer.status(), 200);
        assert!(!browser.cookies().contains("app_session"));
        let html = answer.text().await.unwrap();
        assert!(html.contains("role=\"alert\"") && html.contains("is wrong"), "{html}");
        let ticket = between(&html, "name=\"csrf\" value=\"", "\"").to_owned();
        texts.push(html.replace(&ticket, "").replace(email, ""));
    }
    assert!(texts.iter().all(|text| *text == texts[0]));
    let counts = rig.json("/__simulator/counts").await;
    assert_eq!(counts["password_checks"]["ann@example.org"], 1);
}

#[tokio::test]
async fn a_refusal_can_be_401_or_a_redirect() {
    let rig = app(json!({ "on_failure": "unauthorized" })).await;
    assert_eq!(Browser::new(&rig).sign_in("ann@example.org", "wrong").await.status(), 401);
    let rig = app(json!({ "on_failure": "redirect" })).await;
    let mut browser = Browser::new(&rig);
    let answer = browser.sign_in("ann@example.org", "wrong").await;
    assert_eq!(location(&answer), (302, "/login?error=1&next=%2Fa%3Fb%3Dc%26d"));
    let html = browser.open("/login?error=1").await.text().await.unwrap();
    assert!(html.contains("is wrong"));
}

#[tokio::test]
async fn a_form_without_its_own_ticket_is_refused() {
    let rig = app(json!({})).await;
    let fields = [("email", "ann@example.org"), ("password", "right horse")];
    let bare = rig.post("/login").form(&fields).send().await.unwrap();
    assert_eq!(bare.status(), 403);
    let mut other = Browser::new(&rig);
    let html = other.open("/login").await.text().await.unwrap();
    let foreign = between(&html, "name=\"csrf\" value=\"", "\"").to_owned();
    let mut browser = Browser::new(&rig);
    browser.open("/login").await;
    let answer = browser.send(rig.post("/login").form(&[fields[0], fields[1], ("csrf", &foreign)])).await;
    assert_eq!(answer.status(), 403, "a ticket of another browser");
    assert_eq!(rig.json("/__simulator/counts").await["password_checks"], json!({}));
    let json = rig.post("/login").json(&json!({})).send().await.unwrap();
    assert_eq!(json.status(), 415);
}

#[tokio::test]
async fn a_next_elsewhere_leads_home() {
    let rig = app(json!({})).await;
    let fields = [("email", "ann@example.org"), ("password", "right horse")];
    let answer = Browser::new(&rig).submit("/login?next=//evil.example", &fields).await;
    assert_eq!(location(&answer), (302, "/"));
    let mut browser = Browser::new(&rig);
    let later =
        [("email", "ann@example.org"), ("password", "right horse"), ("next", "https://evil.example/")];
    assert_eq!(location(&browser.submit("/login", &later).await), (302, "/"));
}

#[tokio::test]
async fn a_second_factor_stands_between_password_and_session() {
    let rig = app(json!({ "mfa_code": "424242" })).await;
    let mut browser = Browser::new(&rig);
    assert_eq!(location(&browser.open("/mfa").await), (302, "/login"));
    assert_eq!(location(&browser.sign_in("mia", "p&q=+ü").await), (302, "/mfa"));
    let half = browser.cookies();
    assert_eq!(browser.me().await.0, 401, "half a sign-in is none");
    assert_eq!(location(&browser.open("/password/change").await), (302, "/login"));
    let wrong = browser.submit("/mfa", &[("code", "000000")]).await;
    assert!(wrong.text().await.unwrap().contains("not right"));
    let answer = browser.submit("/mfa", &[("code", "424242")]).await;
    assert_eq!(location(&answer), (302, "/a?b=c&d"));
    assert_eq!(browser.me().await.1["id"], "2");
    let replay = rig.get("/mfa").header("cookie", half).send().await.unwrap();
    assert_eq!(location(&replay), (302, "/login"), "the cookie of the half sign-in is worth nothing");
    let page = browser.open("/").await.text().await.unwrap();
    assert!(page.contains("Mia &lt;b&gt;") && !page.contains("Mia <b>"));
}

#[tokio::test]
async fn a_password_that_must_be_changed_is_changed_first() {
    let rig = app(json!({})).await;
    let mut browser = Browser::new(&rig);
    assert_eq!(location(&browser.sign_in("old@example.org", "old one").await), (302, "/password/change"));
    assert_eq!(browser.me().await.0, 401);
    for (new, again, said) in [("short", "short", "8 characters"), ("long enough", "other", "not the same")] {
        let answer =
            browser.submit("/password/change", &[("password", new), ("password_again", again)]).await;
        assert!(answer.text().await.unwrap().contains(said));
    }
    let fields = [("password", "long enough"), ("password_again", "long enough")];
    assert_eq!(location(&browser.submit("/password/change", &fields).await), (302, "/a?b=c&d"));
    assert_eq!(browser.me().await.1["status"], "active");
    assert_eq!(Browser::new(&rig).sign_in("old@example.org", "old one").await.status(), 200);
    assert_eq!(Browser::new(&rig).sign_in("old@example.org", "long enough").await.status(), 302);

    let mut both = Browser::new(&rig);
    assert_eq!(location(&both.sign_in("both@example.org", "both").await).1, "/mfa");
    assert_eq!(location(&both.submit("/mfa", &[("code", "123456")]).await).1, "/password/change");

    rig.post("/__simulator/reset").send().await.unwrap();
    assert_eq!(browser.me().await.0, 401, "a reset ends the sessions");
    assert_eq!(location(&browser.sign_in("old@example.org", "old one").await).1, "/password/change");
}

#[tokio::test]
async fn the_reset_page_tells_nobody_who_is_known() {
    let rig = app(json!({})).await;
    let mut texts = Vec::new();
    for email in ["ann@example.org", "nobody@example.org"] {
        let mut browser = Browser::new(&rig);
        let html = browser.submit("/account/password", &[("email", email)]).await.text().await.unwrap();
        let ticket = between(&html, "name=\"csrf\" value=\"", "\"").to_owned();
        texts.push(html.replace(&ticket, ""));
    }
    assert!(texts[0].contains("on its way") && texts[0] == texts[1]);
}

#[tokio::test]
async fn a_program_signs_in_with_json() {
    let rig = app(json!({})).await;
    let call = |email: &str, password: &str| {
        rig.post("/api/login").json(&json!({ "user": { "email": email }, "password": password }))
    };
    let mut browser = Browser::new(&rig);
    let answer = browser.send(call("ann@example.org", "right horse")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["id"], "1");
    assert_eq!(browser.me().await.1["id"], "1");
    for (email, password, status, word) in [
        ("ann@example.org", "wrong", 401, "invalid_credentials"),
        ("gone@example.org", "gone", 401, "invalid_credentials"),
        ("mia", "p&q=+ü", 403, "mfa_required"),
        ("old@example.org", "old one", 403, "password_change_required"),
    ] {
        let answer = call(email, password).send().await.unwrap();
        assert!(answer.headers().get("set-cookie").is_none());
        assert_eq!(
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["error"].clone()),
            (status, word.into())
        );
    }
    assert_eq!(rig.post("/api/login").json(&json!({})).send().await.unwrap().status(), 400);
    assert_eq!(rig.post("/api/login").body("{}").send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn a_plain_header_counts_only_when_trusted() {
    for (trusted, status) in [(false, 401), (true, 200)] {
        let rig = app(json!({ "trust_headers": trusted })).await;
        let call = |path: &str| {
            rig.get(path).header("X-Forwarded-User", "mia").header("X-Forwarded-Email", "other@example.org")
        };
        let answer = call("/api/me").send().await.unwrap();
        assert_eq!(answer.status(), status);
        let page = call("/").send().await.unwrap().text().await.unwrap();
        assert!(page.contains("<code>x-forwarded-user</code>"));
        assert_eq!(page.contains("by a plain header"), trusted);
        assert_eq!(page.contains("not believed"), !trusted);
        if trusted {
            let me: Value = answer.json().await.unwrap();
            assert_eq!((&me["id"], &me["door"]), (&json!("2"), &json!("header")));
            let stranger = rig.get("/api/me").header("X-Forwarded-User", "sk:usr_1").send().await.unwrap();
            let stranger: Value = stranger.json().await.unwrap();
            assert_eq!((&stranger["id"], &stranger["status"]), (&json!("sk:usr_1"), &json!("not_in_table")));
        }
    }
}

#[tokio::test]
async fn two_identities_at_once_are_shown() {
    let rig = app(json!({ "trust_headers": true })).await;
    let mut browser = Browser::new(&rig);
    browser.sign_in("ann@example.org", "right horse").await;
    let answer = browser.send(rig.get("/api/me").header("x-forwarded-user", "mia")).await;
    let me: Value = answer.json().await.unwrap();
    assert_eq!(
        (&me["id"], &me["own_session"], &me["handed_user"]),
        (&json!("2"), &json!("1"), &json!("mia"))
    );
    let page = browser.send(rig.get("/").header("x-forwarded-user", "mia")).await.text().await.unwrap();
    assert!(page.contains("An old session"));
}

/// Answers every connection with one key set.
fn key_server(keys: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

#[tokio::test]
async fn an_assertion_is_checked_and_a_broken_one_never_replaced_by_the_plain_header() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair};
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let key = || EncodingKey::from_ec_der(EcdsaKeyPair::generate_pkcs8(&ES256, &rng).unwrap().as_ref());
    let (ours, theirs) = (key(), key());
    let mut jwk = Jwk::from_encoding_key(&ours, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("k1".into());
    let url = key_server(json!({ "keys": [jwk] }).to_string());
    let rig = app(json!({
        "trust_headers": true,
        "assertion": { "jwks_url": url, "issuer": "https://crossfade.test", "audience": "app" },
    }))
    .await;
    let sign = |key: &EncodingKey, kid: &str, claims: Value| {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, key).unwrap()
    };
    let good =
        json!({ "iss": "https://crossfade.test", "aud": "app", "exp": 4_102_444_800_u64, "sub": "mia" });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let table = [
        ("good", sign(&ours, "k1", good.clone()), 200),
        ("wrong key", sign(&theirs, "k1", good.clone()), 401),
        ("unknown key id", sign(&ours, "k2", good.clone()), 401),
        ("expired", sign(&ours, "k1", with("exp", json!(1))), 401),
        ("other issuer", sign(&ours, "k1", with("iss", json!("https://evil.test"))), 401),
        ("other audience", sign(&ours, "k1", with("aud", json!("other"))), 401),
        ("nobody", sign(&ours, "k1", with("sub", json!(null))), 401),
        ("no token", "nonsense".to_owned(), 401),
    ];
    for (what, token, status) in table {
        let answer = rig
            .get("/api/me")
            .header("x-crossfade-assertion", &token)
            .header("x-forwarded-user", "ann@example.org")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{what}");
        let me: Value = answer.json().await.unwrap();
        if status == 200 {
            assert_eq!((&me["id"], &me["door"]), (&json!("2"), &json!("assertion")));
        } else {
            assert_eq!(me["error"], "bad_assertion", "{what}");
        }
    }
}

#[tokio::test]
async fn the_own_scalekit_sign_in_starts_with_state_and_hint() {
    let rig = app(json!({ "sso": {
        "authorize_url": "http://scalekit.localhost:1/oauth/authorize", "client_id": "skc_1",
        "redirect_uri": "http://app.localhost:2/sso/callback",
    } }))
    .await;
    let mut browser = Browser::new(&rig);
    let answer = browser.open("/sso/start?login_hint=ann%2B1@example.org&evil=1").await;
    assert_eq!(answer.status(), 302);
    let to: url::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    let sent: std::collections::BTreeMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!(sent["login_hint"], "ann+1@example.org");
    assert_eq!((sent["client_id"].as_str(), sent["response_type"].as_str()), ("skc_1", "code"));
    assert!(!sent.contains_key("evil"));
    assert_eq!(rig.get("/sso/callback?code=c&state=x").send().await.unwrap().status(), 403);
    let back = format!("/sso/callback?code=secretcode&state={}", sent["state"]);
    assert_eq!(browser.open(&back).await.status(), 200);
    assert_eq!(browser.open(&back).await.status(), 403, "a state is good once");
    assert!(!rig.json("/__simulator/journal").await.to_string().contains("secretcode"));
    let none = app(json!({})).await;
    assert_eq!(none.get("/sso/start").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn an_echo_tells_what_was_received() {
    let rig = app(json!({})).await;
    let request = b"PATCH /echo?a=%2F&&b HTTP/1.1\r\nHost: app.localhost\r\nB-Second: 2\r\nA-First: 1\r\nb-second: 3\r\n\
                    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n";
    let mut stream = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["method"], &body["target"]), (&json!("PATCH"), &json!("/echo?a=%2F&&b")));
    let names: Vec<_> =
        body["headers"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert_eq!(names, ["host", "b-second", "b-second", "a-first", "transfer-encoding", "connection"]);
    assert_eq!(body["body"]["length_bytes"], 3);
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(body["body"]["sha256"], abc);
    assert_eq!(body["body"]["trailers"], json!([["x-sum", "6"]]));

    let upload = rig.post("/upload").body(vec![7; 5 << 20]).send().await.unwrap();
    assert_eq!(upload.json::<Value>().await.unwrap()["body"]["length_bytes"], 5 << 20);
}

#[tokio::test]
async fn hard_answers_for_a_proxy() {
    let rig = app(json!({})).await;
    let streamed = rig.get("/stream?kib=300&delay_ms=0").send().await.unwrap();
    assert_eq!(streamed.headers()["transfer-encoding"], "chunked");
    assert_eq!(streamed.bytes().await.unwrap().len(), 300 * 1024);
    let slowly = rig.get("/stream?kib=3&delay_ms=5").send().await.unwrap();
    assert_eq!(slowly.bytes().await.unwrap().len(), 3 * 1024);
    for code in [200, 204, 302, 304, 404, 418, 500, 503, 599] {
        assert_eq!(rig.get(&format!("/status/{code}")).send().await.unwrap().status(), code);
    }
    for code in ["100", "101", "1000", "abc"] {
        assert_eq!(rig.get(&format!("/status/{code}")).send().await.unwrap().status(), 400, "{code}");
    }
    let cookies = rig.get("/set-cookies").send().await.unwrap();
    assert_eq!(cookies.headers().get_all("set-cookie").iter().count(), 3);
    let answer = rig.get("/headers").header("x-probe", "seen").send().await.unwrap();
    let headers: &HeaderMap = answer.headers();
    let double: Vec<_> = headers.get_all("x-double").iter().collect();
    assert_eq!(double, ["one", "two"]);
    assert!(headers["x-empty"].is_empty());
    assert!(answer.text().await.unwrap().contains("[\"x-probe\",\"seen\"]"));
    assert_eq!(rig.get("/nowhere").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_slow_answer_waits_as_long_as_asked() {
    let clock = TestClock::at(Timestamp::from_seconds(0));
    let state = App::new(options(json!({})), clock.clone()).unwrap();
    let rig = Rig::start(|listener, shutdown| serve(listener, state, shutdown)).await;
    let answer = rig.json("/slow?ms=1500").await;
    assert_eq!(answer["waited_ms"], 1500);
    assert_eq!(crate::clock::Clock::monotonic(&*clock), Duration::from_millis(1500));
}

#[tokio::test]
async fn the_pages_are_readable_by_everyone() {
    let rig = app(json!({ "name": "Salt & Rope" })).await;
    for path in ["/", "/login?next=%22%3E%3Cscript%3E", "/account/password"] {
        let answer = rig.get(path).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let html = answer.text().await.unwrap();
        assert!(html.contains("<html lang=\"en\">") && html.contains("Salt &amp; Rope"), "{path}");
        assert!(html.contains("prefers-color-scheme:dark") && !html.contains("<script"), "{path}");
        for field in html.split("<input id=\"").skip(1) {
            let id = field.split('"').next().unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\">")), "{path}: {id} has a label");
        }
    }
}

#[tokio::test]
async fn the_journal_knows_of_a_password_but_not_which() {
    let rig = app(json!({})).await;
    let mut browser = Browser::new(&rig);
    browser.sign_in("ann@example.org", "right horse").await;
    browser.sign_in("mia", "p&q=+ü").await;
    let session = browser.jar.iter().find(|(name, _)| name == "app_session").unwrap().1.clone();
    browser.open("/").await;
    let journal = rig.json("/__simulator/journal").await;
    let posts: Vec<&Value> =
        journal["requests"].as_array().unwrap().iter().filter(|entry| entry["method"] == "POST").collect();
    assert_eq!(posts[0]["login"], "ann@example.org");
    assert_eq!(posts[0]["password"], json!({ "length_bytes": 11 }));
    assert_eq!(posts[0]["status"], 302);
    let text = journal.to_string();
    assert!(!text.contains("right horse") && !text.contains("p&q") && !text.contains(&session));
}

#[tokio::test]
async fn faults_reach_the_application_too() {
    let rig = app(json!({ "faults": [{ "kind": "status", "status": 503, "times": 1 }] })).await;
    let answer = rig.get("/").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"30".parse().unwrap()));
    rig.set_faults(json!({ "kind": "reset", "path": "/stream" })).await;
    rig.get("/stream?kib=8").send().await.unwrap().bytes().await.unwrap_err();
    rig.set_faults(json!({ "kind": "down", "path": "/login" })).await;
    assert!(rig.get("/login").send().await.is_err());
    assert_eq!(rig.get("/").send().await.unwrap().status(), 200);
}

#[test]
fn the_export_holds_hashes_that_verify() {
    let text = options(json!({ "hash_cost": 31 })).export_jsonl().unwrap();
    assert!(!text.contains("right horse"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    let ann = lines[0]["password_hash"].as_str().unwrap();
    assert!(ann.starts_with("$2b$06$"), "the cost is held down: {ann}");
    assert!(bcrypt::verify("right horse", ann).unwrap() && !bcrypt::verify("wrong", ann).unwrap());
    assert_eq!(lines[4]["password_hash"], Value::Null);
    assert_eq!((&lines[0]["given_name"], &lines[0]["family_name"]), (&json!("Ann"), &json!("Archer")));
    assert_eq!((&lines[1]["mfa"], &lines[3]["disabled"]), (&json!(true), &json!(true)));
    let members: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["id", "email", "email_verified", "password_hash", "given_name", "family_name", "mfa", "disabled"];
    expected.sort_unstable();
    let mut members = members;
    members.sort_unstable();
    assert_eq!(members, expected);
    let mut long = options(json!({}));
    long.users[0].password = Some("x".repeat(73));
    assert!(long.export_jsonl().unwrap_err().to_string().contains("\"1\""));
}
