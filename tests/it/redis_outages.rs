//! Redis fails in each way it can, under sign-ins and sessions at two processes: nobody exists twice, nobody sees
//! another's session, the dial stays where it was, and all is normal within ten seconds (REL-20).

mod site;
mod stage;

use std::{net::SocketAddr, time::Duration};

pub(crate) use self::site::configurations;
use self::{
    site::{CY, PERCENT, Site},
    stage::{Afterwards, people, ride_out},
};
use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        draft::in_place_of_the_file,
        http::Visitor,
        ports,
        relay::{Manner, Relay},
        scene::{Cast, PASSWORD, Person, SECRETS, Scene},
        scratch::{Scratch, copy_folder},
        shapes::{
            self,
            servers::{self, Cluster, WATCHERS, Watched},
        },
        wait,
    },
};

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn pass(time: Duration) {
    let _ = wait::within(time, || None::<()>);
}

/// How long an outage is.
fn outage() -> Duration {
    Duration::from_secs(if figures::long() { 20 } else { 3 })
}

#[test]
fn a_primary_that_is_killed_is_followed_by_its_replica() {
    let mut redis = Watched::start(shapes::program());
    let crowd = people(6);
    let site = Site::start(&shapes::watched(&redis), &crowd);
    ride_out(&site, &crowd, Afterwards::Lost, "killed and its replica promoted", |_| redis.servers[0].kill());
    assert_eq!(redis.servers[1].info("replication", "role").as_deref(), Some("master"));
}

#[test]
fn a_node_of_a_cluster_that_is_killed_is_followed_by_its_replica() {
    let mut redis = Cluster::start(shapes::program(), true);
    let crowd = people(6);
    let site = Site::start(&shapes::cluster(&redis), &crowd);
    let ledger = redis.primary_of(&format!("{}{{ledger}}", servers::PREFIX));
    ride_out(&site, &crowd, Afterwards::Lost, "cluster: the ledger's node killed", |_| {
        redis.nodes[ledger].kill();
    });
}

#[test]
fn a_primary_that_stops_and_goes_on_is_as_before() {
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let site = Site::start(&shapes::single(&redis), &crowd);
    ride_out(&site, &crowd, Afterwards::Kept, &format!("stopped for {:?}", outage()), |watch| {
        redis.signal("STOP");
        pass(outage());
        assert!(watch.busy(0) > 0 && watch.busy(1) > 0, "no session noticed it");
        redis.signal("CONT");
    });
}

#[test]
fn a_line_that_is_cut_or_silent_or_slow_changes_nobody() {
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let relay = Relay::before(local(redis.port));
    let site = Site::start(&shapes::at(relay.address), &crowd);
    ride_out(&site, &crowd, Afterwards::Kept, "cut off, unheard and slow", |watch| {
        for line in [
            Manner::Silent,
            Manner::Passes,
            Manner::Refuses,
            Manner::Passes,
            Manner::Slow(Duration::from_millis(400)),
        ] {
            relay.behave(line);
            pass(Duration::from_secs(1));
        }
        assert!(watch.busy(0) > 0 && watch.busy(1) > 0, "no session noticed it");
        relay.behave(Manner::Passes);
    });
}

/// The password changes at Redis first and then here, and the other way round, while people sign in: nobody notices,
/// connections of the old password go on, and the next one is made with whichever counts (REL-11).
#[test]
fn the_password_rotates_and_no_sign_in_fails() {
    const NEW: [&str; 3] =
        ["canary-redis-second-4Hd8Lw", "canary-redis-third-9Zb2Kp", "canary-redis-fourth-1Xc6"];
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let folder = Scratch::new();
    let file = folder.write("password", servers::PASSWORD);
    let section = shapes::single(&redis);
    assert!(section.contains("{env: REDIS_PASSWORD}"));
    let section = section.replace("{env: REDIS_PASSWORD}", &format!("{{file: '{}'}}", file.display()));
    let site = Site::start(&section, &crowd);
    let there = |password: &str| {
        let _: String = redis.ask(&["acl", "setuser", servers::USER, "resetpass", &format!(">{password}")]);
        pass(Duration::from_millis(500));
    };
    let here = |password: &str| {
        let reloads = site.processes.each_ref().map(reloads);
        // Renamed over the old one, so that nobody reads half of it.
        std::fs::rename(folder.write("next", password), &file).unwrap();
        for (process, before) in site.processes.iter().zip(reloads) {
            wait::until("the new password is read", || (self::reloads(process) > before).then_some(()));
        }
        pass(Duration::from_millis(500));
    };
    // Both have to connect anew.
    let cut = || {
        let cut: usize = redis.ask(&["client", "kill", "user", servers::USER]);
        assert!(cut >= 2, "{cut} connections");
    };
    ride_out(&site, &crowd, Afterwards::Kept, "with new passwords, and cut off in the end", |watch| {
        there(NEW[0]);
        here(NEW[0]);
        here(NEW[1]);
        there(NEW[1]);
        let failed = [0, 1].map(|at| (watch.turned_away(at), watch.busy(at)));
        assert_eq!(failed, [(0, 0); 2], "sign-ins and sessions that were asked to wait");
        cut();
    });
    let is_normal = |what: &str| {
        cut();
        wait::until(what, || site.is_normal(&crowd[0]).then_some(()));
    };
    here(NEW[2]);
    is_normal("the password before is tried where the new one is not known");
    there(NEW[2]);
    is_normal("the new one counts, and the one before no more");
    for process in &site.processes {
        process.assert_never_said(&NEW);
        assert!(!process.process.stderr().contains("needs a restart"));
    }
}

/// How often a process took a changed configuration.
fn reloads(process: &Crossfade) -> u64 {
    let metrics = process.admin_visitor().get("/metrics").text();
    let line = |line: &str| line.strip_prefix("crossfade_config_reloads_total{result=\"ok\"} ")?.parse().ok();
    metrics.lines().find_map(line).unwrap_or(0)
}

/// One process hears nothing of Redis while the other one goes on with it.
#[test]
fn a_process_that_is_cut_off_and_back_changes_nobody() {
    let redis = servers::single(shapes::program());
    let crowd = people(6);
    let relay = Relay::before(local(redis.port));
    let site = Site::start_each([&shapes::at(relay.address), &shapes::single(&redis)], &crowd, [&[], &[]]);
    ride_out(&site, &crowd, Afterwards::Kept, "silent for one process", |watch| {
        let moved = watch.handed_over(1);
        relay.behave(Manner::Silent);
        pass(outage());
        assert!(watch.busy(0) > 0, "the one that is cut off does not go by what it knew");
        assert_eq!(watch.busy(1), 0, "the other one is as ever");
        assert!(watch.handed_over(1) > moved);
        relay.behave(Manner::Passes);
    });
}

/// The Sentinels and the replicas are cut off from a primary that the program still reaches. They promote another one,
/// and what is written to the old one from then on is lost.
#[test]
fn an_old_primary_that_is_still_reached_is_left_for_the_new_one() {
    let mut relay = None;
    // As README wants it, with a replica left for whoever is promoted.
    let lines = ["min-replicas-to-write 1".to_owned()];
    let redis = Watched::behind(shapes::program(), 2, &lines, |port| {
        relay.insert(Relay::before(local(port))).address.port()
    });
    let relay = relay.unwrap();
    let crowd = people(6);
    let site = Site::start(&shapes::watched(&redis), &crowd);
    let role = |at: usize| redis.servers[at].info("replication", "role");
    let lines_to = |at: usize| {
        let clients: String = redis.servers[at].ask(&["client", "list"]);
        clients.lines().filter(|client| client.contains(&format!(" user={} ", servers::USER))).count()
    };
    assert_eq!(lines_to(0), 2);
    ride_out(&site, &crowd, Afterwards::Lost, "an old primary that is still reached", |_| {
        relay.behave_to(WATCHERS, Manner::Silent);
        let primary = wait::until("another one is promoted", || {
            (1..redis.servers.len()).find(|at| role(*at).as_deref() == Some("master"))
        });
        let promoted = wait::reading();
        // It looks each two seconds; by itself the old one would refuse writes after ten.
        let all_left =
            wait::within(Duration::from_secs(5), || (lines_to(primary) == 2).then(|| wait::since(promoted)));
        let all_left = all_left.expect("both processes are at the new primary");
        assert_eq!(role(0).as_deref(), Some("master"), "the old one does not know");
        figures::note(&format!(
            "an old primary that is still reached is left after {:.1} s",
            all_left.as_secs_f64()
        ));
        relay.behave(Manner::Passes);
    });
    wait::until("the old primary follows", || (role(0).as_deref() == Some("slave")).then_some(()));
}

#[test]
fn a_store_that_is_emptied_or_put_back_to_an_old_day_makes_nobody_twice() {
    let mut redis = servers::single(shapes::program());
    let everybody = people(9);
    let (crowd, newcomers) = everybody.split_at(6);
    let site = Site::start(&shapes::single(&redis), &everybody);
    ride_out(&site, crowd, Afterwards::Lost, "emptied", |_| {
        let _: String = redis.ask(&["flushall"]);
    });
    site.confirm();
    for person in crowd {
        site.moved(0, person);
    }
    // An old copy: people move, somebody is born new and the dial is turned after it.
    let (kept, old) = (redis.folder.join("appendonlydir"), redis.folder.join("old"));
    copy_folder(&kept, &old);
    for person in newcomers {
        site.moved(1, person);
    }
    site.born_new(1, CY);
    let percent = "99.98%";
    site.turn(percent);
    assert_ne!(percent, PERCENT);
    ride_out(&site, newcomers, Afterwards::Lost, "put back to an old copy", |_| {
        redis.kill();
        copy_folder(&old, &kept);
        redis.start_again();
    });
    for at in [0, 1] {
        site.born_new(at, CY);
    }
    assert_eq!(site.scene.users_with(CY).len(), 1);
    assert_eq!(site.percentages(), [percent, percent]);
    for person in crowd {
        site.assert_one_user(person);
    }
}

/// REL-12, both ways: a session goes by the store's time, and so does the claim of somebody who is being moved.
#[test]
fn a_process_whose_clock_is_wrong_harms_nobody() {
    let crowd = people(3);
    for wrong in ["clock:300", "clock:-300"] {
        let redis = servers::single(shapes::program());
        let idle = ("CROSSFADE_SESSION__IDLE", "20s");
        let section = shapes::single(&redis);
        let environments: [&[_]; 2] = [&[idle], &[idle, ("CROSSFADE_FAILPOINT", wrong)]];
        let site = Site::start_each([&section, &section], &crowd, environments);
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
    let section = shapes::single(&redis);
    let site = Site::start_each(
        [&section, &section],
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
    let configuration = in_place_of_the_file(&shapes::single(&redis), scene.configuration());
    let admin = local(ports::free());
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
