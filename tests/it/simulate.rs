//! `crossfade simulate`: the command around the stand-ins.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::support::openapi;

fn simulate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
    command.arg("simulate").args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A started stand-in; it is ended when the test is.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = simulate(args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["kind"], args[0]);
        let address = told["listening"].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// One request over a connection of its own; the whole answer as text.
    fn ask(&self, request: &str, body: &str) -> std::io::Result<String> {
        self.send(request, "content-type: application/json", body)
    }

    fn send(&self, request: &str, fields: &str, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        let head = format!(
            "{request} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{fields}\r\n\r\n{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn end(&mut self) -> std::process::ExitStatus {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn every_stand_in_says_where_it_listens_and_stops_when_told() {
    for (kind, path) in [
        ("scalekit", "/.well-known/openid-configuration"),
        ("okta", "/"),
        ("stormpath", "/"),
        ("http-store", "/"),
        ("app", "/"),
    ] {
        let mut running = Running::start(&[kind, "--listen", "127.0.0.1:0"]);
        assert!(running.ask(&format!("GET {path}"), "").unwrap().starts_with("HTTP/1.1 "), "{kind}");
        assert_eq!(running.end().code(), Some(0), "{kind}");
    }
}

#[test]
fn addresses_other_than_loopback_are_refused() {
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let ended = simulate(&["scalekit", "--listen", address]).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{address}");
        assert!(ended.stdout.is_empty());
        assert!(String::from_utf8_lossy(&ended.stderr).contains("only loopback"), "{address}");
    }
}

#[test]
fn a_seed_is_planted_and_a_fault_strikes() {
    let folder = std::env::temp_dir();
    let seed = folder.join(format!("crossfade-seed-{}.yaml", std::process::id()));
    let text = "organizations: [{ id: org_100000000000000001, display_name: Harbour }]\n\
                settings: { on_duplicate: existing }\n";
    std::fs::write(&seed, text).unwrap();
    let path = seed.to_str().unwrap();
    let args = [
        "scalekit",
        "--listen",
        "127.0.0.1:0",
        "--seed",
        path,
        "--fault",
        "lost@/keys",
        "--fault",
        "status=503@/oidc/logout",
    ];
    let running = Running::start(&args);
    let settings = json_of(&running.ask("GET /__simulator/settings", "").unwrap());
    assert_eq!(settings["on_duplicate"], "existing");
    assert!(running.ask("GET /keys", "").map_or(true, |answer| answer.is_empty()), "the answer was lost");
    assert!(running.ask("GET /oidc/logout", "").unwrap().starts_with("HTTP/1.1 503 "));

    let form = "grant_type=client_credentials&client_id=skc_100000000000000001&client_secret=simulated-scalekit-secret";
    let answer =
        running.send("POST /oauth/token", "content-type: application/x-www-form-urlencoded", form).unwrap();
    let bearer = format!("authorization: Bearer {}", json_of(&answer)["access_token"].as_str().unwrap());
    let create = "POST /api/v1/organizations/org_100000000000000001/users?send_invitation_email=false";
    let answer = running.send(create, &bearer, "{\"email\": \"ann@example.test\"}").unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let transcript = json_of(&running.ask("GET /__simulator/transcript", "").unwrap());
    assert_eq!(transcript["exchanges"].as_array().unwrap().len(), 1);
    assert_eq!(openapi::validate(&transcript), Vec::<String>::new());
    std::fs::remove_file(&seed).unwrap();
}

#[test]
fn a_seed_that_cannot_be_read_is_named() {
    let folder = std::env::temp_dir();
    let seed = folder.join(format!("crossfade-bad-seed-{}.json", std::process::id()));
    for (text, complaint) in [
        (None, "No such file"),
        (Some("{\"userz\": []}"), "userz"),
        (Some("{\"organizations\": [{\"id\": \"harbour\", \"display_name\": \"H\"}]}"), "harbour"),
    ] {
        if let Some(text) = text {
            std::fs::write(&seed, text).unwrap();
        }
        let ended = simulate(&["scalekit", "--listen", "127.0.0.1:0", "--seed", seed.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(2));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("--seed") && said.contains(complaint), "{said}");
    }
    std::fs::remove_file(&seed).unwrap();
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/");
    let (good, key) = (format!("{folder}localhost.pem"), format!("{folder}localhost.key"));
    let authority = format!("{folder}ca.pem");
    for (chain, key, complaint) in [
        ("/nowhere.pem", key.as_str(), "/nowhere.pem holds no certificates in PEM"),
        (key.as_str(), key.as_str(), "localhost.key holds no certificates in PEM"),
        (good.as_str(), good.as_str(), "localhost.pem holds no private key in PEM"),
        (authority.as_str(), key.as_str(), "do not make a TLS server"),
    ] {
        let arguments = ["scalekit", "--listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", key];
        let ended = simulate(&arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{chain} {key}");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("--tls-cert") && said.contains(complaint), "{said}");
    }
    let ended = simulate(&["okta", "--listen", "127.0.0.1:0", "--tls-cert", &good]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "a certificate needs its key");
}

#[test]
fn a_fault_that_means_nothing_is_refused_with_the_words_it_may_use() {
    let ended = simulate(&["okta", "--listen", "127.0.0.1:0", "--fault", "sloow"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("lost"));
}
