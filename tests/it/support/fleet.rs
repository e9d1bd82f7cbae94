//! The scene with several replicas of the built program on one Redis.

use std::{net::SocketAddr, thread};

use serde_json::Value;

use super::{
    crossfade::Crossfade,
    draft::in_place_of_the_file,
    http::Visitor,
    ports,
    redis::{self, Redis},
    scene::{Cast, PASSWORD, Person, Scene},
};

/// Redis writes to the disk before it answers, and the disk of a machine that runs tests may stall; so may the stand-in
/// of the application when a crowd connects. What it means when they are away is tested elsewhere.
const BASE: [(&str, &str); 4] = [
    ("REDIS_PASSWORD", redis::PASSWORD),
    ("CROSSFADE_STORE__REDIS__TIMEOUT", "5s"),
    ("CROSSFADE_STORE__REDIS__CONNECT_TIMEOUT", "10s"),
    ("CROSSFADE_UPSTREAM__CONNECT_TIMEOUT", "20s"),
];

/// All replicas are one site. Either the first one listens where the site is, or a balancer does; browsers of a test
/// reach any of them by its own address, too.
pub(crate) struct Fleet {
    pub(crate) replicas: Vec<Crossfade>,
    pub(crate) scene: Scene,
    pub(crate) redis: Redis,
    /// The configuration of a replica, but for its own addresses.
    configuration: String,
    environment: Vec<(String, String)>,
    hosts: Vec<SocketAddr>,
}

/// Where the site's own address leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    FirstReplica,
    /// To a balancer of the test's own, which is trusted.
    Balancer,
}

impl Fleet {
    pub(crate) fn start(cast: &Cast, count: usize, environment: &[(&str, &str)]) -> Self {
        Self::start_at(Site::FirstReplica, cast, count, environment)
    }

    pub(crate) fn start_at(site: Site, cast: &Cast, count: usize, environment: &[(&str, &str)]) -> Self {
        let scene = Scene::set(cast);
        let redis = Redis::start();
        let mut configuration = in_place_of_the_file(&redis.section(), scene.configuration());
        if site == Site::Balancer {
            let public = "  development: true\n";
            configuration =
                configuration.replace(public, &format!("{public}  trusted_proxies: [127.0.0.0/8]\n"));
        }
        let mut hosts: Vec<SocketAddr> =
            (0..count).map(|_| SocketAddr::from(([127, 0, 0, 1], ports::free()))).collect();
        if site == Site::FirstReplica {
            hosts[0] = scene.public();
        }
        let all = [BASE.as_slice(), environment].concat();
        let environment = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut fleet = Self { replicas: Vec::new(), scene, redis, configuration, environment, hosts };
        // At the same time, as a new deployment would: what they make together must be one.
        fleet.replicas = thread::scope(|scope| {
            let fleet = &fleet;
            let started: Vec<_> =
                fleet.hosts.iter().map(|host| scope.spawn(move || fleet.process(*host, &[]))).collect();
            started.into_iter().map(|replica| replica.join().unwrap()).collect()
        });
        fleet
    }

    /// One more process of the same configuration, at an address of its own.
    pub(crate) fn another(&self, more: &[(&str, &str)]) -> Crossfade {
        self.process(SocketAddr::from(([127, 0, 0, 1], ports::free())), more)
    }

    fn process(&self, own: SocketAddr, more: &[(&str, &str)]) -> Crossfade {
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let public = self.scene.public();
        let mut names: Vec<String> =
            self.hosts.iter().chain([&own, &public]).map(|host| format!("'{host}'")).collect();
        names.sort_unstable();
        names.dedup();
        let configuration = self
            .configuration
            .replace(&format!("listen: {public}"), &format!("listen: {own}"))
            .replace(&format!("allowed_hosts: [{public}]"), &format!("allowed_hosts: [{}]", names.join(", ")))
            // A balancer asks after it there, and it stays when the replica is started again.
            .replace("listen: 127.0.0.1:0", &format!("listen: {admin}"));
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(more.iter().copied())
            .collect();
        Scene::start_as(&configuration, &environment)
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.public).collect()
    }

    /// Through the form at one replica and back from Scalekit to it, into a session.
    pub(crate) fn moved(&self, at: usize, person: &Person) -> Visitor {
        let visitor = self.replicas[at].visitor();
        let handed_over = self.scene.sign_in(&visitor, &person.email, PASSWORD);
        assert!(self.scene.is_handed_over(&handed_over), "{}: {}", handed_over.status, handed_over.text());
        let callback = self.scene.callback_of(&handed_over, &person.email);
        let origin = format!("http://{}", self.scene.public());
        let back = visitor.get(callback.strip_prefix(&origin).expect("Scalekit sends back to the site"));
        assert_eq!(back.status, 303, "{}", back.text());
        visitor
    }

    /// The same browser at another replica.
    pub(crate) fn same_at(&self, other: usize, visitor: &Visitor) -> Visitor {
        let same = self.replicas[other].visitor();
        for name in ["crossfade", "crossfade-device"] {
            if let Some(value) = visitor.cookie(name) {
                same.set_cookie(name, &value);
            }
        }
        same
    }

    /// Every person is one user at Scalekit and one row that is done, and there is nobody else: `people` in all.
    pub(crate) fn assert_one_user_each(&self, people: &[Person]) {
        let users = self.scene.scalekit.users();
        let users = users["users"].as_array().unwrap();
        let mut ids: Vec<&str> = users.iter().filter_map(|user| user["external_id"].as_str()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((users.len(), all, ids.len()), (people.len(), people.len(), people.len()), "users");
        let rows = self.redis.ledger();
        let done = rows.iter().filter(|row| row["state"] == "done").count();
        assert_eq!((rows.len(), done), (people.len(), people.len()), "rows and those that are done");
        let user_of = |row: &Value| users.iter().find(|user| user["id"] == row["user"]).cloned();
        for row in &rows {
            let user = user_of(row).unwrap_or_else(|| panic!("a row of a user who is not there: {row}"));
            assert_eq!(user["external_id"], row["external_id"], "{row}");
        }
    }
}
