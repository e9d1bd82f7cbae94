//! The whole play around one Crossfade: the sample application, its export of hashes, an Okta, a Scalekit.
//!
//! One configuration serves every behaviour; what a test wants otherwise it says by the environment, as an operator
//! may: `CROSSFADE_ROLLOUT__CUTOVER=0%`.

use std::{net::SocketAddr, path::PathBuf};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{
    crossfade::Crossfade,
    http::{Answer, Visitor},
    ports,
    scratch::Scratch,
    simulator::Simulator,
    wiretap::Wiretap,
};

/// Everybody's password, and a hash of it that is quick to check.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const PASSWORD_HASH: &str = "$2b$04$8oTTnIJNueziAg8aQIeWCeTWwvsoTuEtGZzF659liNMDn.S2svHPW";

/// The secrets of the configuration, by the variables that hold them.
pub(crate) const SECRETS: [(&str, &str); 7] = [
    ("SCALEKIT_CLIENT_SECRET", "canary-client-secret-5qT1rV8bWz"),
    ("OKTA_API_TOKEN", "canary-okta-token-0u7hYc3KfM"),
    ("ROLLOUT_SALT", "Y2FuYXJ5LXNhbHQtOEd3Mk5yVnE1VGIxWGs5WmQ0TGo3SGYwUHM2"),
    ("FORCE_KEY", "Y2FuYXJ5LWZvcmNlLTNEeThRbTJCdjZNYTFLYzlSdDVVaDdFaTRX"),
    ("SESSION_KEY", "Y2FuYXJ5LXNlc3Npb24tNUZnMUp6OE5iMkxjNFhkN1ZlOVFhM1Jz"),
    ("OLD_SESSION_KEY", "Y2FuYXJ5LW9sZGtleS03VHcyUHkwQXM5Q2Y0RGg2SGo4SmwxTHo1"),
    ("SUBJECT_KEY", "Y2FuYXJ5LXN1YmplY3QtOVplM1hyNkN0OFZ5MUJuNU1pMk9wN0Fz"),
];

/// The organisation that everybody moves into.
pub(crate) const ORGANIZATION: &str = "org_100000000000000001";

const CONFIGURATION: &str = include_str!("../../fixtures/scene.yaml");

/// Somebody of the sample application.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
}

impl Person {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), email: format!("{id}@example.com") }
    }

    /// What the application's user is called in Scalekit.
    pub(crate) fn external_id(&self) -> String {
        format!("app:{}", self.id)
    }

    fn of_the_application(&self) -> Value {
        json!({ "id": self.id, "email": self.email, "email_verified": true, "password": PASSWORD,
            "given_name": "Ann", "family_name": self.id })
    }

    fn of_the_export(&self) -> Value {
        json!({ "id": self.id, "email": self.email, "email_verified": true, "password_hash": PASSWORD_HASH,
            "given_name": "Ann", "family_name": self.id, "mfa": false })
    }
}

/// What is there when a scene begins.
#[derive(Default)]
pub(crate) struct Cast {
    /// People of the application, all of whom can move.
    pub(crate) people: Vec<Person>,
    /// Further rows of the application's user table, as the stand-in takes them.
    pub(crate) more_people: Vec<Value>,
    /// Further lines of the export.
    pub(crate) more_lines: Vec<String>,
    /// The Okta stand-in's people.
    pub(crate) okta: Vec<Value>,
    /// More settings of the Okta stand-in.
    pub(crate) okta_settings: Value,
    /// Scalekit's users at the start.
    pub(crate) users: Vec<Value>,
    /// Scalekit's settings.
    pub(crate) settings: Value,
}

/// The running stand-ins and the configuration that binds them.
pub(crate) struct Scene {
    pub(crate) app: Simulator,
    pub(crate) okta: Simulator,
    pub(crate) scalekit: Simulator,
    /// Where Crossfade and the browsers meet Scalekit.
    scalekit_at: SocketAddr,
    public: SocketAddr,
    configuration: String,
    scratch: Scratch,
}

impl Scene {
    pub(crate) fn set(cast: &Cast) -> Self {
        let public = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let origin = format!("http://{public}");
        let rows = cast.people.iter().map(Person::of_the_application).chain(cast.more_people.clone());
        let app = Simulator::start(
            "app",
            &json!({ "users": rows.collect::<Vec<_>>(), "trust_headers": true,
            "assertion": { "jwks_url": format!("{origin}/.crossfade/jwks.json"), "issuer": origin, "audience": origin } }),
        );
        let mut seed = json!({ "users": cast.okta, "api_token": secret("OKTA_API_TOKEN") });
        for (key, value) in cast.okta_settings.as_object().into_iter().flatten() {
            seed[key] = value.clone();
        }
        let okta = Simulator::start("okta", &seed);
        let scalekit = Simulator::start(
            "scalekit",
            &json!({
                "clients": [{
                    "id": "skc_100000000000000001",
                    "secret": secret("SCALEKIT_CLIENT_SECRET"),
                    "redirect_uris": [format!("{origin}/.crossfade/callback")],
                    "post_logout_redirect_uris": [format!("{origin}/")],
                }],
                "organizations": [{ "id": ORGANIZATION, "display_name": "Harbour", "external_id": "harbour" }],
                "users": cast.users,
                "settings": if cast.settings.is_null() { json!({}) } else { cast.settings.clone() },
            }),
        );
        let scratch = Scratch::new();
        let lines = cast.people.iter().map(|person| person.of_the_export().to_string());
        let export: String =
            lines.chain(cast.more_lines.clone()).flat_map(|line| [line, "\n".to_owned()]).collect();
        let export = scratch.write("people.jsonl", &export);
        let configuration = CONFIGURATION
            .replace("PUBLIC_ADDRESS", &public.to_string())
            .replace("APPLICATION_ADDRESS", &app.address.to_string())
            .replace("OKTA_ADDRESS", &okta.address.to_string())
            .replace("SCALEKIT_ADDRESS", &scalekit.address.to_string())
            .replace("EXPORT_FILE", export.to_str().unwrap())
            .replace("STORE_FILE", scratch.path().join("crossfade.redb").to_str().unwrap());
        let scalekit_at = scalekit.address;
        Self { app, okta, scalekit, scalekit_at, public, configuration, scratch }
    }

    /// Listens on the lines from here to the application and to Scalekit; before Crossfade is started.
    pub(crate) fn tap(&mut self) -> (Wiretap, Wiretap) {
        let (app, scalekit) = (Wiretap::before(self.app.address), Wiretap::before(self.scalekit.address));
        self.configuration = self
            .configuration
            .replace(&self.app.address.to_string(), &app.address.to_string())
            .replace(&self.scalekit.address.to_string(), &scalekit.address.to_string());
        self.scalekit_at = scalekit.address;
        (app, scalekit)
    }

    /// The file of the embedded store.
    pub(crate) fn store_file(&self) -> PathBuf {
        self.scratch.path().join("crossfade.redb")
    }

    /// The application's export.
    pub(crate) fn export(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("people.jsonl")).unwrap()
    }

    /// Replaces the application's export.
    pub(crate) fn write_export(&self, lines: &str) {
        self.scratch.write("people.jsonl", lines);
    }

    pub(crate) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Starts Crossfade with further variables beside the secrets.
    pub(crate) fn start(&self, environment: &[(&str, &str)]) -> Crossfade {
        Self::start_as(&self.configuration, environment)
    }

    /// Starts Crossfade with a changed configuration.
    pub(crate) fn start_as(configuration: &str, environment: &[(&str, &str)]) -> Crossfade {
        let environment: Vec<(&str, &str)> = SECRETS.iter().chain(environment).copied().collect();
        Crossfade::serve_with(configuration, &environment)
    }

    /// Where people's browsers go.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::of(self.public)
    }

    /// A form as a page of the application would send it.
    pub(crate) fn form(&self, visitor: &Visitor, fields: &[(&str, &str)]) -> RequestBuilder {
        self.post(visitor, "/login").form(fields)
    }

    /// A POST that comes from a page of the application.
    pub(crate) fn post(&self, visitor: &Visitor, path: &str) -> RequestBuilder {
        visitor.request(Method::POST, path).header("origin", format!("http://{}", self.public))
    }

    /// The form's request, once the page was opened.
    pub(crate) fn filled_in(&self, visitor: &Visitor, email: &str, password: &str) -> RequestBuilder {
        let page = visitor.get("/login?next=/");
        assert_eq!(page.status, 200, "the form is shown: {}", page.text());
        let csrf = page.form_value("csrf");
        self.form(visitor, &[("csrf", &csrf), ("email", email), ("password", password), ("next", "/")])
    }

    pub(crate) fn sign_in(&self, visitor: &Visitor, email: &str, password: &str) -> Answer {
        visitor.send(self.filled_in(visitor, email, password))
    }

    /// Whether an answer hands the person over to Scalekit.
    pub(crate) fn is_handed_over(&self, answer: &Answer) -> bool {
        let there = format!("http://{}/oauth/authorize", self.scalekit_at);
        answer.status == 303 && answer.header("location").is_some_and(|at| at.starts_with(&there))
    }

    /// Whether an answer is the application's own yes.
    pub(crate) fn is_in_the_application(answer: &Answer) -> bool {
        let sets = |name: &str, value: &str| name == "set-cookie" && value.starts_with("app_session=");
        answer.status == 302
            && answer.header("location") == Some("/")
            && answer.headers.iter().any(|(name, value)| sets(name, value))
    }

    /// Through Scalekit's pages with the mailed code, and back; the answer of our callback.
    pub(crate) fn confirm_mailbox(&self, visitor: &Visitor, handed_over: &Answer, email: &str) -> Answer {
        let callback = self.callback_of(handed_over, email);
        visitor.get(visitor.path_of(&callback))
    }

    /// The address that Scalekit sends the browser back to.
    pub(crate) fn callback_of(&self, handed_over: &Answer, email: &str) -> String {
        let hosted = Visitor::of(self.scalekit_at);
        let mut page = hosted.follow(handed_over);
        while (300..400).contains(&page.status) {
            page = hosted.follow(&page);
        }
        let request = page.form_value("request");
        let sent = hosted.post_form("/hosted/login", &[("request", &request), ("email", email)]);
        assert_eq!(sent.status, 303, "a code is mailed: {}", sent.text());
        let code = self.mailed_code(email);
        let back = hosted.post_form("/hosted/code", &[("request", &request), ("code", &code)]);
        back.location().to_owned()
    }

    fn mailed_code(&self, email: &str) -> String {
        let mails = self.scalekit.mails();
        let newest = mails["mails"].as_array().unwrap().iter().rev().find(|mail| mail["to"] == email);
        newest.expect("a mail to this address")["code"].as_str().expect("a code in the mail").to_owned()
    }

    /// Scalekit's users with this address, as they really are.
    pub(crate) fn users_with(&self, email: &str) -> Vec<Value> {
        let users = self.scalekit.users();
        let all = users["users"].as_array().expect("a list of users");
        all.iter().filter(|user| user["email"] == email).cloned().collect()
    }
}

/// The value of a secret.
pub(crate) fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).expect("a secret of the configuration").1
}
