//! The gate over real sockets: what a sign-in makes of the application's answers, and of sessions that were there.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::HeaderMap;
use tokio::runtime::Runtime;
use url::Url;

use super::support::{Application, Event, HOST, Reply, Running, cookies, has, public, upstream};
use crate::{
    clock::{Deadline, SystemClock},
    config::{Config, Environment, LegacyCookie, Public, RoutePath, SignInRoute, Upstream, parse},
    identity::{LegacyId, PersonKey, Secret, SourceName, SubjectKey},
    login::{
        Chain, CountKeys, Journeys, Origin, Remembering, Settings, UserId,
        tests::{FakeDirectory, FakeStore, MemoryEpoch, MemoryLedger, OnDuplicate, Silent, trust},
    },
    net::Tracker,
    pages::Pages,
    proxy::{Evenly, Gate, Plane, Recorder, Rules, Setup, Visitors, sign_in::is_same_origin},
    session::{
        AssertionSigner, Authorize, FlowSecrets, Flows, Found, IdentityProvider, KeyRing, Opening,
        RefreshError, RefreshWith, Refreshed, SessionFacts, SessionTokens, Sessions, SignInError, SignedIn,
        SigningKey,
    },
    store::{Embedded, LocalCounts},
    telemetry::{AddressPolicy, Audit, Metrics},
};

pub(super) fn config(rollout: &str, more: &str) -> Config {
    let text = format!(
        "
public: {{url: 'https://{HOST}', allowed_hosts: [{HOST}]}}
upstream: {{url: 'https://inside.example.com'}}
legacy: {{sources: [{{name: crm, upstream: {{}}, mfa: none}}]}}
sign_in:
  routes:
    - name: form
      path: /login
      form: {{login: l, password: p}}
      rejected: {{redirect: /login}}
      success: [{{status: [302]}}, {{sets_cookie: sid}}]
  logout_routes: [/logout]
  who_am_i: {{path: /me, source: crm, id: /id, email: /email}}
scalekit:
  environment_url: https://example.scalekit.com
  client_id: skc_1
  client_secret: {{env: KEY}}
  default_organization: {{external_id: main, display_name: Main}}
rollout: {{{rollout}, salt: {{env: KEY}}}}
session: {{keys: [{{env: KEY}}]}}
store: {{embedded: {{path: state.redb}}}}
telemetry: {{subject_key: {{env: KEY}}}}
{more}"
    );
    let environment = Environment::new([("KEY".to_owned(), "k".repeat(32))]);
    parse(&text, Path::new("/base"), &environment).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// A Scalekit that is never met.
pub(super) struct Away {
    /// Whether the address to send a browser to is known.
    pub(super) begins: bool,
}

#[async_trait]
impl IdentityProvider for Away {
    async fn authorize_url(&self, _: Authorize<'_>, _: Deadline) -> Result<Url, SignInError> {
        let url = Url::parse("https://example.scalekit.com/oauth/authorize").unwrap();
        if self.begins { Ok(url) } else { Err(SignInError::Unavailable("down".into(), None)) }
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

    async fn refresh(&self, _: RefreshWith<'_>, _: Deadline) -> Result<Refreshed, RefreshError> {
        Err(RefreshError::TokenInvalid)
    }

    async fn end_session_url(&self, _: Option<&str>, after: &Url, _: Deadline) -> Result<Url, SignInError> {
        Ok(after.clone())
    }
}

pub(super) struct World {
    pub(super) running: Running,
    pub(super) gate: Arc<Gate>,
    pub(super) store: Arc<FakeStore>,
    pub(super) ledger: Arc<MemoryLedger>,
    directory: Arc<FakeDirectory>,
    pub(super) runtime: Runtime,
}

impl World {
    pub(super) fn before(application: &Application, config: &Config) -> Self {
        Self::with(application, config, Arc::new(Away { begins: true }))
    }

    pub(super) fn with(
        application: &Application,
        config: &Config,
        provider: Arc<dyn IdentityProvider>,
    ) -> Self {
        Self::made(application.address, config, provider, |_, _| {})
    }

    /// In front of whatever listens there.
    pub(super) fn at(
        application: SocketAddr,
        config: &Config,
        tweak: impl FnOnce(&mut Public, &mut Upstream),
    ) -> Self {
        Self::made(application, config, Arc::new(Away { begins: true }), tweak)
    }

    fn made(
        application: SocketAddr,
        config: &Config,
        provider: Arc<dyn IdentityProvider>,
        tweak: impl FnOnce(&mut Public, &mut Upstream),
    ) -> Self {
        let (mut public, mut upstream) = (public(), upstream(application));
        tweak(&mut public, &mut upstream);
        let runtime = Runtime::new().unwrap();
        let file = std::env::temp_dir().join(format!("crossfade-gate-{}.redb", uuid::Uuid::now_v7()));
        let state = Embedded::open(&file, "test").unwrap();
        // The file lives on while it is open.
        std::fs::remove_file(&file).unwrap();
        let (store, directory) = (FakeStore::with(&["ann", "bob"]), FakeDirectory::new(OnDuplicate::Refuse));
        let (ledger, clock) = (Arc::new(MemoryLedger::default()), SystemClock::shared());
        let keys = Arc::new(KeyRing::new(&[Secret::new("k".repeat(32))]).unwrap());
        let metrics = Metrics::new();
        let gate = Arc::new(Gate {
            rules: ArcSwap::from_pointee(Rules::of(config)),
            journeys: Journeys {
                settings: Arc::new(ArcSwap::from_pointee(Settings::of(config))),
                chain: Arc::new(ArcSwap::from_pointee(Chain::new(vec![Arc::clone(&store) as _]))),
                directory: Arc::clone(&directory) as _,
                ledger: Arc::new(Remembering::new(Arc::clone(&ledger) as _)),
                trust: trust(MemoryEpoch::used(), clock.clone()),
                clock: clock.clone(),
                witness: Arc::new(Silent),
            },
            sessions: Sessions {
                store: Arc::new(state.clone()),
                keys: Arc::clone(&keys),
                clock: clock.clone(),
                idle: config.session.idle,
                absolute: config.session.absolute,
            },
            flows: Flows { store: Arc::new(state), keys: Arc::clone(&keys), clock: clock.clone() },
            provider,
            cookies: cookies(&public),
            keys,
            signer: AssertionSigner::new(
                SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap(),
                public.url.origin().ascii_serialization(),
                config.identity.assertion_lifetime,
            ),
            pages: Pages::new(&public.prefix),
            recorder: Recorder {
                audit: Audit::new(AddressPolicy::from_full_addresses(false)),
                metrics,
                subjects: SubjectKey::new(&[1; 32]),
            },
            tracker: Tracker::new(runtime.handle().clone()),
            counts: Arc::new(LocalCounts::new(clock.clone())),
            count_keys: CountKeys::new(&Secret::new("k".repeat(32))),
            clock,
            visitors: Visitors::default(),
            evenly: Evenly::default(),
        });
        gate.watch_tunnels();
        let metrics = Metrics::new();
        let setup = Setup {
            cookies: cookies(&public),
            public: Arc::new(public),
            upstream,
            identity: config.identity.clone(),
            gate: Arc::clone(&gate) as _,
            pages: Arc::new(Pages::new("/.crossfade/")),
            metrics: metrics.clone(),
            audit: Audit::new(AddressPolicy::Network),
        };
        let running = Running { plane: Plane::start(&setup).unwrap(), metrics };
        Self { running, gate, store, ledger, directory, runtime }
    }

    /// Sends the form, as a browser on this site does.
    pub(super) fn sign_in(&self, body: &str, cookie: &str) -> Reply {
        self.running.ask(&format!(
            "POST /login HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Somebody's session, and the cookie that leads to it.
    pub(super) fn session(&self) -> (String, String) {
        let key =
            PersonKey { source: SourceName::parse("crm").unwrap(), id: LegacyId::parse("ann").unwrap() };
        let tokens =
            SessionTokens { id_token: String::new(), access_token: String::new(), refresh_token: None };
        let person = (key, Origin::Legacy, UserId("usr_1".into()));
        let opening = Opening {
            person,
            facts: SessionFacts::default(),
            scalekit_session: None,
            tokens: &tokens,
            refresh_after: Duration::from_mins(5),
        };
        let opened = self.gate.sessions.open(opening, None);
        let id = self.runtime.block_on(opened).unwrap().id;
        (format!("{}={id}", self.gate.cookies.session), id)
    }

    pub(super) fn is_live(&self, id: &str) -> bool {
        matches!(self.runtime.block_on(self.gate.sessions.find(id)).unwrap(), Found::Live(_))
    }

    pub(super) fn users(&self) -> usize {
        self.directory.users.lock().unwrap().len()
    }
}

/// Lets everybody in whose form says `p=right`, and answers who-am-I with what it is given.
pub(super) fn application(who_am_i: &'static str) -> Application {
    Application::run(move |guest| {
        while let Some(request) = guest.request() {
            guest.send(match () {
                () if request.starts_with("GET /me") => who_am_i,
                () if request.contains("p=right") => {
                    "HTTP/1.1 302 Found\r\nSet-Cookie: sid=1\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
                }
                () => "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            });
        }
    })
}

pub(super) const NOBODY: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}";
pub(super) const ANN: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n{\"id\":\"ann\",\"email\":\"ann@example.com\"}";

#[test]
fn a_guess_that_goes_to_the_application_for_want_of_scalekit_counts() {
    let application = application(NOBODY);
    let away = Arc::new(Away { begins: false });
    let world = World::with(&application, &config("cutover: 100%", ""), away);
    // Moved, and Scalekit's sign-in cannot be begun.
    assert_eq!(world.sign_in("l=ann%40example.com&p=right", "a=b").status, 302);
    assert_eq!(world.users(), 1);
    for number in 0..12 {
        let status = world.sign_in("l=ann%40example.com&p=wrong", "a=b").status;
        assert_eq!(status == 429, number >= 10, "{number}");
    }
}

#[test]
fn a_guess_that_nobody_waits_for_counts() {
    let silent = Application::run(|guest| {
        guest.request();
        guest.read_to_end();
    });
    let world = World::before(&silent, &config("cutover: 0%", ""));
    let body = "l=ann%40example.com&p=wrong";
    for number in 0..10 {
        let mut client = world.running.connect();
        client.send(format!(
            "POST /login HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        silent.wait_for(|events| {
            let is_form = |event: &&Event| has(std::slice::from_ref(*event), "POST /login");
            events.iter().filter(is_form).count() > number
        });
    }
    assert_eq!(world.sign_in(body, "a=b").status, 429);
}

#[test]
fn without_the_ledger_only_who_has_no_legacy_door_waits_for_it() {
    let back = "cutover: 0%, rollback_mode: legacy";
    for (rollout, source, waits) in [
        (back, "crm", false),
        (back, "born-new", true),
        ("cutover: 0%", "crm", true),
        // Held, and the rule says so wherever the ledger is.
        ("cutover: 100%, rules: {deny: [{person: ann@example.com}]}", "crm", false),
        // Sent back but for those who are pinned.
        ("cutover: 0%, rollback_mode: legacy, rules: {allow: [{person: ann@example.com}]}", "crm", true),
    ] {
        let application = application(NOBODY);
        let world = World::before(&application, &config(rollout, ""));
        world.ledger.is_away.store(true, Ordering::SeqCst);
        let key =
            PersonKey { source: SourceName::parse(source).unwrap(), id: LegacyId::parse("ann").unwrap() };
        let device = world.gate.remember_device(&key, &world.gate.rules.load()).unwrap();
        let device = device.to_str().unwrap().split(';').next().unwrap().to_owned();
        let reply = world.sign_in("l=ann%40example.com&p=right", &device);
        assert_eq!(reply.status, if waits { 503 } else { 302 }, "{rollout}, {source}");
        let asked = application.received().matches("POST /login").count();
        assert_eq!(asked, usize::from(!waits), "{rollout}, {source}");
        // The form is shown in any case.
        let page =
            world.running.ask(&format!("GET /login HTTP/1.1\r\nHost: {HOST}\r\nCookie: {device}\r\n\r\n"));
        assert!(page.all("location").iter().all(|to| !to.contains("scalekit")), "{rollout}, {source}");
    }
}

#[test]
fn a_session_ends_although_nobody_waits_for_the_applications_sign_out() {
    let silent = Application::run(|guest| {
        guest.request();
        guest.read_to_end();
    });
    let world = World::before(&silent, &config("cutover: 0%", ""));
    let (cookie, id) = world.session();
    let mut client = world.running.connect();
    client.send(format!("GET /logout HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n"));
    silent.wait_for(|events| has(events, "GET /logout"));
    assert!(silent.received().contains("x-crossfade-assertion: "), "the application is told who leaves");
    drop(client);
    assert!(!world.is_live(&id));
}

#[test]
fn another_sites_link_signs_nobody_out() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    for (method, site, ends) in [
        ("GET", "Sec-Fetch-Site: cross-site\r\n", false),
        ("GET", "Sec-Fetch-Site: same-site\r\n", true),
        ("GET", "Sec-Fetch-Site: same-origin\r\n", true),
        ("GET", "Sec-Fetch-Site: none\r\n", true),
        ("GET", "", true),
        ("POST", "Sec-Fetch-Site: same-origin\r\n", true),
    ] {
        let (cookie, id) = world.session();
        let reply = world.running.ask(&format!(
            "{method} /logout HTTP/1.1\r\nHost: {HOST}\r\n{site}Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n"
        ));
        let cleared = reply.all("set-cookie").iter().any(|line| line.starts_with("__Host-crossfade=;"));
        assert_eq!((cleared, world.is_live(&id)), (ends, !ends), "{method} {site}");
    }
    assert_eq!(application.received().matches(" /logout ").count(), 6, "forwarded every time");
}

#[test]
fn the_applications_own_session_is_not_set_while_ours_lives() {
    const LINES: [&str; 4] = ["a=1", "sid=1; Path=/", "b=2; note=sid", "old=; Max-Age=0"];
    let application = Application::run(|guest| {
        while guest.request().is_some() {
            let lines = LINES.map(|line| format!("Set-Cookie: {line}\r\n")).concat();
            guest.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
        }
    });
    let mut config = config("cutover: 0%", "");
    config.session.legacy_cookies = vec![LegacyCookie::named("sid"), LegacyCookie::named("old")];
    let world = World::before(&application, &config);
    let (cookie, _) = world.session();
    let ask = |cookie: &str| {
        world.running.ask(&format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n"))
    };
    assert_eq!(ask(&cookie).all("set-cookie"), ["a=1", "b=2; note=sid"]);
    assert_eq!(ask("a=b").all("set-cookie"), LINES, "whoever has no session of ours has the application's");
}

#[test]
fn the_applications_own_session_is_expired_as_it_was_set() {
    let application = application(NOBODY);
    let kept = |name: &str, domain: Option<&str>, path: &str| LegacyCookie {
        name: name.into(),
        domain: domain.map(str::to_owned),
        path: path.into(),
    };
    let mut config = config("cutover: 100%", "");
    config.session.legacy_cookies = vec![
        LegacyCookie::named("__Secure-sid"),
        kept("sid", Some("example.test"), "/"),
        kept("sid", None, "/app"),
    ];
    let world = World::before(&application, &config);
    let expired = |reply: &Reply| -> Vec<String> {
        reply.all("set-cookie").into_iter().filter(|line| line.contains("sid=;")).map(str::to_owned).collect()
    };
    let all = [
        "__Secure-sid=; Path=/; Secure; Max-Age=0",
        "sid=; Path=/; Domain=example.test; Secure; Max-Age=0",
        "sid=; Path=/app; Secure; Max-Age=0",
    ];
    let handed_over = world.sign_in("l=ann%40example.com&p=right", "__Secure-sid=1");
    assert!(handed_over.all("location")[0].contains("scalekit"), "{handed_over:?}");
    assert_eq!(expired(&handed_over), all);
    let (cookie, _) = world.session();
    for path in ["/logout", "/.crossfade/logout"] {
        let out = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}; __Secure-sid=1\r\n\r\n");
        assert_eq!(expired(&world.running.ask(&out)), all, "{path}");
    }
    let (cookie, _) = world.session();
    let page = format!("GET /x HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}; __Secure-sid=1; sid=2\r\n\r\n");
    world.running.ask(&page);
    let seen = application.received();
    let page = seen.split("GET /x ").nth(1).unwrap();
    assert!(!page.contains("sid="), "{page}");
}

#[test]
fn a_sign_in_by_a_loose_spelling_is_refused() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    for (method, path, status) in [
        ("POST", "//login", 400),
        ("POST", "/login/", 400),
        ("POST", "/login;x=1", 400),
        ("POST", "//login//;x/", 400),
        ("POST", "/log%69n/", 400),
        ("PUT", "/login/", 400),
        // Routers that do not tell capitals from small letters.
        ("POST", "/LOGIN", 400),
        ("POST", "/Login/", 400),
        ("POST", "/%4Cogin", 400),
        ("POST", "/x/../LOGIN", 400),
        ("GET", "/LOGIN", 302),
        ("GET", "//login", 302),
        ("GET", "/login/", 302),
        ("HEAD", "/login;x=1", 302),
        ("OPTIONS", "/login/", 302),
        // Listed itself, or something else.
        ("PUT", "/login", 302),
        ("POST", "/logout/", 302),
        ("POST", "/login/more", 302),
        ("POST", "/", 302),
    ] {
        let mut client = world.running.connect();
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(client.reply_to(method).status, status, "{method} {path}");
    }
    let mut config = config("cutover: 0%", "");
    config.sign_in.logout_routes.push(RoutePath("/login/".into()));
    // Two routes of one application, which tells them apart.
    let other = SignInRoute {
        name: "other".into(),
        path: RoutePath("/LOGIN".into()),
        ..config.sign_in.routes[0].clone()
    };
    config.sign_in.routes.push(other);
    let world = World::before(&application, &config);
    for (path, status) in
        [("/login/", 302), ("/login", 302), ("/LOGIN", 302), ("/Login", 400), ("/LOGIN/", 400)]
    {
        let listed = format!(
            "POST {path} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{HOST}\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(world.running.ask(&listed).status, status, "{path}");
    }
}

#[test]
fn whoever_only_looks_uses_nothing_up() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    let (cookie, id) = world.session();
    for route in ["logout", "callback?state=x&code=y", "initiate"] {
        let mut client = world.running.connect();
        client.send(format!("HEAD /.crossfade/{route} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookie}\r\n\r\n"));
        assert_eq!(client.reply_to("HEAD").status, 405, "{route}");
    }
    assert!(world.is_live(&id));
}

#[test]
fn a_form_of_this_site_is_known_also_where_its_origin_is_withheld() {
    let rules = Rules::of(&config("cutover: 0%", ""));
    for (origin, site, same) in [
        (Some("https://app.example.test"), None, true),
        (Some("https://evil.example"), Some("same-origin"), false),
        (Some("null"), Some("same-origin"), true),
        (Some("null"), Some("cross-site"), false),
        (Some("null"), Some("none"), false),
        (Some("null"), None, false),
        (None, Some("same-origin"), true),
        (None, None, false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        if let Some(site) = site {
            headers.insert("sec-fetch-site", site.parse().unwrap());
        }
        assert_eq!(is_same_origin(&headers, &rules), same, "{origin:?} {site:?}");
    }
}

#[test]
fn a_reload_sets_no_identity_field_that_the_edge_does_not_strip() {
    let old = Rules::of(&config("cutover: 0%", ""));
    let new = Rules::of(&config("cutover: 0%", "identity: {assertion: x-other, plain_headers: true}"));
    let kept = new.keeping(&old);
    assert_eq!(kept.identity.assertion, old.identity.assertion);
    assert!(!kept.identity.plain_headers);
}

/// SEC-40: whichever rejection the store was slow for, the next one takes as long.
#[test]
fn a_quick_rejection_leaves_with_the_slow_ones() {
    let slow = Duration::from_millis(200);
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 100%", ""));
    let rejected = |name: &str, takes: Duration| {
        *world.store.takes.lock().unwrap() = takes;
        let began = world.gate.clock.monotonic();
        let reply = world.sign_in(&format!("l={name}%40example.com&p=wrong"), "a=b");
        assert_eq!((reply.status, reply.all("location")[..].to_vec()), (303, vec!["/login"]), "{name}");
        world.gate.clock.monotonic().saturating_sub(began)
    };
    assert!(rejected("ann", slow) >= slow);
    let took = rejected("bob", Duration::ZERO);
    assert!(took >= slow, "{took:?}");
}
