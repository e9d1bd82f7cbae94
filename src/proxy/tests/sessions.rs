//! Sessions over real sockets: what ends them, what ends with them, and that no request waits for their refresh.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use async_trait::async_trait;
use url::Url;

use super::{
    gate::{NOBODY, World, application, config},
    support::{Application, Client, HOST, PATIENCE, Reply},
};
use crate::{
    clock::Deadline,
    identity::{ExternalId, LegacyId, LoginName, PersonKey, Secret, SourceName},
    login::{Ledger as _, Origin, Row, RowState, UserId},
    rollout::BucketSalt,
    session::{
        Authorize, Digest, FlowSecrets, IdentityProvider, NewClaims, Opening, RefreshError, RefreshWith,
        Refreshed, SessionFacts, SessionTokens, SignInError, SignedIn, Whose,
    },
};

/// SEC-14 says one second; a busy machine may add to it.
const SOON: Duration = Duration::from_secs(3);

/// What a refresh comes to.
#[derive(Clone, Copy)]
enum Refreshing {
    NewRole,
    Refused,
    Down,
    /// Far longer than anybody waits.
    Slow,
}

struct Provider {
    refreshing: Refreshing,
    refreshes: AtomicUsize,
}

impl Provider {
    fn that(refreshing: Refreshing) -> Arc<Self> {
        Arc::new(Self { refreshing, refreshes: AtomicUsize::new(0) })
    }

    fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl IdentityProvider for Provider {
    async fn authorize_url(&self, _: Authorize<'_>, _: Deadline) -> Result<Url, SignInError> {
        Ok(Url::parse("https://example.scalekit.com/oauth/authorize").unwrap())
    }

    async fn redeem(
        &self,
        _: &str,
        _: &FlowSecrets,
        _: Option<&str>,
        _: Deadline,
    ) -> Result<SignedIn, SignInError> {
        Err(SignInError::CodeInvalid)
    }

    async fn refresh(&self, with: RefreshWith<'_>, _: Deadline) -> Result<Refreshed, RefreshError> {
        self.refreshes.fetch_add(1, Ordering::SeqCst);
        let later =
            RefreshError::Later { problem: "answered 503".into(), retry_after: None, may_be_used: false };
        match self.refreshing {
            Refreshing::NewRole => Ok(Refreshed {
                tokens: tokens(with.refresh_token),
                access_lifetime: None,
                claims: Ok(NewClaims { roles: Some(vec!["new-role".into()]), ..NewClaims::default() }),
            }),
            Refreshing::Refused => Err(RefreshError::TokenInvalid),
            Refreshing::Down => Err(later),
            Refreshing::Slow => {
                tokio::time::sleep(Duration::from_secs(8)).await;
                Err(later)
            }
        }
    }

    async fn end_session_url(&self, _: Option<&str>, after: &Url, _: Deadline) -> Result<Url, SignInError> {
        Ok(after.clone())
    }
}

fn tokens(refresh: &str) -> SessionTokens {
    SessionTokens { id_token: "i".into(), access_token: "a".into(), refresh_token: Some(refresh.into()) }
}

impl World {
    /// Somebody's session whose tokens are due after a while, and the cookie that leads to it.
    fn session_of(&self, person: &str, due: Duration) -> (String, String) {
        let key =
            PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse(person).unwrap() };
        let tokens = tokens("r");
        let opening = Opening {
            person: (key, Origin::Legacy, UserId(format!("usr_{person}"))),
            facts: SessionFacts::default(),
            scalekit_session: None,
            tokens: &tokens,
            refresh_after: due,
        };
        let id = self.runtime.block_on(self.gate.sessions.open(opening, None)).unwrap().id;
        (format!("{}={id}", self.gate.cookies.session), id)
    }

    /// A tombstone alone, whatever else an operator's call would do.
    fn remove(&self, person: &str) {
        let (source, id) = (SourceName::parse("crm").unwrap(), LegacyId::parse(person).unwrap());
        let bucket = BucketSalt::new(&[7; 32]).bucket(&LoginName::parse(person).unwrap());
        let external_id = ExternalId::received(person.to_owned());
        let mut row = Row::fresh(PersonKey { source, id }, bucket, external_id, self.gate.clock.now());
        row.state = RowState::Tombstone;
        self.runtime.block_on(self.gate.journeys.ledger.write(&row)).unwrap();
    }

    fn get(&self, path: &str, fields: &str) -> Reply {
        self.running.ask(&format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n"))
    }

    /// An open `WebSocket`, with this cookie or none.
    fn web_socket(&self, cookie: &str) -> Client {
        let mut client = self.running.connect();
        client.send(format!(
            "GET /live HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"
        ));
        assert_eq!(client.head().status, 101);
        speak(&mut client);
        client
    }
}

/// The application hears and answers over a switched connection.
fn speak(client: &mut Client) {
    client.send("x");
    assert_eq!(client.take(1), b"X");
}

/// Switches `/live`, and answers everything else with its head.
fn live_application() -> Application {
    Application::run(|guest| {
        while let Some(head) = guest.head() {
            if head.starts_with("GET /live") {
                guest.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                );
                while guest.more() {
                    let bytes = guest.take_read();
                    guest.send(bytes.to_ascii_uppercase());
                }
                return;
            }
            let body = head.replace('\r', "").to_ascii_lowercase();
            guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
    })
}

fn cleared(reply: &Reply) -> bool {
    reply.all("set-cookie").iter().any(|line| line.starts_with("__Host-crossfade=;"))
}

#[test]
fn a_web_socket_ends_with_its_session_and_with_no_other() {
    type End = fn(&World, &str, &str);
    let ends: [(&str, Refreshing, End); 6] = [
        ("sign-out", Refreshing::Down, |world, cookie, _| {
            assert_eq!(world.get("/.crossfade/logout", &format!("Cookie: {cookie}\r\n")).status, 303);
        }),
        ("the application's sign-out", Refreshing::Down, |world, cookie, _| {
            world.get("/logout", &format!("Cookie: {cookie}\r\n"));
        }),
        ("all of one person", Refreshing::Down, |world, _, _| {
            let whose = Whose::User(UserId("usr_ann".into()));
            assert_eq!(world.runtime.block_on(world.gate.end_all_of(&whose, "test")).unwrap(), 1);
        }),
        ("by the ledger's name", Refreshing::Down, |world, _, _| {
            let (source, id) = (SourceName::parse("crm").unwrap(), LegacyId::parse("ann").unwrap());
            let whose = Whose::Person(PersonKey { source, id });
            assert_eq!(world.runtime.block_on(world.gate.end_all_of(&whose, "test")).unwrap(), 1);
        }),
        // As another replica does it, and as time does.
        ("in the store", Refreshing::Down, |world, _, id| {
            let removed = world.runtime.block_on(world.gate.sessions.store.remove(&Digest::of(id)));
            assert!(removed.unwrap().is_some());
        }),
        ("invalid_grant", Refreshing::Refused, |world, cookie, _| {
            // The cached second is over at some point, and the tokens are due.
            let end = Deadline::within(PATIENCE);
            while !end.has_passed() {
                let reply = world.get("/page", &format!("Cookie: {cookie}\r\n"));
                assert_eq!(reply.status, 200, "a refresh fails no request");
                if cleared(&reply) {
                    return;
                }
                thread::park_timeout(Duration::from_millis(50));
            }
            panic!("the session lives on");
        }),
    ];
    for (name, refreshing, end) in ends {
        let application = live_application();
        let world = World::with(&application, &config("cutover: 0%", ""), Provider::that(refreshing));
        let (cookie, id) = world.session_of("ann", Duration::from_millis(500));
        let (other, _) = world.session_of("bob", Duration::from_mins(5));
        let mut theirs = world.web_socket(&cookie);
        let mut second = world.web_socket(&cookie);
        let mut others = world.web_socket(&other);
        let mut nobodys = world.web_socket("a=b");
        end(&world, &cookie, &id);
        let soon = Deadline::within(SOON);
        assert!(theirs.is_closed() && second.is_closed(), "{name}");
        assert!(!soon.has_passed(), "{name}: it took longer than {SOON:?}");
        speak(&mut others);
        speak(&mut nobodys);
        assert_eq!(world.runtime.block_on(world.gate.end_all("test")).unwrap(), 1, "{name}");
        assert!(others.is_closed(), "{name}: everybody's");
        speak(&mut nobodys);
    }
}

#[test]
fn a_web_socket_ends_with_the_key_of_its_session() {
    let application = live_application();
    let world = World::before(&application, &config("cutover: 0%", ""));
    let key = |letter: &str| Secret::new(letter.repeat(32));
    let (old, _) = world.session_of("ann", Duration::from_mins(5));
    let mut theirs = world.web_socket(&old);
    world.gate.keys.replace(&[key("n"), key("k")]).unwrap();
    let (new, _) = world.session_of("bob", Duration::from_mins(5));
    let mut others = world.web_socket(&new);
    thread::park_timeout(Duration::from_millis(700));
    speak(&mut theirs);
    world.gate.keys.replace(&[key("n")]).unwrap();
    let soon = Deadline::within(SOON);
    assert!(theirs.is_closed());
    assert!(!soon.has_passed(), "it took longer than {SOON:?}");
    speak(&mut others);
}

#[test]
fn a_web_socket_ends_at_its_sessions_time_although_bytes_flow() {
    for (idle, absolute) in [(1, 60), (60, 1)] {
        let application = live_application();
        let world = World::before(&application, &config("cutover: 0%", ""));
        let (cookie, id) = world.session_of("ann", Duration::from_mins(5));
        let digest = Digest::of(&id);
        let store = &world.gate.sessions.store;
        let mut session = world.runtime.block_on(store.get(&digest)).unwrap().unwrap();
        let now = world.gate.clock.now();
        session.idle_ends_at = now.after(Duration::from_secs(idle));
        session.ends_at = now.after(Duration::from_secs(absolute));
        world.runtime.block_on(store.put(&digest, &session)).unwrap();
        let mut client = world.web_socket(&cookie);
        let (soon, end) = (Deadline::within(Duration::from_secs(1) + SOON), Deadline::within(PATIENCE));
        // Talks all the time, until the other side is gone.
        while client.try_send("x") && client.try_take() {
            assert!(!end.has_passed(), "idle {idle} s, absolute {absolute} s: it never ends");
            thread::park_timeout(Duration::from_millis(20));
        }
        assert!(!soon.has_passed(), "idle {idle} s, absolute {absolute} s: later than {SOON:?} after it");
    }
}

#[test]
fn a_refresh_brings_new_roles_at_once_and_asks_once() {
    let provider = Provider::that(Refreshing::NewRole);
    let application = live_application();
    let world = World::with(
        &application,
        &config("cutover: 0%", "identity: {plain_headers: true}"),
        Arc::clone(&provider) as _,
    );
    let (cookie, _) = world.session_of("ann", Duration::ZERO);
    let address = world.running.address();
    let request = format!("GET /page HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n");
    let threads: Vec<_> = (0..40)
        .map(|_| {
            let request = request.clone();
            thread::spawn(move || {
                let mut client = Client::connect(address);
                client.send(request);
                client.reply()
            })
        })
        .collect();
    for reply in threads.into_iter().map(|thread| thread.join().unwrap()) {
        assert_eq!(reply.status, 200);
    }
    assert_eq!(provider.refreshes(), 1);
    let reply = world.get("/page", &format!("Cookie: {cookie}\r\n"));
    assert!(reply.text().contains("x-forwarded-groups: new-role"), "{}", reply.text());
}

#[test]
fn no_request_waits_for_a_slow_refresh_or_fails_with_it() {
    for refreshing in [Refreshing::Slow, Refreshing::Down] {
        let provider = Provider::that(refreshing);
        let application = live_application();
        let world = World::with(&application, &config("cutover: 0%", ""), Arc::clone(&provider) as _);
        let (cookie, id) = world.session_of("ann", Duration::ZERO);
        for _ in 0..3 {
            let soon = Deadline::within(SOON);
            let reply = world.get("/page", &format!("Cookie: {cookie}\r\n"));
            assert!(reply.text().contains("x-crossfade-assertion: "), "signed in as before");
            assert!(!soon.has_passed(), "it waited longer than {SOON:?}");
        }
        assert!(world.is_live(&id));
        assert_eq!(provider.refreshes(), 1);
    }
}

#[test]
fn a_bad_a_doubled_and_a_retired_cookie_are_signed_out_and_cleared() {
    let application = live_application();
    let world = World::before(&application, &config("cutover: 0%", ""));
    let (cookie, id) = world.session();
    let name = world.gate.cookies.session.clone();
    let long = "x".repeat(5000);
    for bad in [
        format!("{cookie}; {cookie}"),
        format!("{name}=other; {cookie}"),
        format!("{name}="),
        format!("{name}=\"{id}\""),
        format!("{name}={id}x"),
        format!("{name}={long}"),
        format!("{name}=%00%ff"),
    ] {
        let reply = world.get("/page", &format!("Cookie: {bad}\r\n"));
        assert_eq!((reply.status, cleared(&reply)), (200, true), "{bad}");
        assert!(!reply.text().contains("x-crossfade-assertion"), "{bad}");
    }
    // Blanks of a kind that no browser takes off before it looks at the prefix: another site of the domain may have set
    // these.
    for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}"] {
        let reply = world.get("/page", &format!("Cookie: {blank}{cookie}\r\n"));
        assert_eq!(reply.status, 200, "{blank:?}");
        assert!(!reply.text().contains("x-crossfade-assertion"), "{blank:?}");
        assert!(!reply.text().contains("crossfade="), "{blank:?} is one to whoever takes it off");
    }
    assert!(world.is_live(&id), "nobody else's cookie ends it");
    world.gate.keys.replace(&[Secret::new("z".repeat(32))]).unwrap();
    world.gate.visitors.look_again(&Digest::of(&id));
    let reply = world.get("/page", &format!("Cookie: {cookie}\r\n"));
    assert_eq!((reply.status, cleared(&reply)), (200, true));
}

#[test]
fn the_sign_in_page_ends_the_session_it_was_sent() {
    const FORM: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nform";
    const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    for (answer, method, fields, ends) in [
        (FORM, "GET", "", true),
        (FORM, "GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n", true),
        (FORM, "GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n", true),
        // Another site's link, a script that looks, an application that leads the signed-in on.
        (FORM, "GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: cross-site\r\n", false),
        (FORM, "GET", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n", false),
        (FORM, "HEAD", "", false),
        (ELSEWHERE, "GET", "", false),
    ] {
        let application = Application::run(move |guest| {
            while guest.request().is_some() {
                guest.send(answer);
            }
        });
        let mut config = config("cutover: 0%", "");
        config.sign_in.routes[0].page = Some(crate::config::RoutePath("/login".into()));
        let world = World::before(&application, &config);
        let (cookie, id) = world.session();
        let mut client = world.running.connect();
        client.send(format!("{method} /login HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n{fields}\r\n"));
        let reply = client.reply_to(method);
        assert_eq!((cleared(&reply), world.is_live(&id)), (ends, !ends), "{method} {fields}: {reply:?}");
    }
}

#[test]
fn our_sign_out_door_is_closed_to_other_sites() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    let ours = format!("https://{HOST}");
    for (fields, ends) in [
        (String::new(), true),
        ("Sec-Fetch-Site: same-origin\r\n".into(), true),
        ("Sec-Fetch-Site: none\r\n".into(), true),
        ("Sec-Fetch-Site: cross-site\r\n".into(), false),
        ("Sec-Fetch-Site: same-site\r\n".into(), false),
        (format!("Origin: {ours}\r\n"), true),
        (format!("Referer: {ours}/page\r\n"), true),
        ("Origin: https://evil.test\r\n".into(), false),
        ("Origin: null\r\n".into(), false),
        ("Referer: https://evil.test/\r\n".into(), false),
        (format!("Referer: {ours}.evil.test/\r\n"), false),
    ] {
        for method in ["GET", "POST"] {
            let (cookie, id) = world.session();
            let reply = world.running.ask(&format!(
                "{method} /.crossfade/logout HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n{fields}\
                 Content-Length: 0\r\n\r\n"
            ));
            let status = if ends { 303 } else { 403 };
            assert_eq!((reply.status, world.is_live(&id)), (status, !ends), "{method} {fields}");
        }
    }
}

/// SEC-24 at the door, not only in the function that judges.
#[test]
fn a_form_from_elsewhere_reaches_nobody() {
    let ours = format!("Origin: https://{HOST}\r\n");
    for (client, fields, passes) in [
        ("browser", ours.as_str(), true),
        ("browser", "Sec-Fetch-Site: same-origin\r\n", true),
        ("browser", "Origin: https://evil.test\r\n", false),
        ("browser", "Origin: https://evil.test\r\nSec-Fetch-Site: same-origin\r\n", false),
        ("browser", "Origin: null\r\n", false),
        ("browser", "Origin: null\r\nSec-Fetch-Site: cross-site\r\n", false),
        ("browser", "Sec-Fetch-Site: cross-site\r\n", false),
        ("browser", "Sec-Fetch-Site: same-site\r\n", false),
        ("browser", "", false),
        ("api", "", true),
        ("api", "Origin: https://evil.test\r\n", true),
    ] {
        let application = application(NOBODY);
        let mut config = config("cutover: 0%", "");
        if client == "api" {
            config.sign_in.routes[0].client = crate::config::ClientKind::Api;
        }
        let world = World::before(&application, &config);
        let body = "l=ann%40example.com&p=right";
        let reply = world.running.ask(&format!(
            "POST /login HTTP/1.1\r\nHost: {HOST}\r\n{fields}Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(reply.status == 403, !passes, "{client} {fields}");
        assert_eq!(application.received().contains("POST /login"), passes, "{client} {fields}");
    }
}

/// As where a store has a session again that ended with its person, or never lost it.
#[test]
fn a_session_of_a_removed_person_is_none() {
    let application = live_application();
    let world = World::before(&application, &config("cutover: 0%", ""));
    let [removed, other] = ["ann", "bob"].map(|person| world.session_of(person, PATIENCE).0);
    world.remove("ann");
    assert!(cleared(&world.get("/page", &format!("Cookie: {removed}\r\n"))));
    assert!(!cleared(&world.get("/page", &format!("Cookie: {other}\r\n"))));
}
