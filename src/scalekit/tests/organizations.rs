//! Organisations on the wire.

use super::*;
use crate::login::{CreateError, Directory as _};

const LOOK_UP: &str = "/api/v1/organizations:external/acme%2F1";
const CREATE: &str = "/api/v1/organizations";

fn organization(id: &str, external_id: &str) -> Reply {
    Reply::json(200, &json!({"organization": {"id": id, "external_id": external_id, "display_name": "x"}}))
}

fn org(id: &str) -> OrganizationId {
    OrganizationId(id.into())
}

#[tokio::test]
async fn an_organisation_is_asked_for_once() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", LOOK_UP, [organization("org_7", "acme/1"), organization("org_8", "acme/1")]);
    let find = || async { theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap() };
    assert_eq!(find().await, Some(org("org_7")));
    assert_eq!(find().await, Some(org("org_7")));
    assert_eq!(theatre.stage.calls().len(), 1);
    theatre.clock.advance(Duration::from_secs(601));
    assert_eq!(find().await, Some(org("org_8")), "and again after a while");
}

#[tokio::test]
async fn many_first_sign_ins_cost_one_look_up_and_one_creation() {
    let theatre = Theatre::with(|settings| settings.create_organizations = true).await;
    theatre.stage.on("GET", LOOK_UP, [status(404)]);
    theatre.stage.on("POST", CREATE, [organization("org_9", "acme/1")]);
    let finds = (0..50).map(|_| theatre.scalekit.organization(Some("acme/1"), soon()));
    for found in join_all(finds).await {
        assert_eq!(found.unwrap(), Some(org("org_9")));
    }
    assert_eq!(theatre.stage.calls(), [format!("GET {LOOK_UP}"), format!("POST {CREATE}")]);
}

#[tokio::test]
async fn an_organisation_that_is_gone_is_asked_for_again() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", LOOK_UP, [organization("org_1", "acme/1"), organization("org_2", "acme/1")]);
    theatre.stage.on("POST", "/api/v1/organizations/org_1/users", [status(404)]);
    let find = || async { theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap() };
    assert_eq!(find().await, Some(org("org_1")));
    let error = theatre.scalekit.create_user(&new_user(), soon()).await.unwrap_err();
    assert!(matches!(error, CreateError::NotDone(_)));
    assert_eq!(find().await, Some(org("org_2")));
}

#[tokio::test]
async fn an_unknown_organisation_is_none_unless_it_may_be_created() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", LOOK_UP, [status(404)]);
    assert_eq!(theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap(), None);
    assert_eq!(theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap(), None);
    assert_eq!(theatre.stage.calls(), [format!("GET {LOOK_UP}")], "unknown for a moment");
    theatre.clock.advance(Duration::from_secs(30));
    theatre.stage.on("GET", LOOK_UP, [organization("org_7", "acme/1")]);
    let found = theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap();
    assert_eq!(found, Some(org("org_7")), "somebody made it meanwhile");

    let theatre = Theatre::with(|settings| settings.create_organizations = true).await;
    theatre.stage.on("GET", LOOK_UP, [status(404)]);
    theatre.stage.on("POST", CREATE, [organization("org_9", "acme/1")]);
    let find = || async { theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap() };
    assert_eq!(find().await, Some(org("org_9")));
    assert_eq!(find().await, Some(org("org_9")));
    let [sent] = theatre.stage.seen("POST", CREATE).try_into().unwrap();
    assert_eq!(sent.json(), json!({"display_name": "acme/1", "external_id": "acme/1"}));
}

#[tokio::test]
async fn the_default_organisation_must_exist_or_be_creatable() {
    let path = "/api/v1/organizations:external/default";
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", path, [status(404)]);
    let error = theatre.scalekit.organization(None, soon()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Misconfigured);
    assert!(error.problem.contains("create_organizations"), "{error}");

    let theatre = Theatre::with(|settings| settings.create_organizations = true).await;
    theatre.stage.on("GET", path, [status(404)]);
    theatre.stage.on("POST", CREATE, [organization("org_9", "default")]);
    assert_eq!(theatre.scalekit.organization(None, soon()).await.unwrap(), Some(org("org_9")));
    assert_eq!(theatre.stage.seen("POST", CREATE)[0].json()["display_name"], "Everybody");
}

#[tokio::test]
async fn a_lost_race_or_a_lost_answer_is_looked_up() {
    for reply in [status(400), status(409), status(500), Reply::Close, Reply::text(201, "text/html", "<p>")] {
        let theatre = Theatre::with(|settings| settings.create_organizations = true).await;
        theatre.stage.on("GET", LOOK_UP, [status(404), organization("org_3", "acme/1")]);
        theatre.stage.on("POST", CREATE, [reply]);
        let found = theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap();
        assert_eq!(found, Some(org("org_3")));
        assert_eq!(theatre.stage.seen("POST", CREATE).len(), 1, "created once at most");
    }
    let theatre = Theatre::with(|settings| settings.create_organizations = true).await;
    theatre.stage.on("GET", LOOK_UP, [status(404)]);
    theatre.stage.on("POST", CREATE, [status(409)]);
    assert!(theatre.scalekit.organization(Some("acme/1"), soon()).await.is_err());
}

#[tokio::test]
async fn another_organisation_than_asked_for_is_garbage() {
    let theatre = Theatre::open().await;
    theatre.stage.on("GET", LOOK_UP, [organization("org_7", "acme")]);
    let error = theatre.scalekit.organization(Some("acme/1"), soon()).await.unwrap_err();
    assert!(is_transient(error.class));
    assert!(theatre.scalekit.organization(Some(""), soon()).await.is_err());
}
