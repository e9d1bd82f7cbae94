//! Equal answers (SEC-40): whoever guesses learns neither from an answer nor from its time who is there.
//!
//! Tries of all kinds are mixed in a random order and sent one after the other on one connection, so that whatever
//! else the machine does meets all kinds alike. `CROSSFADE_TESTS=long` takes the full number of tries and the strict
//! gate; `TIMING_SEED` repeats an order.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::edge::figures;
use crate::support::{
    draft::Draft,
    scene::{Cast, PASSWORD, Scene},
    wait::PATIENCE,
};

/// So many accounts share the tries of a kind.
const ACCOUNTS: usize = 20;

/// A kind of guess: its name, the local part of its accounts, whether it guesses right.
type Kind = (&'static str, &'static str, bool);

const OF_THE_EXPORT: [Kind; 6] = [
    ("unknown", "unknown", false),
    ("wrong password", "ann", false),
    ("wrong password, dear hash", "dear", false),
    ("no password set", "none", false),
    ("locked, right password", "locked", true),
    ("disabled, right password", "disabled", true),
];

const OF_OKTA: [Kind; 4] = [
    ("unknown", "unknown", false),
    ("wrong password", "ann", false),
    ("locked, right password", "locked", true),
    ("suspended, right password", "suspended", true),
];

fn export() -> Vec<String> {
    let line = |local: &str, number: usize| {
        let hash = match local {
            "dear" => "$2b$06$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW",
            "none" => "!",
            _ => "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW",
        };
        json!({ "id": format!("{local}{number}"), "email": format!("{local}{number}@example.com"),
            "email_verified": true, "password_hash": hash, "given_name": "Ann", "family_name": "Alder",
            "mfa": false, "locked": local == "locked", "disabled": local == "disabled" })
        .to_string()
    };
    let people = OF_THE_EXPORT.iter().filter(|(_, local, _)| *local != "unknown");
    people.flat_map(|(_, local, _)| (0..ACCOUNTS).map(move |number| line(local, number))).collect()
}

fn okta() -> Vec<Value> {
    let status = |local: &str| match local {
        "locked" => "LOCKED_OUT",
        "suspended" => "SUSPENDED",
        _ => "ACTIVE",
    };
    let person = |local: &str, number: usize| {
        json!({ "id": format!("00u{local}{number}"), "login": format!("{local}{number}@okta-people.example"),
            "password": PASSWORD, "first_name": "Ann", "last_name": "Alder", "status": status(local),
            "profile": { "emailVerified": true } })
    };
    let people = OF_OKTA.iter().filter(|(_, local, _)| *local != "unknown");
    people.flat_map(|(_, local, _)| (0..ACCOUNTS).map(move |number| person(local, number))).collect()
}

/// xorshift64*: an order that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }
}

/// What of an answer must be the same for all: the status line, the fields with their lengths, the body's length.
type Shape = (String, Vec<(String, usize)>, usize);

/// One connection; an answer is over when its announced body is.
struct Line(TcpStream);

impl Line {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    #[expect(clippy::disallowed_methods, reason = "measures how long an answer takes")]
    fn ask(&mut self, request: &[u8]) -> (Duration, Shape) {
        let started = Instant::now();
        self.0.write_all(request).unwrap();
        let (mut read, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let count = self.0.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..count]);
            let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&read[..end]).unwrap();
            let mut lines = head.split("\r\n");
            let status = lines.next().unwrap().to_owned();
            let fields = lines.map(|line| line.split_once(':').unwrap());
            let fields: Vec<_> = fields.map(|(name, value)| (name.to_owned(), value.len())).collect();
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            if read.len() == end + 4 + length {
                return (started.elapsed(), (status, fields, length));
            }
        }
    }
}

/// One kind's times, in milliseconds, in order of size.
struct Times(Vec<f64>);

impl Times {
    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// Mean and the square of its standard error, without what took longer than `most`: that was the machine's work.
    fn mean(&self, most: f64) -> (f64, f64) {
        let of = |count: usize| f64::from(u32::try_from(count).unwrap());
        let kept: Vec<f64> = self.0.iter().copied().filter(|time| *time <= most).collect();
        let mean = kept.iter().sum::<f64>() / of(kept.len());
        let squares = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (mean, squares / of(kept.len() - 1) / of(kept.len()))
    }
}

/// Welch's t of two kinds, over the quickest nine tenths of all tries.
fn welch(one: &Times, other: &Times, most: f64) -> f64 {
    let ((mean, error), (other_mean, other_error)) = (one.mean(most), other.mean(most));
    (mean - other_mean) / (error + other_error).sqrt()
}

/// A form of the same length whoever it is: what is sent takes time, too.
fn guess(public: SocketAddr, local: &str, domain: &str, right: bool) -> String {
    let password = if right { PASSWORD.replace(' ', "+") } else { "another+horse+battery+staple".to_owned() };
    let body = format!("email={local}%40{domain}&password={password}&next=%2F");
    let body = format!("{body}&filler={}", "x".repeat(200 - body.len()));
    format!(
        "POST /login HTTP/1.1\r\nHost: {public}\r\nOrigin: http://{public}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn measure(
    scene: &Scene,
    domain: &str,
    kinds: &[Kind],
    tries: usize,
    random: &mut Random,
) -> BTreeMap<&'static str, Times> {
    let public = scene.public();
    let requests = |(name, local, right): &Kind| {
        let requests = (0..tries)
            .map(|number| (*name, guess(public, &format!("{local}{}", number % ACCOUNTS), domain, *right)));
        requests.collect::<Vec<_>>()
    };
    let mut all: Vec<(&str, String)> = kinds.iter().flat_map(requests).collect();
    random.shuffle(&mut all);
    let mut line = Line::to(public);
    let (mut times, mut shapes) = (BTreeMap::<_, Vec<f64>>::new(), BTreeMap::<Shape, &str>::new());
    for (name, request) in &all {
        let (took, shape) = line.ask(request.as_bytes());
        times.entry(*name).or_default().push(took.as_secs_f64() * 1000.0);
        shapes.entry(shape).or_insert(name);
    }
    assert_eq!(shapes.len(), 1, "the answers differ: {shapes:#?}");
    let sorted = times.into_iter().map(|(name, mut times)| {
        times.sort_unstable_by(f64::total_cmp);
        (name, Times(times))
    });
    sorted.collect()
}

/// Tells the figures, and what is wrong with them.
fn judge(store: &str, times: &BTreeMap<&str, Times>, is_long: bool) -> Vec<String> {
    let mut all: Vec<f64> = times.values().flat_map(|times| times.0.clone()).collect();
    all.sort_unstable_by(f64::total_cmp);
    let most = all[all.len() * 9 / 10];
    let unknown = &times["unknown"];
    let mut wrong = Vec::new();
    for (name, of) in times {
        let apart = of.median() - unknown.median();
        let t = if *name == "unknown" { 0.0 } else { welch(of, unknown, most) };
        let line = format!(
            "{store}: {name}: median {:.3} ms, {apart:+.3} ms ({:+.1} %), Welch t {t:+.2}",
            of.median(),
            100.0 * apart / unknown.median()
        );
        // A short run on a busy machine tells only what is plain to see.
        let part = if is_long { 0.05 } else { 0.25 };
        let apart = apart.abs() >= 5.0 && apart.abs() >= part * unknown.median();
        if apart || (is_long && t.abs() >= 4.5) {
            wrong.push(line.clone());
        }
        figures::note(&line);
    }
    wrong
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the tests' own settings")]
fn who_is_there_shows_neither_in_an_answer_nor_in_its_time() {
    let is_long = figures::long();
    let tries = if is_long { 2000 } else { 300 };
    let seed = std::env::var("TIMING_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    figures::note(&format!("{tries} tries of a kind, TIMING_SEED={seed}"));
    let mut random = Random(seed);
    let scene = Scene::set(&Cast {
        more_lines: export(),
        okta: okta(),
        okta_settings: json!({ "lock_out_after": 1_000_000, "requests_per_window": 100_000_000 }),
        ..Cast::default()
    });
    // The measuring itself is many guesses.
    let config = Draft::of(scene.configuration())
        .put(
            "  address: {tries",
            "  account: {failures: 1000}\n  storm: {failures: 100000000}\n  address: {tries",
        )
        .put("      mfa: {field: factors}\n", "      mfa: {field: factors}\n      lockout: {failures: 0}\n")
        .put(
            "          family_name: family_name\n",
            "          family_name: family_name\n          locked: locked\n          disabled: disabled\n",
        );
    let _crossfade = Scene::start_as(&config.0, &[]);
    let mut wrong = Vec::new();
    for (store, domain, kinds) in
        [("export", "example.com", &OF_THE_EXPORT[..]), ("okta", "okta-people.example", &OF_OKTA[..])]
    {
        // The first ones pay for connections and caches.
        measure(&scene, domain, kinds, 20, &mut random);
        let times = measure(&scene, domain, kinds, tries, &mut random);
        wrong.extend(judge(store, &times, is_long));
    }
    assert!(wrong.is_empty(), "who is there shows by the time (seed {seed}):\n{}", wrong.join("\n"));
}

/// A list of names of which one in fifty is somebody's, and these at a store that is far away: once the first of them
/// was met, no time tells them from those that nobody has.
#[test]
fn the_few_that_a_distant_store_knows_do_not_stand_out() {
    const FAR: u64 = 150;
    const OKTA: &str = "    - name: okta
      domains: [okta-people.example]
      okta:
        url: http://OKTA_ADDRESS
        api_token: {env: OKTA_API_TOKEN}
        email_verified_attribute: emailVerified
      mfa: {field: factors}
";
    let scene = Scene::set(&Cast {
        more_lines: export(),
        okta: okta(),
        okta_settings: json!({ "lock_out_after": 1_000_000, "requests_per_window": 100_000_000 }),
        ..Cast::default()
    });
    scene.okta.set_faults(&json!({ "kind": "slow", "path": "/api/v1/authn", "delay_ms": FAR }));
    let okta = OKTA.replace("OKTA_ADDRESS", &scene.okta.address.to_string());
    // Both are asked for every name, and one that nobody has is checked at the first.
    let config = Draft::of(scene.configuration())
        .put(&okta, "")
        .put(
            "      mfa: {field: mfa}\n",
            &format!(
                "      mfa: {{field: mfa}}\n{}",
                okta.replace("      domains: [okta-people.example]\n", "")
            ),
        )
        .put(
            "  address: {tries",
            "  account: {failures: 1000}\n  storm: {failures: 100000000}\n  address: {tries",
        );
    let _crossfade = Scene::start_as(&config.0, &[]);
    let mut line = Line::to(scene.public());
    let mut ask = |local: &str| {
        let request = guess(scene.public(), local, "okta-people.example", false);
        line.ask(request.as_bytes()).0.as_secs_f64() * 1000.0
    };
    let first = ask("ann0");
    let (mut nobodys, mut somebodys) = (Vec::new(), Vec::new());
    for number in 0..350 {
        if number % 50 == 49 {
            somebodys.push(ask(&format!("ann{}", number % ACCOUNTS)));
        } else {
            nobodys.push(ask(&format!("nobody{number}")));
        }
    }
    nobodys.sort_unstable_by(f64::total_cmp);
    somebodys.sort_unstable_by(f64::total_cmp);
    let (nobody, somebody) = (Times(nobodys), Times(somebodys));
    figures::note(&format!(
        "the first of a distant store's {first:.1} ms, then medians {:.1} ms for {} of its people and {:.1} ms for {} \
         names that nobody has, the quickest of these {:.1} ms",
        somebody.median(),
        somebody.0.len(),
        nobody.median(),
        nobody.0.len(),
        nobody.0[0]
    ));
    assert!((somebody.median() - nobody.median()).abs() < 15.0);
    assert!(nobody.0[0] >= 150.0, "one left earlier than a distant store can answer");
}
