//! Whoever crossed, at the gate: no form brings them the application's session, and no typed name makes a browser theirs.

use std::sync::Arc;

use super::{
    gate::{ANN, Away, NOBODY, World, config},
    support::{Application, Reply},
};
use crate::{
    clock::Timestamp,
    config::{Config, HandOff},
    identity::{CanonicalEmail, ExternalId, VerifiedEmail},
    login::{
        Alias, Row, RowState,
        tests::{record, source},
    },
    rollout::Bucket,
};

/// Ann, who crossed; only her address leads to her.
fn crossed() -> Row {
    let (record, at) = (record("ann"), Timestamp::from_seconds(1));
    let fresh = Row::fresh(record.key(), Bucket::test(9999), ExternalId::received("ann".into()), at);
    let address = CanonicalEmail::parse("ann@example.com").unwrap();
    let email = VerifiedEmail::assert(&source(), &record.email, None).ok();
    let aliases = vec![Alias::Email(address)];
    Row { state: RowState::Done, crossed_at: Some(at), email, aliases, record: Some(record), ..fresh }
}

fn before(application: &Application, config: &Config, begins: bool) -> World {
    let world = World::with(application, config, Arc::new(Away { begins }));
    let row = crossed();
    world.ledger.rows.lock().unwrap().insert(row.key.clone(), row);
    world
}

/// Lets Ann in by whatever name, where the form says `p=right`.
fn application() -> Application {
    Application::run(|guest| {
        while let Some(request) = guest.request() {
            guest.send(match () {
                () if request.starts_with("GET /me") && request.contains("sid=1") => ANN,
                () if request.starts_with("GET /me") => NOBODY,
                () if request.contains("p=right") => {
                    "HTTP/1.1 302 Found\r\nSet-Cookie: sid=1\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
                }
                () => "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            });
        }
    })
}

fn sets(reply: &Reply, cookie: &str) -> bool {
    reply.all("set-cookie").iter().any(|line| line.starts_with(cookie))
}

#[test]
fn no_spelling_and_no_form_brings_the_applications_session_to_whoever_crossed() {
    for rollout in ["cutover: 0%", "cutover: 0%, migrate: 100%"] {
        let application = application();
        let world = before(&application, &config(rollout, ""), true);
        for body in [
            "l=0815&p=right",
            "l=ANN&p=right",
            // An address that is not the record's own leads to nobody, however often it is typed.
            "l=old%40example.com&p=right",
            "l=old%40example.com&p=right",
            // Proves nothing to us, and signs in all the same.
            "l=0817&p=right&p=right",
        ] {
            let reply = world.sign_in(body, "a=b");
            let to = reply.all("location");
            assert!(reply.status == 303 && to[0].contains("/oauth/authorize"), "{rollout} {body}: {reply:?}");
            assert!(!sets(&reply, "sid="), "{body}: {reply:?}");
        }
        let wrong = world.sign_in("l=0818&p=wrong", "a=b");
        assert_eq!((wrong.status, wrong.all("location")), (302, vec!["/login"]), "its no is its no");
    }
}

#[test]
fn whom_the_dial_sent_back_the_application_lets_in() {
    let application = application();
    let back = config("cutover: 0%, rollback_mode: legacy", "");
    let world = before(&application, &back, true);
    for body in ["l=0815&p=right", "l=0815&p=right&p=right"] {
        let reply = world.sign_in(body, "a=b");
        assert!(reply.status == 302 && sets(&reply, "sid=1"), "{body}: {reply:?}");
    }
    // Who cannot be handed over now does not fall back to a legacy password.
    let world = before(&application, &config("cutover: 0%", ""), false);
    let reply = world.sign_in("l=0815&p=right", "a=b");
    assert!(reply.status == 503 && !sets(&reply, "sid="), "{reply:?}");
}

#[test]
fn a_cookie_that_signs_its_owner_in_anew_says_nothing_of_the_form() {
    const MALLORY: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n{\"id\":\"mallory\",\"email\":\"m@example.com\"}\r\n";
    let application = Application::run(|guest| {
        while let Some(request) = guest.request() {
            let known = request.contains("remember=mallory") || request.contains("sid=mallory");
            guest.send(match () {
                () if request.starts_with("GET /me") && known => MALLORY,
                () if request.starts_with("GET /me") => NOBODY,
                () if known => {
                    "HTTP/1.1 302 Found\r\nSet-Cookie: sid=mallory\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
                }
                () => "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            });
        }
    });
    let world = World::before(&application, &config("cutover: 0%, migrate: 100%", ""));
    for number in 0..12 {
        assert_eq!(world.sign_in("l=victim&p=wrong", "a=b").status == 429, number >= 10, "{number}");
        if number == 8 {
            let reply = world.sign_in("l=victim&p=x", "remember=mallory");
            assert_eq!(reply.all("location")[..].to_vec(), ["/"]);
            assert!(!sets(&reply, "__Host-crossfade-known="), "{reply:?}");
        }
    }
    assert!(world.ledger.rows.lock().unwrap().is_empty(), "the victim's name leads to somebody");
}

#[test]
fn who_am_i_is_asked_once_where_the_typed_name_is_the_persons() {
    for (body, calls) in [("l=ann%40example.com&p=right", 1), ("l=0815&p=right", 2)] {
        let application = application();
        let world = World::before(&application, &config("cutover: 0%", ""));
        assert_eq!(world.sign_in(body, "a=b").status, 302);
        assert_eq!(application.received().matches("GET /me").count(), calls, "{body}");
    }
}

#[test]
fn a_browser_is_not_theirs_for_a_typed_name() {
    let application = application();
    let mut config = config("cutover: 100%", "");
    config.scalekit.hand_offs.default = HandOff::App { url: "/start?h={login_hint}".into() };
    let world = World::before(&application, &config);
    let reply = world.sign_in("l=ann&p=right", "a=b");
    assert_eq!((reply.status, reply.all("location")[..].to_vec()), (303, vec!["/start?h=ann%40example.com"]));
    assert!(sets(&reply, "__Host-crossfade-device="), "{reply:?}");
    let reply = world.sign_in("l=ann&p=wrong", "a=b");
    assert_eq!((reply.status, reply.all("location")[..].to_vec()), (303, vec!["/start?h="]));
    assert!(!sets(&reply, "__Host-crossfade-device="), "{reply:?}");
}
