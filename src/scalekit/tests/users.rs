//! Users on the wire.

use super::*;
use crate::login::{CreateError, Directory as _, MembershipStatus, UserId};

const CREATE: &str = "/api/v1/organizations/org_1/users";
const SEARCH: &str = "/api/v1/users:search";
const READ: &str = "/api/v1/users/usr_1";
const JOIN: &str = "/api/v1/memberships/organizations/org_1/users/usr_1";

fn page(users: &[Value], next: &str) -> Reply {
    Reply::json(200, &json!({"users": users, "total_size": users.len(), "next_page_token": next}))
}

fn without_membership(mut user: Value) -> Value {
    user["memberships"] = json!([]);
    user
}

#[tokio::test]
async fn an_external_id_is_one_percent_encoded_segment() {
    for (id, segment) in [
        ("42", "42"),
        ("crm:42", "crm%3A42"),
        ("a/b", "a%2Fb"),
        ("a/../b", "a%2F..%2Fb"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("100%", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("a+b c", "a%2Bb%20c"),
        ("ä\\;", "%C3%A4%5C%3B"),
        ("...", "..."),
    ] {
        let theatre = Theatre::open().await;
        let path = format!("/api/v1/users:external/{segment}");
        theatre.stage.on("GET", &path, [one(&user("usr_1", id, EMAIL))]);
        let found = theatre.scalekit.find_by_external_id(&external(id), soon()).await.unwrap().unwrap();
        assert_eq!(found.external_id, Some(external(id)));
        assert_eq!(theatre.stage.calls(), [format!("GET {path}")]);
    }
}

#[tokio::test]
async fn an_external_id_that_cannot_be_a_segment_is_an_error_and_not_nobody() {
    let theatre = Theatre::open().await;
    for id in [".", "..", "", &"x".repeat(511)] {
        let error = theatre.scalekit.find_by_external_id(&external(id), soon()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{id}");
    }
    assert_eq!(theatre.stage.calls(), [""; 0]);
}

#[tokio::test]
async fn by_external_id_404_means_nobody_and_another_user_means_garbage() {
    let theatre = Theatre::open().await;
    let path = "/api/v1/users:external/42";
    theatre.stage.on("GET", path, [status(404), one(&user("usr_1", "43", EMAIL)), status(400)]);
    let find = || async { theatre.scalekit.find_by_external_id(&external("42"), soon()).await };
    assert_eq!(find().await.unwrap(), None);
    assert!(is_transient(find().await.unwrap_err().class));
    assert_eq!(find().await.unwrap_err().class, ErrorClass::Permanent);
}

#[tokio::test]
async fn without_the_route_an_external_id_is_searched_and_compared() {
    let theatre = Theatre::with(|settings| settings.lookup_by_external_id = false).await;
    let users = [user("usr_1", "4242", EMAIL), user("usr_2", "424", EMAIL), user("usr_3", "", EMAIL)];
    theatre.stage.on("GET", SEARCH, [page(&users, ""), page(&[], "")]);
    let find = |id: &'static str| async { theatre.scalekit.find_by_external_id(&external(id), soon()).await };
    assert_eq!(find("424").await.unwrap().unwrap().id.0, "usr_2");
    assert_eq!(find("999").await.unwrap(), None);
    assert_eq!(find("42").await.unwrap_err().class, ErrorClass::Misconfigured);
    assert_eq!(theatre.stage.calls().len(), 2);
}

#[tokio::test]
async fn by_email_search_narrows_and_exact_comparison_decides() {
    let theatre = Theatre::open().await;
    let near = [
        user("usr_1", "", "x.canary.ann+x@example.com"),
        user("usr_2", "", "canary.ann@example.com"),
        user("usr_3", "canary.ann+x@example.com", "other@example.com"),
        user("usr_4", "", ""),
    ];
    let exact = [user("usr_5", "", "Canary.Ann+X@EXAMPLE.com")];
    theatre.stage.on("GET", SEARCH, [page(&near, "next/page=2"), page(&exact, "")]);
    let found = theatre.scalekit.find_by_email(&email(), soon()).await.unwrap().unwrap();
    assert_eq!(found.id.0, "usr_5");
    assert_eq!(found.external_id, None, "empty means absent");
    assert!(found.email_verified);
    assert_eq!(found.memberships[0].status, MembershipStatus::Active);
    assert_eq!(found.memberships[0].since.unwrap().to_string(), "2025-12-31T23:59:59.123Z");

    let asked = theatre.stage.seen("GET", SEARCH);
    assert_eq!(asked[0].query, "query=canary.ann%2Bx%40example.com&page_size=30");
    assert_eq!(asked[1].query_pairs()["page_token"], "next/page=2");
}

#[tokio::test]
async fn by_email_nobody_needs_every_page_to_say_so() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", SEARCH, [page(&[user("usr_1", "", "x@example.com")], "")]);
    assert_eq!(theatre.scalekit.find_by_email(&email(), soon()).await.unwrap(), None);

    // The same mailbox twice, in two spellings: nobody can say who is meant.
    let theatre = Theatre::open().await;
    let twins = [user("usr_1", "", EMAIL), user("usr_2", "", &EMAIL.to_uppercase())];
    theatre.stage.on("GET", SEARCH, [page(&twins[..1], "2"), page(&twins[1..], "")]);
    let error = theatre.scalekit.find_by_email(&email(), soon()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert_silent(&error);

    // A circle, and a search without an end.
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", SEARCH, [page(&[], "again")]);
    assert!(theatre.scalekit.find_by_email(&email(), soon()).await.is_err());
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", SEARCH, (0..20).map(|n| page(&[], &n.to_string())));
    assert!(theatre.scalekit.find_by_email(&email(), soon()).await.is_err());
    assert_eq!(theatre.stage.calls().len(), 10);
}

#[tokio::test]
async fn a_long_address_is_searched_by_its_first_hundred_characters() {
    let theatre = Theatre::open().await;
    let long = format!("{}@{}.example.com", "a".repeat(60), "b".repeat(60));
    theatre.stage.on("GET", SEARCH, [page(&[user("usr_1", "", &long)], "")]);
    let found = theatre.scalekit.find_by_email(&CanonicalEmail::parse(&long).unwrap(), soon()).await.unwrap();
    assert_eq!(found.unwrap().id.0, "usr_1");
    assert_eq!(theatre.stage.seen("GET", SEARCH)[0].query_pairs()["query"], long[..100]);
}

#[tokio::test]
async fn a_create_says_everything_on_the_wire() {
    let theatre = Theatre::open().await;
    theatre.stage.on("POST", CREATE, [one(&user("usr_1", "legacy:42", EMAIL))]);
    let created = theatre.scalekit.create_user(&new_user(), soon()).await.unwrap();
    assert_eq!(created.id, UserId("usr_1".into()));
    let [sent] = theatre.stage.seen("POST", CREATE).try_into().unwrap();
    assert_eq!(sent.query, "send_invitation_email=false");
    assert_eq!(sent.content_type.as_deref(), Some("application/json"));
    assert_eq!(
        sent.json(),
        json!({
            "email": EMAIL,
            "external_id": "legacy:42",
            "membership": {"roles": [{"name": "member"}, {"name": "admin"}]},
            "user_profile": {"given_name": "Ann"},
            "metadata": {"department": "sales"},
        })
    );
}

#[tokio::test]
async fn a_create_without_anything_optional_sends_nothing_optional() {
    let theatre = Theatre::with(|settings| settings.default_roles.clear()).await;
    theatre.stage.on("POST", CREATE, [one(&user("usr_1", "legacy:42", EMAIL))]);
    let user =
        NewUser { roles: Vec::new(), metadata: BTreeMap::new(), name: PersonName::default(), ..new_user() };
    theatre.scalekit.create_user(&user, soon()).await.unwrap();
    let sent = theatre.stage.seen("POST", CREATE)[0].json();
    assert_eq!(sent, json!({"email": EMAIL, "external_id": "legacy:42", "membership": {}}));
}

#[tokio::test]
async fn what_scalekit_would_refuse_is_not_sent() {
    let theatre = Theatre::open().await;
    let bad_role = NewUser { roles: vec!["site admin".into()], ..new_user() };
    let bad_id = NewUser { external_id: external(&"x".repeat(511)), ..new_user() };
    for (user, class) in [(bad_role, ErrorClass::Misconfigured), (bad_id, ErrorClass::Permanent)] {
        let error = theatre.scalekit.create_user(&user, soon()).await.unwrap_err();
        assert!(matches!(error, CreateError::NotDone(error) if error.class == class));
    }
    assert_eq!(theatre.stage.calls(), [""; 0]);
}

#[tokio::test]
async fn every_end_of_a_create_is_told_apart_and_none_is_sent_twice() {
    type Expected = fn(&CreateError) -> bool;
    let refused: Expected = |error| matches!(error, CreateError::Refused(_));
    let not_done: Expected = |error| matches!(error, CreateError::NotDone(_));
    let unknown: Expected = |error| matches!(error, CreateError::Unknown(_));
    let cases: Vec<(&str, Reply, Expected)> = vec![
        ("400", status(400), refused),
        ("400 bare ErrorInfo", Reply::json(400, &json!({"error_code": "INVALID_ARGUMENT"})), refused),
        ("400 html", Reply::text(400, "text/html", "<html>canary</html>"), refused),
        ("409", status(409), refused),
        ("403", status(403), not_done),
        ("404", status(404), not_done),
        ("429", status(429), not_done),
        ("500", status(500), unknown),
        ("501", status(501), unknown),
        ("502 html", Reply::text(502, "text/html", "<html>canary</html>"), unknown),
        ("503", status(503).header("retry-after", "1"), unknown),
        ("504", status(504), unknown),
        ("302", Reply::json(302, &json!({})).header("location", "http://127.0.0.1:1/"), unknown),
        ("201 html", Reply::text(201, "text/html", "<html>canary</html>"), unknown),
        ("201 no user", Reply::json(201, &json!({"message": "canary"})), unknown),
        ("204", Reply::text(204, "application/json", ""), unknown),
        ("201 too big", Reply::text(201, "application/json", "x".repeat(1024 * 1024 + 1)), unknown),
        ("reset", Reply::Close, unknown),
        ("cut off", Reply::CutOff, unknown),
        ("no answer", Reply::Hang, unknown),
    ];
    for (name, reply, expected) in cases {
        let limit = Duration::from_secs(if matches!(reply, Reply::Hang) { 1 } else { 5 });
        let theatre = Theatre::with(|settings| settings.timeout = limit).await;
        theatre.stage.on("POST", CREATE, [reply]);
        let error = theatre.scalekit.create_user(&new_user(), soon()).await.expect_err(name);
        assert!(expected(&error), "{name}: {error}");
        assert_silent(&error);
        assert_eq!(theatre.stage.seen("POST", CREATE).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_create_without_a_connection_is_not_done() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [status(404)]);
    theatre.scalekit.read_user(&UserId("usr_1".into()), soon()).await.unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let clock = TestClock::at(Timestamp::from_seconds(NOW));
    let redirect = Url::parse("https://app.example.com/callback").unwrap();
    let scalekit =
        Scalekit::new(&settings(&origin), &redirect, clock.clone(), &Dependencies::unwatched(clock)).unwrap();
    let error = scalekit.create_user(&new_user(), soon()).await.unwrap_err();
    assert!(matches!(&error, CreateError::NotDone(error) if is_transient(error.class)), "{error}");
    assert_silent(&error);

    let passed = Deadline::within(Duration::ZERO);
    let error = theatre.scalekit.create_user(&new_user(), passed).await.unwrap_err();
    assert!(matches!(&error, CreateError::NotDone(error) if is_transient(error.class)), "{error}");
    assert!(theatre.stage.seen("POST", CREATE).is_empty());
}

#[tokio::test]
async fn linking_gives_the_external_id_and_the_membership_where_they_are_missing() {
    let theatre = Theatre::open().await;
    let before = without_membership(user("usr_1", "", EMAIL));
    theatre.stage.on("GET", READ, [one(&before), one(&user("usr_1", "legacy:42", EMAIL))]);
    theatre.stage.on("PATCH", READ, [one(&user("usr_1", "legacy:42", EMAIL))]);
    theatre.stage.on("POST", JOIN, [one(&user("usr_1", "legacy:42", EMAIL))]);
    let linked = theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap();
    assert_eq!(linked.external_id, Some(external("legacy:42")));
    assert_eq!(linked.memberships.len(), 1);
    assert_eq!(theatre.stage.seen("PATCH", READ)[0].json(), json!({"external_id": "legacy:42"}));
    let [joined] = theatre.stage.seen("POST", JOIN).try_into().unwrap();
    assert_eq!(joined.query, "send_invitation_email=false");
    assert_eq!(joined.json(), json!({"roles": [{"name": "member"}, {"name": "admin"}]}));
    assert_eq!(theatre.stage.calls().len(), 4);
}

#[tokio::test]
async fn linking_again_changes_nothing() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [one(&user("usr_1", "legacy:42", EMAIL))]);
    theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap();
    assert_eq!(theatre.stage.calls(), [format!("GET {READ}"), format!("GET {READ}")]);
}

#[tokio::test]
async fn a_member_who_was_deactivated_is_not_brought_back() {
    let theatre = Theatre::open().await;
    let mut inactive = user("usr_1", "legacy:42", EMAIL);
    inactive["memberships"][0]["membership_status"] = json!("INACTIVE");
    theatre.stage.on("GET", READ, [one(&inactive)]);
    let linked = theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap();
    assert_eq!(linked.memberships[0].status, MembershipStatus::Inactive);
    assert!(theatre.stage.seen("POST", JOIN).is_empty());
}

#[tokio::test]
async fn a_user_with_another_external_id_is_never_taken_over() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", READ, [one(&user("usr_1", "somebody-else", EMAIL)), status(404)]);
    for _ in 0..2 {
        let error =
            theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert_silent(&error);
    }
    assert_eq!(theatre.stage.calls().len(), 2, "looked, and touched nothing");
}

#[tokio::test]
async fn already_a_member_is_a_success_after_a_look() {
    for code in [400, 409] {
        let theatre = Theatre::open().await;
        let before = without_membership(user("usr_1", "legacy:42", EMAIL));
        theatre.stage.on("GET", READ, [one(&before), one(&user("usr_1", "legacy:42", EMAIL))]);
        theatre.stage.on("POST", JOIN, [status(code)]);
        let linked = theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap();
        assert_eq!(linked.memberships.len(), 1);

        theatre.stage.on("GET", READ, [one(&before)]);
        let error =
            theatre.scalekit.link_user(&UserId("usr_1".into()), &new_user(), soon()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{code}");
    }
}

#[tokio::test]
async fn a_membership_that_is_not_there_is_removed() {
    let gone = || one(&without_membership(user("usr_1", "legacy:42", EMAIL)));
    let there = || one(&user("usr_1", "legacy:42", EMAIL));
    for (delete, look, is_removed) in [
        (Reply::json(200, &json!({})), there(), true),
        (Reply::text(204, "text/plain", ""), there(), true),
        (status(404), there(), true),
        (status(400), gone(), true),
        (status(400), status(404), true),
        (status(400), there(), false),
        (status(403), gone(), false),
        (status(503), gone(), false),
    ] {
        let theatre = Theatre::open().await;
        theatre.stage.on("DELETE", JOIN, [delete]);
        theatre.stage.on("GET", READ, [look]);
        let organization = OrganizationId("org_1".into());
        let removed =
            theatre.scalekit.remove_membership(&organization, &UserId("usr_1".into()), soon()).await;
        assert_eq!(removed.is_ok(), is_removed);
        assert_eq!(theatre.stage.seen("DELETE", JOIN).len(), 1);
    }
}
