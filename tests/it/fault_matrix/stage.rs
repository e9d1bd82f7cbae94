//! The parts around one dependency that is put in trouble, and who comes by meanwhile.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Dependency, Expected, Fault};
use crate::support::{
    crossfade::Crossfade,
    draft::in_place_of_the_file,
    http::{Answer, Visitor},
    parts::parts,
    ports,
    process::{self, Process},
    relay::{Manner, Relay},
    scene::{Cast, PASSWORD, Person, Scene},
    wait,
};

/// One for each fault, and the one who crossed.
const PEOPLE: usize = 7;
const CROSSED: usize = 6;

/// More often than strangers may try at an Okta that locks at ten.
const TRIES: usize = 8;

/// A wrong password would keep its account out at once; calls end soon; all come from one address.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("CROSSFADE_GUESSING__ACCOUNT__FAILURES", "1"),
    ("CROSSFADE_SCALEKIT__TIMEOUT", "500ms"),
    ("CROSSFADE_MIGRATION__SCALEKIT_BUDGET", "1500ms"),
];

/// So long that whoever waits for it is seen.
const SLOW_MS: u64 = 30_000;

/// The access tokens' life where a live session is to need Scalekit.
const SHORT: Duration = Duration::from_secs(1);

/// How long a session may go by what was known of it (one second), and some more for a loaded machine.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

type Played = Result<(), String>;

pub(super) struct Stage {
    dependency: Dependency,
    scene: Scene,
    _crossfade: Crossfade,
    store: Option<Store>,
    /// The session of the one who crossed.
    session: Visitor,
}

/// Redis behind a relay.
struct Store {
    relay: Relay,
    address: SocketAddr,
    _process: Process,
    /// What stood in values before they were spoilt: commands that bring it back.
    before: Vec<Vec<Vec<u8>>>,
}

impl Stage {
    pub(super) fn set(dependency: Dependency) -> Self {
        let people: Vec<Person> = (0..PEOPLE).map(|number| named(dependency, number)).collect();
        let okta = people.iter().map(|person| {
            json!({ "id": format!("00u{}", person.id), "login": person.email, "password": PASSWORD,
                "first_name": "Ann", "last_name": "Alder", "profile": { "emailVerified": true } })
        });
        let scene = match dependency {
            Dependency::Legacy => {
                // The export wants somebody in it.
                let people = vec![Person::new("somebody")];
                Scene::set(&Cast { people, okta: okta.collect(), ..Cast::default() })
            }
            Dependency::Scalekit => {
                let settings = json!({ "access_token_secs": SHORT.as_secs() });
                Scene::set(&Cast { people, settings, ..Cast::default() })
            }
            Dependency::Store => Scene::set(&Cast { people, ..Cast::default() }),
        };
        let store = (dependency == Dependency::Store).then(Store::start);
        let mut configuration = scene
            .configuration()
            .replace("      mfa: {field: factors}\n", "      mfa: {field: factors}\n      timeout: 1s\n");
        if let Some(store) = &store {
            let redis = format!("redis: {{url: 'redis://{}/0'}}", store.relay.address);
            configuration = in_place_of_the_file(&redis, &configuration);
        }
        let crossfade = Scene::start_as(&configuration, &ENVIRONMENT);
        let session = signed_in(&scene, &named(dependency, CROSSED));
        Self { dependency, scene, _crossfade: crossfade, store, session }
    }

    pub(super) fn person(&self, number: usize) -> Person {
        named(self.dependency, number)
    }

    /// The one who crossed, in the browser that knows them and without a session.
    fn known(&self) -> Visitor {
        let known = self.scene.visitor();
        known.set_cookie("crossfade-device", &self.session.cookie("crossfade-device").unwrap());
        known
    }

    /// Somebody who crossed, on the way back from Scalekit where it is Scalekit that will be in trouble. There the live
    /// session is a new one, too: one whose refresh failed is left alone for a while.
    pub(super) fn prepare(&mut self) -> Option<(Visitor, String)> {
        if self.dependency != Dependency::Scalekit {
            return None;
        }
        self.session = signed_in(&self.scene, &self.person(CROSSED));
        let (visitor, email) = (self.scene.visitor(), self.person(CROSSED).email);
        let handed_over = self.scene.sign_in(&visitor, &email, PASSWORD);
        let callback = self.scene.callback_of(&handed_over, &email);
        let path = visitor.path_of(&callback).to_owned();
        Some((visitor, path))
    }

    pub(super) fn inflict(&mut self, fault: Fault) {
        let uma = fault_number(fault);
        let (uma, ann) = (self.person(uma), self.person(CROSSED));
        match self.dependency {
            Dependency::Legacy => self.scene.okta.set_faults(&of_a_service(fault)),
            Dependency::Scalekit => self.scene.scalekit.set_faults(&of_a_service(fault)),
            Dependency::Store => self.store.as_mut().unwrap().inflict(fault, &uma, &ann),
        }
    }

    pub(super) fn relieve(&mut self, fault: Fault) {
        match self.dependency {
            Dependency::Legacy => self.scene.okta.clear_faults(),
            Dependency::Scalekit => self.scene.scalekit.clear_faults(),
            Dependency::Store => self.store.as_mut().unwrap().relieve(fault),
        }
    }

    /// How long the longest answer took. Whoever tries again and again meanwhile uses up nothing; only an answer that
    /// never came may have been a no.
    pub(super) fn unmigrated(
        &self,
        person: &Person,
        fault: Fault,
        expected: Expected,
    ) -> Result<Duration, String> {
        let is_told = self.dependency == Dependency::Legacy && fault != Fault::Slow;
        let mut longest = Duration::ZERO;
        for _ in 0..if is_told { TRIES } else { 1 } {
            let visitor = self.scene.visitor();
            let begun = wait::reading();
            let answer = self.scene.sign_in(&visitor, &person.email, PASSWORD);
            longest = longest.max(wait::since(begun));
            self.judge(&answer, expected)?;
        }
        let users = self.scene.users_with(&person.email);
        if users.is_empty() { Ok(longest) } else { Err(format!("somebody was created: {users:?}")) }
    }

    pub(super) fn crossed(&self, arriving: Option<(Visitor, String)>, expected: Expected) -> Played {
        let (visitor, answer) = if let Some((visitor, path)) = arriving {
            let answer = visitor.get(&path);
            (visitor, answer)
        } else {
            let (known, email) = (self.known(), self.person(CROSSED).email);
            let fields = [("email", email.as_str()), ("password", PASSWORD), ("next", "/")];
            let answer = known.send(self.scene.form(&known, &fields));
            if known.cookie("crossfade-device") != self.session.cookie("crossfade-device") {
                return Err("the browser is not known any more".into());
            }
            (known, answer)
        };
        if visitor.cookie("crossfade").is_some() {
            return Err("a session was opened".into());
        }
        self.judge(&answer, expected)
    }

    /// How long the longest answer took.
    pub(super) fn live(&self, fault: Fault, expected: Expected) -> Result<Duration, String> {
        let before = self.session.cookie("crossfade");
        let refreshes = self.refreshes();
        if self.dependency == Dependency::Scalekit {
            // Its tokens are due, and what was known of it is too old.
            let _ = wait::within(SHORT + Duration::from_millis(500), || None::<()>);
        }
        let mut longest = Duration::ZERO;
        // What was known of a session may be used for a second.
        let seen = wait::within(SEEN_WITHIN, || {
            let begun = wait::reading();
            let answer = self.session.get("/");
            longest = longest.max(wait::since(begun));
            self.judge(&answer, expected).is_ok().then_some(())
        });
        seen.ok_or_else(|| {
            let answer = self.session.get("/");
            format!("{expected:?}, but {} {:?}", answer.status, answer.headers)
        })?;
        // Whoever asked for a pause is not asked.
        if self.dependency == Dependency::Scalekit && fault != Fault::Limited && self.refreshes() == refreshes
        {
            return Err("the session did not need Scalekit".into());
        }
        let kept = self.session.cookie("crossfade") == before;
        match (kept, expected) {
            (true, Expected::SignedOut) => Err("the cookie of no session is kept".into()),
            (false, Expected::Lives | Expected::Waits) => Err("the cookie is not kept".into()),
            _ => {
                self.session.set_cookie("crossfade", &before.ok_or("no session to begin with")?);
                Ok(longest)
            }
        }
    }

    /// How often Scalekit's token endpoint was called.
    fn refreshes(&self) -> u64 {
        self.scene.scalekit.counts()["requests"]["POST /oauth/token"].as_u64().unwrap_or(0)
    }

    /// Whether an answer is the expected one, and never "wrong password".
    fn judge(&self, answer: &Answer, expected: Expected) -> Played {
        let (status, location) = (answer.status, answer.header("location"));
        let told = format!("{expected:?}, but {status} {location:?} {:?}", answer.header("retry-after"));
        if location == Some("/login?error=credentials") || status == 401 {
            return Err(format!("wrong password: {told}"));
        }
        let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        let page = answer.text();
        let is_later = |most: u64| status == 503 && wait.is_some_and(|wait| (1..=most).contains(&wait));
        let right = match expected {
            Expected::Closed(most) => {
                let other_way = page.contains("/.crossfade/initiate");
                is_later(most)
                    && page.contains("Your password was not checked")
                    && other_way == (self.dependency == Dependency::Legacy)
            }
            Expected::Application => Scene::is_in_the_application(answer),
            Expected::HandedOver => self.scene.is_handed_over(answer),
            Expected::Unfinished => is_later(60) && page.contains("Sign-in is not available"),
            Expected::Lives => status == 200 && page.contains(&self.person(CROSSED).email),
            Expected::Waits => is_later(60),
            Expected::SignedOut => status < 500 && !page.contains(&self.person(CROSSED).email),
        };
        if right { Ok(()) } else { Err(told) }
    }

    /// All goes on as if nothing had been: the person moves, with the first try that nothing holds back.
    pub(super) fn is_well_again(&self, person: &Person) -> Played {
        let lives = || self.judge(&self.session.get("/"), Expected::Lives).is_ok().then_some(());
        wait::within(wait::PATIENCE, lives).ok_or("the session is lost")?;
        wait::within(wait::PATIENCE, || {
            let answer = self.scene.sign_in(&self.scene.visitor(), &person.email, PASSWORD);
            // A counted failure would keep the account out.
            (self.scene.is_handed_over(&answer) || answer.status == 429).then_some(answer)
        })
        .filter(|answer| answer.status != 429)
        .ok_or("the person cannot sign in")?;
        let users = self.scene.users_with(&person.email).len();
        if users == 1 { Ok(()) } else { Err(format!("{users} users")) }
    }
}

/// Through Scalekit's pages into a session.
fn signed_in(scene: &Scene, person: &Person) -> Visitor {
    wait::until("somebody crosses", || {
        let session = scene.visitor();
        let handed_over = scene.sign_in(&session, &person.email, PASSWORD);
        // Whoever was in trouble may be left alone for a moment longer.
        let is_back = scene.is_handed_over(&handed_over)
            && scene.confirm_mailbox(&session, &handed_over, &person.email).status == 303;
        is_back.then_some(session)
    })
}

fn named(dependency: Dependency, number: usize) -> Person {
    let id = format!("person-{number}");
    match dependency {
        Dependency::Legacy => Person { email: format!("{id}@okta-people.example"), id },
        Dependency::Scalekit | Dependency::Store => Person::new(&id),
    }
}

fn fault_number(fault: Fault) -> usize {
    [Fault::Down, Fault::Slow, Fault::Failing, Fault::Limited, Fault::Garbage, Fault::BreaksOff]
        .iter()
        .position(|known| *known == fault)
        .expect("all faults are listed")
}

/// The fault as the stand-ins take it.
fn of_a_service(fault: Fault) -> Value {
    match fault {
        Fault::Down => json!({ "kind": "down" }),
        Fault::Slow => json!({ "kind": "slow", "delay_ms": SLOW_MS }),
        Fault::Failing => json!({ "kind": "status", "status": 503 }),
        Fault::Limited => json!({ "kind": "rate_limited", "reset_after_secs": 2 }),
        Fault::Garbage => json!({ "kind": "html" }),
        Fault::BreaksOff => json!({ "kind": "reset" }),
    }
}

impl Store {
    fn start() -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mut command = process::command(&parts().redis_server);
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--replica-serve-stale-data", "no"]);
        let process = Process::start("redis-server", command);
        wait::until("Redis takes connections", || TcpStream::connect(address).ok());
        Self { relay: Relay::before(address), address, _process: process, before: Vec::new() }
    }

    fn inflict(&mut self, fault: Fault, uma: &Person, ann: &Person) {
        match fault {
            Fault::Down => self.relay.behave(Manner::Refuses),
            Fault::Slow => self.relay.behave(Manner::Stalls),
            Fault::Failing => drop(self.ask(&["REPLICAOF", "127.0.0.1", "1"])),
            Fault::Limited => {
                self.relay.behave(Manner::Says(b"-ERR max number of clients reached\r\n".to_vec()));
            }
            Fault::BreaksOff => self.relay.behave(Manner::BreaksOff),
            Fault::Garbage => self.spoil(uma, ann),
        }
    }

    fn relieve(&mut self, fault: Fault) {
        if fault == Fault::Failing {
            self.ask(&["REPLICAOF", "NO", "ONE"]);
        }
        self.relay.behave(Manner::Passes);
        for command in std::mem::take(&mut self.before) {
            self.send(&command);
        }
    }

    /// Makes the row of one person, a row that another one's name leads to, and all sessions unreadable.
    fn spoil(&mut self, uma: &Person, ann: &Person) {
        const LEDGER: &str = "crossfade:{ledger}";
        let bytes = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let row = format!("{LEDGER}:row:app:{}", ann.id);
        let old = self.ask(&["HGET", &row, "row"]);
        assert!(old.len() > 2, "the row of the one who crossed is there");
        self.before.push([bytes(&["HSET", &row, "row"]), vec![old]].concat());
        self.ask(&["HSET", &row, "row", "garbage"]);
        let (row, alias) =
            (format!("{LEDGER}:row:app:{}", uma.id), format!("{LEDGER}:alias:typed:{}", uma.email));
        self.before.push(bytes(&["DEL", &row, &alias]));
        self.ask(&["HSET", &row, "row", "garbage"]);
        self.ask(&["SET", &alias, &format!("app:{}", uma.id)]);
        let keys = String::from_utf8(self.ask(&["EVAL", KEYS, "0"])).unwrap();
        for key in keys.split_whitespace() {
            let old = self.ask(&["GET", key]);
            self.before.push([bytes(&["SET", key]), vec![old]].concat());
            self.ask(&["SET", key, "garbage"]);
        }
        assert!(self.before.len() > 2, "there is a session");
    }

    fn ask(&self, words: &[&str]) -> Vec<u8> {
        self.send(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    /// Says a command to Redis itself, past the relay, and gives the line or the text that it answers with.
    fn send(&self, words: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "*{}\r\n", words.len()).unwrap();
        for word in words {
            write!(stream, "${}\r\n", word.len()).unwrap();
            stream.write_all(word).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        assert!(!line.starts_with('-'), "{}: {line}", String::from_utf8_lossy(&words[0]));
        match line.strip_prefix('$').map(|length| length.trim().parse::<usize>()) {
            Some(Ok(length)) => {
                let mut text = vec![0; length];
                answer.read_exact(&mut text).unwrap();
                text
            }
            _ => line.into_bytes(),
        }
    }
}

/// The keys of all sessions as one text.
const KEYS: &str = "return table.concat(redis.call('KEYS', 'crossfade:session:*'), ' ')";
