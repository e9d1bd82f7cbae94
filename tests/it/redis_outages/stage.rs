//! Two processes before one application, who uses them while Redis is in trouble, and what must hold for them.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        admin_tokens::{OPERATOR, TOKENS, VIEWER},
        crossfade::Crossfade,
        draft::{elsewhere, in_place_of_the_file},
        http::{Answer, Visitor},
        scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene},
        shapes::{self, servers},
        wait,
    },
};

/// How long anything may be other than normal.
pub(super) const NORMAL_AGAIN: Duration = Duration::from_secs(10);

/// Many try to sign in as the same few people, from one address.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000"),
    ("OPERATOR_TOKEN", OPERATOR),
    ("VIEWER_TOKEN", VIEWER),
];

/// Not the file's: what is set is kept by all processes together.
pub(super) const PERCENT: &str = "99.99%";

/// People whom only Scalekit knows.
pub(super) const BO: &str = "bo@example.com";
pub(super) const CY: &str = "cy@example.com";

/// Two processes before one application.
pub(super) struct Site {
    pub(super) scene: Scene,
    pub(super) processes: [Crossfade; 2],
}

impl Site {
    pub(super) fn start(section: &str, people: &[Person]) -> Self {
        Self::start_each([section, section], people, [&[], &[]])
    }

    /// Each with its own way to the store, and its own environment.
    pub(super) fn start_each(
        sections: [&str; 2],
        people: &[Person],
        environments: [&[(&str, &str)]; 2],
    ) -> Self {
        let only_there = |(number, email)| {
            json!({ "id": format!("usr_17000000000000009{number}"), "email": email,
                "memberships": [{ "organization_id": ORGANIZATION }] })
        };
        let users = [BO, CY].into_iter().enumerate().map(only_there).collect();
        let scene = Scene::set(&Cast { people: people.to_vec(), users, ..Cast::default() });
        let configurations = configurations(&scene, "STORE");
        let processes = [0, 1].map(|at| {
            let configuration =
                configurations[at].replace("STORE", sections[at]).replacen("admin:\n", TOKENS, 1);
            let environment = [&shapes::SECRETS[..], &ENVIRONMENT, environments[at]].concat();
            Scene::start_as(&configuration, &environment)
        });
        let site = Self { scene, processes };
        site.turn(PERCENT);
        site
    }

    fn call(&self, at: usize, method: &str, path: &str, body: &Value) -> Answer {
        let visitor = self.processes[at].admin_visitor();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let is_read = method == reqwest::Method::GET;
        let request = visitor.request(method, &format!("/api/v1/{path}")).bearer_auth(OPERATOR);
        visitor.send(if is_read { request } else { request.json(body) })
    }

    /// Turns the dial, and waits until both processes go by it.
    pub(super) fn turn(&self, percent: &str) {
        wait::until("the dial is turned", || {
            let version = &self.call(0, "GET", "rollout", &Value::Null).json()["version"];
            let dial = json!({ "version": version, "cutover": percent, "migrate": "100%" });
            (self.call(0, "PUT", "rollout", &dial).status == 200).then_some(())
        });
        wait::until("both see the dial", || (self.percentages() == [percent; 2]).then_some(()));
    }

    /// Where the dial stands at each process.
    pub(super) fn percentages(&self) -> [String; 2] {
        [0, 1].map(|at| {
            let dial = self.call(at, "GET", "rollout", &Value::Null).json();
            dial["in_force"]["cutover"].as_str().unwrap().to_owned()
        })
    }

    /// An operator takes the store as it is.
    pub(super) fn confirm(&self) {
        wait::until("the store is confirmed", || {
            (self.call(0, "POST", "store/confirm", &json!({})).status == 200).then_some(())
        });
        for at in [0, 1] {
            wait::until("the store is believed", || {
                (self.call(at, "GET", "store", &Value::Null).json()["in_doubt"] == false).then_some(())
            });
        }
    }

    /// Through the form at a process, and back from Scalekit to it.
    pub(super) fn moved(&self, at: usize, person: &Person) -> Visitor {
        // A store that is late for a moment leaves a sign-in to the application; then the next one moves.
        let (visitor, handed_over) = wait::until(&format!("{} is handed over", person.id), || {
            let visitor = self.processes[at].visitor();
            let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
            self.scene.is_handed_over(&answer).then_some((visitor, answer))
        });
        self.back(&visitor, &handed_over, &person.email);
        visitor
    }

    /// Somebody who comes by their mailbox alone.
    pub(super) fn born_new(&self, at: usize, email: &str) -> Visitor {
        let visitor = self.processes[at].visitor();
        let begun = visitor.get("/.crossfade/initiate");
        assert_eq!(begun.status, 303, "{}", begun.text());
        self.back(&visitor, &begun, email);
        visitor
    }

    fn back(&self, visitor: &Visitor, begun: &Answer, email: &str) {
        let callback = self.scene.callback_of(begun, email);
        let origin = format!("http://{}", self.scene.public());
        let back = visitor.get(callback.strip_prefix(&origin).expect("Scalekit sends back to the site"));
        assert_eq!(back.status, 303, "{}", back.text());
        assert_eq!(visitor.whose().as_deref(), Some(email));
    }

    /// The same browser at another process.
    fn same_at(&self, other: usize, visitor: &Visitor) -> Visitor {
        let same = self.processes[other].visitor();
        for name in ["crossfade", "crossfade-device"] {
            same.set_cookie(name, &visitor.cookie(name).expect("a cookie of ours"));
        }
        same
    }

    pub(super) fn at_the_other(&self, visitor: &Visitor) -> Visitor {
        self.same_at(1, visitor)
    }

    fn is_normal(&self, person: &Person) -> bool {
        self.processes.iter().all(|process| {
            let visitor = process.visitor();
            let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
            self.scene.is_handed_over(&answer)
        })
    }

    pub(super) fn assert_one_user(&self, person: &Person) {
        let users = self.scene.users_with(&person.email);
        assert!(users.len() <= 1, "{users:?}");
        assert!(users.iter().all(|user| user["external_id"] == person.external_id().as_str()), "{users:?}");
    }

    /// How many creates Scalekit refused.
    fn refused_creates(&self) -> u64 {
        let counts = self.scene.scalekit.look("counts");
        let [received, accepted] =
            ["creates_received", "creates_accepted"].map(|name| counts[name].as_u64().unwrap());
        received - accepted
    }

    /// One sign-in of somebody; whoever is let in or handed over is nobody else.
    fn sign_in(&self, at: usize, person: &Person) -> Tried {
        let visitor = self.processes[at].visitor();
        let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
        if self.scene.is_handed_over(&answer) {
            let away = url::Url::parse(answer.location()).unwrap();
            let hint = away.query_pairs().find(|(name, _)| name == "login_hint").map(|(_, hint)| hint);
            assert_eq!(hint.as_deref(), Some(person.email.as_str()), "handed over as somebody else");
            return Tried::HandedOver;
        }
        if Scene::is_in_the_application(&answer) {
            let inside = Visitor::of(self.scene.app.address);
            inside.set_cookie("app_session", &visitor.cookie("app_session").unwrap());
            assert_eq!(inside.get("/api/me").json()["email"], person.email.as_str(), "in as somebody else");
            return Tried::LetIn;
        }
        let is_told = matches!(answer.status, 429 | 503) && answer.header("retry-after").is_some();
        assert!(is_told, "{}: {}", answer.status, answer.text());
        Tried::Busy
    }
}

/// The scene's configuration for two processes with this store.
pub(crate) fn configurations(scene: &Scene, section: &str) -> [String; 2] {
    let first = in_place_of_the_file(section, scene.configuration());
    let second = elsewhere(scene.public(), &first);
    [first, second]
}

pub(super) fn people(count: usize) -> Vec<Person> {
    (0..count).map(|n| Person::new(&format!("p{n}"))).collect()
}

/// What becomes of everything that Redis held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Kept,
    /// Rows and sessions may be gone; who was moved is found again at Scalekit.
    Lost,
}

/// What a sign-in came to.
enum Tried {
    HandedOver,
    LetIn,
    Busy,
}

/// What a browser with a session saw.
enum Seen {
    Itself,
    Nobody,
    Busy,
}

/// Looks with a browser at what the program says of its session and at what the application is told.
fn look(browser: &Visitor, email: &str, path: &str) -> Seen {
    let answer = browser.get(path);
    match answer.status {
        503 => {
            assert!(answer.header("retry-after").is_some(), "{}", answer.text());
            Seen::Busy
        }
        200 | 401 => {
            let said: Value = answer.json();
            let Some(named) = said["email"].as_str() else { return Seen::Nobody };
            assert_eq!(named, email, "somebody else's session");
            Seen::Itself
        }
        status => panic!("{status}: {}", answer.text()),
    }
}

/// What was seen and tried at each process so far.
#[derive(Default)]
pub(super) struct Watch {
    over: AtomicBool,
    seen: [[AtomicUsize; 3]; 2],
    tried: [[AtomicUsize; 3]; 2],
}

impl Watch {
    /// How often a session could not be asked for.
    pub(super) fn busy(&self, at: usize) -> usize {
        self.seen[at][Seen::Busy as usize].load(Ordering::Relaxed)
    }

    pub(super) fn handed_over(&self, at: usize) -> usize {
        self.tried[at][Tried::HandedOver as usize].load(Ordering::Relaxed)
    }

    /// Over both processes.
    fn sum(of: &[[AtomicUsize; 3]; 2], kind: usize) -> usize {
        of.iter().map(|at| at[kind].load(Ordering::Relaxed)).sum()
    }

    fn looks(&self, at: usize) -> usize {
        self.seen[at].iter().map(|kind| kind.load(Ordering::Relaxed)).sum()
    }

    /// People sign in at a process, one after the other.
    fn try_all(&self, site: &Site, at: usize, people: &[Person]) {
        for person in people.iter().cycle().take_while(|_| !self.over.load(Ordering::Relaxed)) {
            let tried = site.sign_in(at, person);
            self.tried[at][tried as usize].fetch_add(1, Ordering::Relaxed);
            let _ = wait::within(Duration::from_millis(50), || None::<()>);
        }
    }

    /// Signed-in browsers use a process, one after the other.
    fn look_all(&self, at: usize, browsers: &[(Visitor, &str)]) {
        for (browser, email) in browsers.iter().cycle().take_while(|_| !self.over.load(Ordering::Relaxed)) {
            for path in ["/.crossfade/session", "/api/me"] {
                let seen = look(browser, email, path);
                self.seen[at][seen as usize].fetch_add(1, Ordering::Relaxed);
            }
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Lets people sign in and use their sessions at both processes while `strike` happens, and holds the site to what must
/// be.
pub(super) fn ride_out(
    site: &Site,
    people: &[Person],
    afterwards: Afterwards,
    what: &str,
    strike: impl FnOnce(&Watch),
) {
    let (ann, crowd) = people.split_first().unwrap();
    let (refused, percentages) = (site.refused_creates(), site.percentages());
    // Of several people, made at either process and used at both.
    let mut made: Vec<(Visitor, &str)> =
        people.iter().take(3).enumerate().map(|(n, one)| (site.moved(n % 2, one), &*one.email)).collect();
    made.push((site.born_new(1, BO), BO));
    let browsers = [0, 1].map(|at| {
        made.iter().map(|(visitor, email)| (site.same_at(at, visitor), *email)).collect::<Vec<_>>()
    });
    let watch = Watch::default();
    let again = thread::scope(|scope| {
        let watching: Vec<_> = [0, 1]
            .into_iter()
            .flat_map(|at| {
                let (watch, browsers) = (&watch, &browsers[at]);
                [
                    scope.spawn(move || watch.try_all(site, at, crowd)),
                    scope.spawn(move || watch.look_all(at, browsers)),
                ]
            })
            .collect();
        wait::until("all of them are at work", || {
            [0, 1].iter().all(|at| watch.looks(*at) > 16).then_some(())
        });
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let before = [0, 1].map(|at| watch.looks(at));
            strike(&watch);
            let struck = wait::reading();
            let again = wait::within(NORMAL_AGAIN, || site.is_normal(ann).then(|| wait::since(struck)));
            assert!([0, 1].iter().all(|at| watch.looks(*at) > before[*at]), "nobody looked meanwhile");
            again
        }));
        watch.over.store(true, Ordering::Relaxed);
        for watching in watching {
            watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        again.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let [handed_over, let_in, busy] = [0, 1, 2].map(|kind| Watch::sum(&watch.tried, kind));
    let [itself, nobody, away] = [0, 1, 2].map(|kind| Watch::sum(&watch.seen, kind));
    figures::note(&format!(
        "Redis {what}: normal after {again:.1?}; {handed_over} sign-ins handed over, {let_in} let in by the application, \
         {busy} asked to wait; sessions {itself} times their own, {nobody} times nobody's, {away} times asked to wait"
    ));
    assert!(again.is_some(), "Redis {what}: not normal within {NORMAL_AGAIN:?}");
    // Where the store lost everything, nobody new is created until an operator confirms it.
    assert!(handed_over > 0 || (afterwards == Afterwards::Lost && let_in > 0));
    assert!(
        nobody == 0 || afterwards == Afterwards::Lost,
        "a session that Redis kept was somebody's no more"
    );
    let is_lost = |seen| matches!(seen, Seen::Nobody) && afterwards == Afterwards::Lost;
    for (browser, email) in browsers.iter().flatten() {
        let settled = wait::within(NORMAL_AGAIN, || {
            let seen = look(browser, email, "/.crossfade/session");
            (matches!(seen, Seen::Itself) || is_lost(seen)).then_some(())
        });
        settled.expect("a session that Redis kept is of use");
    }
    for (turn, person) in people.iter().enumerate() {
        // Who was never created may have to wait for an operator where the store lost its memory.
        if afterwards == Afterwards::Kept || !site.scene.users_with(&person.email).is_empty() {
            site.moved(turn % 2, person);
        }
        site.assert_one_user(person);
    }
    for at in [0, 1] {
        site.born_new(at, BO);
    }
    assert_eq!(site.scene.users_with(BO).len(), 1);
    // Scalekit's refusals hide second creates. Where a claim may be lost, each process may have had one under way.
    let refused = site.refused_creates() - refused;
    let allowed = if afterwards == Afterwards::Lost { 2 } else { 0 };
    assert!(refused <= allowed, "Redis {what}: {refused} people were to be created who exist");
    assert_eq!(site.percentages(), percentages, "Redis {what}: the dial is elsewhere");
    for process in &site.processes {
        process.assert_never_said(&[servers::PASSWORD, servers::SENTINEL_PASSWORD]);
    }
}
