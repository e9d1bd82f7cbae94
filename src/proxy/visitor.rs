//! Who sends a request: the session behind our cookie, and what the application is told of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};

use super::{refresh::Flights, tunnels::Tunnels};
use crate::{
    clock::{SharedClock, Timestamp},
    config::{IdentityHeaders, UserValue},
    login::Origin,
    session::{Assertion, AssertionSigner, Digest, Session},
};

/// How long a session is believed without asking the store again (design, "Threads").
const FRESH: Duration = Duration::from_secs(1);

/// Above this many the cache starts anew; it is a cache.
const MOST_VISITORS: usize = 20_000;

/// So many of those who were forgotten are known by name.
const LAST_FORGOTTEN: usize = 256;

/// A signed-in browser, ready to be told to the application.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(super) session: Session,
    /// What goes along with each of its requests.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    seen: Timestamp,
}

/// Visitors seen within the last second, and what else hangs on their sessions.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    recent: Mutex<Recent>,
    pub(super) tunnels: Arc<Tunnels>,
    pub(super) flights: Flights,
}

#[derive(Debug, Default)]
struct Recent {
    known: HashMap<Digest, Arc<Visitor>>,
    /// Grows whenever somebody is forgotten: a look-up that began before may bring what is not true any more.
    forgotten: u64,
    /// Who was forgotten last, the newest at the end. Anybody may have an id forgotten that is nobody's, and that must
    /// not keep everybody else's look-ups out.
    last_forgotten: VecDeque<Digest>,
}

impl Visitors {
    /// A visitor who was looked up a moment ago.
    pub(super) fn recent(&self, id: &Digest, clock: &SharedClock) -> Option<Arc<Visitor>> {
        let visitor = Arc::clone(self.lock().known.get(id)?);
        let now = clock.now();
        let live = visitor.session.over(now).is_none();
        (live && now.since(visitor.seen) < FRESH && visitor.seen <= now).then_some(visitor)
    }

    /// To be read before a look-up and given to [`Self::remember`] after it.
    pub(super) fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// Keeps who was looked up, unless they were forgotten meanwhile, or so many were that nobody knows.
    pub(super) fn remember(&self, id: Digest, visitor: Arc<Visitor>, forgotten: u64) {
        let mut recent = self.lock();
        let meanwhile = usize::try_from(recent.forgotten.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        let mut last = recent.last_forgotten.iter().rev().take(meanwhile);
        if meanwhile > LAST_FORGOTTEN || last.any(|forgotten| *forgotten == id) {
            return;
        }
        if recent.known.len() >= MOST_VISITORS {
            recent.known.clear();
        }
        recent.known.insert(id, visitor);
    }

    /// Asks the store about one again: the session changed.
    pub(super) fn look_again(&self, id: &Digest) {
        let mut recent = self.lock();
        recent.forgotten += 1;
        if recent.last_forgotten.len() >= LAST_FORGOTTEN {
            recent.last_forgotten.pop_front();
        }
        recent.last_forgotten.push_back(id.clone());
        recent.known.remove(id);
    }

    /// Forgets one at once: a session that ended must not live on for a second, and nor may what was opened with it.
    pub(super) fn forget(&self, id: &Digest) {
        self.look_again(id);
        self.tunnels.cut(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Prepares what the application is told of a session.
    pub(super) fn of(
        session: Session,
        rules: &IdentityHeaders,
        signer: &AssertionSigner,
        now: Timestamp,
    ) -> Self {
        let headers = headers(&session, rules, signer, now);
        Self { session, headers, seen: now }
    }
}

/// The value that is the user. Whatever is missing becomes the prefixed `sub`, which no legacy login can equal.
pub(super) fn user(session: &Session, rules: &IdentityHeaders) -> String {
    let facts = &session.facts;
    let chosen = match (session.origin, rules.user) {
        (_, UserValue::Email) => facts.email.clone(),
        (_, UserValue::Sub) => Some(session.user.0.clone()),
        (Origin::Legacy, UserValue::LegacyLogin) => facts.legacy_login.clone(),
        (Origin::Legacy, UserValue::LegacyId) => facts.legacy_id.clone(),
        (Origin::BornNew, UserValue::LegacyLogin | UserValue::LegacyId) => None,
    };
    chosen.unwrap_or_else(|| format!("{}{}", rules.born_new_prefix, session.user.0))
}

fn headers(
    session: &Session,
    rules: &IdentityHeaders,
    signer: &AssertionSigner,
    now: Timestamp,
) -> Vec<(HeaderName, HeaderValue)> {
    let user = user(session, rules);
    let facts = &session.facts;
    let assertion = signer.sign(
        &Assertion {
            sub: &user,
            email: facts.email.as_deref(),
            groups: &facts.groups,
            scalekit_user: &session.user.0,
            legacy_id: facts.legacy_id.as_deref(),
            legacy_login: facts.legacy_login.as_deref(),
            organization: facts.organization.as_deref(),
        },
        now,
    );
    let mut headers = Vec::with_capacity(7);
    let mut add = |name: HeaderName, value: &str| {
        // A value that no header can carry is left out; the signed assertion has it all the same.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.push((name, value));
        }
    };
    if let Some(token) = assertion {
        add(rules.assertion.clone(), &token);
    }
    if rules.plain_headers {
        add(HeaderName::from_static("x-forwarded-user"), &user);
        add(HeaderName::from_static("x-auth-request-user"), &user);
        if let Some(email) = &facts.email {
            add(HeaderName::from_static("x-forwarded-email"), email);
            add(HeaderName::from_static("x-auth-request-email"), email);
        }
        if !facts.groups.is_empty() {
            let groups = facts.groups.join(",");
            add(HeaderName::from_static("x-forwarded-groups"), &groups);
            add(HeaderName::from_static("x-auth-request-groups"), &groups);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::TestClock,
        config::AssertionKey,
        identity::{LegacyId, PersonKey, SourceName},
        login::UserId,
        session::{Renewal, SessionFacts, SigningKey},
    };

    fn rules(user: UserValue) -> IdentityHeaders {
        IdentityHeaders {
            user,
            born_new_prefix: "new:".into(),
            assertion: HeaderName::from_static("x-crossfade-assertion"),
            plain_headers: true,
            reserved: vec![],
            drop_underscores: true,
            assertion_key: AssertionKey::Stored,
            assertion_lifetime: Duration::from_mins(1),
        }
    }

    fn session(origin: Origin) -> Session {
        let now = Timestamp::from_seconds(1000);
        let end = now.after(Duration::from_mins(10));
        Session {
            key: PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("7").unwrap() },
            origin,
            user: UserId("usr_1".into()),
            scalekit_session: None,
            facts: SessionFacts {
                legacy_login: Some("ann".into()),
                legacy_id: Some("7".into()),
                email: Some("ann@example.com".into()),
                groups: vec!["a".into(), "b".into()],
                organization: None,
            },
            tokens: String::new(),
            created_at: now,
            last_seen: now,
            ends_at: end,
            idle_ends_at: end,
            renewal: Renewal::default(),
        }
    }

    #[test]
    fn the_user_is_the_configured_value_and_a_born_new_person_never_a_legacy_login() {
        for (value, legacy, born_new) in [
            (UserValue::LegacyLogin, "ann", "new:usr_1"),
            (UserValue::LegacyId, "7", "new:usr_1"),
            (UserValue::Email, "ann@example.com", "ann@example.com"),
            (UserValue::Sub, "usr_1", "usr_1"),
        ] {
            assert_eq!(user(&session(Origin::Legacy), &rules(value)), legacy);
            assert_eq!(user(&session(Origin::BornNew), &rules(value)), born_new);
        }
        let mut nameless = session(Origin::Legacy);
        nameless.facts = SessionFacts::default();
        assert_eq!(user(&nameless, &rules(UserValue::Email)), "new:usr_1");
    }

    fn signer() -> AssertionSigner {
        let key = SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap();
        AssertionSigner::new(key, "https://app.example.com".into(), Duration::from_mins(1))
    }

    #[test]
    fn plain_headers_are_sent_only_when_they_are_switched_on() {
        let names = |rules: &IdentityHeaders| -> Vec<String> {
            let visitor = Visitor::of(session(Origin::Legacy), rules, &signer(), Timestamp::from_seconds(1));
            visitor.headers.iter().map(|(name, _)| name.to_string()).collect()
        };
        let mut rules = rules(UserValue::LegacyLogin);
        assert_eq!(names(&rules).len(), 7);
        rules.plain_headers = false;
        assert_eq!(names(&rules), ["x-crossfade-assertion"]);
    }

    #[test]
    fn a_visitor_is_believed_for_a_second_and_never_beyond_the_session() {
        let clock = TestClock::at(Timestamp::from_seconds(1000));
        let shared: SharedClock = clock.clone();
        let (visitors, id) = (Visitors::default(), Digest::of("id"));
        let of = |session| Arc::new(Visitor::of(session, &rules(UserValue::Sub), &signer(), shared.now()));
        let remember = |session| visitors.remember(id.clone(), of(session), visitors.forgotten());
        remember(session(Origin::Legacy));
        assert!(visitors.recent(&id, &shared).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(visitors.recent(&id, &shared).is_none());
        for end in ["absolute", "idle"] {
            let mut ending = session(Origin::Legacy);
            let at = if end == "idle" { &mut ending.idle_ends_at } else { &mut ending.ends_at };
            *at = shared.now().after(Duration::from_millis(500));
            remember(ending);
            clock.advance(Duration::from_millis(499));
            assert!(visitors.recent(&id, &shared).is_some(), "{end}");
            clock.advance(Duration::from_millis(1));
            assert!(visitors.recent(&id, &shared).is_none(), "{end}: within the second");
        }
        remember(session(Origin::Legacy));
        visitors.forget(&id);
        assert!(visitors.recent(&id, &shared).is_none());
    }

    #[test]
    fn a_look_up_that_began_before_a_session_ended_brings_it_not_back() {
        let clock = TestClock::at(Timestamp::from_seconds(1000));
        let shared: SharedClock = clock;
        let (visitors, id) = (Visitors::default(), Digest::of("id"));
        let seen = visitors.forgotten();
        let late = Visitor::of(session(Origin::Legacy), &rules(UserValue::Sub), &signer(), shared.now());
        visitors.forget(&id);
        visitors.remember(id.clone(), Arc::new(late), seen);
        assert!(visitors.recent(&id, &shared).is_none());
    }

    #[test]
    fn whoever_has_strangers_forgotten_keeps_nobody_out() {
        let clock = TestClock::at(Timestamp::from_seconds(1000));
        let shared: SharedClock = clock;
        let (visitors, id) = (Visitors::default(), Digest::of("id"));
        for (strangers, is_kept) in [(2, true), (LAST_FORGOTTEN, true), (LAST_FORGOTTEN + 1, false)] {
            visitors.forget(&id);
            let seen = visitors.forgotten();
            for number in 0..strangers {
                visitors.forget(&Digest::of(&number.to_string()));
            }
            let found = Visitor::of(session(Origin::Legacy), &rules(UserValue::Sub), &signer(), shared.now());
            visitors.remember(id.clone(), Arc::new(found), seen);
            assert_eq!(visitors.recent(&id, &shared).is_some(), is_kept, "{strangers}");
        }
        let seen = visitors.forgotten();
        visitors.forget(&id);
        visitors.forget(&Digest::of("stranger"));
        let late = Visitor::of(session(Origin::Legacy), &rules(UserValue::Sub), &signer(), shared.now());
        visitors.remember(id.clone(), Arc::new(late), seen);
        assert!(visitors.recent(&id, &shared).is_none(), "forgotten, and then somebody else");
    }
}
