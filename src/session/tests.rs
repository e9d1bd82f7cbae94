//! The life of a session over the embedded store: its times to the border, its refresh with every kind of answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use url::Url;

use super::*;
use crate::{
    clock::{Clock as _, Deadline, TestClock, Timestamp},
    identity::{CanonicalEmail, LegacyId, PersonKey, Secret, SourceName},
    login::{Origin, UserId},
    store::Embedded,
};

const IDLE: Duration = Duration::from_mins(30);
const ABSOLUTE: Duration = Duration::from_hours(2);
const AFTER: Duration = Duration::from_mins(5);

/// A provider that gives the answers it was told to, and keeps what it was asked with.
#[derive(Default)]
struct Told {
    answers: Mutex<VecDeque<Result<Refreshed, RefreshError>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl IdentityProvider for Told {
    async fn authorize_url(&self, _: Authorize<'_>, _: Deadline) -> Result<Url, SignInError> {
        unreachable!("nobody signs in")
    }

    async fn redeem(
        &self,
        _: &str,
        _: &FlowSecrets,
        _: Option<&str>,
        _: Deadline,
    ) -> Result<SignedIn, SignInError> {
        unreachable!("nobody signs in")
    }

    async fn refresh(&self, with: RefreshWith<'_>, _: Deadline) -> Result<Refreshed, RefreshError> {
        self.asked.lock().unwrap().push(with.refresh_token.to_owned());
        self.answers.lock().unwrap().pop_front().expect("an answer")
    }

    async fn end_session_url(&self, _: Option<&str>, _: &Url, _: Deadline) -> Result<Url, SignInError> {
        unreachable!("nobody signs out")
    }
}

struct Life {
    sessions: Sessions,
    provider: Told,
    clock: Arc<TestClock>,
}

impl Life {
    fn begin() -> Self {
        let store = store();
        let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
        let sessions = Sessions {
            store: Arc::new(store),
            keys: Arc::new(KeyRing::new(&[key('a')]).unwrap()),
            clock: clock.clone(),
            idle: IDLE,
            absolute: ABSOLUTE,
        };
        Self { sessions, provider: Told::default(), clock }
    }

    async fn open(&self) -> String {
        let key =
            PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("ann").unwrap() };
        let opening = Opening {
            person: (key, Origin::Legacy, UserId("usr_1".into())),
            facts: SessionFacts {
                legacy_login: Some("ann".into()),
                email: Some("ann@example.com".into()),
                groups: vec!["member".into()],
                ..SessionFacts::default()
            },
            scalekit_session: None,
            tokens: &tokens("r0"),
            refresh_after: AFTER,
        };
        self.sessions.open(opening, None).await.unwrap().id
    }

    async fn live(&self, id: &str) -> Option<Session> {
        match self.sessions.find(id).await.unwrap() {
            Found::Live(session) => Some(*session),
            Found::Over(..) | Found::Nobody => None,
        }
    }

    async fn refresh(&self, id: &str, answer: Result<Refreshed, RefreshError>) -> Refresh {
        self.provider.answers.lock().unwrap().push_back(answer);
        let refresh = self.sessions.refresh(&Digest::of(id), &self.provider, None).await.unwrap();
        self.provider.answers.lock().unwrap().clear();
        refresh
    }

    fn asked(&self) -> Vec<String> {
        self.provider.asked.lock().unwrap().clone()
    }
}

fn store() -> Embedded {
    let file = std::env::temp_dir().join(format!("crossfade-life-{}.redb", uuid::Uuid::now_v7()));
    let store = Embedded::open(&file, "test").unwrap();
    // The file lives on while it is open.
    std::fs::remove_file(&file).unwrap();
    store
}

fn key(letter: char) -> Secret {
    Secret::new(letter.to_string().repeat(32))
}

fn tokens(refresh: &str) -> SessionTokens {
    SessionTokens {
        id_token: "id".into(),
        access_token: "access".into(),
        refresh_token: Some(refresh.into()),
    }
}

fn refreshed(token: &str, claims: Result<NewClaims, ClaimsProblem>) -> Refreshed {
    Refreshed { tokens: tokens(token), access_lifetime: Some(Duration::from_mins(4)), claims }
}

fn later(retry_after: Option<u64>, may_be_used: bool) -> Result<Refreshed, RefreshError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(RefreshError::Later { problem: "answered 503".into(), retry_after, may_be_used })
}

fn wait_named(refresh: &Refresh) -> u64 {
    match refresh {
        Refresh::Kept { again_in, .. } => again_in.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn idle_and_absolute_ends_hold_to_the_millisecond() {
    let life = Life::begin();
    let id = life.open().await;
    life.clock.advance(IDLE.checked_sub(Duration::from_millis(1)).unwrap());
    assert!(life.live(&id).await.is_some());
    // That was a use: the idle end moved.
    life.clock.advance(IDLE.checked_sub(Duration::from_millis(1)).unwrap());
    assert!(life.live(&id).await.is_some());
    life.clock.advance(IDLE);
    let found = life.sessions.find(&id).await.unwrap();
    assert!(matches!(found, Found::Over(_, "idle")), "{found:?}");
    assert!(matches!(life.sessions.find(&id).await.unwrap(), Found::Nobody), "told once");

    let id = life.open().await;
    let ends = life.clock.now().after(ABSOLUTE);
    while life.clock.now().after(Duration::from_mins(10)) < ends {
        life.clock.advance(Duration::from_mins(10));
        assert!(life.live(&id).await.is_some(), "in use all the time");
    }
    life.clock.advance(ends.since(life.clock.now()).checked_sub(Duration::from_millis(1)).unwrap());
    assert!(life.live(&id).await.is_some());
    life.clock.advance(Duration::from_millis(1));
    let found = life.sessions.find(&id).await.unwrap();
    assert!(matches!(found, Found::Over(_, "absolute")), "{found:?}");
}

#[tokio::test]
async fn use_is_written_now_and_then_only() {
    let life = Life::begin();
    let id = life.open().await;
    let stored = async || life.sessions.store.get(&Digest::of(&id)).await.unwrap().unwrap().last_seen;
    let mut writes = 0;
    let mut before = stored().await;
    for _ in 0..240 {
        life.clock.advance(Duration::from_secs(1));
        assert!(life.live(&id).await.is_some());
        writes += usize::from(stored().await != before);
        before = stored().await;
    }
    assert_eq!(writes, 8, "every half minute");
}

#[tokio::test]
async fn a_new_session_ends_the_one_it_replaces_and_no_other() {
    let life = Life::begin();
    let (old, elsewhere) = (life.open().await, life.open().await);
    let tokens = tokens("r0");
    let opening = Opening {
        person: (
            PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("ann").unwrap() },
            Origin::Legacy,
            UserId("usr_1".into()),
        ),
        facts: SessionFacts::default(),
        scalekit_session: None,
        tokens: &tokens,
        refresh_after: AFTER,
    };
    let opened = life.sessions.open(opening, Some(&old)).await.unwrap();
    assert!(opened.replaced.is_some() && opened.id != old);
    assert!(life.live(&old).await.is_none());
    assert!(life.live(&opened.id).await.is_some() && life.live(&elsewhere).await.is_some());
}

#[tokio::test]
async fn a_session_of_a_retired_key_is_signed_out_and_one_of_an_older_key_lives() {
    let life = Life::begin();
    let id = life.open().await;
    life.sessions.keys.replace(&[key('b'), key('a')]).unwrap();
    assert!(life.live(&id).await.is_some());
    life.sessions.keys.replace(&[key('b')]).unwrap();
    assert!(matches!(life.sessions.find(&id).await.unwrap(), Found::Nobody));
    // Two replicas do not read a new key at the same moment: nothing was deleted.
    life.sessions.keys.replace(&[key('b'), key('a')]).unwrap();
    assert!(life.live(&id).await.is_some());
    // A refresh seals anew, and then the old key can go.
    life.clock.advance(AFTER);
    life.refresh(&id, Ok(refreshed("r1", Ok(NewClaims::default())))).await;
    life.sessions.keys.replace(&[key('b')]).unwrap();
    let session = life.live(&id).await.unwrap();
    assert_eq!(life.sessions.tokens(&session).unwrap(), tokens("r1"));
}

#[tokio::test]
async fn new_claims_count_and_what_is_not_said_stays() {
    let life = Life::begin();
    let id = life.open().await;
    assert!(matches!(life.refresh(&id, later(None, false)).await, Refresh::NotOurs), "not due yet");
    life.clock.advance(AFTER);
    let claims = NewClaims {
        email: Some(CanonicalEmail::parse("ann.new@example.com").unwrap()),
        organization: Some("org_1".into()),
        roles: Some(vec![]),
    };
    let renewed = life.refresh(&id, Ok(refreshed("r1", Ok(claims)))).await;
    assert!(matches!(renewed, Refresh::Renewed { is_changed: true, .. }), "{renewed:?}");
    let facts = life.live(&id).await.unwrap().facts;
    assert_eq!(facts.email.as_deref(), Some("ann.new@example.com"));
    assert_eq!((facts.groups.len(), facts.organization.as_deref()), (0, Some("org_1")));
    assert_eq!(
        facts.legacy_login.as_deref(),
        Some("ann"),
        "the legacy side's names are not Scalekit's to change"
    );

    // By the life of the new access token; with the token that came last.
    life.clock.advance(Duration::from_secs(239));
    assert!(matches!(life.refresh(&id, later(None, false)).await, Refresh::NotOurs));
    life.clock.advance(Duration::from_secs(1));
    let renewed = life.refresh(&id, Ok(refreshed("r1", Ok(NewClaims::default())))).await;
    assert!(matches!(renewed, Refresh::Renewed { is_changed: false, .. }), "{renewed:?}");
    assert_eq!(life.live(&id).await.unwrap().facts, facts);
    assert_eq!(life.asked(), ["r0", "r1"]);
}

#[tokio::test]
async fn failures_keep_a_session_and_come_again_ever_later() {
    let life = Life::begin();
    let id = life.open().await;
    life.clock.advance(AFTER);
    let mut waits = Vec::new();
    for asked in [None, None, Some(120), None] {
        let kept = life.refresh(&id, later(asked, false)).await;
        waits.push(wait_named(&kept));
        assert!(matches!(life.refresh(&id, later(None, false)).await, Refresh::NotOurs), "too early");
        life.clock.advance(Duration::from_secs(*waits.last().unwrap()));
    }
    assert_eq!(waits, [5, 10, 120, 40]);
    assert!(life.live(&id).await.is_some());
    let renewed = life.refresh(&id, Ok(refreshed("r1", Ok(NewClaims::default())))).await;
    assert!(matches!(renewed, Refresh::Renewed { .. }));
    assert_eq!(life.live(&id).await.unwrap().renewal.failures, 0);
    assert_eq!(life.asked(), ["r0"; 5]);
}

#[tokio::test]
async fn a_refused_token_and_another_person_end_a_session_and_say_why() {
    for (before, answer, expected) in [
        (None, Err(RefreshError::TokenInvalid), "refresh_refused"),
        (Some(false), Err(RefreshError::TokenInvalid), "refresh_refused"),
        (Some(true), Err(RefreshError::TokenInvalid), "refresh_lost"),
        (None, Ok(refreshed("r1", Err(ClaimsProblem::AnotherPerson))), "refresh_of_another"),
    ] {
        let life = Life::begin();
        let id = life.open().await;
        life.clock.advance(AFTER);
        if let Some(may_be_used) = before {
            life.refresh(&id, later(None, may_be_used)).await;
            life.clock.advance(Duration::from_secs(5));
        }
        match life.refresh(&id, answer).await {
            Refresh::Ended { why, .. } => assert_eq!(why, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert!(matches!(life.sessions.find(&id).await.unwrap(), Found::Nobody), "{expected}");
    }
}

#[tokio::test]
async fn rotated_tokens_are_kept_although_their_claims_could_not_be_judged() {
    let life = Life::begin();
    let id = life.open().await;
    life.clock.advance(AFTER);
    let unjudged = Err(ClaimsProblem::Unjudged("keys: timed out".into()));
    assert_eq!(wait_named(&life.refresh(&id, Ok(refreshed("r1", unjudged))).await), 5);
    life.clock.advance(Duration::from_secs(5));
    life.refresh(&id, Ok(refreshed("r2", Ok(NewClaims::default())))).await;
    assert_eq!(life.asked(), ["r0", "r1"]);
}

/// The process dies between Scalekit's answer and the store: the next one sends the old token again.
#[tokio::test]
async fn a_crash_before_the_answer_is_stored_leaves_a_doubt_and_no_second_session() {
    let life = Life::begin();
    let id = life.open().await;
    life.clock.advance(AFTER);
    let digest = Digest::of(&id);
    let lease = Duration::from_secs(30);
    life.sessions.store.claim_refresh(&digest, lease, life.clock.now()).await.unwrap().unwrap();
    assert!(matches!(life.refresh(&id, later(None, false)).await, Refresh::NotOurs), "the lease runs");
    life.clock.advance(lease);
    let refresh = life.refresh(&id, Err(RefreshError::TokenInvalid)).await;
    assert!(matches!(refresh, Refresh::Ended { why: "refresh_lost", .. }), "{refresh:?}");
}

/// SEC-26.
#[tokio::test]
async fn a_sign_in_under_way_ends_after_ten_minutes_to_the_millisecond() {
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    let flows = Flows {
        store: Arc::new(store()),
        keys: Arc::new(KeyRing::new(&[key('a')]).unwrap()),
        clock: clock.clone(),
    };
    for (takes, is_in_time) in [(599_999, true), (600_000, false)] {
        let begun = flows.begin(None, "/".into(), None).await.unwrap();
        clock.advance(Duration::from_millis(takes));
        let finished = flows.finish(&begun.state, Some(&begun.browser)).await.unwrap();
        assert_eq!(finished.is_some(), is_in_time, "{takes} ms");
    }
}
