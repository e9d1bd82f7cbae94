//! Redis fails in each way it can, under sign-ins at two processes: nobody exists twice, nobody sees another's session,
//! and all is normal within ten seconds (REL-20).

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        http::{Answer, Visitor},
        ports,
        relay::{Manner, Relay},
        scene::{Cast, ORGANIZATION, PASSWORD, Person, SECRETS, Scene},
        shapes::{
            self,
            servers::{self, Cluster, Watched},
        },
        wait,
    },
};

/// How long anything may be other than normal.
const NORMAL_AGAIN: Duration = Duration::from_secs(10);

/// Many try to sign in as the same few people, from one address.
const OFTEN: [(&str, &str); 1] = [("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1000")];

/// Somebody whom only Scalekit knows.
const BO: &str = "bo@example.com";

/// Two processes before one application.
struct Site {
    scene: Scene,
    processes: [Crossfade; 2],
}

impl Site {
    fn start(section: &str, people: &[Person]) -> Self {
        Self::start_with(section, people, [&[], &[]])
    }

    /// The second list is the second process's alone.
    fn start_with(section: &str, people: &[Person], environments: [&[(&str, &str)]; 2]) -> Self {
        let bo = json!({ "id": "usr_170000000000000009", "email": BO,
            "memberships": [{ "organization_id": ORGANIZATION }] });
        let scene = Scene::set(&Cast { people: people.to_vec(), users: vec![bo], ..Cast::default() });
        let [first, second] = configurations(&scene, section);
        let start = |configuration: &str, more: &[(&str, &str)]| {
            Scene::start_as(configuration, &[&shapes::SECRETS[..], &OFTEN, more].concat())
        };
        let processes = [start(&first, environments[0]), start(&second, environments[1])];
        Self { scene, processes }
    }

    /// Through the form at a process, and back from Scalekit to it.
    fn moved(&self, at: usize, person: &Person) -> Visitor {
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
    fn born_new(&self, at: usize, email: &str) -> Visitor {
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

    /// The same browser at the other process.
    fn at_the_other(&self, visitor: &Visitor) -> Visitor {
        let same = self.processes[1].visitor();
        for name in ["crossfade", "crossfade-device"] {
            same.set_cookie(name, &visitor.cookie(name).expect("a cookie of ours"));
        }
        same
    }

    fn is_normal(&self, person: &Person) -> bool {
        self.processes.iter().all(|process| {
            let visitor = process.visitor();
            let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
            self.scene.is_handed_over(&answer)
        })
    }

    fn assert_one_user(&self, person: &Person) {
        let users = self.scene.users_with(&person.email);
        assert!(users.len() <= 1, "{users:?}");
        assert!(users.iter().all(|user| user["external_id"] == person.external_id().as_str()), "{users:?}");
    }
}

/// The scene's configuration for two processes with this store.
pub(crate) fn configurations(scene: &Scene, section: &str) -> [String; 2] {
    let embedded = scene.configuration().lines().find(|line| line.starts_with("  embedded:")).unwrap();
    let first = scene.configuration().replace(embedded, &format!("  {section}"));
    let (public, other) = (scene.public(), SocketAddr::from(([127, 0, 0, 1], ports::free())));
    let second = first
        .replace(&format!("listen: {public}"), &format!("listen: {other}"))
        .replace(&format!("allowed_hosts: [{public}]"), &format!("allowed_hosts: ['{public}', '{other}']"));
    [first, second]
}

fn people(count: usize) -> Vec<Person> {
    (0..count).map(|n| Person::new(&format!("p{n}"))).collect()
}

/// What becomes of everything that Redis held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    Kept,
    /// Rows and sessions may be gone; who was moved is found again at Scalekit.
    Lost,
}

/// Lets people sign in at both processes while `strike` happens, and holds the site to what must be.
fn ride_out(site: &Site, people: &[Person], afterwards: Afterwards, what: &str, strike: impl FnOnce()) {
    let (ann, crowd) = people.split_first().unwrap();
    let here = site.moved(0, ann);
    let there = site.at_the_other(&here);
    assert_eq!(there.whose().as_deref(), Some(ann.email.as_str()));
    let bo = site.born_new(1, BO);

    let (over, tries) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let again = thread::scope(|scope| {
        for process in &site.processes {
            let (over, tries) = (&over, &tries);
            scope.spawn(move || {
                for person in crowd.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                    let answer = site.scene.sign_in(&process.visitor(), &person.email, PASSWORD);
                    let kind = if site.scene.is_handed_over(&answer) {
                        0
                    } else if Scene::is_in_the_application(&answer) {
                        1
                    } else {
                        let is_busy = matches!(answer.status, 429 | 503);
                        assert!(is_busy && answer.header("retry-after").is_some(), "{}", answer.text());
                        2
                    };
                    tries[kind].fetch_add(1, Ordering::Relaxed);
                    let _ = wait::within(Duration::from_millis(50), || None::<()>);
                }
            });
        }
        strike();
        let mut turns = 0;
        let again = wait::within(NORMAL_AGAIN, || {
            turns += 1;
            // Whoever is signed in is who they are, or nobody.
            for (visitor, email) in [(&here, ann.email.as_str()), (&there, ann.email.as_str()), (&bo, BO)] {
                assert!(visitor.whose().is_none_or(|named| named == email));
            }
            site.is_normal(ann).then_some(turns)
        });
        over.store(true, Ordering::Relaxed);
        again
    });
    let [handed_over, let_in, busy] = tries.map(AtomicUsize::into_inner);
    figures::note(&format!(
        "Redis {what}: {handed_over} sign-ins handed over, {let_in} let in by the application, {busy} asked to wait"
    ));
    assert!(again.is_some(), "Redis {what}: not normal within {NORMAL_AGAIN:?}");
    // Where the store lost everything, nobody new is created until an operator confirms it.
    assert!(handed_over > 0 || (afterwards == Afterwards::Lost && let_in > 0));

    for (visitor, email) in [(&here, ann.email.as_str()), (&there, ann.email.as_str()), (&bo, BO)] {
        let named = wait::within(NORMAL_AGAIN, || {
            visitor.whose().or((afterwards == Afterwards::Lost).then(String::new))
        });
        let named = named.expect("a session that Redis kept is of use");
        assert!(named.is_empty() || named == email, "{named}");
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
    for process in &site.processes {
        process.assert_never_said(&[servers::PASSWORD, servers::SENTINEL_PASSWORD]);
    }
}

#[test]
fn a_primary_that_is_killed_is_followed_by_its_replica() {
    let mut redis = Watched::start(shapes::program());
    let crowd = people(6);
    let site = Site::start(&shapes::watched(&redis), &crowd);
    ride_out(&site, &crowd, Afterwards::Lost, "killed and its replica promoted", || redis.servers[0].kill());
    assert_eq!(redis.servers[1].info("replication", "role").as_deref(), Some("master"));
}

#[test]
fn a_node_of_a_cluster_that_is_killed_is_followed_by_its_replica() {
    let mut redis = Cluster::start(shapes::program(), true);
    let crowd = people(6);
    let site = Site::start(&shapes::cluster(&redis), &crowd);
    let ledger = redis.primary_of(&format!("{}{{ledger}}", servers::PREFIX));
    ride_out(&site, &crowd, Afterwards::Lost, "cluster: the ledger's node killed", || {
        redis.nodes[ledger].kill();
    });
}

#[test]
fn a_primary_that_stops_and_goes_on_is_as_before() {
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let site = Site::start(&shapes::single(&redis), &crowd);
    let stopped_for = Duration::from_secs(if figures::long() { 20 } else { 3 });
    ride_out(&site, &crowd, Afterwards::Kept, &format!("stopped for {stopped_for:?}"), || {
        redis.signal("STOP");
        let _ = wait::within(stopped_for, || None::<()>);
        redis.signal("CONT");
    });
}

#[test]
fn a_line_that_is_cut_or_silent_or_slow_changes_nobody() {
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let relay = Relay::before(SocketAddr::from(([127, 0, 0, 1], redis.port)));
    let site = Site::start(&shapes::at(relay.address), &crowd);
    ride_out(&site, &crowd, Afterwards::Kept, "cut off, unheard and slow", || {
        for line in [
            Manner::Silent,
            Manner::Passes,
            Manner::Refuses,
            Manner::Passes,
            Manner::Slow(Duration::from_millis(400)),
        ] {
            relay.behave(line);
            let _ = wait::within(Duration::from_secs(1), || None::<()>);
        }
        relay.behave(Manner::Passes);
    });
}

#[test]
fn a_store_that_is_emptied_or_put_back_to_an_old_day_makes_nobody_twice() {
    let mut redis = servers::single(shapes::program());
    let crowd = people(6);
    let site = Site::start(&shapes::single(&redis), &crowd);
    ride_out(&site, &crowd, Afterwards::Lost, "emptied", || {
        let _: String = redis.ask(&["flushall"]);
    });
    // An old copy: taken now, put back after everybody has moved again.
    let old = redis.folder.join("old");
    let kept = redis.folder.join("appendonlydir");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir(to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    };
    copy(&kept, &old);
    ride_out(&site, &crowd, Afterwards::Lost, "put back to an old copy", || {
        redis.kill();
        copy(&old, &kept);
        redis.start_again();
    });
}

/// REL-12, both ways: a session goes by the store's time, and so does the claim of somebody who is being moved.
#[test]
fn a_process_whose_clock_is_wrong_harms_nobody() {
    let crowd = people(3);
    for wrong in ["clock:300", "clock:-300"] {
        let redis = servers::single(shapes::program());
        let idle = ("CROSSFADE_SESSION__IDLE", "20s");
        let site = Site::start_with(
            &shapes::single(&redis),
            &crowd,
            [&[idle], &[idle, ("CROSSFADE_FAILPOINT", wrong)]],
        );
        let here = site.moved(0, &crowd[0]);
        let there = site.at_the_other(&here);
        for _ in 0..3 {
            // Read through a cache, then again from the store.
            assert_eq!(there.whose().as_deref(), Some(crowd[0].email.as_str()), "{wrong}: not over");
            let _ = wait::within(Duration::from_millis(1100), || None::<()>);
            assert_eq!(here.whose().as_deref(), Some(crowd[0].email.as_str()), "{wrong}: nobody ended it");
        }
        assert_eq!(there.get("/.crossfade/logout").status, 303);
    }
}

#[test]
fn a_process_whose_clock_is_fast_waits_for_a_claim_as_long_as_others() {
    let [ann] = [Person::new("ann")];
    let redis = servers::single(shapes::program());
    let site = Site::start_with(
        &shapes::single(&redis),
        std::slice::from_ref(&ann),
        [&[("CROSSFADE_FAILPOINT", "after:claim")], &[("CROSSFADE_FAILPOINT", "clock:300")]],
    );
    let first = site.processes[0].visitor();
    let form = site.scene.filled_in(&first, &ann.email, PASSWORD).timeout(Duration::from_secs(3));
    assert!(crate::support::http::fails(form), "it stands at its fail point");
    // The lease is six seconds by everybody's clock.
    let second = site.processes[1].visitor();
    let answer = site.scene.sign_in(&second, &ann.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{}: {}", answer.status, answer.text());
    assert!(site.scene.users_with(&ann.email).is_empty(), "the claim is another's");
    wait::until("the lease is over", || {
        let answer = site.scene.sign_in(&site.processes[1].visitor(), &ann.email, PASSWORD);
        site.scene.is_handed_over(&answer).then_some(())
    });
    site.assert_one_user(&ann);
}

#[test]
fn a_process_that_starts_without_its_redis_waits_and_is_not_ready() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let mut redis = servers::single(shapes::program());
    redis.kill();
    let [configuration, _] = configurations(&scene, &shapes::single(&redis));
    let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let (mut waiting, _folder) = Crossfade::waiting(
        &configuration,
        &[&SECRETS[..], &shapes::SECRETS, &[("CROSSFADE_ADMIN__LISTEN", &admin.to_string())]].concat(),
    );
    let health = Visitor::of(admin);
    wait::until("health is answered", || std::net::TcpStream::connect(admin).ok());
    wait::until("why it waits is said", || {
        waiting.said().contains("the store cannot be reached").then_some(())
    });
    assert_eq!(health.get("/livez").status, 200);
    let readiness = health.get("/readyz");
    assert!(readiness.status == 503 && readiness.text().contains("store"), "{}", readiness.text());
    assert!(std::net::TcpStream::connect(scene.public()).is_err(), "nobody is let in on no knowledge");
    assert!(waiting.is_running());
    redis.start_again();
    wait::until("it is ready", || (health.get("/readyz").status == 200).then_some(()));
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    // One that waits can be stopped.
    waiting.signal("TERM");
    assert!(waiting.wait().success());
    redis.kill();
    let (mut waiting, _folder) =
        Crossfade::waiting(&configuration, &[&SECRETS[..], &shapes::SECRETS].concat());
    wait::until("it waits", || waiting.said().contains("the store cannot be reached").then_some(()));
    waiting.signal("TERM");
    assert!(waiting.wait().success());
}

/// Whoever is first, the other one is held to its word, before anybody has moved.
#[test]
fn of_two_first_starts_with_different_salts_one_is_refused() {
    let scene = Scene::set(&Cast { people: people(1), ..Cast::default() });
    let redis = servers::single(shapes::program());
    let configurations = configurations(&scene, &shapes::single(&redis));
    let salts = ["salt-one-salt-one-salt-one-salt-one", "salt-two-salt-two-salt-two-salt-two"];
    let mut started: Vec<_> = configurations
        .iter()
        .zip(salts)
        .map(|(configuration, salt)| {
            let all = [&SECRETS[..], &shapes::SECRETS].concat();
            let mut environment: Vec<_> =
                all.into_iter().filter(|(name, _)| *name != "ROLLOUT_SALT").collect();
            environment.push(("ROLLOUT_SALT", salt));
            Crossfade::waiting(configuration, &environment)
        })
        .collect();
    let refused =
        wait::until("one is refused", || started.iter_mut().position(|(process, _)| !process.is_running()));
    let said = started[refused].0.said();
    assert!(said.contains("rollout.salt"), "{said}");
    let (other, _) = &mut started[1 - refused];
    assert!(other.line(0).contains("public"), "the other one serves");
    assert!(other.is_running());
}
