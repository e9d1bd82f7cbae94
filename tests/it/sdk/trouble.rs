//! Faults and refusals over gRPC, as the SDKs see them.

use serde_json::{Value, json};

use super::{CLIENT, HARBOUR, environment, sdk, stored};
use crate::support::sdk::{Language, Sdk};

const CREATE: &str = "/scalekit.v1.users.UserService/CreateUserAndMembership";

fn ann() -> Value {
    json!({ "organization": HARBOUR, "invite": false, "user": { "email": "ann@example.test" } })
}

fn judge(language: Language) {
    let scalekit = environment();
    let mut sdk = sdk(language, &scalekit);
    let strike = |kind: &str| scalekit.set_faults(&json!({ "kind": kind, "path": CREATE, "times": 1 }));

    sdk.ask("list_users", json!({}));
    strike("rate_limited");
    sdk.refused("create_user", ann()).is("ScalekitTooManyRequestsException", 429, "RATE_LIMITED");
    assert_eq!(scalekit.counts()["creates_received"], 0);

    sdk.refused("list_roles", json!({})).is("ScalekitNotImplementedException", 501, "UNIMPLEMENTED");

    // A broken connection after the work: the SDK for Python tries again, meets its own user and says so. The one
    // for Node only knows that the call broke off.
    strike("lost");
    let lost = sdk.refused("create_user", ann());
    let (classes, received): (&[&str], u64) = match language {
        Language::Node => (&["ScalekitCancelledException", "ScalekitServiceUnavailableException"], 1),
        Language::Python => (&["ScalekitConflictException"], 2),
    };
    assert!(classes.contains(&lost.class.as_str()), "{lost:?}");
    assert_eq!(scalekit.counts()["creates_received"], received);
    assert_eq!(stored(&scalekit).len(), 1, "the user is made");

    // Half an answer is no answer.
    scalekit.set_faults(
        &json!({ "kind": "truncated", "path": "/scalekit.v1.users.UserService/ListUsers", "times": 1 }),
    );
    sdk.refused("list_users", json!({}));

    // A token that is worth nothing any more is fetched anew.
    let fetched = || scalekit.counts()["requests"]["POST /oauth/token"].as_u64().unwrap();
    let before = fetched();
    sdk.ask("list_users", json!({}));
    assert_eq!(fetched(), before);
    scalekit.forget_api_tokens();
    sdk.ask("list_users", json!({}));
    assert_eq!(fetched(), before + 1);

    let journal = scalekit.journal().to_string();
    assert!(
        journal.contains(CREATE) && journal.contains("Bearer ("),
        "calls are in the journal, tokens are not"
    );
}

#[test]
fn the_sdk_for_node_meets_trouble() {
    judge(Language::Node);
}

#[test]
fn the_sdk_for_python_meets_trouble() {
    judge(Language::Python);
}

#[test]
fn a_wrong_secret_opens_nothing() {
    let scalekit = environment();
    let mut sdk = Sdk::of(Language::Node, &scalekit, CLIENT, "wrong");
    let refused = sdk.refused("list_users", json!({}));
    assert!(refused.message.contains("401"), "{refused:?}");
    assert_eq!(scalekit.counts()["requests"]["POST /oauth/token"], 1);
}
