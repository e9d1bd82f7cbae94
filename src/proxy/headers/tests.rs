//! The header filter, by example and by property.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::proxy::tests::support;

fn rules() -> FieldRules {
    let public = support::public();
    FieldRules::new(&public, &support::identity(), &support::cookies(&public)).unwrap()
}

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn client() -> Client {
    let address = "198.51.100.7".parse().unwrap();
    Client { address, peer: address, https: true }
}

fn stripped(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = map(fields);
    rules().strip_request(&mut headers, &["legacy_session".to_owned()]);
    headers
}

#[test]
fn connection_level_fields_do_not_travel() {
    let headers = stripped(&[
        ("connection", "X-One, close"),
        ("connection", "x-TWO,keep-alive"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("keep-alive", "5"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAM"),
        ("proxy-authorization", "Basic eA=="),
    ]);
    assert_eq!(headers, map(&[("x-three", "3")]));
}

#[test]
fn naming_a_field_of_the_message_does_not_remove_it() {
    let fields = [("host", "a.test"), ("content-length", "3"), ("cookie", "a=b")];
    let headers =
        stripped(&[fields[0], fields[1], fields[2], ("connection", "Host, Content-Length, Cookie")]);
    assert_eq!(headers, map(&fields));
}

#[test]
fn naming_our_own_fields_removes_nothing_of_ours() {
    let rules = rules();
    let named =
        "Via, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, X-Crossfade-Assertion";
    let mut headers = map(&[("host", "app.example.test"), ("connection", named), ("via", "1.0 other")]);
    rules.strip_request(&mut headers, &[]);
    rules.add_request(&mut headers, Version::HTTP_11, &client(), support::id());
    assert_eq!(headers["x-forwarded-for"], "198.51.100.7");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(headers["x-forwarded-host"], "app.example.test");
    assert_eq!(headers["x-request-id"].as_bytes(), support::id().as_bytes());
    assert_eq!(headers["via"], "1.1 crossfade-test");
}

#[test]
fn identity_never_comes_from_a_client() {
    for name in [
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded_user",
        "x_forwarded_user",
        "x-auth-request-user",
        "x-auth-request-anything",
        "x_auth_request-email",
        "remote-user",
        "remote_user",
        "x-crossfade-assertion",
        "x_crossfade_assertion",
        "app-user",
        "app_user",
        "any_thing",
    ] {
        assert!(stripped(&[(name, "mallory")]).is_empty(), "{name}");
    }
    let others = [("x-auth-requestor", "1"), ("remote-users", "1"), ("authorization", "Basic eA==")];
    assert_eq!(stripped(&others), map(&others));
}

#[test]
fn underscores_are_kept_where_the_operator_says_so_but_never_where_they_mean_something() {
    let mut rules = rules();
    rules.drop_underscores = false;
    let mut headers = map(&[
        ("any_thing", "1"),
        ("remote_user", "mallory"),
        ("app_user", "mallory"),
        ("x_auth_request_user", "mallory"),
        ("x_forwarded_for", "192.0.2.66"),
        ("x-real_ip", "192.0.2.66"),
        ("transfer_encoding", "chunked"),
        ("content_length", "3"),
    ]);
    rules.strip_request(&mut headers, &[]);
    assert_eq!(headers, map(&[("any_thing", "1")]));
}

#[test]
fn what_a_client_says_about_its_way_is_dropped() {
    for name in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-server",
        "x-forwarded-uri",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
    ] {
        assert!(stripped(&[(name, "attacker.test")]).is_empty(), "{name}");
    }
}

#[test]
fn our_cookies_and_the_named_ones_do_not_go_up() {
    for (before, after) in [
        ("a=1; b=2", Some("a=1; b=2")),
        ("a=1;b=2", Some("a=1;b=2")),
        ("__Host-crossfade=secret", None),
        ("a=1; __Host-crossfade=secret; b=2", Some("a=1; b=2")),
        ("a=1;__Host-crossfade-device=x;b=2", Some("a=1; b=2")),
        ("legacy_session=x; a=1", Some("a=1")),
        (" __Host-crossfade =x; a=1", Some("a=1")),
        ("=__Host-crossfade=x; a=1", Some("a=1")),
        ("__Host-crossfade; a=1", Some("a=1")),
        ("__host-crossfade=x", Some("__host-crossfade=x")),
        ("x__Host-crossfade=x", Some("x__Host-crossfade=x")),
    ] {
        let headers = stripped(&[("cookie", before)]);
        assert_eq!(headers.get("cookie").map(|value| value.to_str().unwrap()), after, "{before}");
    }
    let headers = stripped(&[("cookie", "a=1"), ("cookie", "__Host-crossfade=x"), ("cookie", "b=2")]);
    assert_eq!(headers, map(&[("cookie", "a=1"), ("cookie", "b=2")]));
}

#[test]
fn an_answer_sets_no_cookie_of_ours_and_keeps_the_rest_in_order() {
    let mut headers = map(&[
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "__Host-crossfade=planted; Path=/; Secure"),
        ("set-cookie", "b=2"),
        ("connection", "X-Internal"),
        ("x-internal", "1"),
        ("keep-alive", "timeout=5"),
        ("via", "1.1 inner"),
    ]);
    rules().pass_response(&mut headers, Version::HTTP_11);
    let expected = [
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
        ("via", "1.1 inner"),
        ("via", "1.1 crossfade-test"),
    ];
    assert_eq!(headers, map(&expected));
}

#[test]
fn a_loop_is_seen_in_any_hop_of_any_line() {
    for (lines, expected) in [
        (&["1.1 crossfade-test"][..], true),
        (&["1.1 a, 1.1 Crossfade-Test (x)"][..], true),
        (&["1.1 a", "HTTP/1.1  crossfade-test"][..], true),
        (&["1.1 crossfade-tests"][..], false),
        (&["1.1 a (crossfade-test)"][..], false),
        (&[][..], false),
    ] {
        let headers = map(&lines.iter().map(|line| ("via", *line)).collect::<Vec<_>>());
        assert_eq!(rules().is_loop(&headers), expected, "{lines:?}");
    }
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "connection",
        "host",
        "cookie",
        "set-cookie",
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "x_forwarded_user",
        "remote-user",
        "x-crossfade-assertion",
        "via",
        "te",
    ];
    prop_oneof![proptest::sample::select(known.map(str::to_owned).to_vec()), "[a-z][a-z0-9_-]{0,6}"]
}

fn value() -> impl Strategy<Value = String> {
    let cookies = "((a|__Host-crossfade|legacy_session|b) ?=[a-z]{0,3}[; ,]{0,2}){1,4}";
    prop_oneof!["[!-~]([ -~]{0,10}[!-~])?", cookies.prop_map(|text| text.trim().to_owned())]
}

proptest::proptest! {
    #[test]
    fn filtering_twice_equals_once(fields in vec((name(), value()), 0..12), named in vec(name(), 0..4)) {
        let rules = rules();
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers.append("connection", named.join(", ").parse().unwrap());
        rules.strip_request(&mut headers, &["legacy_session".to_owned()]);
        let once = headers.clone();
        rules.strip_request(&mut headers, &["legacy_session".to_owned()]);
        prop_assert_eq!(once, headers);
    }

    #[test]
    fn every_line_of_connection_is_honoured(lines in vec(vec("[a-z][a-z0-9-]{0,8}", 1..4), 1..4)) {
        let mut headers = map(&[("host", "a.test")]);
        for line in &lines {
            headers.append("connection", line.join(" ,\t").parse().unwrap());
            for name in line {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), "x".parse().unwrap());
            }
        }
        strip_hop_by_hop(&mut headers);
        let kept = ["host", "content-length", "cookie"];
        for name in lines.iter().flatten().filter(|name| !kept.contains(&name.as_str())) {
            prop_assert!(!headers.contains_key(name.as_str()), "{}", name);
        }
        prop_assert!(headers.contains_key("host"));
    }

    #[test]
    fn ours_are_there_whatever_the_client_sent(fields in vec((name(), value()), 0..12)) {
        let rules = rules();
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers.append("connection", "x-forwarded-for, via, x-request-id, x-forwarded-proto".parse().unwrap());
        rules.strip_request(&mut headers, &[]);
        rules.add_request(&mut headers, Version::HTTP_11, &client(), support::id());
        prop_assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["198.51.100.7"]);
        prop_assert_eq!(headers.get_all("x-forwarded-proto").iter().collect::<Vec<_>>(), ["https"]);
        prop_assert!(headers.get_all("via").iter().any(|via| via == "1.1 crossfade-test"));
    }
}
