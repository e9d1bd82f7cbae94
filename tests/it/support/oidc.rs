//! A certified OpenID provider in Scalekit's place for the code flow.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::Value;

use super::{
    http::Visitor,
    parts::parts,
    process::{self, Process},
};

/// The running provider.
pub(crate) struct OidcProvider {
    pub(crate) address: SocketAddr,
    pub(crate) issuer: String,
    pub(crate) process: Process,
}

impl OidcProvider {
    /// Starts it with settings as in `tests/node/oidc_provider.mjs`.
    pub(crate) fn start(settings: &Value) -> Self {
        let mut command = process::command(&parts().node);
        command.arg(parts().node_scripts.join("oidc_provider.mjs")).arg("0");
        let mut process = Process::start("oidc-provider", command);
        process.write(&settings.to_string());
        process.close_stdin();
        let line: Value = serde_json::from_str(&process.line(0)).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Self { address: text("listening").parse().unwrap(), issuer: text("issuer"), process }
    }

    /// Changes the signing key; the old one stays in the key set when `old` says so.
    pub(crate) fn rotate_keys(&self, old: OldKey) -> Value {
        let query = match old {
            OldKey::Kept => "keep_old=true",
            OldKey::Withdrawn => "keep_old=false",
        };
        let visitor = Visitor::of(self.address);
        visitor.send(visitor.request(Method::POST, &format!("/__test/rotate?{query}"))).json()
    }

    /// What was asked so far, oldest first.
    pub(crate) fn journal(&self) -> Value {
        Visitor::of(self.address).get("/__test/journal").json()
    }

    pub(crate) fn set_people(&self, people: &Value) {
        let visitor = Visitor::of(self.address);
        let answer = visitor.send(visitor.request(Method::PUT, "/__test/people").json(people));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// What becomes of the key that signed until now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OldKey {
    Kept,
    Withdrawn,
}
