//! Each call of the management API, its limits and its switches.

use super::*;

#[tokio::test]
async fn a_direct_create_is_active_verified_and_silent() {
    let stage = Stage::with(json!({})).await;
    let body = json!({
        "email": "Ann@Example.test", "external_id": "legacy-42",
        "membership": { "roles": [{ "name": "clerk" }], "metadata": { "team": "north" } },
        "user_profile": { "given_name": "Ann", "groups": ["a"], "custom_attributes": { "shoe": "39" } },
        "metadata": { "migrated_from": "legacy" },
    });
    let (status, body) = stage.create(body).await;
    assert_eq!(status, 201);
    let user = &body["user"];
    let id = user["id"].as_str().unwrap();
    assert!(
        id.starts_with("usr_") && (19..=25).contains(&id.len()) && id[4..].parse::<u64>().is_ok(),
        "{id}"
    );
    assert_eq!(user["email"], "Ann@Example.test");
    assert_eq!(user["external_id"], "legacy-42");
    assert_eq!(user["user_profile"]["email_verified"], true);
    assert_eq!(user["user_profile"]["family_name"], "", "empty values are present");
    assert_eq!(user["metadata"], json!({ "migrated_from": "legacy" }));
    let member = &user["memberships"][0];
    assert_eq!(
        (&member["membership_status"], &member["organization_id"]),
        (&json!("ACTIVE"), &json!(HARBOUR))
    );
    assert_eq!(member["roles"][0]["name"], "clerk");
    assert_eq!(member["permissions"], json!(["bills:read"]));
    assert_eq!(member["provisioning_method"], "direct_provision");
    assert!(stage.mails().await.is_empty());

    assert_eq!(stage.get(&format!("/users/{id}")).await, (200, body.clone()));
    assert_eq!(stage.get("/users:external/legacy-42").await, (200, body.clone()));
    let counts = stage.rig.json("/__simulator/counts").await;
    assert_eq!((&counts["creates_received"], &counts["creates_accepted"]), (&json!(1), &json!(1)));
    stage.judge().await;
}

#[tokio::test]
async fn a_create_invites_unless_it_is_told_not_to_in_the_query() {
    let stage = Stage::with(json!({})).await;
    let path = format!("/organizations/{HARBOUR}/users");
    for (query, address) in [("", "a@x.test"), ("?send_invitation_email=true", "b@x.test")] {
        let (status, body) =
            stage.send(Method::POST, &format!("{path}{query}"), json!({ "email": address })).await;
        assert_eq!(status, 201);
        assert_eq!(body["user"]["memberships"][0]["membership_status"], "PENDING_INVITE");
        assert_eq!(body["user"]["user_profile"]["email_verified"], false);
    }
    let mails = stage.mails().await;
    assert_eq!(mails.len(), 2);
    assert_eq!((&mails[1]["to"], &mails[1]["kind"]), (&json!("b@x.test"), &json!("invitation")));

    let id = stage.truth().await[1]["id"].as_str().unwrap().to_owned();
    let resend = format!("/invites/organizations/{HARBOUR}/users/{id}/resend");
    let (status, body) = stage.send(Method::PATCH, &resend, json!({})).await;
    assert_eq!((status, &body["invite"]["resent_count"]), (200, &json!(1)));

    let link = mails[1]["link"].as_str().unwrap();
    let path = link.split_once("/hosted").map(|(_, rest)| format!("/hosted{rest}")).unwrap();
    assert_eq!(stage.rig.get(&path).send().await.unwrap().status(), 200);
    assert_eq!(stage.rig.get(&path).send().await.unwrap().status(), 400, "an invitation is accepted once");
    let truth = &stage.truth().await[1];
    assert_eq!(
        (&truth["email_verified"], &truth["memberships"][0]["status"]),
        (&json!(true), &json!("ACTIVE"))
    );
    assert_eq!(stage.send(Method::PATCH, &resend, json!({})).await.0, 400);
    stage.judge().await;
}

#[tokio::test]
async fn the_flag_in_the_body_is_not_the_flag() {
    let stage = Stage::with(json!({})).await;
    let path = format!("/organizations/{HARBOUR}/users");
    let body = json!({ "email": "a@x.test", "sendInvitationEmail": false });
    let (_, answer) = stage.send(Method::POST, &path, body.clone()).await;
    assert_eq!(answer["user"]["memberships"][0]["membership_status"], "PENDING_INVITE");
    let problems = openapi::validate(&stage.rig.json("/__simulator/transcript").await);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("sendInvitationEmail"));
    stage.set(json!({ "unknown_body_keys": "refused" })).await;
    let (status, answer) = stage.send(Method::POST, &path, body).await;
    assert_eq!(status, 400);
    let violation = &answer["details"][0]["validation_error_info"]["field_violations"][0];
    assert_eq!(violation["field"], "sendInvitationEmail");
}

#[tokio::test]
async fn limits_are_kept_and_every_breach_is_named() {
    let stage = Stage::with(json!({})).await;
    let long = "x".repeat(257);
    let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("key{n}"), json!("v"))).collect();
    let table = [
        (json!({}), "email"),
        (json!({ "email": "nobody" }), "email"),
        (json!({ "email": 5 }), "email"),
        (json!({ "email": "a@x.test", "external_id": "" }), "external_id"),
        (json!({ "email": "a@x.test", "external_id": "x".repeat(511) }), "external_id"),
        (json!({ "email": "a@x.test", "metadata": many }), "metadata"),
        (json!({ "email": "a@x.test", "metadata": { "ab": "v" } }), "metadata"),
        (json!({ "email": "a@x.test", "metadata": { "abc": long } }), "metadata"),
        (json!({ "email": "a@x.test", "metadata": { "abc": 5 } }), "metadata"),
        (json!({ "email": "a@x.test", "membership": { "roles": ["member"] } }), "membership.roles"),
        (json!({ "email": "a@x.test", "membership": { "inviter_email": "x" } }), "membership.inviter_email"),
        (
            json!({ "email": "a@x.test", "user_profile": { "given_name": "x".repeat(256) } }),
            "user_profile.given_name",
        ),
        (json!({ "email": "a@x.test", "user_profile": { "groups": ["a", "a"] } }), "user_profile.groups"),
    ];
    for (body, field) in table {
        let (status, answer) = stage.create(body.clone()).await;
        assert_eq!((status, &answer["code"]), (400, &json!(3)), "{body}");
        let violations =
            answer["details"][0]["validation_error_info"]["field_violations"].as_array().unwrap();
        assert!(violations.iter().any(|violation| violation["field"] == field), "{body}: {answer}");
    }
    let both = stage.create(json!({ "email": "x", "external_id": "" })).await.1;
    let violations = &both["details"][0]["validation_error_info"]["field_violations"];
    assert_eq!(violations.as_array().unwrap().len(), 2, "every breach at once");
    for path in
        ["/organizations/org1/users", "/organizations/org_100000000000000001/users?send_invitation_email=no"]
    {
        assert_eq!(stage.send(Method::POST, path, json!({ "email": "a@x.test" })).await.0, 400, "{path}");
    }
    let broken =
        stage.call(Method::POST, &format!("/organizations/{HARBOUR}/users")).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    assert!(stage.truth().await.is_empty(), "nothing was made");
    stage.judge().await;
}

#[tokio::test]
async fn unknown_organizations_and_roles_answer_as_switched() {
    let stage = Stage::with(json!({})).await;
    let unknown = "/organizations/org_999999999999999999/users";
    let role = json!({ "email": "a@x.test", "membership": { "roles": [{ "name": "captain" }] } });
    assert_eq!(stage.send(Method::POST, unknown, json!({ "email": "a@x.test" })).await.0, 404);
    assert_eq!(stage.create(role.clone()).await.0, 400);
    stage.set(json!({ "unknown_organization": "bad_request", "unknown_role": "not_found" })).await;
    assert_eq!(stage.send(Method::POST, unknown, json!({ "email": "a@x.test" })).await.0, 400);
    assert_eq!(stage.create(role).await.0, 404);
    stage.judge().await;
}

#[tokio::test]
async fn every_duplicate_behaviour_can_be_had() {
    let table = [
        ("conflict", 409, 1),
        ("bad_request", 400, 1),
        ("internal", 500, 1),
        ("existing", 201, 1),
        ("second_user", 201, 2),
    ];
    for (policy, expected, users) in table {
        for second in [
            json!({ "email": "ANN@x.test", "external_id": "other" }),
            json!({ "email": "bea@x.test", "external_id": "legacy-1" }),
        ] {
            let stage = Stage::with(json!({ "on_duplicate": policy })).await;
            let first = stage.create(json!({ "email": "ann@x.test", "external_id": "legacy-1" })).await.1;
            let path = format!("/organizations/{QUAY}/users?send_invitation_email=false");
            let (status, body) = stage.send(Method::POST, &path, second).await;
            assert_eq!(status, expected, "{policy}");
            let truth = stage.truth().await;
            assert_eq!(truth.len(), users, "{policy}");
            let counts = stage.rig.json("/__simulator/counts").await;
            assert_eq!(counts["creates_received"], 2);
            assert_eq!(counts["duplicates_made"], u64::from(policy == "second_user"));
            if policy == "existing" {
                assert_eq!(body["user"]["id"], first["user"]["id"]);
                assert_eq!(body["user"]["external_id"], "legacy-1", "the existing one is not changed");
                assert_eq!(truth[0]["memberships"].as_array().unwrap().len(), 2);
            }
            stage.judge().await;
        }
    }
}

#[tokio::test]
async fn addresses_that_differ_in_case_are_one_unless_switched() {
    let stage = Stage::with(json!({ "email_case": "exact" })).await;
    assert_eq!(stage.create(json!({ "email": "ann@x.test" })).await.0, 201);
    assert_eq!(stage.create(json!({ "email": "Ann@x.test" })).await.0, 201);
    stage.set(json!({ "email_case": "folded" })).await;
    assert_eq!(stage.create(json!({ "email": "ANN@x.test" })).await.0, 409);
    stage.judge().await;
}

#[tokio::test]
async fn searches_match_as_switched_and_keep_their_limits() {
    let stage = Stage::with(json!({})).await;
    for (email, external) in [("ann@x.test", "L-1"), ("joann@x.test", "L-2"), ("bob+y@x.test", "L-3")] {
        stage.create(json!({ "email": email, "external_id": external })).await;
    }
    let found = async |query: &str| {
        let (status, body) = stage.get(&format!("/users:search?query={query}")).await;
        assert_eq!(status, 200, "{query}");
        assert_eq!(body["total_size"], body["users"].as_array().unwrap().len());
        body["users"].as_array().unwrap().iter().map(|user| user["external_id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("ANN@x.test").await, ["L-1", "L-2"]);
    assert_eq!(found("bob%2By@x.test").await, ["L-3"]);
    assert_eq!(found("l-2").await, ["L-2"]);
    stage.set(json!({ "search": "prefix" })).await;
    assert_eq!(found("ann@").await, ["L-1"]);
    stage.set(json!({ "search": "exact" })).await;
    assert_eq!(found("ann@").await, Vec::<Value>::new());
    assert_eq!(found("ann@x.test").await, ["L-1"]);
    for bad in ["query=ab", "", "query=abc&page_size=31", "query=abc&page_size=0", "query=abc&page_token=x"] {
        assert_eq!(stage.get(&format!("/users:search?{bad}")).await.0, 400, "{bad}");
    }
    stage.set(json!({ "search": "substring" })).await;
    let page = stage.get("/users:search?query=x.test&page_size=2").await.1;
    let token = page["next_page_token"].as_str().unwrap();
    let rest = stage.get(&format!("/users:search?query=x.test&page_size=2&page_token={token}")).await.1;
    assert_eq!(rest["users"][0]["external_id"], "L-3");
    assert_eq!(rest["next_page_token"], "");
    let within = stage.get(&format!("/organizations/{QUAY}/users:search?query=x.test")).await;
    assert_eq!((within.0, &within.1["total_size"]), (200, &json!(0)));
    assert_eq!(stage.get("/organizations/org_9/users:search?query=x.test").await.0, 404);
    stage.judge().await;
}

#[tokio::test]
async fn a_search_can_lag_behind_a_create() {
    let clock = TestClock::at(Timestamp::from_seconds(1_780_000_000));
    let stage = Stage::on(json!({ "search_delay_ms": 3_000 }), clock.clone()).await;
    let id = stage.create(json!({ "email": "ann@x.test" })).await.1["user"]["id"].clone();
    let hits = async || stage.get("/users:search?query=ann@x.test").await.1["total_size"].clone();
    assert_eq!(hits().await, 0);
    assert_eq!(stage.get(&format!("/users/{}", id.as_str().unwrap())).await.0, 200, "a read is fresh");
    clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(hits().await, 1);
    stage.judge().await;
}

#[tokio::test]
async fn users_are_changed_listed_and_deleted() {
    let stage = Stage::with(json!({})).await;
    let body = json!({ "email": "ann@x.test", "metadata": { "one": "1" } });
    let id = stage.create(body).await.1["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{id}");
    let change = json!({ "external_id": "legacy/7 ü", "metadata": { "two": "2" }, "user_profile": { "family_name": "Archer" } });
    let (status, body) = stage.send(Method::PATCH, &path, change).await;
    assert_eq!((status, &body["user"]["metadata"]), (200, &json!({ "one": "1", "two": "2" })));
    assert_eq!(body["user"]["user_profile"]["family_name"], "Archer");
    stage.set(json!({ "metadata_patch": "replace" })).await;
    let external = "/users:external/legacy%2F7%20%C3%BC";
    let (status, body) = stage.send(Method::PATCH, external, json!({ "metadata": { "three": "3" } })).await;
    assert_eq!((status, &body["user"]["metadata"]), (200, &json!({ "three": "3" })));

    let other = stage.create(json!({ "email": "bea@x.test", "external_id": "b" })).await.1;
    let taken = stage.send(Method::PATCH, &path, json!({ "external_id": "b" })).await;
    assert_eq!(taken.0, 409);
    assert_eq!(stage.send(Method::PATCH, external, json!({ "external_id": "a" })).await.0, 200);
    assert_eq!(stage.get(external).await.0, 404, "the old external id is free");

    for path in ["/users".to_owned(), format!("/organizations/{HARBOUR}/users")] {
        let (status, body) = stage.get(&format!("{path}?page_size=1")).await;
        assert_eq!(
            (status, &body["total_size"], body["users"].as_array().unwrap().len()),
            (200, &json!(2), 1)
        );
    }
    assert_eq!(stage.bare(Method::DELETE, &path).await, (200, json!({})));
    assert_eq!(stage.get(&path).await.0, 404);
    assert_eq!(stage.bare(Method::DELETE, &path).await.0, 404);
    assert_eq!(stage.bare(Method::DELETE, "/users:external/b").await.0, 200);
    assert_eq!(stage.get(&format!("/users/{}", other["user"]["id"].as_str().unwrap())).await.0, 404);
    assert_eq!(stage.bare(Method::DELETE, "/users/usr_1").await.0, 400);
    stage.judge().await;
}

#[tokio::test]
async fn an_older_server_knows_no_external_id_routes() {
    let stage = Stage::with(json!({ "external_id_routes": false })).await;
    stage.create(json!({ "email": "ann@x.test", "external_id": "b" })).await;
    assert_eq!(stage.get("/users:external/b").await.0, 404);
    assert_eq!(stage.bare(Method::DELETE, "/users:external/b").await.0, 404);
    assert_eq!(stage.truth().await.len(), 1);
    stage.judge().await;
}

#[tokio::test]
async fn memberships_are_added_changed_and_removed() {
    let stage = Stage::with(json!({})).await;
    let body = json!({ "email": "ann@x.test", "external_id": "b" });
    let id = stage.create(body).await.1["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("/memberships/organizations/{QUAY}/users/{id}");
    let body = json!({ "roles": [{ "name": "admin" }], "metadata": { "why": "moved" } });
    let (status, answer) =
        stage.send(Method::POST, &format!("{path}?send_invitation_email=false"), body.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(answer["user"]["memberships"][1]["roles"][0]["name"], "admin");
    assert_eq!(answer["user"]["memberships"][1]["membership_status"], "ACTIVE");
    assert_eq!(stage.send(Method::POST, &path, body).await.0, 409);
    let (status, answer) = stage.send(Method::PATCH, &path, json!({ "roles": [{ "name": "clerk" }] })).await;
    assert_eq!((status, &answer["user"]["memberships"][1]["roles"][0]["name"]), (200, &json!("clerk")));
    let roles = stage.get(&format!("/organizations/{QUAY}/users/{id}/roles")).await;
    assert_eq!((roles.0, &roles.1["roles"][0]["name"]), (200, &json!("clerk")));
    assert_eq!(stage.bare(Method::DELETE, &path).await, (200, json!({})));
    assert_eq!(stage.bare(Method::DELETE, &path).await.0, 404);

    let external = format!("/memberships/organizations/{QUAY}/users:external/b");
    assert_eq!(stage.send(Method::POST, &external, json!({})).await.0, 201);
    assert_eq!(stage.mails().await.len(), 1, "it invites unless told not to");
    let changed = stage.send(Method::PATCH, &external, json!({ "metadata": { "abc": "d" } })).await;
    assert_eq!(changed.1["user"]["memberships"][1]["metadata"], json!({ "abc": "d" }));
    assert_eq!(stage.bare(Method::DELETE, &external).await.0, 200);
    assert_eq!(stage.truth().await[0]["memberships"].as_array().unwrap().len(), 1);
    stage.judge().await;
}

#[tokio::test]
async fn organizations_are_made_found_changed_and_deleted() {
    let stage = Stage::with(json!({})).await;
    let body = json!({ "display_name": "Lighthouse", "external_id": "l/1", "metadata": { "plan": "big" }, "slug": "light-house" });
    let (status, body) = stage.send(Method::POST, "/organizations", body).await;
    assert_eq!(status, 201);
    let id = body["organization"]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("org_") && id.len() <= 32);
    assert_eq!(stage.get(&format!("/organizations/{id}")).await, (200, body.clone()));
    assert_eq!(stage.get("/organizations:external/l%2F1").await, (200, body.clone()));
    assert_eq!(stage.get("/organizations:external/l%2F1?id=x").await.0, 400);
    assert_eq!(stage.get("/organizations:external/nobody").await.0, 404);
    let listed = stage.get("/organizations?external_id=l%2F1").await.1;
    assert_eq!((&listed["total_size"], &listed["organizations"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(stage.get("/organizations?page_size=9").await.0, 400);
    let found = stage.get("/organizations:search?query=LIGHT").await.1;
    assert_eq!(found["organizations"][0]["id"], json!(id));
    assert_eq!(stage.get("/organizations:search?query=x").await.0, 400);

    for bad in [
        json!({}),
        json!({ "display_name": "" }),
        json!({ "display_name": "x", "slug": "No" }),
        json!({ "display_name": "x", "logo_url": "http://x" }),
    ] {
        assert_eq!(stage.send(Method::POST, "/organizations", bad.clone()).await.0, 400, "{bad}");
    }
    let twin = json!({ "display_name": "Other", "external_id": "l/1" });
    assert_eq!(stage.send(Method::POST, "/organizations", twin).await.0, 409);
    let changed =
        stage.send(Method::PATCH, &format!("/organizations/{id}"), json!({ "display_name": "Beacon" })).await;
    assert_eq!((changed.0, &changed.1["organization"]["display_name"]), (200, &json!("Beacon")));

    let users = format!("/organizations/{id}/users?send_invitation_email=false");
    stage.send(Method::POST, &users, json!({ "email": "only@x.test" })).await;
    assert_eq!(stage.bare(Method::DELETE, &format!("/organizations/{id}")).await, (200, json!({})));
    assert!(stage.truth().await.is_empty(), "who has no other organization goes too");
    assert_eq!(stage.get(&format!("/organizations/{id}")).await.0, 404);
    stage.judge().await;
}

#[tokio::test]
async fn roles_are_made_counted_and_deleted() {
    let stage = Stage::with(json!({})).await;
    let role = json!({ "name": "pilot", "display_name": "Pilot", "extends": "member", "permissions": ["boats:steer"] });
    let (status, body) = stage.send(Method::POST, "/roles", role.clone()).await;
    assert_eq!((status, &body["role"]["name"]), (201, &json!("pilot")));
    assert_eq!(stage.send(Method::POST, "/roles", role).await.0, 400, "a duplicate role is 400");
    assert_eq!(
        stage.send(Method::POST, "/roles", json!({ "name": "no way", "display_name": "x" })).await.0,
        400
    );
    assert_eq!(stage.get("/roles").await.1["roles"].as_array().unwrap().len(), 4);
    assert_eq!(stage.get("/roles/pilot").await.0, 200);
    let body = json!({ "email": "ann@x.test", "membership": { "roles": [{ "name": "pilot" }] } });
    stage.create(body).await;
    assert_eq!(stage.get("/roles/pilot/users:count").await, (200, json!({ "count": "1" })));
    assert_eq!(stage.bare(Method::DELETE, "/roles/pilot").await.0, 400, "in use");
    assert_eq!(stage.bare(Method::DELETE, "/roles/clerk").await.0, 200);
    assert_eq!(stage.get("/roles/clerk").await.0, 404);
    stage.judge().await;
}

#[tokio::test]
async fn the_first_user_can_be_switched_to_admin() {
    let stage = Stage::with(json!({ "first_user_is_admin": true })).await;
    for (email, role) in [("a@x.test", "admin"), ("b@x.test", "member")] {
        let body = stage.create(json!({ "email": email })).await.1;
        assert_eq!(body["user"]["memberships"][0]["roles"][0]["name"], role);
    }
    stage.judge().await;
}

#[tokio::test]
async fn only_a_living_token_opens_the_api() {
    let clock = TestClock::at(Timestamp::from_seconds(1_780_000_000));
    let stage = Stage::on(json!({}), clock.clone()).await;
    for header in [None, Some("Bearer "), Some("Bearer nonsense"), Some("Basic abc")] {
        let mut call = stage.rig.get("/api/v1/users");
        if let Some(value) = header {
            call = call.header("authorization", value);
        }
        let (status, body) = outcome(call.send().await.unwrap()).await;
        assert_eq!((status, &body["code"]), (401, &json!(16)), "{header:?}");
        assert_eq!(body["details"][0]["error_code"], "UNAUTHENTICATED");
    }
    assert_eq!(stage.get("/users").await.0, 200);
    clock.advance(std::time::Duration::from_hours(24));
    assert_eq!(stage.get("/users").await.0, 401);
    stage.judge().await;

    let stage = Stage::with(json!({})).await;
    stage.rig.request(Method::DELETE, "/__simulator/api_tokens").send().await.unwrap();
    assert_eq!(stage.get("/users").await.0, 401);
}

#[tokio::test]
async fn what_does_not_exist_is_answered_in_the_apis_own_words() {
    let stage = Stage::with(json!({})).await;
    for (method, path, status) in [(Method::GET, "/nothing", 404), (Method::PUT, "/users", 501)] {
        let (answered, body) = stage.bare(method, path).await;
        assert_eq!((answered, body["message"].is_string()), (status, true), "{path}");
    }
}

#[tokio::test]
async fn settings_are_changed_one_by_one_and_reset() {
    let stage = Stage::with(json!({ "search": "prefix" })).await;
    stage.set(json!({ "on_duplicate": "existing" })).await;
    stage.create(json!({ "email": "ann@x.test" })).await;
    let settings = stage.rig.json("/__simulator/settings").await;
    assert_eq!((&settings["search"], &settings["on_duplicate"]), (&json!("prefix"), &json!("existing")));
    for wrong in [json!({ "serch": "exact" }), json!({ "search": "fuzzy" }), json!(["exact"])] {
        let put = stage.rig.request(Method::PUT, "/__simulator/settings").json(&wrong);
        assert_eq!(put.send().await.unwrap().status(), 400, "{wrong}");
    }
    assert_eq!(stage.rig.post("/__simulator/reset").send().await.unwrap().status(), 204);
    let settings = stage.rig.json("/__simulator/settings").await;
    assert_eq!((&settings["search"], &settings["on_duplicate"]), (&json!("prefix"), &json!("conflict")));
    assert!(stage.truth().await.is_empty());
    assert_eq!(
        stage.get(&format!("/organizations/{HARBOUR}")).await.0,
        200,
        "the seed is back, the token good"
    );
}

#[tokio::test]
async fn of_creates_at_the_same_time_one_wins() {
    let stage = Stage::with(json!({})).await;
    let create = || stage.create(json!({ "email": "ann@x.test", "external_id": "legacy-1" }));
    let answers: [(u16, Value); 4] = tokio::join!(create(), create(), create(), create()).into();
    let mut statuses = answers.map(|(status, _)| status);
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    assert_eq!(stage.truth().await.len(), 1);
    stage.judge().await;
}

#[test]
fn a_seed_with_mistakes_is_refused_with_all_of_them() {
    let options = json!({
        "organizations": [{ "id": "org_harbour", "display_name": "Harbour" }],
        "users": [{
            "id": "usr_1", "email": "a@x.test", "profile": { "shoe": "39" },
            "memberships": [{ "organization_id": "org_2", "roles": ["captain"] }],
        }],
    });
    let options: Options = serde_json::from_value(options).unwrap();
    let error = Scalekit::new(options, SystemClock::shared()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    for mistake in ["org_harbour", "usr_1 is not", "shoe", "no organization org_2", "no role captain"] {
        assert!(error.to_string().contains(mistake), "{mistake}: {error}");
    }
}
