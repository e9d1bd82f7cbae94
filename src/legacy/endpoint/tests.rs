//! Against the stand-in endpoint, over real sockets.

mod gone;

use std::net::SocketAddr;

use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::{
    clock::SystemClock,
    config::{HttpAnswer, HttpAuth, HttpCheck, HttpFields, MfaDeclaration, Pointer, RoleMap, SourceKind},
    identity::{MfaState, Secret},
    legacy::{
        failure::TRANSIENT,
        tests::{attempt, counted_after, name, side_door, soon, source, unwatched},
    },
    simulate::http_store,
};

const TOKEN: &str = "simulated-http-store-token";

/// A running endpoint and the store that asks it.
struct Service {
    store: Endpoint,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

fn pointer(text: &str) -> Pointer {
    Pointer(text.into())
}

fn template(text: &str) -> UrlTemplate {
    UrlTemplate::parse(text, &["name", "id", "email"]).unwrap()
}

fn answer(status: &[u16], json: Option<(&str, Value)>, means: HttpMeaning) -> HttpAnswer {
    let json = json.map(|(pointer, equals)| (Pointer(pointer.into()), equals));
    HttpAnswer { status: status.to_vec(), json, means }
}

/// As the example configuration has it.
fn settings(address: SocketAddr) -> HttpSource {
    HttpSource {
        url: format!("http://{address}/legacy").parse().unwrap(),
        auth: Some(HttpAuth::Bearer(Secret::new(TOKEN.into()))),
        find: Some(template("/users/{name}")),
        find_by_id: Some(template("/by-id/{id}")),
        find_by_email: Some(template("/users?email={email}")),
        list: None,
        nobody: vec![404, 410],
        check: HttpCheck {
            path: template("/users/{name}"),
            password: "password".into(),
            name: None,
            names_person: false,
            answers: vec![
                answer(&[200], None, HttpMeaning::Right),
                answer(&[400, 401, 403, 404], None, HttpMeaning::Wrong),
                answer(&[423], None, HttpMeaning::Locked),
            ],
        },
        fields: HttpFields {
            id: Pointer("/id".into()),
            login: Some(pointer("/username")),
            email: Pointer("/email".into()),
            email_verified: Some(pointer("/emailVerified")),
            given_name: Some(pointer("/firstName")),
            family_name: Some(pointer("/lastName")),
            full_name: None,
            locale: Some(pointer("/attributes/locale/0")),
            organization: Some(pointer("/organizations/0/orgAlias")),
            roles: Some(pointer("/roles")),
            active: Some(pointer("/enabled")),
            disabled: None,
            locked: Some(pointer("/locked")),
            must_change: Some(pointer("/requiredActions")),
        },
    }
}

/// Answers with the person where a flag says yes.
fn checks_by_flag(settings: &mut HttpSource) {
    settings.check = HttpCheck {
        path: template("/check"),
        password: "password".into(),
        name: Some("login".into()),
        names_person: true,
        answers: vec![
            answer(&[200], Some(("/valid", json!(true))), HttpMeaning::Right),
            answer(&[200], Some(("/valid", json!(false))), HttpMeaning::Wrong),
        ],
    };
}

fn checks_by_id(settings: &mut HttpSource) {
    settings.check.path = template("/by-id/{id}");
}

#[expect(clippy::disallowed_methods, reason = "a test's own server")]
async fn service_with(options: Value, change: impl FnOnce(&mut Source, &mut HttpSource)) -> Service {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options: http_store::Options = serde_json::from_value(options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let state = http_store::HttpStore::new(options, SystemClock::shared());
    tokio::spawn(http_store::serve(listener, state, async move {
        let _ = stopped.await;
    }));
    let mut settings = settings(address);
    let mut source = source(SourceKind::Upstream);
    source.timeout = Duration::from_secs(2);
    source.mfa = MfaDeclaration::Field("/totps".into());
    change(&mut source, &mut settings);
    Service { store: Endpoint::new(&source, &settings, &unwatched()).unwrap(), address, _stop: stop }
}

async fn service(options: Value) -> Service {
    service_with(options, |_, _| ()).await
}

/// An endpoint of Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({ "id": "7", "username": "ann", "email": "ann@example.org", "password": "right horse",
        "first_name": "Ann", "last_name": "Archer", "email_verified": true });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "users": [ann] })
}

impl Service {
    async fn guess(&self, typed: &str, password: &str) -> Result<Verdict, LegacyError> {
        self.store.verify(&attempt(typed, password), soon()).await
    }

    /// Ann's guess with the right password.
    async fn right(&self) -> Result<Verdict, LegacyError> {
        self.guess("ann@example.org", "right horse").await
    }

    async fn record(&self) -> LegacyRecord {
        match self.right().await.unwrap() {
            Verdict::Verified(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    async fn holders(&self, email: &str) -> Result<Holders, LegacyError> {
        self.store.holders(&CanonicalEmail::parse(email).unwrap(), soon()).await
    }

    /// How often each request came.
    async fn requests(&self) -> Value {
        side_door(self.address, "counts").await["requests"].clone()
    }
}

const WRONG: Verdict = Verdict::Rejected(Rejection::WrongPassword);
const UNKNOWN: Verdict = Verdict::Rejected(Rejection::Unknown);

#[tokio::test]
async fn a_yes_is_the_person_that_was_found() {
    for change in [|_: &mut HttpSource| (), checks_by_id, checks_by_flag] {
        let service = service_with(ann(&json!({})), |_, settings| change(settings)).await;
        let record = service.record().await;
        assert_eq!((record.id.as_str(), record.login.as_str()), ("7", "ann"));
        assert_eq!(record.email.address.as_deref(), Some("ann@example.org"));
        assert_eq!((record.email.verified, record.state), (Some(true), AccountState::Active));
        assert_eq!((record.mfa, record.name.given.as_deref()), (MfaState::None, Some("Ann")));
        assert_eq!(service.guess("ANN", "wrong").await.unwrap(), WRONG);
        assert_eq!(service.guess("bob", "right horse").await.unwrap(), UNKNOWN);
    }
}

#[tokio::test]
async fn a_hook_whose_body_decides() {
    let hook = |_: &mut Source, settings: &mut HttpSource| {
        settings.check.path = template("/hooks/password");
        settings.check.name = Some("identifier".into());
        settings.check.answers = vec![
            answer(&[200], Some(("/status", json!("password_match"))), HttpMeaning::Right),
            answer(&[403], None, HttpMeaning::Wrong),
        ];
    };
    let good = service_with(ann(&json!({})), hook).await;
    assert_eq!(good.record().await.id.as_str(), "7");
    assert_eq!(good.guess("ann", "wrong").await.unwrap(), WRONG);
    // 200 without the word is no yes, and no no.
    let silent = service_with(ann(&json!({ "check_status": 200 })), hook).await;
    assert_eq!(silent.right().await.unwrap_err().class, TRANSIENT);
}

#[tokio::test]
async fn a_verdict_is_what_the_configuration_says_and_nothing_else() {
    for (status, class) in [
        (201, TRANSIENT),
        (204, TRANSIENT),
        (302, ErrorClass::Misconfigured),
        (307, ErrorClass::Misconfigured),
        (409, ErrorClass::Permanent),
        (429, ErrorClass::Transient { retry_after: Some(Duration::from_secs(1)) }),
        (500, TRANSIENT),
        (503, TRANSIENT),
    ] {
        let service = service(ann(&json!({ "check_status": status }))).await;
        assert_eq!(service.right().await.unwrap_err().class, class, "{status}");
        let asked = service.requests().await;
        assert_eq!(asked["POST /legacy/users/ann%40example.org"], 1, "{status}: sent once");
        assert!(!asked.to_string().contains("elsewhere"), "no redirect is followed");
    }
    for (means, verdict) in [
        (HttpMeaning::Unknown, UNKNOWN),
        (HttpMeaning::Locked, Verdict::Rejected(Rejection::Locked)),
        (HttpMeaning::Disabled, Verdict::Rejected(Rejection::Disabled)),
        (HttpMeaning::PasswordExpired, Verdict::StayOnLegacy(StayReason::PasswordExpired)),
        (HttpMeaning::MustChange, Verdict::StayOnLegacy(StayReason::MustChangePassword)),
        (HttpMeaning::Mfa, Verdict::StayOnLegacy(StayReason::Mfa)),
        (HttpMeaning::Pending, Verdict::StayOnLegacy(StayReason::Pending)),
    ] {
        let service = service_with(ann(&json!({ "check_status": 409 })), |_, settings| {
            settings.check.answers.push(answer(&[409], None, means));
        })
        .await;
        assert_eq!(service.right().await.unwrap(), verdict, "{means:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_no_wrong_password() {
    let service = service_with(ann(&json!({})), |_, settings| {
        settings.auth = Some(HttpAuth::Bearer(Secret::new("another".into())));
    })
    .await;
    assert_eq!(service.right().await.unwrap_err().class, ErrorClass::Misconfigured);
    let presence = service.store.presence(&name("ann"), soon()).await;
    assert_eq!(presence.unwrap_err().class, ErrorClass::Misconfigured);
}

#[tokio::test]
async fn each_way_of_saying_who_we_are() {
    let mut value = http::HeaderValue::from_static("k");
    value.set_sensitive(true);
    for (seed, auth) in [
        (
            json!({ "basic": { "user": "u", "password": "p" } }),
            HttpAuth::Basic { user: "u".into(), password: Secret::new("p".into()) },
        ),
        (
            json!({ "header": { "name": "x-api-key", "value": "k" } }),
            HttpAuth::Header { name: http::HeaderName::from_static("x-api-key"), value },
        ),
    ] {
        let mut options = ann(&json!({}));
        options["auth"] = seed;
        let service = service_with(options, |_, settings| settings.auth = Some(auth)).await;
        service.record().await;
    }
}

#[tokio::test]
async fn the_state_of_an_account_counts_after_its_password() {
    for (more, verdict) in [
        (json!({ "enabled": false }), Some(Verdict::Rejected(Rejection::Disabled))),
        (json!({ "more": { "locked": true } }), Some(Verdict::Rejected(Rejection::Locked))),
        (
            json!({ "required_actions": ["UPDATE_PASSWORD"] }),
            Some(Verdict::StayOnLegacy(StayReason::MustChangePassword)),
        ),
        (json!({ "required_actions": [] }), None),
    ] {
        let service = service(ann(&more)).await;
        match (service.right().await.unwrap(), verdict) {
            (Verdict::Verified(_), None) => {}
            (said, verdict) => assert_eq!(Some(said), verdict, "{more}"),
        }
        assert_eq!(service.guess("ann", "wrong").await.unwrap(), WRONG, "{more}");
    }
}

/// A yes has to name the person who was asked for, by id and e-mail (SEC-35).
#[tokio::test]
async fn a_yes_that_names_nobody_or_somebody_else_is_none() {
    for (more, class) in [
        (json!({ "id": "8" }), ErrorClass::Permanent),
        (json!({ "email": "joann@example.org", "username": "joann" }), ErrorClass::Permanent),
        (json!({ "id": null }), TRANSIENT),
        (json!({ "id": ["7"] }), TRANSIENT),
        (json!({ "id": "" }), TRANSIENT),
        (json!({ "id": { "$oid": "7" } }), TRANSIENT),
        (json!({ "email": null, "username": null }), TRANSIENT),
        (json!({ "email": 7.5 }), TRANSIENT),
        (json!({ "enabled": "yes" }), TRANSIENT),
        (json!({ "emailVerified": 1 }), TRANSIENT),
        (json!({ "roles": { "a": 1 } }), TRANSIENT),
    ] {
        let options = ann(&json!({ "check_more": more }));
        let service = service_with(options, |_, settings| checks_by_flag(settings)).await;
        assert_eq!(service.right().await.unwrap_err().class, class, "{more}");
    }
    // Without an address there is a person, who cannot be moved.
    let options = ann(&json!({ "check_more": { "email": null } }));
    let nameless = service_with(options, |_, settings| checks_by_flag(settings)).await;
    let Verdict::Verified(record) = nameless.guess("ann", "right horse").await.unwrap() else {
        panic!("no yes")
    };
    assert_eq!(record.email.address, None);
    // What was found under the name is compared, too: the endpoint's own comparison is not ours.
    let service = service(ann(&json!({ "more": { "username": "anna", "email": "anna@example.org" } }))).await;
    assert_eq!(service.right().await.unwrap(), UNKNOWN);
}

#[tokio::test]
async fn words_for_booleans_are_two() {
    for (flag, verified) in [
        (json!(true), Some(true)),
        (json!("true"), Some(true)),
        (json!("false"), Some(false)),
        (json!(false), Some(false)),
        // Not said where it could be: no yes.
        (json!(null), Some(false)),
    ] {
        let service = service(ann(&json!({ "more": { "emailVerified": flag } }))).await;
        assert_eq!(service.record().await.email.verified, verified, "{flag}");
    }
    for flag in [json!(1), json!("yes"), json!("True"), json!([true])] {
        let service = service(ann(&json!({ "more": { "emailVerified": flag } }))).await;
        assert_eq!(service.right().await.unwrap_err().class, TRANSIENT, "{flag}");
    }
    let unnamed = service_with(ann(&json!({})), |_, settings| settings.fields.email_verified = None).await;
    assert_eq!(unnamed.record().await.email.verified, None);
    // An account that does not say whether it is in use is neither a yes nor a no.
    let silent = service(ann(&json!({ "more": { "enabled": null } }))).await;
    assert_eq!(silent.record().await.state, AccountState::Unknown);
}

#[tokio::test]
async fn the_record_has_what_the_pointers_lead_to() {
    let more = json!({ "roles": ["staff", "unmapped"], "totps": [{ "name": "phone" }], "more": {
        "id": 7, "attributes": { "locale": ["de_AT"] }, "organizations": [{ "orgAlias": "acme" }], "novel": {} } });
    let service = service(ann(&more)).await;
    let record = service.record().await;
    assert_eq!((record.id.as_str(), record.name.locale.as_deref()), ("7", Some("de-AT")));
    assert_eq!((record.organization.as_deref(), &*record.roles), (Some("acme"), &["member".to_owned()][..]));
    assert_eq!(record.mfa, MfaState::Enrolled);
    let id = LegacyId::parse("7").unwrap();
    assert_eq!(service.store.read(&id, soon()).await.unwrap().unwrap(), record);
    assert_eq!(service.store.look_up(&name("ann"), soon()).await.unwrap().unwrap(), record);
    let rootless = service_with(ann(&more), |source, _| source.roles = RoleMap::default()).await;
    assert!(rootless.record().await.roles.is_empty());
}

#[tokio::test]
async fn what_was_typed_is_one_segment_of_the_path() {
    let names = ["a/b", "a?b", "a#b", "a%2fb", "a+b", "../users", "a b", "ä;b", "//evil.example/x"];
    let users: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(at, name)| json!({ "id": at.to_string(), "username": name, "email": "x@example.org" }))
        .collect();
    let service = service(json!({ "users": users })).await;
    for (at, typed) in names.iter().enumerate() {
        let record = service.store.look_up(&name(typed), soon()).await.unwrap();
        assert_eq!(record.unwrap().id.as_str(), at.to_string(), "{typed}");
    }
    for typed in ["..", ".", "nobody"] {
        assert!(service.store.look_up(&name(typed), soon()).await.unwrap().is_none(), "{typed}");
    }
    assert!(!service.requests().await.to_string().contains("/evil"), "{}", service.requests().await);
    assert_eq!(service.guess("..", "right horse").await.unwrap(), UNKNOWN);
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_a_check_of_nobody() {
    let by_name = service(ann(&json!({}))).await;
    assert_eq!(by_name.guess("7", "right horse").await.unwrap(), UNKNOWN);
    assert_eq!(by_name.requests().await["POST /legacy/users/7"], 1);
    // Where ids are checked, the typed name must not be taken for one.
    let by_id = service_with(ann(&json!({})), |_, settings| checks_by_id(settings)).await;
    assert_eq!(by_id.guess("7", "right horse").await.unwrap(), UNKNOWN);
    let asked = by_id.requests().await;
    assert_eq!(asked["POST /legacy/by-id/7"], Value::Null);
    assert!(asked.to_string().contains("POST /legacy/by-id/nobody-"), "{asked}");
}

#[tokio::test]
async fn an_endpoint_that_finds_nobody_can_only_be_tried() {
    let service = service_with(ann(&json!({})), |_, settings| {
        checks_by_flag(settings);
        (settings.find, settings.find_by_id, settings.find_by_email) = (None, None, None);
    })
    .await;
    assert_eq!(service.record().await.id.as_str(), "7");
    assert_eq!(service.guess("bob", "right horse").await.unwrap(), WRONG);
    assert_eq!(service.store.presence(&name("ann"), soon()).await.unwrap(), Presence::CannotTell);
    assert_eq!(service.holders("ann@example.org").await.unwrap(), Holders::CannotTell);
    assert!(!service.store.holds_records());
    let read = service.store.read(&LegacyId::parse("7").unwrap(), soon()).await;
    assert_eq!(read.unwrap_err().class, ErrorClass::Misconfigured);
}

#[tokio::test]
async fn twins_are_counted_by_canonical_address() {
    let users = json!([
        { "id": "1", "username": "ann", "email": "ann@example.org" },
        { "id": "2", "username": "ann2", "email": "ANN@example.org" },
        { "id": "3", "username": "bob", "email": "bob@example.org" },
        { "id": "4", "username": "ida", "email": "ida@bücher.example" },
        { "id": "5", "username": "ida2", "email": "ida@xn--bcher-kva.example" },
    ]);
    let service = service_with(json!({ "users": users, "list_member": "users" }), |_, settings| {
        settings.list = Some(pointer("/users"));
    })
    .await;
    assert_eq!(service.holders("ann@example.org").await.unwrap(), Holders::Several);
    let bob = LegacyId::parse("3").unwrap();
    assert_eq!(service.holders("bob@example.org").await.unwrap(), Holders::One(bob));
    assert_eq!(service.holders("nobody@example.org").await.unwrap(), Holders::Nobody);
    assert_eq!(service.holders("ida@bücher.example").await.unwrap(), Holders::Several);
    // One person where a list should be says nothing about twins.
    let single = service_with(json!({ "users": users }), |_, settings| {
        settings.find_by_email = Some(template("/users/{email}"));
    })
    .await;
    assert_eq!(single.holders("bob@example.org").await.unwrap_err().class, TRANSIENT);
}

#[tokio::test]
async fn no_fault_is_a_word_about_the_guess() {
    let faults = [
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 3000 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "status", "status": 504 }),
        json!({ "kind": "status", "status": 418 }),
        json!({ "kind": "status", "status": 302 }),
        json!({ "kind": "rate_limited", "reset_after_secs": 86400 }),
        json!({ "kind": "html" }),
        json!({ "kind": "huge" }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
    ];
    for fault in faults {
        for method in ["GET", "POST"] {
            let mut fault = fault.clone();
            fault["method"] = json!(method);
            let mut options = ann(&json!({}));
            options["faults"] = json!([fault]);
            let service = service_with(options, |source, settings| {
                source.timeout = Duration::from_millis(700);
                checks_by_flag(settings);
            })
            .await;
            let error = service.right().await.unwrap_err();
            let expected = match fault["status"].as_u64() {
                Some(418) => ErrorClass::Permanent,
                Some(302) => ErrorClass::Misconfigured,
                _ if fault["kind"] == "rate_limited" => {
                    ErrorClass::Transient { retry_after: Some(Duration::from_mins(1)) }
                }
                _ => TRANSIENT,
            };
            assert_eq!(error.class, expected, "{fault}: {error:?}");
            assert_eq!(error.counted, counted_after(&fault, method == "POST"), "{fault}: {error:?}");
            let checks = service.requests().await["POST /legacy/check"].clone();
            assert_eq!(checks, if method == "POST" { json!(1) } else { Value::Null }, "{fault}");
            let told = format!("{error:?}");
            for secret in [TOKEN, "right horse", "ann@example.org"] {
                assert!(!told.contains(secret), "{fault}: {told}");
            }
        }
    }
}

/// Where the status alone decides, a page has one, too.
#[tokio::test]
async fn a_page_of_somebody_in_between_is_no_word() {
    for (fault, method) in [
        (json!({ "kind": "html" }), "POST"),
        (json!({ "kind": "html" }), "GET"),
        (json!({ "kind": "huge" }), "POST"),
    ] {
        for typed in ["ann", "nobody"] {
            let mut options = ann(&json!({}));
            options["faults"] = json!([fault]);
            options["faults"][0]["method"] = json!(method);
            let service = service(options).await;
            for password in ["right horse", "wrong"] {
                let error = service.guess(typed, password).await.unwrap_err();
                assert_eq!(error.class, TRANSIENT, "{fault} {method} {typed}");
            }
        }
    }
    let own = |status: u16, body: &'static str| {
        let answer = crate::net::Answer {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::from_static(body.as_bytes()),
        };
        calls::is_own_word(&answer)
    };
    for yes in ["", "OK", "{}", "true", " \n"] {
        assert!(own(200, yes), "{yes:?}");
    }
    for no_yes in ["<html>", " <!doctype html>", "We will be back soon", "OK!", "{"] {
        assert!(!own(200, no_yes), "{no_yes:?}");
    }
    for (status, no) in
        [(401, "Unauthorized"), (401, ""), (403, "{\"error\":1}"), (423, "Locked\n"), (404, "")]
    {
        assert!(own(status, no), "{status} {no:?}");
    }
    for (status, no_no) in [(403, "<html>blocked</html>"), (403, "error code: 1020"), (404, "Not Found")] {
        assert!(!own(status, no_no), "{status} {no_no:?}");
    }
}

#[tokio::test]
async fn a_password_that_is_no_text_is_not_sent() {
    let service = service(ann(&json!({}))).await;
    for bytes in [&b""[..], b"\xff\xfe"] {
        let mut guess = attempt("ann@example.org", "x");
        guess.password = std::sync::Arc::new(crate::identity::Password::unchecked(bytes.to_vec()));
        assert_eq!(service.store.verify(&guess, soon()).await.unwrap(), WRONG);
    }
    assert_eq!(service.requests().await, json!({}));
}

/// REL-11, as for Okta. Where a 401 has a meaning, it has that one.
#[tokio::test]
async fn the_credential_before_is_tried_once_where_the_new_one_is_not_known() {
    let service = service(ann(&json!({}))).await;
    let (source, dependencies) = (source(SourceKind::Upstream), unwatched());
    let with = |token: &str, change: &dyn Fn(&mut HttpSource)| {
        let mut settings = settings(service.address);
        settings.auth = Some(HttpAuth::Bearer(Secret::new(token.into())));
        change(&mut settings);
        Endpoint::new(&source, &settings, &dependencies).unwrap()
    };
    let _before = with(TOKEN, &|_| ());
    let after = with("new-token", &|_| ());
    let verdict = after.verify(&attempt("ann@example.org", "right horse"), soon()).await.unwrap();
    assert!(matches!(verdict, Verdict::Verified(_)), "{verdict:?}");
    let checks = async || {
        let requests = service.requests().await;
        let requests = requests.as_object().unwrap().iter();
        let sent = requests.filter(|(request, _)| request.starts_with("POST "));
        sent.map(|(_, count)| count.as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(checks().await, 1, "the person was found with the token that counts, and checked with it");
    // Nothing is found before the check, and its 401 says that a guess was wrong.
    let blind = with("newest-token", &|settings| settings.find = None);
    let wrong = blind.verify(&attempt("ann@example.org", "right horse"), soon()).await.unwrap();
    assert_eq!((wrong, checks().await), (WRONG, 2));
    let told = with("newest-token", &|settings| {
        settings.find = None;
        checks_by_flag(settings);
    });
    drop(told.verify(&attempt("ann@example.org", "right horse"), soon()).await);
    assert_eq!(checks().await, 4, "a 401 without a meaning is for us, and the guess was not looked at");
}
