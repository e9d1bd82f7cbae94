//! Scalekit as a script: a small server that plays given answers, cuts, stalls and records what it was asked.

mod calls;
mod hostile;
mod organizations;
mod probe;
mod refresh;
mod sign_in;
mod stage;
mod users;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use url::Url;

use self::stage::{Reply, Stage};
use super::Scalekit;
use crate::{
    clock::{Deadline, TestClock, Timestamp},
    config::{self, HandOff, HandOffs, OnExisting},
    identity::{CanonicalEmail, ExternalId, PersonName, Secret},
    login::{ErrorClass, NewUser, OrganizationId},
    net::Dependencies,
};

/// Must never turn up in an error.
const SECRET: &str = "canary-secret";
const EMAIL: &str = "canary.ann+x@example.com";

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

struct Theatre {
    stage: Stage,
    clock: Arc<TestClock>,
    scalekit: Scalekit,
}

fn settings(origin: &str) -> config::Scalekit {
    config::Scalekit {
        environment_url: Url::parse(origin).unwrap(),
        client_id: "skc_1".into(),
        client_secret: Secret::new(SECRET.into()),
        default_organization: config::Organization {
            external_id: "default".into(),
            display_name: "Everybody".into(),
        },
        create_organizations: false,
        default_roles: vec!["member".into()],
        on_existing: OnExisting::LinkVerified,
        timeout: Duration::from_secs(5),
        rate: None,
        scopes: vec!["openid".into(), "profile".into(), "email".into()],
        lookup_by_external_id: true,
        hand_offs: HandOffs { default: HandOff::Shadow, organizations: BTreeMap::new() },
    }
}

impl Theatre {
    async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A stage that gives tokens `t1`, `t2`, … and nothing else yet.
    async fn with(change: impl FnOnce(&mut config::Scalekit)) -> Self {
        let stage = Stage::open().await;
        stage.on("POST", "/oauth/token", (1..=9).map(|n| token(&format!("t{n}"))));
        let mut settings = settings(&stage.origin());
        change(&mut settings);
        let clock = TestClock::at(Timestamp::from_seconds(NOW));
        let redirect = Url::parse("https://app.example.com/.crossfade/callback").unwrap();
        let scalekit =
            Scalekit::new(&settings, &redirect, clock.clone(), &Dependencies::unwatched(clock.clone()))
                .unwrap();
        Self { stage, clock, scalekit }
    }
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(5))
}

fn token(value: &str) -> Reply {
    Reply::json(200, &json!({"access_token": value, "token_type": "Bearer", "expires_in": 86399}))
}

fn email() -> CanonicalEmail {
    CanonicalEmail::parse(EMAIL).unwrap()
}

fn external(text: &str) -> ExternalId {
    ExternalId::received(text.into())
}

fn new_user() -> NewUser {
    NewUser {
        organization: OrganizationId("org_1".into()),
        external_id: external("legacy:42"),
        email: email(),
        name: PersonName { given: Some("Ann".into()), ..PersonName::default() },
        roles: vec!["admin".into(), "member".into()],
        metadata: BTreeMap::from([
            ("department".into(), "sales".into()),
            ("x".into(), "key too short".into()),
        ]),
    }
}

/// A user as Scalekit shows them: empty values are emitted, more fields than we read.
fn user(id: &str, external_id: &str, email: &str) -> Value {
    json!({
        "id": id, "external_id": external_id, "email": email, "metadata": {}, "environment_id": "env_1",
        "create_time": "2025-12-31T23:59:59.123456Z",
        "user_profile": {"id": "usp_1", "email_verified": true, "groups": []},
        "memberships": [{
            "organization_id": "org_1", "membership_status": "ACTIVE",
            "join_time": "2025-12-31T23:59:59.123456789Z", "roles": [{"id": "role_1", "name": "member"}],
        }],
    })
}

fn one(user: &Value) -> Reply {
    Reply::json(200, &json!({ "user": user }))
}

fn status(code: u16) -> Reply {
    Reply::json(code, &json!({"code": 5, "message": "canary", "details": [{"error_code": "SOME_CODE"}]}))
}

fn is_transient(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Transient { .. })
}

/// Everything an error would put into a log.
fn whole_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text} {error} {error:?}");
        cause = error.source();
    }
    text
}

fn assert_silent(error: &(dyn std::error::Error + 'static)) {
    let text = whole_text(error);
    for canary in ["canary", "example.com", "legacy:42", "http://", "Bearer t"] {
        assert!(!text.contains(canary), "{canary} is in {text}");
    }
}

/// Runs futures side by side.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, output) in &mut running {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if running.iter().any(|(_, output)| output.is_none()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(running.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}
