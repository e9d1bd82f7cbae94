//! `crossfade doctor`: every fault gives exactly its finding, with its fix and the right exit code, and a healthy
//! set-up gives none. It changes nothing, and says no secret.

mod redis;
mod sql;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    thread,
};

use serde_json::{Value, json};

use crate::support::{
    ports,
    scene::{Cast, PASSWORD, Person, SECRETS, Scene},
    scratch::Scratch,
    simulator::Simulator,
};

/// What one run of the doctor said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) findings: Vec<Value>,
    pub(crate) out: String,
}

/// What a healthy scene is told, too: it runs with plain http on one machine, and Okta trusts no gateway.
const DOCUMENTED: [(&str, &str); 2] = [("configuration", "warning"), ("legacy.okta", "trusted_gateway")];

impl Said {
    /// Findings that are worth a look, beside the documented ones: `group/check level place`.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let worth = self.findings.iter().filter(|finding| {
            let is_fine = matches!(finding["level"].as_str(), Some("ok" | "skipped"));
            let documented = DOCUMENTED.iter().any(|(group, check)| {
                finding["group"] == *group && finding["check"] == *check && finding["level"] == "warn"
            });
            !is_fine && !documented
        });
        let line = |finding: &Value| {
            let [group, check, level, place] =
                ["group", "check", "level", "place"].map(|key| text(finding, key));
            assert!(!text(finding, "fix").is_empty(), "a finding without a fix: {finding}");
            format!("{group}/{check} {level} {place}")
        };
        let mut lines: Vec<String> = worth.map(line).collect();
        // What is looked at side by side is told in any order.
        lines.sort();
        lines
    }

    pub(crate) fn finding(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("nothing is said of {check}:\n{}", self.out))
    }

    /// Exactly this trouble and this exit code.
    pub(crate) fn assert(&self, trouble: &[&str], code: i32) {
        assert_eq!(self.trouble(), trouble, "{}", self.out);
        assert_eq!(self.code, Some(code), "{}", self.out);
    }
}

/// Runs the doctor on this configuration with further variables beside the secrets.
pub(crate) fn doctor(configuration: &str, environment: &[(&str, &str)]) -> Said {
    let (code, out, err) = run(configuration, &["--json"], environment);
    assert_eq!(err, "");
    let mut findings: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = findings.pop().expect("a summary");
    let all: u64 = ["ok", "warn", "fail", "unreachable", "skipped"]
        .iter()
        .map(|level| summary["summary"][level].as_u64().expect("a count"))
        .sum();
    assert_eq!(all, findings.len() as u64, "the summary counts every finding: {summary}");
    Said { code, findings, out }
}

fn run(
    configuration: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let file = scratch.write("crossfade.yaml", configuration);
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
    command.args(["doctor", "--config"]).arg(file).args(arguments);
    // The tests' own setting would count as a misspelt one of the product's.
    command.env_remove("CROSSFADE_TEST_PARTS").envs(SECRETS).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    for (name, secret) in SECRETS {
        assert!(!out.contains(secret) && !err.contains(secret), "the secret {name} was said");
    }
    assert!(!out.contains(PASSWORD));
    (output.status.code(), out, err)
}

/// One person, in the application, in Okta and in the export.
fn scene() -> Scene {
    Scene::set(&Cast {
        people: vec![Person::new("ann")],
        okta: vec![json!({ "id": "00u1", "login": "ann@okta-people.example", "password": PASSWORD,
            "profile": { "emailVerified": true, "company": "harbour" } })],
        ..Cast::default()
    })
}

/// The configuration with one text in the place of another that is there exactly once.
fn with(configuration: &str, old: &str, new: &str) -> String {
    assert_eq!(configuration.matches(old).count(), 1, "{old:?} in the scene's configuration");
    configuration.replace(old, new)
}

fn nowhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports::free()))
}

#[test]
fn a_healthy_set_up_is_well_and_nothing_in_it_is_changed() {
    let scene = scene();
    let before = scene.scalekit.users();
    let said = doctor(scene.configuration(), &[]);
    said.assert(&[], 0);
    for check in
        ["token", "redirect_uri", "post_logout_redirect_uri", "default_organization", "keys", "factors"]
    {
        assert_eq!(said.finding(check)["level"], "ok", "{}", said.out);
    }
    assert_eq!(scene.scalekit.users(), before);
    for (simulator, posts) in
        [(&scene.scalekit, vec!["POST /oauth/token"]), (&scene.okta, vec![]), (&scene.app, vec![])]
    {
        let counts = simulator.counts();
        let requests = counts["requests"].as_object().expect("requests by method and path").keys();
        let sent: Vec<&str> =
            requests.map(String::as_str).filter(|request| !request.starts_with("GET ")).collect();
        assert_eq!(sent, posts, "only a token is asked for by more than GET");
    }
    let (code, out, _) = run(scene.configuration(), &[], &[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("✓ token: the client's credentials are taken") && !out.contains('\u{1b}'), "{out}");
    assert!(out.contains("\nscalekit\n") && out.trim_end().ends_with("not tried"), "{out}");
}

#[test]
fn every_fault_of_scalekit_gives_its_own_finding() {
    let scene = scene();
    let configuration = scene.configuration();
    let said = doctor(configuration, &[("SCALEKIT_CLIENT_SECRET", "canary-of-another-environment")]);
    said.assert(&["scalekit/token fail scalekit.client_secret"], 1);
    assert!(!said.out.contains("canary-of-another"), "{}", said.out);

    let elsewhere = with(configuration, "external_id: harbour", "external_id: nowhere");
    doctor(&elsewhere, &[])
        .assert(&["scalekit/default_organization fail scalekit.default_organization.external_id"], 1);
    let made = with(&elsewhere, "  timeout: 2s\n", "  timeout: 2s\n  create_organizations: true\n");
    doctor(&made, &[]).assert(&[], 0);

    let roles = with(configuration, "  timeout: 2s\n", "  timeout: 2s\n  default_roles: [member, pilot]\n");
    doctor(&roles, &[]).assert(&["scalekit/roles fail scalekit.default_roles[1]"], 1);

    let client = with(configuration, "skc_100000000000000001", "skc_100000000000000009");
    doctor(&client, &[]).assert(
        &["scalekit/client fail scalekit.client_id", "scalekit/token fail scalekit.client_secret"],
        1,
    );
    let down = with(configuration, &scene.scalekit.address.to_string(), &nowhere().to_string());
    doctor(&down, &[]).assert(&["scalekit/reachable unreachable scalekit.environment_url"], 3);

    scene.scalekit.set_faults(&json!({ "kind": "skewed", "skew_secs": 120 }));
    doctor(configuration, &[]).assert(&["scalekit/clock warn scalekit.environment_url"], 0);
    scene.scalekit.set_faults(&json!({ "kind": "skewed", "skew_secs": 900 }));
    doctor(configuration, &[]).assert(&["scalekit/clock fail scalekit.environment_url"], 1);
    scene.scalekit.set_faults(&json!({ "kind": "status", "status": 403, "path": "/api/v1/users" }));
    doctor(configuration, &[]).assert(&["scalekit/users fail scalekit.client_id"], 1);
    scene.scalekit.set_faults(&json!({ "kind": "status", "status": 503, "path": "/oauth/token" }));
    doctor(configuration, &[]).assert(&["scalekit/token unreachable scalekit.client_secret"], 3);
    scene.scalekit.clear_faults();

    scene.scalekit.put(
        "clients",
        &json!([{ "id": "skc_100000000000000001", "secret": SECRETS[0].1,
            "redirect_uris": [format!("http://{}/callback", scene.public())] }]),
    );
    let said = doctor(configuration, &[]);
    said.assert(
        &[
            "scalekit/post_logout_redirect_uri fail scalekit.client_id",
            "scalekit/redirect_uri fail scalekit.client_id",
        ],
        1,
    );
    let fix = said.finding("redirect_uri")["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("add exactly http://{}/.crossfade/callback", scene.public())), "{fix}");
}

#[test]
fn an_environment_under_another_name_is_not_the_issuer() {
    let scene = scene();
    let other = Simulator::start("scalekit", &json!({ "base_url": "https://other.scalekit.example" }));
    let configuration =
        with(scene.configuration(), &scene.scalekit.address.to_string(), &other.address.to_string());
    let said = doctor(&configuration, &[("SCALEKIT_CLIENT_SECRET", "simulated-scalekit-secret")]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.finding("discovery")["level"], "fail", "{}", said.out);
    assert!(said.finding("discovery")["seen"].as_str().unwrap().contains("issuer"), "{}", said.out);
}

#[test]
fn every_fault_of_okta_gives_its_own_finding() {
    let scene = scene();
    let configuration = scene.configuration();
    doctor(configuration, &[("OKTA_API_TOKEN", "revoked")])
        .assert(&["legacy.okta/token fail legacy.sources[0].okta.api_token"], 1);
    let attribute =
        with(configuration, "email_verified_attribute: emailVerified", "email_verified_attribute: checked");
    doctor(&attribute, &[]).assert(
        &["legacy.okta/email_verified_attribute fail legacy.sources[0].okta.email_verified_attribute"],
        1,
    );
    let text =
        with(configuration, "email_verified_attribute: emailVerified", "email_verified_attribute: company");
    doctor(&text, &[]).assert(
        &["legacy.okta/email_verified_attribute fail legacy.sources[0].okta.email_verified_attribute"],
        1,
    );
    let trusted = with(configuration, "emailVerified\n", "emailVerified\n        trusted_gateway: true\n");
    let said = doctor(&trusted, &[]);
    said.assert(&[], 0);
    assert_eq!(said.finding("trusted_gateway")["level"], "skipped");
    let down = with(configuration, &scene.okta.address.to_string(), &nowhere().to_string());
    doctor(&down, &[]).assert(&["legacy.okta/reachable unreachable legacy.sources[0].okta.url"], 3);
    scene.okta.set_faults(&json!({ "kind": "rate_limited", "path": "/api/v1/users" }));
    doctor(configuration, &[]).assert(&["legacy.okta/token unreachable legacy.sources[0].okta.api_token"], 3);
    scene.okta.set_faults(&json!({ "kind": "skewed", "skew_secs": 310 }));
    doctor(configuration, &[]).assert(&["legacy.okta/clock fail legacy.sources[0].okta.url"], 1);

    let narrow = Simulator::start(
        "okta",
        &json!({ "users": [{ "id": "00u1", "login": "ann@okta-people.example", "profile": { "emailVerified": true } }],
            "api_token": SECRETS[1].1, "token_scopes": ["users"] }),
    );
    let narrow = with(configuration, &scene.okta.address.to_string(), &narrow.address.to_string());
    let narrow = with(
        &narrow,
        "      mfa: {field: factors}\n",
        "      mfa: {field: factors}\n      roles: {Crew: member}\n",
    );
    let said = doctor(&narrow, &[]);
    said.assert(
        &[
            "legacy.okta/factors fail legacy.sources[0].okta.api_token",
            "legacy.okta/groups fail legacy.sources[0].okta.api_token",
        ],
        1,
    );
}

/// An application that answers everything alike: it names somebody to everybody.
fn careless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0_u8; 4096]);
            let body = r#"{"id":"canary-somebody","email":"ann@example.com"}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[test]
fn every_fault_of_the_application_gives_its_own_finding() {
    let scene = scene();
    let configuration = scene.configuration();
    let down = with(configuration, &scene.app.address.to_string(), &nowhere().to_string());
    doctor(&down, &[]).assert(&["upstream/reachable unreachable upstream.url"], 3);

    let page = with(configuration, "page: /login", "page: /signin");
    doctor(&page, &[]).assert(&["upstream/sign_in_page fail sign_in.routes[0].page"], 1);
    let field = with(configuration, "form: {login: email,", "form: {login: username,");
    doctor(&field, &[]).assert(&["upstream/sign_in_fields warn sign_in.routes[0].form.login"], 0);
    let route = with(configuration, "logout_routes: [/logout]", "logout_routes: [/logout, /bye]");
    doctor(&route, &[]).assert(&["upstream/logout_route fail sign_in.logout_routes[1]"], 1);
    let missing = with(configuration, "path: /api/me", "path: /api/whoami");
    doctor(&missing, &[]).assert(&["upstream/who_am_i fail sign_in.who_am_i.path"], 1);

    let careless = with(configuration, &scene.app.address.to_string(), &careless().to_string());
    let said = doctor(&careless, &[]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.finding("who_am_i")["level"], "fail", "{}", said.out);
    assert!(said.finding("who_am_i")["seen"].as_str().unwrap().contains("names somebody"), "{}", said.out);
    assert!(!said.out.contains("canary-somebody"), "whom it names is not said");
}

#[test]
fn a_running_instance_is_no_fault_and_a_changed_salt_is() {
    let scene = scene();
    let mut crossfade = scene.start(&[]);
    let visitor = scene.visitor();
    let answer = scene.sign_in(&visitor, "ann@example.com", PASSWORD);
    assert!(scene.is_handed_over(&answer), "{}", answer.text());
    let said = doctor(scene.configuration(), &[]);
    said.assert(&[], 0);
    assert!(said.finding("store")["seen"].as_str().unwrap().contains("in use by a running"), "{}", said.out);
    assert_eq!(said.finding("points_here")["level"], "ok", "{}", said.out);
    crossfade.terminate();
    let said = doctor(scene.configuration(), &[]);
    said.assert(&[], 0);
    assert!(said.finding("store")["seen"].as_str().unwrap().contains("1 people"), "{}", said.out);
    doctor(scene.configuration(), &[("ROLLOUT_SALT", "another-salt-of-at-least-32-bytes-length")])
        .assert(&["store/salt fail rollout.salt"], 1);
}

#[test]
fn files_are_looked_at_and_a_bad_configuration_is_said() {
    let scene = scene();
    let scratch = Scratch::new();
    let secret = scratch.write("token", SECRETS[1].1);
    let by_file = with(
        scene.configuration(),
        "api_token: {env: OKTA_API_TOKEN}",
        &format!("api_token: {{file: {}}}", secret.display()),
    );
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    doctor(&by_file, &[]).assert(&["configuration/secret_file warn legacy.sources[0].okta.api_token"], 0);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    doctor(&by_file, &[]).assert(&[], 0);

    let costly = r#"{"id":"bo","email":"bo@example.com","email_verified":true,"password_hash":"$2b$15$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW","mfa":false}"#;
    let scene = Scene::set(&Cast {
        people: vec![Person::new("ann")],
        more_lines: vec![costly.to_owned(), "no json".to_owned()],
        ..Cast::default()
    });
    let said = doctor(scene.configuration(), &[("CROSSFADE_ROLLOUT__CUTOVER", "0%")]);
    assert_eq!(said.finding("hashes")["level"], "warn", "{}", said.out);
    let seen = said.finding("hashes")["seen"].as_str().unwrap().to_owned();
    assert!(seen.contains("1 over the ceilings") && seen.contains("one guess costs cost="), "{seen}");
    assert!(said.finding("rows")["seen"].as_str().unwrap().contains("row 3"), "{}", said.out);

    let (code, out, err) = run("public: {}\n", &[], &[]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("public.url: is missing"), "{err}");
    let (code, _, err) = run(scene.configuration(), &["--only", "stoer"], &[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("there are configuration, store, upstream, scalekit, legacy.okta"), "{err}");
    let (code, out, _) = run(scene.configuration(), &["--only", "store", "--json"], &[]);
    assert_eq!(code, Some(0));
    assert!(
        out.lines().all(|line| line.contains("\"group\":\"store\"") || line.contains("summary")),
        "{out}"
    );
}

/// What preflight says of a file is what a source of that file does.
#[test]
fn preflight_counts_the_rows_that_a_source_loads() {
    let row = |id: Value, more: Value| {
        let mut row = json!({ "id": id, "email": "bo@example.com", "email_verified": true, "mfa": false,
            "password_hash": "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row.to_string()
    };
    let rows = [
        row(json!("a"), json!({ "email_verified": "yes" })),
        row(json!("b"), json!({ "email_verified": "maybe" })),
        row(json!(true), json!({})),
        row(json!(7), json!({ "email_verified": "N" })),
        row(json!("c"), json!({ "password_hash": "$2b$12$short" })),
        row(json!("d"), json!({ "password_hash": { "hashedPassword": "x" } })),
        row(json!("e"), json!({ "password_hash": [1] })),
        row(json!("f"), json!({ "password_hash": "!locked" })),
        row(json!("f"), json!({})),
        row(json!(null), json!({})),
    ];
    let scene = Scene::set(&Cast { people: Vec::new(), more_lines: rows.to_vec(), ..Cast::default() });
    let said = doctor(scene.configuration(), &[("CROSSFADE_ROLLOUT__CUTOVER", "0%")]);
    let scratch = Scratch::new();
    let file = scratch.write("rows.jsonl", &rows.join("\n"));
    let look =
        Command::new(env!("CARGO_BIN_EXE_crossfade")).arg("preflight").arg(file).arg("--json").output();
    let out = String::from_utf8(look.unwrap().stdout).unwrap();
    let summary: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let summary = &summary["summary"];
    let all =
        |counts: &Value| -> u64 { counts.as_object().unwrap().values().filter_map(Value::as_u64).sum() };
    let ids = &summary["external_id"];
    let shared: usize =
        ids["duplicates"].as_array().unwrap().iter().map(|rows| rows.as_array().unwrap().len()).sum();
    assert_eq!((&ids["missing"], &ids["unusable"], shared), (&json!(1), &json!(1), 2));
    let loaded = rows.len() as u64 - 1 - 1 - 2 - all(&summary["left_out"]);
    let told = said.finding("rows")["seen"].as_str().unwrap();
    assert!(told.starts_with(&format!("{loaded} can be read")), "{told}\n{summary}");
    // Of those, some have a hash that a guess is judged by. What the file leaves out has one, too.
    assert_eq!(summary["hash_formats"], json!({ "bcrypt": 6 }), "{summary}");
    let hashes = said.finding("hashes")["seen"].as_str().unwrap();
    assert!(hashes.starts_with("2 bcrypt") && hashes.contains("2 refused (syntax)"), "{hashes}");
}
