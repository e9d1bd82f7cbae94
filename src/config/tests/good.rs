//! Good configurations: what they mean, what is worth a warning, how they are shown.

use std::{path::Path, time::Duration};

use crate::{
    config::{
        Guessing, Limits, Loaded, Lockout, MfaDeclaration, SourceKind, Store, load, parse,
        testing::{MINIMAL, Scratch, environment, environment_with},
    },
    rollout::{BasisPoints, DialSource},
};

fn good(text: &str) -> Loaded {
    parse(text, Path::new("/base"), &environment()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn warnings(text: &str) -> Vec<String> {
    good(text).warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_are_safe() {
    let config = good(MINIMAL).config;
    assert_eq!(config.public.limits, Limits::default());
    assert!(config.public.trusted_proxies.is_empty() && !config.public.development);
    assert!(config.admin.listen.ip().is_loopback());
    assert_eq!(config.rollout.dial.migrate(), BasisPoints::NONE);
    assert!(config.rollout.force_key.is_none());
    assert_eq!(config.rollout.source, DialSource::Store);
    let source = &config.legacy.sources[0];
    assert!(matches!(source.kind, SourceKind::Upstream) && source.assume_verified.is_none());
    assert_eq!(source.mfa, MfaDeclaration::Unknown { accepted_by: None });
    assert_eq!(source.external_id.as_str(), "{id}");
    assert!(config.identity.drop_underscores && !config.identity.plain_headers);
    assert!(!config.scalekit.create_organizations);
    assert_eq!(config.guessing, Guessing::default());
    assert_eq!(config.legacy.sources[0].lockout, None);
    let Store::Embedded { path } = config.store else { panic!("another store") };
    assert_eq!(path, Path::new("/base/state.redb"));
}

#[test]
fn values_mean_what_they_say() {
    let text = MINIMAL
        .replace("cutover: 0%", "cutover: 12.5\n  migrate: '50%'")
        .replace("session:\n", "session:\n  idle: 90s\n  refresh_after: 1h\n")
        .replace("public:\n", "public:\n  limits: {body_bytes: 1GiB, head_bytes: 4096, field_bytes: 1KiB, target_bytes: 1 KiB}\n  trusted_proxies: [10.1.2.3/8, '::1']\n");
    let config = good(&text).config;
    assert_eq!(config.rollout.dial.cutover, BasisPoints::new(1250).unwrap());
    assert_eq!(config.rollout.dial.migrate(), BasisPoints::new(5000).unwrap());
    let admin =
        "admin: {tokens: [{name: on-call, role: operator, token: {env: KEY}}], wrong_tokens: {tries: 3}}";
    let loaded = good(&format!("{MINIMAL}{admin}\n"));
    assert_eq!(loaded.config.admin.tokens[0].role, crate::config::AdminRole::Operator);
    assert_eq!(
        (loaded.config.admin.wrong_tokens.tries, loaded.config.admin.wrong_tokens.per.as_secs()),
        (3, 60)
    );
    assert!(!loaded.effective().contains("canary") && loaded.effective().contains("on-call"));
    assert_eq!(config.session.idle, Duration::from_secs(90));
    assert_eq!(config.session.refresh_after, Some(Duration::from_hours(1)));
    assert_eq!((config.public.limits.body_bytes, config.public.limits.head_bytes), (1 << 30, 4096));
    let guessing =
        "guessing: {account: {failures: 5}, address: {tries: 9}, storm: {share: 50%, address: {per: 2m}}}";
    let guessing = good(&format!("{MINIMAL}{guessing}\n")).config.guessing;
    let default = Guessing::default();
    assert_eq!((guessing.account.failures, guessing.account.window), (5, default.account.window));
    assert_eq!((guessing.address.tries, guessing.address.per), (9, Duration::from_mins(1)));
    assert_eq!(guessing.storm.share, BasisPoints::new(5000).unwrap());
    assert_eq!((guessing.storm.address.tries, guessing.storm.address.per), (3, Duration::from_mins(2)));
    let networks: Vec<_> = config.public.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn a_source_locks_at_what_it_says_and_okta_at_ten() {
    let okta = "okta: {url: 'https://example.okta.com', api_token: {env: KEY}}";
    let day = Duration::from_hours(24);
    for (lines, lockout) in [
        (okta.to_owned(), Some((10, day))),
        (format!("{okta}\n      lockout: {{failures: 5}}"), Some((5, day))),
        (format!("{okta}\n      lockout: {{failures: 0}}"), None),
        (
            "upstream: {}\n      lockout: {failures: 3, window: 10m}".to_owned(),
            Some((3, Duration::from_mins(10))),
        ),
        ("upstream: {}".to_owned(), None),
    ] {
        let found = good(&MINIMAL.replace("upstream: {}", &lines)).config.legacy.sources[0].lockout;
        assert_eq!(found, lockout.map(|(failures, window)| Lockout { failures, window }), "{lines}");
    }
}

#[test]
fn what_keeps_people_from_moving_is_a_warning() {
    let source = |lines: &str| MINIMAL.replace("upstream: {}", lines);
    assert_eq!(
        warnings(MINIMAL).iter().map(|text| text.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>(),
        ["legacy.sources[0]", "legacy.sources[0]", "legacy.sources[0].mfa", "legacy.sources[0]"]
    );
    let okta = "okta: {url: 'https://example.okta.com', api_token: {env: KEY}}";
    let nobody = "legacy.sources[0]: nobody from this source can migrate: it has no verified flag and assume_verified \
                  is not set";
    assert!(warnings(&source(okta))[0].starts_with(nobody));
    assert_eq!(warnings(&source(okta)).len(), 1);
    let attribute = okta.replace("}}", "}, email_verified_attribute: verified}");
    assert_eq!(warnings(&source(&attribute)), Vec::<String>::new());
    let signed = format!("{okta}\n      assume_verified: {{accepted_by: Ann, ticket 7}}")
        .replace("Ann, ticket 7", "'Ann, ticket 7'");
    assert_eq!(warnings(&source(&signed)), Vec::<String>::new());
    let unknown = format!("{signed}\n      mfa: unknown");
    assert!(warnings(&source(&unknown))[0].starts_with("legacy.sources[0].mfa: nobody from this source"));
    let accepted = format!("{signed}\n      mfa: {{unknown_accepted_by: Ann}}");
    assert_eq!(warnings(&source(&accepted)), Vec::<String>::new());
    let who = format!(
        "{MINIMAL}\nsign_in: {{who_am_i: {{path: /me, source: app, id: /id, email: /e, email_verified: /v, mfa: /m}}}}\n"
    );
    let who =
        who.replace("upstream: {}", "upstream: {}\n      assume_stranger: {accepted_by: 'Ann, ticket 8'}");
    assert_eq!(warnings(&who), Vec::<String>::new());
}

#[test]
fn a_source_that_cannot_be_asked_who_has_an_address_is_warned_of_unless_somebody_signed() {
    let endpoint = "http: {url: 'https://users.example.com', auth: {bearer: {env: KEY}}, find: '/u/{name}', find_by_id: \
                    '/i/{id}', check: {path: '/u/{name}'}, fields: {id: /id, email: /e, email_verified: /v}}\n      \
                    mfa: none";
    let searched = endpoint.replace("check:", "find_by_email: '/u?email={email}', check:");
    let signed = |source: &str| format!("{source}\n      assume_stranger: {{accepted_by: Ann}}");
    let warned = |source: &str| {
        let told = warnings(&MINIMAL.replace("upstream: {}", source));
        told.iter().filter(|warning| warning.contains("cannot be asked who has an address")).count()
    };
    let told = ["upstream: {}", endpoint, &searched, &signed("upstream: {}"), &signed(endpoint)].map(warned);
    assert_eq!(told, [1, 1, 0, 0, 0]);
}

#[test]
fn a_development_machine_is_warned() {
    let text = MINIMAL
        .replace("https://app.example.com", "http://app.localhost:8080\n  development: true")
        .replace("[app.example.com]", "[app.localhost:8080]");
    assert!(warnings(&text).iter().any(|text| text.starts_with("public.development: is on")));
}

#[test]
fn secrets_come_from_files_beside_the_configuration() {
    let folder = Scratch::new();
    let key = "k".repeat(40);
    folder.write("secrets/key", &format!("{key}\r\n"));
    let path = folder.write("crossfade.yaml", &MINIMAL.replace("[{env: KEY}]", "[{file: secrets/key}]"));
    let loaded = load(&path, &environment()).unwrap();
    assert_eq!(loaded.config.session.keys[0].expose(), key);
    let problem = load(&folder.path("missing.yaml"), &environment()).unwrap_err().to_string();
    assert!(problem.contains("missing.yaml: there is no such file"), "{problem}");
}

#[test]
fn the_environment_overrides_single_values() {
    let environment = environment_with(&[
        ("CROSSFADE_ROLLOUT__CUTOVER", "5%"),
        ("CROSSFADE_PUBLIC__LISTEN", "127.0.0.1:8081"),
        ("CROSSFADE_PUBLIC__DEVELOPMENT", "true"),
        ("CROSSFADE_PUBLIC__THREADS", "3"),
        ("CROSSFADE_PUBLIC__LIMITS__HEAD_TIMEOUT", "3s"),
        ("CROSSFADE_LEGACY__SOURCES__0__TIMEOUT", "4s"),
        ("CROSSFADE_SESSION__COOKIE", "7"),
        ("CROSSFADE_ADMIN_TOKEN", "ignored"),
        ("CROSSFADE_LOG", "ignored"),
        ("CROSSFADE_FAILPOINT", "ignored"),
        ("CROSSFADE_PORT", "tcp://10.0.0.1:80"),
        ("CROSSFADE_CUTOVER", "5%"),
    ]);
    let loaded =
        parse(MINIMAL, Path::new("/base"), &environment).unwrap_or_else(|problems| panic!("{problems}"));
    let config = loaded.config;
    assert_eq!(config.rollout.dial.cutover.to_string(), "5%");
    assert_eq!(config.public.listen.to_string(), "127.0.0.1:8081");
    assert!(config.public.development);
    assert_eq!(config.public.threads, 3);
    assert_eq!(config.public.limits.head_timeout, Duration::from_secs(3));
    assert_eq!(config.legacy.sources[0].timeout, Duration::from_secs(4));
    assert_eq!(config.session.cookie, "7");
    let warned = loaded.warnings.iter().filter(|warning| warning.0.path.starts_with("CROSSFADE_"));
    assert_eq!(warned.map(|warning| warning.0.path.as_str()).collect::<Vec<_>>(), ["CROSSFADE_CUTOVER"]);
}

#[test]
fn what_is_shown_can_be_loaded_and_holds_no_secret() {
    let folder = Scratch::new();
    folder.write("key", "canary-canary-canary-canary-canary-file");
    let text = MINIMAL
        .replace("[{env: KEY}]", "[{file: key}, {env: KEY}]")
        .replace(
            "upstream: {}",
            "sql: {dialect: postgres, url: {env: DB}, query: \"SELECT '# a: b' WHERE x = $1\", hash_format: {name: x, n: 1}, \
             columns: {id: a, email: b, password_hash: c}}",
        )
        .replace("cutover: 0%", "cutover: 0.5%\n  force_key: {env: KEY}\n  rules: {deny: [{person: '7'}, {domain: example.org}]}");
    let environment = environment_with(&[("DB", "postgres://reader:canary@db/app")]);
    let loaded = parse(&text, folder.root(), &environment).unwrap_or_else(|problems| panic!("{problems}"));
    let shown = loaded.effective();
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(shown.matches("# REDACTED").count(), 7, "{shown}");
    let json = loaded.effective_json().to_string();
    assert!(!json.contains("canary") && json.contains(r#""cutover":"0.5%""#), "{json}");
    // From another folder, and still the same: paths are whole.
    let again = parse(&shown, Path::new("/elsewhere"), &environment)
        .unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
    assert_eq!(again.effective_raw(), loaded.effective_raw());
    assert_eq!(again.effective(), shown);
    assert_eq!(again.config.session.keys, loaded.config.session.keys);
    // Shown is what is in force: the migrate percent is never below the cutover percent.
    assert_eq!(again.config.rollout.dial.migrate(), loaded.config.rollout.dial.migrate());
    assert_eq!(again.config.rollout.dial.rules, loaded.config.rollout.dial.rules);
    assert_eq!(again.config.rollout.salt.fingerprint(), loaded.config.rollout.salt.fingerprint());
    assert!(!format!("{loaded:?}").contains("canary"));
}

#[test]
fn words_of_pages_are_taken_and_shown() {
    let text = format!(
        "{MINIMAL}pages:
  language: de
  support_url: mailto:help@example.com
  texts:
    overloaded: {{title: Zu viel los, text: 'Bitte in {{retry_after}} Sekunden noch einmal.'}}
  labels: {{reference: 'Kennung {{request_id}}'}}
  translations:
    pt-BR: {{labels: {{support: Ajuda}}}}
"
    );
    let loaded = parse(&text, Path::new("/base"), &environment()).unwrap();
    let pages = &loaded.config.pages;
    assert_eq!(pages.language, "de");
    assert_eq!(pages.wording.texts["overloaded"].title.as_deref(), Some("Zu viel los"));
    assert_eq!(pages.translations["pt-br"].labels["support"], "Ajuda");
    let shown = loaded.effective_json();
    assert_eq!(shown["pages"]["texts"]["overloaded"]["text"], "Bitte in {retry_after} Sekunden noch einmal.");
    assert_eq!(shown["pages"]["support_url"], "mailto:help@example.com");
}

#[cfg(feature = "openfeature")]
#[test]
fn feature_flags_have_names_and_a_neighbour_by_default() {
    let loaded = good(&MINIMAL.replace("  cutover: 0%", "  source: flagd"));
    assert_eq!(loaded.config.rollout.source, DialSource::Flagd);
    let flagd = loaded.config.rollout.flagd.clone().unwrap();
    assert_eq!(flagd.url.as_str(), "http://localhost:8016/");
    assert_eq!(flagd.timeout.as_millis(), 500);
    assert!(flagd.token.is_none());
    let names = &flagd.flags;
    let names = [&names.cutover, &names.migrate, &names.rollback_mode, &names.paused];
    let expected = ["cutover-percent", "migrate-percent", "rollback-mode", "paused"]
        .map(|name| format!("crossfade-{name}"));
    assert_eq!(names, expected.each_ref());
    assert!(loaded.effective().contains("paused: crossfade-paused"), "{}", loaded.effective());
}
