//! Against the stand-in service, over real sockets.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::{
    clock::SystemClock,
    config::{AccountStore, SourceKind},
    identity::{AccountState, MfaState, Secret},
    legacy::{
        failure::TRANSIENT,
        tests::{attempt, counted_after, name, side_door, soon, source, unwatched},
    },
    simulate::stormpath,
};

const SECRET: &str = "simulated-stormpath-secret";

/// A running service and the store that asks it.
struct Service {
    store: Stormpath,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

async fn service_with(options: Value, change: impl FnOnce(&mut Source, &mut StormpathSource)) -> Service {
    service_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), options, change)
}

#[expect(clippy::disallowed_methods, reason = "a test's own server")]
fn service_on(
    listener: TcpListener,
    options: Value,
    change: impl FnOnce(&mut Source, &mut StormpathSource),
) -> Service {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options: stormpath::Options = serde_json::from_value(options).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let state = stormpath::Stormpath::new(options, SystemClock::shared());
    tokio::spawn(stormpath::serve(listener, state, async move {
        let _ = stopped.await;
    }));
    let mut settings = StormpathSource {
        url: format!("http://{address}/v1/applications/1simulatedApplication").parse().unwrap(),
        api_key_id: Secret::new("2SIMULATEDKEYID".into()),
        api_key_secret: Secret::new(SECRET.into()),
        account_store: None,
        organization_field: None,
    };
    let mut source = source(SourceKind::Upstream);
    source.timeout = Duration::from_secs(2);
    source.mfa = MfaDeclaration::None;
    change(&mut source, &mut settings);
    Service { store: Stormpath::new(&source, &settings, &unwatched()).unwrap(), address, _stop: stop }
}

async fn service(options: Value) -> Service {
    service_with(options, |_, _| ()).await
}

/// A service of Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({ "id": "a1", "username": "ann", "email": "ann@example.org", "password": "right: horse",
        "given_name": "Ann", "surname": "Archer", "email_verification_status": "VERIFIED" });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "accounts": [ann] })
}

impl Service {
    async fn guess(&self, typed: &str, password: &str) -> Result<Verdict, LegacyError> {
        self.store.verify(&attempt(typed, password), soon()).await
    }

    /// Ann's guess with the right password.
    async fn right(&self) -> Result<Verdict, LegacyError> {
        self.guess("ann@example.org", "right: horse").await
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

fn id(text: &str) -> LegacyId {
    LegacyId::parse(text).unwrap()
}

/// The table of legacy-stores.md §2.
#[tokio::test]
async fn each_code_has_its_outcome() {
    for (code, why) in [
        (7100, Rejection::WrongPassword),
        (7101, Rejection::Disabled),
        (7102, Rejection::Disabled),
        (7103, Rejection::Locked),
        (7104, Rejection::Unknown),
        (7105, Rejection::Disabled),
        (7106, Rejection::Disabled),
        (7107, Rejection::Disabled),
    ] {
        let service = service(ann(&json!({ "login_error": code }))).await;
        assert_eq!(service.right().await.unwrap(), Verdict::Rejected(why), "{code}");
    }
    for (code, class) in [(7200, TRANSIENT), (7201, TRANSIENT), (7999, ErrorClass::Permanent)] {
        let service = service(ann(&json!({ "login_error": code }))).await;
        assert_eq!(service.right().await.unwrap_err().class, class, "{code}");
    }
    let service = service(ann(&json!({}))).await;
    assert_eq!(service.guess("ann", "wrong").await.unwrap(), Verdict::Rejected(Rejection::WrongPassword));
    assert_eq!(service.guess("bob", "wrong").await.unwrap(), Verdict::Rejected(Rejection::Unknown));
}

#[tokio::test]
async fn a_wrong_key_or_address_is_the_operators_to_repair() {
    let options = || ann(&json!({}));
    let wrong_key = service_with(options(), |_, settings| {
        settings.api_key_secret = Secret::new("another".into());
    });
    let wrong_application =
        service_with(options(), |_, settings| settings.url.set_path("/v1/applications/other"));
    for service in [wrong_key.await, wrong_application.await] {
        assert_eq!(service.right().await.unwrap_err().class, ErrorClass::Misconfigured);
        let presence = service.store.presence(&name("ann"), soon()).await;
        assert_eq!(presence.unwrap_err().class, ErrorClass::Misconfigured);
        assert_eq!(service.holders("ann@example.org").await.unwrap_err().class, ErrorClass::Misconfigured);
    }
}

/// What the account says after the password was right: read again, since the attempt may name it by address alone.
#[tokio::test]
async fn each_status_has_its_outcome() {
    for (status, state) in [("ENABLED", AccountState::Active), ("HIBERNATING", AccountState::Unknown)] {
        let service = service(ann(&json!({ "status": status }))).await;
        assert_eq!(service.record().await.state, state, "{status}");
    }
    assert_eq!(forbidden(Some("DISABLED")), Some(Verdict::Rejected(Rejection::Disabled)));
    assert_eq!(forbidden(Some("UNVERIFIED")), Some(Verdict::StayOnLegacy(StayReason::Pending)));
    assert_eq!(forbidden(None), None);
    for (status, state) in [("DISABLED", AccountState::Disabled), ("UNVERIFIED", AccountState::Disabled)] {
        let service = service(ann(&json!({ "status": status }))).await;
        let found = service.store.look_up(&name("ann"), soon()).await.unwrap().unwrap();
        assert_eq!(found.state, state, "{status}");
    }
}

#[tokio::test]
async fn only_the_word_verified_vouches_for_an_address() {
    for (word, flag) in [
        ("VERIFIED", Some(true)),
        ("UNVERIFIED", Some(false)),
        ("UNKNOWN", None),
        ("verified", Some(false)),
        ("PERHAPS", Some(false)),
    ] {
        let service = service(ann(&json!({ "email_verification_status": word }))).await;
        assert_eq!(service.record().await.email.verified, flag, "{word}");
    }
}

#[tokio::test]
async fn the_record_has_what_account_groups_and_custom_data_say() {
    let more = json!({
        "groups": [{ "name": "staff" }, { "name": "root", "status": "DISABLED" }, { "name": "unmapped" }],
        "custom_data": { "company": { "id": 7 }, "mfa": false },
    });
    let service = service_with(ann(&more), |source, settings| {
        settings.organization_field = Some(Pointer("/company/id".into()));
        source.mfa = MfaDeclaration::Field("/mfa".into());
    })
    .await;
    let record = service.record().await;
    assert_eq!((record.id.as_str(), record.login.as_str()), ("a1", "ann"));
    assert_eq!(record.email.address.as_deref(), Some("ann@example.org"));
    assert_eq!((record.state, record.mfa), (AccountState::Active, MfaState::None));
    let name = &record.name;
    assert_eq!((name.given.as_deref(), name.family.as_deref()), (Some("Ann"), Some("Archer")));
    assert_eq!((record.organization.as_deref(), &*record.roles), (Some("7"), &["member".to_owned()][..]));
    assert_eq!(service.store.read(&id("a1"), soon()).await.unwrap().unwrap(), record);
    let door = "POST /v1/applications/1simulatedApplication/loginAttempts";
    assert_eq!(service.requests().await[door], 1);
}

#[tokio::test]
async fn custom_data_says_who_has_a_second_factor() {
    for (data, mfa) in [
        (json!({ "mfa": true }), MfaState::Enrolled),
        (json!({ "mfa": ["totp"] }), MfaState::Enrolled),
        (json!({ "mfa": [] }), MfaState::None),
        (json!({ "mfa": "no" }), MfaState::Unknown),
        (json!({}), MfaState::Unknown),
    ] {
        let options = ann(&json!({ "custom_data": data }));
        let service =
            service_with(options, |source, _| source.mfa = MfaDeclaration::Field("/mfa".into())).await;
        assert_eq!(service.record().await.mfa, mfa, "{data}");
    }
}

#[tokio::test]
async fn groups_and_custom_data_are_asked_only_where_they_count() {
    let service = service_with(ann(&json!({})), |source, _| source.roles = RoleMap::default()).await;
    service.record().await;
    let asked = service.requests().await.to_string();
    assert!(!asked.contains("groups") && !asked.contains("customData"), "{asked}");
}

#[tokio::test]
async fn a_sign_in_is_held_to_the_configured_store() {
    let options = || {
        let mut options = ann(&json!({}));
        options["directories"] = json!([{ "id": "main", "name_key": "harbour" }]);
        options
    };
    for (key, verdict) in [("harbour", None), ("other", Some(Verdict::Rejected(Rejection::Unknown)))] {
        let service = service_with(options(), |_, settings| {
            settings.account_store = Some(AccountStore::NameKey(key.into()));
        })
        .await;
        let said = service.right().await.unwrap();
        assert!(verdict.is_none_or(|verdict| verdict == said), "{key}: {said:?}");
    }
}

/// The key is sent where an answer says an account is, unless that is not the configured service.
#[tokio::test]
async fn the_key_follows_no_address_elsewhere() {
    let own = "HERE/v1/accounts/a1";
    for (href, class) in [
        ("http://127.0.0.1:9/v1/accounts/a1", Some(ErrorClass::Misconfigured)),
        ("https://HOST/v1/accounts/a1", Some(ErrorClass::Misconfigured)),
        ("http://user@HOST/v1/accounts/a1", Some(ErrorClass::Misconfigured)),
        ("HERE/v2/accounts/a1", Some(ErrorClass::Misconfigured)),
        ("HERE/v1/accounts/../tenants/a1", Some(ErrorClass::Misconfigured)),
        ("HERE/v1/accounts/a1/groups", Some(ErrorClass::Misconfigured)),
        ("HERE/v1/accounts/a1?expand=x", Some(ErrorClass::Misconfigured)),
        ("HERE/v1/accounts/", Some(TRANSIENT)),
        ("HERE/v1/accounts/a%2F1", Some(TRANSIENT)),
        ("accounts/a1", Some(TRANSIENT)),
        ("", Some(TRANSIENT)),
        // Another account than was asked for.
        ("HERE/v1/accounts/b1", Some(ErrorClass::Permanent)),
        (own, None),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let href = href.replace("HERE", &format!("http://{host}")).replace("HOST", &host);
        let mut options = ann(&json!({ "attempt_href": href }));
        options["accounts"].as_array_mut().unwrap().push(json!({ "id": "b1", "email": "bob@example.org" }));
        let service = service_on(listener, options, |_, _| ());
        match (service.right().await, class) {
            (Ok(Verdict::Verified(_)), None) => {}
            (Err(error), Some(class)) => assert_eq!(error.class, class, "{href}: {error}"),
            (other, _) => panic!("{href}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_id_is_one_segment_of_the_path() {
    let ids = ["a/b", "a?b", "a#b", "a%2fb", "a+b", "ä b"];
    let accounts: Vec<Value> =
        ids.iter().map(|id| json!({ "id": id, "email": "x@example.org", "username": "x" })).collect();
    let service = service(json!({ "accounts": accounts })).await;
    // The stand-in writes addresses with the ids as they are: where that is more than one segment, it names nobody.
    for (text, found) in ids.into_iter().zip([false, false, false, false, true, true]) {
        let read = service.store.read(&id(text), soon()).await;
        assert_eq!(
            read.is_ok_and(|record| record.is_some_and(|record| record.id.as_str() == text)),
            found,
            "{text}"
        );
    }
    let asked = service.requests().await;
    for path in ["a%2Fb", "a%3Fb", "a%23b", "a%252fb", "a+b", "%C3%A4%20b"] {
        assert_eq!(asked[format!("GET /v1/accounts/{path}")], 1, "{asked}");
    }
    for text in ["..", ".", "nobody"] {
        assert!(service.store.read(&id(text), soon()).await.unwrap().is_none(), "{text}");
    }
}

#[tokio::test]
async fn a_search_that_finds_more_is_no_look_up() {
    let service = service(json!({ "loose_search": true, "accounts": [
        { "id": "1", "username": "ann", "email": "ann@example.org" },
        { "id": "2", "username": "joann", "email": "joann@example.org" },
        { "id": "3", "username": "ida", "email": "ida@bücher.example" },
    ] }))
    .await;
    let found = async |typed: &str| {
        let found = service.store.look_up(&name(typed), soon()).await.unwrap();
        found.map(|record| record.id.as_str().to_owned())
    };
    assert_eq!(found("ANN@example.org").await.as_deref(), Some("1"));
    assert_eq!(found("ann").await.as_deref(), Some("1"));
    assert_eq!(found("ida@xn--bcher-kva.example").await.as_deref(), Some("3"));
    for nobody in ["nn", "oann@example.org", "*ann", "ann*"] {
        assert_eq!(found(nobody).await, None, "{nobody}");
    }
    assert_eq!(service.store.presence(&name("joann"), soon()).await.unwrap(), Presence::Somebody);
    assert_eq!(service.store.presence(&name("bob"), soon()).await.unwrap(), Presence::Nobody);
    assert_eq!(service.store.presence(&name("a*n"), soon()).await.unwrap(), Presence::CannotTell);
    assert_eq!(service.store.presence(&name("a:n"), soon()).await.unwrap(), Presence::Nobody);
}

#[tokio::test]
async fn twins_are_counted_by_canonical_address() {
    let service = service(json!({ "page_size": 1, "accounts": [
        { "id": "1", "username": "ann", "email": "ann@example.org" },
        { "id": "2", "username": "ann2", "email": "ANN@example.org", "directory": "second" },
        { "id": "3", "username": "bob", "email": "bob@example.org" },
        { "id": "4", "username": "ida", "email": "ida@bücher.example" },
        { "id": "5", "username": "ida2", "email": "ida@xn--bcher-kva.example" },
    ] }))
    .await;
    assert_eq!(service.holders("ann@example.org").await.unwrap(), Holders::Several);
    assert_eq!(service.holders("bob@example.org").await.unwrap(), Holders::One(id("3")));
    assert_eq!(service.holders("nobody@example.org").await.unwrap(), Holders::Nobody);
    assert_eq!(service.holders("ida@bücher.example").await.unwrap(), Holders::Several);
    // A wildcard is never sent.
    assert!(service.holders("*@example.org").await.is_err());
    assert!(!side_door(service.address, "journal").await.to_string().contains("%2A"));
    // Two records of one name: none is used.
    assert!(service.store.look_up(&name("ann@example.org"), soon()).await.unwrap().is_none());
}

#[tokio::test]
async fn lists_are_read_page_by_page_to_a_bound() {
    let groups = |count: usize| -> Vec<Value> {
        let others = (1..count).map(|at| json!({ "name": format!("group {at}") }));
        others.chain([json!({ "name": "root" })]).collect()
    };
    for (count, roles) in [(1, Some(["admin"])), (7, Some(["admin"])), (39, Some(["admin"])), (40, None)] {
        let mut options = ann(&json!({ "groups": groups(count) }));
        options["page_size"] = json!(2);
        let service = service(options).await;
        match (service.right().await, roles) {
            (Ok(Verdict::Verified(record)), Some(roles)) => assert_eq!(record.roles, roles, "{count}"),
            (Err(error), None) => assert_eq!(error.class, ErrorClass::Permanent, "{count}"),
            (other, _) => panic!("{count}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_fault_is_a_word_about_the_guess() {
    for fault in [
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 3000 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "status", "status": 504 }),
        json!({ "kind": "status", "status": 418 }),
        json!({ "kind": "status", "status": 302 }),
        json!({ "kind": "rate_limited" }),
        json!({ "kind": "html" }),
        json!({ "kind": "huge" }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
    ] {
        let attempts = "/v1/applications/1simulatedApplication/loginAttempts";
        for path in [attempts, "/v1/accounts/a1", "/v1/accounts/a1/groups", "/v1/accounts/a1/customData"] {
            let mut fault = fault.clone();
            fault["path"] = json!(path);
            let mut options = ann(&json!({ "custom_data": { "mfa": false } }));
            options["faults"] = json!([fault]);
            let service = service_with(options, |source, _| {
                source.timeout = Duration::from_millis(700);
                source.mfa = MfaDeclaration::Field("/mfa".into());
            })
            .await;
            let result = service.right().await;
            // Custom data is free: with every type changed it is still custom data, and says nothing of a factor.
            if fault["kind"] == "wrong_types" && path.ends_with("customData") {
                assert!(matches!(result, Ok(Verdict::Verified(record)) if record.mfa == MfaState::Unknown));
                continue;
            }
            let error = result.unwrap_err();
            let expected = match fault["status"].as_u64() {
                Some(418) => ErrorClass::Permanent,
                Some(302) => ErrorClass::Misconfigured,
                _ if fault["kind"] == "rate_limited" => {
                    ErrorClass::Transient { retry_after: Some(Duration::from_secs(1)) }
                }
                _ => TRANSIENT,
            };
            assert_eq!(error.class, expected, "{fault}: {error:?}");
            assert_eq!(error.counted, counted_after(&fault, path == attempts), "{fault}: {error:?}");
            // SEC-42: sent once, whatever came of it.
            assert_eq!(service.requests().await[format!("POST {attempts}")], 1, "{fault}");
            let told = format!("{error:?}");
            for secret in [SECRET, "right: horse", "ann@example.org"] {
                assert!(!told.contains(secret), "{fault}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let service = service(ann(&json!({}))).await;
    for (typed, password, why) in [
        ("ann", "", Rejection::WrongPassword),
        // Sent, it would be a guess for `ann` with another password.
        ("ann:right", " horse", Rejection::Unknown),
    ] {
        assert_eq!(service.guess(typed, password).await.unwrap(), Verdict::Rejected(why), "{typed}");
    }
    assert_eq!(service.requests().await, json!({}));
}

/// REL-11, as for Okta.
#[tokio::test]
async fn the_key_before_is_tried_once_where_the_new_one_is_not_known() {
    let service = service(ann(&json!({}))).await;
    let (source, dependencies) = (source(SourceKind::Upstream), unwatched());
    let with = |secret: &str| {
        let settings = StormpathSource {
            url: format!("http://{}/v1/applications/1simulatedApplication", service.address).parse().unwrap(),
            api_key_id: Secret::new("2SIMULATEDKEYID".into()),
            api_key_secret: Secret::new(secret.into()),
            account_store: None,
            organization_field: None,
        };
        Stormpath::new(&source, &settings, &dependencies).unwrap()
    };
    let _before = with(SECRET);
    let after = with("new-stormpath-secret");
    let verdict = after.verify(&attempt("ann@example.org", "right: horse"), soon()).await.unwrap();
    assert!(matches!(verdict, Verdict::Verified(_)), "{verdict:?}");
    let attempts = "POST /v1/applications/1simulatedApplication/loginAttempts";
    assert_eq!(service.requests().await[attempts], 2, "the first with the new key, which was refused");
    let wrong = after.verify(&attempt("ann@example.org", "wrong"), soon()).await.unwrap();
    assert_eq!(wrong, Verdict::Rejected(Rejection::WrongPassword));
    assert_eq!(service.requests().await[attempts], 3, "a no is a no");
}
