//! The watch: a scene at the most talkative log level, the secrets that were seen in it, and what was told.

use std::collections::BTreeSet;

use crate::support::{
    crossfade::Crossfade,
    http::{Answer, Visitor},
    scene::{Cast, PASSWORD, SECRETS, Scene},
    wiretap::Wiretap,
};

pub(super) const WRONG: &str = "canary-wrong-password-3fKq";
pub(super) const OKTA_PASSWORD: &str = "canary-okta-password-8gTz";
pub(super) const STAYS_PASSWORD: &str = "canary-stays-password-1hBv";
pub(super) const SQL_URL: (&str, &str) =
    ("DATABASE_URL", "postgres://reader:canary-sql-password-6jNx@127.0.0.1:1/canary-database");

/// 32 random bytes in base64 without padding.
const VERIFIER_BYTES: usize = 43;

/// A source that is down from the beginning, so that its address is in every error. It has no query for twins: one that
/// has, and cannot be asked, keeps everybody from being created.
const SQL_SOURCE: &str = "
    - name: crm
      domains: [crm.example]
      sql:
        dialect: postgres
        url: {env: DATABASE_URL}
        query: SELECT id, email, password FROM people WHERE email = $1
        id_query: SELECT id, email, password FROM people WHERE id = $1
        columns: {id: id, email: email, password_hash: password}
        hash_format: auto
      mfa: none
scalekit:";

/// What may not be found anywhere, with what it is.
#[derive(Default)]
pub(super) struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    pub(super) fn add(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 8, "{what}: too short to be told from chance");
        let known = self.0.iter().any(|(_, other)| *other == secret);
        if !known {
            self.0.push((what, secret));
        }
    }

    /// The kinds that were really there.
    pub(super) fn kinds(&self) -> BTreeSet<&'static str> {
        self.0.iter().map(|(what, _)| *what).collect()
    }

    /// Where any of them stands in a text, as it is or percent-encoded.
    fn found_in(&self, place: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (number, line) in text.lines().enumerate() {
            for (what, secret) in &self.0 {
                let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
                if line.contains(secret.as_str()) || line.contains(&encoded) {
                    // Only made-up secrets of this test: the line may be shown.
                    found.push(format!("{what} in line {} of {place}: {line}", number + 1));
                }
            }
        }
        found
    }
}

/// Everything that runs, what was answered by us, and what must not be in it.
pub(super) struct Watch {
    pub(super) scene: Scene,
    pub(super) crossfade: Crossfade,
    app: Wiretap,
    scalekit: Wiretap,
    pub(super) canaries: Canaries,
    pub(super) pages: Vec<(String, String)>,
}

pub(super) fn watch(cast: &Cast) -> Watch {
    let mut scene = Scene::set(cast);
    let (app, scalekit) = scene.tap();
    let configuration = scene
        .configuration()
        .replace("log: info", "log: trace")
        .replace("\nscalekit:", SQL_SOURCE)
        .replace("plain_headers: true", "plain_headers: false")
        .replace("  force_key:", "  rules: {deny: [{domain: stays.example}]}\n  force_key:");
    let crossfade = Scene::start_as(&configuration, &[SQL_URL]);
    let mut canaries = Canaries::default();
    for (name, value) in SECRETS {
        canaries.add(name, value);
    }
    for (what, secret) in [
        ("right password", PASSWORD),
        ("wrong password", WRONG),
        ("password at Okta", OKTA_PASSWORD),
        ("password in the legacy lane", STAYS_PASSWORD),
        ("password of a database address", "canary-sql-password-6jNx"),
        ("stored hash", "8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW"),
        // The part before the @ is enough to know somebody by.
        ("e-mail address", "canary-mailbox"),
    ] {
        canaries.add(what, secret);
    }
    Watch { scene, crossfade, app, scalekit, canaries, pages: Vec::new() }
}

impl Watch {
    /// An answer of ours, to be searched.
    pub(super) fn ours(&mut self, what: &str, status: u16, answer: &Answer) {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        self.pages.push((what.to_owned(), answer.text()));
    }

    pub(super) fn sign_in(&self, email: &str, password: &str) -> (Visitor, Answer) {
        let visitor = self.scene.visitor();
        let answer = self.scene.sign_in(&visitor, email, password);
        (visitor, answer)
    }

    /// What a browser holds and what its addresses say.
    pub(super) fn keep_secrets_of(&mut self, visitor: &Visitor, address: &str) {
        for (what, name) in [
            ("session cookie", "crossfade"),
            ("cookie of a sign-in under way", "crossfade-browser"),
            ("device cookie", "crossfade-device"),
            ("application's cookie", "app_session"),
            ("CSRF cookie", "app_csrf"),
        ] {
            if let Some(value) = visitor.cookie(name).filter(|value| value.len() >= 8) {
                self.canaries.add(what, value);
            }
        }
        let url: url::Url = address.parse().unwrap();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "state" => self.canaries.add("state", value),
                "nonce" => self.canaries.add("nonce", value),
                "code" => self.canaries.add("code", value),
                "code_challenge" => self.canaries.add("code challenge", value),
                _ => {}
            }
        }
    }

    /// What went by between the programs.
    pub(super) fn keep_secrets_of_the_wires(&mut self) {
        let quoted = ["access_token", "refresh_token", "id_token"];
        for name in quoted {
            for value in self.scalekit.between(&format!("\"{name}\":\""), "\"") {
                self.canaries.add(name, value);
            }
        }
        // The last field of its body: what follows on the line is the next request.
        for verifier in self.scalekit.after("code_verifier=", VERIFIER_BYTES) {
            self.canaries.add("code verifier", verifier);
        }
        for value in self.scalekit.between("authorization: Bearer ", "\r\n") {
            self.canaries.add("bearer token", value);
        }
        for value in self.app.between("x-crossfade-assertion: ", "\r\n") {
            self.canaries.add("assertion", value);
        }
    }

    /// Asserts that nothing of it was told, and that enough was there to be told.
    pub(super) fn judge(mut self) {
        self.keep_secrets_of_the_wires();
        let metrics = self.crossfade.admin_visitor().get("/metrics").text();
        assert_eq!(self.crossfade.terminate().code(), Some(0));
        let said = self.crossfade.process.said();
        let mut found = self.canaries.found_in("what it printed", &said);
        found.extend(self.canaries.found_in("/metrics", &metrics));
        for (what, page) in &self.pages {
            found.extend(self.canaries.found_in(what, page));
        }
        assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
    }
}

#[test]
fn a_canary_is_heard_as_it_is_and_percent_encoded() {
    let mut canaries = Canaries::default();
    canaries.add("right password", PASSWORD);
    for text in [
        "a\ncorrect horse battery staple",
        "x=correct+horse+battery+staple&",
        "\"correct horse battery staple\"",
    ] {
        assert_eq!(canaries.found_in("a text", text).len(), 1, "{text}");
    }
    assert!(canaries.found_in("a text", "correct horse").is_empty());
}
