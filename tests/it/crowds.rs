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
        plain::{self, HOST},
        wait,
        wire::{Wire, connect_from, percentiles},
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

/// Who sends a byte of a head each second, for ever: a connection that was ended is begun again.
fn slow_heads(to: SocketAddr, count: usize, first: usize, stop: &AtomicBool, cut: &AtomicUsize) {
    let head = get("/slow").into_bytes();
    let open = |number: usize| {
        let stream = connect_from(source(first + number), to, None).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((stream, 0))
    };
    let mut all: Vec<Option<(TcpStream, usize)>> = (0..count).map(open).collect();
    while !stop.load(Ordering::Relaxed) {
        for (number, one) in all.iter_mut().enumerate() {
            let sent = one.as_mut().is_some_and(|(stream, at)| {
                let ended = matches!(stream.read(&mut [0; 512]), Ok(0));
                *at += 1;
                !ended && *at < head.len() - 3 && stream.write_all(&head[*at - 1..*at]).is_ok()
            });
            if !sent {
                cut.fetch_add(1, Ordering::Relaxed);
                *one = open(number);
            }
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// Who asks for much and reads some bytes a second, fewer than the least rate.
fn slow_readers(to: SocketAddr, count: usize, first: usize, stop: &AtomicBool) {
    let open = |number: usize| {
        let mut stream = connect_from(source(first + number), to, Some(4096)).ok()?;
        stream.write_all(get("/big/8").as_bytes()).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut all: Vec<Option<TcpStream>> = (0..count).map(open).collect();
    while !stop.load(Ordering::Relaxed) {
        for stream in all.iter_mut().flatten() {
            // Nothing there yet, the end, a reset: it goes on as if nothing were.
            let _ = stream.read(&mut [0; 60]);
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// A body of a few bytes a second: REL-30's least rate is 200 bytes a second after ten seconds.
fn slow_body(to: SocketAddr) -> (u16, Duration) {
    let mut wire = Wire::to(to);
    let begun = crate::support::wire::now();
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

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn slow_clients_do_not_slow_down_good_ones() {
    allow_files();
    let (heads, readers, each) = if figures::long() { (5_000, 1_000, 3_000) } else { (500, 500, 700) };
    let backend = Backend::start();
    // A reader who makes no room for this long is given up, and one below the least rate as well.
    let crossfade = plain::proxy(backend.address, "idle_timeout: 6s", "");
    percentiles(crossfade.public, &get("/warm"), 4, 100);
    let [_, normal] = percentiles(crossfade.public, &get("/normal"), 4, each);
    let before = memory(&crossfade);
    let (stop, cut_heads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let to = crossfade.public;
    let (attacked, during, body) = thread::scope(|scope| {
        // Also when something fails: the scope waits for its threads.
        let _stops = Stops(&stop);
        scope.spawn(|| slow_heads(to, heads, 0, &stop, &cut_heads));
        scope.spawn(|| slow_readers(to, readers, heads, &stop));
        let body = scope.spawn(move || slow_body(to));
        wait::until("the attack is under way", || {
            let open = open_connections(&crossfade);
            (open >= (heads + readers) * 9 / 10 && backend.sending() >= readers / 2).then_some(())
        });
        let [_, attacked] = percentiles(to, &get("/good"), 4, each);
        let during = memory(&crossfade);
        let body = body.join().unwrap();
        wait::until("slow heads are cut", || (cut_heads.load(Ordering::Relaxed) >= heads / 2).then_some(()));
        // They themselves learn of it late: what the kernel still holds for them comes first.
        wait::until("slow readers are given up, and their upstream connections with them", || {
            (backend.sending() == 0).then_some(())
        });
        (attacked, during, body)
    });
    let ratio = attacked.as_secs_f64() / normal.as_secs_f64();
    figures::note(&format!(
        "{heads} slow heads and {readers} slow readers at a time: p99 {normal:?}, under attack {attacked:?}, ratio {ratio:.2}; \
         RSS {:.1} MiB before, {:.1} MiB during; a trickling body got {} after {:.1?}",
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
    assert!(percentiles(crossfade.public, &get("/after"), 2, 20)[1] < Duration::from_secs(1));
}
