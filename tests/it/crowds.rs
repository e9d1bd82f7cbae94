//! Many clients at once, good and bad: slow heads, slow readers, slow bodies, idle connections (REL-30, REL-31).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    edge::figures,
    support::{
        backend::Backend,
        crossfade::Crossfade,
        neighbour::{Neighbour, nginx_at},
        plain::{self, HOST},
        ports, wait,
        wire::{Wire, connect_from, now, percentiles},
    },
};

/// Fewer than the limit of connections per address.
const PER_ADDRESS: usize = 200;

fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / PER_ADDRESS).unwrap())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// The process's memory, in KiB.
fn memory(crossfade: &Crossfade) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", crossfade.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}

fn open_connections(crossfade: &Crossfade) -> usize {
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("crossfade_open_connections "));
    value.and_then(|value| value.parse().ok()).unwrap()
}

/// Lets this process hold as many connections as a test wants.
pub(crate) fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    assert!(maximum.is_none_or(|most| most >= 4096), "ulimit -Hn is {maximum:?}: this test needs 4096");
}

#[test]
fn idle_connections_cost_little() {
    allow_files();
    let count = if figures::long() { 10_000 } else { 1_000 };
    let backend = Backend::start();
    // The long form comes up to the default limit, and is one client more.
    let crossfade = plain::proxy(backend.address, "connections: 10100, idle_timeout: 10m", "");
    percentiles(crossfade.public, &get("/warm"), 4, 50);
    let before = memory(&crossfade);
    let mut kept = Vec::with_capacity(count);
    for number in 0..count {
        let mut wire = Wire::over(connect_from(source(number), crossfade.public, None).unwrap());
        assert_eq!(wire.ask(get("/idle")).unwrap().status, 200);
        kept.push(wire);
    }
    assert!(open_connections(&crossfade) >= count);
    // Buffers are given back a second after the last request.
    let mut lowest = u32::MAX;
    wait::within(Duration::from_secs(4), || {
        lowest = lowest.min(memory(&crossfade));
        None::<()>
    });
    let each = f64::from(lowest.saturating_sub(before)) / f64::from(u32::try_from(count).unwrap());
    figures::note(&format!(
        "idle connections: {count}, {each:.1} KiB each, {:.1} MiB in all (RSS; {:.1} MiB before)",
        mib(lowest),
        mib(before)
    ));
    // What a thousand share by chance weighs on each; the requirement is for ten thousand.
    assert!(each <= if figures::long() { 16.0 } else { 24.0 }, "{each} KiB per idle connection");
    assert!(lowest <= 256 * 1024, "{lowest} KiB");
    for wire in kept.iter_mut().step_by(count / 100) {
        assert_eq!(wire.ask(get("/again")).unwrap().status, 200, "it still works");
    }
    drop(kept);
    wait::until("the connections are gone", || (open_connections(&crossfade) == 0).then_some(()));
}

/// Whether slow clients act each at a moment of its own, or all at the same.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Each,
    InStep,
}

/// So many slow clients of each kind at a time.
#[derive(Clone, Copy)]
struct Attack {
    heads: usize,
    readers: usize,
    pace: Pace,
}

/// How an attack goes.
#[derive(Default)]
struct Progress {
    over: AtomicBool,
    /// Slow heads that have begun.
    begun: AtomicUsize,
    /// Slow heads that were ended by the other side.
    cut: AtomicUsize,
}

impl Pace {
    /// Does `act` to everybody once a second, until the attack is over.
    fn keep<T>(self, progress: &Progress, all: &mut [T], mut act: impl FnMut(usize, &mut T)) {
        let moments = match self {
            Self::Each => 100,
            Self::InStep => 1,
        };
        while !progress.over.load(Ordering::Relaxed) {
            let begun = now();
            for moment in 0..moments {
                for (number, one) in all.iter_mut().enumerate().skip(moment).step_by(moments) {
                    act(number, one);
                }
                let next = Duration::from_secs(1) * u32::try_from(moment + 1).unwrap()
                    / u32::try_from(moments).unwrap();
                thread::park_timeout(next.saturating_sub(begun.elapsed()));
            }
        }
    }
}

impl Attack {
    /// Who sends a byte of a head each second, for ever: a connection that was ended is begun again.
    fn slow_heads(self, to: SocketAddr, progress: &Progress) {
        let head = get("/slow").into_bytes();
        let open = |number: usize| {
            let stream = connect_from(source(number), to, None).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some((stream, 0))
        };
        let mut all: Vec<Option<(TcpStream, usize)>> = (0..self.heads).map(open).collect();
        progress.begun.store(all.iter().flatten().count(), Ordering::Relaxed);
        self.pace.keep(progress, &mut all, |number, one| {
            let sent = one.as_mut().is_some_and(|(stream, at)| {
                let ended = matches!(stream.read(&mut [0; 512]), Ok(0));
                *at += 1;
                !ended && *at < head.len() - 3 && stream.write_all(&head[*at - 1..*at]).is_ok()
            });
            if !sent {
                progress.cut.fetch_add(1, Ordering::Relaxed);
                *one = open(number);
            }
        });
    }

    /// Who asks for much and reads some bytes a second, fewer than the least rate.
    fn slow_readers(self, to: SocketAddr, progress: &Progress) {
        let open = |number: usize| {
            let mut stream = connect_from(source(self.heads + number), to, Some(4096)).ok()?;
            stream.write_all(get("/big/8").as_bytes()).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        };
        let mut all: Vec<Option<TcpStream>> = (0..self.readers).map(open).collect();
        self.pace.keep(progress, &mut all, |_, stream| {
            if let Some(stream) = stream {
                // Nothing there yet, the end, a reset: it goes on as if nothing were.
                let _ = stream.read(&mut [0; 60]);
            }
        });
    }

    /// The 99th percentile of good requests before and during the attack, and what `during` then sees; lasts until the
    /// other side has got rid of the attackers.
    fn measured<T>(
        self,
        to: SocketAddr,
        backend: &Backend,
        each: usize,
        during: impl FnOnce() -> T,
    ) -> (Duration, Duration, T) {
        let [_, normal] = percentiles(to, &get("/normal"), 4, each);
        let progress = Progress::default();
        let (attacked, seen) = thread::scope(|scope| {
            // Also when something fails: the scope waits for its threads.
            let _stops = Stops(&progress.over);
            scope.spawn(|| self.slow_heads(to, &progress));
            scope.spawn(|| self.slow_readers(to, &progress));
            wait::until("the attack is under way", || {
                let begun = progress.begun.load(Ordering::Relaxed);
                (begun >= self.heads * 9 / 10 && backend.sending() >= self.readers / 2).then_some(())
            });
            let [_, attacked] = percentiles(to, &get("/good"), 4, each);
            let seen = during();
            wait::until("slow heads are cut", || {
                (progress.cut.load(Ordering::Relaxed) >= self.heads / 2).then_some(())
            });
            // They themselves learn of it late: what the kernel still holds for them comes first.
            wait::until("slow readers are given up, and their upstream connections with them", || {
                (backend.sending() == 0).then_some(())
            });
            (attacked, seen)
        });
        (normal, attacked, seen)
    }
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A body of a few bytes a second: REL-30's least rate is 200 bytes a second after ten seconds.
fn slow_body(to: SocketAddr) -> (u16, Duration) {
    let mut wire = Wire::to(to);
    let begun = now();
    wire.send(format!("POST /body HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n")).unwrap();
    wire.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    for _ in 0..200 {
        // The answer ends it; until then the connection takes what comes.
        let _ = wire.send("xxxx");
        match wire.told() {
            Ok(told) => return (told.status, begun.elapsed()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("ended without an answer: {error}"),
        }
    }
    panic!("a trickling body was never refused");
}

fn told(who: &str, attack: Attack, normal: Duration, attacked: Duration) -> f64 {
    let ratio = attacked.as_secs_f64() / normal.as_secs_f64();
    let Attack { heads, readers, pace } = attack;
    figures::note(&format!(
        "{who}, {heads} slow heads and {readers} slow readers ({pace:?}): p99 of good requests {normal:?}, under attack \
         {attacked:?}, ratio {ratio:.2}"
    ));
    ratio
}

#[test]
fn slow_clients_do_not_slow_down_good_ones() {
    allow_files();
    let (heads, readers, each) = if figures::long() { (5_000, 1_000, 3_000) } else { (500, 500, 700) };
    let attack = Attack { heads, readers, pace: Pace::Each };
    let backend = Backend::start();
    // A reader who makes no room for this long is given up, and one below the least rate as well.
    let crossfade = plain::proxy(backend.address, "idle_timeout: 6s", "");
    let to = crossfade.public;
    percentiles(to, &get("/warm"), 4, 100);
    let before = memory(&crossfade);
    let body = thread::spawn(move || slow_body(to));
    let (normal, attacked, during) = attack.measured(to, &backend, each, || memory(&crossfade));
    let body = body.join().unwrap();
    let ratio = told("Crossfade", attack, normal, attacked);
    figures::note(&format!(
        "RSS {:.1} MiB before, {:.1} MiB during; a trickling body got {} after {:.1?}",
        mib(before),
        mib(during),
        body.0,
        body.1
    ));
    assert_eq!(body.0, 408);
    assert!(body.1 >= Duration::from_secs(9) && body.1 < Duration::from_secs(20), "{:?}", body.1);
    assert!(during <= 256 * 1024, "{during} KiB");
    // The short form shares its machine with other tests, and its attack is over quickly.
    assert!(ratio < if figures::long() { 2.0 } else { 20.0 }, "p99 grew {ratio:.1} times");
    assert!(percentiles(to, &get("/after"), 2, 20)[1] < Duration::from_secs(1));
    if figures::long() {
        beside_nginx(&crossfade, &backend);
    }
}

/// The application, the attackers and the good clients share the machine with whoever is measured; so nginx under the
/// same attack says how much of a ratio is theirs.
fn beside_nginx(crossfade: &Crossfade, backend: &Backend) {
    let nginx = nginx_workers(backend.address);
    for pace in [Pace::Each, Pace::InStep] {
        let attack = Attack { heads: 5_000, readers: 1_000, pace };
        let [ours, theirs] =
            [("Crossfade", crossfade.public), ("nginx", nginx[0].address)].map(|(who, to)| {
                percentiles(to, &get("/warm"), 4, 100);
                let (normal, attacked, ()) = attack.measured(to, backend, 3_000, || ());
                told(who, attack, normal, attacked)
            });
        assert!(ours < theirs.max(2.0), "{pace:?}: {ours:.2}, nginx {theirs:.2}");
    }
}

/// As many as Crossfade has threads, with the same limits.
fn nginx_workers(backend: SocketAddr) -> [Neighbour; 2] {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    [(); 2].map(|()| {
        nginx_at(
            address,
            &format!(
                "  keepalive_requests 1000000;
  client_header_timeout 10s;
  send_timeout 6s;
  upstream application {{ server {backend}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen LISTEN reuseport backlog=4096;
    location / {{
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_max_temp_file_size 0;
    }}
  }}"
            ),
        )
    })
}
