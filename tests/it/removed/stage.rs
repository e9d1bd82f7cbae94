//! Two replicas, people who were removed at one of them, and what must hold whatever becomes of Redis.

use std::{net::SocketAddr, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    edge::figures,
    redis_outages::configurations,
    support::{
        admin_tokens::{OPERATOR, TOKENS, VIEWER},
        crossfade::Crossfade,
        http::{Answer, Visitor},
        scene::{Cast, ORGANIZATION, PASSWORD, PASSWORD_HASH, Person, Scene},
        scratch::copy_folder,
        shapes,
        shapes::servers::Node,
        wait,
    },
};

/// How long anything may be other than normal.
const NORMAL_AGAIN: Duration = Duration::from_secs(10);

/// How long a replica may believe a session of somebody whom another one removed: it looks each second, and goes by
/// what it saw for a second.
const SESSION_OVER: Duration = Duration::from_secs(3);

const ENVIRONMENT: [(&str, &str); 5] = [
    ("OPERATOR_TOKEN", OPERATOR),
    ("VIEWER_TOKEN", VIEWER),
    ("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000"),
    // Not the file's: what is set is kept by all replicas together.
    ("CROSSFADE_ROLLOUT__CUTOVER", "0%"),
    ("CROSSFADE_ROLLOUT__MIGRATE", "0%"),
];

const PERCENT: &str = "99.99%";

/// Scalekit alone knows these; the last one was removed here.
const BO: &str = "bo@example.com";
const NELL: &str = "nell@example.com";
const MOSS: &str = "moss@example.com";

/// Somebody's other name.
fn login(person: &Person) -> String {
    format!("{}-by-name", person.id)
}

pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The servers that hold the data.
pub(super) struct Data {
    pub(super) nodes: Vec<Node>,
}

impl Data {
    pub(super) fn of(nodes: Vec<Node>) -> Self {
        Self { nodes }
    }

    /// Everything is gone, and every server is there.
    pub(super) fn empty(&mut self) {
        for node in &self.nodes {
            // A replica follows its primary.
            let _: Option<String> = node.try_ask(&["flushall"]);
        }
    }

    /// Takes a copy of what every server holds.
    fn keep(&self) {
        for node in &self.nodes {
            copy_folder(&node.folder.join("appendonlydir"), &node.folder.join("old"));
        }
    }

    /// Every server comes back with the copy.
    pub(super) fn put_back(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        for node in &mut self.nodes {
            copy_folder(&node.folder.join("old"), &node.folder.join("appendonlydir"));
            node.start_again();
        }
    }
}

pub(super) struct Site {
    scene: Scene,
    replicas: Vec<Crossfade>,
    ann: Person,
    ben: Person,
    /// Removed after a sign-in of theirs ended in a session, and before any.
    rose: Person,
    thorn: Person,
}

/// A browser that was on its way when its person was removed.
struct UnderWay {
    visitor: Visitor,
    callback: String,
}

impl Site {
    pub(super) fn start(section: &str) -> Self {
        Self::start_each(&[section, section])
    }

    /// Each with its own way to the store.
    pub(super) fn start_each(sections: &[&str; 2]) -> Self {
        Self::with(*sections, [&[], &[]])
    }

    /// The environments are each replica's own.
    pub(super) fn with(sections: [&str; 2], environments: [&[(&str, &str)]; 2]) -> Self {
        Self::set(|scene| {
            let configurations = configurations(scene, "STORE");
            let replicas = configurations.into_iter().zip(sections).zip(environments);
            replicas.map(|((all, section), own)| (all.replace("STORE", section), own.to_vec())).collect()
        })
    }

    /// One process with a file.
    pub(super) fn with_file(environment: &[(&str, &str)]) -> Self {
        Self::set(|scene| vec![(scene.configuration().to_owned(), environment.to_vec())])
    }

    fn set<'a>(replicas: impl FnOnce(&Scene) -> Vec<(String, Vec<(&'a str, &'a str)>)>) -> Self {
        let [ann, ben, rose, thorn] = ["ann", "ben", "rose", "thorn"].map(Person::new);
        let at_scalekit = |(number, email)| {
            json!({ "id": format!("usr_17000000000000009{number}"), "email": email,
                "memberships": [{ "organization_id": ORGANIZATION }] })
        };
        let named = |person: &Person| {
            json!({ "id": person.id, "login": login(person), "email": person.email, "email_verified": true,
                "password_hash": PASSWORD_HASH, "mfa": false })
            .to_string()
        };
        let scene = Scene::set(&Cast {
            people: vec![ann.clone(), ben.clone()],
            more_lines: [&rose, &thorn].map(named).into(),
            users: [BO, NELL, MOSS].into_iter().enumerate().map(at_scalekit).collect(),
            ..Cast::default()
        });
        let start = |(configuration, own): (String, Vec<(&str, &str)>)| {
            let configuration = configuration
                .replacen("admin:\n", TOKENS, 1)
                .replace("          email: email\n", "          email: email\n          login: login\n");
            Scene::start_as(&configuration, &[&shapes::SECRETS[..], &ENVIRONMENT, &own].concat())
        };
        let replicas = replicas(&scene).into_iter().map(start).collect();
        let site = Self { scene, replicas, ann, ben, rose, thorn };
        let dial = json!({ "version": 0, "cutover": PERCENT, "migrate": "100%" });
        let turned = site.call(0, "PUT", "rollout", &dial);
        assert_eq!(turned.status, 200, "{}", turned.text());
        wait::until("all see the dial", || site.has_the_percentage().then_some(()));
        site
    }

    fn call(&self, at: usize, method: &str, path: &str, body: &Value) -> Answer {
        let visitor = self.replicas[at].admin_visitor();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let is_read = method == reqwest::Method::GET;
        let request = visitor.request(method, &format!("/api/v1/{path}")).bearer_auth(OPERATOR);
        visitor.send(if is_read { request } else { request.json(body) })
    }

    fn has_the_percentage(&self) -> bool {
        (0..self.replicas.len()).all(|at| {
            let dial = self.call(at, "GET", "rollout", &Value::Null).json();
            dial["in_force"]["cutover"] == PERCENT
        })
    }

    /// Removes somebody by a name, as an operator does.
    fn remove(&self, name: &str) {
        let removed = self.call(0, "POST", "people/tombstone", &json!({ "person": { "name": name } }));
        assert_eq!(removed.status, 200, "{name}: {}", removed.text());
        assert_eq!(removed.json()["changed"], true, "{name}");
    }

    fn handed_over(&self, at: usize, name: &str) -> (Visitor, Answer) {
        wait::until(&format!("{name} is handed over"), || {
            let visitor = self.replicas[at].visitor();
            let answer = self.scene.sign_in(&visitor, name, PASSWORD);
            self.scene.is_handed_over(&answer).then_some((visitor, answer))
        })
    }

    fn callback(&self, begun: &Answer, email: &str) -> String {
        let callback = self.scene.callback_of(begun, email);
        let origin = format!("http://{}", self.scene.public());
        callback.strip_prefix(&origin).expect("Scalekit sends back to the site").to_owned()
    }

    fn moved(&self, at: usize, person: &Person) -> Visitor {
        let (visitor, begun) = self.handed_over(at, &person.email);
        let back = visitor.get(&self.callback(&begun, &person.email));
        assert_eq!(back.status, 303, "{}", back.text());
        assert_eq!(visitor.whose().as_deref(), Some(person.email.as_str()));
        visitor
    }

    fn by_mailbox(&self, at: usize, email: &str) -> (Visitor, Answer) {
        let visitor = self.replicas[at].visitor();
        let begun = visitor.get("/.crossfade/initiate");
        if begun.status != 303 {
            return (visitor, begun);
        }
        let back = visitor.get(&self.callback(&begun, email));
        (visitor, back)
    }

    fn born_new(&self, at: usize, email: &str) -> Visitor {
        let (visitor, back) = self.by_mailbox(at, email);
        assert_eq!(back.status, 303, "{}", back.text());
        assert_eq!(visitor.whose().as_deref(), Some(email));
        visitor
    }

    fn same_at(&self, other: usize, visitor: &Visitor) -> Visitor {
        let same = self.replicas[other].visitor();
        for name in ["crossfade", "crossfade-device"] {
            same.set_cookie(name, &visitor.cookie(name).expect("a cookie of ours"));
        }
        same
    }

    /// One more try of everybody who was removed, by each name and at each replica: none ends in a session.
    pub(super) fn tries_again(&self) {
        let names = [
            (self.rose.email.clone(), &self.rose.email),
            (login(&self.rose), &self.rose.email),
            (self.thorn.email.clone(), &self.thorn.email),
            (login(&self.thorn), &self.thorn.email),
        ];
        for at in [0, 1] {
            for (name, email) in &names {
                let visitor = self.replicas[at].visitor();
                let answer = self.scene.sign_in(&visitor, name, PASSWORD);
                if self.scene.is_handed_over(&answer) {
                    let back = visitor.get(&self.callback(&answer, email));
                    assert_eq!(visitor.whose(), None, "{name} is let in at replica {at}: {}", back.status);
                }
                assert_eq!(visitor.cookie("crossfade"), None, "{name} has a session at replica {at}");
            }
            let (visitor, back) = self.by_mailbox(at, MOSS);
            assert_eq!(
                visitor.cookie("crossfade"),
                None,
                "{MOSS} is let in at replica {at}: {}",
                back.status
            );
        }
        self.nobody_was_made();
    }

    /// Scalekit has who it had.
    fn nobody_was_made(&self) {
        assert!(self.scene.users_with(&self.thorn.email).is_empty(), "created by an old password");
        let users = self.scene.users_with(&self.rose.email);
        assert_eq!(users.len(), 1, "{users:?}");
        let moss = self.scene.users_with(MOSS);
        assert!(moss.len() == 1 && moss[0]["external_id"].is_null(), "{moss:?}");
    }

    fn is_normal(&self) -> bool {
        self.replicas.iter().all(|replica| {
            let answer = self.scene.sign_in(&replica.visitor(), &self.ann.email, PASSWORD);
            self.scene.is_handed_over(&answer)
        })
    }

    pub(super) fn rides_out(&self, what: &str, data: &mut Data, strike: impl FnOnce(&mut Data)) {
        self.rides_out_after(what, data, |_| {}, strike);
    }

    /// People move, `before` happens, some of them are removed at the first replica, and at once `strike` comes.
    pub(super) fn rides_out_after(
        &self,
        what: &str,
        data: &mut Data,
        before: impl FnOnce(&mut Data),
        strike: impl FnOnce(&mut Data),
    ) {
        self.moved(1, &self.ann);
        self.born_new(0, BO);
        let of_rose = self.moved(0, &self.rose);
        let of_moss = self.born_new(1, MOSS);
        let browsers = [&of_rose, &of_moss].map(|browser| [0, 1].map(|at| self.same_at(at, browser)));
        let under_way = [0, 1].map(|at| {
            let (visitor, begun) = self.handed_over(at, &self.rose.email);
            UnderWay { callback: self.callback(&begun, &self.rose.email), visitor }
        });
        data.keep();
        before(data);
        for name in [&login(&self.rose), &self.thorn.email, MOSS] {
            self.remove(name);
        }
        strike(data);

        let begun = wait::reading();
        let still_in = || browsers.iter().flatten().any(|browser| browser.whose().is_some());
        let mut last_in = Duration::ZERO;
        let normal = wait::within(NORMAL_AGAIN, || {
            if still_in() {
                last_in = wait::since(begun);
            }
            self.tries_again();
            self.is_normal().then(|| wait::since(begun))
        });
        let normal = normal.unwrap_or_else(|| panic!("Redis {what}: not normal within {NORMAL_AGAIN:?}"));
        figures::note(&format!(
            "Redis {what}: normal after {:.1} s; the removed people's old sessions were seen for {:.1} s at most",
            normal.as_secs_f64(),
            last_in.as_secs_f64(),
        ));
        wait::within(SESSION_OVER, || (!still_in()).then_some(())).expect("the old sessions are over");
        for UnderWay { visitor, callback } in under_way {
            let back = visitor.get(&callback);
            assert_eq!(visitor.cookie("crossfade"), None, "a sign-in under way: {}", back.status);
        }
        assert!(self.has_the_percentage());
        self.lets_everybody_else_in();
        self.tries_again();
        assert!(!still_in());
        self.is_removed_everywhere();
    }

    /// Somebody is removed at the first replica when a replica that stands still there is about to open their session.
    pub(super) fn removes_while_under_way(&self, at: usize) {
        let (visitor, begun) = self.handed_over(at, &self.rose.email);
        let callback = self.callback(&begun, &self.rose.email);
        let back = thread::scope(|scope| {
            let under_way = scope.spawn(|| visitor.get(&callback));
            wait::until("it is about to open a session", || {
                self.replicas[at].process.said().contains("failpoint reached").then_some(())
            });
            self.remove(&self.rose.email);
            under_way.join().unwrap()
        });
        assert_eq!(visitor.cookie("crossfade"), None, "{}: {}", back.status, back.text());
        assert_eq!(back.status, 403, "{}", back.text());
        self.moved(at, &self.ann);
    }

    /// Somebody with sessions at both replicas is removed at the first one.
    pub(super) fn ends_sessions(&self) {
        let browsers = [self.moved(0, &self.rose), self.moved(1, &self.rose)];
        let ann = self.moved(1, &self.ann);
        let everywhere: Vec<_> =
            [0, 1].into_iter().flat_map(|at| browsers.iter().map(move |one| self.same_at(at, one))).collect();
        assert!(everywhere.iter().all(|browser| browser.whose().is_some()));
        self.remove(&login(&self.rose));
        let removed = wait::reading();
        assert!(everywhere[..2].iter().all(|browser| browser.whose().is_none()), "here at once");
        let over =
            wait::within(SESSION_OVER, || everywhere.iter().all(|one| one.whose().is_none()).then_some(()));
        over.expect("the sessions are over everywhere");
        figures::note(&format!("a removed person's sessions end elsewhere after {:?}", wait::since(removed)));
        assert_eq!(ann.whose().as_deref(), Some(self.ann.email.as_str()));
    }

    /// Who exists, who is born new, and once the store is believed, who has not moved yet.
    fn lets_everybody_else_in(&self) {
        for at in [0, 1] {
            self.moved(at, &self.ann);
            self.born_new(at, BO);
            self.born_new(at, NELL);
        }
        for at in [0, 1] {
            wait::until("the store is believed", || {
                let store = self.call(at, "GET", "store", &Value::Null).json();
                if store["in_doubt"] == true {
                    self.call(at, "POST", "store/confirm", &json!({}));
                }
                (store["in_doubt"] == false).then_some(())
            });
        }
        self.moved(1, &self.ben);
        for person in [&self.ann, &self.ben, &self.rose] {
            let users = self.scene.users_with(&person.email);
            assert_eq!(users.len(), 1, "{users:?}");
            assert_eq!(users[0]["external_id"], person.external_id().as_str());
        }
        for email in [BO, NELL] {
            assert_eq!(self.scene.users_with(email).len(), 1);
        }
    }

    /// By what every replica reads in the store, by each of their names.
    fn is_removed_everywhere(&self) {
        let names = [&self.rose, &self.thorn].map(|person| [person.email.clone(), login(person)]);
        for name in names.iter().flatten().map(String::as_str).chain([MOSS]) {
            for at in [0, 1] {
                let found = self.call(at, "POST", "people/find", &json!({ "person": { "name": name } }));
                assert_eq!(found.json()["person"]["state"], "tombstone", "{name} at replica {at}");
            }
        }
    }
}
