//! Migrations that a killed process left behind are finished without their people (design, "Settled").

use std::thread;

use redb::ReadableTable as _;
use serde_json::json;

use crate::support::{
    admin_tokens::{OPERATOR, TOKENS, VIEWER},
    crossfade::{Crossfade, crossfade_with},
    http,
    scene::{Cast, PASSWORD, Person, Scene},
    wait,
};

/// No lease ends while people are being stranded.
const SLOW: [(&str, &str); 1] = [("CROSSFADE_MIGRATION__LEASE", "10m")];

/// As quick as the rules for these settings allow.
const QUICK: [(&str, &str); 3] = [
    ("CROSSFADE_MIGRATION__SCALEKIT_BUDGET", "900ms"),
    ("CROSSFADE_MIGRATION__OUTCOME_BUDGET", "900ms"),
    ("CROSSFADE_MIGRATION__LEASE", "2s"),
];

/// Killed in the middle of a first sign-in.
fn strand(scene: &Scene, crossfade: &mut Crossfade, point: &str, person: &Person) {
    crossfade.set("CROSSFADE_FAILPOINT", Some(point));
    crossfade.start_again();
    let request = scene.filled_in(&scene.visitor(), &person.email, PASSWORD);
    let victim = thread::spawn(move || http::fails(request));
    wait::until(&format!("{point} is reached"), || {
        crossfade.process.stderr().contains("failpoint reached").then_some(())
    });
    crossfade.kill();
    victim.join().unwrap();
}

fn starts_quickly(crossfade: &mut Crossfade) {
    crossfade.set("CROSSFADE_FAILPOINT", None);
    for (name, value) in QUICK {
        crossfade.set(name, Some(value));
    }
    crossfade.start_again();
}

fn swept(crossfade: &Crossfade, result: &str) -> usize {
    let name = format!("crossfade_swept_people_total{{result=\"{result}\"}} ");
    let metrics = crossfade.admin_visitor().get("/metrics").text();
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn whoever_was_stranded_by_a_kill_is_finished_without_another_sign_in() {
    // Not begun to create; created, and nobody wrote it down; written down, and not looked at.
    let points = ["after:store_claimed", "after:create", "after:store_created"];
    let people: Vec<Person> = (1..=points.len()).map(|n| Person::new(&format!("stranded-{n}"))).collect();
    let sent = Person::new("never-sent");
    let everybody = people.iter().chain([&sent]).cloned().collect();
    let scene = Scene::set(&Cast { people: everybody, ..Cast::default() });
    let mut crossfade = scene.start(&SLOW);
    for (point, person) in points.iter().zip(&people) {
        strand(&scene, &mut crossfade, point, person);
    }
    // The intent is stored and nobody knows that nothing was sent: only the person can prove themselves again.
    strand(&scene, &mut crossfade, "before:create", &sent);
    let creates = || scene.scalekit.look("counts")["creates_received"].as_u64().unwrap();
    assert_eq!(creates(), 2);

    starts_quickly(&mut crossfade);
    wait::until("all of them are finished", || (swept(&crossfade, "done") == people.len()).then_some(()));
    wait::until("the other one was looked for", || (swept(&crossfade, "not_yet") > 0).then_some(()));
    assert_eq!(creates(), 3, "one first create, and no second one");
    assert!(scene.users_with(&sent.email).is_empty());
    for person in &people {
        let users = scene.users_with(&person.email);
        assert_eq!(users.len(), 1, "{}", person.id);
        assert_eq!(users[0]["external_id"], person.external_id().as_str());
    }
    // DONE: the next sign-in is handed over whatever is typed, and makes nobody.
    for person in &people {
        let answer = scene.sign_in(&scene.visitor(), &person.email, "not the password");
        assert!(scene.is_handed_over(&answer), "{}: {}", person.id, answer.status);
    }
    let answer = scene.sign_in(&scene.visitor(), &sent.email, PASSWORD);
    assert!(scene.is_handed_over(&answer), "{}", answer.status);
    assert_eq!(creates(), 4);
}

/// Makes the rows of these people such that nobody can read them.
fn garble(scene: &Scene, people: &[&Person]) {
    const ROWS: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("rows");
    let database = redb::Database::open(scene.store_file()).unwrap();
    let transaction = database.begin_write().unwrap();
    for person in people {
        let mut rows = transaction.open_table(ROWS).unwrap();
        let key = rows.iter().unwrap().map(|entry| entry.unwrap().0.value().to_owned());
        let key = key.into_iter().find(|key| key.ends_with(&format!(":{}", person.id))).unwrap();
        rows.insert(key.as_str(), b"{garbage".as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_row_that_cannot_be_read_keeps_nobody_else_waiting_and_is_removed_by_its_key() {
    let people = ["a-garbled", "b-stranded"].map(Person::new);
    let [garbled, stranded] = &people;
    let scene = Scene::set(&Cast { people: people.to_vec(), ..Cast::default() });
    let configuration = scene.configuration().replacen("admin:\n", TOKENS, 1);
    let environment = [&SLOW[..], &[("OPERATOR_TOKEN", OPERATOR), ("VIEWER_TOKEN", VIEWER)]].concat();
    let mut crossfade = Scene::start_as(&configuration, &environment);
    for person in &people {
        strand(&scene, &mut crossfade, "after:create", person);
    }
    garble(&scene, &[garbled]);
    starts_quickly(&mut crossfade);
    wait::until("the other one is finished", || (swept(&crossfade, "done") == 1).then_some(()));
    assert!(swept(&crossfade, "unreadable") > 0);
    let metrics = || crossfade.admin_visitor().get("/metrics").text();
    wait::until("the sweep went to its end", || {
        metrics().contains("crossfade_open_people 1\n").then_some(())
    });
    assert!(crossfade.process.said().contains("row cannot be read"));
    assert!(!crossfade.process.said().contains(&garbled.id), "no log names a person");

    let users = |arguments: &[&str]| {
        let admin = crossfade.admin.to_string();
        let arguments = [&["users"], arguments, &["--admin", &admin]].concat();
        let (exit, out, said) = crossfade_with(&arguments, &[("CROSSFADE_ADMIN_TOKEN", OPERATOR)]);
        (exit, format!("{out}{said}"))
    };
    let (_, listed) = users(&["list", "--all"]);
    let key =
        listed.lines().find_map(|line| line.split_once(": the row cannot be read")).unwrap().0.to_owned();
    assert!(key.ends_with(&garbled.id) && listed.contains(&stranded.id), "{listed}");
    let (exit, shown) = users(&["show", "--key", &key]);
    assert!(exit == Some(1) && shown.contains("tombstone"), "{exit:?} {shown}");
    let (exit, removed) = users(&["tombstone", "--key", &key, "--yes"]);
    assert!(exit == Some(0) && removed.contains("is removed"), "{removed}");
    let (_, listed) = users(&["list", "--state", "tombstone"]);
    assert!(listed.contains(&key) && !listed.contains("cannot be read"), "{listed}");
    let answer = scene.sign_in(&scene.visitor(), &garbled.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{}", answer.status);
    wait::until("nobody is left", || metrics().contains("crossfade_open_people 0\n").then_some(()));
}

#[test]
fn nobody_is_created_whose_record_is_locked_or_gone_by_then() {
    let people = ["locked", "gone"].map(Person::new);
    let scene = Scene::set(&Cast { people: people.to_vec(), ..Cast::default() });
    let columns = "          given_name: given_name\n";
    let configuration =
        scene.configuration().replace(columns, &format!("{columns}          locked: locked\n"));
    let mut crossfade = Scene::start_as(&configuration, &SLOW);
    for person in &people {
        strand(&scene, &mut crossfade, "after:store_claimed", person);
    }
    let lines = scene.export();
    let locked = lines.lines().find(|line| line.contains("locked@")).unwrap();
    let mut locked: serde_json::Value = serde_json::from_str(locked).unwrap();
    locked["locked"] = json!(true);
    scene.write_export(&format!("{locked}\n"));

    starts_quickly(&mut crossfade);
    wait::until("the locked one is set aside", || (swept(&crossfade, "set_aside") == 1).then_some(()));
    wait::until("the other one was looked at", || (swept(&crossfade, "next_sign_in") > 0).then_some(()));
    for person in &people {
        assert!(scene.users_with(&person.email).is_empty(), "{}", person.id);
    }
    assert_eq!(scene.scalekit.look("counts")["creates_received"], 0);
}
