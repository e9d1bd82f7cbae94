//! Against the stand-in organisation, over real sockets.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use super::*;
use crate::{
    clock::SystemClock,
    config::SourceKind,
    identity::{AccountState, MfaState, Password, Secret},
    legacy::{
        failure::TRANSIENT,
        tests::{attempt, counted_after, name, soon, source, unwatched},
    },
    simulate::okta,
};

const TOKEN: &str = "00simulated-okta-token";

/// A running organisation and the store that asks it.
struct Org {
    store: Okta,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

#[expect(clippy::disallowed_methods, reason = "a test's own server")]
async fn org_with(options: Value, change: impl FnOnce(&mut Source, &mut OktaSource)) -> Org {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options: okta::Options = serde_json::from_value(options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let state = okta::Okta::new(options, SystemClock::shared());
    tokio::spawn(okta::serve(listener, state, async move {
        let _ = stopped.await;
    }));
    let mut settings = OktaSource {
        url: format!("http://{address}").parse().unwrap(),
        api_token: Secret::new(TOKEN.into()),
        trusted_gateway: false,
        email_verified_attribute: None,
        organization_attribute: None,
    };
    let mut source = source(SourceKind::Upstream);
    source.timeout = Duration::from_secs(2);
    change(&mut source, &mut settings);
    Org { store: Okta::new(&source, &settings, &unwatched()).unwrap(), address, _stop: stop }
}

async fn org(options: Value) -> Org {
    org_with(options, |_, _| ()).await
}

/// An organisation of Ann with the members of `more`.
fn ann(more: &Value) -> Value {
    let mut ann = json!({
        "id": "00u1", "login": "ann@example.org", "email": "ann@example.org", "password": "right horse",
        "first_name": "Ann", "last_name": "Archer",
    });
    ann.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "users": [ann] })
}

impl Org {
    async fn guess(&self, typed: &str, password: &str) -> Result<Verdict, LegacyError> {
        self.store.verify(&attempt(typed, password), soon()).await
    }

    /// Ann's guess with the right password.
    async fn right(&self) -> Result<Verdict, LegacyError> {
        self.guess("ann@example.org", "right horse").await
    }

    async fn journal(&self) -> Value {
        let url = format!("http://{}/__simulator/journal", self.address).parse().unwrap();
        let answer = self
            .store
            .api
            .client
            .send(self.store.api.client.request(Method::GET, url), soon())
            .await
            .unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }
}

fn verified(verdict: Result<Verdict, LegacyError>) -> LegacyRecord {
    match verdict.unwrap() {
        Verdict::Verified(record) => *record,
        other => panic!("{other:?}"),
    }
}

/// First table of legacy-stores.md §1: states of a transaction.
#[tokio::test]
async fn each_state_of_a_transaction_has_its_outcome() {
    let no = Verdict::Rejected;
    let stay = Verdict::StayOnLegacy;
    for (state, verdict) in [
        ("PASSWORD_EXPIRED", stay(StayReason::PasswordExpired)),
        ("LOCKED_OUT", no(Rejection::Locked)),
        ("MFA_REQUIRED", stay(StayReason::Mfa)),
        ("MFA_CHALLENGE", stay(StayReason::Mfa)),
        ("MFA_ENROLL", stay(StayReason::Mfa)),
        ("MFA_ENROLL_ACTIVATE", stay(StayReason::Mfa)),
        ("RECOVERY", no(Rejection::WrongPassword)),
        ("RECOVERY_CHALLENGE", no(Rejection::WrongPassword)),
        ("PASSWORD_RESET", no(Rejection::WrongPassword)),
        ("UNAUTHENTICATED", no(Rejection::WrongPassword)),
        ("PASSKEY_ORBIT", no(Rejection::WrongPassword)),
        ("success", no(Rejection::WrongPassword)),
        // No status at all.
        ("-", no(Rejection::WrongPassword)),
    ] {
        let org = org(ann(&json!({ "transaction": state }))).await;
        assert_eq!(org.right().await.unwrap(), verdict, "{state}");
    }
    for state in ["SUCCESS", "PASSWORD_WARN"] {
        let org = org(ann(&json!({ "transaction": state }))).await;
        assert_eq!(verified(org.right().await).id.as_str(), "00u1", "{state}");
    }
}

/// First table of legacy-stores.md §1: errors.
#[tokio::test]
async fn each_error_has_its_outcome() {
    for (code, verdict) in [
        ("E0000004", Verdict::Rejected(Rejection::WrongPassword)),
        ("E0000064", Verdict::StayOnLegacy(StayReason::PasswordExpired)),
        ("E0000069", Verdict::Rejected(Rejection::Locked)),
        ("E0000119", Verdict::Rejected(Rejection::Locked)),
        ("E0000038", Verdict::Rejected(Rejection::Disabled)),
        ("E0000079", Verdict::Rejected(Rejection::WrongPassword)),
    ] {
        let org = org(ann(&json!({ "authn_error": code }))).await;
        assert_eq!(org.right().await.unwrap(), verdict, "{code}");
    }
    for (code, class) in [
        ("E0000011", ErrorClass::Misconfigured),
        ("E0000015", ErrorClass::Misconfigured),
        ("E0000006", ErrorClass::Misconfigured),
        ("E0000007", ErrorClass::Misconfigured),
        ("E0000001", ErrorClass::Permanent),
        ("E0000003", ErrorClass::Permanent),
        ("E0000021", ErrorClass::Permanent),
        ("E0000009", TRANSIENT),
        ("E0000010", TRANSIENT),
    ] {
        let org = org(ann(&json!({ "authn_error": code }))).await;
        assert_eq!(org.right().await.unwrap_err().class, class, "{code}");
    }
    let org = org(ann(&json!({}))).await;
    for (typed, password) in [("ann@example.org", "wrong"), ("nobody@example.org", "right horse")] {
        let verdict = org.guess(typed, password).await.unwrap();
        assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPassword), "{typed}");
    }
}

/// Second table of legacy-stores.md §1: what the users API says after a proven password, and without one.
#[tokio::test]
async fn each_user_status_has_its_outcome() {
    let no = Verdict::Rejected;
    let stay = Verdict::StayOnLegacy;
    for (status, verdict, state) in [
        ("ACTIVE", None, AccountState::Active),
        ("PASSWORD_EXPIRED", Some(stay(StayReason::PasswordExpired)), AccountState::Unknown),
        ("RECOVERY", Some(stay(StayReason::MustChangePassword)), AccountState::Unknown),
        ("SUSPENDED", Some(no(Rejection::Disabled)), AccountState::Disabled),
        ("DEPROVISIONED", Some(no(Rejection::Disabled)), AccountState::Disabled),
        ("STAGED", Some(stay(StayReason::Pending)), AccountState::Unknown),
        ("PROVISIONED", Some(stay(StayReason::Pending)), AccountState::Unknown),
        ("HIBERNATING", None, AccountState::Unknown),
    ] {
        let org = org(ann(&json!({ "transaction": "SUCCESS", "status": status }))).await;
        match (org.right().await.unwrap(), verdict) {
            (Verdict::Verified(record), None) => assert_eq!(record.state, state, "{status}"),
            (got, expected) => assert_eq!(Some(got), expected, "{status}"),
        }
        let found = org.store.look_up(&name("ann@example.org"), soon()).await.unwrap().unwrap();
        assert_eq!(found.state, state, "{status}");
    }
    assert_eq!(forbidden("LOCKED_OUT"), Some(no(Rejection::Locked)));
    let locked = org(ann(&json!({ "status": "LOCKED_OUT" }))).await;
    let found = locked.store.look_up(&name("ann@example.org"), soon()).await.unwrap().unwrap();
    assert_eq!(found.state, AccountState::Locked);
}

#[tokio::test]
async fn the_record_has_what_the_users_api_says() {
    let more = json!({
        "email": "Ann.Mail@example.org", "profile": { "locale": "de_AT", "mailChecked": true, "company": "acme" },
        "groups": [
            { "id": "g1", "name": "staff" }, { "id": "g2", "name": "root", "type": "BUILT_IN" },
            { "id": "g3", "name": "unmapped" },
        ],
    });
    let org = org_with(ann(&more), |_, settings| {
        settings.email_verified_attribute = Some("mailChecked".into());
        settings.organization_attribute = Some("company".into());
    })
    .await;
    let record = verified(org.right().await);
    assert_eq!((record.login.as_str(), record.email.verified), ("ann@example.org", Some(true)));
    assert_eq!(record.email.address.as_deref(), Some("Ann.Mail@example.org"));
    assert_eq!((record.state, record.mfa), (AccountState::Active, MfaState::None));
    assert_eq!((record.name.given.as_deref(), record.name.locale.as_deref()), (Some("Ann"), Some("de-AT")));
    assert_eq!((record.organization.as_deref(), &*record.roles), (Some("acme"), &["member".to_owned()][..]));
    let read = org.store.read(&LegacyId::parse("00u1").unwrap(), soon()).await.unwrap();
    assert_eq!(read.unwrap(), record);
}

#[tokio::test]
async fn only_a_boolean_of_the_profile_vouches_for_an_address() {
    for (attribute, verified_flag) in [
        (json!(true), Some(true)),
        (json!(false), Some(false)),
        (json!("true"), None),
        (json!(1), None),
        (json!(null), None),
    ] {
        let options = ann(&json!({ "profile": { "mailChecked": attribute } }));
        let named = org_with(options, |_, settings| {
            settings.email_verified_attribute = Some("mailChecked".into());
        })
        .await;
        assert_eq!(verified(named.right().await).email.verified, verified_flag, "{attribute}");
    }
    // Active is no word about the mailbox.
    let unnamed = org(ann(&json!({ "profile": { "mailChecked": true } }))).await;
    assert_eq!(verified(unnamed.right().await).email.verified, None);
}

#[tokio::test]
async fn what_is_sent_is_what_okta_needs_and_no_more() {
    let org = org(ann(&json!({}))).await;
    verified(org.right().await);
    let journal = org.journal().await;
    let authn = journal_of(&journal, "/api/v1/authn");
    assert_eq!(authn["remarks"]["caller"], "trusted");
    assert_eq!(authn["remarks"]["user_agent"], "Mozilla/5.0 (test)");
    assert_eq!(authn["remarks"]["device_token"], false);
    assert_eq!(authn["remarks"]["device_fingerprint"], false);
    let options = json!({ "warnBeforePasswordExpired": false, "multiOptionalFactorEnroll": false });
    assert_eq!(authn["remarks"]["options"], options);
    assert_eq!(authn["login"], "ann@example.org");
    assert_eq!(authn["client_ip"], "127.0.0.1");
}

#[tokio::test]
async fn the_persons_address_goes_along_only_through_a_trusted_gateway() {
    for (trusted, seen) in [(true, "192.0.2.7"), (false, "127.0.0.1")] {
        let mut options = ann(&json!({}));
        options["trusted_proxies"] = json!(["127.0.0.1"]);
        let org = org_with(options, |_, settings| settings.trusted_gateway = trusted).await;
        verified(org.right().await);
        assert_eq!(journal_of(&org.journal().await, "/api/v1/authn")["client_ip"], seen);
    }
}

/// The one entry of a path.
fn journal_of(journal: &Value, path: &str) -> Value {
    let entries = journal["requests"].as_array().unwrap();
    let mut of_path = entries.iter().filter(|entry| entry["target"] == path);
    let found = of_path.next().unwrap_or_else(|| panic!("{path} in {journal}"));
    assert!(of_path.next().is_none(), "asked once");
    found.clone()
}

#[tokio::test]
async fn a_login_is_one_segment_of_the_path() {
    let logins = ["a/b", "a?b", "a#b", "a%2fb", "a+b", "../users", "a b", "ä;b"];
    let users: Vec<Value> = logins
        .iter()
        .enumerate()
        .map(|(at, login)| json!({ "id": format!("00u{at}"), "login": login, "email": "x@example.org" }))
        .collect();
    let org = org(json!({ "users": users })).await;
    for (at, login) in logins.iter().enumerate() {
        let record = org.store.look_up(&name(login), soon()).await.unwrap();
        assert_eq!(record.unwrap().id.as_str(), format!("00u{at}"), "{login}");
    }
    for login in ["..", ".", "nobody"] {
        assert!(org.store.look_up(&name(login), soon()).await.unwrap().is_none(), "{login}");
    }
}

#[tokio::test]
async fn a_record_is_looked_up_by_its_exact_name() {
    let org = org(ann(&json!({ "email": "ann.mail@example.org" }))).await;
    assert!(org.store.look_up(&name("ANN@example.org"), soon()).await.unwrap().is_some());
    // A short name, and an id.
    for inexact in ["ann", "00u1"] {
        assert!(org.store.look_up(&name(inexact), soon()).await.unwrap().is_none(), "{inexact}");
    }
    assert!(org.store.read(&LegacyId::parse("ann@example.org").unwrap(), soon()).await.unwrap().is_none());
    assert!(org.store.read(&LegacyId::parse("00u2").unwrap(), soon()).await.unwrap().is_none());
    // A person who signs in by their short name is still that person.
    assert_eq!(verified(org.guess("ann", "right horse").await).login, "ann@example.org");
}

#[tokio::test]
async fn a_yes_for_somebody_else_is_no_yes() {
    let user = |id: &str, login: &str| User {
        id: id.into(),
        status: "ACTIVE".into(),
        profile: serde_json::from_value(json!({ "login": login, "email": null })).unwrap(),
    };
    // The stand-in is never that wrong, so the second answer is another organisation's.
    let other = org(json!({ "users": [{ "id": "00u1", "login": "joann@example.org" }] })).await;
    let proven = |login: &str| Proven { id: "00u1".into(), login: login.into() };
    for (login, typed) in [
        // Another login than the transaction named.
        ("ann@example.org", "ann@example.org"),
        // The login of the transaction, but not what was typed.
        ("joann@example.org", "ann@example.org"),
        ("joann@example.org", "oann"),
    ] {
        let result = other.store.proven_user(&proven(login), &name(typed), soon()).await;
        assert_eq!(result.err().unwrap().class, ErrorClass::Permanent, "{login} {typed}");
    }
    assert!(other.store.proven_user(&proven("JOANN@example.org"), &name("joann"), soon()).await.is_ok());
    assert_eq!(user("00u1", "ann").state(), AccountState::Active);
    let gone = org(json!({})).await;
    let result = gone.store.proven_user(&proven("ann"), &name("ann"), soon()).await;
    assert_eq!(result.err().unwrap().class, TRANSIENT);
}

fn groups(count: usize) -> Vec<Value> {
    let mut groups: Vec<Value> =
        (1..count).map(|at| json!({ "id": format!("g{at}"), "name": format!("group {at}") })).collect();
    groups.push(json!({ "id": "last", "name": "root" }));
    groups
}

#[tokio::test]
async fn groups_are_read_page_by_page_to_a_bound() {
    for (count, roles) in [(1, Some(["admin"])), (7, Some(["admin"])), (40, Some(["admin"])), (41, None)] {
        let mut options = ann(&json!({ "groups": groups(count) }));
        options["page_size"] = json!(2);
        let org = org(options).await;
        match (org.right().await, roles) {
            (Ok(Verdict::Verified(record)), Some(roles)) => assert_eq!(record.roles, roles, "{count}"),
            (Err(error), None) => assert_eq!(error.class, ErrorClass::Permanent, "{count}"),
            (other, _) => panic!("{count}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_token_follows_no_link_to_another_address() {
    for elsewhere in ["http://127.0.0.1:9", "https://localhost", "//user@127.0.0.1:9"] {
        let mut options = ann(&json!({ "groups": groups(3) }));
        options["page_size"] = json!(2);
        options["base_url"] = json!(elsewhere);
        let org = org(options).await;
        let error = org.right().await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Misconfigured);
        assert!(error.problem.contains("another address"), "{error}");
    }
}

#[tokio::test]
async fn groups_and_factors_are_asked_only_where_they_count() {
    let options = ann(&json!({ "groups": groups(1) }));
    let scopeless = |scopes: Value| {
        let mut options = options.clone();
        options["token_scopes"] = scopes;
        options
    };
    let quiet = org_with(scopeless(json!(["users"])), |source, _| {
        source.roles = RoleMap(BTreeMap::new());
        source.mfa = MfaDeclaration::Unknown { accepted_by: None };
    })
    .await;
    let record = verified(quiet.right().await);
    assert_eq!((record.roles.len(), record.mfa), (0, MfaState::Unknown));
    for scopes in [json!(["users", "groups"]), json!(["users", "factors"]), json!([])] {
        let org = org(scopeless(scopes)).await;
        assert_eq!(org.right().await.unwrap_err().class, ErrorClass::Misconfigured);
    }
}

#[tokio::test]
async fn a_factor_makes_a_record_that_is_enrolled() {
    let factors = |status: &str| {
        json!({
            "factors": [{ "id": "uft1", "factor_type": "token:software:totp", "status": status }],
            "transaction": "SUCCESS",
        })
    };
    for (status, mfa) in [
        ("ACTIVE", MfaState::Enrolled),
        ("PENDING_ACTIVATION", MfaState::None),
        ("ASLEEP", MfaState::Unknown),
    ] {
        let org = org(ann(&factors(status))).await;
        assert_eq!(verified(org.right().await).mfa, mfa, "{status}");
    }
}

#[tokio::test]
async fn twins_are_counted_by_canonical_address() {
    let org = org(json!({ "users": [
        { "id": "1", "login": "ann", "email": "ann@example.org" },
        { "id": "2", "login": "ann2", "email": "ANN@example.org" },
        { "id": "3", "login": "bob", "email": "bob@example.org" },
        { "id": "4", "login": "ida", "email": "ida@bücher.example" },
        { "id": "5", "login": "ida2", "email": "ida@xn--bcher-kva.example" },
    ] }))
    .await;
    let one = |id: &str| Holders::One(LegacyId::parse(id).unwrap());
    let holders =
        async |text: &str| org.store.holders(&CanonicalEmail::parse(text).unwrap(), soon()).await.unwrap();
    assert_eq!(holders("ann@example.org").await, Holders::Several);
    assert_eq!(holders("bob@example.org").await, one("3"));
    assert_eq!(holders("nobody@example.org").await, Holders::Nobody);
    assert_eq!(holders("ida@bücher.example").await, Holders::Several);
}

#[tokio::test]
async fn no_fault_is_a_word_about_the_guess() {
    for fault in [
        json!({ "kind": "down" }),
        json!({ "kind": "slow", "delay_ms": 3000 }),
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "status", "status": 504 }),
        json!({ "kind": "status", "status": 418 }),
        json!({ "kind": "html" }),
        json!({ "kind": "huge" }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
    ] {
        for path in
            ["/api/v1/authn", "/api/v1/users/00u1", "/api/v1/users/00u1/groups", "/api/v1/users/00u1/factors"]
        {
            let mut fault = fault.clone();
            fault["path"] = json!(path);
            let mut options = ann(&json!({ "groups": groups(1) }));
            options["faults"] = json!([fault]);
            let org = org_with(options, |source, _| source.timeout = Duration::from_millis(700)).await;
            let error = org.right().await.unwrap_err();
            let expected = if fault["status"] == 418 { ErrorClass::Permanent } else { TRANSIENT };
            assert_eq!(error.class, expected, "{fault}: {error:?}");
            assert_eq!(error.counted, counted_after(&fault, path.ends_with("authn")), "{fault}: {error:?}");
            if path.ends_with("authn") {
                // SEC-42: sent once, whatever came of it.
                let journal = org.journal().await;
                journal_of(&journal, path);
            }
        }
    }
}

#[tokio::test]
async fn a_rate_limit_says_how_long() {
    let mut options = ann(&json!({}));
    options["faults"] = json!([{ "kind": "rate_limited", "reset_after_secs": 30 }]);
    let org = org(options).await;
    let ErrorClass::Transient { retry_after: Some(wait) } = org.right().await.unwrap_err().class else {
        panic!("no wait");
    };
    assert!((28..=31).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn nobody_listening_is_no_wrong_password() {
    let org = org_with(json!({}), |_, settings| settings.url = "http://127.0.0.1:9".parse().unwrap()).await;
    assert_eq!(org.right().await.unwrap_err().class, TRANSIENT);
}

#[tokio::test]
async fn a_password_that_is_no_text_is_not_sent() {
    let org = org(ann(&json!({ "password": "" }))).await;
    for bytes in [&b""[..], b"\xff\xfe"] {
        let mut guess = attempt("ann@example.org", "x");
        guess.password = Arc::new(Password::unchecked(bytes.to_vec()));
        let verdict = org.store.verify(&guess, soon()).await.unwrap();
        assert_eq!(verdict, Verdict::Rejected(Rejection::WrongPassword));
    }
    assert!(!org.journal().await.to_string().contains("/api/v1/authn"));
}

/// Errors and their causes are logged: none may hold what the answers or the settings held.
#[tokio::test]
async fn no_error_holds_a_secret() {
    for kind in ["html", "truncated", "wrong_types", "reset", "huge", "down"] {
        let mut options = ann(&json!({}));
        options["faults"] = json!([{ "kind": kind }]);
        let org = org(options).await;
        let told = format!("{:?}", org.right().await.unwrap_err());
        for secret in [TOKEN, "right horse", "ann@example.org", "sessionToken"] {
            assert!(!told.contains(secret), "{kind}: {told}");
        }
    }
}

/// REL-11: the new token may not count there yet. A refused token's guess was never looked at: that is no second one.
#[tokio::test]
async fn the_token_before_is_tried_once_where_the_new_one_is_not_known() {
    let org = org(ann(&json!({}))).await;
    let (source, dependencies) = (source(SourceKind::Upstream), unwatched());
    let with = |token: &str, url: &str| {
        let settings = OktaSource {
            url: url.parse().unwrap(),
            api_token: Secret::new(token.into()),
            trusted_gateway: false,
            email_verified_attribute: None,
            organization_attribute: None,
        };
        Okta::new(&source, &settings, &dependencies).unwrap()
    };
    let (here, new) = (format!("http://{}", org.address), "00new-okta-token");
    let _before = with(TOKEN, &here);
    let after = with(new, &here);
    let verdict = after.verify(&attempt("ann@example.org", "right horse"), soon()).await;
    assert_eq!(verified(verdict).id.as_str(), "00u1");
    let asked = async || org.journal().await.to_string().matches("/api/v1/authn").count();
    assert_eq!(asked().await, 2, "the first with the new token, which was refused");
    let wrong = after.verify(&attempt("ann@example.org", "wrong"), soon()).await.unwrap();
    assert_eq!((wrong, asked().await), (Verdict::Rejected(Rejection::WrongPassword), 3), "a no is a no");
    // Another organisation has no business with the token of this one.
    let elsewhere = with(new, &here.replace("127.0.0.1", "localhost"));
    let moved = with(new, &here);
    for store in [elsewhere, moved] {
        let error = store.verify(&attempt("ann@example.org", "right horse"), soon()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Misconfigured);
    }
}
