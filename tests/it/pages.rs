//! What people see of us, in a real browser: readable, by keyboard, on a small screen, in light and dark, with nothing
//! from elsewhere, in the operator's words.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{
    browser::Browser,
    crossfade::Crossfade,
    ports,
    scene::{Cast, PASSWORD, Person, Scene},
};

/// The least contrast of a text (WCAG 2.2, 1.4.3, AA).
const CONTRAST: f64 = 4.5;

/// The least height of something to press (WCAG 2.2, 2.5.8), in CSS pixels.
const TARGET: f64 = 24.0;

const WORDS: &str = r#"
pages:
  support_url: https://support.example.com/ask?from=sign-in
  texts:
    not_found: {title: "Nothing <b>here</b> & nowhere", text: "One.\n<script>document.title = 'broken'</script>"}
    sign_in_unavailable:
      title: Not right now
      text: Again in {retry_after} seconds, says {request_id}.
    sign_in_broken: {title: Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft}
  labels:
    sign_in_again: "Once <i>more</i>"
    reference: "Tell us {request_id}"
  translations:
    de:
      texts:
        not_found: {title: Hier ist nichts, text: Bitte prüfen Sie die Adresse.}
      labels: {support: Hilfe, reference: "Kennung {request_id}"}
"#;

/// A Crossfade whose legacy store does not answer, and one whose application does not either.
struct Stage {
    scene: Scene,
    crossfade: Crossfade,
    /// Where nothing answers behind us.
    alone: SocketAddr,
    _alone: Crossfade,
}

impl Stage {
    fn set(words: &str) -> Self {
        let scene = Scene::set(&Cast { people: vec![Person::new("ann")], ..Cast::default() });
        let configuration = format!("{}{words}", scene.configuration());
        // Everybody is asked of Okta, which does not answer.
        let asked = configuration.replace("      domains: [okta-people.example]\n", "");
        scene.okta.set_faults(&json!({ "kind": "status", "status": 503 }));
        let crossfade = Scene::start_as(&asked, &[]);
        let alone = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let nobody = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let without = configuration
            .replace(&scene.public().to_string(), &alone.to_string())
            .replace(&scene.app.address.to_string(), &nobody.to_string())
            .replace("crossfade.redb", "alone.redb");
        let second = Scene::start_as(&without, &[]);
        Self { scene, crossfade, alone, _alone: second }
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.crossfade.public)
    }

    /// Brings the browser to every kind of page, and gives each name with the page's status where it is known.
    fn each(&self, browser: &mut Browser, mut look: impl FnMut(&mut Browser, &str)) {
        assert_eq!(browser.goto(&self.at("/.crossfade/nothing")), 404);
        look(browser, "not_found");
        assert_eq!(browser.goto(&self.at("/.crossfade/callback?code=x&state=y")), 400);
        look(browser, "sign_in_broken");
        let elsewhere = format!("http://localhost:{}/", self.crossfade.public.port());
        assert_eq!(browser.goto(&elsewhere), 421);
        look(browser, "misdirected");
        assert_eq!(browser.goto(&self.at(&format!("/{}", "x".repeat(9000)))), 414);
        look(browser, "uri_too_long");
        assert_eq!(browser.goto(&format!("http://{}/", self.alone)), 502);
        look(browser, "bad_gateway");
        // A form of another site.
        browser.step("post", json!({ "url": self.at("/login"), "fields": { "email": "ann@example.com" } }));
        look(browser, "forbidden");
        assert_eq!(browser.goto(&self.at("/login?next=/")), 200);
        browser.fill("[name=email]", "ann@example.com");
        browser.fill("[name=password]", PASSWORD);
        // What the application's own page asked for is not ours to answer for.
        browser.step("requests", json!({}));
        browser.step("console", json!({}));
        browser.click("button, [type=submit]");
        browser.wait_text("password was not checked");
        look(browser, "sign_in_unavailable");
    }
}

/// Everything that holds for a page whatever it says.
fn assert_sound(browser: &mut Browser, name: &str, how: &str) {
    let page = browser.step("audit", json!({}));
    let said = format!("{name} ({how}): {page:#}");
    assert_eq!(page["headings"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(page["title"], page["headings"][0], "{said}");
    assert!(page["lang"].as_str().is_some_and(|lang| lang.len() >= 2), "{said}");
    assert_eq!((&page["has_main"], &page["scripts"]), (&json!(true), &json!(0)), "{said}");
    assert!(page["scrolls_by"].as_f64().unwrap() <= 0.0, "{said}");
    let contrasts = page["contrasts"].as_array().unwrap();
    assert!(contrasts.len() >= 3, "{said}");
    for text in contrasts {
        assert!(text["ratio"].as_f64().unwrap() >= CONTRAST, "{text} in {said}");
    }
    let controls = page["controls"].as_array().unwrap();
    for control in controls {
        assert!(!control["text"].as_str().unwrap().trim().is_empty(), "{control} in {said}");
        let is_tall = control["is_button"] == false || control["height"].as_f64().unwrap() >= TARGET;
        assert!(is_tall, "{control} in {said}");
    }
    let texts: Vec<&Value> = controls.iter().map(|control| &control["text"]).collect();
    for text in texts {
        let focused = browser.step("tab", json!({}));
        assert_eq!(&focused["text"], text, "the order by keyboard: {said}");
        assert!(focused["outline"].as_f64().unwrap() >= 2.0, "the focus is not seen: {said}");
    }
    let console = browser.step("console", json!({}));
    assert!(!console.as_array().unwrap().iter().any(is_violation), "{console} in {said}");
}

/// The browser itself complains of every status above 399; only broken policies and scripts count.
fn is_violation(message: &Value) -> bool {
    let text = message["text"].as_str().unwrap_or_default();
    message["kind"] == "pageerror" || !text.starts_with("Failed to load resource: the server responded with")
}

fn assert_asked_only(browser: &mut Browser, allowed: &[String]) {
    for request in browser.step("requests", json!({})).as_array().unwrap() {
        let request = request.as_str().unwrap();
        let is_ours = request == "about:blank" || allowed.iter().any(|origin| request.starts_with(origin));
        assert!(is_ours, "a page asked for {request}");
    }
}

#[test]
fn every_page_is_sound_small_and_large_light_and_dark() {
    let stage = Stage::set("");
    let mut browser = Browser::open();
    let ours = [stage.crossfade.public, stage.alone].map(|at| format!("http://{at}/"));
    let misdirected = format!("http://localhost:{}/", stage.crossfade.public.port());
    let ours: Vec<String> = ours.into_iter().chain([misdirected]).collect();
    for (width, scheme) in [(320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")] {
        let options = json!({ "viewport": { "width": width, "height": 640 }, "colorScheme": scheme });
        browser.step("fresh", json!({ "options": options }));
        stage.each(&mut browser, |browser, name| {
            assert_sound(browser, name, &format!("{width} px, {scheme}"));
            assert_asked_only(browser, &ours);
        });
    }
    assert!(!stage.scene.okta.counts()["requests"].as_object().unwrap().is_empty(), "the store was asked");
}

#[test]
fn the_operators_words_are_shown_as_text_and_in_the_browsers_language() {
    let stage = Stage::set(WORDS);
    let mut browser = Browser::open();
    browser.step(
        "fresh",
        json!({ "options": { "viewport": { "width": 320, "height": 640 }, "locale": "en-GB" } }),
    );
    browser.goto(&stage.at("/.crossfade/nothing"));
    assert_eq!(browser.text("h1"), "Nothing <b>here</b> & nowhere");
    assert!(browser.text("main").contains("<script>document.title"), "{}", browser.text("main"));
    assert!(browser.text("footer").starts_with("Tell us "), "{}", browser.text("footer"));
    assert_eq!(browser.step("audit", json!({}))["lang"], "en");
    assert_sound(&mut browser, "not_found", "worded");
    browser.goto(&stage.at("/.crossfade/callback?code=x&state=y"));
    assert_eq!(browser.text("a.act"), "Once <i>more</i>");
    assert_sound(&mut browser, "sign_in_broken", "worded, with one endless word");
    browser.goto(&stage.at("/login?next=/"));
    browser.fill("[name=email]", "ann@example.com");
    browser.fill("[name=password]", PASSWORD);
    browser.click("button, [type=submit]");
    browser.wait_text("Again in 5 seconds, says ");
    browser.step("console", json!({}));

    browser.step(
        "fresh",
        json!({ "options": { "viewport": { "width": 320, "height": 640 }, "locale": "de-AT" } }),
    );
    browser.goto(&stage.at("/.crossfade/nothing"));
    assert_eq!(browser.text("h1"), "Hier ist nichts");
    assert_eq!(browser.step("audit", json!({}))["lang"], "de");
    let footer = browser.text("footer");
    assert!(footer.starts_with("Kennung ") && footer.ends_with("Hilfe"), "{footer}");
    assert_sound(&mut browser, "not_found", "German");
    browser.goto(&stage.at("/.crossfade/callback?code=x&state=y"));
    assert_eq!(browser.step("audit", json!({}))["lang"], "en", "no German for this page");
}
