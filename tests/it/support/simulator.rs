//! The program's own stand-ins, as processes: `crossfade simulate KIND`.

use std::{net::SocketAddr, thread};

use reqwest::Method;
use serde_json::Value;

use super::{
    http::{Answer, Visitor},
    openapi,
    process::{self, Process},
    scratch::Scratch,
};

/// Who vouches for the stand-ins' certificate.
pub(crate) const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/localhost.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/localhost.key");

/// A running stand-in. One of Scalekit's management API has all its exchanges judged when it goes away.
pub(crate) struct Simulator {
    kind: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    visitor: Visitor,
    _scratch: Scratch,
}

impl Simulator {
    /// `kind` as on the command line: `scalekit`, `okta`, `app`, …; `seed` as its seed file. It also speaks TLS, as
    /// `localhost`, by the authority in [`AUTHORITY`].
    pub(crate) fn start(kind: &str, seed: &Value) -> Self {
        let scratch = Scratch::new();
        let file = scratch.write("seed.json", &seed.to_string());
        let mut command = process::command(env!("CARGO_BIN_EXE_crossfade"));
        command.args(["simulate", kind, "--listen", "127.0.0.1:0", "--seed"]).arg(file);
        command.args(["--tls-cert", CERTIFICATE, "--tls-key", KEY]);
        let process = Process::start(&format!("simulate {kind}"), command);
        let line: Value = serde_json::from_str(&process.line(0)).unwrap();
        let address =
            line["listening"].as_str().expect("the first line says where it listens").parse().unwrap();
        Self { kind: kind.to_owned(), address, process, visitor: Visitor::of(address), _scratch: scratch }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every user of the Scalekit stand-in.
    pub(crate) fn users(&self) -> Value {
        self.look("users")
    }

    /// Every mail that Scalekit would have sent.
    pub(crate) fn mails(&self) -> Value {
        self.look("mails")
    }

    /// How often each request came and each login was tried.
    pub(crate) fn counts(&self) -> Value {
        self.look("counts")
    }

    /// The requests, oldest first, without secrets.
    pub(crate) fn journal(&self) -> Value {
        self.look("journal")
    }

    pub(crate) fn settings(&self) -> Value {
        self.look("settings")
    }

    pub(crate) fn change_settings(&self, settings: &Value) {
        self.put("settings", settings);
    }

    /// Sets the faults in force: one as an object or several as a list.
    pub(crate) fn set_faults(&self, faults: &Value) {
        self.put("faults", faults);
    }

    pub(crate) fn clear_faults(&self) {
        self.side(Method::DELETE, "faults", None);
    }

    /// Every token of the management API is worth nothing from now on.
    pub(crate) fn forget_api_tokens(&self) {
        self.side(Method::DELETE, "api_tokens", None);
    }

    /// Forgets what came; the faults are those of the start again.
    pub(crate) fn reset(&self) {
        self.side(Method::POST, "reset", None);
    }

    /// Judges what was exchanged so far and has it forgotten: for plays that are longer than the transcript.
    pub(crate) fn judge(&self) {
        judge(&self.side(Method::DELETE, "transcript", None).json());
    }

    pub(crate) fn look(&self, door: &str) -> Value {
        self.side(Method::GET, door, None).json()
    }

    pub(crate) fn put(&self, door: &str, body: &Value) {
        self.side(Method::PUT, door, Some(body));
    }

    /// Knocks at a side door that takes no body.
    pub(crate) fn side_door(&self, method: Method, door: &str) {
        self.side(method, door, None);
    }

    fn side(&self, method: Method, door: &str, body: Option<&Value>) -> Answer {
        let mut request = self.visitor.request(method, &format!("/__simulator/{door}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.visitor.send(request);
        assert!(
            (200..300).contains(&answer.status),
            "the side door {door} said {}: {}",
            answer.status,
            answer.text()
        );
        answer
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if self.kind != "scalekit" || thread::panicking() || !self.process.is_running() {
            return;
        }
        self.judge();
    }
}

fn judge(transcript: &Value) {
    assert_eq!(transcript["forgotten"], 0, "exchanges were forgotten before they were judged");
    let problems = openapi::validate(transcript);
    assert!(problems.is_empty(), "the management API's contract was broken:\n{}", problems.join("\n"));
}
