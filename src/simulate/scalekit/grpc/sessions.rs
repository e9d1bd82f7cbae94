//! `scalekit.v1.sessions.SessionService`.

use std::sync::Arc;

use axum::{Router, http::Method};
use prost::Message;
use serde::Deserialize;

use super::{Call, Rest, call, segment, words::Moment};
use crate::simulate::scalekit::{Scalekit, failure::Failure};

pub(super) fn routes(api: &Router) -> Router<Arc<Scalekit>> {
    let at = |name: &str| format!("/scalekit.v1.sessions.SessionService/{name}");
    Router::new()
        .route(&at("GetSession"), call::<Get>(api))
        .route(&at("GetUserSessions"), call::<OfUser>(api))
        .route(&at("RevokeSession"), call::<Revoke>(api))
        .route(&at("RevokeAllUserSessions"), call::<RevokeAll>(api))
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Session {
    #[prost(string, tag = "1")]
    session_id: String,
    #[prost(string, tag = "2")]
    user_id: String,
    #[prost(string, repeated, tag = "3")]
    authenticated_organizations: Vec<String>,
    #[prost(string, tag = "4")]
    organization_id: String,
    #[prost(message, optional, tag = "5")]
    created_at: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    updated_at: Option<Moment>,
    #[prost(message, optional, tag = "7")]
    idle_expires_at: Option<Moment>,
    #[prost(message, optional, tag = "8")]
    absolute_expires_at: Option<Moment>,
    #[prost(message, optional, tag = "9")]
    expired_at: Option<Moment>,
    #[prost(message, optional, tag = "10")]
    logout_at: Option<Moment>,
    #[prost(string, tag = "11")]
    status: String,
    #[prost(message, optional, tag = "12")]
    device: Option<Device>,
    #[prost(message, optional, tag = "13")]
    last_active_at: Option<Moment>,
    #[prost(message, repeated, tag = "14")]
    authenticated_clients: Vec<ClientOfSession>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Device {
    #[prost(string, tag = "12")]
    user_agent: String,
    #[prost(string, tag = "13")]
    os: String,
    #[prost(string, tag = "14")]
    os_version: String,
    #[prost(string, tag = "15")]
    browser: String,
    #[prost(string, tag = "16")]
    browser_version: String,
    #[prost(string, tag = "17")]
    device_type: String,
    #[prost(string, tag = "19")]
    ip: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClientOfSession {
    #[prost(string, tag = "1")]
    client_id: String,
    #[prost(string, tag = "2")]
    organization_id: String,
}

/// A session in the answer to its revocation: the last number is another one than above.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Revoked {
    #[prost(string, tag = "1")]
    session_id: String,
    #[prost(string, tag = "2")]
    user_id: String,
    #[prost(message, optional, tag = "5")]
    created_at: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    updated_at: Option<Moment>,
    #[prost(message, optional, tag = "7")]
    idle_expires_at: Option<Moment>,
    #[prost(message, optional, tag = "8")]
    absolute_expires_at: Option<Moment>,
    #[prost(message, optional, tag = "9")]
    expired_at: Option<Moment>,
    #[prost(message, optional, tag = "10")]
    logout_at: Option<Moment>,
    #[prost(string, tag = "11")]
    status: String,
    #[prost(message, optional, tag = "12")]
    last_active_at: Option<Moment>,
}

#[derive(Clone, PartialEq, Message)]
struct Get {
    #[prost(string, tag = "1")]
    session_id: String,
}

impl Call for Get {
    type Answer = Session;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::get(format!("/sessions/{}", segment(&self.session_id))))
    }
}

#[derive(Clone, PartialEq, Message)]
struct OfUser {
    #[prost(string, tag = "1")]
    user_id: String,
    #[prost(uint32, optional, tag = "2")]
    page_size: Option<u32>,
    #[prost(string, optional, tag = "3")]
    page_token: Option<String>,
    #[prost(message, optional, tag = "4")]
    filter: Option<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Filter {
    #[prost(string, repeated, tag = "1")]
    status: Vec<String>,
    #[prost(message, optional, tag = "2")]
    start_time: Option<Moment>,
    #[prost(message, optional, tag = "3")]
    end_time: Option<Moment>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[prost(message, repeated, tag = "1")]
    sessions: Vec<Session>,
    #[prost(string, tag = "2")]
    next_page_token: String,
    #[prost(string, tag = "3")]
    prev_page_token: String,
    #[prost(uint32, tag = "4")]
    total_size: u32,
}

impl Call for OfUser {
    type Answer = Page;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        let filter = self.filter.clone().unwrap_or_default();
        let rest = Rest::get(format!("/users/{}/sessions", segment(&self.user_id)))
            .with("page_size", self.page_size)
            .with("page_token", self.page_token.as_ref())
            .with("filter.start_time", filter.start_time)
            .with("filter.end_time", filter.end_time);
        Ok(filter.status.iter().fold(rest, |rest, status| rest.with("filter.status", Some(status))))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Revoke {
    #[prost(string, tag = "1")]
    session_id: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedOne {
    #[prost(message, optional, tag = "1")]
    revoked_session: Option<Revoked>,
}

impl Call for Revoke {
    type Answer = RevokedOne;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::new(Method::POST, format!("/sessions/{}/revoke", segment(&self.session_id))))
    }
}

#[derive(Clone, PartialEq, Message)]
struct RevokeAll {
    #[prost(string, tag = "1")]
    user_id: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokedAll {
    #[prost(message, repeated, tag = "1")]
    revoked_sessions: Vec<Revoked>,
    #[prost(uint32, tag = "2")]
    total_revoked: u32,
}

impl Call for RevokeAll {
    type Answer = RevokedAll;

    fn to_rest(&self, _: &Scalekit) -> Result<Rest, Failure> {
        Ok(Rest::new(Method::POST, format!("/users/{}/sessions/revoke", segment(&self.user_id))))
    }
}
