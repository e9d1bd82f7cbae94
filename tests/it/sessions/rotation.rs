//! Keys and secrets rotate while people work: no sign-out, no failure.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{SHORT_SECS, events, figures, is_fine, people, refreshes, session, signed_in};
use crate::support::{
    crossfade::Crossfade,
    http::Visitor,
    scene::{Cast, PASSWORD, Person, Scene, secret},
    scratch::Scratch,
    wait,
};

const PEOPLE: usize = 24;
/// Sign-ins that began before a rotation and end after it.
const UNDER_WAY: usize = 6;

fn with_keys(scene: &Scene, folder: &Path, names: &[&str]) -> String {
    let list: Vec<String> =
        names.iter().map(|name| format!("{{file: '{}'}}", folder.join(name).display())).collect();
    let old = "keys: [{env: SESSION_KEY}, {env: OLD_SESSION_KEY}]";
    assert!(scene.configuration().contains(old));
    scene.configuration().replace(old, &format!("keys: [{}]", list.join(", ")))
}

/// What the load came to.
#[derive(Default)]
struct Tally {
    requests: AtomicUsize,
    failures: AtomicUsize,
    signed_out: AtomicUsize,
}

/// People work: pages of the application, their own session, until told to stop.
fn work(visitors: &[Visitor], tally: &Tally, stop: &AtomicBool) {
    let rounds = visitors.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed));
    for visitor in rounds {
        for path in ["/api/me", "/.crossfade/session", "/.crossfade/check"] {
            let answer = visitor.get(path);
            tally.requests.fetch_add(1, Ordering::Relaxed);
            let signed_out = answer.status == 401
                || (path.ends_with("session") && answer.status == 200 && answer.json()["signed_in"] != true);
            tally.signed_out.fetch_add(usize::from(signed_out), Ordering::Relaxed);
            tally.failures.fetch_add(usize::from(answer.status != 200), Ordering::Relaxed);
        }
    }
}

#[test]
fn session_keys_rotate_twice_under_load_and_nobody_is_signed_out() {
    let everybody = people(PEOPLE + 3 * UNDER_WAY);
    let scene = Scene::set(&Cast {
        people: everybody.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS }),
        ..Cast::default()
    });
    let folder = Scratch::new();
    for (name, letter) in [("key0", "a"), ("key1", "b"), ("key2", "c")] {
        folder.write(name, &letter.repeat(48));
    }
    let with = |names: &[&str]| with_keys(&scene, folder.path(), names);
    let crossfade = Scene::start_as(&with(&["key0"]), &[]);
    let visitors: Vec<Visitor> = everybody[..PEOPLE].iter().map(|person| signed_in(&scene, person)).collect();
    let mut rest = everybody[PEOPLE..].chunks(UNDER_WAY);
    let to_callback = |people: &[Person]| -> Vec<(Visitor, String)> {
        let begun = people.iter().map(|person| {
            let visitor = scene.visitor();
            let handed_over = scene.sign_in(&visitor, &person.email, PASSWORD);
            let callback = scene.callback_of(&handed_over, &person.email);
            (visitor, callback)
        });
        begun.collect()
    };
    let finish = |begun: Vec<(Visitor, String)>| -> usize {
        let done = begun.iter().filter(|(visitor, callback)| {
            let back = visitor.get(visitor.path_of(callback));
            back.status == 303 && session(visitor)["signed_in"] == true
        });
        done.count()
    };

    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let mut finished = 0;
    thread::scope(|scope| {
        for visitors in visitors.chunks(PEOPLE / 4) {
            scope.spawn(|| work(visitors, &tally, &stop));
        }
        for keys in [&["key1", "key0"][..], &["key2", "key1", "key0"]] {
            let begun = to_callback(rest.next().unwrap());
            crossfade.take(&with(keys));
            finished += finish(begun);
            let before = refreshes(&scene, "granted");
            wait::until("stored tokens are opened, exchanged and sealed anew", || {
                (refreshes(&scene, "granted") >= before + 8).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    finished += finish(to_callback(rest.next().unwrap()));

    // What was sealed with the first key before the rotations is still opened: device cookies, tokens.
    let devices = visitors.iter().filter(|visitor| {
        let session = visitor.cookie("crossfade").unwrap();
        visitor.set_cookie("crossfade", "");
        let page = visitor.get("/login");
        visitor.set_cookie("crossfade", &session);
        scene.is_handed_over(&page)
    });
    let devices = devices.count();
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    figures(&format!(
        "two rotations: {} requests on {PEOPLE} sessions, {} failures, {} sign-outs, {finished} sign-ins finished \
         across them, {devices} devices known, {} refreshes",
        load(&tally.requests),
        load(&tally.failures),
        load(&tally.signed_out),
        refreshes(&scene, "granted"),
    ));
    assert!(load(&tally.requests) > 200);
    assert_eq!((load(&tally.failures), load(&tally.signed_out)), (0, 0));
    assert_eq!((finished, devices), (3 * UNDER_WAY, PEOPLE));
    assert_eq!(events(&crossfade, "session_ended"), Vec::<Value>::new());
    let out = visitors[0].get("/.crossfade/logout");
    assert!(out.location().contains("id_token_hint="), "the stored ID token is opened");

    // Everybody is refreshed once more, and then the first key can go.
    wait::until("everybody's tokens are sealed with the newest key", || {
        let before = refreshes(&scene, "granted");
        let _expired: Option<()> = wait::within(std::time::Duration::from_secs(SHORT_SECS), || None);
        visitors[1..].iter().for_each(|visitor| assert!(is_fine(&visitor.get("/api/me"))));
        wait::within(std::time::Duration::from_secs(5), || {
            (refreshes(&scene, "granted") >= before + PEOPLE as u64 - 1).then_some(())
        })
    });
    crossfade.take(&with(&["key2"]));
    for visitor in &visitors[1..] {
        assert_eq!(session(visitor)["signed_in"], true);
    }
    // A key that is gone with everything under it: signed out, and no error.
    folder.write("key3", &"d".repeat(48));
    crossfade.take(&with(&["key3"]));
    for visitor in &visitors[1..] {
        let is_out = || (session(visitor)["signed_in"] == false).then_some(());
        wait::until("the cached second is over", is_out);
        let page = visitor.get("/");
        assert_eq!((page.status, visitor.cookie("crossfade")), (200, None));
        assert_eq!(visitor.get("/login").status, 200, "a device that is not known sees the form");
    }
    crossfade.assert_never_said(&["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd"]);
}

#[test]
fn the_client_secret_rotates_and_no_sign_in_fails() {
    let everybody = people(9);
    let scene = Scene::set(&Cast {
        people: everybody.clone(),
        settings: json!({ "access_token_secs": SHORT_SECS }),
        ..Cast::default()
    });
    let folder = Scratch::new();
    let file = folder.write("secret", secret("SCALEKIT_CLIENT_SECRET"));
    let configuration = scene.configuration().replace(
        "client_secret: {env: SCALEKIT_CLIENT_SECRET}",
        &format!("client_secret: {{file: '{}'}}", file.display()),
    );
    let crossfade = Scene::start_as(&configuration, &[]);
    let mut everybody = everybody.iter();
    let mut three_sign_in = || -> Vec<Visitor> {
        // A new one of our own, too: what was fetched with the old secret is worth nothing.
        scene.scalekit.side_door(Method::DELETE, "api_tokens");
        everybody.by_ref().take(3).map(|person| signed_in(&scene, person)).collect()
    };
    let mut visitors = three_sign_in();
    let reloads = || {
        let metrics = crossfade.admin_visitor().get("/metrics").text();
        metrics.lines().any(|line| line == "crossfade_config_reloads_total{result=\"ok\"} 1").then_some(())
    };
    // Here first: Scalekit does not know the new one yet.
    folder.write("secret", "canary-new-client-secret");
    wait::until("the new secret is read", reloads);
    visitors.extend(three_sign_in());
    // There: the old one is worth nothing any more.
    let origin = format!("http://{}", scene.public());
    scene.scalekit.put(
        "clients",
        &json!([{
            "id": "skc_100000000000000001",
            "secret": "canary-new-client-secret",
            "redirect_uris": [format!("{origin}/.crossfade/callback")],
            "post_logout_redirect_uris": [format!("{origin}/")],
        }]),
    );
    visitors.extend(three_sign_in());
    let before = refreshes(&scene, "granted");
    super::let_it_expire();
    wait::until("sessions from before are refreshed with it", || {
        for visitor in &visitors {
            assert_eq!(session(visitor)["signed_in"], true);
        }
        (refreshes(&scene, "granted") >= before + 9).then_some(())
    });
    let granted = refreshes(&scene, "granted");
    figures(&format!("9 sign-ins and {granted} refreshes across a rotated client secret"));
    assert_eq!(events(&crossfade, "session_ended"), Vec::<Value>::new());
    crossfade.assert_never_said(&["canary-new-client-secret", secret("SCALEKIT_CLIENT_SECRET")]);
    assert!(!crossfade.process.stderr().contains("needs a restart"));
}

fn a_key_file() -> String {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der = STANDARD.encode(pair.to_pkcs8v1().unwrap());
    format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
}

fn published(crossfade: &Crossfade) -> Vec<String> {
    let keys = crossfade.visitor().get("/.crossfade/jwks.json").json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_assertion_key_rotates_with_both_published() {
    let people = people(1);
    let scene = Scene::set(&Cast { people: people.clone(), ..Cast::default() });
    let folder = Scratch::new();
    let file = folder.write("assertion.pem", &a_key_file());
    let configuration = scene
        .configuration()
        .replace("identity:\n", &format!("identity:\n  assertion_key: {{file: '{}'}}\n", file.display()));
    let crossfade = Scene::start_as(&configuration, &[]);
    let visitor = signed_in(&scene, &people[0]);
    let first = published(&crossfade);
    assert_eq!(first.len(), 1);
    folder.write("assertion.pem", &a_key_file());
    crossfade.process.signal("HUP");
    let both = wait::until("both are published", || {
        let keys = published(&crossfade);
        (keys.len() == 2).then_some(keys)
    });
    assert_eq!(both[0], first[0]);
    // The application asks for the keys once in a while: what it gets now is signed by the one it knows.
    let assertion = visitor.get("/.crossfade/check");
    let token = assertion.header("x-crossfade-assertion").unwrap();
    assert_eq!(jsonwebtoken::decode_header(token).unwrap().kid.as_deref(), Some(first[0].as_str()));
    assert_eq!(visitor.get("/api/me").json()["email"], people[0].email.as_str());
    // A file that is no key is refused, and the keys stay.
    folder.write("assertion.pem", "no key");
    crossfade.process.signal("HUP");
    wait::until("it is refused", || (!events(&crossfade, "config_refused").is_empty()).then_some(()));
    assert_eq!(published(&crossfade), both);
    assert_eq!(session(&visitor)["signed_in"], true);
}
