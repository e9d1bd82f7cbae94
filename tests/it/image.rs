//! The container image, run as the pod that the chart describes: people move through it, it stops in order, and it
//! takes a changed configuration from its mounted volume.

use std::{fs, os::unix::fs::MetadataExt as _, thread};

use serde_json::{Value, json};

use crate::support::{
    helm::{self, CHART, Manifests},
    http::Visitor,
    image::image,
    pod::{Node, Pod, Secrets},
    ports,
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    wait,
};

/// A secret that reaches the pod as a variable; all others are files.
const VARIABLE: &str = "OKTA_API_TOKEN";

/// The chart's values for a scene, and the Secrets that they refer to.
struct Release {
    values: Value,
    secrets: Secrets,
    admin: u16,
}

impl Release {
    fn of(scene: &Scene) -> Self {
        let mut config: Value = serde_saphyr::from_str(scene.configuration()).unwrap();
        let admin = ports::free();
        config["public"]["listen"] = json!(format!("0.0.0.0:{}", scene.public().port()));
        config["admin"]["listen"] = json!(format!("0.0.0.0:{admin}"));
        config.as_object_mut().unwrap().remove("store");
        let export = config["legacy"]["sources"][1]["hash_file"]["path"].take();
        config["legacy"]["sources"][1]["hash_file"]["path"] = json!("secrets/people.jsonl");
        refer_to_files(&mut config);

        let mut secrets = Secrets::new();
        let mut entries = Vec::new();
        let mut give = |secret: &str, key: &str, value: &str| {
            secrets.insert((secret.to_owned(), key.to_owned()), value.to_owned());
            let kind = if key == VARIABLE { "env" } else { "file" };
            entries.push(json!({ kind: key, "secretName": secret, "key": key }));
        };
        for (name, value) in SECRETS {
            give("crossfade", &file_of(name), value);
        }
        give("export", "people.jsonl", &fs::read_to_string(export.as_str().unwrap()).unwrap());
        let image = json!({ "repository": "registry.example.com/crossfade" });
        let values = json!({ "image": image, "config": config, "secrets": entries });
        Self { values, secrets, admin }
    }

    fn render(&self) -> Manifests {
        let scratch = Scratch::new();
        let values = scratch.write("values.yaml", &self.values.to_string());
        helm::BOTH[1].render(CHART, &[&values], &[]).unwrap()
    }
}

fn file_of(variable: &str) -> String {
    if variable == VARIABLE { variable.to_owned() } else { variable.to_lowercase().replace('_', "-") }
}

/// Every `{env: NAME}` but one becomes a file.
fn refer_to_files(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("env").and_then(Value::as_str).filter(|name| *name != VARIABLE) {
                *value = json!({ "file": format!("secrets/{}", file_of(name)) });
            } else {
                map.values_mut().for_each(refer_to_files);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(refer_to_files),
        _ => {}
    }
}

fn is_healthy(pod: &Pod) -> bool {
    let (code, said) = pod.exec(&["/usr/local/bin/crossfade", "health"]);
    assert!(code == Some(0) || code == Some(1), "{code:?}: {said}");
    code == Some(0)
}

#[test]
fn the_image_says_how_it_is_run() {
    let image = image();
    let config = &image.config;
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/crossfade"]));
    assert_eq!(config["Cmd"], json!(["serve", "--config", "/etc/crossfade/config.yaml"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["ExposedPorts"], json!({ "8080/tcp": {}, "9090/tcp": {} }));
    assert_eq!(config["Volumes"], json!({ "/var/lib/crossfade": {} }));
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/usr/local/bin/crossfade", "health"]));
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    assert_eq!(*label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(*label("licenses"), "Apache-2.0");
    let state = fs::metadata(image.root.join("var/lib/crossfade")).unwrap();
    assert_eq!((state.uid(), state.gid()), (65532, 65532));
    let program = fs::metadata(image.root.join("usr/local/bin/crossfade")).unwrap();
    assert_eq!((program.uid(), program.mode() & 0o7777), (0, 0o755), "its own user cannot change it");
    for shell in ["bin/sh", "bin/bash", "bin/dash", "bin/busybox"] {
        assert!(!image.root.join(shell).exists(), "{shell} is in the image");
    }
}

#[test]
fn somebody_moves_through_the_pod_that_the_chart_describes() {
    let ann = Person::new("ann");
    let scene = Scene::set(&Cast { people: vec![ann.clone()], ..Cast::default() });
    let (release, node) = (Release::of(&scene), Node::new(image()));
    let manifests = release.render();
    let mut pod = node.start(&manifests, &release.secrets);

    assert_eq!(pod.status("Uid"), "65532 65532 65532 65532");
    assert_eq!(pod.status("Gid"), "65532 65532 65532 65532");
    assert_eq!((pod.status("CapEff"), pod.status("CapPrm")), ("0".repeat(16), "0".repeat(16)));
    assert_eq!(pod.status("NoNewPrivs"), "1");
    assert!(pod.status("NSpid").ends_with(" 1"), "it is PID 1: {}", pod.status("NSpid"));
    let mounts = pod.mounts();
    for (place, mode) in [("/", "ro"), ("/etc/crossfade", "ro"), ("/var/lib/crossfade", "rw")] {
        assert!(mounts[place].split(',').any(|option| option == mode), "{place}: {}", mounts[place]);
    }
    assert!(is_healthy(&pod), "{}", pod.process.said());

    let visitor = scene.visitor();
    let handed_over = scene.sign_in(&visitor, &ann.email, PASSWORD);
    assert!(scene.is_handed_over(&handed_over), "{} {}", handed_over.status, handed_over.text());
    let back = scene.confirm_mailbox(&visitor, &handed_over, &ann.email);
    assert_eq!((back.status, back.location()), (303, "/"), "{}", back.text());
    assert!(visitor.get("/").text().contains(&ann.email), "the application knows who it is");
    let users = scene.users_with(&ann.email);
    assert_eq!((users.len(), &users[0]["external_id"]), (1, &json!(ann.external_id())));

    // What is known lives in the volume: a new pod goes on where the old one stopped.
    assert_eq!(pod.terminate(), Some(0), "{}", pod.process.said());
    let store = fs::metadata(node.volume("state").join("crossfade.redb")).unwrap();
    assert_eq!((store.uid(), store.gid()), (65532, 65532));
    let mut pod = node.start(&manifests, &release.secrets);
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], true);
    assert_eq!(pod.terminate(), Some(0), "{}", pod.process.said());
    for (_, secret) in release.secrets.iter().filter(|((name, _), _)| name == "crossfade") {
        assert!(!pod.process.said().contains(secret.as_str()), "a secret was printed");
    }
}

#[test]
fn a_turned_dial_is_taken_from_the_mounted_volume() {
    let (ann, ben) = (Person::new("ann"), Person::new("ben"));
    let scene = Scene::set(&Cast { people: vec![ann.clone(), ben.clone()], ..Cast::default() });
    let (mut release, node) = (Release::of(&scene), Node::new(image()));
    release.values["config"]["rollout"]["cutover"] = json!("0%");
    let before = release.render();
    let pod = node.start(&before, &release.secrets);
    let answer = scene.sign_in(&scene.visitor(), &ann.email, PASSWORD);
    assert!(Scene::is_in_the_application(&answer), "{} {}", answer.status, answer.text());

    release.values["config"]["rollout"]["cutover"] = json!("100%");
    let after = release.render();
    assert_eq!(before.workload(), after.workload(), "a turned dial replaces no pod");
    node.project(&after, &release.secrets);
    let reloaded = "crossfade_config_reloads_total{result=\"ok\"} 1";
    wait::until("the dial is noticed", || {
        let metrics = Visitor::of(([127, 0, 0, 1], release.admin).into()).get("/metrics");
        metrics.text().lines().any(|line| line == reloaded).then_some(())
    });
    let answer = scene.sign_in(&scene.visitor(), &ben.email, PASSWORD);
    assert!(scene.is_handed_over(&answer), "{} {}", answer.status, answer.text());
    assert!(is_healthy(&pod));
}

#[test]
fn a_pod_that_is_told_to_stop_finishes_what_has_begun() {
    let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
    let mut release = Release::of(&scene);
    release.values["config"]["public"]["limits"]["drain_wait"] = json!("3s");
    let node = Node::new(image());
    let mut pod = node.start(&release.render(), &release.secrets);
    assert!(is_healthy(&pod));
    scene.app.set_faults(&json!({ "kind": "slow", "delay_ms": 6000, "path": "/api/me" }));

    let slow = scene.visitor();
    let answer = thread::spawn(move || slow.get("/api/me").status);
    wait::until("the request is at the application", || {
        let counts = scene.app.counts().to_string();
        counts.contains("/api/me").then_some(())
    });
    pod.ask_to_stop();
    wait::until("it is not ready any more", || (!is_healthy(&pod)).then_some(()));
    // Those who were not told yet still come: it accepts for the whole of drain_wait.
    assert_eq!(scene.visitor().get("/login").status, 200);
    assert_eq!(answer.join().unwrap(), 401, "the application's own answer, which it gave after the signal");
    assert_eq!(pod.process.wait().code(), Some(0), "{}", pod.process.said());
}
