//! A store that lost everything, or is an old copy (truth 8): nobody is created twice, nobody is created at all until
//! an operator confirms the store, and everybody who moved or was born new still gets in.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::support::{
    crossfade::{Crossfade, crossfade_with},
    draft::{elsewhere, in_place_of_the_file},
    http::{Answer, Visitor},
    redis::{self, Redis},
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::{Scratch, copy_folder},
    wait,
};

/// A token of the admin API, as long as one has to be.
const TOKEN: &str = "canary-operator-token-7Jq2Lx9Wd4Nb6Tz1";

/// Somebody whom only Scalekit knows.
const NEWT: &str = "newt@example.com";

/// What a store may lose here without being doubted.
const TOLERANCE: &str = "1s";

fn cast(people: &[Person]) -> Cast {
    let newt = json!({ "id": "usr_170000000000000009", "email": NEWT });
    Cast { people: people.to_vec(), users: vec![newt], ..Cast::default() }
}

/// The scene's configuration with an operator of the admin API.
fn with_operator(configuration: &str) -> String {
    let tokens = "  tokens: [{name: on-call, role: operator, token: {env: OPERATOR_TOKEN}}]\n";
    configuration.replace("admin:\n", &format!("admin:\n{tokens}"))
}

fn call(at: &Crossfade, method: &str, path: &str) -> Answer {
    call_with(at, method, path, &json!({}))
}

fn call_with(at: &Crossfade, method: &str, path: &str, body: &Value) -> Answer {
    let visitor = at.admin_visitor();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = visitor.request(method.clone(), path).bearer_auth(TOKEN);
    let request = if method == reqwest::Method::GET { request } else { request.json(body) };
    visitor.send(request)
}

fn store(at: &Crossfade) -> Value {
    call(at, "GET", "/api/v1/store").json()
}

fn doubts(at: &Crossfade, doubt: &str) {
    wait::until(&format!("the store is doubted: {doubt}"), || (store(at)["doubt"] == doubt).then_some(()));
    let admin = at.admin_visitor();
    assert!(admin.get("/metrics").text().contains("crossfade_store_in_doubt 1"));
    assert_eq!(admin.get("/readyz").status, 200, "traffic may come all the same");
    assert!(at.process.said().contains("\"event\":\"store_doubted\""), "{}", at.process.said());
}

fn born_new_gets_in(scene: &Scene, at: &Crossfade) {
    let visitor = at.visitor();
    let handed_over = scene.sign_in(&visitor, NEWT, "no password of anybody");
    assert!(scene.is_handed_over(&handed_over), "{}: {}", handed_over.status, handed_over.text());
    signed_in_after(scene, &visitor, &handed_over, NEWT);
}

fn signed_in_after(scene: &Scene, visitor: &Visitor, handed_over: &Answer, email: &str) {
    let callback = scene.callback_of(handed_over, email);
    let origin = format!("http://{}", scene.public());
    let back = visitor.get(callback.strip_prefix(&origin).expect("Scalekit sends back to the site"));
    assert_eq!(back.status, 303, "{}", back.text());
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], true);
}

fn moves(scene: &Scene, at: &Crossfade, person: &Person) {
    // A store that is late for a moment leaves a sign-in to the application; then the next one moves.
    let (visitor, answer) = wait::until(&format!("{} is handed over", person.id), || {
        let visitor = at.visitor();
        let answer = scene.sign_in(&visitor, &person.email, PASSWORD);
        scene.is_handed_over(&answer).then_some((visitor, answer))
    });
    signed_in_after(scene, &visitor, &answer, &person.email);
}

/// What holds while the store is in doubt: who exists gets in, and whoever would have to be created does not move.
fn holds_in_doubt(scene: &Scene, at: &Crossfade, moved: &Person, unmoved: &Person) {
    moves(scene, at, moved);
    born_new_gets_in(scene, at);
    let answer = scene.sign_in(&at.visitor(), &unmoved.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{}: {}", answer.status, answer.text());
    assert!(scene.users_with(&unmoved.email).is_empty(), "nobody is created");
    let doubt = &store(at)["doubt"];
    let about = json!({ "name": unmoved.email });
    let explained = call_with(at, "POST", "/api/v1/rollout/explain", &about).json();
    assert_eq!((&explained["lane"], &explained["creates"]), (&json!("new"), &json!(false)), "{explained}");
    for told in [explained, call(at, "GET", "/api/v1/rollout").json()] {
        assert_eq!(&told["store_doubt"], doubt);
    }
}

fn nobody_is_doubled(scene: &Scene, people: &[&Person]) {
    for person in people {
        let users = scene.users_with(&person.email);
        assert_eq!(users.len(), 1, "{}", person.id);
        assert_eq!(users[0]["external_id"], person.external_id().as_str());
    }
    assert_eq!(scene.users_with(NEWT).len(), 1);
}

/// The scene's configuration with a Redis in the place of the file.
fn on(redis: &Redis, scene: &Scene) -> String {
    let section = redis.section().replace("redis: {", &format!("redis: {{epoch_tolerance: {TOLERANCE}, "));
    with_operator(&in_place_of_the_file(&section, scene.configuration()))
}

/// A Redis that comes back empty or as it was a while ago, under two processes that live on.
fn a_redis_that_lost(what: &str) {
    let [ann, ben, cleo] = ["ann", "ben", "cleo"].map(Person::new);
    let scene = Scene::set(&cast(&[ann.clone(), ben.clone(), cleo.clone()]));
    let mut redis = Redis::start();
    let environment = [("REDIS_PASSWORD", redis::PASSWORD), ("OPERATOR_TOKEN", TOKEN)];
    let first = on(&redis, &scene);
    let second = elsewhere(scene.public(), &first);
    let (one, two) = (Scene::start_as(&first, &environment), Scene::start_as(&second, &environment));
    assert_eq!(store(&one)["in_doubt"], false);

    let old = Scratch::new();
    copy_folder(redis.folder(), old.path());
    let used = store(&two)["used_seconds"].as_u64().unwrap();
    moves(&scene, &one, &ann);
    wait::until("the copy is an old one", || {
        (store(&two)["used_seconds"].as_u64()? > used + 7).then_some(())
    });
    redis.process.kill();
    fs::remove_dir_all(redis.folder()).unwrap();
    fs::create_dir_all(redis.folder()).unwrap();
    if what == "rolled_back" {
        copy_folder(old.path(), redis.folder());
    }
    redis.start_again();

    for process in [&one, &two] {
        doubts(process, what);
        holds_in_doubt(&scene, process, &ann, &ben);
    }
    assert_eq!(call(&two, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
    for (process, person) in [(&one, &ben), (&two, &cleo)] {
        wait::until("the confirmation is seen", || (store(process)["in_doubt"] == false).then_some(()));
        moves(&scene, process, person);
        born_new_gets_in(&scene, process);
        process.assert_never_said(&[TOKEN, redis::PASSWORD, PASSWORD, NEWT]);
    }
    nobody_is_doubled(&scene, &[&ann, &ben, &cleo]);
    assert!(two.process.said().contains("\"event\":\"store_confirmed\""));
}

#[test]
fn an_emptied_redis_creates_nobody_until_it_is_confirmed() {
    a_redis_that_lost("emptied");
}

#[test]
fn an_old_copy_of_redis_creates_nobody_until_it_is_confirmed() {
    a_redis_that_lost("rolled_back");
}

fn published(at: &Crossfade) -> BTreeSet<String> {
    let keys = at.visitor().get("/.crossfade/jwks.json").json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What all replicas go by is lost with it: the key that signs assertions, and to which salt and external ids the people
/// are bound.
#[test]
fn an_emptied_redis_gets_back_what_all_replicas_go_by() {
    let scene = Scene::set(&cast(&[Person::new("ann")]));
    let redis = Redis::start();
    let environment = [("REDIS_PASSWORD", redis::PASSWORD), ("OPERATOR_TOKEN", TOKEN)];
    let configuration = on(&redis, &scene);
    let start = |configuration: &str| Scene::start_as(configuration, &environment);
    let (one, two) = (start(&configuration), start(&elsewhere(scene.public(), &configuration)));
    let before = published(&one);
    assert!(before.len() == 1 && published(&two) == before, "{before:?}");
    let is_bound = || {
        let other = elsewhere(scene.public(), &configuration).replace("ROLLOUT_SALT", "FORCE_KEY");
        let refusal = Crossfade::refusal(&other, &[&SECRETS[..], &environment].concat());
        assert!(refusal.contains("rollout.salt"), "{refusal}");
    };

    redis.empty();
    wait::until("it has them back", || (redis.holds("pledge") && redis.holds("assertion_key")).then_some(()));
    is_bound();
    let third = start(&elsewhere(scene.public(), &configuration));
    assert_eq!(published(&third), before);

    // One that starts before any of them looks makes a key of its own.
    for process in [&one, &two, &third] {
        process.process.signal("STOP");
    }
    redis.empty();
    let fourth = start(&elsewhere(scene.public(), &configuration));
    let own = published(&fourth);
    assert!(own.is_disjoint(&before), "{own:?}");
    for process in [&one, &two, &third] {
        process.process.signal("CONT");
    }
    let all: BTreeSet<String> = before.union(&own).cloned().collect();
    for process in [&one, &two, &third, &fourth] {
        wait::until("all publish what any of them signs with", || (published(process) == all).then_some(()));
    }
    is_bound();
    // Whoever starts while some still sign with the old one publishes it, too.
    let fifth = start(&elsewhere(scene.public(), &configuration));
    wait::until("the fifth one, too", || (published(&fifth) == all).then_some(()));
}

/// The file of an embedded store that is gone, or an old copy, at the next start.
#[test]
fn a_file_that_is_gone_or_an_old_copy_creates_nobody_until_it_is_confirmed() {
    let [ann, ben, cleo] = ["ann", "ben", "cleo"].map(Person::new);
    let scene = Scene::set(&cast(&[ann.clone(), ben.clone(), cleo.clone()]));
    let configuration = with_operator(scene.configuration());
    let file = scene.store_file();
    let mut crossfade = Scene::start_as(&configuration, &[("OPERATOR_TOKEN", TOKEN)]);
    crossfade.kill();
    let old = fs::read(&file).unwrap();
    crossfade.start_again();
    assert_eq!(store(&crossfade)["in_doubt"], false, "killed, and well");
    moves(&scene, &crossfade, &ann);

    // The old copy is from before the confirmation, which gave the store another epoch.
    for (doubt, unmoved, copy) in [("emptied", &ben, None), ("replaced", &cleo, Some(&old))] {
        crossfade.kill();
        fs::remove_file(&file).unwrap();
        if let Some(copy) = copy {
            fs::write(&file, copy).unwrap();
        }
        crossfade.start_again();
        doubts(&crossfade, doubt);
        holds_in_doubt(&scene, &crossfade, &ann, unmoved);
        crossfade.start_again();
        doubts(&crossfade, doubt);
        assert_eq!(call(&crossfade, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
        moves(&scene, &crossfade, unmoved);
    }
    nobody_is_doubled(&scene, &[&ann, &ben, &cleo]);
}

/// Nothing is left of the store and of what was kept beside it: Scalekit knows that this is no first installation.
#[test]
fn a_store_that_is_lost_with_its_folder_is_no_first_installation() {
    let [ann, ben] = ["ann", "ben"].map(Person::new);
    let scene = Scene::set(&cast(&[ann.clone(), ben.clone()]));
    let configuration = with_operator(scene.configuration());
    let mut crossfade = Scene::start_as(&configuration, &[("OPERATOR_TOKEN", TOKEN)]);
    moves(&scene, &crossfade, &ann);
    crossfade.kill();
    let file = scene.store_file();
    fs::remove_file(&file).unwrap();
    fs::remove_file(file.with_extension("redb.seen")).unwrap();
    crossfade.start_again();
    doubts(&crossfade, "people_at_scalekit");
    holds_in_doubt(&scene, &crossfade, &ann, &ben);
    assert_eq!(call(&crossfade, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
    moves(&scene, &crossfade, &ben);
    nobody_is_doubled(&scene, &[&ann, &ben]);
}

/// `crossfade store doubt`: exit code and both streams.
fn doubt(configuration: &str) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let config = scratch.write("crossfade.yaml", configuration);
    let environment = [("REDIS_PASSWORD", redis::PASSWORD), ("OPERATOR_TOKEN", TOKEN)];
    let arguments = ["store", "doubt", "--config", config.to_str().unwrap(), "--json"];
    crossfade_with(&arguments, &[&SECRETS[..], &environment].concat())
}

/// What it says where it succeeds: whether the store was in doubt before, and how many people are in it.
fn doubted(configuration: &str) -> (bool, u64) {
    let (exit, out, said) = doubt(configuration);
    assert_eq!(exit, Some(0), "{said}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["doubt"], "by_operator");
    (told["was_so"].as_bool().unwrap(), told["people"].as_u64().unwrap())
}

fn remove(at: &Crossfade, person: &Person) {
    let about = json!({ "person": { "name": person.email } });
    let removed = call_with(at, "POST", "/api/v1/people/tombstone", &about);
    assert_eq!(removed.status, 200, "{}", removed.text());
}

fn stays(scene: &Scene, at: &Crossfade, person: &Person) {
    let answer = scene.sign_in(&at.visitor(), &person.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{}: {}", answer.status, answer.text());
    assert!(scene.users_with(&person.email).is_empty(), "{} is brought back", person.id);
}

/// Nobody is left who remembers: an operator says it before the replicas start.
#[test]
fn an_old_copy_that_no_replica_saw_come_brings_nobody_back_after_an_operators_word() {
    let [ann, ben, cleo, dora] = ["ann", "ben", "cleo", "dora"].map(Person::new);
    let scene = Scene::set(&cast(&[ann.clone(), ben.clone(), cleo.clone(), dora.clone()]));
    let mut redis = Redis::start();
    let environment = [("REDIS_PASSWORD", redis::PASSWORD), ("OPERATOR_TOKEN", TOKEN)];
    let first = on(&redis, &scene);
    let second = elsewhere(scene.public(), &first);
    let (mut one, mut two) = (Scene::start_as(&first, &environment), Scene::start_as(&second, &environment));
    moves(&scene, &one, &cleo);
    let old = Scratch::new();
    copy_folder(redis.folder(), old.path());
    remove(&one, &ann);

    one.kill();
    two.kill();
    redis.process.kill();
    fs::remove_dir_all(redis.folder()).unwrap();
    fs::create_dir_all(redis.folder()).unwrap();
    copy_folder(old.path(), redis.folder());
    redis.start_again();
    assert_eq!(doubted(&first), (false, 1));
    assert_eq!(doubted(&second), (true, 1), "it is the store that is in doubt");

    one.start_again();
    two.start_again();
    for process in [&one, &two] {
        doubts(process, "by_operator");
        holds_in_doubt(&scene, process, &cleo, &ben);
        stays(&scene, process, &ann);
    }
    // By the log of the removals, and then everybody else goes on.
    remove(&two, &ann);
    assert_eq!(call(&two, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
    wait::until("the confirmation is seen", || (store(&one)["in_doubt"] == false).then_some(()));
    moves(&scene, &one, &ben);
    stays(&scene, &one, &ann);

    // While they run, too.
    assert!(!doubted(&first).0);
    for process in [&one, &two] {
        doubts(process, "by_operator");
        holds_in_doubt(&scene, process, &cleo, &dora);
    }
    assert_eq!(call(&one, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
    wait::until("the confirmation is seen", || (store(&two)["in_doubt"] == false).then_some(()));
    moves(&scene, &two, &dora);
    nobody_is_doubled(&scene, &[&ben, &cleo, &dora]);

    redis.process.kill();
    let (exit, out, said) = doubt(&first);
    assert!(exit == Some(3) && out.is_empty() && said.contains("\n  fix: "), "{exit:?}: {said}");
    assert!(!said.contains(redis::PASSWORD), "{said}");
}

/// The file that was brought back with what was kept beside it.
#[test]
fn a_file_is_doubted_while_nobody_uses_it() {
    let [ann, ben] = ["ann", "ben"].map(Person::new);
    let scene = Scene::set(&cast(&[ann.clone(), ben.clone()]));
    let configuration = with_operator(scene.configuration());
    let mut crossfade = Scene::start_as(&configuration, &[("OPERATOR_TOKEN", TOKEN)]);
    moves(&scene, &crossfade, &ann);
    let (exit, out, said) = doubt(&configuration);
    assert!(exit == Some(1) && out.is_empty(), "{exit:?}: {out}{said}");
    assert!(said.contains("in use") && said.contains("\n  fix: stop the crossfade"), "{said}");

    crossfade.kill();
    assert_eq!(doubted(&configuration), (false, 1));
    assert_eq!(doubted(&configuration), (true, 1));
    crossfade.start_again();
    doubts(&crossfade, "by_operator");
    holds_in_doubt(&scene, &crossfade, &ann, &ben);
    assert_eq!(call(&crossfade, "POST", "/api/v1/store/confirm").json()["in_doubt"], false);
    moves(&scene, &crossfade, &ben);
    nobody_is_doubled(&scene, &[&ann, &ben]);

    crossfade.kill();
    fs::remove_file(scene.store_file()).unwrap();
    assert_eq!(doubt(&configuration).0, Some(2), "there is none to doubt");
}
