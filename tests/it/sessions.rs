//! Sessions of the built program: refreshed once however many ask, kept through every trouble of the token endpoint,
//! and through the rotation of every key and secret.

mod rotation;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    crossfade::Crossfade,
    http::{Answer, Visitor, block_on},
    scene::{Cast, PASSWORD, Person, Scene},
    wait,
};

/// The access token's life where a test wants it to end soon. The answer names one second less.
const SHORT_SECS: u64 = 3;

fn people(count: usize) -> Vec<Person> {
    (0..count).map(|number| Person::new(&format!("person-{number}"))).collect()
}

/// A browser with a session of the new side.
fn signed_in(scene: &Scene, person: &Person) -> Visitor {
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}: {}", handed_over.status, handed_over.text());
    let back = scene.confirm_mailbox(&visitor, &handed_over, &person.email);
    assert_eq!(back.status, 303, "{}", back.text());
    visitor
}

fn session(visitor: &Visitor) -> Value {
    let answer = visitor.get("/.crossfade/session");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Lets the short life of an access token go by.
fn let_it_expire() {
    let nothing: Option<()> = wait::within(Duration::from_secs(SHORT_SECS), || None);
    assert!(nothing.is_none());
}

fn refreshes(scene: &Scene, count: &str) -> u64 {
    scene.scalekit.look("refreshes")[count].as_u64().unwrap()
}

/// The lines of the log that tell of this event.
fn events(crossfade: &Crossfade, event: &str) -> Vec<Value> {
    let lines = crossfade.process.stderr();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

#[expect(clippy::print_stdout, reason = "the figures of a test are part of its result")]
fn figures(text: &str) {
    println!("{text}");
}

#[expect(clippy::disallowed_methods, reason = "what a request waits is what is measured")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn two_hundred_requests_at_the_expiry_make_one_refresh() {
    let people = people(3);
    let scene = Scene::set(&Cast {
        people: people.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS }),
        ..Cast::default()
    });
    let crossfade = scene.start(&[]);
    for (round, (person, manner)) in people.iter().zip(["rotate", "same", "omitted"]).enumerate() {
        scene.scalekit.change_settings(&json!({ "refresh_tokens": manner, "access_token_secs": SHORT_SECS }));
        let visitor = signed_in(&scene, person);
        let_it_expire();
        // The next expiry is far away: whatever comes now is about this one.
        scene.scalekit.change_settings(&json!({ "access_token_secs": 300 }));
        let begun = now();
        let requests = (0..200).map(|number| {
            let request = visitor.request(Method::GET, &format!("/api/me?{number}"));
            async move { request.send().await }
        });
        let answers = block_on(futures_util::future::join_all(requests));
        let took = begun.elapsed();
        let good = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|a| a.status() == 200)).count();
        assert_eq!(good, 200, "{manner}: a refresh fails nobody");
        wait::until("the refresh has come", || {
            (refreshes(&scene, "granted") > u64::try_from(round).unwrap()).then_some(())
        });
        let received = refreshes(&scene, "received");
        figures(&format!("{manner}: 200 requests in {took:?}, refreshes so far {received}"));
        assert_eq!(received, u64::try_from(round).unwrap() + 1, "{manner}");
        assert_eq!(session(&visitor)["signed_in"], true);
    }
    assert_eq!(refreshes(&scene, "most_of_one_token"), 1);
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    assert!(metrics.contains("crossfade_session_refreshes_total{outcome=\"renewed\"} 3"), "{metrics}");
    assert_eq!(events(&crossfade, "session_ended"), Vec::<Value>::new());
}

#[test]
fn no_trouble_of_the_token_endpoint_signs_anybody_out_or_keeps_them_waiting() {
    let faults = [
        json!({ "kind": "status", "status": 500 }),
        json!({ "kind": "status", "status": 503 }),
        json!({ "kind": "status", "status": 400 }),
        json!({ "kind": "status", "status": 403 }),
        json!({ "kind": "status", "status": 404 }),
        json!({ "kind": "html" }),
        json!({ "kind": "huge", "size_bytes": 2_000_000 }),
        json!({ "kind": "truncated" }),
        json!({ "kind": "reset" }),
        json!({ "kind": "wrong_types" }),
        json!({ "kind": "down" }),
        json!({ "kind": "lost" }),
        json!({ "kind": "slow", "delay_ms": 6000 }),
        json!({ "kind": "rate_limited", "reset_after_secs": 2 }),
    ];
    let people = people(faults.len());
    let scene = Scene::set(&Cast {
        people: people.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS, "refresh_tokens": "same" }),
        ..Cast::default()
    });
    let crossfade = scene.start(&[]);
    let visitors: Vec<Visitor> = people.iter().map(|person| signed_in(&scene, person)).collect();
    let_it_expire();
    scene.scalekit.change_settings(&json!({ "access_token_secs": 300 }));
    let mut longest = Duration::ZERO;
    for (fault, visitor) in faults.iter().zip(&visitors) {
        let mut at_tokens = fault.clone();
        at_tokens["path"] = "/oauth/token".into();
        scene.scalekit.set_faults(&at_tokens);
        for _ in 0..2 {
            let begun = now();
            assert_eq!(session(visitor)["signed_in"], true, "{fault}");
            longest = longest.max(begun.elapsed());
        }
    }
    figures(&format!("{} kinds of trouble, the slowest answer took {longest:?}", faults.len()));
    assert!(longest < Duration::from_secs(3), "no request waits for a refresh: {longest:?}");
    scene.scalekit.clear_faults();
    let renewed = |visitor: &Visitor| {
        let state = session(visitor);
        assert_eq!(state["signed_in"], true);
    };
    wait::until("all of them are refreshed in the end", || {
        visitors.iter().for_each(renewed);
        let metrics = crossfade.admin_visitor().get("/metrics").text();
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("crossfade_session_refreshes_total{outcome=\"renewed\"} ")?
                .parse::<usize>()
                .ok()
        });
        (line >= Some(visitors.len())).then_some(())
    });
    assert_eq!(events(&crossfade, "session_ended"), Vec::<Value>::new());
}

/// An answer that is lost where tokens rotate cannot be had again: the session ends, and the log says which of the
/// two it was.
#[test]
fn a_refused_refresh_ends_the_session_and_tells_a_lost_answer_from_a_revocation() {
    let people = people(4);
    let scene = Scene::set(&Cast {
        people: people.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS }),
        ..Cast::default()
    });
    let crossfade = scene.start(&[]);
    let visitors: Vec<Visitor> = people.iter().map(|person| signed_in(&scene, person)).collect();
    let [revoked, lost, another, bystander] = &visitors[..] else { panic!("four of them") };
    let_it_expire();
    scene.scalekit.change_settings(&json!({ "access_token_secs": 300 }));
    assert_eq!(session(bystander)["signed_in"], true);
    wait::until("one is refreshed", || (refreshes(&scene, "granted") == 1).then_some(()));

    let ends = |visitor: &Visitor, why: &str| {
        wait::until("the session has ended", || (session(visitor)["signed_in"] == false).then_some(()));
        // The log is read by a thread of the test's own.
        wait::until(&format!("the log says {why}"), || {
            let ended = events(&crossfade, "session_ended");
            ended.iter().any(|event| event["session.why"] == why).then_some(())
        });
        let page = visitor.get("/");
        assert_eq!(page.status, 200, "signed out is no error");
        assert_eq!(visitor.cookie("crossfade"), None, "the cookie is cleared");
    };
    scene.scalekit.change_settings(&json!({ "refresh_tokens": "refused" }));
    ends(revoked, "refresh_refused");
    scene.scalekit.change_settings(&json!({ "refresh_tokens": "rotate", "id_token": "wrong_sub" }));
    ends(another, "refresh_of_another");
    scene.scalekit.change_settings(&json!({ "id_token": "none" }));
    scene.scalekit.set_faults(&json!({ "kind": "lost", "path": "/oauth/token", "times": 1 }));
    assert_eq!(session(lost)["signed_in"], true, "not yet: nobody knows what became of it");
    ends(lost, "refresh_lost");
    assert!(crossfade.process.stderr().contains("whose answer was never stored"));
    assert_eq!(session(bystander)["signed_in"], true);
    assert_eq!(events(&crossfade, "session_ended").len(), 3);
}

#[test]
fn a_changed_role_and_address_reach_the_application_with_the_refresh() {
    let people = people(1);
    let scene = Scene::set(&Cast {
        people: people.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS }),
        ..Cast::default()
    });
    let crossfade = scene.start(&[]);
    let visitor = signed_in(&scene, &people[0]);
    let before = session(&visitor);
    assert_eq!(before["email"], people[0].email.as_str());
    scene.scalekit.change_settings(&json!({ "id_token": "email_unverified" }));
    let_it_expire();
    let state = wait::until("it is refreshed", || {
        let state = session(&visitor);
        (refreshes(&scene, "granted") >= 1).then_some(state)
    });
    assert_eq!(state["email"], before["email"], "an address nobody verified changes nothing");
    assert_eq!(state["user"], before["user"]);
    assert_eq!(events(&crossfade, "session_ended"), Vec::<Value>::new());
}

/// What a request is answered with when it is not the session's fault.
fn is_fine(answer: &Answer) -> bool {
    answer.status == 200 || answer.status == 303
}
