//! Replicas that leave in order (REL-32): one after the other behind a real balancer under load, and one by itself.

mod guests;

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use self::guests::{Guests, slow_uploads, web_sockets, whole_sign_ins};
use super::{
    NO_LIMITS,
    load::{Load, secs},
};
use crate::{
    crowds::allow_files,
    edge::figures,
    support::{
        crossfade::Crossfade,
        fleet::{Fleet, Site},
        http::block_on,
        parts::parts,
        process::{self, Process},
        scene::{Cast, Person},
        scratch::Scratch,
        wait,
        wire::{Wire, now},
    },
};

/// How long a replica that leaves still accepts: the balancer asks much more often.
const LEAVING: [(&str, &str); 1] = [("CROSSFADE_PUBLIC__LIMITS__DRAIN_WAIT", "600ms")];

/// HAProxy at the site's own address, which asks each replica whether it is ready.
fn balancer(fleet: &Fleet) -> (Process, Scratch) {
    let scratch = Scratch::new();
    let at = fleet.scene.public();
    let server = |(number, replica): (usize, &Crossfade)| {
        format!("  server r{number} {} check port {}\n", replica.public, replica.admin.port())
    };
    let servers: String = fleet.replicas.iter().enumerate().map(server).collect();
    let text = format!(
        "global
  maxconn 4000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  timeout check 5s
  option http-keep-alive
  http-reuse always
frontend public
  bind {at}
  default_backend crossfade
backend crossfade
  balance roundrobin
  option forwardfor
  option httpchk GET /readyz
  http-check expect status 200
  default-server inter 100ms fall 2 rise 1
{servers}"
    );
    let mut command = process::command(&parts().haproxy);
    command.args(["-db", "-f"]).arg(scratch.write("haproxy.cfg", &text));
    let mut process = Process::start("haproxy", command);
    wait::until("HAProxy listens", || {
        assert!(process.is_running(), "HAProxy ended:\n{}", process.said());
        TcpStream::connect(at).ok()
    });
    (process, scratch)
}

#[test]
fn a_rolling_restart_behind_haproxy_loses_no_request_and_no_session() {
    allow_files();
    let rate: u32 = if figures::long() { 500 } else { 150 };
    let people: Vec<Person> = (0..2_000).map(|number| Person::new(&format!("person-{number:04}"))).collect();
    let cast = Cast { people: people.clone(), ..Cast::default() };
    let mut fleet = Fleet::start_at(Site::Balancer, &cast, 3, &[NO_LIMITS.as_slice(), &LEAVING].concat());
    let (_haproxy, _scratch) = balancer(&fleet);
    let (living, rest) = people.split_at(4);
    let (flows, forms) = rest.split_at(400);
    let load = Load::before(&fleet);
    // Each session is made at one replica and polled at whichever the balancer chooses.
    let visitors: Vec<_> =
        living.iter().enumerate().map(|(at, person)| fleet.moved(at % 3, person)).collect();
    let sessions: Vec<String> = visitors.iter().map(|visitor| visitor.cookie("crossfade").unwrap()).collect();
    let guests = Guests { site: fleet.scene.public(), rate, living, sessions, forms };
    let over = AtomicBool::new(false);
    let begun = now();
    let (scene, restarting) = (&fleet.scene, &mut fleet.replicas);
    let (crowd, whole, uploads, sockets, exits) = thread::scope(|scope| {
        let (load, over, guests) = (&load, &over, &guests);
        let crowd = scope.spawn(move || block_on(guests.come(load, over)));
        let whole = scope.spawn(move || whole_sign_ins(scene, flows, over));
        let uploads = scope.spawn(move || slow_uploads(guests.site, over));
        let sockets = scope.spawn(move || web_sockets(guests.site, over));
        let exits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let pause = || wait::within(Duration::from_millis(300), || None::<()>);
            let exits: Vec<_> = restarting
                .iter_mut()
                .map(|replica| {
                    pause();
                    let ended = replica.terminate();
                    replica.start_again();
                    ended
                })
                .collect();
            pause();
            exits
        }));
        over.store(true, Ordering::Relaxed);
        let all = (crowd.join(), whole.join(), uploads.join(), sockets.join());
        let exits = exits.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (all.0.unwrap(), all.1.unwrap(), all.2.unwrap(), all.3.unwrap(), exits)
    });
    let took = begun.elapsed();
    figures::note(&format!(
        "rolling restart of 3 replicas behind HAProxy at {rate} requests/s for {:.1} s: {} sent, {} failed; {}; {whole} \
         whole sign-ins, {uploads} slow uploads, {} WebSockets told to close after {} echoes, {} ended without a word",
        secs(took),
        crowd.sent,
        crowd.failed.len(),
        load.counts.told(),
        sockets.told,
        sockets.echoes,
        sockets.cut,
    ));
    assert_eq!(crowd.failed, Vec::<String>::new());
    load.assert_nobody_was_wronged();
    assert!(exits.iter().all(std::process::ExitStatus::success), "{exits:?}");
    assert!(whole > 0 && uploads > 0 && sockets.told > 0);
    assert_eq!(sockets.cut, 0, "a WebSocket ended without a word");
    for (visitor, person) in visitors.iter().zip(living) {
        let here = scene.visitor();
        here.set_cookie("crossfade", &visitor.cookie("crossfade").unwrap());
        assert!(here.get("/").text().contains(&person.email), "the session of {} is lost", person.id);
    }
    let moved = [living, &flows[..whole], &forms[..crowd.signed_in]].concat();
    fleet.assert_one_user_each(&moved);
}

fn asks(wire: &mut Wire, host: SocketAddr) -> std::io::Result<bool> {
    let told = wire.ask(format!("GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
    assert_eq!(told.status, 200);
    Ok(told.closes())
}

#[test]
fn a_replica_that_leaves_says_so_first_and_a_second_signal_cuts() {
    // Long enough for a busy machine to see what is served until then.
    let drain_wait = Duration::from_secs(4);
    let environment = [("CROSSFADE_PUBLIC__LIMITS__DRAIN_WAIT", "4s")];
    let mut fleet =
        Fleet::start(&Cast { people: vec![Person::new("ann")], ..Cast::default() }, 2, &environment);
    let replica = &mut fleet.replicas[1];
    let (public, admin) = (replica.public, replica.admin_visitor());
    let slow = format!("GET /slow?ms=600000 HTTP/1.1\r\nHost: {public}\r\n\r\n");
    let mut kept = Wire::to(public);
    assert!(!asks(&mut kept, public).unwrap());
    let mut under_way = Wire::to(public);
    under_way.send(format!("GET /slow?ms=6000 HTTP/1.1\r\nHost: {public}\r\n\r\n")).unwrap();
    // It never ends by itself.
    let mut endless = Wire::to(public);
    endless.send(&slow).unwrap();

    replica.process.signal("TERM");
    let told = now();
    wait::until("it is not ready", || (admin.get("/readyz").status == 503).then_some(()));
    assert_eq!(admin.get("/livez").status, 200);
    // Readiness is gone, and who does not know of it yet is served as ever: an old connection and a new one.
    assert!(!asks(&mut kept, public).unwrap());
    assert!(!asks(&mut Wire::to(public), public).unwrap());
    assert!(told.elapsed() < drain_wait, "{:?}: this machine is too slow to see it", told.elapsed());
    // Then each connection ends after its answer, and what was begun is finished.
    let closes = wait::until("answers say that the connection closes", || {
        let closes = asks(&mut kept, public).ok()?;
        (closes || told.elapsed() > 5 * drain_wait).then_some(closes)
    });
    assert!(closes);
    // The signal came a little before this clock was read.
    assert!(told.elapsed() + Duration::from_millis(100) >= drain_wait);
    let last = under_way.told().unwrap();
    assert!(last.status == 200 && last.closes(), "{last:?}");
    assert!(TcpStream::connect(public).is_err(), "nobody listens any more");
    assert!(replica.process.is_running(), "it waits for what is under way");

    let cut = now();
    replica.process.signal("TERM");
    assert!(!replica.process.wait().success(), "what was cut is no success");
    // Without it the endless one would have had half a minute.
    assert!(cut.elapsed() < Duration::from_secs(10), "{:?}", cut.elapsed());
    assert!(endless.told().is_err());
}
