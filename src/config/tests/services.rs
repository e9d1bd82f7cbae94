//! Stormpath and HTTP endpoints as sources, and sources that keep others from being asked.

use std::path::Path;

use crate::config::{
    AccountStore, HttpAuth, HttpMeaning, Loaded, SourceKind, parse,
    testing::{MINIMAL, environment_with},
};

const STORMPATH: &str = "stormpath: {url: 'https://api.example.com/v1/applications/app1', api_key_id: {env: ID}, \
                         api_key_secret: {env: SECRET}}";
const HTTP: &str = "http: {url: 'https://users.example.com/legacy/', auth: {bearer: {env: SECRET}}, \
                    find: '/users/{name}', find_by_id: '/by-id/{id}', find_by_email: '/users?email={email}', \
                    check: {path: '/users/{name}'}, fields: {id: /id, email: /email, email_verified: /v}}";

fn with(source: &str) -> String {
    MINIMAL.replace("upstream: {}", &format!("{source}\n      mfa: none"))
}

fn try_parse(text: &str) -> Result<Loaded, Vec<String>> {
    let environment =
        environment_with(&[("ID", "canary-id"), ("SECRET", "canary-secret"), ("COLON", "a:canary")]);
    parse(text, Path::new("/base"), &environment).map_err(|problems| {
        problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect()
    })
}

fn good(source: &str) -> Loaded {
    try_parse(&with(source)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Exactly these problems, each by its beginning.
#[track_caller]
fn expect(source: &str, expected: &[&str]) {
    let found = try_parse(&with(source)).err().unwrap_or_default();
    for begin in expected {
        let begin = format!("legacy.sources[0].{begin}");
        assert!(found.iter().any(|problem| problem.starts_with(&begin)), "{begin}\nis not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[track_caller]
fn expect_changed(source: &str, from: &str, to: &str, expected: &[&str]) {
    assert!(source.contains(from), "{from}");
    expect(&source.replace(from, to), expected);
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn both_mean_what_they_say_and_warn_of_nothing() {
    let loaded = good(STORMPATH);
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let SourceKind::Stormpath(stormpath) = &loaded.config.legacy.sources[0].kind else {
        panic!("another kind")
    };
    assert_eq!(stormpath.url.as_str(), "https://api.example.com/v1/applications/app1");
    assert_eq!((&stormpath.account_store, &stormpath.organization_field), (&None, &None));

    let loaded = good(HTTP);
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let SourceKind::Http(http) = &loaded.config.legacy.sources[0].kind else { panic!("another kind") };
    assert_eq!(http.url.as_str(), "https://users.example.com/legacy");
    assert!(matches!(http.auth, Some(HttpAuth::Bearer(_))));
    assert_eq!((http.nobody.as_slice(), http.check.password.as_str()), (&[404, 410][..], "password"));
    assert!(!http.check.names_person && http.check.name.is_none());
    let answers: Vec<_> = http.check.answers.iter().map(|answer| (&*answer.status, answer.means)).collect();
    assert_eq!(answers, [(&[200][..], HttpMeaning::Right), (&[400, 401, 403, 404][..], HttpMeaning::Wrong)]);
}

#[test]
fn both_are_shown_whole_and_without_their_secrets() {
    let organization =
        STORMPATH.replace("}}", "}, account_store: {name_key: acme}, organization_field: /org}");
    let SourceKind::Stormpath(stormpath) = good(&organization).config.legacy.sources[0].kind.clone() else {
        panic!("another kind")
    };
    assert_eq!(stormpath.account_store, Some(AccountStore::NameKey("acme".into())));
    let basic = HTTP.replace("{bearer: {env: SECRET}}", "{basic: {user: u, password: {file: secret}}}");
    let header = HTTP.replace("{bearer: {env: SECRET}}", "{header: {name: X-Api-Key, value: {env: SECRET}}}");
    let hook = HTTP.replace(
        "check: {path: '/users/{name}'}",
        "check: {path: /hook, name: identifier, answers: [{status: [200], json: {pointer: /s, equals: ok}, means: right}, \
         {status: [403], means: wrong}, {status: [423], means: locked}]}, list: /people, nobody: [404]",
    );
    for source in [STORMPATH, &organization, HTTP, &header, &hook] {
        let loaded = good(source);
        let shown = loaded.effective();
        assert!(!shown.contains("canary"), "{shown}");
        let again = try_parse(&shown).unwrap_or_else(|problems| panic!("{problems:#?}\n{shown}"));
        assert_eq!(again.effective(), shown);
        let debug = format!("{:?}", again.config);
        assert!(!debug.contains("canary"), "{debug}");
    }
    expect(&basic, &["http.auth.basic.password: cannot read"]);
}

#[test]
fn an_application_of_stormpaths_has_its_own_address() {
    let change = |from: &str, to: &str, expected: &[&str]| expect_changed(STORMPATH, from, to, expected);
    change("https://api", "http://api", &["stormpath.url: must be https"]);
    change("/applications/app1", "", &["stormpath.url: must be the application's own address"]);
    change("/applications/app1", "/applications/app1?x=1", &["stormpath.url: must be scheme, host"]);
    change("/applications/app1", "/x/../applications/app1", &["stormpath.url: must be scheme, host"]);
    change("api.example.com", "key:canary@api.example.com", &["stormpath.url: must be scheme, host"]);
    change("{env: ID}", "{env: COLON}", &["stormpath.api_key_id: holds a colon"]);
    change("api_key_id: {env: ID}", "api_key_id: canary", &["stormpath.api_key_id: a secret never stands"]);
    expect(
        "stormpath: {}",
        &[
            "stormpath.url: is missing",
            "stormpath.api_key_id: is missing",
            "stormpath.api_key_secret: is missing",
        ],
    );
    let elsewhere = "}, account_store: {href: 'https://other.example.com/v1/directories/d1'}}";
    change("}}", elsewhere, &["stormpath.account_store.href: is at another service"]);
    change("}}", "}, organization_field: company}", &["stormpath.organization_field: must be an RFC 6901"]);
    let named = with(STORMPATH).replace("mfa: none", "mfa: {field: mfa}");
    let problems = try_parse(&named).err().unwrap_or_default();
    assert!(
        problems[0].starts_with("legacy.sources[0].mfa.field: must be an RFC 6901 pointer"),
        "{problems:?}"
    );
}

#[test]
fn an_endpoints_addresses_and_answers_are_checked() {
    let change = |from: &str, to: &str, expected: &[&str]| expect_changed(HTTP, from, to, expected);
    change("https://users", "http://users", &["http.url: must be https"]);
    change("/legacy/'", "/legacy/?x=1'", &["http.url: must be scheme, host"]);
    change("'/users/{name}', find_by_id", "'/users', find_by_id", &["http.find: lacks {name}"]);
    change("/by-id/{id}", "/by-id/{name}", &["http.find_by_id: may hold {id} once"]);
    change("/by-id/{id}", "//evil.example/{id}", &["http.find_by_id: must be a path below `url`"]);
    change("email={email}", "email={email}&x={email}", &["http.find_by_email: may hold {email} once"]);
    change("check: {path: '/users/{name}'}", "check: {path: /check}", &["http.check: says nowhere whose"]);
    change("path: '/users/{name}'", "path: '/{name}', name: password", &["http.check.name: is the member"]);
    change("id: /id, email: /email", "id: /email, email: /email", &["http.fields.id: is the e-mail"]);
    change(
        "id: /id, email: /email",
        "email: email",
        &["http.fields.id: is missing", "http.fields.email: must be an RFC 6901 pointer"],
    );
    change(
        "{bearer: {env: SECRET}}",
        "{header: {name: Host, value: {env: SECRET}}}",
        &["http.auth.header.name: must be the name of a field of your own"],
    );
    change(
        "{bearer: {env: SECRET}}",
        "{basic: {user: 'a:b', password: {env: SECRET}}}",
        &["http.auth.basic.user: holds a colon"],
    );
    expect("http: {}", &["http.url: is missing", "http.check: is missing", "http.fields: is missing"]);
    for (answers, expected) in [
        (
            "[]",
            &[
                "http.check.answers: has no answer that means right",
                "http.check.answers: has no answer that means wrong",
            ][..],
        ),
        (
            "[{status: [200], means: right}, {status: [429], means: wrong}]",
            &["http.check.answers[1].status: must be"],
        ),
        (
            "[{status: [200, 302], means: right}, {status: [401], means: wrong}]",
            &["http.check.answers[0].status: must be"],
        ),
        (
            "[{status: [503], means: right}, {status: [], means: wrong}]",
            &["http.check.answers[0].status: must be", "http.check.answers[1].status: must be"],
        ),
    ] {
        change("path: '/users/{name}'", &format!("path: '/users/{{name}}', answers: {answers}"), expected);
    }
}

#[test]
fn a_yes_has_to_name_somebody() {
    let blind = HTTP.replace("find: '/users/{name}', ", "");
    expect(&blind, &["http.check: names nobody"]);
    expect(
        &blind.replace("path: '/users/{name}'", "path: '/by-id/{id}', names_person: true"),
        &["http.check.path: has {id}, which only find can tell"],
    );
    let named = good(&blind.replace("path: '/users/{name}'", "path: '/users/{name}', names_person: true"));
    assert!(warnings(&named)[0].contains("take 401 for a wrong password"), "{:?}", warnings(&named));
}

#[test]
fn what_keeps_an_endpoints_people_is_a_warning() {
    let bare = HTTP
        .replace("auth: {bearer: {env: SECRET}}, ", "")
        .replace("find_by_id: '/by-id/{id}', find_by_email: '/users?email={email}', ", "")
        .replace(", email_verified: /v", "");
    let told = warnings(&good(&bare));
    for words in [
        "has no auth",
        "has no find_by_id",
        "has no find_by_email",
        "nobody from this source can migrate",
        "cannot be asked who has an address",
    ] {
        assert!(told.iter().any(|warning| warning.contains(words)), "{words} is not in {told:#?}");
    }
    assert_eq!(told.len(), 5, "{told:#?}");
}

/// Only a source that sees passwords before it can say whether it has the name.
#[test]
fn a_source_that_keeps_others_from_being_asked_is_warned_of() {
    let blind = HTTP
        .replace("find: '/users/{name}', ", "")
        .replace("path: '/users/{name}'", "path: '/users/{name}', names_person: true");
    let okta =
        "okta: {url: 'https://example.okta.com', api_token: {env: SECRET}, email_verified_attribute: v}";
    let warned = |sources: &[String]| {
        let sources: Vec<String> = sources
            .iter()
            .enumerate()
            .map(|(n, source)| format!("    - name: s{n}\n      mfa: none\n      {source}\n"))
            .collect();
        let text = MINIMAL.replace("    - name: app\n      upstream: {}\n", &sources.concat());
        let loaded = try_parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        let told =
            warnings(&loaded).into_iter().filter(|warning| warning.contains("cannot be asked for a name"));
        told.map(|warning| warning.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let domains = |source: &str, domain: &str| format!("{source}\n      domains: [{domain}]");
    let (blind, http, okta) = (blind, HTTP.to_owned(), okta.to_owned());
    assert_eq!(warned(&[blind.clone(), okta.clone()]), ["legacy.sources[0]"]);
    assert_eq!(warned(&[okta.clone(), blind.clone(), "upstream: {}".into()]), ["legacy.sources[1]"]);
    assert_eq!(warned(&[domains(&blind, "a.example"), domains(&okta, "a.example")]), ["legacy.sources[0]"]);
    let none = Vec::<String>::new();
    assert_eq!(warned(&[okta.clone(), blind.clone()]), none);
    assert_eq!(warned(&[domains(&blind, "a.example"), okta.clone()]), none);
    assert_eq!(warned(&[domains(&blind, "a.example"), domains(&okta, "b.example")]), none);
    // All the others can be asked for a name, wherever they stand.
    assert_eq!(warned(&[okta, http, STORMPATH.to_owned(), "upstream: {}".into()]), none);
}

#[test]
fn a_rate_says_how_many_calls_in_which_span() {
    let loaded = good(&format!("{STORMPATH}\n      rate: {{calls: 600, per: 1m}}"));
    let rate = loaded.config.legacy.sources[0].rate.unwrap();
    assert_eq!((rate.calls, rate.per), (600, std::time::Duration::from_mins(1)));
    assert!(loaded.effective().contains("calls: 600"), "{}", loaded.effective());
    assert_eq!(good(STORMPATH).config.legacy.sources[0].rate, None);
    for (rate, problems) in [
        ("{calls: 0, per: 1m}", &["rate: must be above 0"][..]),
        ("{per: 1m}", &["rate.calls: "]),
        ("{calls: 10}", &["rate.per: "]),
    ] {
        expect(&format!("{STORMPATH}\n      rate: {rate}"), problems);
    }
    expect("upstream: {}\n      rate: {calls: 1, per: 1s}", &["rate: is of no use"]);
}
