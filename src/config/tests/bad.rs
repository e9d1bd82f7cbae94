//! Bad configurations, and every problem told at once.

use std::path::Path;

use proptest::prelude::*;

use crate::config::{
    parse,
    testing::{MINIMAL, Scratch, environment, environment_with},
};

/// `path: text` of every problem.
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = parse(text, Path::new("/nowhere"), &environment()) else { return Vec::new() };
    problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect()
}

/// Whether each of the problems is told, and no other. Expectations are beginnings.
#[track_caller]
fn expect(text: &str, expected: &[&str]) {
    let found = problems(text);
    for begin in expected {
        assert!(found.iter().any(|problem| problem.starts_with(begin)), "{begin}\nis not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[track_caller]
fn expect_changed(from: &str, to: &str, expected: &[&str]) {
    assert!(MINIMAL.contains(from), "{from}");
    expect(&MINIMAL.replace(from, to), expected);
}

#[test]
fn an_empty_file_is_told_all_it_lacks() {
    expect(
        "",
        &[
            "public.url: is missing",
            "public.allowed_hosts: is missing",
            "upstream.url: is missing",
            "scalekit.environment_url: is missing",
            "scalekit.client_id: is missing",
            "scalekit.client_secret: is missing",
            "scalekit.default_organization: is missing",
            "rollout.salt: is missing",
            "session.keys: is missing",
            "store: is missing",
            "telemetry.subject_key: is missing",
        ],
    );
}

#[test]
fn problems_of_every_kind_are_told_together_with_their_places() {
    let text = "\
public:
  url: http://app.example.com/path
  allowed_hosts: []
  colour: red
  limits: {head_bytes: 9KB, head_fields: 0}
admin: {listen: somewhere}
upstream: {url: 'ftp://inside.example.com'}
legacy:
  sources:
    - name: born-new
      okta: {url: 'http://example.okta.com', api_token: canary}
    - 7
    - name: db
      domains: ['@example.com']
      sql: {dialect: oracle, url: {env: NOT_SET}, query: SELECT 1, columns: {id: email, email: email}}
scalekit: {client_secret: {file: a, env: b}}
rollout: {cutover: 101%, salt: {}}
session: {keys: [{env: CLIENT_SECRET}], idle: 5}
store: {embedded: {}}
telemetry: {subject_key: {env: KEY}, log: '=,='}
";
    expect(
        text,
        &[
            "public.url: must be scheme, host and port only",
            "public.allowed_hosts: is empty",
            "public.colour: unknown key: remove it, or use one of url, listen",
            "public.limits.head_bytes: must be a size",
            "public.limits.head_fields: must be between 1 and 1000",
            "admin.listen: ",
            "upstream.url: must begin with https://",
            "legacy.sources[0].name: is reserved",
            "legacy.sources[0].okta.url: must be https",
            "legacy.sources[0].okta.api_token: a secret never stands in this file",
            "legacy.sources[1]: must be a mapping",
            "legacy.sources[2].domains[0]: must be an e-mail domain",
            "legacy.sources[2].sql.dialect: must be one of postgres, mysql, sqlite",
            "legacy.sources[2].sql.url: the variable NOT_SET is not set",
            "legacy.sources[2].sql.columns.id: is the e-mail",
            "legacy.sources[2].sql.columns.password_hash: is missing",
            "scalekit.client_secret: has both `file` and `env`",
            "scalekit.environment_url: is missing",
            "scalekit.client_id: is missing",
            "scalekit.default_organization: is missing",
            "rollout.cutover: must be a percentage from 0% to 100%",
            "rollout.salt: has neither `file` nor `env`",
            "session.keys[0]: is shorter than 32 bytes",
            "session.idle: must be a duration",
            "store.embedded.path: is missing",
            "telemetry.log: must be a level",
        ],
    );
    let problems = parse(text, Path::new("/nowhere"), &environment()).unwrap_err();
    let printed = problems.to_string();
    assert!(
        printed.contains("public.colour: unknown key") && printed.contains("(line 4, column"),
        "{printed}"
    );
    assert!(!printed.contains("canary"), "{printed}");
    let lines: Vec<_> = problems.0.iter().map(|problem| problem.position).collect();
    assert!(lines.is_sorted());
}

#[test]
fn text_that_is_no_strict_yaml_is_refused_with_its_place() {
    let refused = |text: &str, word: &str| {
        let problems = parse(text, Path::new("/nowhere"), &environment()).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert!(problems.to_string().contains(word), "{problems}");
    };
    refused("public:\n  url: https://a.example\n  url: https://b.example\n", "line 3");
    refused("public:\n  url: [\n", "not valid YAML");
    refused("a: &x [1]\nb: *x\n", "not valid YAML");
    refused("a: {b: 1}\n<<: {c: 2}\n", "not valid YAML");
    refused("a: 1\n---\nb: 2\n", "not valid YAML");
    refused("- a\n- b\n", "must be a mapping of sections");
    refused(&"[".repeat(100), "not valid YAML");
    refused(&" ".repeat(2 << 20), "larger than 1 MiB");
}

#[test]
fn unknown_keys_are_errors_at_every_level() {
    let routes = "sign_in:
  extra: 1
  routes:
    - name: form
      path: /login
      extra: 1
      form: {login: a, password: b, extra: 1}
      rejected: {body: {body: x, extra: 1}}
      success: [{json: {pointer: /a, equals: 1, extra: 1}}]
  who_am_i: {path: /me, source: app, id: /id, email: /email, extra: 1}
migration: {extra: 1}
identity: {extra: 1}
admin: {extra: 1}
extra: 1
";
    let text = MINIMAL
        .replace("public:\n", "public:\n  extra: 1\n  limits: {extra: 1}\n")
        .replace("upstream:\n", "upstream:\n  extra: 1\n")
        .replace("sources:\n", "hash_ceilings: {extra: 1}\n  sources:\n")
        .replace(
            "upstream: {}",
            "upstream: {extra: 1}\n      extra: 1\n      assume_verified: {accepted_by: x, extra: 1}\n      \
             assume_stranger: {accepted_by: x, extra: 1}",
        )
        .replace("display_name: Main", "display_name: Main, extra: 1")
        .replace("cutover: 0%", "cutover: 0%\n  rules: {extra: 1}")
        .replace("path: state.redb", "path: state.redb, extra: 1");
    let found = problems(&format!("{text}{routes}"));
    assert_eq!(found.len(), 21, "{found:#?}");
    let unknown = found
        .iter()
        .filter(|problem| problem.contains(".extra: unknown key") || problem.starts_with("extra: "));
    assert_eq!(unknown.count(), 21, "{found:#?}");
}

#[test]
fn the_public_side_is_safe_or_refused() {
    expect_changed("https://app.example.com", "http://app.example.com", &["public.url: must be https"]);
    expect_changed("url: https://app.example.com", "url: 'https://u:p@app.example.com'", &["public.url: "]);
    expect_changed("[app.example.com]", "[other.example.com]", &["public.allowed_hosts: lacks"]);
    expect_changed(
        "[app.example.com]",
        "['*', app.example.com, APP.example.com]",
        &["public.allowed_hosts[0]: must be host", "public.allowed_hosts[2]: is there twice"],
    );
    expect_changed(
        "public:\n",
        "public:\n  trusted_proxies: [0.0.0.0/0, ten]\n",
        &["public.trusted_proxies[0]: is everybody", "public.trusted_proxies[1]: must be a network"],
    );
    for prefix in ["/", "x/", "/x", "//", "/a/../b/", "/ü/"] {
        expect_changed("public:\n", &format!("public:\n  prefix: {prefix}\n"), &["public.prefix: "]);
    }
    expect_changed(
        "public:\n",
        "admin: {listen: '127.0.0.1:8080'}\npublic:\n",
        &["admin.listen: is the public"],
    );
    expect_changed(
        "public:\n",
        "admin:
  tokens:
    - {name: a b, role: viewer, token: {env: KEY}}
    - {role: operator, token: {env: CLIENT_SECRET}}
    - {name: one, role: viewer, token: {env: KEY}}
    - {name: one, role: viewer, token: {env: KEY}}
  wrong_tokens: {tries: 0}
public:\n",
        &[
            "admin.tokens[0].name: must be 1 to 64 letters",
            "admin.tokens[1].name: is missing",
            "admin.tokens[1].token: is shorter than 32 bytes",
            "admin.tokens[3].name: is there twice",
            "admin.tokens[3].token: is the same token",
            "admin.wrong_tokens.tries: must be above 0",
        ],
    );
}

#[test]
fn secrets_travel_over_https_only_unless_at_home() {
    let home = MINIMAL
        .replace("public:\n", "public:\n  development: true\n")
        .replace("https://example.scalekit.com", "http://scalekit.localhost:9");
    expect(&home, &[]);
    expect(
        &home.replace("http://scalekit.localhost:9", "http://10.0.0.1"),
        &["scalekit.environment_url: must be"],
    );
    expect(
        &home.replace("development: true", "development: false"),
        &["scalekit.environment_url: must be https"],
    );
}

#[test]
fn sources_are_told_apart() {
    let two = |first: &str, second: &str| {
        let sql = "sql: {dialect: sqlite, url: {env: DB}, query: 'SELECT ?', \
                   columns: {id: a, email: b, password_hash: c}}";
        let one = |head: &str| format!("    - {{{head}, {sql}}}\n");
        let text = MINIMAL.replace("    - name: app\n      upstream: {}\n", &(one(first) + &one(second)));
        let environment = environment_with(&[("DB", "sqlite:/db")]);
        let Err(problems) = parse(&text, Path::new("/nowhere"), &environment) else { return String::new() };
        problems.to_string()
    };
    assert_eq!(two("name: a", "name: b"), "");
    assert!(two("name: a", "name: a").starts_with("legacy.sources[1].name: names another source"));
    assert!(two("name: a", "name: b, external_id: '{id}'").contains("[1].external_id: lacks {source}"));
    let dashes = |name: &str| format!("name: {name}, external_id: '{{source}}-{{id}}'");
    assert_eq!(two(&dashes("a"), &dashes("b")), "");
    // `a` with the id `b-1` and `a-b` with the id `1` would both be `a-b-1`.
    assert!(
        two(&dashes("a"), &dashes("a-b")).contains("legacy.sources[1].external_id: two sources could write")
    );
    assert_eq!(two("name: a", "name: a-b"), "");
    expect_changed(
        "upstream: {}",
        "upstream: {}\n      okta: {}",
        &[
            "legacy.sources[0]: must have exactly one of",
            "legacy.sources[0].okta.url: is missing",
            "legacy.sources[0].okta.api_token: is missing",
        ],
    );
    expect_changed(
        "upstream: {}",
        "external_id: x",
        &[
            "legacy.sources[0]: must have exactly one of",
            "legacy.sources[0].external_id: must hold {id} once",
        ],
    );
}

#[test]
fn a_connection_url_is_not_repeated() {
    let sql = "sql: {dialect: mysql, url: {env: DB}, query: 'SELECT $1', columns: {id: a, email: b, password_hash: c}}";
    let environment = environment_with(&[("DB", "postgres://reader:canary@db/app")]);
    let text = MINIMAL.replace("upstream: {}", sql);
    let problems = parse(&text, Path::new("/nowhere"), &environment).unwrap_err().to_string();
    assert!(problems.contains("sources[0].sql.url: is no connection URL of this dialect"), "{problems}");
    assert!(
        problems.contains("sources[0].sql.query: must have exactly one parameter, written ?"),
        "{problems}"
    );
    assert!(!problems.contains("canary") && !problems.contains("reader@"), "{problems}");
}

#[test]
fn sign_in_routes_make_sense() {
    let sign_in = "
sign_in:
  account_routes: [/password]
  logout_routes: ['/logout?x=1']
  who_am_i: {path: //evil.example, source: nobody, id: email, email: /e~2}
  routes:
    - {name: a, path: /login, form: {login: x, password: x}, rejected: {redirect: 'https://evil.example'}, success: []}
    - name: a
      path: /login
      form: {login: x, password: y}
      rejected: {body: {status: 302, body: no}}
      success: [{location: '('}, {status: [99]}, {sets_cookie: 'a b'}, surprise]
    - {name: c, path: /.crossfade/x, rejected: {redirect: /}, success: [{status: [200]}]}
    - {name: d, path: /.crossfade/x, json: {login: /a, password: /b}, rejected: {redirect: /}, success: [{status: [200]}]}
    - {name: d, path: /%6cogin, json: {login: /a, password: b}, rejected: {redirect: /}, success: [{status: [200]}]}
";
    expect(
        &format!("{MINIMAL}{sign_in}"),
        &[
            "sign_in.account_page: is needed",
            "sign_in.logout_routes[0]: must be a decoded path",
            "sign_in.who_am_i.path: must be a path of the public origin",
            "sign_in.who_am_i.source: is no source",
            "sign_in.who_am_i.id: must be an RFC 6901 pointer",
            "sign_in.who_am_i.email: must be an RFC 6901 pointer",
            "sign_in.routes[0].form.password: is the same field",
            "sign_in.routes[0].rejected.redirect: must be a path of the public origin",
            "sign_in.routes[0].success: is empty",
            "sign_in.routes[1].rejected.body.status: must be a status that may have a body",
            "sign_in.routes[1].success[0].location: must be a regular expression",
            "sign_in.routes[1].success[1].status: must be a list of status codes",
            "sign_in.routes[1].success[2].sets_cookie: must be a cookie's name",
            "sign_in.routes[1].success[3]: must be one of status, sets_cookie, location, json",
            "sign_in.routes[2]: has neither form nor json",
            "sign_in.routes[3].path: lies under public.prefix",
            "sign_in.routes[4].path: must be a decoded path",
            "sign_in.routes[4].json.password: must be an RFC 6901 pointer",
        ],
    );
    let twice = "
sign_in:
  routes:
    - &a {name: a, path: /login, form: {login: x, password: y}, rejected: {redirect: /}, success: [{status: [302]}]}
    - {name: a, path: /login, form: {login: x, password: y}, rejected: {redirect: /}, success: [{status: [302]}]}
"
    .replace("&a ", "");
    expect(
        &format!("{MINIMAL}{twice}"),
        &[
            "sign_in.routes[1].name: names another route",
            "sign_in.routes[1].path: is the path of another route",
        ],
    );
}

#[test]
fn hand_offs_stay_on_the_public_origin() {
    let hand_off =
        |way: &str| MINIMAL.replace("scalekit:\n", &format!("scalekit:\n  hand_offs: {{default: {way}}}\n"));
    for good in ["shadow", "hosted", "{app: {url: '/sso?hint={login_hint}&next={return_to}'}}"] {
        expect(&hand_off(good), &[]);
    }
    for bad in ["https://evil.example/", "//evil.example", "/{return_to}", "/sso?{user}", "/a/../b", "sso"] {
        let way = format!("{{app: {{url: '{bad}'}}}}");
        expect(&hand_off(&way), &["scalekit.hand_offs.default.app.url: "]);
    }
    expect(&hand_off("app"), &["scalekit.hand_offs.default: `app` needs a value below it"]);
    expect(&hand_off("bridge"), &["scalekit.hand_offs.default: must be one of shadow, hosted, app"]);
    expect(&hand_off("{app: {}}"), &["scalekit.hand_offs.default.app.url: is missing"]);
}

#[test]
fn sessions_and_identities_keep_apart_what_is_ours() {
    expect_changed(
        "session:\n",
        "session:\n  legacy_cookies: [__Host-crossfade-device, sid, sid, 'a=b']\n",
        &[
            "session.legacy_cookies[0]: is a cookie of Crossfade's own",
            "session.legacy_cookies[2]: is there twice",
            "session.legacy_cookies[3]: must be a cookie's name",
        ],
    );
    expect_changed(
        "session:\n",
        "session:\n  legacy_cookies: [{domain: example.com}, {name: a, domain: evil.example}, {name: c, domain: com}, \
         {name: a, path: app}, {name: __Host-a, path: /app}, {name: b, domain: .example.com}, \
         {name: b, domain: example.com, path: /}, {name: a, path: '/;x'}]\n",
        &[
            "session.legacy_cookies[0].name: is missing",
            "session.legacy_cookies[1].domain: must be the host of public.url",
            "session.legacy_cookies[2].domain: must be the host of public.url",
            "session.legacy_cookies[3].path: must be the cookie's Path",
            "session.legacy_cookies[4]: begins with __Host-",
            "session.legacy_cookies[6]: is there twice",
            "session.legacy_cookies[7].path: must be the cookie's Path",
        ],
    );
    expect_changed(
        "session:\n",
        "session:\n  legacy_cookies: [{name: a, paths: /}]\n",
        &["session.legacy_cookies[0].paths: unknown key: remove it, or use one of name, domain, path"],
    );
    expect_changed(
        "session:\n",
        "session:\n  legacy_cookies: [7]\n",
        &["session.legacy_cookies[0]: must be a cookie's name, or {name: NAME"],
    );
    expect_changed("[{env: KEY}]", "[{env: KEY}, {env: KEY}]", &["session.keys[1]: is the same key"]);
    expect_changed("[{env: KEY}]", "[]", &["session.keys: is empty"]);
    expect_changed(
        "session:\n",
        "session:\n  idle: 13h\n  refresh_after: 14h\n  after_sign_out: '/\\evil'\n",
        &[
            "session.idle: is longer than absolute",
            "session.refresh_after: is longer than absolute",
            "session.after_sign_out: must be a path",
        ],
    );
    expect_changed(
        "session:\n",
        "identity: {reserved: [Cookie, 'a b'], born_new_prefix: ''}\nsession:\n",
        &[
            "identity.reserved[0]: is a header every request needs",
            "identity.reserved[1]: must be a header's name",
            "identity.born_new_prefix: must be 1 to 32",
        ],
    );
}

#[test]
fn limits_neither_let_everything_pass_nor_nothing() {
    let guessing = "
guessing:
  account: {failures: 0, first_delay: 1h}
  address: {tries: 0}
  process: {per: 0s}
  storm: {failures: 0, share: 0%}
  entries: 10
";
    expect(
        &format!("{MINIMAL}{guessing}"),
        &[
            "guessing.account.failures: must be between 1 and 1000",
            "guessing.account.first_delay: is longer than longest_delay",
            "guessing.address.tries: must be above 0",
            "guessing.process.per: must be longer than 0s",
            "guessing.storm.failures: must be above 0",
            "guessing.storm.share: must be above 0%",
            "guessing.entries: must be at least 1000",
        ],
    );
    expect_changed(
        "upstream: {}\n",
        "upstream: {}\n      lockout: {failures: 2, window: 0s}\n",
        &[
            "legacy.sources[0].lockout.failures: must be 0",
            "legacy.sources[0].lockout.window: must be longer",
        ],
    );
}

#[test]
fn the_dial_stays_within_what_exists() {
    let nobody =
        MINIMAL.replace("    - name: app\n      upstream: {}\n", "").replace("sources:", "sources: []");
    expect(&nobody, &[]);
    expect(&nobody.replace("cutover: 0%", "cutover: 5%"), &["rollout.cutover: is above what exists"]);
    for percent in ["101%", "-1", "1.234", "half", "true"] {
        let problems = problems(&MINIMAL.replace("cutover: 0%", &format!("cutover: {percent}")));
        assert!(problems[0].starts_with("rollout.cutover: must be a percentage"), "{problems:?}");
    }
    let rules = "cutover: 0%\n  rules: {deny: [{person: Ann@Example.com}], allow: [{person: ann@example.com}, {domain: a b}]}";
    expect_changed(
        "cutover: 0%",
        rules,
        &[
            "rollout.rules.allow[0]: is denied above",
            "rollout.rules.allow[1].domain: must be an e-mail domain",
        ],
    );
    expect_changed(
        "rollout:\n",
        "migration: {lease: 5s, claim_wait: 0s}\nrollout:\n",
        &["migration.lease: must be longer than", "migration.claim_wait: must be longer than 0s"],
    );
}

#[test]
fn a_secret_file_has_to_be_there_and_hold_something() {
    let folder = Scratch::new();
    folder.write("empty", "\n");
    folder.write("short", "canary");
    std::fs::write(folder.path("binary"), [0xff; 40]).unwrap();
    let text = MINIMAL.replace(
        "[{env: KEY}]",
        "[{file: empty}, {file: short}, {file: binary}, {file: missing}, {file: .}, {file: ''}]",
    );
    let problems = parse(&text, folder.root(), &environment()).unwrap_err();
    let told: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 6, "{told:#?}");
    for (n, part) in ["is empty", "shorter than 32", "not UTF-8", "no such file", "not a file", "not a file"]
        .iter()
        .enumerate()
    {
        assert!(
            told[n].starts_with(&format!("session.keys[{n}]: ")) && told[n].contains(part),
            "{}",
            told[n]
        );
        assert!(!told[n].contains("canary"));
    }
}

#[test]
fn an_override_that_names_nothing_is_a_problem() {
    let environment = environment_with(&[
        ("CROSSFADE_ROLLOUT__CUTOVR", "5%"),
        ("CROSSFADE_ROLUOT__CUTOVER", "5%"),
        ("CROSSFADE_PUBLIC__URL__HOST", "x"),
        ("CROSSFADE_ROLLOUT__MIGRATE", "lots"),
        ("CROSSFADE_SCALEKIT__CLIENT_SECRET", "canary"),
    ]);
    let problems = parse(MINIMAL, Path::new("/nowhere"), &environment).unwrap_err().to_string();
    for part in [
        "rollout.cutovr: unknown key",
        "(from the variable CROSSFADE_ROLLOUT__CUTOVR)",
        "roluot: unknown key",
        "CROSSFADE_PUBLIC__URL__HOST: names no setting: there is nothing at `host`",
        "rollout.migrate: must be a percentage",
        "scalekit.client_secret: a secret never stands in this file",
    ] {
        assert!(problems.contains(part), "{part}\nis not in\n{problems}");
    }
    assert_eq!(problems.lines().count(), 5, "{problems}");
    assert!(!problems.contains("canary"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_it_panic(text in "(?s)[ -~\n\t:{}\\[\\]&*!|>%@é]{0,200}") {
        let _ = parse(&text, Path::new("/nowhere"), &environment());
    }

    /// Damage to a good file: most of it stays, so that the deeper checks are reached.
    #[test]
    fn no_damage_makes_it_panic(from in 0_usize..700, length in 0_usize..40, with in "[ -~\n]{0,12}") {
        let text: Vec<char> = MINIMAL.chars().collect();
        let from = from.min(text.len());
        let end = (from + length).min(text.len());
        let damaged: String = text[..from].iter().copied().chain(with.chars()).chain(text[end..].iter().copied()).collect();
        if let Err(problems) = parse(&damaged, Path::new("/nowhere"), &environment()) {
            prop_assert!(!problems.0.is_empty());
        }
    }
}

#[test]
fn words_of_pages_are_plain_bounded_and_for_pages_that_there_are() {
    let pages = |text: &str| format!("{MINIMAL}pages:\n{text}");
    expect(
        &pages(
            "  language: english please
  support_url: javascript:alert(1)
  texts:
    no_such_page: {title: x}
    overloaded: {title: 'a {name}', text: ''}
    not_found: {text: 'again in {retry_after}'}
    internal: {titel: x}
  labels:
    referenz: x
    reference: no id
    support: '{request_id}'
  translations:
    de_DE: {}
    EN: {}
",
        ),
        &[
            "pages.language: must be a language tag",
            "pages.support_url: must be an address",
            "pages.texts.no_such_page: is no page; there are bad_gateway, bad_request,",
            "pages.texts.overloaded.title: has a placeholder that is not known here; there are: {request_id}, {ret",
            "pages.texts.overloaded.text: is empty",
            "pages.texts.not_found.text: has a placeholder that is not known here; there are: {request_id}",
            "pages.texts.internal.titel: ",
            "pages.labels.referenz: is no label; there are reference, sign_in_again, sign_in_by_email, support",
            "pages.labels.reference: must hold {request_id}",
            "pages.labels.support: has a placeholder that is not known here; there are: none",
            "pages.translations.de_DE: must be a language tag",
        ],
    );
    expect(
        &pages(&format!(
            "  translations: {{en: {{}}}}\n  texts: {{internal: {{title: '{}', text: \"a\\tb\"}}}}\n",
            "x".repeat(121)
        )),
        &[
            "pages.translations.en: is pages.language already",
            "pages.texts.internal.title: is longer than 120",
            "pages.texts.internal.text: holds a control character",
        ],
    );
}

#[test]
fn flagd_is_asked_quickly_and_gets_a_token_over_tls_alone() {
    let flagd = "  source: store
  flagd:
    url: http://flagd.example.com
    token: {env: KEY}
    timeout: 1500ms
    flags: {paused: ''}
";
    expect_changed(
        "  cutover: 0%\n",
        flagd,
        &[
            "rollout.flagd.url: must be https: a token travels there",
            "rollout.flagd.timeout: must be at most 1s",
            "rollout.flagd.flags.paused: is empty",
        ],
    );
    expect_changed("  cutover: 0%\n", "  flagd: {url: 'http://flagd.example.com'}\n", &[]);
    expect_changed("  cutover: 0%\n", "  flagd: {url: 'http://[::1]:8016', token: {env: KEY}}\n", &[]);
    expect_changed(
        "  cutover: 0%\n",
        "  flagd: {url: 'http://flagd.example.com/ofrep'}\n",
        &["rollout.flagd.url: must be scheme, host and port only"],
    );
}
