//! The code flow against a certified OpenID provider in Scalekit's place: what Crossfade sends and believes is
//! judged by an implementation that is not ours.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    browser::Browser,
    crossfade::Crossfade,
    draft::Draft,
    http::{Answer, Visitor},
    oidc::{OidcProvider, OldKey},
    ports,
    simulator::Simulator,
    wait,
};

const EXAMPLE: &str = include_str!("../../config/password-file.yaml");
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/people.jsonl");
const SECRET: &str = "only for tests";
/// Between two tries of something that takes a while.
const PAUSE: Duration = Duration::from_secs(2);

struct Scene {
    crossfade: Crossfade,
    provider: OidcProvider,
    origin: String,
    _application: Simulator,
}

impl Scene {
    fn set() -> Self {
        let port = ports::free();
        let origin = format!("http://app.localhost:{port}");
        let provider = OidcProvider::start(&json!({
            "clients": [{
                "client_id": "skc_123456789",
                "client_secret": SECRET,
                "redirect_uris": [format!("{origin}/.crossfade/callback")],
                "post_logout_redirect_uris": [format!("{origin}/")],
            }],
            "people": { "nina@example.com": { "sub": "usr_170000000000000001", "email": "nina@example.com" } },
        }));
        let application = Simulator::start(
            "app",
            &json!({
                "trust_headers": true,
                "assertion": {
                    "jwks_url": format!("http://127.0.0.1:{port}/.crossfade/jwks.json"),
                    "issuer": origin,
                    "audience": origin,
                },
            }),
        );
        let configuration = Draft::of(EXAMPLE)
            .put(
                "  url: https://app.example.com\n  allowed_hosts: [app.example.com]\n",
                &format!(
                    "  url: {origin}\n  listen: 127.0.0.1:{port}\n  allowed_hosts: [app.localhost:{port}, \
                     127.0.0.1:{port}]\n  development: true\n\nadmin:\n  listen: 127.0.0.1:0\n"
                ),
            )
            .put("https://app.internal.example.com", &application.url(""))
            .put("people.jsonl", PEOPLE)
            .put("https://example.scalekit.com", &provider.issuer);
        let key = "k".repeat(48);
        let secrets = [
            ("SCALEKIT_CLIENT_SECRET", SECRET),
            ("ROLLOUT_SALT", &key),
            ("SESSION_KEY", &key),
            ("SUBJECT_KEY", &key),
        ];
        let crossfade = Crossfade::serve_with(&configuration.0, &secrets);
        Self { crossfade, provider, origin, _application: application }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Begins at Crossfade's own door and signs in at the provider.
    fn sign_in(&self, browser: &mut Browser) {
        assert_eq!(browser.goto(&self.url("/.crossfade/initiate?return_to=/")), 200);
        assert!(browser.url().starts_with(&self.provider.issuer), "{}", browser.url());
        browser.fill("input[name=login]", "nina@example.com");
        browser.fill("input[name=password]", "any");
        browser.click("button[type=submit]");
        browser.wait_text("Welcome aboard");
        assert_eq!(browser.url(), self.url("/"));
    }

    /// How often the provider saw this event.
    /// Asking for an API token is not part of anybody's sign-in: a new store is compared with Scalekit's users.
    fn seen(&self, event: &str) -> usize {
        let journal = self.provider.journal();
        let entries = journal.as_array().unwrap().iter();
        let meant = entries.filter(|entry| entry["grant_type"] != "client_credentials");
        meant.filter(|entry| entry["event"] == event).count()
    }

    fn token_requests(&self) -> usize {
        self.seen("token.success") + self.seen("token.error")
    }

    fn visitor(&self) -> Visitor {
        self.crossfade.visitor()
    }

    /// Begins in this visitor's browser and signs in at the provider; the callback is not followed.
    fn to_callback(&self, visitor: &Visitor) -> String {
        let begun = visitor.get("/.crossfade/initiate");
        assert_eq!(begun.status, 303, "{}", begun.text());
        let at_provider = Visitor::of(self.provider.address);
        let inside = |answer: &Answer| answer.location().replace(&self.provider.issuer, "");
        let form = at_provider.get(&inside(&begun));
        let fields = [("prompt", "login"), ("login", "nina@example.com"), ("password", "any")];
        let submitted = at_provider.post_form(&inside(&form), &fields);
        let back = at_provider.get(&inside(&submitted));
        back.location().strip_prefix(&self.origin).expect("the provider leads back").to_owned()
    }
}

/// Our page, and no session.
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("This sign-in cannot be finished"), "{}", answer.text());
    let opened =
        answer.headers.iter().any(|(name, value)| name == "set-cookie" && value.starts_with("crossfade="));
    assert!(!opened, "a session was opened");
}

#[test]
fn somebody_new_signs_in_and_out_at_a_certified_provider() {
    let scene = Scene::set();
    let mut browser = Browser::open();
    for round in 1..=2 {
        scene.sign_in(&mut browser);
        assert_eq!(browser.text("#who"), "Signed in as nina@example.com");
        assert_eq!(browser.text("#door"), "Door: Crossfade, by a signed assertion");
        assert_eq!(browser.text("dl dd:nth-of-type(4)"), "born-new:usr_170000000000000001", "the login");

        browser.goto(&scene.url("/.crossfade/logout"));
        browser.wait_text("Nobody is signed in.");
        assert_eq!(browser.url(), scene.url("/"));
        let cookies = browser.cookies(&scene.origin);
        assert!(cookies.iter().all(|cookie| cookie["name"] != "crossfade"), "{cookies:?}");
        assert_eq!((scene.seen("token.success"), scene.seen("token.error")), (round, 0));
        assert_eq!(scene.seen("logout"), round, "the provider's session ended, too");
    }
    let journal = scene.provider.journal();
    let asked = journal.as_array().unwrap().iter().find(|entry| entry["event"] == "authorize.asked").unwrap();
    assert_eq!(
        (&asked["state"], &asked["nonce"], &asked["pkce"]),
        (&json!(true), &json!(true), &json!("S256"))
    );
    scene.crossfade.assert_never_said(&["nina@example.com", SECRET]);
}

#[test]
fn a_new_signing_key_is_believed_once_it_may_be_fetched() {
    let scene = Scene::set();
    let sign_in = || {
        let visitor = scene.visitor();
        let answer = visitor.get(&scene.to_callback(&visitor));
        (visitor, answer)
    };
    let (_, answer) = sign_in();
    assert_eq!(answer.status, 303, "{}", answer.text());
    scene.provider.rotate_keys(OldKey::Withdrawn);
    // SEC-27: unknown keys are asked about once in 30 s, so what they signed is refused until then.
    let (visitor, answer) = wait::until("the new key is fetched", || {
        let (visitor, answer) = sign_in();
        if answer.status == 303 {
            return Some((visitor, answer));
        }
        assert_refused(&answer);
        wait::within(PAUSE, || None)
    });
    assert_eq!(answer.location(), "/");
    assert_eq!(visitor.get("/.crossfade/session").json()["user"], "born-new:usr_170000000000000001");
    assert_eq!(sign_in().1.status, 303, "and from then on");
}

#[test]
fn a_callback_that_does_not_fit_is_refused_before_the_code_goes_anywhere() {
    let scene = Scene::set();
    let visitor = scene.visitor();

    let callback = scene.to_callback(&visitor);
    let state = callback.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let wrong = "A".repeat(state.len());
    assert_refused(&visitor.get(&callback.replace(state, &wrong)));
    assert_refused(&visitor.get("/.crossfade/callback?code=abc"));
    assert_refused(&visitor.get(&callback.replace("iss=http", "iss=https")));
    assert_eq!(scene.token_requests(), 0);

    let another = scene.visitor();
    let callback = scene.to_callback(&visitor);
    assert_refused(&another.get(&callback));
    // One that has a sign-in of its own under way, too.
    let callback = scene.to_callback(&visitor);
    scene.to_callback(&another);
    assert_refused(&another.get(&callback));
    assert_eq!(scene.token_requests(), 0);

    let callback = scene.to_callback(&visitor);
    let answer = visitor.get(&callback);
    assert_eq!((answer.status, answer.location()), (303, "/"), "{}", answer.text());
    assert_eq!(scene.token_requests(), 1);
    assert_refused(&visitor.get(&callback));
    assert_eq!(scene.token_requests(), 1);
    assert_eq!(visitor.get("/.crossfade/session").json()["signed_in"], true, "the session lives on");
}
