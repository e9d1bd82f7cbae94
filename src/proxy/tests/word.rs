//! What the application's yes is worth, and whom it names.

use std::time::Duration;

use super::{
    gate::{ANN, NOBODY, World, application, config},
    support::{Application, Reply},
};
use crate::{
    config::HandOff,
    login::{Alias, Ledger as _},
};

#[test]
fn who_am_i_comes_from_the_person_behind_the_proxies() {
    let application = application(ANN);
    let world = World::at(application.address, &config("cutover: 0%, migrate: 100%", ""), |public, _| {
        public.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let forwarded = "a=b\r\nX-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-For: 127.0.0.9";
    assert_eq!(world.sign_in("l=ann%40example.com&p=right", forwarded).status, 302);
    let seen = application.received();
    for request in ["POST /login ", "GET /me "] {
        let head = seen.split(request).nth(1).unwrap().split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        let lines: Vec<&str> = head.lines().filter(|line| line.starts_with("x-forwarded-for")).collect();
        assert_eq!(lines, ["x-forwarded-for: 198.51.100.7, 127.0.0.9, 127.0.0.1"], "{request}");
    }
}

#[test]
fn a_success_in_which_who_am_i_names_nobody_is_no_proof() {
    for (who_am_i, users) in [(NOBODY, 0), (ANN, 1)] {
        let application = application(who_am_i);
        let world = World::before(&application, &config("cutover: 0%, migrate: 100%", ""));
        let reply = world.sign_in("l=ann%40example.com&p=right", "a=b");
        assert_eq!((reply.status, reply.all("location")[..].to_vec()), (302, vec!["/"]));
        assert_eq!(world.users(), users, "a second factor may still be due");
    }
}

#[test]
fn whoever_the_application_lets_in_ends_the_session_that_was_there() {
    let app = || Some(HandOff::App { url: "/start".into() });
    for (rollout, hand_off, body, ends) in [
        // Ineligible in the new lane: the application goes on, and its yes counts.
        ("cutover: 100%", None, "l=bob%40example.com&p=right", true),
        ("cutover: 100%", None, "l=bob%40example.com&p=wrong", false),
        // Proves nothing to us, and signs in all the same.
        ("cutover: 100%", None, "l=bob%40example.com&p=right&p=right", true),
        ("cutover: 0%", None, "l=bob%40example.com&p=right", true),
        ("cutover: 0%", None, "l=bob%40example.com&p=wrong", false),
        // Handed over to the application's own Scalekit sign-in: no callback of ours follows.
        ("cutover: 100%", app(), "l=ann%40example.com&p=right", true),
    ] {
        let application = application(NOBODY);
        let mut config = config(rollout, "");
        if let Some(hand_off) = hand_off {
            config.scalekit.hand_offs.default = hand_off;
        }
        let world = World::before(&application, &config);
        world.store.records.lock().unwrap()[1].email.verified = Some(false);
        let (cookie, id) = world.session();
        let reply = world.sign_in(body, &cookie);
        let cleared = reply.all("set-cookie").iter().any(|line| line.starts_with("__Host-crossfade=;"));
        assert_eq!((cleared, world.is_live(&id)), (ends, !ends), "{rollout} {body}: {reply:?}");
    }
}

#[test]
fn an_own_account_in_the_same_form_forgives_no_failures_of_another() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    let known = |reply: &Reply| {
        reply.all("set-cookie").iter().any(|line| line.starts_with("__Host-crossfade-known="))
    };
    let wrong = |name: &str| world.sign_in(&format!("l={name}&p=wrong"), "a=b").status;
    for _ in 0..9 {
        assert_eq!(wrong("ann%40example.com"), 302);
    }
    for body in ["l=ann%40example.com&l=mallory&p=right", "l=mallory&l=ann%40example.com&p=right"] {
        let reply = world.sign_in(body, "a=b");
        assert_eq!((reply.status, reply.all("location")[..].to_vec()), (302, vec!["/"]));
        assert!(!known(&reply), "{body}");
    }
    assert_eq!(wrong("ann%40example.com"), 302, "the tenth");
    // Spellings that somebody may take for the same are no fresh start, nor is what proves nothing.
    for name in ["ann%40example.com", "%C3%81NN%40example.com", "ann%40example.com%0A"] {
        assert_eq!(wrong(name), 429, "{name}");
    }
    let reply = world.sign_in("l=mallory&p=right", "a=b");
    assert!(known(&reply), "a plain success: {reply:?}");
    let cookie =
        reply.all("set-cookie").into_iter().find(|line| line.contains("-known=")).unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    assert!(!known(&world.sign_in("l=mallory&p=right", cookie)), "it is known already");
    let both = world.sign_in("l=mallory&l=ann%40example.com&p=wrong", cookie);
    assert_eq!(both.status, 429, "a browser known for one of them is not known for the other");
    assert!(known(&world.sign_in("l=bob&p=right", cookie)), "another account is added");
    assert!(!application.received().contains("crossfade-known"), "the application never sees it");
}

#[test]
fn a_look_alikes_browser_is_not_known_for_the_other() {
    let application = application(NOBODY);
    let world = World::before(&application, &config("cutover: 0%", ""));
    for _ in 0..10 {
        assert_eq!(world.sign_in("l=victim&p=wrong", "a=b").status, 302);
    }
    let reply = world.sign_in("l=mallory&p=right", "a=b");
    let line = reply.all("set-cookie").into_iter().find(|line| line.contains("-known=")).unwrap().to_owned();
    let cookie = line.split(';').next().unwrap();
    // An own account by a name that somebody may take for the victim's.
    let reply = world.sign_in("l=v%C3%ADctim&p=right", cookie);
    assert_eq!(reply.status, 429, "they share a count");
    let other = World::before(&application, &config("cutover: 0%", ""));
    let reply = other.sign_in("l=v%C3%ADctim&p=right", "a=b");
    let line = reply.all("set-cookie").into_iter().find(|line| line.contains("-known=")).unwrap().to_owned();
    let cookie = line.split(';').next().unwrap();
    for number in 0..12 {
        let status = other.sign_in("l=victim&p=wrong", cookie).status;
        assert_eq!(status == 429, number >= 10, "{number}");
    }
    assert_eq!(other.sign_in("l=victim&p=wrong", "a=b").status, 429, "it was counted as a stranger's");
}

#[test]
fn a_yes_to_somebody_who_was_signed_in_before_says_nothing_of_the_form() {
    // Leads whoever has a session on to the front page, whatever the form says.
    let application = Application::run(|guest| {
        while let Some(request) = guest.request() {
            let signed_in = request.contains("sid=ann");
            guest.send(match () {
                () if request.starts_with("GET /me") && signed_in => ANN,
                () if request.starts_with("GET /me") => NOBODY,
                () if signed_in || request.contains("p=right") => {
                    "HTTP/1.1 302 Found\r\nSet-Cookie: sid=ann\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
                }
                () => "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            });
        }
    });
    let world = World::before(&application, &config("cutover: 0%, migrate: 100%", ""));
    for number in 0..12 {
        assert_eq!(world.sign_in("l=victim&p=wrong", "a=b").status == 429, number >= 10, "{number}");
        if number == 8 {
            let reply = world.sign_in("l=victim&p=wrong", "sid=ann");
            assert_eq!(reply.all("location")[..].to_vec(), ["/"]);
            let set = reply.all("set-cookie");
            assert!(!set.iter().any(|line| line.contains("-known=")), "{set:?}");
        }
    }
    let victim = Alias::Typed("victim".into());
    let row = world.runtime.block_on(world.gate.journeys.ledger.find(&victim)).unwrap();
    assert!(row.is_none(), "the victim's name leads to somebody else");
    assert_eq!(world.users(), 0);
    // The person's own name is theirs, whatever cookies come along.
    world.sign_in("l=ann&p=right", "sid=ann");
    assert_eq!(world.users(), 1);
}

#[test]
fn who_could_not_be_named_in_time_is_not_created_on_signals_alone() {
    let slow = Application::run(|guest| {
        while let Some(request) = guest.request() {
            if request.starts_with("GET /me") {
                // Longer than the budget: this is the slowness that is tested.
                std::thread::park_timeout(Duration::from_millis(900));
                guest.send(ANN);
            } else {
                guest.send(
                    "HTTP/1.1 302 Found\r\nSet-Cookie: sid=1\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
                );
            }
        }
    });
    let mut config = config("cutover: 0%, migrate: 100%", "");
    config.migration.legacy_lane_budget = Duration::from_millis(300);
    let world = World::before(&slow, &config);
    let reply = world.sign_in("l=ann%40example.com&p=right", "a=b");
    assert_eq!(reply.status, 302);
    assert_eq!(world.users(), 0);
}
