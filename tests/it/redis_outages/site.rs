//! Two processes before one application.

use serde_json::{Value, json};

use crate::support::{
    admin_tokens::{OPERATOR, TOKENS, VIEWER},
    crossfade::Crossfade,
    draft::{elsewhere, in_place_of_the_file},
    http::{Answer, Visitor},
    scene::{Cast, ORGANIZATION, PASSWORD, Person, Scene},
    shapes, wait,
};

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

/// Browsers reach each process by its own address.
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
    pub(super) fn same_at(&self, other: usize, visitor: &Visitor) -> Visitor {
        let same = self.processes[other].visitor();
        for name in ["crossfade", "crossfade-device"] {
            same.set_cookie(name, &visitor.cookie(name).expect("a cookie of ours"));
        }
        same
    }

    pub(super) fn at_the_other(&self, visitor: &Visitor) -> Visitor {
        self.same_at(1, visitor)
    }

    pub(super) fn is_normal(&self, person: &Person) -> bool {
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
    pub(super) fn refused_creates(&self) -> u64 {
        let counts = self.scene.scalekit.look("counts");
        let [received, accepted] =
            ["creates_received", "creates_accepted"].map(|name| counts[name].as_u64().unwrap());
        received - accepted
    }

    /// One sign-in of somebody; whoever is let in or handed over is nobody else.
    pub(super) fn sign_in(&self, at: usize, person: &Person) -> Tried {
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

/// What a sign-in came to.
pub(super) enum Tried {
    HandedOver,
    LetIn,
    Busy,
}
