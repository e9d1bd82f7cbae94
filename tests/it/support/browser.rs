//! A real Chromium with a fresh profile, step by step.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    parts::parts,
    process::{self, Process},
};

pub(crate) struct Browser {
    process: Process,
    answers: usize,
}

impl Browser {
    pub(crate) fn open() -> Self {
        Self::open_with(&[])
    }

    /// With further Chromium flags, such as `--host-resolver-rules=MAP app.example.test 127.0.0.1`.
    pub(crate) fn open_with(flags: &[&str]) -> Self {
        let mut command = process::command(&parts().node);
        command.arg(parts().node_scripts.join("browser.mjs")).arg(&parts().chromium).args(flags);
        let process = Process::start("browser", command);
        let ready = process.line(0);
        assert!(ready.contains("ready"), "the browser said {ready}");
        Self { process, answers: 1 }
    }

    /// Goes to an address and gives the status of the page that it ended on.
    pub(crate) fn goto(&mut self, url: &str) -> u16 {
        let status = self.step("goto", json!({ "url": url }));
        status.as_u64().and_then(|status| status.try_into().ok()).expect("a page has a status")
    }

    pub(crate) fn fill(&mut self, selector: &str, text: &str) {
        self.step("fill", json!({ "selector": selector, "text": text }));
    }

    pub(crate) fn click(&mut self, selector: &str) {
        self.step("click", json!({ "selector": selector }));
    }

    /// Waits until the address contains `part`, and gives it whole.
    pub(crate) fn wait_url(&mut self, part: &str) -> String {
        self.step("wait_url", json!({ "part": part }));
        self.url()
    }

    pub(crate) fn wait_text(&mut self, part: &str) {
        self.step("wait_text", json!({ "part": part }));
    }

    pub(crate) fn url(&mut self) -> String {
        self.text_of("url", json!({}))
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        self.text_of("text", json!({ "selector": selector }))
    }

    /// What stands in a form's field.
    pub(crate) fn value(&mut self, selector: &str) -> String {
        self.text_of("value", json!({ "selector": selector }))
    }

    /// The cookies that the browser would send to `url`.
    pub(crate) fn cookies(&mut self, url: &str) -> Vec<Value> {
        self.step("cookies", json!({ "url": url })).as_array().cloned().unwrap_or_default()
    }

    /// Fetches from within the page, with its cookies: `{"status", "body"}`.
    pub(crate) fn fetch(&mut self, url: &str) -> Value {
        self.step("fetch", json!({ "url": url }))
    }

    pub(crate) fn screenshot(&mut self, path: &Path) {
        self.step("screenshot", json!({ "path": path }));
    }

    /// Forgets everything, as a new profile would.
    pub(crate) fn fresh(&mut self) {
        self.step("fresh", json!({}));
    }

    /// Any step of `tests/node/browser.mjs`; a step that fails fails the test with what the page showed.
    pub(crate) fn step(&mut self, step: &str, mut fields: Value) -> Value {
        fields["step"] = step.into();
        self.process.write(&format!("{fields}\n"));
        let answer: Value = serde_json::from_str(&self.process.line(self.answers)).unwrap();
        self.answers += 1;
        match answer.get("value") {
            Some(value) => value.clone(),
            // The fields may hold a password of the test; the answer says where the browser stood.
            None => panic!("the step {step} failed: {answer:#}"),
        }
    }

    fn text_of(&mut self, step: &str, fields: Value) -> String {
        self.step(step, fields).as_str().expect("this step gives a text").to_owned()
    }
}
