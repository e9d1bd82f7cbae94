//! Crossfade in front of the real Django site, with the Scalekit stand-in behind it. The configuration is the
//! example file of `config/`, with addresses filled in.

use std::{fs, path::PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    browser::Browser,
    crossfade::Crossfade,
    django::{Django, Site},
    draft::Draft,
    http::{Answer, Visitor},
    ports,
    postgres::Postgres,
    simulator::Simulator,
    wait,
};

pub(crate) const EXAMPLE: &str = include_str!("../../../config/postgres.yaml");
const SECRET: &str = "simulated-scalekit-secret";
/// A port where nobody listens.
const CLOSED: &str = "postgres://reader@127.0.0.1:9/nothing";

/// Who is reached by the new flow, and whether somebody answers for the addresses.
#[derive(Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) cutover: &'static str,
    pub(crate) migrate: &'static str,
    pub(crate) addresses: Addresses,
}

/// Whether somebody signed that the table's addresses were verified.
#[derive(Clone, Copy)]
pub(crate) enum Addresses {
    Unsigned,
    Signed,
}

pub(crate) const OFF: Dial = Dial { cutover: "0%", migrate: "0%", addresses: Addresses::Signed };
pub(crate) const MIGRATING: Dial = Dial { migrate: "100%", ..OFF };
pub(crate) const CUT_OVER: Dial = Dial { cutover: "100%", ..MIGRATING };

pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) scalekit: Simulator,
    pub(crate) crossfade: Crossfade,
    /// What people see.
    pub(crate) origin: String,
    configuration: Draft,
}

impl Stage {
    /// The site on a PostgreSQL database, whose user table Crossfade may read and nothing else.
    pub(crate) fn on_postgres(database: &Postgres, make: impl FnOnce(Django) -> Django) -> Self {
        let django = make(Django::on(&database.url()));
        let name = database.url().rsplit('/').next().unwrap().to_owned();
        let reader = format!("reader_of_{name}");
        database.sql(&format!("create role {reader} login; grant select on auth_user to {reader}"));
        Self::of(django, Draft::of(EXAMPLE), &database.url_as(&reader, "any"))
    }

    /// `example` is the configuration with its own queries, `database` what Crossfade reads.
    pub(crate) fn of(django: Django, example: Draft, database: &str) -> Self {
        let port = ports::free();
        let origin = format!("http://app.localhost:{port}");
        let site = django.trusting_the_proxy().start();
        let scalekit = Simulator::start(
            "scalekit",
            &json!({
                "clients": [{
                    "id": "skc_123456789",
                    "secret": SECRET,
                    "redirect_uris": [format!("{origin}/.crossfade/callback")],
                    "post_logout_redirect_uris": [format!("{origin}/")],
                }],
                "organizations": [{ "id": "org_1", "display_name": "Example", "external_id": "example" }],
            }),
        );
        let configuration = example
            .put(
                "  url: https://app.example.com\n  allowed_hosts: [app.example.com]\n",
                &format!(
                    "  url: {origin}\n  listen: 127.0.0.1:{port}\n  allowed_hosts: [app.localhost:{port}]\n  \
                     development: true\n  threads: 3\n  limits: {{drain_wait: 10ms}}\n\nadmin:\n  listen: \
                     127.0.0.1:0\n"
                ),
            )
            .put("https://app.internal.example.com", &format!("http://{}", site.address))
            .put(
                "  logout_routes: [/accounts/logout/]\n",
                "  logout_routes: [/accounts/logout/]\n  who_am_i: {path: /accounts/whoami/, source: django, id: \
                 /id, login: /username, email: /email, active: /is_active}\n",
            )
            .put(
                "https://example.scalekit.com",
                &format!("http://scalekit.localhost:{}", scalekit.address.port()),
            )
            .put("\nstore:\n", "\nidentity:\n  plain_headers: true\n\nstore:\n");
        let key = "k".repeat(48);
        let environment = [
            ("DATABASE_URL", database),
            ("CLOSED_DATABASE_URL", CLOSED),
            ("SCALEKIT_CLIENT_SECRET", SECRET),
            ("ROLLOUT_SALT", &key),
            ("SESSION_KEY", &key),
            ("SUBJECT_KEY", &key),
        ];
        let crossfade = Crossfade::serve_with(&turned(&configuration, OFF), &environment);
        Self { site, scalekit, crossfade, origin, configuration }
    }

    pub(crate) fn turn(&self, dial: Dial) {
        self.crossfade.take(&turned(&self.configuration, dial));
    }

    /// Writes the file in place and sends SIGHUP, as scripts do; for a dial whose cutover is another one.
    pub(crate) fn turn_by_signal(&self, dial: Dial) {
        let admin = self.crossfade.admin_visitor();
        let cutover = || {
            let metrics = admin.get("/metrics").text();
            let line =
                metrics.lines().find(|line| line.starts_with("crossfade_rollout_cutover")).map(str::to_owned);
            line.expect("the dial is among the metrics")
        };
        let before = cutover();
        self.crossfade.reload(&turned(&self.configuration, dial));
        wait::until("the dial is turned", || (cutover() != before).then_some(()));
    }

    /// The same dial, and a database that cannot be reached.
    pub(crate) fn lose_the_database(&self, dial: Dial) {
        let text = Draft(turned(&self.configuration, dial));
        self.crossfade.take(&text.put("env: DATABASE_URL", "env: CLOSED_DATABASE_URL").0);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What Scalekit has, and nothing but that counts.
    pub(crate) fn users(&self) -> Vec<Value> {
        self.scalekit.users()["users"].as_array().unwrap().clone()
    }

    /// The one user with this external id; in the legacy lane the answer may be quicker than the migration.
    pub(crate) fn user_soon(&self, external_id: &str) -> Value {
        wait::until("the person is in Scalekit", || {
            let mut users = self.users();
            users.retain(|user| user["external_id"] == external_id);
            assert!(users.len() < 2, "{external_id} exists more than once");
            users.pop()
        })
    }

    /// Waits until a sign-in ended so, `times` times since the start.
    pub(crate) fn sign_ins_ended(&self, outcome: &str, times: usize) {
        let needle = format!("\"login.outcome\":\"{outcome}\"");
        wait::until(&format!("{times} sign-ins ended as {outcome}"), || {
            (self.crossfade.process.said().matches(&needle).count() >= times).then_some(())
        });
    }

    pub(crate) fn mailed_code(&self, email: &str) -> String {
        let mails = self.scalekit.mails();
        let mail = mails["mails"].as_array().unwrap().iter().rev().find(|mail| mail["to"] == email);
        mail.unwrap_or_else(|| panic!("no mail to {email}"))["code"].as_str().unwrap().to_owned()
    }

    /// Opens a page that asks to sign in, and sends the form.
    pub(crate) fn sign_in(&self, browser: &mut Browser, name: &str, password: &str) {
        browser.goto(&self.url("/berths/7/"));
        send_form(browser, name, password);
    }

    /// Goes through Scalekit's pages: the address is filled in, the code comes by mail.
    pub(crate) fn confirm_mailbox(&self, browser: &mut Browser, email: &str) {
        browser.wait_url(&format!("http://scalekit.localhost:{}/", self.scalekit.address.port()));
        browser.wait_text("E-mail address");
        assert_eq!(browser.value("#email"), email, "the address is filled in");
        browser.click("button");
        browser.wait_text("Check your mail");
        browser.fill("#code", &self.mailed_code(email));
        browser.click("button");
    }

    /// The names of the cookies that the application's origin has in this browser.
    pub(crate) fn cookies(&self, browser: &mut Browser) -> Vec<String> {
        let cookies = browser.cookies(&self.origin);
        let mut names: Vec<String> =
            cookies.iter().map(|cookie| cookie["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// What a door of the site says about this browser.
    pub(crate) fn asks(&self, browser: &mut Browser, door: &str) -> Value {
        let answer = browser.fetch(&self.url(door));
        serde_json::from_str(answer["body"].as_str().unwrap())
            .unwrap_or_else(|error| panic!("{door} gave no JSON ({error}): {answer}"))
    }

    /// A stranger's client that says it is a browser at this origin.
    pub(crate) fn visitor(&self) -> Caller<'_> {
        Caller { visitor: self.crossfade.visitor(), origin: &self.origin }
    }

    /// The same, past Crossfade.
    pub(crate) fn direct(&self) -> Caller<'_> {
        Caller { visitor: self.site.visitor(), origin: &self.origin }
    }
}

/// A visitor who calls the site by its public name.
pub(crate) struct Caller<'a> {
    pub(crate) visitor: Visitor,
    origin: &'a str,
}

impl Caller<'_> {
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.visitor.send(self.request(Method::GET, path))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let host = self.origin.trim_start_matches("http://").to_owned();
        let says_origin = method != Method::GET;
        let request = self.visitor.request(method, path).header("host", host);
        if says_origin { request.header("origin", self.origin) } else { request }
    }

    /// Opens the form and sends it.
    pub(crate) fn sign_in(&self, name: &str, password: &str) -> Answer {
        let token = self.get("/accounts/login/?next=/berths/7/").form_value("csrfmiddlewaretoken");
        let fields = [
            ("csrfmiddlewaretoken", token.as_str()),
            ("username", name),
            ("password", password),
            ("next", "/berths/7/"),
        ];
        self.visitor.send(self.request(Method::POST, "/accounts/login/").form(&fields))
    }
}

pub(crate) fn send_form(browser: &mut Browser, name: &str, password: &str) {
    browser.fill("#id_username", name);
    browser.fill("#id_password", password);
    browser.click("button");
}

/// Where pictures are kept for people to look at.
pub(crate) fn picture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}

fn turned(configuration: &Draft, dial: Dial) -> String {
    let signature = "# assume_verified: {accepted_by: \"Name, date, where the decision is written down\"}";
    let draft = Draft(configuration.0.clone())
        .put("cutover: 0%", &format!("cutover: {}", dial.cutover))
        .put("migrate: 0%", &format!("migrate: {}", dial.migrate));
    match dial.addresses {
        Addresses::Unsigned => draft.0,
        Addresses::Signed => draft.put(signature, "assume_verified: {accepted_by: \"A test\"}").0,
    }
}
