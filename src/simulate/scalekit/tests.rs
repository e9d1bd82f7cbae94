//! The environment over real sockets. Every exchange with the management API is held to the `OpenAPI` document.

mod login;
mod management;
#[path = "../../../tests/it/support/openapi.rs"]
mod openapi;
mod trouble;

use std::sync::OnceLock;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{SystemClock, TestClock, Timestamp},
    simulate::backstage::rig::Rig,
};

const CLIENT: &str = "skc_100000000000000001";
const SECRET: &str = "simulated-scalekit-secret";
const HARBOUR: &str = "org_100000000000000001";
const QUAY: &str = "org_100000000000000002";

/// A started environment with two organizations and a token for its API.
struct Stage {
    rig: Rig,
    token: OnceLock<String>,
}

impl Stage {
    async fn with(settings: Value) -> Self {
        Self::on(settings, SystemClock::shared()).await
    }

    async fn on(settings: Value, clock: SharedClock) -> Self {
        let options = json!({
            "settings": settings,
            "organizations": [
                { "id": HARBOUR, "display_name": "Harbour", "external_id": "harbour-1" },
                { "id": QUAY, "display_name": "Quay" },
            ],
            "roles": [{ "name": "clerk", "permissions": ["bills:read"] }],
            "connections": ["conn_100000000000000009"],
            "clients": [
                {
                    "redirect_uris": ["http://app.localhost/callback"],
                    "post_logout_redirect_uris": ["http://app.localhost/bye"],
                },
                { "id": "skc_100000000000000002", "secret": null, "redirect_uris": ["http://spa.localhost/cb"] },
            ],
        });
        let options: Options = serde_json::from_value(options).unwrap();
        let environment = Scalekit::new(options, clock).unwrap();
        let rig = Rig::start(|listener, shutdown| serve(listener, environment, shutdown)).await;
        let stage = Self { rig, token: OnceLock::new() };
        stage.authenticate().await;
        stage
    }

    async fn authenticate(&self) {
        let form = [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", SECRET)];
        let answer = self.rig.post("/oauth/token").form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(86_399)));
        let _ = self.token.set(body["access_token"].as_str().unwrap().to_owned());
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.rig.request(method, &format!("/api/v1{path}")).bearer_auth(self.token.get().unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        outcome(self.call(Method::GET, path).send().await.unwrap()).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        outcome(self.call(method, path).json(&body).send().await.unwrap()).await
    }

    /// POST, PATCH or DELETE without a body.
    async fn bare(&self, method: Method, path: &str) -> (u16, Value) {
        outcome(self.call(method, path).send().await.unwrap()).await
    }

    /// Creates a user in the harbour without an invitation.
    async fn create(&self, body: Value) -> (u16, Value) {
        let path = format!("/organizations/{HARBOUR}/users?send_invitation_email=false");
        self.send(Method::POST, &path, body).await
    }

    async fn set(&self, settings: Value) {
        let put = self.rig.request(Method::PUT, "/__simulator/settings").json(&settings);
        assert_eq!(put.send().await.unwrap().status(), 200);
    }

    /// The users as they really are.
    async fn truth(&self) -> Vec<Value> {
        self.rig.json("/__simulator/users").await["users"].as_array().unwrap().clone()
    }

    async fn mails(&self) -> Vec<Value> {
        self.rig.json("/__simulator/mails").await["mails"].as_array().unwrap().clone()
    }

    /// The last act of every test: all exchanges keep the contract. Only a request that the test broke on
    /// purpose, and that was refused with 400, may break it.
    async fn judge(&self) {
        let transcript = self.rig.json("/__simulator/transcript").await;
        let mut problems = openapi::validate(&transcript);
        problems.retain(|problem| !problem.contains("(400): request: "));
        assert_eq!(problems, Vec::<String>::new());
        assert!(!transcript.to_string().contains(self.token.get().unwrap()));
    }
}

async fn outcome(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}
