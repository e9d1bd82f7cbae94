//! The raw payloads against the built program, from the outside (SEC-19).

#[path = "../../src/proxy/tests/figures.rs"]
pub(crate) mod figures;
#[path = "../../src/proxy/tests/judge.rs"]
mod judge;
#[path = "../../src/proxy/tests/payloads.rs"]
mod payloads;
#[path = "../../src/proxy/tests/recording.rs"]
mod recording;

use std::{thread, time::Duration};

use self::{
    payloads::Stage,
    recording::{Manner, Recording},
};
use crate::support::{
    plain::{self, HOST},
    scene::{Cast, PASSWORD, Person, Scene},
};

/// Long enough for what is still under way inside the program.
fn settle(recording: &Recording) {
    thread::park_timeout(Duration::from_millis(60));
    recording.wait_for_open(64);
}

#[test]
fn every_payload_has_one_meaning_to_the_built_program() {
    let play = |manner| {
        let recording = Recording::start(manner);
        let crossfade = plain::proxy(recording.address, "", "");
        let stage = Stage {
            address: crossfade.public,
            recording: &recording,
            host: HOST,
            auth: "",
            identity: "X-Crossfade-Assertion",
            via: "1.1 crossfade",
            settle: &|| settle(&recording),
        };
        let failed = stage.play_all();
        let (passed, opened) = (53 - failed.len(), recording.opened());
        figures::note(&format!(
            "edge payloads, the built program from outside, application {manner:?}: {passed}/53 over {opened} \
             upstream connections"
        ));
        failed
    };
    thread::scope(|scope| {
        let all = [Manner::Keeps, Manner::SaysClose, Manner::Closes]
            .map(|manner| scope.spawn(move || play(manner)));
        for playing in all {
            let failed = playing.join().unwrap();
            assert!(failed.is_empty(), "{}", failed.join("\n"));
        }
    });
}

/// A session that began with a real sign-in at the stand-ins goes on before the recording application.
#[test]
fn every_payload_has_one_meaning_to_the_built_program_for_somebody_signed_in() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let mut crossfade = scene.start(&[]);
    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{}", handed_over.text());
    assert_eq!(scene.confirm_mailbox(&visitor, &handed_over, &ann.email).status, 303);
    let cookie = visitor.cookie("crossfade").expect("a session");
    let recording = Recording::start(Manner::Keeps);
    crossfade.set("CROSSFADE_UPSTREAM__URL", Some(&format!("http://{}", recording.address)));
    // Then every other identity field is somebody's invention.
    crossfade.set("CROSSFADE_IDENTITY__PLAIN_HEADERS", Some("false"));
    crossfade.start_again();
    let host = scene.public().to_string();
    let stage = Stage {
        address: crossfade.public,
        recording: &recording,
        host: &host,
        auth: &format!("Cookie: crossfade={cookie}\r\n"),
        identity: "X-Crossfade-Assertion",
        via: "1.1 crossfade",
        settle: &|| settle(&recording),
    };
    let failed: Vec<String> = payloads::all()
        .iter()
        .filter(|case| case.profile.as_deref() == Some("auth"))
        .flat_map(|case| stage.complaints(case))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let me = visitor.get("/.crossfade/session").json();
    assert_eq!((&me["signed_in"], &me["email"]), (&true.into(), &ann.email.clone().into()));
}
