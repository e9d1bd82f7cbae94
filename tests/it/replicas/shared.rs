//! What all replicas must know of each other: who signed out, whose tokens are being refreshed, how often somebody
//! guessed.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    edge::figures,
    support::{
        crossfade::Crossfade,
        fleet::{Fleet, Site},
        http::{Visitor, block_on},
        scene::{Cast, PASSWORD, Person, Scene},
        wait,
        wire::now,
    },
};

const REPLICAS: usize = 3;

/// How long a replica may go by what it knew of a session (design, "Threads").
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// The access token's life where a test wants it to end soon.
const SHORT_SECS: u64 = 3;

fn is_signed_in(visitor: &Visitor) -> bool {
    let answer = visitor.get("/.crossfade/session");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["signed_in"] == true
}

fn people(count: usize) -> Vec<Person> {
    (0..count).map(|number| Person::new(&format!("person-{number}"))).collect()
}

/// Polls one browser at every replica until all say that it is signed out, and gives the longest time after `ended`
/// at which a request began that was still taken for the session's.
fn last_seen(at_all: &[Visitor], end: impl FnOnce() -> Instant) -> Duration {
    let (over, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let ended = thread::scope(|scope| {
        for visitor in at_all {
            scope.spawn(|| {
                let mut signed_out = 0;
                while signed_out < 3 {
                    let begun = now();
                    let signed_in = is_signed_in(visitor);
                    if signed_in {
                        seen.lock().unwrap().push(begun);
                    }
                    signed_out = if signed_in || !over.load(Ordering::Relaxed) { 0 } else { signed_out + 1 };
                    thread::park_timeout(Duration::from_millis(5));
                }
            });
        }
        // All of them know the session by now.
        wait::until("it is seen", || (seen.lock().unwrap().len() >= 3 * at_all.len()).then_some(()));
        let ended = end();
        over.store(true, Ordering::Relaxed);
        ended
    });
    let seen = seen.into_inner().unwrap();
    seen.iter().map(|begun| begun.saturating_duration_since(ended)).max().unwrap_or_default()
}

#[test]
fn the_end_of_a_session_is_seen_by_all_replicas_within_a_second_under_load() {
    let people = people(4);
    let fleet = Fleet::start(&Cast { people: people.clone(), ..Cast::default() }, REPLICAS, &[]);
    let [busy, out, all, _] = people.as_slice() else { unreachable!() };
    let bystander = fleet.moved(0, busy);
    let everywhere = |visitor: &Visitor| -> Vec<Visitor> {
        (0..REPLICAS).map(|number| fleet.same_at(number, visitor)).collect()
    };
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let times = thread::scope(|scope| {
        for visitor in everywhere(&bystander).into_iter().chain(everywhere(&bystander)) {
            let (over, asked) = (&over, &asked);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let home = visitor.get("/");
                    assert_eq!(home.status, 200);
                    assert!(home.text().contains(&busy.email));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ends = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let first = everywhere(&fleet.moved(1, out));
            let signed_out = last_seen(&first, || {
                assert_eq!(fleet.same_at(1, &first[0]).get("/.crossfade/logout").status, 303);
                now()
            });
            // Somebody who was removed: their next sign-in ends every session they have.
            let second = everywhere(&fleet.moved(2, all));
            let ended_all = last_seen(&second, || {
                fleet.redis.tombstone(&format!("app:{}", all.id));
                let visitor = fleet.replicas[0].visitor();
                let begun = visitor.get(&format!("/.crossfade/initiate?login_hint={}", all.email));
                let callback = fleet.scene.callback_of(&begun, &all.email);
                let origin = format!("http://{}", fleet.scene.public());
                let back = visitor.get(callback.strip_prefix(&origin).unwrap());
                assert!(visitor.cookie("crossfade").is_none(), "{}: {}", back.status, back.text());
                now()
            });
            [signed_out, ended_all]
        }));
        over.store(true, Ordering::Relaxed);
        ends.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    figures::note(&format!(
        "the end of a session at {REPLICAS} replicas under load ({} other requests): a sign-out is believed nowhere \
         after {:.2} s, the end of all sessions after {:.2} s",
        asked.load(Ordering::Relaxed),
        times[0].as_secs_f64(),
        times[1].as_secs_f64(),
    ));
    assert!(times.iter().all(|time| *time <= SEEN_WITHIN), "{times:?}");
    assert!(is_signed_in(&bystander));
}

#[test]
fn two_hundred_requests_at_three_replicas_make_one_refresh() {
    let manners = if figures::long() { &["rotate", "same", "omitted"][..] } else { &["rotate"] };
    let people = people(manners.len());
    let settings = json!({ "access_token_secs": SHORT_SECS });
    let fleet = Fleet::start(&Cast { people: people.clone(), settings, ..Cast::default() }, REPLICAS, &[]);
    let refreshes = |count: &str| fleet.scene.scalekit.look("refreshes")[count].as_u64().unwrap();
    for (round, (person, manner)) in (1..).zip(people.iter().zip(manners)) {
        let settings = json!({ "refresh_tokens": manner, "access_token_secs": SHORT_SECS });
        fleet.scene.scalekit.change_settings(&settings);
        let visitor = fleet.moved(0, person);
        let visitors: Vec<Visitor> = (0..REPLICAS).map(|number| fleet.same_at(number, &visitor)).collect();
        assert!(wait::within(Duration::from_secs(SHORT_SECS), || None::<()>).is_none());
        // The next expiry is far away: whatever comes now is about this one.
        fleet.scene.scalekit.change_settings(&json!({ "access_token_secs": 300 }));
        let requests = (0..200).map(|number| {
            let request = visitors[number % REPLICAS].request(Method::GET, &format!("/api/me?{number}"));
            async move {
                let answer = request.send().await.unwrap();
                (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
            }
        });
        let begun = now();
        for (status, me) in block_on(join_all(requests)) {
            assert_eq!((status, &me["email"]), (200, &json!(person.email)), "{manner}: {me}");
        }
        let took = begun.elapsed();
        wait::until("the refresh has come", || (refreshes("granted") >= round).then_some(()));
        let received = refreshes("received");
        figures::note(&format!(
            "{manner}: 200 requests at {REPLICAS} replicas at the expiry in {:.2} s, refreshes so far {received}",
            took.as_secs_f64()
        ));
        assert_eq!(received, round, "{manner}");
        assert!(visitors.iter().all(is_signed_in));
    }
    assert_eq!(refreshes("most_of_one_token"), 1);
}

/// Sends wrong passwords at all replicas at once: `tries` of `(account, address)`.
fn guess_at_once(fleet: &Fleet, tries: &[(String, String)]) -> Vec<u16> {
    let visitors: Vec<Visitor> = fleet.replicas.iter().map(Crossfade::visitor).collect();
    let sent = tries.iter().enumerate().map(|(number, (email, address))| {
        let visitor = &visitors[number % REPLICAS];
        let form = fleet.scene.form(visitor, &[("email", email.as_str()), ("password", "wrong")]);
        let form = form.header("x-forwarded-for", address);
        async move { form.send().await.unwrap().status().as_u16() }
    });
    block_on(join_all(sent))
}

#[test]
fn guesses_are_counted_once_for_all_replicas() {
    let ann = Person::new("ann");
    let olga = json!({ "id": "00uolga", "login": "olga@okta-people.example", "password": PASSWORD,
        "first_name": "Olga", "last_name": "Alder", "profile": { "emailVerified": true } });
    let cast = Cast { people: vec![ann.clone()], okta: vec![olga], ..Cast::default() };
    // People of the application are judged by it alone, so that it sees every try that gets through.
    let lanes = [("CROSSFADE_ROLLOUT__CUTOVER", "0%"), ("CROSSFADE_ROLLOUT__MIGRATE", "0%")];
    let limit = [("CROSSFADE_GUESSING__ADDRESS__TRIES", "12")];
    let fleet = Fleet::start_at(Site::Balancer, &cast, REPLICAS, &[lanes.as_slice(), &limit].concat());
    // Every form that arrives is a try, whatever the application makes of it.
    let reached = |email: &str| {
        let journal = fleet.scene.app.journal();
        let entries = journal["requests"].as_array().unwrap().iter();
        entries.filter(|entry| entry["login"].as_str().is_some_and(|login| login.contains(email))).count()
    };
    // One account from everywhere: ten, and no more, however many replicas there are.
    let tries: Vec<_> = (0..60).map(|number| (ann.email.clone(), format!("192.0.2.{number}"))).collect();
    let refused = guess_at_once(&fleet, &tries).iter().filter(|status| **status == 429).count();
    let reach = reached(&ann.email);
    figures::note(&format!(
        "60 guesses at one account at {REPLICAS} replicas: {reach} reach the application"
    ));
    assert_eq!((reach, refused), (10, 50));
    // One address at everybody.
    let tries: Vec<_> =
        (0..60).map(|number| (format!("nobody-{number}@example.com"), "198.51.100.7".to_owned())).collect();
    let granted = guess_at_once(&fleet, &tries).iter().filter(|status| **status != 429).count();
    let reach = reached("nobody-");
    figures::note(&format!(
        "60 guesses of one address at {REPLICAS} replicas: {reach} reach the application"
    ));
    assert_eq!(reach, granted);
    // Twelve a minute, and one more each five seconds that this took.
    assert!((12..=14).contains(&reach), "{reach}");
    // The right password does not open what is locked, at any of them.
    for replica in &fleet.replicas {
        let visitor = replica.visitor();
        let answer = visitor.send(
            fleet.scene.filled_in(&visitor, &ann.email, PASSWORD).header("x-forwarded-for", "203.0.113.9"),
        );
        assert_eq!(answer.status, 429);
        assert!(!Scene::is_in_the_application(&answer));
    }
    // What a legacy store locks at is shared as well: six of its ten, however many replicas ask.
    let fleet = Fleet::start_at(Site::Balancer, &cast, REPLICAS, &limit);
    let email = "olga@okta-people.example";
    let tries: Vec<_> = (0..30).map(|number| (email.to_owned(), format!("192.0.2.{number}"))).collect();
    guess_at_once(&fleet, &tries);
    let checked = fleet.scene.okta.counts()["password_checks"][email].as_u64().unwrap_or(0);
    figures::note(&format!("30 guesses at one account of Okta at {REPLICAS} replicas: {checked} reach it"));
    assert_eq!(checked, 6);
}
